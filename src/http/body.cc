#include "http/body.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/limits.h"

namespace inlet::http {

using limits::read_buffer_bytes_large;
using limits::read_buffer_bytes_small;

// What a sized body is given first, whatever length it claims; it doubles as it is filled.
static constexpr std::uint64_t body_bytes_first = 64U << 10;
static_assert(body_bytes_first > read_buffer_bytes_large);

void Body::start(const RequestHead& head, std::size_t head_bytes) {
  chunked_ = head.chunked;
  length_ = head.content_length.value_or(0);
  head_bytes_ = request_bytes_ = head_bytes;
  bytes_max_ = done_bytes_ = 0;
  memory_ = room_ = {};
  decoder_ = {};
}

Body::Need Body::next(Input& input, Handler& handler) {
  if (length_ > bytes_max_) return Need::less;
  return chunked_ ? next_chunked(input, handler) : next_sized(input, handler);
}

Body::Need Body::next_sized(Input& input, Handler& handler) {
  if (memory_.empty()) {
    const std::uint64_t total = head_bytes_ + length_;
    if (input.size() >= total) {
      request_bytes_ = static_cast<std::size_t>(total);
      done_bytes_ = length_;
      return Need::nothing;
    }
    if (total <= read_buffer_bytes_large || input.size() < read_buffer_bytes_small) {
      return Need::input;
    }
    if (ask_for_memory(handler, std::min(length_, body_bytes_first)) == Need::memory) {
      return Need::memory;
    }
    const Bytes so_far = input.bytes().subspan(head_bytes_);
    std::memcpy(memory_.data(), so_far.data(), so_far.size());
    done_bytes_ = so_far.size();
    input.keep_front(head_bytes_);
  }
  if (done_bytes_ == length_) return Need::nothing;
  if (done_bytes_ == memory_.size()) {
    const std::uint64_t needed = std::min<std::uint64_t>(length_, 2 * memory_.size());
    if (ask_for_memory(handler, needed) == Need::memory) return Need::memory;
  }
  const std::uint64_t end = std::min<std::uint64_t>(length_, memory_.size());
  room_ =
      memory_.first(static_cast<std::size_t>(end)).subspan(static_cast<std::size_t>(done_bytes_));
  return Need::direct;
}

Body::Need Body::next_chunked(Input& input, Handler& handler) {
  const Need need =
      memory_.empty() ? decode_in_buffer(input, handler) : decode_to_memory(input, handler);
  if (decoder_.error() != nullptr) return Need::soundness;
  // Of the chunk at hand the size is known before its bytes have come.
  return done_bytes_ + decoder_.data_remaining() > bytes_max_ ? Need::less : need;
}

// [head][decoded][coded] becomes [head][decoded, and more of it][what belongs to the next request].
Body::Need Body::decode_in_buffer(Input& input, Handler& handler) {
  const std::size_t decoded_end = head_bytes_ + static_cast<std::size_t>(done_bytes_);
  const MutableBytes coded = input.bytes().subspan(decoded_end);
  const ChunkedDecoder::Progress progress = decoder_.decode(coded, coded);
  done_bytes_ += progress.produced;
  if (decoder_.error() != nullptr || done_bytes_ + decoder_.data_remaining() > bytes_max_) {
    return Need::less;  // Or worse: next_chunked() looks.
  }
  if (decoder_.done()) {
    request_bytes_ = decoded_end + progress.consumed;
    return Need::nothing;
  }
  CHECK(progress.consumed == coded.size());
  input.keep_front(head_bytes_ + static_cast<std::size_t>(done_bytes_));
  if (input.size() < read_buffer_bytes_large) return Need::input;
  const std::uint64_t needed = std::min<std::uint64_t>(bytes_max_, 2 * read_buffer_bytes_large);
  if (ask_for_memory(handler, needed) == Need::memory) return Need::memory;
  std::memcpy(memory_.data(), input.bytes().data() + head_bytes_,
              static_cast<std::size_t>(done_bytes_));
  input.keep_front(head_bytes_);
  return decode_to_memory(input, handler);
}

Body::Need Body::decode_to_memory(Input& input, Handler& handler) {
  const ChunkedDecoder::Progress progress = decoder_.decode(
      input.bytes().subspan(head_bytes_), memory_.subspan(static_cast<std::size_t>(done_bytes_)));
  done_bytes_ += progress.produced;
  if (decoder_.error() != nullptr || done_bytes_ + decoder_.data_remaining() > bytes_max_) {
    return Need::less;
  }
  input.cut(head_bytes_, progress.consumed);
  if (decoder_.done()) return Need::nothing;
  if (decoder_.data_remaining() == 0) return Need::input;
  if (done_bytes_ == memory_.size()) {
    const std::uint64_t needed = std::min<std::uint64_t>(bytes_max_, 2 * memory_.size());
    if (ask_for_memory(handler, needed) == Need::memory) return Need::memory;
    return decode_to_memory(input, handler);  // Once: there is room now.
  }
  const std::uint64_t free = memory_.size() - done_bytes_;
  room_ = memory_.subspan(
      static_cast<std::size_t>(done_bytes_),
      static_cast<std::size_t>(std::min<std::uint64_t>(decoder_.data_remaining(), free)));
  return Need::direct;
}

// Need::memory, or Need::direct and memory_ is at least `bytes_needed` large.
Body::Need Body::ask_for_memory(Handler& handler, std::uint64_t bytes_needed) {
  const auto so_far = memory_.empty() ? 0 : static_cast<std::size_t>(done_bytes_);
  const MutableBytes memory = handler.body_space(static_cast<std::size_t>(bytes_needed), so_far);
  if (memory.empty()) return Need::memory;
  CHECK(memory.size() >= bytes_needed && bytes_needed > so_far);
  memory_ = memory;
  return Need::direct;
}

void Body::received(std::size_t count) {
  CHECK(count <= room_.size());
  done_bytes_ += count;
  room_ = {};
  if (chunked_) decoder_.take_data(count);
}

Bytes Body::bytes(const Input& input) const {
  const auto size = static_cast<std::size_t>(done_bytes_);
  if (!memory_.empty()) return memory_.first(size);
  return input.bytes().subspan(head_bytes_, size);
}

Body::Need Body::discard(Input& input) {
  if (!chunked_) {
    const auto part =
        static_cast<std::size_t>(std::min<std::uint64_t>(input.size(), length_ - done_bytes_));
    done_bytes_ += part;
    input.drop_front(part);
    return done_bytes_ == length_ ? Need::nothing : Need::input;
  }
  const MutableBytes coded = input.bytes();
  const ChunkedDecoder::Progress progress = decoder_.decode(coded, coded);
  if (decoder_.error() != nullptr) return Need::soundness;
  done_bytes_ += progress.consumed;
  input.drop_front(progress.consumed);
  return decoder_.done() ? Need::nothing : Need::input;
}

std::uint64_t Body::length_left(const Input& input) const {
  const std::uint64_t total = head_bytes_ + length_;
  return total > input.size() ? total - input.size() : 0;
}

}  // namespace inlet::http
