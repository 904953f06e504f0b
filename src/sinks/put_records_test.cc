// Goal: whatever the service does (fails some records of a request, throttles, times out after it
//   has stored them, answers nonsense), every event arrives, none that was confirmed is sent again,
//   and every tenant and stream keeps its order where no record was failed; a record the service
//   never takes is found among all others and set aside.
// Method: a service in memory behind PutClient, which takes requests apart, judges them by a
//   random or scripted will, and answers in any order; thousands of random batches.

#include "sinks/put_records.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <simdjson.h>

#include <algorithm>
#include <cstdlib>
#include <random>
#include <set>

#include "base/names.h"
#include "sinks/put_service_fake.h"

namespace inlet::sinks {
namespace {

constexpr Microseconds long_us = 1'000'000;

std::uint64_t random_seed() {
  const char* told = std::getenv("INLET_TEST_SEED");
  return told != nullptr ? std::strtoull(told, nullptr, 10) : std::random_device{}();
}

TEST(PutAnswerTest, an_entry_tells_the_fate_of_its_record) {
  const PutDialect dialect{
      .entries = "Records", .failed = "FailedRecordCount", .proof = "SequenceNumber"};
  const auto answer = read_put_answer(
      dialect,
      R"({"FailedRecordCount":3,"Records":[{"SequenceNumber":"1","ShardId":"s","ErrorCode":null},)"
      R"({"ErrorCode":"ProvisionedThroughputExceededException","ErrorMessage":"slow"},)"
      R"({"ErrorCode":"InternalFailure"},{"ErrorCode":"InvalidArgumentException"}]})",
      4);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->fates,
            (std::vector{Fate::stored, Fate::throttled, Fate::failed, Fate::refused}));
  EXPECT_EQ(answer->why, "ProvisionedThroughputExceededException: slow");
}

TEST(PutAnswerTest, an_answer_that_does_not_fit_is_not_believed) {
  const PutDialect dialect{
      .entries = "Records", .failed = "FailedRecordCount", .proof = "SequenceNumber"};
  const std::string stored = R"({"SequenceNumber":"1"})";
  EXPECT_TRUE(read_put_answer(dialect, R"({"Records":[)" + stored + "]}", 1));
  for (const std::string& body : std::vector<std::string>{
           "", "null", "[]", "{}", "<html>", R"({"Records":{}})", R"({"Records":[]})",
           R"({"Records":[{}]})", R"({"Records":[null]})", R"({"Records":["x"]})",
           R"({"Records":[{"SequenceNumber":""}]})", R"({"Records":[{"SequenceNumber":1}]})",
           R"({"Records":[)" + stored + "," + stored + "]}",
           R"({"FailedRecordCount":1,"Records":[)" + stored + "]}",
           R"({"FailedRecordCount":0,"Records":[{"ErrorCode":"InternalFailure"}]})",
           R"({"Records":[)" + stored, R"({"Records":[)" + stored + "]}x"}) {
    const auto answer = read_put_answer(dialect, body, 1);
    ASSERT_FALSE(answer) << body;
    EXPECT_EQ(answer.error().kind, ErrorKind::corrupt);
  }
}

TEST(PutAnswerTest, codes_are_judged_alike_for_records_and_requests) {
  for (const char* code :
       {"ProvisionedThroughputExceededException", "ThrottlingException", "KMSThrottlingException",
        "LimitExceededException", "ServiceUnavailableException"}) {
    EXPECT_EQ(fate_of(code), Fate::throttled) << code;
  }
  for (const char* code : {"ValidationException", "InvalidArgumentException"}) {
    EXPECT_EQ(fate_of(code), Fate::refused) << code;
  }
  for (const char* code : {"", "InternalFailure", "KMSDisabledException", "AccessDeniedException",
                           "ResourceNotFoundException", "InvalidKMSResourceException"}) {
    EXPECT_EQ(fate_of(code), Fate::failed) << code;
  }
}

TEST(PutTemplateTest, only_names_and_the_two_marks_are_taken) {
  for (const char* good :
       {"a", "A-b_c.9", "{tenant}", "in-{tenant}-{stream}", "{stream}{stream}"}) {
    EXPECT_TRUE(check_put_template(good)) << good;
  }
  for (const char* bad :
       {"", "a b", "{tenat}", "{tenant", "tenant}", "a/b", "\xC3\xA4", "{Stream}"}) {
    EXPECT_FALSE(check_put_template(bad)) << bad;
  }
}

// ---- Pieces.

std::vector<std::string> events_of(std::string_view body, bool envelope, std::size_t piece_bytes,
                                   std::size_t* pieces = nullptr) {
  PutEvents events({.envelope = envelope,
                    .ends_lines = false,
                    .formats = {{"s", BodyFormat::ndjson}},
                    .piece_bytes = piece_bytes});
  const Record record{.sequence = 1, .tenant = "t", .stream = "s", .body = as_bytes(body)};
  const Batch batch{.records = {&record, 1}};
  std::vector<std::string> all;
  events.restart();
  while (events.record() < 1) {
    PutEvents::Piece piece = events.next(batch, 1U << 20);
    EXPECT_LE(piece.bytes - piece.events.back().bytes(), piece_bytes);
    for (PutEvent& event : piece.events) all.push_back(std::move(event.data));
    if (pieces != nullptr) ++*pieces;
  }
  return all;
}

TEST(PutEventsTest, a_record_in_pieces_gives_the_events_of_the_whole) {
  std::string body;
  for (int i = 0; i < 1000; i++) body += fmt::format("{}\n", i);
  const auto whole = events_of(body, true, SIZE_MAX);
  ASSERT_EQ(whole.size(), 1000U);
  EXPECT_NE(whole[7].find(R"(-000000000001.7",)"), std::string::npos) << whole[7];
  EXPECT_FALSE(whole[7].ends_with('\n'));
  for (const std::size_t piece_bytes : {1UL, 1000UL, 100'000UL}) {
    std::size_t pieces = 0;
    EXPECT_EQ(events_of(body, true, piece_bytes, &pieces), whole) << piece_bytes;
    EXPECT_GT(pieces, 1U);
  }
}

TEST(PutEventsTest, events_are_cut_at_line_feeds_wherever_the_pieces_of_text_end) {
  std::string body;
  std::vector<std::string> expected;
  for (std::size_t i = 0; i < 40; i++) {
    expected.push_back(std::string(i * 1733, '7') + "7");
    body += expected.back() + "\n";
  }
  EXPECT_EQ(events_of(body, false, SIZE_MAX), expected);
}

TEST(PutEventsTest, a_record_with_one_event_too_large_gives_none) {
  PutEvents events({.envelope = false, .formats = {{"s", BodyFormat::ndjson}}, .piece_bytes = 1});
  const std::string body = "1\n2\n" + std::string(11, '3') + "\n4\n";
  const std::vector<Record> records{
      {.sequence = 1, .tenant = "t", .stream = "s", .body = as_bytes(body)},
      {.sequence = 2, .tenant = "t", .stream = "s", .body = as_bytes("5")}};
  const Batch batch{.records = records};
  const auto piece = events.next(batch, 10);
  EXPECT_EQ(piece.too_large_bytes, 11U);
  EXPECT_TRUE(piece.events.empty());
  ASSERT_EQ(events.record(), 1U);
  EXPECT_EQ(events.next(batch, 10).events.size(), 1U);
}

// ---- The sink, with a service that does what the test wants.

class PutRecordsTest : public testing::Test {
 protected:
  void make(PutOptions options, PutService service = FakeService::dialect()) {
    auto client = std::make_unique<FakeService>();
    service_ = client.get();
    sink_ = std::make_unique<PutRecordsSink>(std::move(client), service, std::move(options));
  }
  static PutOptions options() { return {.destination = "d", .envelope = false}; }

  void add(std::string_view stream, std::string body, std::string_view tenant = "t") {
    bodies_.push_back(std::move(body));
    records_.push_back({.sequence = 100 + records_.size(),
                        .tenant = tenant,
                        .stream = stream,
                        .body = as_bytes(bodies_.back())});
  }
  Batch batch() const {
    return {.name = {.node = "n", .first = 100, .last = 99 + records_.size()},
            .journal_id = 7,
            .records = records_};
  }
  Delivery deliver() {
    sink_->start(batch());
    while (true) {
      held_bytes_max_ = std::max(held_bytes_max_, sink_->held_bytes());
      auto answer = sink_->finish(long_us);
      if (!answer) continue;
      EXPECT_EQ(answer->first, 100U);
      return std::move(answer->delivery);
    }
  }
  std::vector<std::string> stored() const { return service_->stored_data(); }

  std::deque<std::string> bodies_;
  std::vector<Record> records_;
  FakeService* service_ = nullptr;
  std::unique_ptr<PutRecordsSink> sink_;
  std::size_t held_bytes_max_ = 0;
};

using Strings = std::vector<std::string>;

TEST_F(PutRecordsTest, many_small_streams_share_a_request) {
  make(options());
  std::deque<std::string> names;
  for (int i = 0; i < 450; i++) add(names.emplace_back(fmt::format("s{}", i)), "x");
  EXPECT_EQ(deliver().outcome, Outcome::delivered);
  EXPECT_EQ(service_->requests(), 1U);
  EXPECT_EQ(stored().size(), 450U);
}

TEST_F(PutRecordsTest, requests_obey_the_limits_of_count_and_bytes) {
  PutService service = FakeService::dialect();
  service.limits.request_bytes_max = 1000;
  service.limits.record_bytes_max = 5000;
  make(options(), service);
  for (int i = 0; i < 1200; i++) add("s", std::string(i % 7 == 0 ? 400 : 1, 'x'));
  add("s", std::string(4000, 'y'));
  add("s", "z");
  EXPECT_EQ(deliver().outcome, Outcome::delivered);
  EXPECT_EQ(stored().size(), 1202U);
  EXPECT_LE(service_->events_max(), service.limits.records_max);
  // Only the one that is larger than that is in a larger request, alone.
  for (const auto& request : service_->seen()) {
    EXPECT_TRUE(request.bytes <= 1000 || request.events == 1) << request.bytes;
  }
}

TEST_F(PutRecordsTest, an_event_that_is_too_large_has_its_record_rejected_and_others_pass) {
  make(options());
  add("s", "1");
  add("s", std::string((1U << 20) + 1, 'x'));
  add("s", std::string((1U << 20) - 3, 'x'));  // The key is "t/s".
  add("s", std::string((1U << 20) - 2, 'x'));
  add("s", "2");
  const Delivery delivery = deliver();
  EXPECT_EQ(delivery.outcome, Outcome::delivered);
  ASSERT_EQ(delivery.rejected.size(), 2U);
  EXPECT_EQ(delivery.rejected[0].sequence, 101U);
  EXPECT_EQ(delivery.rejected[0].why,
            "an event of 1048580 bytes is larger than the 1048576 that kinesis takes");
  EXPECT_EQ(delivery.rejected[1].sequence, 103U);
  EXPECT_EQ(stored().size(), 3U);
}

TEST_F(PutRecordsTest, names_that_cannot_be_used_have_their_records_rejected) {
  PutOptions with = options();
  with.destination = std::string(100, 'a') + "{stream}";
  make(with);
  const std::string longest(28, 's');
  const std::string too_long(29, 's');
  add(longest, "1");
  add(too_long, "2");
  add("..", "3");
  add("s", "4", "NOT");
  const Delivery delivery = deliver();
  ASSERT_EQ(delivery.rejected.size(), 3U);
  EXPECT_EQ(stored(), Strings{"1"});
  EXPECT_EQ(service_->seen()[0].destination, std::string(100, 'a') + longest);
}

TEST_F(PutRecordsTest, requests_that_share_a_lane_are_never_under_way_together) {
  make(options());
  for (int i = 0; i < 4000; i++) add(i % 3 == 0 ? "a" : "b", std::to_string(i));
  EXPECT_EQ(deliver().outcome, Outcome::delivered);
  EXPECT_EQ(service_->shared_lanes(), 0U);
  EXPECT_GT(service_->under_way_max(), 1U);
}

TEST_F(PutRecordsTest, keys_by_id_let_one_stream_use_all_requests_at_once) {
  PutOptions with = options();
  with.key_by_id = true;
  make(with);
  for (int i = 0; i < 4000; i++) add("a", std::to_string(i));
  EXPECT_EQ(deliver().outcome, Outcome::delivered);
  EXPECT_EQ(service_->under_way_max(), with.in_flight);
  EXPECT_EQ(stored().size(), 4000U);
  EXPECT_EQ(service_->keys().size(), 4000U);
  EXPECT_TRUE(service_->keys().contains(record_id(7, 100)));
}

TEST_F(PutRecordsTest, only_what_failed_is_sent_again_and_alone_before_anything_later) {
  make(options());
  for (const char* body : {"1", "2", "3", "4"}) add("s", body);
  add("other", "5");
  PutService service = FakeService::dialect();
  service.limits.records_max = 3;
  make(options(), service);
  service_->fail_once({"2", "3"}, "InternalFailure");
  const Delivery first = deliver();
  EXPECT_EQ(first.outcome, Outcome::retry);
  EXPECT_EQ(first.why, "kinesis d: InternalFailure: no luck");
  service_->fail_once({"3"}, "ProvisionedThroughputExceededException");
  EXPECT_EQ(deliver().outcome, Outcome::slow_down);
  EXPECT_EQ(deliver().outcome, Outcome::delivered);
  Strings lane;
  for (const std::string& data : stored()) {
    if (data != "5") lane.push_back(data);
  }
  EXPECT_EQ(lane, (Strings{"1", "2", "3", "4"}));
}

TEST_F(PutRecordsTest, an_answer_that_cannot_be_believed_has_all_of_it_sent_again) {
  for (const char* body : {"", "{}", "<html></html>", R"({"Records":[{"SequenceNumber":"1"}]})"}) {
    make(options());
    records_.clear();
    add("s", "1");
    add("s", "2");
    service_->answer_once({.verdict = aws::Verdict::done, .status = 200, .body = body});
    const Delivery first = deliver();
    EXPECT_EQ(first.outcome, Outcome::retry) << body;
    EXPECT_NE(first.why.find("believed"), std::string::npos);
    EXPECT_EQ(deliver().outcome, Outcome::delivered);
    EXPECT_EQ(stored(), (Strings{"1", "2"}));
  }
}

TEST_F(PutRecordsTest, what_looks_like_configuration_rejects_nothing) {
  make(options());
  add("s", "1");
  for (int i = 0; i < 50; i++) {
    service_->answer_once({.verdict = aws::Verdict::refused,
                           .status = 400,
                           .code = i % 2 == 0 ? "ResourceNotFoundException" : "AccessDenied",
                           .why = "no such stream"});
    const Delivery delivery = deliver();
    ASSERT_EQ(delivery.outcome, Outcome::retry);
    EXPECT_EQ(delivery.why, "kinesis d: no such stream");
  }
  EXPECT_EQ(deliver().outcome, Outcome::delivered);
}

TEST_F(PutRecordsTest, a_throttled_call_asks_for_less_and_for_the_time_it_was_told) {
  make(options());
  add("s", "1");
  service_->answer_once(
      {.verdict = aws::Verdict::throttled, .status = 429, .why = "slow", .retry_after_us = 9});
  const Delivery delivery = deliver();
  EXPECT_EQ(delivery.outcome, Outcome::slow_down);
  EXPECT_EQ(delivery.retry_after_us, 9);
  service_->answer_once(
      {.verdict = aws::Verdict::refused, .status = 400, .code = "LimitExceededException"});
  EXPECT_EQ(deliver().outcome, Outcome::slow_down);
}

TEST_F(PutRecordsTest, without_a_region_nothing_is_sent) {
  make(options());
  add("s", "1");
  service_->set_region("");
  const Delivery delivery = deliver();
  EXPECT_EQ(delivery.outcome, Outcome::retry);
  EXPECT_EQ(delivery.why, "the AWS region is not known");
  EXPECT_EQ(service_->requests(), 0U);
  service_->set_region("eu-west-1");
  EXPECT_EQ(deliver().outcome, Outcome::delivered);
}

TEST_F(PutRecordsTest, one_destination_that_fails_does_not_stop_the_others) {
  PutOptions with = options();
  with.destination = "{stream}";
  with.in_flight = 1;
  make(with);
  add("bad", "1");
  add("good", "2");
  service_->answer_once({.verdict = aws::Verdict::refused, .status = 400, .code = "Nope"});
  EXPECT_EQ(deliver().outcome, Outcome::retry);
  EXPECT_EQ(stored(), Strings{"2"});
  EXPECT_EQ(deliver().outcome, Outcome::delivered);
  EXPECT_EQ(stored(), (Strings{"2", "1"}));
}

TEST_F(PutRecordsTest, a_service_that_does_not_answer_is_not_asked_for_every_destination) {
  PutOptions with = options();
  with.destination = "{stream}";
  with.in_flight = 2;
  make(with);
  std::deque<std::string> names;
  for (int i = 0; i < 100; i++) add(names.emplace_back(fmt::format("s{}", i)), "x");
  service_->set_down(true);
  EXPECT_EQ(deliver().outcome, Outcome::retry);
  EXPECT_EQ(service_->requests(), 2U);
  service_->set_down(false);
  EXPECT_EQ(deliver().outcome, Outcome::delivered);
}

TEST_F(PutRecordsTest, poison_is_found_among_others_and_only_its_records_are_rejected) {
  make(options());
  for (int i = 0; i < 2000; i++) add(i % 2 == 0 ? "a" : "b", std::to_string(i));
  service_->poison({"0", "777", "778", "1999"});
  const Delivery delivery = deliver();
  EXPECT_EQ(delivery.outcome, Outcome::delivered) << delivery.why;
  ASSERT_EQ(delivery.rejected.size(), 4U);
  EXPECT_EQ(delivery.rejected[1].sequence, 877U);
  EXPECT_NE(delivery.rejected[1].why.find("refused"), std::string::npos);
  EXPECT_EQ(stored().size(), 1996U);
  EXPECT_EQ(service_->twice(), 0U);
  EXPECT_LT(service_->requests(), 100U);
  EXPECT_EQ(service_->first_out_of_order(), "");
}

TEST_F(PutRecordsTest, poison_before_anything_else_was_taken_is_rejected_after_many_tries) {
  make(options());
  add("s", "bad");
  service_->poison({"bad"});
  for (std::size_t i = 1; i < PutRecordsSink::lone_refusals_max; i++) {
    ASSERT_EQ(deliver().outcome, Outcome::retry) << i;
  }
  const Delivery delivery = deliver();
  EXPECT_EQ(delivery.outcome, Outcome::delivered);
  EXPECT_EQ(delivery.rejected.size(), 1U);
}

TEST_F(PutRecordsTest, a_rejected_record_sends_none_of_its_other_events) {
  PutOptions with = options();
  with.formats["s"] = BodyFormat::ndjson;
  PutService service = FakeService::dialect();
  service.limits.records_max = 2;
  service.limits.request_bytes_max = 64;  // So that the record comes in several pieces.
  service.limits.record_bytes_max = 64;
  make(with, service);
  add("s", "0");
  std::string body = "1\n";
  for (int i = 0; i < 100; i++) body += "2\n";
  add("s", body);
  add("s", "3");
  service_->poison({"2"});
  const Delivery delivery = deliver();
  EXPECT_EQ(delivery.outcome, Outcome::delivered);
  ASSERT_EQ(delivery.rejected.size(), 1U);
  EXPECT_EQ(delivery.rejected[0].sequence, 101U);
  EXPECT_EQ(stored(), (Strings{"0", "1", "3"}));
}

TEST_F(PutRecordsTest, a_record_refused_inside_an_answer_is_rejected_with_what_failed_of_it) {
  PutOptions with = options();
  with.formats["s"] = BodyFormat::ndjson;
  PutService service = FakeService::dialect();
  service.limits.records_max = 4;
  make(with, service);
  for (const char* body : {"0", "1\n2\n", "3", "4"}) add("s", body);
  service_->fail_once({"1", "3"}, "InternalFailure");
  service_->fail_once({"2"}, "InvalidArgumentException");
  EXPECT_EQ(deliver().outcome, Outcome::retry);
  const Delivery delivery = deliver();
  EXPECT_EQ(delivery.outcome, Outcome::delivered);
  ASSERT_EQ(delivery.rejected.size(), 1U);
  EXPECT_EQ(delivery.rejected[0].sequence, 101U);
  EXPECT_EQ(stored(), (Strings{"0", "3", "4"}));
  EXPECT_EQ(service_->seen().at(1).events, 1U);  // What was overtaken, and nothing later.
}

TEST_F(PutRecordsTest, a_request_that_is_too_large_for_something_on_the_way_is_made_smaller) {
  make(options());
  for (int i = 0; i < 100; i++) add("s", std::string(1000, 'x'));
  service_->set_body_bytes_max(10'000);
  EXPECT_EQ(deliver().outcome, Outcome::delivered);
  EXPECT_EQ(stored().size(), 100U);
}

TEST_F(PutRecordsTest, after_abandon_the_batch_goes_on_and_late_answers_are_nothing) {
  make(options());
  for (int i = 0; i < 3000; i++) add(i % 2 == 0 ? "a" : "b", std::to_string(i));
  sink_->start(batch());
  static_cast<void>(sink_->finish(long_us));
  sink_->abandon();
  EXPECT_FALSE(sink_->finish(0));
  EXPECT_EQ(deliver().outcome, Outcome::delivered);
  const Strings all = stored();
  EXPECT_EQ(std::set(all.begin(), all.end()).size(), 3000U);
}

TEST_F(PutRecordsTest, another_batch_starts_from_nothing) {
  make(options());
  add("s", "1");
  add("s", "2");
  service_->fail_once({"1"}, "InternalFailure");
  EXPECT_EQ(deliver().outcome, Outcome::retry);
  add("s", "3");
  EXPECT_EQ(deliver().outcome, Outcome::delivered);
  EXPECT_EQ(stored(), (Strings{"2", "1", "2", "3"}));
}

TEST_F(PutRecordsTest, events_held_in_memory_have_a_bound) {
  PutOptions with = options();
  with.formats["s"] = BodyFormat::ndjson;
  with.in_flight = 2;
  PutService service = FakeService::dialect();
  service.limits.request_bytes_max = 2000;
  service.limits.record_bytes_max = 2000;
  make(with, service);
  std::string body;
  for (int i = 0; i < 20'000; i++) body += fmt::format("{}\n", i);
  add("s", body);
  add("other", "x");
  EXPECT_EQ(deliver().outcome, Outcome::delivered);
  EXPECT_EQ(stored().size(), 20'001U);
  EXPECT_GT(held_bytes_max_, 2000U);
  EXPECT_LE(held_bytes_max_,
            2 * with.in_flight * (service.limits.request_bytes_max + sizeof(PutEvent)));
  EXPECT_EQ(sink_->held_bytes(), 0U);
  EXPECT_EQ(service_->first_out_of_order(), "");
  EXPECT_EQ(service_->twice(), 0U);
}

// ---- Ten thousand batches.

class PutRandomTest : public PutRecordsTest {
 protected:
  static constexpr int batches = 10'000;

  void add_random_records() {
    records_.clear();
    bodies_.clear();
    const std::size_t count = 1 + random_() % 30;
    for (std::size_t i = 0; i < count; i++) {
      std::string body;
      const std::size_t events = random_() % 5 == 0 ? 1 + random_() % 20 : 1;
      for (std::size_t e = 0; e < events; e++) {
        body += fmt::format("{}\n", number_++);
      }
      add(streams_[random_() % streams_.size()], body);
    }
  }
  void run_batch() {
    service_->forget();
    add_random_records();
    const bool troubled = random_() % 4 != 0;
    service_->set_will(troubled ? random_() % 40 : 0);
    Delivery delivery;
    int attempts = 0;
    do {
      // A long trouble ends at some time.
      if (attempts++ > 30) service_->set_will(0);
      delivery = deliver();
    } while (delivery.outcome != Outcome::delivered);
    EXPECT_TRUE(delivery.rejected.empty());
    EXPECT_TRUE(troubled || attempts == 1);
  }
  // Every event once at least, once only unless an answer was lost; in order unless failed.
  void judge() {
    Strings expected;
    for (const std::string& body : bodies_) {
      for (std::size_t at = 0; at < body.size();) {
        const std::size_t end = body.find('\n', at);
        expected.push_back(body.substr(at, end - at));
        at = end + 1;
      }
    }
    Strings all = stored();
    std::sort(expected.begin(), expected.end());
    std::sort(all.begin(), all.end());
    all.erase(std::unique(all.begin(), all.end()), all.end());
    ASSERT_EQ(all, expected);
    ASSERT_EQ(service_->twice(), 0U) << "a confirmed event was sent again";
    ASSERT_EQ(service_->shared_lanes(), 0U);
    ASSERT_EQ(service_->first_out_of_order(), "");
  }

  const Strings streams_{"a", "b", "c", "d", "e"};
  std::mt19937_64 random_;
  std::uint64_t number_ = 1;
};

TEST_F(PutRandomTest, random_batches_arrive_whole_and_in_order_whatever_fails) {
  const std::uint64_t seed = random_seed();
  std::printf("INLET_TEST_SEED=%llu\n", static_cast<unsigned long long>(seed));
  random_.seed(seed);
  std::size_t failed = 0;
  std::size_t lost = 0;
  for (int i = 0; i < batches; i++) {
    if (i % 100 == 0) {
      PutOptions with = options();
      for (const std::string& stream : streams_) with.formats[stream] = BodyFormat::ndjson;
      with.destination = random_() % 2 == 0 ? "d" : "d-{stream}";
      with.in_flight = 1 + random_() % 5;
      PutService service = FakeService::dialect();
      service.limits.records_max = 1 + random_() % 12;
      service.limits.request_bytes_max = 60 + random_() % 500;
      service.limits.record_bytes_max = 60;
      make(with, service);
      service_->seed(random_());
    }
    run_batch();
    judge();
    ASSERT_FALSE(HasFatalFailure()) << "batch " << i << ", INLET_TEST_SEED=" << seed;
    failed += service_->failed();
    lost += service_->lost_answers();
  }
  EXPECT_GT(failed, static_cast<std::size_t>(batches));  // There was trouble worth the name.
  EXPECT_GT(lost, static_cast<std::size_t>(batches) / 20);
}

}  // namespace
}  // namespace inlet::sinks
