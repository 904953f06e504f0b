// Goal: every record a destination can take arrives, in the order of its tenant and stream, once
//   per key; what it refuses is found and rejected, and nothing else is; a destination that is
//   down, slow or wrong loses nothing and is not pressed.
// Method: a scripted HTTP server behind a real sink: each meaning of an answer by itself, then
//   random mixtures of failures, lost answers and restarts, judged by what the server stored.

#include "sinks/http_sink.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <latch>
#include <mutex>
#include <random>
#include <set>

#include "codec/decode.h"
#include "fetch/raw_server.h"

namespace inlet::sinks {
namespace {

using fetch::RawConnection;
using fetch::RawRequest;
using fetch::RawServer;

constexpr Microseconds second_us = 1'000'000;
constexpr Microseconds patience_us = 20 * second_us;

// What the destination does with one request.
struct Reaction {
  int status = 200;  // 0: reset instead of an answer.
  std::string body = "";
  std::string headers = "";  // Lines with their ends.
  bool stores_anyway = false;
};

std::string unpacked(const RawRequest& request) {
  const auto coding = request.headers.find("content-encoding");
  if (coding == request.headers.end()) return request.body;
  codec::Decoder decoder;
  std::string text;
  EXPECT_TRUE(decoder.decode(codec::parse_encoding(coding->second), as_bytes(request.body),
                             1U << 30, text));
  return text;
}

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    lines.emplace_back(text.substr(0, text.find('\n')));
    text.remove_prefix(std::min(text.size(), lines.back().size() + 1));
  }
  return lines;
}

// Keeps every request, and by target the lines of those it took, each key once.
class Destination {
 public:
  using Script = std::function<Reaction(const RawRequest&)>;

  explicit Destination(Script script = [](const RawRequest&) { return Reaction(); })
      : script_(std::move(script)), server_([this](RawConnection& peer) { serve(peer); }) {}

  void set_script(Script script) {
    const std::lock_guard lock(mutex_);
    script_ = std::move(script);
  }
  std::vector<RawRequest> seen() {
    const std::lock_guard lock(mutex_);
    return seen_;
  }
  void forget() {
    const std::lock_guard lock(mutex_);
    seen_.clear();
    stored_.clear();
    keys_.clear();
  }
  std::map<std::string, std::vector<std::string>> stored() {
    const std::lock_guard lock(mutex_);
    return stored_;
  }
  std::string url(std::string_view path = "/in/{tenant}/{stream}") { return server_.url(path); }
  int most_of_one_target() {
    const std::lock_guard lock(mutex_);
    return most_of_one_target_;
  }
  void stop() { server_.stop(); }

 private:
  void serve(RawConnection& peer) {
    while (const auto request = peer.read()) {
      std::unique_lock lock(mutex_);
      seen_.push_back(*request);
      most_of_one_target_ = std::max(most_of_one_target_, ++under_way_[request->target]);
      const Script script = script_;
      lock.unlock();
      const Reaction reaction = script(*request);
      lock.lock();
      under_way_[request->target]--;
      const bool takes = reaction.status >= 200 && reaction.status <= 299;
      if (takes || reaction.stores_anyway) store(*request);
      lock.unlock();
      if (reaction.status == 0) return peer.reset();
      peer.answer(reaction.status, reaction.body, reaction.headers);
    }
  }

  void store(const RawRequest& request) {
    const auto [place, is_new] = keys_.emplace(request.headers.at("idempotency-key"), request.body);
    EXPECT_EQ(place->second, request.body) << "one key, two bodies: " << place->first;
    if (!is_new) return;
    auto& lines = stored_[request.target];
    for (std::string& line : lines_of(unpacked(request))) lines.push_back(std::move(line));
  }

  std::mutex mutex_;
  Script script_;
  std::vector<RawRequest> seen_;
  std::map<std::string, std::vector<std::string>> stored_;
  std::map<std::string, std::string> keys_;
  std::map<std::string, int> under_way_;
  int most_of_one_target_ = 0;
  RawServer server_;  // Last: it ends first.
};

std::string name_of(int i) { return fmt::format("s{}", i); }

