// Goal: every record arrives in the order of its stream or is rejected with a reason, whatever the
//   brokers answer; a transaction arrives whole, and once.
// Method: librdkafka's mock cluster, which answers with the errors it is told; everything read back
//   by a consumer. What only a real broker does (aborted transactions, limits, restarts) is in
//   tests/test_sink_kafka.py.

#include "sinks/kafka_sink.h"

#include <gtest/gtest.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include <algorithm>
#include <deque>
#include <map>
#include <set>
#include <vector>

#include "base/names.h"

namespace inlet::sinks {
namespace {

constexpr std::int16_t add_partitions_request = 24, produce_request = 0, offset_fetch_request = 9,
                       init_producer_id_request = 22, end_txn_request = 26;
constexpr Microseconds patience_us = 30'000'000;
constexpr std::uint64_t journal_id = 0xabc;

struct Message {
  std::string key;
  std::string value;
  std::int32_t partition;
  std::map<std::string, std::string> headers;
};

Message copy_of(const rd_kafka_message_t& message) {
  Message copy{.key = {static_cast<const char*>(message.key), message.key_len},
               .value = {static_cast<const char*>(message.payload), message.len},
               .partition = message.partition,
               .headers = {}};
  rd_kafka_headers_t* headers = nullptr;
  if (rd_kafka_message_headers(&message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR) return copy;
  const char* name = nullptr;
  const void* value = nullptr;
  std::size_t bytes = 0;
  for (std::size_t i = 0; rd_kafka_header_get_all(headers, i, &name, &value, &bytes) == 0; i++) {
    copy.headers[name] = {static_cast<const char*>(value), bytes};
  }
  return copy;
}

class Cluster {
 public:
  explicit Cluster(int brokers = 1) {
    rd_kafka_conf_t* config = rd_kafka_conf_new();
    char why[256];
    host_ = rd_kafka_new(RD_KAFKA_PRODUCER, config, why, sizeof why);
    mock_ = rd_kafka_mock_cluster_new(host_, brokers);
    create("inlet-cursors", 1);
  }
  ~Cluster() {
    rd_kafka_mock_cluster_destroy(mock_);
    rd_kafka_destroy(host_);
  }

  std::string brokers() const { return rd_kafka_mock_cluster_bootstraps(mock_); }
  void create(const char* topic, int partitions) {
    ASSERT_EQ(rd_kafka_mock_topic_create(mock_, topic, partitions, 1), 0);
  }
  void down() { ASSERT_EQ(rd_kafka_mock_broker_set_down(mock_, 1), 0); }
  void up() { ASSERT_EQ(rd_kafka_mock_broker_set_up(mock_, 1), 0); }
  void clear_failures(std::int16_t request) { rd_kafka_mock_clear_request_errors(mock_, request); }
  void set_error(const char* topic, rd_kafka_resp_err_t error) {
    rd_kafka_mock_topic_set_error(mock_, topic, error);
  }
  void fail(std::int16_t request, std::vector<rd_kafka_resp_err_t> errors) {
    rd_kafka_mock_push_request_errors_array(mock_, request, errors.size(), errors.data());
  }

  void commit_cursor(const char* group, const KafkaCursor& cursor) {
    rd_kafka_t* consumer = make_consumer(group);
    rd_kafka_topic_partition_list_t* list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_t* offset =
        rd_kafka_topic_partition_list_add(list, "inlet-cursors", 0);
    const std::string metadata = *kafka_cursor_metadata(cursor);
    offset->offset = static_cast<std::int64_t>(cursor.next);
    offset->metadata = ::strdup(metadata.c_str());
    offset->metadata_size = metadata.size();
    EXPECT_EQ(rd_kafka_commit(consumer, list, 0), RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_consumer_close(consumer);
    rd_kafka_destroy(consumer);
  }

  // All messages of the topic by partition, at the end of each.
  std::vector<Message> read(const char* topic, int partitions) {
    rd_kafka_t* consumer = make_consumer("reader");
    rd_kafka_topic_partition_list_t* list = rd_kafka_topic_partition_list_new(partitions);
    for (int i = 0; i < partitions; i++) {
      rd_kafka_topic_partition_list_add(list, topic, i)->offset = RD_KAFKA_OFFSET_BEGINNING;
    }
    rd_kafka_assign(consumer, list);
    rd_kafka_topic_partition_list_destroy(list);
    std::vector<Message> messages;
    int ends = 0;
    SystemClock clock;
    const Microseconds until = clock.steady_us() + patience_us;
    while (ends < partitions && clock.steady_us() < until) {
      rd_kafka_message_t* message = rd_kafka_consumer_poll(consumer, 100);
      if (message == nullptr) continue;
      if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) ends++;
      if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) messages.push_back(copy_of(*message));
      rd_kafka_message_destroy(message);
    }
    EXPECT_EQ(ends, partitions) << "the topic could not be read to its end";
    rd_kafka_consumer_close(consumer);
    rd_kafka_destroy(consumer);
    return messages;
  }

 private:
  rd_kafka_t* make_consumer(const std::string& group) const {
    rd_kafka_conf_t* config = rd_kafka_conf_new();
    char why[256];
    for (const auto& [name, value] :
         std::map<std::string, std::string>{{"bootstrap.servers", brokers()},
                                            {"group.id", group},
                                            {"enable.partition.eof", "true"},
                                            {"enable.auto.commit", "false"}}) {
      EXPECT_EQ(rd_kafka_conf_set(config, name.c_str(), value.c_str(), why, sizeof why),
                RD_KAFKA_CONF_OK);
    }
    return rd_kafka_new(RD_KAFKA_CONSUMER, config, why, sizeof why);
  }

  rd_kafka_t* host_;
  rd_kafka_mock_cluster_t* mock_;
};

class KafkaSinkTest : public testing::Test {
 protected:
  KafkaSinkTest() {
    options_.brokers = cluster_.brokers();
    options_.topic = "t";
    options_.timeout_us = 5'000'000;
    cluster_.create("t", 4);
  }

