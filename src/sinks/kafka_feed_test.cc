// Goal: a batch gives the same row of messages however often it is interrupted, and every message
//   carries what its record said.
// Method: a taker that refuses at every place in turn, and at random; rows compared with the one of
//   a taker that never refuses.

#include "sinks/kafka_feed.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <vector>

#include "base/names.h"

namespace inlet::sinks {
namespace {

struct Taken {
  KafkaPlace place;
  std::string key;
  std::string value;
  std::map<std::string, std::string> headers;
  bool too_large = false;
  bool operator==(const Taken&) const = default;
};

class Taker final : public KafkaTaker {
 public:
  bool take(KafkaPlace place, const Record&, const KafkaMessage& message) override {
    if (refuse && refuse()) return false;
    Taken taken{.place = place,
                .key = std::string(message.key),
                .value = std::string(as_text(message.value))};
    for (const KafkaHeader& header : message.headers) {
      EXPECT_TRUE(taken.headers.emplace(header.name, header.value).second);
    }
    row.push_back(std::move(taken));
    return true;
  }
  bool take_too_large(KafkaPlace place, const Record&, std::size_t bytes) override {
    if (refuse && refuse()) return false;
    row.push_back({.place = place, .value = std::to_string(bytes), .too_large = true});
    return true;
  }

  std::function<bool()> refuse;
  std::vector<Taken> row;
};

class KafkaFeedTest : public testing::Test {
 protected:
  Record& add(std::string_view body, std::string_view content_type) {
    records_.push_back({.sequence = records_.size() + 7,
                        .received_us = 1'700'000'000'123'456,
                        .tenant = "acme",
                        .stream = "web",
                        .content_type = content_type,
                        .body = as_bytes(body)});
    return records_.back();
  }
  Batch batch() const {
    return {.name = {.node = "n", .first = 7, .last = 6 + records_.size()},
            .journal_id = 0xabc,
            .records = records_};
  }
  std::vector<Taken> row(std::function<bool()> refuse = {}) {
    KafkaFeed feed(options_);
    feed.start(batch());
    Taker taker;
    taker.refuse = std::move(refuse);
    for (int rounds = 0; !feed.at_end(); rounds++) {
      EXPECT_LT(rounds, 10'000);
      feed.offer(taker);
    }
    return std::move(taker.row);
  }
  static std::string id(std::uint64_t sequence) { return record_id(0xabc, sequence); }

  KafkaSinkOptions options_;
  std::vector<Record> records_;
};

TEST_F(KafkaFeedTest, a_record_is_a_message_with_its_body_and_what_is_known_of_it) {
  Record& record = add("\x1f\x8b??", "application/x-ndjson");
  record.content_encoding = "gzip";
  record.peer = "10.0.0.1";
  record.trace_id = "00-aa-bb-01";
  record.idempotency_key = "k1";
  add("", "");
  const auto taken = row();
  ASSERT_EQ(taken.size(), 2U);
  EXPECT_EQ(taken[0].key, "acme/web");
  EXPECT_EQ(taken[0].value, "\x1f\x8b??");
  const std::map<std::string, std::string> all = {
      {"inlet-id", id(7)},
      {"inlet-tenant", "acme"},
      {"inlet-stream", "web"},
      {"inlet-received-at", "2023-11-14T22:13:20.123456Z"},
      {"content-type", "application/x-ndjson"},
      {"content-encoding", "gzip"},
      {"trace", "00-aa-bb-01"},
      {"idempotency-key", "k1"},
      {"peer", "10.0.0.1"}};
  EXPECT_EQ(taken[0].headers, all);
  EXPECT_EQ(taken[1].value, "");
  EXPECT_EQ(taken[1].headers.at("inlet-id"), id(8));
  EXPECT_FALSE(taken[1].headers.contains("content-type"));
}

TEST_F(KafkaFeedTest, an_event_is_a_message_with_an_id_of_its_own) {
  options_.events = KafkaEvents::event;
  options_.key = KafkaKey::id;
  add("{\"a\":1}\n{\"a\":2}\n", "application/x-ndjson");
  add("{\"b\":1}", "application/json");
  const auto taken = row();
  ASSERT_EQ(taken.size(), 3U);
  EXPECT_EQ(taken[0].headers.at("inlet-id"), id(7) + ".0");
  EXPECT_EQ(taken[1].headers.at("inlet-id"), id(7) + ".1");
  EXPECT_EQ(taken[1].key, id(7) + ".1");
  EXPECT_EQ(taken[1].place, (KafkaPlace{0, 1}));
  EXPECT_EQ(taken[2].headers.at("inlet-id"), id(8));
  EXPECT_EQ(taken[2].value, "{\"id\":\"" + id(8) +
                                "\",\"tenant\":\"acme\",\"stream\":\"web\",\"received_at\":"
                                "\"2023-11-14T22:13:20.123456Z\",\"data\":{\"b\":1}}");
}

TEST_F(KafkaFeedTest, the_key_is_chosen) {
  add("x", "");
  EXPECT_EQ(row()[0].key, "acme/web");
  options_.key = KafkaKey::id;
  EXPECT_EQ(row()[0].key, id(7));
  options_.key = KafkaKey::none;
  EXPECT_EQ(row()[0].key, "");
}

TEST_F(KafkaFeedTest, an_event_that_is_too_large_is_named_and_the_rest_comes) {
  options_.events = KafkaEvents::event;
  options_.message_bytes_max = 1000;
  const std::string body = "{\"a\":1}\n{\"a\":\"" + std::string(100'000, 'x') + "\"}\n{\"a\":3}\n";
  add(body, "application/x-ndjson");
  const auto taken = row();
  ASSERT_EQ(taken.size(), 3U);
  EXPECT_FALSE(taken[0].too_large);
  EXPECT_TRUE(taken[1].too_large);
  EXPECT_GT(std::stoul(taken[1].value), 100'000U);
  EXPECT_EQ(taken[2].place, (KafkaPlace{0, 2}));
}

TEST_F(KafkaFeedTest, an_interrupted_row_goes_on_where_it_was_left) {
  options_.events = KafkaEvents::event;
  options_.message_bytes_max = 1000;
  std::string lines;
  for (int i = 0; i < 20; i++) lines += "{\"n\":" + std::to_string(i) + "}\n";
  const std::string large = "{\"a\":\"" + std::string(2000, 'x') + "\"}\n";
  const std::string mixed = lines + large + lines;
  add(mixed, "application/x-ndjson");
  add("\xff\xfe", "application/octet-stream");
  add("[1,2,3]", "application/json");
  add("", "");
  const auto whole = row();
  ASSERT_EQ(whole.size(), 46U);
  bool every_second = false;
  EXPECT_EQ(row([&] { return every_second = !every_second; }), whole);
  const std::uint64_t seed = std::random_device{}();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  EXPECT_EQ(row([&] { return random() % 3 == 0; }), whole);
  // From any place on, the rest of the row.
  for (std::size_t from = 0; from < whole.size(); from++) {
    KafkaFeed feed(options_);
    feed.start(batch());
    feed.rewind(whole[from].place);
    Taker taker;
    feed.offer(taker);
    EXPECT_EQ(taker.row,
              std::vector<Taken>(whole.begin() + static_cast<std::ptrdiff_t>(from), whole.end()));
  }
}

}  // namespace
}  // namespace inlet::sinks
