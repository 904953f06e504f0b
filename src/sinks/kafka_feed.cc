#include "sinks/kafka_feed.h"

#include <fmt/format.h>

#include "base/check.h"
#include "base/names.h"
#include "sinks/text.h"

namespace inlet::sinks {
namespace {

constexpr std::string_view id_prefix = "{\"id\":\"";  // How events.h begins a line.

std::string_view id_of(std::string_view line) {
  CHECK(line.starts_with(id_prefix));
  line.remove_prefix(id_prefix.size());
  return line.substr(0, line.find('"'));
}

}  // namespace

// Cuts what the event writer makes into lines, and offers those that are not behind us.
class KafkaFeed::EventLines final : public LineConsumer {
 public:
  EventLines(KafkaFeed& feed, const Record& record, KafkaTaker& taker)
      : feed_(feed), record_(record), taker_(taker) {}

  Status consume(std::string_view lines) override {
    while (!lines.empty()) {
      const std::size_t end = lines.find('\n');
      keep(lines.substr(0, end));
      if (end == std::string_view::npos) return {};
      if (index_ >= feed_.place_.event && !offer()) return fail(ErrorKind::retry, "full");
      index_++;
      line_.clear();
      bytes_ = 0;
      lines.remove_prefix(end + 1);
    }
    return {};
  }

 private:
  void keep(std::string_view piece) {
    bytes_ += piece.size();
    if (bytes_ <= feed_.options_.message_bytes_max && index_ >= feed_.place_.event) line_ += piece;
  }

  bool offer() {
    feed_.place_.event = index_;
    const bool taken = bytes_ > feed_.options_.message_bytes_max
                           ? taker_.take_too_large(feed_.place_, record_, bytes_)
                           : feed_.offer_message(record_, id_of(line_), as_bytes(line_), taker_);
    if (taken) feed_.place_.event = index_ + 1;
    return taken;
  }

  KafkaFeed& feed_;
  const Record& record_;
  KafkaTaker& taker_;
  std::string line_;
  std::size_t bytes_ = 0;
  std::size_t index_ = 0;  // Of the event in hand.
};

void KafkaFeed::offer(KafkaTaker& taker) {
  while (!at_end()) {
    if (!offer_record(batch_.records[place_.record], taker)) return;
    place_ = {.record = place_.record + 1, .event = 0};
  }
}

bool KafkaFeed::offer_record(const Record& record, KafkaTaker& taker) {
  describe(record);
  if (options_.events == KafkaEvents::event) return offer_events(record, taker);
  return offer_message(record, id_, record.body, taker);
}

bool KafkaFeed::offer_events(const Record& record, KafkaTaker& taker) {
  const auto format = options_.formats.find(record.stream);
  EventLines lines(*this, record, taker);
  LineBuffer buffer(lines);
  events_.append(record, batch_.journal_id,
                 format == options_.formats.end() ? BodyFormat::raw : format->second, buffer);
  return buffer.flush().has_value();
}

bool KafkaFeed::offer_message(const Record& record, std::string_view id, Bytes value,
                              KafkaTaker& taker) {
  headers_[0] = {"inlet-id", id};
  const KafkaMessage message{.key = key_of(id),
                             .value = value,
                             .copy = options_.events == KafkaEvents::event,
                             .received_us = record.received_us,
                             .headers = {headers_.data(), headers_count_}};
  return taker.take(place_, record, message);
}

std::string_view KafkaFeed::key_of(std::string_view id) const {
  switch (options_.key) {
    case KafkaKey::stream: return route_key_;
    case KafkaKey::id: return id;
    case KafkaKey::none: return {};
  }
  std::unreachable();
}

// An event says in its envelope what these headers say of a record.
void KafkaFeed::describe(const Record& record) {
  headers_count_ = 0;
  add_header("inlet-id", "id");  // Each message has its own; never left out.
  if (record.tenant != tenant_ || record.stream != stream_ || route_key_.empty()) {
    tenant_ = record.tenant;
    stream_ = record.stream;
    route_key_ = fmt::format("{}/{}", tenant_, stream_);
  }
  if (options_.events == KafkaEvents::event) return;
  id_ = record_id(batch_.journal_id, record.sequence);
  received_at_.clear();
  append_rfc3339(received_at_, record.received_us);
  add_header("inlet-tenant", record.tenant);
  add_header("inlet-stream", record.stream);
  add_header("inlet-received-at", received_at_);
  add_header("content-type", record.content_type);
  add_header("content-encoding", record.content_encoding);
  add_header("trace", record.trace_id);
  add_header("request-id", record.request_id);
  add_header("idempotency-key", record.idempotency_key);
  add_header("peer", record.peer);
}

void KafkaFeed::add_header(std::string_view name, std::string_view value) {
  if (!value.empty()) headers_[headers_count_++] = {name, value};
}

}  // namespace inlet::sinks
