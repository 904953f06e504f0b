#include "sinks/kafka_cursor.h"

#include <fmt/format.h>
#include <librdkafka/rdkafka.h>

#include <array>
#include <charconv>
#include <iterator>

#include "sinks/kafka_config.h"

namespace inlet::sinks {
namespace {

// Takes one hex number from the front of `text`.
std::optional<std::uint64_t> take_hex(std::string_view& text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (error != std::errc()) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return value;
}

// Whether asking again can help without anybody's doing.
bool is_transient(rd_kafka_resp_err_t error) {
  switch (error) {
    case RD_KAFKA_RESP_ERR__TIMED_OUT:
    case RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE:
    case RD_KAFKA_RESP_ERR__TRANSPORT:
    case RD_KAFKA_RESP_ERR__WAIT_COORD:
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
    case RD_KAFKA_RESP_ERR_NOT_COORDINATOR:
    case RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS:
    case RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT:
    case RD_KAFKA_RESP_ERR_UNSTABLE_OFFSET_COMMIT: return true;
    default: return false;
  }
}

}  // namespace

std::optional<std::string> kafka_cursor_metadata(const KafkaCursor& cursor) {
  std::string text = fmt::format("{:012x}", cursor.journal_id);
  char separator = ' ';
  for (const std::uint64_t sequence : cursor.rejected) {
    fmt::format_to(std::back_inserter(text), "{}{:x}", separator, sequence);
    if (text.size() > kafka_metadata_bytes_max) return std::nullopt;
    separator = ',';
  }
  return text;
}

std::optional<KafkaCursor> parse_kafka_cursor(std::int64_t offset, std::string_view metadata) {
  if (offset < 0) return std::nullopt;
  const auto journal_id = take_hex(metadata);
  if (!journal_id) return std::nullopt;
  KafkaCursor cursor{.journal_id = *journal_id, .next = static_cast<std::uint64_t>(offset)};
  while (!metadata.empty()) {
    metadata.remove_prefix(1);
    const auto sequence = take_hex(metadata);
    if (!sequence) return std::nullopt;
    cursor.rejected.push_back(*sequence);
  }
  return cursor;
}

Result<std::unique_ptr<KafkaCursorReader>> KafkaCursorReader::create(
    const KafkaSinkOptions& options, KafkaLog& log) {
  auto config = make_kafka_reader_config(options);
  if (!config) return fail(config);
  std::unique_ptr<KafkaCursorReader> reader(new KafkaCursorReader(options, log));
  rd_kafka_conf_set_opaque(config->get(), &log);
  rd_kafka_conf_set_log_cb(config->get(), KafkaLog::callback);
  std::array<char, 512> why{};
  reader->handle_ = rd_kafka_new(RD_KAFKA_CONSUMER, config->get(), why.data(), why.size());
  if (reader->handle_ == nullptr) {
    return fail(ErrorKind::reject, fmt::format("librdkafka refuses to start: {}", why.data()));
  }
  static_cast<void>(config->release());  // It is the reader's now.
  return reader;
}

KafkaCursorReader::~KafkaCursorReader() {
  // It never joined its group, so there is nothing to leave.
  if (handle_ != nullptr) rd_kafka_destroy_flags(handle_, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
}

Result<bool> KafkaCursorReader::read() {
  rd_kafka_poll(handle_, 0);
  struct Free {
    void operator()(rd_kafka_topic_partition_list_t* list) const {
      rd_kafka_topic_partition_list_destroy(list);
    }
  };
  const std::unique_ptr<rd_kafka_topic_partition_list_t, Free> list(
      rd_kafka_topic_partition_list_new(1));
  const rd_kafka_topic_partition_t& found =
      *rd_kafka_topic_partition_list_add(list.get(), options_.cursor_topic.c_str(), 0);
  rd_kafka_resp_err_t error =
      rd_kafka_committed(handle_, list.get(), static_cast<int>(read_us_max / 1000));
  if (error == RD_KAFKA_RESP_ERR_NO_ERROR) error = found.err;
  if (is_transient(error)) return false;
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) {
    return fail(ErrorKind::retry, fmt::format("Kafka could not read the cursor of {}: {}",
                                              options_.transactional_id, rd_kafka_err2str(error)));
  }
  cursor_ = parse_kafka_cursor(found.offset,
                               {static_cast<const char*>(found.metadata), found.metadata_size});
  return true;
}

}  // namespace inlet::sinks