Reaction answer(int status, std::string body = "", std::string headers = "") {
  return {.status = status, .body = std::move(body), .headers = std::move(headers)};
}

// Refuses requests that hold any of these words, as a destination that validates would.
Destination::Script refusing(int status, const std::set<std::string>& words) {
  return [=](const RawRequest& request) {
    for (const std::string& line : lines_of(unpacked(request))) {
      if (words.contains(line)) return answer(status, "cannot take " + line);
    }
    return Reaction();
  };
}

class HttpSinkTest : public testing::Test {
 protected:
  HttpSinkTest() {
    for (const char* name : {"http_proxy", "all_proxy", "ALL_PROXY"}) ::unsetenv(name);
  }

  // Bare lines, so that what arrives is what was sent.
  HttpSinkOptions options(Destination& to) {
    HttpSinkOptions made;
    made.url = to.url();
    made.body.envelope = false;
    made.timeout_us = patience_us;
    return made;
  }
  std::unique_ptr<HttpSink> make(HttpSinkOptions with) {
    auto sink = HttpSink::create(clock_, std::move(with));
    EXPECT_TRUE(sink) << sink.error().what;
    return std::move(*sink);
  }

  // Records 1, 2, …, each a line of its own; streams in turn.
  void add(const std::string& body, std::string_view stream, std::string_view tenant = "t") {
    Record record;
    record.sequence = records_.size() + 1;
    record.tenant = tenant;
    record.stream = stream;
    record.content_type = "text/plain";
    record.body = as_bytes(bodies_.emplace_back(body));
    records_.push_back(record);
  }
  void add_many(int count, std::string_view stream) {
    for (int i = 0; i < count; i++) add(std::string(stream) + std::to_string(i), stream);
  }
  Batch batch() const {
    return {.name = {.node = "n-0000000000aa", .first = 1, .last = records_.size()},
            .journal_id = 0xAA,
            .records = records_};
  }

  Delivery deliver(HttpSink& sink) {
    sink.start(batch());
    const auto answer = sink.finish(patience_us);
    EXPECT_TRUE(answer.has_value());
    if (!answer) return {.outcome = Outcome::retry, .why = "no answer in time"};
    EXPECT_EQ(answer->first, 1U);
    EXPECT_EQ(answer->delivery.outcome == Outcome::delivered, answer->delivery.why.empty());
    return answer->delivery;
  }
  std::vector<std::string> expected(std::string_view stream) const {
    std::vector<std::string> lines;
    for (const Record& record : records_) {
      if (record.stream == stream) lines.emplace_back(as_text(record.body));
    }
    return lines;
  }
  static std::vector<std::uint64_t> sequences(const Delivery& delivery) {
    std::vector<std::uint64_t> found;
    for (const Rejection& rejection : delivery.rejected) found.push_back(rejection.sequence);
    return found;
  }

  SystemClock clock_;
  std::deque<std::string> bodies_;
  std::vector<Record> records_;
};

using Sequences = std::vector<std::uint64_t>;

TEST_F(HttpSinkTest, every_lane_arrives_whole_and_in_order) {
  Destination to;
  for (int i = 0; i < 300; i++) add("line" + std::to_string(i), i % 3 == 0 ? "a" : "b");
  add("other", "a", "u");
  HttpSinkOptions with = options(to);
  with.request_records_max = 7;
  const auto sink = make(with);
  const Delivery delivery = deliver(*sink);
  EXPECT_EQ(delivery.outcome, Outcome::delivered);
  EXPECT_TRUE(delivery.rejected.empty());
  auto other = expected("a");
  other.pop_back();
  EXPECT_EQ(to.stored()["/in/t/a"], other);
  EXPECT_EQ(to.stored()["/in/t/b"], expected("b"));
  EXPECT_EQ(to.stored()["/in/u/a"], std::vector<std::string>{"other"});
  EXPECT_EQ(to.most_of_one_target(), 1) << "requests of a lane overlap";
}

