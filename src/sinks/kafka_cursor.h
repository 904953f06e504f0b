// kafka_cursor: how far a transactional sink has got, as Kafka knows it.
//
// It is the committed offset of a group that nobody consumes with: group = transactional id,
// topic = the cursor topic, partition 0; the offset is the sequence after the last batch. Its
// metadata is "JOURNAL SEQUENCE,SEQUENCE,…" in hex: the journal whose sequences these are, and the
// records of the last batch that were rejected: we may die between the commit and the dead letters.
//
// Read by a consumer of its own: a producer of librdkafka 2.0 that asks for a group's offsets
// crashes when the group's coordinator has just moved (no rk_cgrp in handle_OffsetFetch).
//
// One thread.

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "sinks/kafka_log.h"
#include "sinks/kafka_options.h"

struct rd_kafka_s;

namespace inlet::sinks {

struct KafkaCursor {
  std::uint64_t journal_id = 0;
  std::uint64_t next = 0;  // The sequence after the last batch.
  std::vector<std::uint64_t> rejected;
};

// Brokers keep 4096 bytes of metadata (offset.metadata.max.bytes).
inline constexpr std::size_t kafka_metadata_bytes_max = 4000;

// Empty if the list is too long to be kept.
[[nodiscard]] std::optional<std::string> kafka_cursor_metadata(const KafkaCursor& cursor);
// What an offset and its metadata mean; empty: nothing.
[[nodiscard]] std::optional<KafkaCursor> parse_kafka_cursor(std::int64_t offset,
                                                            std::string_view metadata);

class KafkaCursorReader {
 public:
  // References outlive the reader. Touches no network.
  [[nodiscard]] static Result<std::unique_ptr<KafkaCursorReader>> create(
      const KafkaSinkOptions& options, KafkaLog& log);
  KafkaCursorReader(const KafkaCursorReader&) = delete;
  KafkaCursorReader& operator=(const KafkaCursorReader&) = delete;
  ~KafkaCursorReader();

  // True once cursor() is what transactions that have ended left there; false: ask again. Waits at
  // most read_us_max.
  [[nodiscard]] Result<bool> read();
  [[nodiscard]] const std::optional<KafkaCursor>& cursor() const { return cursor_; }

  static constexpr Microseconds read_us_max = 500'000;

 private:
  KafkaCursorReader(const KafkaSinkOptions& options, KafkaLog& log)
      : options_(options), log_(log) {}

  const KafkaSinkOptions& options_;
  KafkaLog& log_;
  rd_kafka_s* handle_ = nullptr;
  std::optional<KafkaCursor> cursor_;
};

}  // namespace inlet::sinks