  void add(std::string body, std::string_view stream = "web", std::string_view type = "") {
    bodies_.push_back(std::move(body));
    records_.push_back({.sequence = records_.size() + 1,
                        .received_us = 1'700'000'000'000'000,
                        .tenant = "acme",
                        .stream = stream,
                        .content_type = type,
                        .body = as_bytes(bodies_.back())});
  }
  void add_numbers(std::size_t count) {
    for (std::size_t i = 0; i < count; i++) {
      add(std::to_string(records_.size()), streams_[i % streams_.size()]);
    }
  }
  // The records from `from` on.
  Batch batch(std::size_t from = 0) const {
    return {.name = {.node = "n-abc", .first = from + 1, .last = records_.size()},
            .journal_id = journal_id,
            .records = std::span(records_).subspan(from)};
  }

  std::unique_ptr<KafkaSink> make() {
    auto made = KafkaSink::create(clock_, options_);
    EXPECT_TRUE(made) << made.error().what;
    return made ? std::move(*made) : nullptr;
  }
  void make_transactional() {
    options_.transactional = true;
    options_.transactional_id = "inlet-n-bus";
  }

  Delivery deliver(Sink& sink, const Batch& what) {
    sink.start(what);
    const Microseconds until = clock_.steady_us() + patience_us;
    while (clock_.steady_us() < until) {
      if (auto answer = sink.finish(20'000)) {
        EXPECT_EQ(answer->first, what.name.first);
        return answer->delivery;
      }
    }
    ADD_FAILURE() << "no answer";
    return {.outcome = Outcome::retry, .why = "no answer"};
  }
  // Repeats as a shipper would.
  Delivery deliver_at_last(Sink& sink, const Batch& what) {
    Delivery delivery;
    const Microseconds until = clock_.steady_us() + patience_us;
    while (clock_.steady_us() < until) {
      delivery = deliver(sink, what);
      if (delivery.outcome == Outcome::delivered) return delivery;
      clock_.sleep(50'000);
    }
    ADD_FAILURE() << delivery.why;
    return delivery;
  }

  std::vector<std::string> values(std::string_view stream) {
    std::vector<std::string> found;
    for (const Message& message : cluster_.read("t", 4)) {
      if (message.key == "acme/" + std::string(stream)) found.push_back(message.value);
    }
    return found;
  }
  // Every record once, in order, but those in `missing`.
  void expect_all(const std::set<std::uint64_t>& missing = {}) {
    const auto messages = cluster_.read("t", 4);
    std::map<std::string, std::vector<std::string>> found;
    std::map<std::string, std::vector<std::string>> expected;
    for (const Message& message : messages) found[message.key].push_back(message.value);
    for (std::size_t i = 0; i < records_.size(); i++) {
      if (missing.contains(records_[i].sequence)) continue;
      expected["acme/" + std::string(records_[i].stream)].push_back(bodies_[i]);
    }
    EXPECT_EQ(found, expected);
  }

  SystemClock clock_;
  Cluster cluster_;
  KafkaSinkOptions options_;
  std::deque<std::string> bodies_;
  std::vector<Record> records_;
  std::vector<std::string_view> streams_ = {"a", "b", "c"};
};

TEST_F(KafkaSinkTest, records_arrive_as_they_are_and_in_order) {
  add(std::string("\0\xff\n", 3));
  add("");
  add_numbers(500);
  const auto sink = make();
  const Delivery delivery = deliver(*sink, batch());
  EXPECT_EQ(delivery.outcome, Outcome::delivered) << delivery.why;
  EXPECT_TRUE(delivery.rejected.empty());
  expect_all();
  const auto messages = cluster_.read("t", 4);
  std::map<std::string, std::set<std::int32_t>> partitions;
  for (const Message& message : messages) partitions[message.key].insert(message.partition);
  for (const auto& [key, used] : partitions) EXPECT_EQ(used.size(), 1U) << key;
  for (const Message& message : messages) {
    if (message.value == "7") {
      EXPECT_EQ(message.headers.at("inlet-id"), record_id(journal_id, 8));
    }
  }
}

TEST_F(KafkaSinkTest, without_keys_a_stream_stays_in_one_partition) {
  options_.key = KafkaKey::none;
  add_numbers(300);
  const auto sink = make();
  EXPECT_EQ(deliver(*sink, batch()).outcome, Outcome::delivered);
  std::map<std::string, std::vector<int>> numbers;
  std::map<std::string, std::set<std::int32_t>> partitions;
  for (const Message& message : cluster_.read("t", 4)) {
    EXPECT_EQ(message.key, "");
    const std::string& stream = message.headers.at("inlet-stream");
    partitions[stream].insert(message.partition);
    numbers[stream].push_back(std::stoi(message.value));
  }
  ASSERT_EQ(numbers.size(), 3U);
  for (const auto& [stream, list] : numbers) {
    EXPECT_EQ(list.size(), 100U);
    EXPECT_TRUE(std::ranges::is_sorted(list)) << stream;
    EXPECT_EQ(partitions[stream].size(), 1U) << stream;
  }
}

TEST_F(KafkaSinkTest, a_body_of_more_events_than_fit_arrives_whole) {
  options_.events = KafkaEvents::event;
  const int count = 45'000;
  std::string lines;
  for (int i = 0; i < count; i++) lines += std::to_string(i) + "\n";
  add(lines, "web", "application/x-ndjson");
  const auto sink = make();
  const Delivery delivery = deliver(*sink, batch());
  EXPECT_EQ(delivery.outcome, Outcome::delivered) << delivery.why;
  const auto found = values("web");
  ASSERT_EQ(found.size(), static_cast<std::size_t>(count));
  for (int i = 0; i < count; i++) {
    ASSERT_TRUE(
        found[static_cast<std::size_t>(i)].ends_with("\"data\":" + std::to_string(i) + "}"));
  }
}

TEST_F(KafkaSinkTest, what_is_too_large_or_has_no_topic_is_rejected_and_the_rest_arrives) {
  options_.message_bytes_max = 2000;
  options_.topic = "t{stream}" + std::string(240, 'x');
  add("1", "ok");
  add(std::string(2000, 'x'), "ok");
  add("3", "this-name-is-too-long-here");
  records_.push_back(records_[0]);
  records_.back().sequence = 4;
  records_.back().stream = "Not/A/Name";
  const auto sink = make();
  const Delivery delivery = deliver(*sink, batch());
  EXPECT_EQ(delivery.outcome, Outcome::delivered) << delivery.why;
  ASSERT_EQ(delivery.rejected.size(), 3U);
  EXPECT_EQ(delivery.rejected[0].sequence, 2U);
  EXPECT_NE(delivery.rejected[0].why.find("message_bytes"), std::string::npos);
  EXPECT_EQ(delivery.rejected[1].sequence, 3U);
  EXPECT_NE(delivery.rejected[1].why.find("not a valid name of a topic"), std::string::npos);
  EXPECT_EQ(delivery.rejected[2].sequence, 4U);
}

TEST_F(KafkaSinkTest, a_broker_that_is_down_is_waited_for_and_nothing_is_lost) {
  cluster_.down();
  options_.timeout_us = 1'000'000;
  add_numbers(200);
  const auto sink = make();
  const Delivery delivery = deliver(*sink, batch());
  EXPECT_EQ(delivery.outcome, Outcome::retry);
  EXPECT_NE(delivery.why.find("Kafka took nothing for 1 s"), std::string::npos) << delivery.why;
  cluster_.up();
  deliver_at_last(*sink, batch());
  expect_all();
}

TEST_F(KafkaSinkTest, a_topic_that_vanishes_under_its_messages_does_not_hold_the_batch_for_ever) {
  make_transactional();
  options_.timeout_us = 1'000'000;
  options_.properties = {"topic.metadata.refresh.interval.ms=100"};
  add_numbers(100);
  // The partitions never get into the transaction, and then they are gone.
  cluster_.fail(add_partitions_request,
                std::vector(1000, RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS));
  const auto sink = make();
  sink->start(batch());
  EXPECT_FALSE(sink->finish(900'000));
  cluster_.set_error("t", RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
  std::optional<Answer> answer;
  for (int i = 0; i < 200 && !answer; i++) answer = sink->finish(100'000);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->delivery.outcome, Outcome::retry);
  cluster_.clear_failures(add_partitions_request);
  cluster_.set_error("t", RD_KAFKA_RESP_ERR_NO_ERROR);
  deliver_at_last(*sink, batch());
  expect_all();
}

TEST_F(KafkaSinkTest, passing_trouble_is_none_of_the_shippers_business) {
  add_numbers(100);
  const auto sink = make();
  cluster_.fail(produce_request,
                {RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
                 RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT});
  const Delivery delivery = deliver(*sink, batch());
  EXPECT_EQ(delivery.outcome, Outcome::delivered) << delivery.why;
  expect_all();
}

TEST_F(KafkaSinkTest, a_refused_set_is_taken_apart_and_no_innocent_is_rejected) {
  add_numbers(300);
  const auto sink = make();
  cluster_.fail(produce_request, {RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE});
  const Delivery delivery = deliver(*sink, batch());
  EXPECT_EQ(delivery.outcome, Outcome::delivered) << delivery.why;
  EXPECT_TRUE(delivery.rejected.empty());
  expect_all();
}

TEST_F(KafkaSinkTest, the_message_at_fault_is_found_and_rejected_alone) {
  streams_ = {"web"};
  add_numbers(300);
  const auto sink = make();
  // The set that the first is in, and then the first alone.
  cluster_.fail(produce_request,
                {RD_KAFKA_RESP_ERR_INVALID_RECORD, RD_KAFKA_RESP_ERR_INVALID_RECORD});
  const Delivery delivery = deliver(*sink, batch());
  EXPECT_EQ(delivery.outcome, Outcome::delivered) << delivery.why;
  ASSERT_EQ(delivery.rejected.size(), 1U);
  EXPECT_EQ(delivery.rejected[0].sequence, 1U);
  EXPECT_NE(delivery.rejected[0].why.find("Kafka refused a message of 1 bytes"), std::string::npos);
  expect_all({1});
  // And the next batch goes its usual way.
  add("more");
  EXPECT_EQ(deliver(*sink, batch(300)).outcome, Outcome::delivered);
  expect_all({1});
}

TEST_F(KafkaSinkTest,
       a_fault_of_the_configuration_is_retried_and_only_what_is_missing_is_sent_again) {
  const auto sink = make();
  for (const auto error :
       {RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, RD_KAFKA_RESP_ERR_POLICY_VIOLATION,
        RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, RD_KAFKA_RESP_ERR_INVALID_REQUIRED_ACKS}) {
    const std::size_t from = records_.size();
    add_numbers(200);
    cluster_.fail(produce_request, {error});
    const Delivery delivery = deliver(*sink, batch(from));
    EXPECT_EQ(delivery.outcome, Outcome::retry) << rd_kafka_err2name(error);
    EXPECT_FALSE(delivery.why.empty());
    deliver_at_last(*sink, batch(from));
  }
  expect_all();
}

TEST_F(KafkaSinkTest, what_is_given_up_can_come_again) {
  add_numbers(15'000);
  const auto sink = make();
  for (int round = 0; round < 5; round++) {
    sink->start(batch());
    static_cast<void>(sink->finish(round * 1'000));
    sink->abandon();
    EXPECT_FALSE(sink->finish(0));
  }
  deliver_at_last(*sink, batch());
  // What was on the wire may be there twice; the first of each is in order.
  std::map<std::string, std::vector<int>> first;
  std::set<std::string> seen;
  for (const Message& message : cluster_.read("t", 4)) {
    if (seen.insert(message.value).second) first[message.key].push_back(std::stoi(message.value));
  }
  EXPECT_EQ(seen.size(), records_.size());
  for (const auto& [key, numbers] : first) EXPECT_TRUE(std::ranges::is_sorted(numbers)) << key;
}

TEST_F(KafkaSinkTest, a_sink_that_is_destroyed_in_the_middle_lets_go) {
  add_numbers(5'000);
  for (int round = 0; round < 3; round++) {
    const auto sink = make();
    sink->start(batch());
    static_cast<void>(sink->finish(round * 2'000));
  }
}

TEST_F(KafkaSinkTest, what_kafkas_cursor_has_passed_is_not_sent_again) {
  make_transactional();
  add_numbers(100);
  // As a life before left it that died after the commit.
  cluster_.commit_cursor("inlet-n-bus", {.journal_id = journal_id, .next = 101, .rejected = {7}});
  const Delivery delivery = deliver_at_last(*make(), batch());
  ASSERT_EQ(delivery.rejected.size(), 1U);
  EXPECT_EQ(delivery.rejected[0].sequence, 7U);
  EXPECT_TRUE(cluster_.read("t", 4).empty());
}

TEST_F(KafkaSinkTest, only_what_is_behind_kafkas_cursor_is_sent) {
  make_transactional();
  add_numbers(100);
  cluster_.commit_cursor("inlet-n-bus", {.journal_id = journal_id, .next = 61, .rejected = {7}});
  EXPECT_TRUE(deliver_at_last(*make(), batch()).rejected.empty());
  std::set<std::uint64_t> passed;
  for (std::uint64_t sequence = 1; sequence <= 60; sequence++) passed.insert(sequence);
  expect_all(passed);
}

TEST_F(KafkaSinkTest, a_cursor_whose_coordinator_moves_is_read_all_the_same) {
  make_transactional();
  add_numbers(10);
  cluster_.commit_cursor("inlet-n-bus", {.journal_id = journal_id, .next = 11, .rejected = {7}});
  cluster_.fail(offset_fetch_request,
                {RD_KAFKA_RESP_ERR_NOT_COORDINATOR, RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE,
                 RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS});
  EXPECT_EQ(deliver_at_last(*make(), batch()).rejected.size(), 1U);
}

TEST_F(KafkaSinkTest, a_cursor_of_another_journal_means_nothing) {
  make_transactional();
  add_numbers(10);
  cluster_.commit_cursor("inlet-n-bus", {.journal_id = 0xdef, .next = 61, .rejected = {7}});
  EXPECT_TRUE(deliver_at_last(*make(), batch()).rejected.empty());
  expect_all();
}

TEST_F(KafkaSinkTest, transactions_that_fail_are_repeated) {
  make_transactional();
  const auto sink = make();
  add_numbers(10);
  cluster_.fail(init_producer_id_request, {RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE,
                                           RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS});
  EXPECT_EQ(deliver_at_last(*sink, batch()).outcome, Outcome::delivered);
  cluster_.fail(end_txn_request, {RD_KAFKA_RESP_ERR_INVALID_TXN_STATE});
  add_numbers(10);
  const Delivery delivery = deliver(*sink, batch(10));
  EXPECT_EQ(delivery.outcome, Outcome::retry);
  EXPECT_NE(delivery.why.find("could not commit"), std::string::npos) << delivery.why;
  EXPECT_EQ(deliver_at_last(*sink, batch(10)).outcome, Outcome::delivered);
}

TEST_F(KafkaSinkTest, a_transaction_with_a_message_at_fault_arrives_without_it) {
  make_transactional();
  const auto sink = make();
  streams_ = {"web"};
  add_numbers(50);
  EXPECT_EQ(deliver_at_last(*sink, batch()).outcome, Outcome::delivered);
  add_numbers(50);
  cluster_.fail(produce_request,
                {RD_KAFKA_RESP_ERR_INVALID_RECORD, RD_KAFKA_RESP_ERR_INVALID_RECORD});
  const Delivery delivery = deliver_at_last(*sink, batch(50));
  ASSERT_EQ(delivery.rejected.size(), 1U);
  EXPECT_EQ(delivery.rejected[0].sequence, 51U);
}

TEST_F(KafkaSinkTest, options_that_cannot_work_are_refused_at_the_start) {
  options_.tls = true;
  options_.ca_file = "/no/such/file.pem";
  const auto made = KafkaSink::create(clock_, options_);
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().kind, ErrorKind::reject);
}

TEST(KafkaCursor, metadata_reads_back_and_garbage_is_nothing) {
  const KafkaCursor cursor{.journal_id = 0xabc, .next = 77, .rejected = {5, 0x1f, 76}};
  const auto text = kafka_cursor_metadata(cursor);
  ASSERT_TRUE(text);
  EXPECT_EQ(*text, "000000000abc 5,1f,4c");
  const auto back = parse_kafka_cursor(77, *text);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->journal_id, cursor.journal_id);
  EXPECT_EQ(back->next, cursor.next);
  EXPECT_EQ(back->rejected, cursor.rejected);
  EXPECT_TRUE(parse_kafka_cursor(1, "000000000abc")->rejected.empty());
  for (const char* garbage : {"", "xyz", "abc 5,,6", "abc 5 x"}) {
    EXPECT_FALSE(parse_kafka_cursor(1, garbage)) << garbage;
  }
  EXPECT_FALSE(parse_kafka_cursor(-1001, "000000000abc"));
  KafkaCursor crowded = cursor;
  for (std::uint64_t i = 0; i < 3000; i++) crowded.rejected.push_back(i);
  EXPECT_FALSE(kafka_cursor_metadata(crowded));
}

}  // namespace
}  // namespace inlet::sinks