TEST_F(HttpSinkTest, requests_say_what_they_are) {
  Destination to;
  add("one", "a");
  add("two", "b");
  add("three", "a");
  HttpSinkOptions with = options(to);
  with.method = "PUT";
  with.headers = {{"X-Mine", "yes"}};
  with.user = "who";
  with.password = "pass:word";
  const auto sink = make(with);
  EXPECT_EQ(deliver(*sink).outcome, Outcome::delivered);
  std::map<std::string, RawRequest> by_target;
  for (const RawRequest& request : to.seen()) by_target[request.target] = request;
  ASSERT_EQ(by_target.size(), 2U);
  auto& headers = by_target["/in/t/a"].headers;
  EXPECT_EQ(by_target["/in/t/a"].method, "PUT");
  EXPECT_EQ(by_target["/in/t/a"].body, "one\nthree\n");
  EXPECT_EQ(headers["content-type"], "application/x-ndjson");
  EXPECT_EQ(headers["idempotency-key"], "n-0000000000aa-000000000001-000000000003");
  EXPECT_EQ(headers["x-inlet-batch"], "n-0000000000aa-000000000001-000000000003");
  EXPECT_EQ(headers["x-mine"], "yes");
  EXPECT_EQ(headers["authorization"], "Basic d2hvOnBhc3M6d29yZA==");
  EXPECT_EQ(by_target["/in/t/b"].headers["idempotency-key"],
            "n-0000000000aa-000000000002-000000000002");
}

TEST_F(HttpSinkTest, the_content_type_and_a_token_may_be_set) {
  Destination to;
  add("one", "a");
  HttpSinkOptions with = options(to);
  with.headers = {{"content-TYPE", "text/plain"}};
  with.bearer = "token";
  EXPECT_EQ(deliver(*make(with)).outcome, Outcome::delivered);
  const RawRequest request = to.seen().at(0);
  EXPECT_EQ(request.headers.at("content-type"), "text/plain");
  EXPECT_EQ(request.headers.at("authorization"), "Bearer token");
}

TEST_F(HttpSinkTest, a_repeat_after_a_crash_has_the_same_keys_and_bytes) {
  Destination to(refusing(400, {"b13"}));
  add_many(40, "a");
  add_many(40, "b");
  HttpSinkOptions with = options(to);
  with.body.bytes_max = 40;
  with.body.compression = Compression::gzip;
  std::vector<std::set<std::pair<std::string, std::string>>> runs;
  for (int run = 0; run < 2; run++) {
    to.forget();
    const Delivery delivery = deliver(*make(with));
    EXPECT_EQ(delivery.outcome, Outcome::delivered);
    EXPECT_EQ(sequences(delivery), Sequences{54});
    runs.emplace_back();
    for (const RawRequest& request : to.seen()) {
      const auto made = std::pair(request.headers.at("idempotency-key"), request.body);
      EXPECT_TRUE(runs.back().insert(made).second) << "sent twice: " << made.first;
    }
  }
  EXPECT_GT(runs[0].size(), 10U);
  EXPECT_EQ(runs[0], runs[1]);
}

TEST_F(HttpSinkTest, lanes_run_in_parallel_up_to_the_limit) {
  constexpr int allowed = 5;
  std::mutex mutex;
  std::condition_variable changed;
  int arrived = 0;
  int under_way = 0;
  int most = 0;
  Destination to([&](const RawRequest&) {
    std::unique_lock lock(mutex);
    arrived++;
    most = std::max(most, ++under_way);
    changed.notify_all();  // No answer before as many as may be are there.
    changed.wait(lock, [&] { return most >= allowed || arrived == 20; });
    under_way--;
    return Reaction();
  });
  std::deque<std::string> names;
  for (int i = 0; i < 20; i++) add("x", names.emplace_back(name_of(i)));
  HttpSinkOptions with = options(to);
  with.in_flight = allowed;
  EXPECT_EQ(deliver(*make(with)).outcome, Outcome::delivered);
  EXPECT_EQ(most, allowed);
  EXPECT_EQ(to.seen().size(), 20U);
}

