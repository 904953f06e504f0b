// Goal: what the file says is in force soon, what was good stays when the file is not, and no loop
//   ever reads a table that is gone.
// Method: the real file system and thread; a file that is changed, spoilt, removed and put back;
//   and many readers while tables change as fast as they can.

#include "serve/key_watch.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <random>
#include <thread>

#include "base/directory_test.h"
#include "base/posix_file.h"

namespace inlet::serve {
namespace {

using Kind = Verdict::Kind;

std::string key_of(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::array<std::byte, api_key_random_bytes> bytes;
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return std::string(make_api_key(bytes).view());
}

std::string line_of(std::uint64_t seed) {
  const auto key = parse_api_key(key_of(seed));
  KeyEntry entry{.id = key->id, .digest = key->digest};
  entry.tenant = fmt::format("t{}", seed);
  return key_line(entry) + "\n";
}

class KeyWatchTest : public testing::Test {
 protected:
  KeyWatchTest() : root_(make_test_directory("keys_test")), path_(root_ + "/keys") {}
  ~KeyWatchTest() override {
    watch_.reset();
    std::filesystem::remove_all(root_);
  }

  // Whole or not at all.
  void put(const std::string& text) {
    std::ofstream(path_ + ".new", std::ios::binary) << text;
    std::filesystem::rename(path_ + ".new", path_);
  }
  void start(std::size_t loops = 1, Microseconds look_us = 1'000) {
    watch_ = std::make_unique<KeyWatch>(
        files_, clock_, KeyWatchOptions{.path = path_, .loops = loops, .look_us = look_us},
        [](std::string_view tenant) { return static_cast<std::uint32_t>(tenant.size()); },
        [this](const KeyTable& table) { keys_told_ = table.keys().size(); });
  }
  [[nodiscard]] Kind kind(std::uint64_t seed) {
    return watch_->read(0)->find(key_of(seed), "", clock_.wall_us()).kind;
  }
  template <typename Condition>
  void wait_until(Condition condition) {
    for (int i = 0; i < 20'000 && !condition(); i++) clock_.sleep(1'000);
    EXPECT_TRUE(condition());
  }

