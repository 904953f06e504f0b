// put_service_fake: Kinesis and Firehose in memory, for tests: takes requests apart, stores, fails,
// loses answers, and keeps an account of what a sink may never do.
//
// Answers come in random order. Events are told apart by their data, so a test makes them unique.
// One thread.

#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <simdjson.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "sinks/put_records.h"

namespace inlet::sinks {

class FakeService final : public PutClient {
 public:
  struct Event {
    std::string data;
    std::string key;  // The partition key; "" where there is none.
  };
  struct Seen {
    std::string destination;
    std::size_t events;
    std::size_t bytes;  // Of data and keys.
    aws::Call call;
  };

  // The one of Kinesis.
  static PutService dialect() {
    return {.name = "kinesis",
            .target = "Kinesis_20131202.PutRecords",
            .destination_field = "StreamName",
            .destination_chars_max = 128,
            .limits = {.records_max = 500,
                       .request_bytes_max = 5U << 20,
                       .record_bytes_max = 1U << 20,
                       .counts_encoded = false},
            .keyed = true,
            .ends_lines = false,
            .dialect = {
                .entries = "Records", .failed = "FailedRecordCount", .proof = "SequenceNumber"}};
  }

  // What it is to do.
  void seed(std::uint64_t value) { random_.seed(value); }
  void set_region(std::string region) { region_ = std::move(region); }
  void set_down(bool down) { down_ = down; }
  void set_will(std::uint64_t trouble_percent) { trouble_percent_ = trouble_percent; }
  void set_body_bytes_max(std::size_t bytes) { body_bytes_max_ = bytes; }
  void poison(std::set<std::string> data) { poison_ = std::move(data); }
  void fail_once(const std::set<std::string>& data, const std::string& code) {
    for (const std::string& one : data) fail_once_[one] = code;
  }
  void answer_once(aws::Reply reply) { answer_once_ = std::move(reply); }
  // Starts a new account.
  void forget() { *account_ = Account(); }

  // What it has seen.
  [[nodiscard]] std::vector<std::string> stored_data() const {
    std::vector<std::string> all;
    for (const Event& event : account_->stored) all.push_back(event.data);
    return all;
  }
  [[nodiscard]] std::set<std::string> keys() const {
    std::set<std::string> all;
    for (const Event& event : account_->stored) all.insert(event.key);
    return all;
  }
  [[nodiscard]] const std::vector<Seen>& seen() const { return account_->seen; }
  [[nodiscard]] std::size_t requests() const { return account_->seen.size(); }
  [[nodiscard]] std::size_t events_max() const {
    std::size_t most = 0;
    for (const Seen& seen : account_->seen) most = std::max(most, seen.events);
    return most;
  }
  [[nodiscard]] std::size_t under_way_max() const { return account_->under_way_max; }
  [[nodiscard]] std::size_t failed() const { return account_->failed; }
  [[nodiscard]] std::size_t lost_answers() const { return account_->lost_answers; }
  // Confirmed events that came again.
  [[nodiscard]] std::size_t twice() const { return account_->twice; }
  // Requests that shared a key with another one under way.
  [[nodiscard]] std::size_t shared_lanes() const { return account_->shared_lanes; }
  // The first event, in a lane where nothing failed, that was stored behind a later one; or one
  // that was sent while an earlier one of its lane had failed. "": none.
  [[nodiscard]] std::string first_out_of_order() const {
    if (!account_->overtook.empty()) return account_->overtook;
    std::map<std::string, std::uint64_t> last;
    std::set<std::string> known;
    for (const Event& event : account_->stored) {
      if (account_->troubled.contains(event.key) || !known.insert(event.data).second) continue;
      const std::uint64_t number = number_of(event.data);
      const auto [place, is_first] = last.try_emplace(event.key, number);
      if (!is_first && number <= place->second) return event.data;
      place->second = number;
    }
    return {};
  }

  // PutClient.
  [[nodiscard]] std::string region() const override { return region_; }