TEST_F(HttpSinkTest, no_request_is_larger_than_allowed_unless_it_is_one_record) {
  Destination to;
  std::mt19937 random(7);
  for (int i = 0; i < 500; i++) add(std::string(1 + random() % 150, 'x'), "a");
  HttpSinkOptions with = options(to);
  with.body.bytes_max = 100;
  with.request_records_max = 5;
  EXPECT_EQ(deliver(*make(with)).outcome, Outcome::delivered);
  EXPECT_EQ(to.stored()["/in/t/a"], expected("a"));
  for (const RawRequest& request : to.seen()) {
    const std::size_t records = lines_of(request.body).size();
    EXPECT_LE(records, 5U);
    EXPECT_TRUE(request.body.size() <= 100 || records == 1) << request.body.size();
  }
}

TEST_F(HttpSinkTest, answers_mean_what_they_mean) {
  const std::map<int, Outcome> meanings{
      {200, Outcome::delivered}, {202, Outcome::delivered}, {204, Outcome::delivered},
      {301, Outcome::retry},     {307, Outcome::retry},     {401, Outcome::retry},
      {403, Outcome::retry},     {404, Outcome::retry},     {405, Outcome::retry},
      {408, Outcome::retry},     {409, Outcome::retry},     {429, Outcome::slow_down},
      {500, Outcome::retry},     {502, Outcome::retry},     {503, Outcome::slow_down},
      {504, Outcome::retry},     {0, Outcome::retry},       {400, Outcome::delivered},
      {413, Outcome::delivered}, {415, Outcome::delivered}, {422, Outcome::delivered}};
  add("one", "a");
  for (const auto& [status, outcome] : meanings) {
    Destination to(
        [status](const RawRequest&) { return answer(status, status == 204 ? "" : "x"); });
    const Delivery delivery = deliver(*make(options(to)));
    EXPECT_EQ(delivery.outcome, outcome) << status;
    const bool refused = status >= 400 && outcome == Outcome::delivered;
    EXPECT_EQ(delivery.rejected.size(), refused ? 1U : 0U) << status;
    EXPECT_EQ(to.seen().size(), refused ? 2U : 1U) << status;
    if (status == 0 || outcome == Outcome::delivered) continue;
    EXPECT_NE(delivery.why.find(std::to_string(status)), std::string::npos) << delivery.why;
  }
}

TEST_F(HttpSinkTest, a_sentence_quotes_the_answer_but_no_secret) {
  Destination to([](const RawRequest& request) {
    return answer(403, "no\r\n\x01 for " + request.headers.at("authorization") + " and " +
                           request.headers.at("x-key") + std::string(1000, '.'));
  });
  add("one", "a");
  for (const bool bearer : {true, false}) {
    HttpSinkOptions with = options(to);
    with.url += "?token=in-the-url";
    with.headers = {{"X-Key", "key-value"}};
    with.bearer = bearer ? "the-token" : "";
    with.user = bearer ? "" : "someone";
    with.password = "the-password";
    const std::string why = deliver(*make(with)).why;
    EXPECT_NE(why.find("answered 403: \"no??? for "), std::string::npos) << why;
    EXPECT_NE(why.find("127.0.0.1"), std::string::npos) << why;
    EXPECT_LE(why.size(), 260U);
    for (const char* secret :
         {"the-token", "the-password", "key-value", "c29tZW9uZ", "in-the-url"}) {
      EXPECT_EQ(why.find(secret), std::string::npos) << why;
    }
  }
}

TEST_F(HttpSinkTest, a_destination_that_is_down_is_a_retry) {
  Destination to;
  add_many(5, "a");
  const auto sink = make(options(to));
  to.stop();
  const Delivery delivery = deliver(*sink);
  EXPECT_EQ(delivery.outcome, Outcome::retry);
  EXPECT_FALSE(delivery.why.empty());
}

TEST_F(HttpSinkTest, a_silent_destination_is_a_retry_within_the_timeout) {
  std::latch over(1);
  Destination to([&](const RawRequest&) {
    over.wait();
    return Reaction();
  });
  add("one", "a");
  HttpSinkOptions with = options(to);
  with.timeout_us = second_us / 5;
  EXPECT_EQ(deliver(*make(with)).outcome, Outcome::retry);
  over.count_down();
}

