// Goal: every request asked for is one line that nobody can forge, or is counted; nothing waits.
// Method: hostile texts in every field, full rings, samples counted, a loop and the writer at once.

#include "logs/access_log.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <thread>

#include "base/json.h"
#include "logs/world_test.h"

namespace inlet::logs {
namespace {

namespace fs = std::filesystem;

constexpr Microseconds some_time = 1'795'428'000'123'456;

AccessEntry sound_entry() {
  return {.at_us = some_time,
          .took_us = 412,
          .status = 200,
          .request_bytes = 1024,
          .sequence = 7,
          .request_id = "req-1",
          .trace_id = "0af7651916cd43dd8448eb211c80319c",
          .amzn_root = "1-67891233-abcdef012345678912345678",
          .client = "192.0.2.1",
          .method = "POST",
          .path = "/ingest/web",
          .tenant = "acme",
          .stream = "web",
          .user_agent = "curl/8.1"};
}

std::string line_of(const AccessEntry& entry, double sample = 1) {
  AccessSlot slot;
  slot.fill(entry);
  std::string out;
  append_access_line(out, slot, 0xABC, sample);
  return out;
}

TEST(AccessLine, says_everything_in_a_fixed_order) {
  EXPECT_EQ(line_of(sound_entry(), 0.01),
            R"({"time":"2026-11-23T10:00:00.123456Z","room":"access","request_id":"req-1",)"
            R"("trace_id":"0af7651916cd43dd8448eb211c80319c",)"
            R"("amzn_trace_id":"1-67891233-abcdef012345678912345678","client":"192.0.2.1",)"
            R"("method":"POST","path":"/ingest/web","status":200,"took_us":412,"bytes":1024,)"
            R"("tenant":"acme","stream":"web","id":"000000000abc-000000000007",)"
            R"("user_agent":"curl/8.1","sample":0.01})"
            "\n");
}

TEST(AccessLine, leaves_out_what_there_is_not) {
  EXPECT_EQ(line_of({.at_us = some_time, .took_us = 1, .status = 400}),
            R"({"time":"2026-11-23T10:00:00.123456Z","room":"access","status":400,"took_us":1,)"
            "\"bytes\":0}\n");
  EXPECT_EQ(line_of({.status = 503}, 0.5).find("sample"), std::string::npos);
}

TEST(AccessLine, holds_no_query) {
  AccessEntry entry = sound_entry();
  entry.path = "/ingest/web?key=secret";
  EXPECT_EQ(line_of(entry).find("secret"), std::string::npos);
  entry.path = "/ingest/web#secret";
  EXPECT_EQ(line_of(entry).find("secret"), std::string::npos);
}

TEST(AccessLine, is_one_line_of_sound_text_whatever_the_client_sends) {
  const std::string attacks[] = {"\n{\"time\":\"forged\"}\n",  "\r\n",
                                 "\",\"status\":200,\"x\":\"", "\\",
                                 std::string("\0after", 6),    "\x1b[2J\x07\x7f",
                                 "\xff\xfe\xc0\xaf",           "\xed\xa0\x80",
                                 "\xe2\x80\xa8\xe2\x80\xa9",   "caf\xc3",
                                 std::string(100'000, '\x01'), std::string(100'000, '"')};
  for (const std::string& attack : attacks) {
    std::string_view AccessEntry::* const fields[] = {
        &AccessEntry::request_id, &AccessEntry::trace_id, &AccessEntry::amzn_root,
        &AccessEntry::client,     &AccessEntry::method,   &AccessEntry::path,
        &AccessEntry::tenant,     &AccessEntry::stream,   &AccessEntry::user_agent};
    AccessEntry all = sound_entry();
    for (const auto field : fields) {
      AccessEntry one = sound_entry();
      one.*field = attack;
      all.*field = attack;
      for (const std::string& line : {line_of(one), line_of(all)}) {
        ASSERT_LE(line.size(), access_line_bytes_max);
        ASSERT_EQ(std::ranges::count(line, '\n'), 1);
        ASSERT_TRUE(line.ends_with("}\n") && is_utf8(line));
        bool inside = false;  // A string: then quotes are escaped and nothing is a control.
        for (std::size_t i = 0; i + 1 < line.size(); i++) {
          ASSERT_GE(static_cast<unsigned char>(line[i]), 0x20u);
          if (line[i] == '\\') {
            ASSERT_TRUE(inside);
            i++;
          } else if (line[i] == '"') {
            inside = !inside;
          }
        }
        ASSERT_FALSE(inside);
        ASSERT_EQ(line.find("\"forged\"}"), std::string::npos);
      }
    }
  }
}

TEST(AccessLine, says_what_was_cut) {
  const std::string path = "/ingest/" + std::string(300, 'x');
  const std::string agent(193, 'y');
  AccessEntry entry = sound_entry();
  entry.path = path;
  entry.user_agent = agent;
  const std::string line = line_of(entry);
  EXPECT_NE(line.find(R"("cut":["path","user_agent"])"), std::string::npos) << line;
  EXPECT_NE(line.find(path.substr(0, 255) + "\""), std::string::npos);
  EXPECT_EQ(line.find(path.substr(0, 256)), std::string::npos);
}

TEST(AccessRing, gives_back_what_was_pushed_and_counts_what_finds_it_full) {
  AccessRing ring(8);
  const auto push = [&](int status) { return ring.push({.status = status, .path = "/p"}); };
  std::vector<int> woken;
  for (int i = 0; i < 10; i++) {
    if (push(100 + i)) woken.push_back(i);
  }
  EXPECT_EQ(woken, (std::vector<int>{3}));
  EXPECT_EQ(ring.dropped(), 2u);
  std::vector<int> statuses;
  ring.drain([&](const AccessSlot& slot) {
    statuses.push_back(slot.status);
    EXPECT_EQ(slot.get(AccessSlot::path), "/p");
  });
  EXPECT_EQ(statuses, (std::vector<int>{100, 101, 102, 103, 104, 105, 106, 107}));
  EXPECT_FALSE(push(1));
  EXPECT_EQ(ring.dropped(), 2u);
}

class AccessLogTest : public testing::Test {
 protected:
  AccessLogTest() : directory_(make_test_directory("access_log")) {}
  ~AccessLogTest() override { fs::remove_all(directory_); }