  [[nodiscard]] std::uint64_t start(aws::Call call) override {
    Request request = take_apart(std::move(call));
    for (const Event& event : request.events) {
      if (account_->confirmed.contains(event.data)) account_->twice++;
      const auto& failed = account_->failed_now[event.key];
      if (!failed.empty() && !failed.contains(event.data)) account_->overtook = event.data;
    }
    for (const Request& other : requests_) {
      const auto shared = [&](const Event& event) { return other.keys.contains(event.key); };
      if (!request.events.front().key.empty() &&
          std::any_of(request.events.begin(), request.events.end(), shared)) {
        account_->shared_lanes++;
      }
    }
    requests_.push_back(std::move(request));
    account_->under_way_max = std::max(account_->under_way_max, requests_.size());
    return requests_.back().id;
  }

  [[nodiscard]] std::optional<aws::Reply> finish(Microseconds) override {
    if (requests_.empty()) return std::nullopt;
    const auto chosen =
        requests_.begin() + static_cast<std::ptrdiff_t>(random_() % requests_.size());
    const Request request = std::move(*chosen);
    requests_.erase(chosen);
    aws::Reply reply = answer(request);
    reply.id = request.id;
    return reply;
  }

  // What was on its way may have arrived.
  void cancel(std::uint64_t id) override {
    const auto found = std::find_if(requests_.begin(), requests_.end(),
                                    [id](const Request& r) { return r.id == id; });
    if (found == requests_.end()) return;
    if (random_() % 2 == 0) store(*found);
    requests_.erase(found);
  }

 private:
  struct Request {
    std::uint64_t id = 0;
    std::vector<Event> events;
    std::set<std::string> keys;
    std::size_t body_bytes = 0;
    bool is_firehose = false;
  };
  struct Account {
    std::vector<Event> stored;
    std::vector<Seen> seen;
    std::set<std::string> confirmed;
    std::set<std::string> troubled;  // Lanes in which single events failed.
    std::map<std::string, std::set<std::string>> failed_now;  // By lane.
    std::string overtook;
    std::size_t twice = 0;
    std::size_t shared_lanes = 0;
    std::size_t under_way_max = 0;
    std::size_t failed = 0;
    std::size_t lost_answers = 0;
  };

  static std::uint64_t number_of(const std::string& data) {
    const std::size_t digit = data.find_first_of("0123456789");
    return digit == std::string::npos ? 0 : std::strtoull(data.c_str() + digit, nullptr, 10);
  }

  static std::string from_base64(std::string_view text) {
    static constexpr std::string_view alphabet =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string bytes;
    std::uint32_t bits = 0;
    unsigned count = 0;
    for (const char c : text) {
      if (c == '=') break;
      bits = bits << 6 | static_cast<std::uint32_t>(alphabet.find(c));
      count += 6;
      if (count < 8) continue;
      count -= 8;
      bytes += static_cast<char>(bits >> count & 0xFF);
    }
    return bytes;
  }

  Request take_apart(aws::Call call) {
    Request request{.id = ++last_id_, .body_bytes = call.body.size()};
    request.is_firehose = call.service == "firehose";
    simdjson::dom::parser parser;
    simdjson::dom::element root;
    EXPECT_EQ(parser.parse(call.body).get(root), simdjson::SUCCESS) << call.body.substr(0, 200);
    Seen seen{};
    const simdjson::dom::object fields = root.get_object();
    for (const auto field : fields) {
      if (field.value.is_string()) seen.destination = field.value.get_string().value();
    }
    const simdjson::dom::array entries = root["Records"].get_array();
    for (const auto entry : entries) {
      Event event{.data = from_base64(entry["Data"].get_string().value()), .key = {}};
      std::string_view key;
      if (entry["PartitionKey"].get_string().get(key) == simdjson::SUCCESS) event.key = key;
      seen.bytes += event.data.size() + event.key.size();
      request.keys.insert(event.key);
      request.events.push_back(std::move(event));
    }
    seen.events = request.events.size();
    seen.call = std::move(call);
    account_->seen.push_back(std::move(seen));
    return request;
  }

  void store(const Event& event) { account_->stored.push_back(event); }
  void store(const Request& request) {
    for (const Event& event : request.events) store(event);
  }

