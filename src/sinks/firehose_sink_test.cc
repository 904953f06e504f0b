// Goal: what goes to Firehose is what PutRecordBatch asks for, and its own limits hold.
// Method: the sink with a service in memory that keeps the calls.

#include "sinks/firehose_sink.h"

#include <gtest/gtest.h>

#include "sinks/put_service_fake.h"

namespace inlet::sinks {
namespace {

constexpr Microseconds long_us = 1'000'000;

class FirehoseSinkTest : public testing::Test {
 protected:
  void make(const FirehoseSinkOptions& options) {
    auto client = std::make_unique<FakeService>();
    service_ = client.get();
    sink_ = std::make_unique<FirehoseSink>(std::move(client), options);
  }
  Delivery deliver(const std::vector<Record>& records) {
    sink_->start({.name = {.node = "n", .first = 1, .last = records.size()},
                  .journal_id = 0xabc,
                  .records = records});
    while (true) {
      if (auto answer = sink_->finish(long_us)) return std::move(answer->delivery);
    }
  }

  FakeService* service_ = nullptr;
  std::unique_ptr<FirehoseSink> sink_;
};

Record record(std::uint64_t sequence, std::string_view body) {
  return {.sequence = sequence,
          .received_us = 1'700'000'000'000'000,
          .tenant = "acme",
          .stream = "a",
          .content_type = "application/json",
          .body = as_bytes(body)};
}

TEST_F(FirehoseSinkTest, a_call_is_put_record_batch_with_one_line_per_event) {
  make({.delivery_stream = "to-{tenant}", .envelope = false});
  ASSERT_EQ(deliver({record(1, "[1,2]")}).outcome, Outcome::delivered);
  const aws::Call& call = service_->seen().at(0).call;
  EXPECT_EQ(call.service, "firehose");
  EXPECT_EQ(call.url, "https://firehose.eu-west-1.amazonaws.com/");
  const fetch::Headers headers{{"Content-Type", "application/x-amz-json-1.1"},
                               {"X-Amz-Target", "Firehose_20150804.PutRecordBatch"}};
  EXPECT_EQ(call.headers, headers);
  EXPECT_EQ(call.body,
            R"({"DeliveryStreamName":"to-acme","Records":[{"Data":"MQo="},{"Data":"Mgo="}]})");
}

TEST_F(FirehoseSinkTest, lines_stand_in_the_envelope_and_join_to_ndjson) {
  make({.delivery_stream = "d"});
  ASSERT_EQ(deliver({record(1, "1"), record(2, "2")}).outcome, Outcome::delivered);
  EXPECT_EQ(service_->stored_data().at(1),
            R"({"id":"000000000abc-000000000002","tenant":"acme","stream":"a",)"
            R"("received_at":"2023-11-14T22:13:20.000000Z","data":2})"
            "\n");
}

TEST_F(FirehoseSinkTest, a_line_of_1000_kib_is_the_largest) {
  make({.delivery_stream = "d", .envelope = false});
  const std::string largest(firehose_record_bytes_max - 1, '1');  // And its line feed.
  const std::string larger = largest + "1";
  const Delivery delivery = deliver({record(1, largest), record(2, larger), record(3, "3")});
  EXPECT_EQ(delivery.outcome, Outcome::delivered);
  ASSERT_EQ(delivery.rejected.size(), 1U);
  EXPECT_EQ(delivery.rejected[0].sequence, 2U);
  EXPECT_EQ(delivery.rejected[0].why,
            "an event of 1024001 bytes is larger than the 1024000 that firehose takes");
  EXPECT_EQ(service_->stored_data().size(), 2U);
}

TEST_F(FirehoseSinkTest, requests_stay_below_4_mb_as_they_are_sent) {
  make({.delivery_stream = "d", .envelope = false});
  const std::string body(700'000, '1');
  std::vector<Record> records;
  for (std::uint64_t i = 1; i <= 20; i++) records.push_back(record(i, body));
  EXPECT_EQ(deliver(records).outcome, Outcome::delivered);
  EXPECT_EQ(service_->requests(), 5U);
  for (const auto& seen : service_->seen()) EXPECT_LE(seen.call.body.size(), 4'000'300U);
}

TEST_F(FirehoseSinkTest, records_that_failed_are_sent_again_and_others_not) {
  make({.delivery_stream = "d", .envelope = false});
  const std::vector<Record> records{record(1, "1"), record(2, "2"), record(3, "3")};
  service_->fail_once({"2\n"}, "ServiceUnavailableException");
  const Delivery first = deliver(records);
  EXPECT_EQ(first.outcome, Outcome::slow_down);
  EXPECT_EQ(first.why, "firehose d: ServiceUnavailableException: no luck");
  EXPECT_EQ(deliver(records).outcome, Outcome::delivered);
  EXPECT_EQ(service_->stored_data(), (std::vector<std::string>{"1\n", "3\n", "2\n"}));
}

TEST(FirehoseSinkOptionsTest, what_cannot_work_is_named) {
  EXPECT_TRUE(check(FirehoseSinkOptions{.delivery_stream = "d-{stream}"}));
  EXPECT_FALSE(check(FirehoseSinkOptions{}));
  EXPECT_FALSE(check(FirehoseSinkOptions{.delivery_stream = "{steam}"}));
}

}  // namespace
}  // namespace inlet::sinks