  std::unique_ptr<AccessLog> open(Clock& clock, const AccessOptions& options) {
    auto file = std::make_unique<LogFile>(
        disk_, clock, LogFileOptions{.directory = directory_, .process = "access"});
    return std::make_unique<AccessLog>(clock, options, std::move(file));
  }
  std::string all() { return all_text(disk_, directory_, "access"); }

  const std::string directory_;
  WeatherDisk disk_;
  HandClock clock_;
};

TEST_F(AccessLogTest, wants_what_it_is_set_to) {
  const auto off = open(clock_, {.access = Access::off});
  const auto errors = open(clock_, {.access = Access::errors});
  const auto every = open(clock_, {.access = Access::all});
  for (const int status : {200, 202, 204, 304, 399, 400, 404, 429, 499, 500, 503, 599}) {
    EXPECT_FALSE(off->wants(0, status)) << status;
    EXPECT_EQ(errors->wants(0, status), status >= 400) << status;
    EXPECT_TRUE(every->wants(0, status)) << status;
  }
}

TEST_F(AccessLogTest, samples_as_much_as_it_says_and_never_a_fault) {
  for (const double sample : {0.0, 0.01, 0.25, 0.9}) {
    for (const std::uint64_t seed : {1U, 2U, 99U}) {
      const auto log = open(clock_, {.access = Access::all, .sample = sample, .seed = seed});
      constexpr int asked = 100'000;
      int wanted = 0;
      for (int i = 0; i < asked; i++) wanted += log->wants(0, 200) ? 1 : 0;
      const double deviation = std::sqrt(asked * sample * (1 - sample));
      EXPECT_NEAR(wanted, asked * sample, 5 * deviation) << sample << " seed " << seed;
      for (int i = 0; i < 1000; i++) EXPECT_TRUE(log->wants(0, 500));
    }
  }
}

TEST_F(AccessLogTest, writes_what_waits_in_the_order_of_each_loop) {
  const auto log = open(clock_, {.access = Access::all, .loops = 2});
  for (int i = 0; i < 3; i++) {
    log->push(0, {.status = 200 + i});
    log->push(1, {.status = 300 + i});
  }
  log->write_once();
  const std::string text = all();
  EXPECT_EQ(std::ranges::count(text, '\n'), 6);
  EXPECT_LT(text.find("\"status\":200"), text.find("\"status\":202"));
  EXPECT_LT(text.find("\"status\":300"), text.find("\"status\":302"));
}

TEST_F(AccessLogTest, counts_and_says_what_came_too_fast) {
  testing::internal::CaptureStderr();
  const auto log = open(clock_, {.access = Access::all, .ring_entries = 16});
  for (int i = 0; i < 20; i++) log->push(0, sound_entry());
  log->write_once();
  EXPECT_EQ(log->dropped(), 4u);
  EXPECT_EQ(log->lines(), 16u);
  EXPECT_EQ(std::ranges::count(all(), '\n'), 16);
  log->write_once();
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_NE(said.find("\"requests\":4"), std::string::npos) << said;
  EXPECT_EQ(std::ranges::count(said, '\n'), 1);
}

TEST_F(AccessLogTest, writes_to_standard_error_where_there_is_no_file) {
  testing::internal::CaptureStderr();
  {
    AccessLog log(clock_, {.access = Access::all}, nullptr);
    log.push(0, sound_entry());
    log.push(0, sound_entry());
    log.write_once();
    EXPECT_EQ(log.lines(), 2u);
    EXPECT_EQ(log.dropped(), 0u);
  }
  std::string line;
  AccessSlot slot;
  slot.fill(sound_entry());
  append_access_line(line, slot, 0, 1);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), line + line);
}