TEST_F(HttpSinkTest, retry_after_is_passed_on) {
  add("one", "a");
  add("two", "b");
  Destination to([](const RawRequest& request) {
    const bool is_a = request.target == "/in/t/a";
    return answer(429, "", is_a ? "Retry-After: 7\r\n" : "Retry-After: 90\r\n");
  });
  const Delivery delivery = deliver(*make(options(to)));
  EXPECT_EQ(delivery.outcome, Outcome::slow_down);
  EXPECT_LE(delivery.retry_after_us, 90 * second_us);
  EXPECT_GT(delivery.retry_after_us, 90 * second_us - patience_us);
  to.set_script([](const RawRequest&) { return answer(503); });
  EXPECT_EQ(deliver(*make(options(to))).retry_after_us, 0);
}

TEST_F(HttpSinkTest, what_arrived_is_left_out_of_the_repeat) {
  for (const int status : {500, 503, 0}) {
    records_.clear();
    add_many(40, "a");
    add_many(40, "b");
    Destination to;
    to.set_script([&](const RawRequest& request) {
      return request.body.contains("a25\n") ? answer(status) : Reaction();
    });
    HttpSinkOptions with = options(to);
    with.request_records_max = 10;
    const auto sink = make(with);
    EXPECT_NE(deliver(*sink).outcome, Outcome::delivered);
    EXPECT_EQ(to.stored()["/in/t/b"], expected("b")) << "only the lane that was hit stops";
    EXPECT_EQ(to.stored()["/in/t/a"].size(), 20U);
    const std::size_t before = to.seen().size();
    EXPECT_NE(deliver(*sink).outcome, Outcome::delivered);
    EXPECT_EQ(to.seen().size(), before + 1);
    to.set_script([](const RawRequest&) { return Reaction(); });
    EXPECT_EQ(deliver(*sink).outcome, Outcome::delivered);
    EXPECT_EQ(to.seen().size(), before + 3);
    EXPECT_EQ(to.stored()["/in/t/a"], expected("a"));
    // The next batch, if it had the same name, would be another.
    to.forget();
    EXPECT_EQ(deliver(*sink).outcome, Outcome::delivered);
    EXPECT_EQ(to.stored()["/in/t/a"], expected("a"));
  }
}

TEST_F(HttpSinkTest, another_batch_does_not_inherit_progress) {
  add_many(4, "a");
  Destination to([](const RawRequest& request) {
    return request.body.contains("a3") ? answer(500) : Reaction();
  });
  HttpSinkOptions with = options(to);
  with.request_records_max = 1;
  const auto sink = make(with);
  EXPECT_EQ(deliver(*sink).outcome, Outcome::retry);
  to.forget();
  add("a4", "a");  // One more: the range and with it the name differ.
  EXPECT_EQ(deliver(*sink).outcome, Outcome::retry);
  EXPECT_EQ(to.stored()["/in/t/a"], (std::vector<std::string>{"a0", "a1", "a2"}));
}

TEST_F(HttpSinkTest, a_down_destination_is_not_asked_for_every_lane) {
  std::deque<std::string> names;
  for (int i = 0; i < 100; i++) add("x", names.emplace_back(name_of(i)));
  Destination to([](const RawRequest&) { return answer(503); });
  const auto sink = make(options(to));
  std::set<std::string> asked;
  for (int attempt = 1; attempt <= 10; attempt++) {
    to.forget();
    EXPECT_EQ(deliver(*sink).outcome, Outcome::slow_down);
    EXPECT_LE(to.seen().size(), 8U);  // in_flight in a row, and those that were under way.
    for (const RawRequest& request : to.seen()) asked.insert(request.target);
  }
  EXPECT_GE(asked.size(), 40U) << "later attempts ask for other lanes";
  to.set_script([](const RawRequest&) { return Reaction(); });
  EXPECT_EQ(deliver(*sink).outcome, Outcome::delivered);
  EXPECT_EQ(to.stored().size(), 100U);
}

