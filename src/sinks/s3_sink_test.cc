// Goal: the bucket holds every delivered record exactly once, whatever S3 answers and wherever the
//   process ends, under the names the file sink would give.
// Method: a scripted server that is a bucket, until a test has it answer otherwise; all objects
//   read back and compared.

#include "sinks/s3_sink.h"

#include <gtest/gtest.h>

#include <atomic>
#include <set>

#include "aws/digest.h"
#include "aws/scripted_server_test.h"
#include "sinks/text.h"

namespace inlet::sinks {
namespace {

using aws::Asked;
using aws::Scripted;

constexpr Microseconds noon_us = 1'700'000'000'000'000 / hour_us * hour_us;
constexpr Microseconds patience_us = 20'000'000;
const std::string name = "n1-3f9a2c1d55aa-00000000000a-00000000000d.ndjson";
const std::string a_22 = "tenant=acme/stream=a/date=2023-11-14/hour=22/";
const std::string a_23 = "tenant=acme/stream=a/date=2023-11-14/hour=23/";
const std::string b_22 = "tenant=acme/stream=b/date=2023-11-14/hour=22/";

class S3SinkTest : public testing::Test {
 protected:
  S3SinkOptions options(Compression compression = Compression::none) {
    S3SinkOptions made;
    made.bucket = "logs";
    made.endpoint = server_.url();
    made.archive.compression = compression;
    made.archive.envelope = false;
    made.aws.variable = [](const std::string& variable) -> std::string {
      if (variable == "AWS_ACCESS_KEY_ID") return "AKIDTEST";
      return variable == "AWS_SECRET_ACCESS_KEY" ? "secret" : "";
    };
    return made;
  }
  static Record record(std::uint64_t sequence, std::string_view stream, Microseconds at,
                       std::string_view body) {
    return {.sequence = sequence,
            .received_us = at,
            .tenant = "acme",
            .stream = stream,
            .content_type = "text/plain",
            .body = as_bytes(body)};
  }
  static std::vector<Record> some_records() {
    return {record(10, "a", noon_us, "r10"), record(11, "b", noon_us, "r11"),
            record(12, "a", noon_us + hour_us, "r12"), record(13, "a", noon_us, "r13")};
  }
  static Batch batch(const std::vector<Record>& records) {
    return {.name = {.node = "n1-3f9a2c1d55aa",
                     .first = records.front().sequence,
                     .last = records.back().sequence},
            .journal_id = 0x3f9a2c1d55aa,
            .records = records};
  }
  static Delivery deliver(S3Sink& sink, const Batch& batch) {
    sink.start(batch);
    const auto answer = sink.finish(patience_us);
    EXPECT_TRUE(answer);
    if (!answer) return {.outcome = Outcome::retry, .why = "no answer"};
    EXPECT_EQ(answer->first, batch.name.first);
    return answer->delivery;
  }

  // What a bucket does.
  Scripted bucket(const Asked& asked) {
    const std::string key = without_escapes(asked.target.substr(6));
    if (asked.method == "PUT") {
      EXPECT_EQ(asked.headers.at("content-md5"), aws::content_md5(asked.body));
      EXPECT_EQ(asked.headers.at("x-amz-content-sha256"), aws::hex(aws::sha256(asked.body)));
      objects_[key] = asked.body;
      return {};
    }
    const bool there = objects_.contains(key);
    if (asked.method == "HEAD") return {.status = there ? 200 : 404};
    EXPECT_EQ(asked.method, "DELETE");
    objects_.erase(key);
    return {.status = 204};
  }
  static std::string without_escapes(std::string target) {
    for (std::size_t at = 0; (at = target.find("%3D")) != std::string::npos;) {
      target.replace(at, 3, "=");
    }
    return target;
  }
  static Scripted error(int status, const std::string& code) {
    return {.status = status,
            .body = "<Error><Code>" + code + "</Code><Message>Because.</Message></Error>"};
  }
  std::size_t count(const std::string& method) {
    const auto asked = server_.asked();
    return static_cast<std::size_t>(std::ranges::count(asked, method, &Asked::method));
  }

