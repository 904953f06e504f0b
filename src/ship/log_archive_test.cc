// Goal: every rotated log reaches the store whole, oldest first, and is on this disk until it has.
// Method: a real directory of logs, a store that answers as told, restarts at every step.

#include "ship/log_archive.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "base/directory_test.h"
#include "base/posix_file.h"
#include "logs/log_file.h"

namespace inlet::ship {
namespace {

namespace fs = std::filesystem;
using sinks::Delivery;
using sinks::Outcome;

constexpr Microseconds some_time = 1'795'470'900'123'456;  // 2026-11-23T21:55:00.123456Z

class TestClock final : public Clock {
 public:
  Microseconds wall_us() override { return some_time + steady_us_.load(); }
  Microseconds steady_us() override { return steady_us_.load(); }
  void sleep(Microseconds duration) override { steady_us_ += duration; }

 private:
  std::atomic<Microseconds> steady_us_{1'000'000};
};

// Answers what it is told, then `otherwise`.
class FakeStore final : public sinks::LogStore {
 public:
  explicit FakeStore(Clock& clock) : clock_(clock) {}

  void start(const std::string& key, std::string body) override {
    ASSERT_FALSE(under_way_);
    under_way_ = true;
    keys.push_back(key);
    times.push_back(clock_.steady_us());
    body_ = std::move(body);
  }
  std::optional<Delivery> finish(Microseconds wait_us) override {
    EXPECT_TRUE(under_way_);
    if (silent) {
      clock_.sleep(wait_us);
      return std::nullopt;
    }
    under_way_ = false;
    Delivery next = otherwise;
    if (!answers.empty()) {
      next = answers.front();
      answers.erase(answers.begin());
    }
    if (next.outcome == Outcome::delivered) objects[keys.back()] = body_;
    return next;
  }
  void abandon() override { under_way_ = false; }

  std::vector<Delivery> answers;
  Delivery otherwise;
  bool silent = false;
  std::vector<std::string> keys;
  std::vector<Microseconds> times;
  std::map<std::string, std::string> objects;