TEST_F(AccessLogTest, has_or_counts_every_request_of_busy_loops) {
  SystemClock clock;
  constexpr int loops = 2;
  constexpr int each = 30'000;
  const auto log = open(clock, {.access = Access::all, .loops = loops, .ring_entries = 64});
  log->start();
  std::vector<std::thread> pushers;
  for (int loop = 0; loop < loops; loop++) {
    pushers.emplace_back([&, loop] {
      for (int i = 0; i < each; i++) {
        const std::string path = fmt::format("/ingest/{}", i);
        log->push(
            static_cast<std::size_t>(loop),
            {.status = 200 + loop, .request_bytes = static_cast<std::uint64_t>(i), .path = path});
      }
    });
  }
  for (std::thread& pusher : pushers) pusher.join();
  log->stop();
  const std::string text = all();
  EXPECT_EQ(static_cast<std::uint64_t>(std::ranges::count(text, '\n')) + log->dropped(),
            std::uint64_t{loops * each});
  std::size_t at = 0;
  while (at < text.size()) {  // No line is half one request and half another.
    const std::string line = text.substr(at, text.find('\n', at) - at);
    at += line.size() + 1;
    const std::size_t number = line.find("/ingest/") + 8;
    const std::string i = line.substr(number, line.find('"', number) - number);
    ASSERT_NE(line.find("\"bytes\":" + i + "}"), std::string::npos) << line;
  }
}

TEST_F(AccessLogTest, does_not_hold_up_loops_while_the_disk_is_stuck) {
  SystemClock clock;
  disk_.weather.set_stuck(true);
  const auto log = open(clock, {.access = Access::all, .ring_entries = 16});
  log->start();
  for (int i = 0; i < 1000; i++) log->push(0, sound_entry());
  disk_.weather.set_stuck(false);
  log->stop();
  EXPECT_EQ(static_cast<std::uint64_t>(std::ranges::count(all(), '\n')) + log->dropped(), 1000u);
  EXPECT_GT(log->dropped(), 0u);
}

}  // namespace
}  // namespace inlet::logs
