// kafka_feed: a batch as a row of messages that can be left and taken up again anywhere.
//
// Nothing is kept per message: events are made again from their record where the row was left, so
// memory is one decoded body and one event, however many events a body holds.
//
// One thread.

#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "sinks/events.h"
#include "sinks/kafka_options.h"
#include "sinks/kafka_producer.h"
#include "sinks/sink.h"

namespace inlet::sinks {

// The place of a message in its batch: the record's index, and the event's in its record.
struct KafkaPlace {
  std::size_t record = 0;
  std::size_t event = 0;
  auto operator<=>(const KafkaPlace&) const = default;
};

class KafkaTaker {
 public:
  KafkaTaker() = default;
  KafkaTaker(const KafkaTaker&) = delete;
  KafkaTaker& operator=(const KafkaTaker&) = delete;
  virtual ~KafkaTaker() = default;

  // Whether the message is dealt with; false: the row stops here, and later begins here again.
  [[nodiscard]] virtual bool take(KafkaPlace place, const Record& record,
                                  const KafkaMessage& message) = 0;
  // The same for an event that is larger than a message may be, and never was one.
  [[nodiscard]] virtual bool take_too_large(KafkaPlace place, const Record& record,
                                            std::size_t bytes) = 0;
};

class KafkaFeed {
 public:
  // `options` outlive the feed.
  explicit KafkaFeed(const KafkaSinkOptions& options) : options_(options), events_(true) {}
  KafkaFeed(const KafkaFeed&) = delete;
  KafkaFeed& operator=(const KafkaFeed&) = delete;

  void start(const Batch& batch) {
    batch_ = batch;
    place_ = {};
  }
  void rewind(KafkaPlace to) { place_ = to; }
  [[nodiscard]] bool at_end() const { return place_.record >= batch_.records.size(); }

  // Offers messages until one is not taken, or all are.
  void offer(KafkaTaker& taker);

 private:
  class EventLines;

  [[nodiscard]] bool offer_record(const Record& record, KafkaTaker& taker);
  [[nodiscard]] bool offer_events(const Record& record, KafkaTaker& taker);
  [[nodiscard]] bool offer_message(const Record& record, std::string_view id, Bytes value,
                                   KafkaTaker& taker);
  [[nodiscard]] std::string_view key_of(std::string_view id) const;
  void describe(const Record& record);
  void add_header(std::string_view name, std::string_view value);

  const KafkaSinkOptions& options_;
  EventWriter events_;
  Batch batch_;
  KafkaPlace place_;

  // Of the record in hand.
  static constexpr std::size_t headers_max = 10;
  std::array<KafkaHeader, headers_max> headers_;
  std::size_t headers_count_ = 0;
  std::string id_;
  std::string received_at_;
  std::string tenant_;
  std::string stream_;
  std::string route_key_;  // Of these two.
};

}  // namespace inlet::sinks
