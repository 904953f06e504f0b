// Goal: what goes to Kinesis is what PutRecords asks for, and the options mean what they say.
// Method: the sink with a service in memory that keeps the calls.

#include "sinks/kinesis_sink.h"

#include <gtest/gtest.h>

#include "base/names.h"
#include "sinks/put_service_fake.h"

namespace inlet::sinks {
namespace {

constexpr Microseconds long_us = 1'000'000;
constexpr std::uint64_t journal = 0xabc;

class KinesisSinkTest : public testing::Test {
 protected:
  Delivery deliver(const KinesisSinkOptions& options, const std::vector<Record>& records) {
    auto client = std::make_unique<FakeService>();
    service_ = client.get();
    sink_ = std::make_unique<KinesisSink>(std::move(client), options);
    sink_->start({.name = {.node = "n", .first = 1, .last = records.size()},
                  .journal_id = journal,
                  .records = records});
    while (true) {
      if (auto answer = sink_->finish(long_us)) return std::move(answer->delivery);
    }
  }
  const FakeService::Seen& seen(std::size_t i = 0) const { return service_->seen().at(i); }

  FakeService* service_ = nullptr;
  std::unique_ptr<KinesisSink> sink_;
};

Record record(std::uint64_t sequence, std::string_view stream, std::string_view body) {
  return {.sequence = sequence,
          .received_us = 1'700'000'000'000'000,
          .tenant = "acme",
          .stream = stream,
          .content_type = "application/json",
          .body = as_bytes(body)};
}

TEST_F(KinesisSinkTest, a_call_is_put_records_with_one_record_per_event) {
  ASSERT_EQ(deliver({.stream = "in", .envelope = false},
                    {record(1, "a", R"([{"x":1},2])"), record(2, "b", "3")})
                .outcome,
            Outcome::delivered);
  const aws::Call& call = seen().call;
  EXPECT_EQ(call.service, "kinesis");
  EXPECT_EQ(call.method, "POST");
  EXPECT_EQ(call.url, "https://kinesis.eu-west-1.amazonaws.com/");
  const fetch::Headers headers{{"Content-Type", "application/x-amz-json-1.1"},
                               {"X-Amz-Target", "Kinesis_20131202.PutRecords"}};
  EXPECT_EQ(call.headers, headers);
  EXPECT_EQ(call.body,
            R"({"StreamName":"in","Records":[{"Data":"eyJ4IjoxfQ==","PartitionKey":"acme/a"},)"
            R"({"Data":"Mg==","PartitionKey":"acme/a"},{"Data":"Mw==","PartitionKey":"acme/b"}]})");
}

TEST_F(KinesisSinkTest, events_stand_in_the_envelope_without_a_line_feed) {
  ASSERT_EQ(deliver({.stream = "in"}, {record(1, "a", "{\"x\":\n1}")}).outcome, Outcome::delivered);
  EXPECT_EQ(service_->stored_data().at(0),
            R"({"id":"000000000abc-000000000001","tenant":"acme","stream":"a",)"
            R"("received_at":"2023-11-14T22:13:20.000000Z","data":{"x":1}})");
}

TEST_F(KinesisSinkTest, names_and_arns_are_filled_in) {
  ASSERT_EQ(deliver({.stream = "in-{tenant}-{stream}-{stream}"}, {record(1, "a", "1")}).outcome,
            Outcome::delivered);
  EXPECT_NE(seen().call.body.find(R"("StreamName":"in-acme-a-a")"), std::string::npos);
  KinesisSinkOptions options{.stream = "arn:aws:kinesis:eu-west-1:123456789012:stream/{stream}"};
  ASSERT_EQ(deliver(options, {record(1, "a", "1")}).outcome, Outcome::delivered);
  EXPECT_NE(
      seen().call.body.find(R"("StreamARN":"arn:aws:kinesis:eu-west-1:123456789012:stream/a")"),
      std::string::npos);
}

TEST_F(KinesisSinkTest, the_key_may_be_the_id_of_the_record) {
  KinesisSinkOptions options{.stream = "in", .partition_key = PartitionKey::id};
  options.envelope = false;
  ASSERT_EQ(deliver(options, {record(5, "a", "[1,2]")}).outcome, Outcome::delivered);
  EXPECT_EQ(service_->keys(), std::set<std::string>{record_id(journal, 5)});
  EXPECT_EQ(service_->stored_data(), (std::vector<std::string>{"1", "2"}));
}

TEST_F(KinesisSinkTest, an_endpoint_of_ones_own_and_a_timeout_are_used) {
  ASSERT_EQ(deliver({.stream = "in", .endpoint = "http://127.0.0.1:4567", .timeout_us = 77},
                    {record(1, "a", "1")})
                .outcome,
            Outcome::delivered);
  EXPECT_EQ(seen().call.url, "http://127.0.0.1:4567/");
  EXPECT_EQ(seen().call.timeout_us, 77);
}

TEST_F(KinesisSinkTest, larger_records_go_where_the_stream_takes_them_alone_above_5_mib) {
  const std::string large = "\"" + std::string(6U << 20, 'x') + "\"";
  KinesisSinkOptions options{.stream = "in"};
  options.envelope = false;
  const std::vector<Record> records{record(1, "a", "1"), record(2, "a", large),
                                    record(3, "a", "2")};
  const Delivery small = deliver(options, records);
  ASSERT_EQ(small.rejected.size(), 1U);
  EXPECT_EQ(small.rejected[0].sequence, 2U);
  EXPECT_EQ(service_->stored_data(), (std::vector<std::string>{"1", "2"}));
  options.record_bytes_max = kinesis_record_bytes_max;
  EXPECT_TRUE(deliver(options, records).rejected.empty());
  ASSERT_EQ(service_->requests(), 3U);
  EXPECT_EQ(seen(1).events, 1U);
}

TEST_F(KinesisSinkTest, options_that_cannot_work_are_answered_and_nothing_is_sent) {
  const Delivery delivery = deliver({.stream = "in-{tenat}"}, {record(1, "a", "1")});
  EXPECT_EQ(delivery.outcome, Outcome::retry);
  EXPECT_NE(delivery.why.find("{tenat}"), std::string::npos);
  EXPECT_EQ(service_->requests(), 0U);
}

TEST(KinesisSinkOptionsTest, what_cannot_work_is_named) {
  EXPECT_TRUE(check(KinesisSinkOptions{.stream = "in-{tenant}"}));
  EXPECT_TRUE(check(KinesisSinkOptions{
      .stream = "arn:aws-cn:kinesis:cn-north-1:123456789012:stream/in-{stream}"}));
  EXPECT_FALSE(check(KinesisSinkOptions{}));
  EXPECT_FALSE(check(KinesisSinkOptions{.stream = "in/{tenant}"}));
  EXPECT_FALSE(check(KinesisSinkOptions{.stream = "arn:aws:s3:::bucket/x"}));
  EXPECT_FALSE(
      check(KinesisSinkOptions{.stream = "arn:aws:kinesis:eu-west-1:123456789012:stream/{tenat}"}));
  EXPECT_FALSE(check(KinesisSinkOptions{.stream = "in", .record_bytes_max = 1}));
  EXPECT_FALSE(check(KinesisSinkOptions{.stream = "in", .record_bytes_max = 11U << 20}));
}

}  // namespace
}  // namespace inlet::sinks
