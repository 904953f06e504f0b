#include "sinks/kafka_transaction.h"

#include <fmt/format.h>
#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "base/check.h"
#include "base/log.h"

namespace inlet::sinks {
namespace {

constexpr int request_ms_max = 10'000;

struct FreeError {
  void operator()(rd_kafka_error_t* error) const { rd_kafka_error_destroy(error); }
};
using KafkaError = std::unique_ptr<rd_kafka_error_t, FreeError>;

struct FreePartitions {
  void operator()(rd_kafka_topic_partition_list_t* list) const {
    rd_kafka_topic_partition_list_destroy(list);
  }
};
using Partitions = std::unique_ptr<rd_kafka_topic_partition_list_t, FreePartitions>;

struct FreeOptions {
  void operator()(rd_kafka_AdminOptions_t* options) const {
    rd_kafka_AdminOptions_destroy(options);
  }
};
using AdminOptions = std::unique_ptr<rd_kafka_AdminOptions_t, FreeOptions>;

AdminOptions admin_options(rd_kafka_t* handle, rd_kafka_admin_op_t operation) {
  AdminOptions options(rd_kafka_AdminOptions_new(handle, operation));
  std::array<char, 256> why{};
  const auto set = rd_kafka_AdminOptions_set_request_timeout(options.get(), request_ms_max,
                                                             why.data(), why.size());
  CHECK(set == RD_KAFKA_RESP_ERR_NO_ERROR);
  return options;
}

}  // namespace

void KafkaTransaction::FreeQueue::operator()(rd_kafka_queue_t* queue) const {
  rd_kafka_queue_destroy(queue);
}
void KafkaTransaction::FreeEvent::operator()(rd_kafka_event_t* event) const {
  rd_kafka_event_destroy(event);
}

KafkaTransaction::KafkaTransaction(KafkaProducer& producer, const KafkaSinkOptions& options,
                                   KafkaLog& log)
    : producer_(producer),
      options_(options),
      log_(log),
      answers_(rd_kafka_queue_new(producer.handle())) {}

KafkaTransaction::~KafkaTransaction() = default;

std::unexpected<Error> KafkaTransaction::failed(std::string_view doing,
                                                std::string_view why) const {
  if (producer_.is_fenced()) {
    return fail(ErrorKind::retry, fmt::format("another instance took the transactional id {} over",
                                              options_.transactional_id));
  }
  return fail(ErrorKind::retry, fmt::format("Kafka could not {}: {}", doing, why));
}

Result<bool> KafkaTransaction::prepare(Microseconds wait_us) {
  producer_.poll(0);
  switch (stage_) {
    case Stage::take_over: return take_over(wait_us);
    case Stage::look: look_for_topic(); break;
    case Stage::create: create_topic(); break;
    case Stage::created: note_topic(wait_us); break;
    case Stage::read:
      if (const Status read = read_cursor(); !read) return fail(read);
      break;
    case Stage::ready: break;
  }
  return stage_ == Stage::ready;
}

// Called again it resumes, so short waits do no harm.
Result<bool> KafkaTransaction::take_over(Microseconds wait_us) {
  const int wait_ms = static_cast<int>(std::clamp<Microseconds>((wait_us + 999) / 1000, 1, 1000));
  const KafkaError error(rd_kafka_init_transactions(producer_.handle(), wait_ms));
  if (!error) {
    stage_ = Stage::look;
    return false;
  }
  if (rd_kafka_error_is_retriable(error.get()) != 0) return false;
  return failed("start transactions", rd_kafka_error_string(error.get()));
}

// Offsets are committed only for topics that exist. No message is ever in this one.
void KafkaTransaction::look_for_topic() {
  rd_kafka_topic_t* topic =
      rd_kafka_topic_new(producer_.handle(), options_.cursor_topic.c_str(), nullptr);
  if (topic == nullptr) return;
  const rd_kafka_metadata_t* found = nullptr;
  const auto error =
      rd_kafka_metadata(producer_.handle(), 0, topic, &found, static_cast<int>(look_us_max / 1000));
  rd_kafka_topic_destroy(topic);
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) return;
  const bool exists = found->topic_cnt == 1 && found->topics[0].err == RD_KAFKA_RESP_ERR_NO_ERROR;
  rd_kafka_metadata_destroy(found);
  stage_ = exists ? Stage::read : Stage::create;
}