TEST_F(HttpSinkTest, refused_records_are_found_and_others_arrive_in_order) {
  for (const int status : {400, 413, 415, 422}) {
    records_.clear();
    add_many(100, "a");
    add_many(10, "b");
    Destination to(refusing(status, {"a0", "a17", "a18", "a64", "a99"}));
    HttpSinkOptions with = options(to);
    with.request_records_max = 60;
    const Delivery delivery = deliver(*make(with));
    EXPECT_EQ(delivery.outcome, Outcome::delivered);
    EXPECT_EQ(sequences(delivery), (Sequences{1, 18, 19, 65, 100}));
    EXPECT_NE(delivery.rejected[1].why.find(std::to_string(status)), std::string::npos);
    EXPECT_NE(delivery.rejected[1].why.find("cannot take a17"), std::string::npos);
    auto rest = expected("a");
    std::erase_if(rest, [](const std::string& line) {
      return std::set<std::string>{"a0", "a17", "a18", "a64", "a99"}.contains(line);
    });
    EXPECT_EQ(to.stored()["/in/t/a"], rest);
    EXPECT_EQ(to.stored()["/in/t/b"], expected("b"));
  }
}

TEST_F(HttpSinkTest, a_request_that_is_too_large_is_cut_until_it_fits) {
  Destination to([](const RawRequest& request) {
    return request.body.size() > 50 ? answer(413) : Reaction();
  });
  add_many(64, "a");
  const Delivery delivery = deliver(*make(options(to)));
  EXPECT_EQ(delivery.outcome, Outcome::delivered);
  EXPECT_TRUE(delivery.rejected.empty());
  EXPECT_EQ(to.stored()["/in/t/a"], expected("a"));
}

TEST_F(HttpSinkTest, a_record_refused_once_by_mistake_is_not_rejected) {
  int requests = 0;
  Destination to([&](const RawRequest&) { return ++requests == 1 ? answer(400) : Reaction(); });
  add("one", "a");
  const Delivery delivery = deliver(*make(options(to)));
  EXPECT_EQ(delivery.outcome, Outcome::delivered);
  EXPECT_TRUE(delivery.rejected.empty());
  EXPECT_EQ(to.stored()["/in/t/a"], expected("a"));
}

TEST_F(HttpSinkTest, rejections_survive_a_retry) {
  add_many(8, "a");
  Destination to([](const RawRequest& request) {
    if (request.body.contains("a2\n")) return answer(400);
    return request.body.contains("a6\n") ? answer(500) : Reaction();
  });
  const auto sink = make(options(to));
  EXPECT_EQ(deliver(*sink).outcome, Outcome::retry);
  to.set_script(refusing(400, {"a2"}));
  const Delivery delivery = deliver(*sink);
  EXPECT_EQ(delivery.outcome, Outcome::delivered);
  EXPECT_EQ(sequences(delivery), Sequences{3});
  EXPECT_EQ(to.stored()["/in/t/a"],
            (std::vector<std::string>{"a0", "a1", "a3", "a4", "a5", "a6", "a7"}));
}

TEST_F(HttpSinkTest, an_array_holds_every_line_as_an_element) {
  add("plain \"text\"\nin lines", "a");
  add(R"({"n": 12345678901234567890123})", "a");
  add("7", "a");
  add("", "a");
  Destination to;
  HttpSinkOptions with = options(to);
  with.body.shape = HttpBody::json;
  EXPECT_EQ(deliver(*make(with)).outcome, Outcome::delivered);
  EXPECT_EQ(to.seen().at(0).body,
            R"(["plain \"text\"","in lines",{"n": 12345678901234567890123},7,""])");
  EXPECT_EQ(to.seen().at(0).headers.at("content-type"), "application/json");

  to.forget();
  with.body.envelope = true;
  EXPECT_EQ(deliver(*make(with)).outcome, Outcome::delivered);
  const std::string body = to.seen().at(0).body;
  EXPECT_TRUE(codec::scan_json(body)) << body;
  EXPECT_EQ(codec::ArrayElements(body).next(*std::make_unique<std::string_view>()), true);
  std::size_t elements = 0;
  codec::ArrayElements all(body);
  for (std::string_view element; all.next(element);) elements++;
  EXPECT_EQ(elements, 4U);
}