  PosixFileSystem files_;
  SystemClock clock_;
  const std::string root_;
  const std::string path_;
  std::atomic<std::size_t> keys_told_ = 0;
  std::unique_ptr<KeyWatch> watch_;
};

TEST_F(KeyWatchTest, the_file_is_in_force_at_once_and_changes_soon) {
  put(line_of(1) + line_of(2));
  start();
  EXPECT_EQ(kind(1), Kind::known);
  EXPECT_EQ(kind(3), Kind::unknown);
  EXPECT_FALSE(watch_->status().stale);
  EXPECT_EQ(watch_->status().keys, 2U);
  put(line_of(2) + line_of(3) + line_of(4));
  wait_until([&] { return kind(1) == Kind::unknown; });
  EXPECT_EQ(kind(2), Kind::known);
  EXPECT_EQ(kind(3), Kind::known);
  wait_until([&] { return keys_told_ == 3; });
}

TEST_F(KeyWatchTest, a_missing_file_refuses_everybody_until_it_is_there) {
  start();
  EXPECT_EQ(kind(1), Kind::unknown);
  EXPECT_TRUE(watch_->status().stale);
  EXPECT_NE(watch_->status().reason.find("No such file"), std::string::npos);
  put(line_of(1));
  wait_until([&] { return kind(1) == Kind::known; });
  wait_until([&] { return !watch_->status().stale; });
}

TEST_F(KeyWatchTest, a_file_that_goes_leaves_the_keys_in_force_and_comes_back) {
  put(line_of(1));
  start();
  std::filesystem::remove(path_);
  wait_until([&] { return watch_->status().stale; });
  EXPECT_EQ(kind(1), Kind::known);
  put(line_of(1));
  wait_until([&] { return !watch_->status().stale; });
  EXPECT_EQ(kind(1), Kind::known);
}

TEST_F(KeyWatchTest, a_wrong_file_changes_nothing_and_says_where) {
  put(line_of(1));
  start();
  put(line_of(2) + "rubbish\n");
  wait_until([&] { return watch_->status().stale; });
  EXPECT_EQ(watch_->status().reason, path_ + ":2: \"rubbish\" is no id of 12 characters");
  EXPECT_EQ(kind(1), Kind::known);
  EXPECT_EQ(kind(2), Kind::unknown);
  put(line_of(2));
  wait_until([&] { return kind(2) == Kind::known; });
  EXPECT_EQ(kind(1), Kind::unknown);
  EXPECT_EQ(watch_->status().reason, "");
}

TEST_F(KeyWatchTest, a_file_that_cannot_be_read_or_is_too_large_changes_nothing) {
  put(line_of(1));
  start();
  std::filesystem::remove(path_);
  std::filesystem::create_directory(path_);
  wait_until([&] { return watch_->status().reason.find("directory") != std::string::npos; });
  std::filesystem::remove(path_);
  std::ofstream(path_).close();
  std::filesystem::resize_file(path_, key_file_bytes_max + 1);
  wait_until([&] { return watch_->status().reason.find("has more than") != std::string::npos; });
  EXPECT_EQ(kind(1), Kind::known);
}

TEST_F(KeyWatchTest, of_a_file_wrong_from_the_start_the_right_lines_count) {
  put(line_of(1) + "rubbish\n");
  start();
  EXPECT_EQ(kind(1), Kind::known);
  EXPECT_TRUE(watch_->status().stale);
  put(line_of(2) + "rubbish\n");
  wait_until([&] { return kind(2) == Kind::known; });
  EXPECT_EQ(kind(1), Kind::unknown);
}

TEST_F(KeyWatchTest, content_of_the_same_length_and_age_is_seen) {
  put(line_of(1));
  const auto written = std::filesystem::last_write_time(path_);
  start();
  {
    std::fstream in_place(path_, std::ios::in | std::ios::out | std::ios::binary);
    in_place << line_of(2);
  }
  std::filesystem::last_write_time(path_, written);
  wait_until([&] { return kind(2) == Kind::known; });
}

TEST_F(KeyWatchTest, reload_does_not_wait_for_the_next_look) {
  put(line_of(1));
  start(1, 3'600'000'000);
  put(line_of(2));
  watch_->reload();
  wait_until([&] { return kind(2) == Kind::known; });
}

TEST_F(KeyWatchTest, uses_survive_a_reload_and_are_forgotten_with_their_key) {
  put(line_of(1) + line_of(2));
  start();
  {
    const auto reading = watch_->read(0);
    reading->find(key_of(1), "", 0).key->use->add(77);
    reading->find(key_of(2), "", 0).key->use->add(88);
  }
  put(line_of(2) + line_of(3));
  wait_until([&] { return kind(3) == Kind::known; });
  const auto figures = watch_->figures();
  ASSERT_EQ(figures.size(), 2U);
  EXPECT_EQ(figures[0].tenant, "t2");
  EXPECT_EQ(figures[0].id, key_of(2).substr(3, 12));
  EXPECT_EQ(figures[0].uses, 1U);
  EXPECT_EQ(figures[0].last_used_us, 88);
  EXPECT_EQ(figures[1].uses, 0U);
  wait_until([&] { return watch_->retired() == 0; });
  put(line_of(1));
  wait_until([&] { return kind(1) == Kind::known; });
  EXPECT_EQ(watch_->figures()[0].uses, 0U);
}

TEST_F(KeyWatchTest, a_table_that_is_being_read_stays) {
  put(line_of(1));
  start(2);
  {
    const auto reading = watch_->read(1);
    put(line_of(2));
    wait_until([&] { return kind(2) == Kind::known; });
    const std::uint64_t generation = watch_->status().generation;
    put(line_of(3));
    wait_until([&] { return watch_->status().generation > generation; });
    wait_until([&] { return watch_->retired() == 1; });
    EXPECT_EQ(reading->find(key_of(1), "", 0).kind, Kind::known);
  }
  wait_until([&] { return watch_->retired() == 0; });
}

// Each table holds one key twice over, as tenant and as its index; a freed one would not.
TEST_F(KeyWatchTest, readers_see_one_whole_table_or_the_other_while_tables_change) {
  constexpr std::size_t loops = 4;
  constexpr int changes = 60;
  put(line_of(0));
  start(loops, 100);
  std::atomic<bool> stop = false;
  std::atomic<std::uint64_t> reads = 0;
  std::vector<std::thread> readers;
  for (std::size_t loop = 0; loop < loops; loop++) {
    readers.emplace_back([&, loop] {
      while (!stop) {
        const auto reading = watch_->read(loop);
        ASSERT_EQ(reading->keys().size(), 1U);
        const Key& key = reading->keys()[0];
        ASSERT_EQ(key.tenant_index, key.tenant.size());
        ASSERT_EQ(reading->of(key.id), &key);
        key.use->add(1);
        reads++;
      }
    });
  }
  const std::uint64_t first = watch_->status().generation;
  for (std::uint64_t i = 1; i <= changes; i++) {
    put(line_of(i % 12));
    wait_until([&] { return watch_->status().generation >= first + i; });
  }
  stop = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_GT(reads, 0U);
  wait_until([&] { return watch_->retired() == 0; });
}

TEST_F(KeyWatchTest, no_secret_is_logged_whatever_is_in_the_file) {
  testing::internal::CaptureStderr();
  const std::string secret = key_of(1).substr(16);
  put(line_of(1));
  start();
  int broken = 0;
  for (const std::string& text : {key_of(1), "000000000001 " + key_of(1), secret + " x",
                                  line_of(1) + "000000000001 sha256:" + secret}) {
    put(text + "\n");
    const std::string before = watch_->status().reason;
    wait_until([&] { return watch_->status().reason != before; });
    broken++;
    EXPECT_EQ(watch_->status().reason.find(secret.substr(0, 13)), std::string::npos);
    put(line_of(1));
    wait_until([&] { return !watch_->status().stale; });
  }
  watch_.reset();
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_EQ(broken, 4);
  EXPECT_NE(log.find("keys not taken"), std::string::npos);
  EXPECT_EQ(log.find(secret.substr(0, 13)), std::string::npos) << log;
}

}  // namespace
}  // namespace inlet::serve