void KafkaTransaction::create_topic() {
  const AdminOptions options = admin_options(producer_.handle(), RD_KAFKA_ADMIN_OP_CREATETOPICS);
  std::array<char, 256> why{};
  rd_kafka_NewTopic_t* topic =
      rd_kafka_NewTopic_new(options_.cursor_topic.c_str(), 1, -1, why.data(), why.size());
  CHECK(topic != nullptr);
  rd_kafka_CreateTopics(producer_.handle(), &topic, 1, options.get(), answers_.get());
  rd_kafka_NewTopic_destroy(topic);
  stage_ = Stage::created;
}

// Whether it exists is seen when offsets are committed; not to be allowed to create it is no fault.
void KafkaTransaction::note_topic(Microseconds wait_us) {
  const Event event(rd_kafka_queue_poll(
      answers_.get(), static_cast<int>(std::clamp<Microseconds>((wait_us + 999) / 1000, 0, 1000))));
  if (!event) return;
  stage_ = Stage::read;
  rd_kafka_resp_err_t error = rd_kafka_event_error(event.get());
  std::size_t count = 0;
  const auto* result = rd_kafka_event_CreateTopics_result(event.get());
  const auto* topics =
      result == nullptr ? nullptr : rd_kafka_CreateTopics_result_topics(result, &count);
  if (count > 0) error = rd_kafka_topic_result_error(topics[0]);
  if (error == RD_KAFKA_RESP_ERR_NO_ERROR || error == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) {
    return;
  }
  log_warn("kafka", "the cursor topic was not created",
           {{"topic", options_.cursor_topic}, {"why", rd_kafka_err2str(error)}});
}

Status KafkaTransaction::read_cursor() {
  if (!reader_) {
    auto made = KafkaCursorReader::create(options_, log_);
    if (!made) return fail(made);
    reader_ = std::move(*made);
  }
  const auto read = reader_->read();
  if (!read) return fail(read);
  if (!*read) return {};
  cursor_ = reader_->cursor();
  reader_.reset();
  stage_ = Stage::ready;
  return {};
}

Status KafkaTransaction::begin() {
  CHECK(stage_ == Stage::ready);
  const KafkaError error(rd_kafka_begin_transaction(producer_.handle()));
  if (!error) return {};
  return failed("begin a transaction", rd_kafka_error_string(error.get()));
}

Status KafkaTransaction::commit(const std::optional<KafkaCursor>& cursor) {
  const auto metadata = cursor ? kafka_cursor_metadata(*cursor) : std::nullopt;
  if (metadata) {
    if (const Status added = add_cursor(*cursor, *metadata); !added) return added;
  }
  const KafkaError error(
      rd_kafka_commit_transaction(producer_.handle(), static_cast<int>(commit_us_max / 1000)));
  if (!error) return {};
  return failed("commit the transaction", rd_kafka_error_string(error.get()));
}

Status KafkaTransaction::add_cursor(const KafkaCursor& cursor, const std::string& metadata) {
  const Partitions offsets(rd_kafka_topic_partition_list_new(1));
  rd_kafka_topic_partition_t& offset =
      *rd_kafka_topic_partition_list_add(offsets.get(), options_.cursor_topic.c_str(), 0);
  offset.offset = static_cast<std::int64_t>(cursor.next);
  offset.metadata = ::strdup(metadata.c_str());  // The list frees it.
  offset.metadata_size = metadata.size();
  rd_kafka_consumer_group_metadata_t* group =
      rd_kafka_consumer_group_metadata_new(options_.transactional_id.c_str());
  const KafkaError error(rd_kafka_send_offsets_to_transaction(
      producer_.handle(), offsets.get(), group, static_cast<int>(commit_us_max / 1000)));
  rd_kafka_consumer_group_metadata_destroy(group);
  if (!error) return {};
  return failed(fmt::format("keep the cursor in the topic {}", options_.cursor_topic),
                rd_kafka_error_string(error.get()));
}

}  // namespace inlet::sinks