TEST_F(HttpSinkTest, bytes_that_cannot_stand_in_a_bare_array_are_rejected) {
  add("one", "a");
  add("\xFF\xFE", "a");
  add("\xFF", "a");
  add("two", "a");
  add("\xFF", "b");
  Destination to;
  HttpSinkOptions with = options(to);
  with.body.shape = HttpBody::json;
  const Delivery delivery = deliver(*make(with));
  EXPECT_EQ(delivery.outcome, Outcome::delivered);
  EXPECT_EQ(sequences(delivery), (Sequences{2, 3, 5}));
  EXPECT_EQ(to.stored()["/in/t/a"], (std::vector<std::string>{R"(["one"])", R"(["two"])"}));
}

TEST_F(HttpSinkTest, a_record_that_becomes_too_many_lines_is_rejected) {
  std::string many;
  for (int i = 0; i < 1'000'000; i++) many += "1\n";
  add("one", "a");
  add(many, "a");
  add("two", "a");
  Destination to;
  HttpSinkOptions with = options(to);
  with.body.envelope = true;
  with.formats["a"] = BodyFormat::ndjson;
  const Delivery delivery = deliver(*make(with));
  EXPECT_EQ(delivery.outcome, Outcome::delivered);
  EXPECT_EQ(sequences(delivery), Sequences{2});
  EXPECT_EQ(to.stored()["/in/t/a"].size(), 2U);
}

TEST_F(HttpSinkTest, bodies_are_compressed_as_they_say) {
  add_many(1000, "a");
  for (const auto& [compression, coding] :
       {std::pair(Compression::gzip, "gzip"), std::pair(Compression::zstd, "zstd")}) {
    Destination to;
    HttpSinkOptions with = options(to);
    with.body.compression = compression;
    with.body.bytes_max = 2000;
    EXPECT_EQ(deliver(*make(with)).outcome, Outcome::delivered);
    EXPECT_EQ(to.stored()["/in/t/a"], expected("a"));
    EXPECT_EQ(to.seen().at(0).headers.at("content-encoding"), coding);
  }
}

TEST_F(HttpSinkTest, names_are_encoded_in_the_url) {
  Destination to;
  add("one", "a/b c?%", "\xC3\xA4..#");
  HttpSinkOptions with = options(to);
  with.url = to.url("/{stream}/x?t={tenant}&s={stream}");
  EXPECT_EQ(deliver(*make(with)).outcome, Outcome::delivered);
  EXPECT_EQ(to.seen().at(0).target, "/a%2Fb%20c%3F%25/x?t=%C3%A4..%23&s=a%2Fb%20c%3F%25");
}

TEST_F(HttpSinkTest, an_empty_batch_is_delivered) {
  Destination to;
  const auto sink = make(options(to));
  EXPECT_FALSE(sink->finish(0)) << "nothing was started";
  EXPECT_EQ(deliver(*sink).outcome, Outcome::delivered);
  EXPECT_FALSE(sink->finish(0)) << "answered already";
}

TEST_F(HttpSinkTest, an_abandoned_batch_may_come_again) {
  add_many(20, "a");
  add_many(20, "b");
  std::latch there(2);
  std::latch over(1);
  Destination to;
  to.set_script([&](const RawRequest&) {
    there.count_down();
    over.wait();
    return Reaction();
  });
  HttpSinkOptions with = options(to);
  with.request_records_max = 5;
  const auto sink = make(with);
  sink->start(batch());
  while (!there.try_wait()) EXPECT_FALSE(sink->finish(second_us / 100));
  sink->abandon();
  EXPECT_FALSE(sink->finish(patience_us));
  to.set_script([](const RawRequest&) { return Reaction(); });
  over.count_down();
  EXPECT_EQ(deliver(*sink).outcome, Outcome::delivered);
  EXPECT_EQ(to.stored()["/in/t/a"], expected("a"));
  EXPECT_EQ(to.stored()["/in/t/b"], expected("b"));
}