  aws::Reply answer(const Request& request) {
    if (answer_once_) return *std::exchange(answer_once_, std::nullopt);
    if (down_) return transient("nobody answers");
    if (request.body_bytes > body_bytes_max_) {
      return {.verdict = aws::Verdict::too_large, .status = 413, .why = "too large"};
    }
    for (const Event& event : request.events) {
      if (!poison_.contains(event.data)) continue;
      return {.verdict = aws::Verdict::refused,
              .status = 400,
              .code = "ValidationException",
              .why = "refused: 1 validation error"};
    }
    if (random_() % 100 < trouble_percent_) return make_trouble(request);
    return take(request, random_() % 100 < trouble_percent_ ? 1 + random_() % 100 : 0);
  }

  static aws::Reply transient(std::string why) {
    return {.verdict = aws::Verdict::transient, .why = std::move(why)};
  }

  aws::Reply make_trouble(const Request& request) {
    switch (random_() % 7) {
      case 0:
        store(request);
        account_->lost_answers++;
        return transient("timed out");
      case 1:  // Some of it arrived.
        for (const Event& event : request.events) {
          account_->troubled.insert(event.key);
          if (random_() % 2 == 0) store(event);
        }
        account_->lost_answers++;
        return transient("connection reset");
      case 2: return transient("no connection");
      case 3:
        return {.verdict = aws::Verdict::throttled,
                .status = 400,
                .code = "ProvisionedThroughputExceededException",
                .why = "slow down"};
      case 4: {  // The sink cannot know what was in the answer.
        const auto failed_now = account_->failed_now;
        aws::Reply reply = take(request, random_() % 100);
        account_->failed_now = failed_now;
        account_->lost_answers++;
        for (const Event& event : request.events) account_->confirmed.erase(event.data);
        reply.body.resize(random_() % reply.body.size());
        return reply;
      }
      case 5:
        return {.verdict = aws::Verdict::refused,
                .status = 400,
                .code = "ResourceNotFoundException",
                .why = "no such stream"};
      default:
        return {.verdict = aws::Verdict::transient, .status = 500, .code = "InternalFailure"};
    }
  }

  // Stores what does not fail, and says what did.
  aws::Reply take(const Request& request, std::uint64_t fail_percent) {
    static constexpr std::array<std::string_view, 3> codes{
        "ProvisionedThroughputExceededException", "InternalFailure", "ServiceUnavailableException"};
    std::string entries;
    std::size_t failed = 0;
    for (const Event& event : request.events) {
      std::string code;
      if (const auto found = fail_once_.find(event.data); found != fail_once_.end()) {
        code = found->second;
        fail_once_.erase(found);
      } else if (random_() % 100 < fail_percent) {
        code = codes[random_() % codes.size()];
      }
      if (!entries.empty()) entries += ',';
      if (code.empty()) {
        store(event);
        account_->confirmed.insert(event.data);
        account_->failed_now[event.key].erase(event.data);
        entries += request.is_firehose ? R"({"RecordId":"r1"})"
                                       : R"({"SequenceNumber":"1","ShardId":"shardId-0"})";
      } else {
        failed++;
        account_->troubled.insert(event.key);
        account_->failed_now[event.key].insert(event.data);
        entries += fmt::format(R"({{"ErrorCode":"{}","ErrorMessage":"no luck"}})", code);
      }
    }
    account_->failed += failed;
    return {
        .verdict = aws::Verdict::done,
        .status = 200,
        .body = fmt::format(R"({{"{}":{},"{}":[{}]}})",
                            request.is_firehose ? "FailedPutCount" : "FailedRecordCount", failed,
                            request.is_firehose ? "RequestResponses" : "Records", entries)};
  }

  std::string region_ = "eu-west-1";
  bool down_ = false;
  std::uint64_t trouble_percent_ = 0;
  std::size_t body_bytes_max_ = SIZE_MAX;
  std::set<std::string> poison_;
  std::map<std::string, std::string> fail_once_;
  std::optional<aws::Reply> answer_once_;

  std::mt19937_64 random_{1};
  std::uint64_t last_id_ = 0;
  std::vector<Request> requests_;
  std::unique_ptr<Account> account_ = std::make_unique<Account>();
};

}  // namespace inlet::sinks