 private:
  Clock& clock_;
  bool under_way_ = false;
  std::string body_;
};

std::string unpacked(const std::string& packed) {
  std::string out(64U << 20, '\0');
  z_stream stream{};
  EXPECT_EQ(inflateInit2(&stream, 16 + MAX_WBITS), Z_OK);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
  stream.avail_in = static_cast<uInt>(packed.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(inflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  inflateEnd(&stream);
  return out;
}

class LogArchiveTest : public testing::Test {
 protected:
  LogArchiveTest() : directory_(make_test_directory("log_archive")), store_(clock_) {}
  ~LogArchiveTest() override { fs::remove_all(directory_); }

  std::unique_ptr<LogArchive> open() {
    auto archive = LogArchive::open(
        files_, clock_, store_,
        {.directory = directory_, .node = "n1", .flush_deadline_us = 30'000'000, .seed = 7});
    EXPECT_TRUE(archive);
    return std::move(*archive);
  }
  std::string leave(const std::string& process, Microseconds at_us, const std::string& text) {
    const std::string name = logs::RotatedLog{process, at_us}.name();
    std::ofstream(directory_ + "/" + name) << text;
    return name;
  }
  [[nodiscard]] bool has(const std::string& name) const {
    return fs::exists(directory_ + "/" + name);
  }
  static void run_until_idle(LogArchive& archive) {
    for (int i = 0; i < 1000; i++) {
      (void)archive.run_once();
      if (archive.is_idle()) return;
    }
    FAIL() << "never idle";
  }

  const std::string directory_;
  PosixFileSystem files_;
  TestClock clock_;
  FakeStore store_;
};

TEST_F(LogArchiveTest, names_objects_by_node_process_and_day) {
  EXPECT_EQ(log_key("n1", {"ship-archive", some_time}),
            "n1/ship-archive/2026/11/23/ship-archive-20261123T215500.123456Z.log.gz");
}

TEST_F(LogArchiveTest, ships_the_oldest_first_whoever_wrote_them_and_removes_them) {
  leave("serve", some_time + 3, "third\n");
  leave("access", some_time + 2, "second\n");
  leave("ship-b", some_time + 1, "first\n");
  leave("run", some_time + 4, std::string(5 << 20, 'x'));
  const auto archive = open();
  run_until_idle(*archive);
  const std::vector<std::string> expected = {
      log_key("n1", {"ship-b", some_time + 1}), log_key("n1", {"access", some_time + 2}),
      log_key("n1", {"serve", some_time + 3}), log_key("n1", {"run", some_time + 4})};
  EXPECT_EQ(store_.keys, expected);
  EXPECT_EQ(unpacked(store_.objects[expected[0]]), "first\n");
  EXPECT_EQ(unpacked(store_.objects[expected[3]]), std::string(5 << 20, 'x'));
  for (const auto& entry : fs::directory_iterator(directory_)) {
    EXPECT_EQ(entry.path().filename(), log_archive_lock);
  }
  EXPECT_EQ(archive->figures().files, 4u);
}

TEST_F(LogArchiveTest, keeps_a_file_until_the_store_has_it_and_waits_longer_each_time) {
  const std::string name = leave("serve", some_time, "x\n");
  store_.otherwise = {.outcome = Outcome::retry, .why = "no"};
  const auto archive = open();
  while (store_.keys.size() < 50) {
    const Microseconds wait_us = archive->run_once();
    ASSERT_TRUE(has(name));
    ASSERT_LE(wait_us, RetryOptions().cap_us);
    clock_.sleep(wait_us);
  }
  EXPECT_GT(store_.times[49] - store_.times[39], store_.times[10] - store_.times[0]);
  EXPECT_EQ(archive->figures().last_error, "no");
  store_.otherwise = {};
  while (has(name)) clock_.sleep(archive->run_once());
  EXPECT_EQ(unpacked(store_.objects[store_.keys.back()]), "x\n");
  EXPECT_EQ(archive->figures().last_error, "");
}

TEST_F(LogArchiveTest, waits_as_long_as_the_store_asks) {
  leave("serve", some_time, "x\n");
  store_.answers = {{.outcome = Outcome::slow_down, .why = "busy", .retry_after_us = 60'000'000}};
  const auto archive = open();
  (void)archive->run_once();  // Sent,
  (void)archive->run_once();  // and answered.
  EXPECT_GE(archive->run_once(), 60'000'000);
  EXPECT_EQ(store_.keys.size(), 1u);
  clock_.sleep(archive->run_once());
  run_until_idle(*archive);
  EXPECT_EQ(store_.keys.size(), 2u);
}

TEST_F(LogArchiveTest, stores_the_same_again_after_a_crash_before_the_removal) {
  const std::string name = leave("serve", some_time, "x\n");
  {
    const auto archive = open();
    (void)archive->run_once();  // Sent,
    (void)store_.finish(0);     // and stored, but nobody hears of it.
  }
  const std::string first = store_.objects[store_.keys[0]];
  const auto archive = open();
  run_until_idle(*archive);
  EXPECT_EQ(store_.keys, (std::vector<std::string>{store_.keys[0], store_.keys[0]}));
  EXPECT_EQ(store_.objects[store_.keys[0]], first);
  EXPECT_FALSE(has(name));
}

TEST_F(LogArchiveTest, touches_neither_open_files_nor_strangers) {
  logs::LogFile log(files_, clock_, {.directory = directory_, .process = "serve"});
  log.write("being written\n");
  std::ofstream(directory_ + "/notes.txt") << "mine";
  std::ofstream(directory_ + "/serve-20261123T215500.123456Z.log.bak") << "mine";
  const auto archive = open();
  run_until_idle(*archive);
  EXPECT_TRUE(store_.keys.empty());
  EXPECT_TRUE(has("serve.log") && has("notes.txt"));
  EXPECT_TRUE(has("serve-20261123T215500.123456Z.log.bak"));
}

TEST_F(LogArchiveTest, ships_what_a_dead_process_left_open) {
  {
    logs::LogFile log(files_, clock_, {.directory = directory_, .process = "ship-gone"});
    log.write("last words\n");
  }
  const auto archive = open();
  run_until_idle(*archive);
  ASSERT_EQ(store_.objects.size(), 1u);
  EXPECT_EQ(unpacked(store_.objects.begin()->second), "last words\n");
}

TEST_F(LogArchiveTest, passes_over_what_cannot_be_read_and_comes_back_to_it) {
  const std::string name = logs::RotatedLog{"serve", some_time}.name();
  fs::create_directory(directory_ + "/" + name);  // Opens, but does not read.
  leave("serve", some_time + 1, "readable\n");
  const auto archive = open();
  for (int i = 0; i < 20; i++) (void)archive->run_once();
  ASSERT_EQ(store_.keys.size(), 1u);
  EXPECT_FALSE(archive->is_idle());
  fs::remove(directory_ + "/" + name);
  leave("serve", some_time, "again\n");
  clock_.sleep(unreadable_log_retry_us);
  run_until_idle(*archive);
  EXPECT_EQ(store_.keys.size(), 2u);
}

TEST_F(LogArchiveTest, is_one_process_only) {
  const auto archive = open();
  EXPECT_FALSE(LogArchive::open(files_, clock_, store_, {.directory = directory_}));
}

TEST_F(LogArchiveTest, flushing_ships_all_there_is_and_ends) {
  leave("serve", some_time, "x\n");
  {
    logs::LogFile log(files_, clock_, {.directory = directory_, .process = "access"});
    log.write("just closed\n");
  }
  store_.answers = {{.outcome = Outcome::retry, .why = "once"}};
  const auto archive = open();
  archive->flush();
  const LogArchiveFigures figures = archive->run();
  EXPECT_EQ(figures.files, 2u);
  EXPECT_EQ(figures.waiting_files, 0u);
}

TEST_F(LogArchiveTest, flushing_ends_in_time_and_leaves_the_rest_for_the_next_one) {
  leave("serve", some_time, "x\n");
  leave("serve", some_time + 1, "y\n");
  {
    const auto archive = open();
    archive->flush();
    store_.silent = true;
    const Microseconds before_us = clock_.steady_us();
    const LogArchiveFigures figures = archive->run();
    EXPECT_LE(clock_.steady_us() - before_us, 30'100'000);
    EXPECT_EQ(figures.waiting_files, 2u);
  }
  store_.silent = false;
  const auto archive = open();
  run_until_idle(*archive);
  EXPECT_EQ(store_.objects.size(), 2u);
}

TEST_F(LogArchiveTest, stops_at_once_when_told_to) {
  leave("serve", some_time, "x\n");
  store_.silent = true;
  const auto archive = open();
  archive->stop();
  archive->flush();  // Changes nothing any more.
  const LogArchiveFigures figures = archive->run();
  EXPECT_EQ(figures.files, 0u);
}

}  // namespace
}  // namespace inlet::ship