TEST_F(HttpSinkTest, options_that_make_no_sense_are_not_taken) {
  Destination to;
  const auto refuses = [&](const std::function<void(HttpSinkOptions&)>& change) {
    HttpSinkOptions with = options(to);
    change(with);
    const auto sink = HttpSink::create(clock_, std::move(with));
    return !sink && sink.error().kind == ErrorKind::reject;
  };
  EXPECT_FALSE(refuses([](auto&) {}));
  for (const char* url : {"", "ftp://h/", "http://", "http:///x", "http://{tenant}.h/",
                          "http://h/{x}", "http://h/}", "http://h/ x", "http://u:p@h/"}) {
    EXPECT_TRUE(refuses([url](auto& with) { with.url = url; })) << url;
  }
  EXPECT_TRUE(refuses([](auto& with) { with.method = "GET"; }));
  EXPECT_TRUE(refuses([](auto& with) { with.in_flight = 0; }));
  EXPECT_TRUE(refuses([](auto& with) { with.bearer = "a\nb"; }));
  EXPECT_TRUE(refuses([](auto& with) { with.user = "a:b"; }));
  EXPECT_TRUE(refuses([](auto& with) { with.bearer = with.user = "both"; }));
  EXPECT_TRUE(refuses([](auto& with) { with.headers = {{"A", "b\r\nC: d"}}; }));
  EXPECT_TRUE(refuses([](auto& with) { with.headers = {{"A B", "b"}}; }));
  EXPECT_TRUE(refuses([](auto& with) { with.headers = {{"Idempotency-Key", "b"}}; }));
}

// One random destination and one random batch until it is delivered.
class RandomDeliveries : public HttpSinkTest {
 protected:
  void run(std::mt19937& random) {
    std::set<std::string> poison;
    records_.clear();
    bodies_.clear();
    const int count = 1 + static_cast<int>(random() % 60);
    const std::vector<std::string> streams{"a", "b", "c", "d", "e", "f"};
    for (int i = 0; i < count; i++) {
      const std::string line = "l" + std::to_string(i);
      if (random() % 12 == 0) poison.insert(line);
      add(line, streams[random() % (1 + random() % streams.size())]);
    }
    Destination to([&, refuse = refusing(422, poison)](const RawRequest& request) {
      const std::lock_guard lock(mutex_);
      switch (random() % 8) {
        case 0: return answer(std::array{500, 429, 503, 404, 301}[random() % 5]);
        case 1: return answer(0);
        case 2: {
          Reaction lost = refuse(request);  // The answer is lost, the request was not.
          lost.stores_anyway = lost.status == 200;
          lost.status = 0;
          return lost;
        }
        default: return refuse(request);
      }
    });
    deliver_at_last(to, random);
    EXPECT_EQ(rejected_lines_, poison);
    for (const std::string& stream : streams) {
      auto lines = expected(stream);
      std::erase_if(lines, [&](const std::string& line) { return poison.contains(line); });
      EXPECT_EQ(to.stored()["/in/t/" + stream], lines);
    }
    EXPECT_LE(to.most_of_one_target(), 1);
  }

 private:
  void deliver_at_last(Destination& to, std::mt19937& random) {
    HttpSinkOptions with = options(to);
    {
      const std::lock_guard lock(mutex_);
      with.body.bytes_max = 1 + random() % 60;
      with.request_records_max = 1 + random() % 20;
      with.in_flight = 1 + random() % 4;
      with.body.compression = static_cast<Compression>(random() % 3);
    }
    auto sink = make(with);
    for (int attempt = 0; attempt < 1000; attempt++) {
      const Delivery delivery = deliver(*sink);
      if (delivery.outcome == Outcome::delivered) {
        rejected_lines_.clear();
        for (const std::uint64_t sequence : sequences(delivery)) {
          rejected_lines_.emplace(as_text(records_[sequence - 1].body));
        }
        return;
      }
      const std::lock_guard lock(mutex_);
      if (attempt < 30 && random() % 4 == 0) sink = make(with);  // The process died.
    }
    FAIL() << "never delivered";
  }

  std::mutex mutex_;  // Of the random numbers.
  std::set<std::string> rejected_lines_;
};

TEST_F(RandomDeliveries, everything_arrives_once_in_order_or_is_rejected) {
  const unsigned seed = std::random_device()();
  std::printf("seed %u\n", seed);
  std::mt19937 random(seed);
  for (int i = 0; i < 150; i++) {
    run(random);
    ASSERT_FALSE(HasFailure()) << "seed " << seed << ", batch " << i;
  }
}

}  // namespace
}  // namespace inlet::sinks
