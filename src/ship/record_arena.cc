#include "ship/record_arena.h"

#include <cstring>

namespace inlet::ship {

RecordArena::RecordArena(std::size_t block_bytes)
    : block_bytes_(block_bytes), block_(std::make_unique_for_overwrite<std::byte[]>(block_bytes)) {}

std::size_t RecordArena::add(const journal::Record& record) {
  const journal::Metadata& metadata = record.metadata;
  const std::byte* const body = copy(record.body.data(), record.body.size());
  records_.push_back({
      .sequence = record.sequence,
      .received_us = record.received_us,
      .tenant = copy(metadata.tenant),
      .stream = copy(metadata.stream),
      .content_type = copy(metadata.content_type),
      .content_encoding = copy(metadata.content_encoding),
      .peer = copy(metadata.peer),
      .trace_id = copy(metadata.trace_id),
      .request_id = copy(metadata.request_id),
      .idempotency_key = copy(metadata.idempotency_key),
      .body = Bytes(body, record.body.size()),
  });
  return sizeof(sinks::Record) + journal::metadata_size(metadata) + record.body.size();
}

void RecordArena::clear() {
  used_bytes_ = 0;
  overflow_.clear();
  records_.clear();
}

std::byte* RecordArena::copy(const void* from, std::size_t bytes) {
  std::byte* to = block_.get() + used_bytes_;
  if (bytes <= block_bytes_ - used_bytes_) {
    used_bytes_ += bytes;
  } else {
    to = overflow_.emplace_back(std::make_unique_for_overwrite<std::byte[]>(bytes)).get();
  }
  if (bytes > 0) std::memcpy(to, from, bytes);
  return to;
}

std::string_view RecordArena::copy(std::string_view text) {
  return {reinterpret_cast<const char*>(copy(text.data(), text.size())), text.size()};
}

}  // namespace inlet::ship