  using Behaviour = std::function<std::optional<Scripted>(const Asked&)>;
  void behave(Behaviour otherwise) {
    const auto held = server_.hold();
    otherwise_ = std::move(otherwise);
  }
  void behave_well() {
    behave([](const Asked&) { return std::nullopt; });
  }
  std::map<std::string, std::string> objects() {
    const auto held = server_.hold();
    return objects_;
  }
  void set_objects(std::map<std::string, std::string> objects) {
    const auto held = server_.hold();
    objects_ = std::move(objects);
  }

  SystemClock clock_;
  std::map<std::string, std::string> objects_;  // The server's, under its lock.
  Behaviour otherwise_ = [](const Asked&) { return std::nullopt; };
  aws::ScriptedServer server_{[this](const Asked& asked) {
    const auto answer = otherwise_(asked);
    return answer ? *answer : bucket(asked);
  }};
  const std::map<std::string, std::string> expected_{
      {a_22 + name, "r10\nr13\n"}, {a_23 + name, "r12\n"}, {b_22 + name, "r11\n"}};
};

TEST_F(S3SinkTest, puts_one_object_for_each_tenant_stream_and_hour) {
  S3Sink sink(clock_, options());
  const auto records = some_records();
  const Delivery delivery = deliver(sink, batch(records));
  EXPECT_EQ(delivery.outcome, Outcome::delivered) << delivery.why;
  EXPECT_TRUE(delivery.rejected.empty());
  EXPECT_EQ(objects(), expected_);
  for (const Asked& asked : server_.asked()) {
    if (asked.method != "PUT") continue;
    EXPECT_TRUE(asked.target.starts_with("/logs/tenant%3Dacme/stream%3D")) << asked.target;
    EXPECT_EQ(asked.headers.at("content-type"), "application/x-ndjson");
    EXPECT_FALSE(asked.headers.contains("content-encoding"));
    EXPECT_FALSE(asked.headers.contains("x-amz-storage-class"));
    EXPECT_NE(asked.headers.at("authorization").find("/us-east-1/s3/"), std::string::npos);
  }
}

TEST_F(S3SinkTest, obeys_prefix_storage_class_and_encryption) {
  S3SinkOptions with = options(Compression::zstd);
  with.prefix = "/raw/eu/";
  with.storage_class = "STANDARD_IA";
  with.sse = "aws:kms";
  with.kms_key_id = "key-1";
  S3Sink sink(clock_, with);
  const auto records = some_records();
  ASSERT_EQ(deliver(sink, batch(records)).outcome, Outcome::delivered);
  ASSERT_EQ(objects().size(), 3U);
  EXPECT_TRUE(objects().contains("raw/eu/" + a_22 + name + ".zst"));
  for (const Asked& asked : server_.asked()) {
    if (asked.method != "PUT") continue;
    EXPECT_EQ(asked.headers.at("x-amz-storage-class"), "STANDARD_IA");
    EXPECT_EQ(asked.headers.at("x-amz-server-side-encryption"), "aws:kms");
    EXPECT_EQ(asked.headers.at("x-amz-server-side-encryption-aws-kms-key-id"), "key-1");
  }
}

TEST_F(S3SinkTest, the_bucket_may_stand_in_the_hosts_name) {
  S3SinkOptions with = options();
  with.endpoint.replace(with.endpoint.find("127.0.0.1"), 9, "localhost");
  with.path_style = false;
  behave([](const Asked&) { return Scripted{}; });
  S3Sink sink(clock_, with);
  const auto records = some_records();
  ASSERT_EQ(deliver(sink, batch(records)).outcome, Outcome::delivered);
  const Asked first = server_.asked().front();
  EXPECT_TRUE(first.headers.at("host").starts_with("logs.localhost:"));
  EXPECT_TRUE(first.target.starts_with("/tenant%3Dacme/")) << first.target;
}

TEST_F(S3SinkTest, a_repeat_by_another_process_gives_the_same_objects_byte_for_byte) {
  const auto records = some_records();
  for (const auto compression : {Compression::zstd, Compression::gzip}) {
    S3Sink sink(clock_, options(compression));
    ASSERT_EQ(deliver(sink, batch(records)).outcome, Outcome::delivered);
    const auto first = objects();
    S3Sink other(clock_, options(compression));
    ASSERT_EQ(deliver(other, batch(records)).outcome, Outcome::delivered);
    EXPECT_EQ(objects(), first);
    EXPECT_EQ(objects().size(), 3U);  // Those of the other compression are gone.
  }
}

TEST_F(S3SinkTest, only_the_first_batch_looks_for_other_spellings) {
  S3Sink sink(clock_, options());
  auto records = some_records();
  ASSERT_EQ(deliver(sink, batch(records)).outcome, Outcome::delivered);
  EXPECT_EQ(count("HEAD"), 6U);
  EXPECT_EQ(count("DELETE"), 0U);
  for (Record& one : records) one.sequence += 10;
  ASSERT_EQ(deliver(sink, batch(records)).outcome, Outcome::delivered);
  EXPECT_EQ(count("HEAD"), 6U);
}

TEST_F(S3SinkTest, delivers_without_the_permission_to_look) {
  behave([](const Asked& asked) -> std::optional<Scripted> {
    if (asked.method == "PUT") return std::nullopt;
    return Scripted{.status = 403};
  });
  S3Sink sink(clock_, options());
  const auto records = some_records();
  const Delivery delivery = deliver(sink, batch(records));
  EXPECT_EQ(delivery.outcome, Outcome::delivered) << delivery.why;
  EXPECT_EQ(objects(), expected_);
}

TEST_F(S3SinkTest, what_has_arrived_is_not_sent_again) {
  behave([](const Asked& asked) -> std::optional<Scripted> {
    if (asked.target.find("stream%3Db") == std::string::npos) return std::nullopt;
    return error(500, "InternalError");
  });
  S3SinkOptions one_by_one = options();
  one_by_one.in_flight = 1;
  S3Sink sink(clock_, one_by_one);
  const auto records = some_records();
  const Delivery first = deliver(sink, batch(records));
  EXPECT_EQ(first.outcome, Outcome::retry);
  EXPECT_EQ(first.why, "bucket logs: s3 answered 500 InternalError: Because.");
  EXPECT_EQ(count("PUT"), 2U);  // The one after the failure was not tried.
  behave_well();
  ASSERT_EQ(deliver(sink, batch(records)).outcome, Outcome::delivered);
  EXPECT_EQ(count("PUT"), 4U);
  EXPECT_EQ(objects(), expected_);
}

TEST_F(S3SinkTest, any_request_may_fail_and_the_repeat_delivers_everything_once) {
  const auto records = some_records();
  for (const std::size_t in_flight : {1U, 4U}) {
    for (std::size_t fail_at = 1;; fail_at++) {
      set_objects({{a_22 + name + ".gz", "of the process before"}});
      std::atomic<std::size_t> requests = 0;
      behave([&](const Asked&) -> std::optional<Scripted> {
        if (++requests != fail_at) return std::nullopt;
        return Scripted{.hang_up = true};
      });
      S3SinkOptions with = options(Compression::zstd);
      with.in_flight = in_flight;
      S3Sink sink(clock_, with);
      const Delivery first = deliver(sink, batch(records));
      if (requests < fail_at) {
        EXPECT_EQ(first.outcome, Outcome::delivered);
        EXPECT_GT(fail_at, 10U);
        break;
      }
      EXPECT_EQ(first.outcome, Outcome::retry) << fail_at;
      ASSERT_EQ(deliver(sink, batch(records)).outcome, Outcome::delivered) << fail_at;
      ASSERT_EQ(objects().size(), 3U) << fail_at;
      for (const auto& [key, text] : expected_) ASSERT_TRUE(objects().contains(key + ".zst"));
    }
  }
}

TEST_F(S3SinkTest, answers_become_outcomes) {
  struct Case {
    Scripted answer;
    Outcome outcome;
    Microseconds retry_after_us;
  };
  Scripted patient = error(503, "SlowDown");
  patient.headers = {{"Retry-After", "3"}};
  const std::vector<Case> cases{{error(503, "SlowDown"), Outcome::slow_down, 0},
                                {patient, Outcome::slow_down, 3'000'000},
                                {error(500, "InternalError"), Outcome::retry, 0},
                                {error(404, "NoSuchBucket"), Outcome::retry, 0},
                                {error(403, "AccessDenied"), Outcome::retry, 0},
                                {error(400, "EntityTooLarge"), Outcome::retry, 0},
                                {Scripted{.status = 301}, Outcome::retry, 0},
                                {Scripted{.hang_up = true}, Outcome::retry, 0}};
  const auto records = some_records();
  S3Sink sink(clock_, options());
  for (const Case& one : cases) {
    behave([&](const Asked&) { return one.answer; });
    const Delivery delivery = deliver(sink, batch(records));
    EXPECT_EQ(delivery.outcome, one.outcome) << one.answer.body;
    EXPECT_EQ(delivery.retry_after_us, one.retry_after_us);
    EXPECT_TRUE(delivery.why.starts_with("bucket logs: ")) << delivery.why;
    EXPECT_EQ(delivery.why.find("secret"), std::string::npos);
  }
  behave_well();
  ASSERT_EQ(deliver(sink, batch(records)).outcome, Outcome::delivered);
  EXPECT_EQ(objects(), expected_);
}

TEST_F(S3SinkTest, without_credentials_it_says_where_it_looked_and_waits) {
  S3SinkOptions with = options();
  with.aws.variable = [](const std::string& variable) -> std::string {
    return variable == "AWS_EC2_METADATA_DISABLED" ? "true" : "";
  };
  S3Sink sink(clock_, with);
  const auto records = some_records();
  const Delivery delivery = deliver(sink, batch(records));
  EXPECT_EQ(delivery.outcome, Outcome::retry);
  EXPECT_NE(delivery.why.find("environment: AWS_ACCESS_KEY_ID is not set"), std::string::npos);
  EXPECT_TRUE(server_.asked().empty());
}

TEST_F(S3SinkTest, names_that_cannot_stand_in_a_path_are_rejected_and_the_rest_delivered) {
  S3Sink sink(clock_, options());
  auto records = some_records();
  records[1].stream = "../../up";
  records[2].tenant = "";
  const Delivery delivery = deliver(sink, batch(records));
  EXPECT_EQ(delivery.outcome, Outcome::delivered);
  ASSERT_EQ(delivery.rejected.size(), 2U);
  EXPECT_EQ(delivery.rejected[0].sequence, 11U);
  EXPECT_EQ(delivery.rejected[1].sequence, 12U);
  ASSERT_EQ(objects().size(), 1U);
  EXPECT_EQ(objects().at(a_22 + name), "r10\nr13\n");
}

TEST_F(S3SinkTest, a_batch_of_nothing_but_rejected_records_is_delivered_at_once) {
  S3Sink sink(clock_, options());
  auto records = some_records();
  for (Record& one : records) one.tenant = "NO";
  const Delivery delivery = deliver(sink, batch(records));
  EXPECT_EQ(delivery.outcome, Outcome::delivered);
  EXPECT_EQ(delivery.rejected.size(), 4U);
  EXPECT_TRUE(server_.asked().empty());
}

TEST_F(S3SinkTest, what_is_too_long_for_one_object_goes_on_in_the_next_also_after_a_failure) {
  const std::string body(40'000, 'x');
  std::vector<Record> records;
  for (std::uint64_t i = 1; i <= 10; i++) records.push_back(record(i, "a", noon_us, body));
  S3SinkOptions with = options();
  with.object_bytes_max = 100'000;
  for (std::size_t fail_at = 0;; fail_at++) {
    set_objects({});
    std::atomic<std::size_t> puts = 0;
    behave([&](const Asked& asked) -> std::optional<Scripted> {
      if (asked.method != "PUT" || ++puts != fail_at) return std::nullopt;
      return error(503, "SlowDown");
    });
    S3Sink sink(clock_, with);
    Delivery delivery = deliver(sink, batch(records));
    if (delivery.outcome == Outcome::slow_down) delivery = deliver(sink, batch(records));
    ASSERT_EQ(delivery.outcome, Outcome::delivered) << delivery.why;
    std::string all;
    for (const auto& [key, text] : objects()) {
      all += text;
      EXPECT_LE(text.size(), with.object_bytes_max + 3 * body.size());
    }
    EXPECT_GT(objects().size(), 2U);
    EXPECT_EQ(all.size(), 10 * (body.size() + 1));
    const std::string stem = a_22 + "n1-3f9a2c1d55aa-000000000001-00000000000a";
    EXPECT_TRUE(objects().contains(stem + ".ndjson"));
    EXPECT_TRUE(objects().contains(stem + "_002.ndjson"));
    if (puts < fail_at) break;
  }
}

TEST_F(S3SinkTest, several_batches_are_under_way_at_once_over_few_connections) {
  S3SinkOptions with = options();
  with.in_flight = 3;
  with.batches = 4;
  S3Sink sink(clock_, with);
  EXPECT_EQ(sink.in_flight_max(), 4U);
  std::vector<std::vector<Record>> all(4);
  std::set<std::uint64_t> waiting;
  for (std::uint64_t i = 0; i < all.size(); i++) {
    all[i] = some_records();
    for (Record& one : all[i]) one.sequence += 10 * i;
    sink.start(batch(all[i]));
    waiting.insert(10 + 10 * i);
  }
  EXPECT_TRUE(server_.asked().empty());  // start() sends nothing and waits for nothing.
  while (!waiting.empty()) {
    const auto answer = sink.finish(patience_us);
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->delivery.outcome, Outcome::delivered) << answer->delivery.why;
    EXPECT_EQ(waiting.erase(answer->first), 1U);
  }
  EXPECT_EQ(objects().size(), 12U);
  EXPECT_LE(server_.connections(), 4U);
  EXPECT_FALSE(sink.finish(0));
}

TEST_F(S3SinkTest, one_batch_that_fails_does_not_hold_the_others) {
  S3SinkOptions with = options();
  with.batches = 2;
  S3Sink sink(clock_, with);
  const auto one = some_records();
  auto two = some_records();
  for (Record& record : two) record.sequence += 10;
  behave([](const Asked& asked) -> std::optional<Scripted> {
    if (asked.target.find("-00000000000a-") == std::string::npos) return std::nullopt;
    return error(500, "InternalError");
  });
  sink.start(batch(one));
  sink.start(batch(two));
  std::map<std::uint64_t, Outcome> outcomes;
  while (outcomes.size() < 2) {
    const auto answer = sink.finish(patience_us);
    ASSERT_TRUE(answer);
    outcomes[answer->first] = answer->delivery.outcome;
  }
  EXPECT_EQ(outcomes[10], Outcome::retry);
  EXPECT_EQ(outcomes[20], Outcome::delivered);
}

TEST_F(S3SinkTest, what_is_given_up_can_be_started_again) {
  S3Sink sink(clock_, options());
  const auto records = some_records();
  {
    const auto held = server_.hold();  // It answers nothing.
    sink.start(batch(records));
    EXPECT_FALSE(sink.finish(100'000));
    sink.abandon();
    EXPECT_FALSE(sink.finish(0));
  }
  ASSERT_EQ(deliver(sink, batch(records)).outcome, Outcome::delivered);
  EXPECT_EQ(objects(), expected_);
}

}  // namespace
}  // namespace inlet::sinks
