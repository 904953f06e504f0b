// Goal: every line is in exactly one file, in order, whatever becomes of disk, clock and
// neighbours, and the directory stays within its bounds.
// Method: a real directory, a clock moved by hand, a disk that fails on demand.

#include "logs/log_file.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "logs/world_test.h"

namespace inlet::logs {
namespace {

namespace fs = std::filesystem;

constexpr Microseconds second = 1'000'000;
constexpr Microseconds hour = 3600 * second;

class LogFileTest : public testing::Test {
 protected:
  LogFileTest() : root_(make_test_directory("log_file")), directory_(root_ + "/logs") {}
  ~LogFileTest() override { fs::remove_all(root_); }

  std::unique_ptr<LogFile> open(std::uint64_t bytes_max = 1U << 20,
                                std::uint64_t total_bytes_max = 1U << 30,
                                const std::string& process = "serve") {
    return std::make_unique<LogFile>(disk_, clock_,
                                     LogFileOptions{.directory = directory_,
                                                    .process = process,
                                                    .bytes_max = bytes_max,
                                                    .age_max_us = hour,
                                                    .total_bytes_max = total_bytes_max});
  }
  [[nodiscard]] std::string current() const { return text_of(directory_ + "/serve.log"); }
  [[nodiscard]] std::string all() { return all_text(disk_, directory_, "serve"); }
  std::vector<RotatedLog> rotated() { return rotated_logs(*disk_.list(directory_)); }

  const std::string root_;
  const std::string directory_;
  WeatherDisk disk_;
  HandClock clock_;
};

TEST_F(LogFileTest, holds_what_was_written_when_write_returns) {
  const auto log = open();
  log->write("one\n");
  EXPECT_EQ(current(), "one\n");
  log->write("two\nthree\n");
  EXPECT_EQ(current(), "one\ntwo\nthree\n");
  EXPECT_EQ(log->lines(), 3u);
}

TEST_F(LogFileTest, is_for_its_owner_to_write_and_its_group_to_read) {
  const mode_t before = ::umask(077);
  open()->write("x\n");
  ::umask(before);
  struct stat status{};
  ASSERT_EQ(::stat((directory_ + "/serve.log").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0640u);
}

TEST_F(LogFileTest, is_rotated_before_it_passes_its_size) {
  const auto log = open(100);
  std::string expected;
  for (int i = 0; i < 50; i++) {
    const std::string line = fmt::format("line {:03}.....................\n", i);  // 30 bytes.
    log->write(line);
    expected += line;
    clock_.pass(second);
  }
  EXPECT_EQ(all(), expected);
  EXPECT_EQ(rotated().size(), 16u);
  for (const auto& file : fs::directory_iterator(directory_)) EXPECT_LE(file.file_size(), 100u);
}

TEST_F(LogFileTest, is_rotated_when_its_first_line_is_too_old_and_not_while_it_is_empty) {
  const auto log = open();
  log->write("first\n");
  clock_.pass(hour - 1);
  EXPECT_EQ(log->tick_in_us(), 1);
  log->tick();
  EXPECT_TRUE(rotated().empty());
  clock_.pass(1);
  EXPECT_EQ(log->tick_in_us(), 0);
  log->tick();
  EXPECT_EQ(rotated().size(), 1u);
  EXPECT_EQ(current(), "");
  EXPECT_EQ(log->tick_in_us(), LogFile::never);
  clock_.pass(10 * hour);
  log->tick();
  log->rotate();
  EXPECT_EQ(rotated().size(), 1u);
  log->write("second\n");
  EXPECT_EQ(all(), "first\nsecond\n");
}

TEST_F(LogFileTest, begins_anew_behind_what_a_process_before_left) {
  open()->write("before\n");
  fs::create_directories(directory_);
  std::ofstream(directory_ + "/serve.log", std::ios::app) << "{\"torn";
  const auto log = open();
  log->write("now\n");
  EXPECT_EQ(current(), "now\n");
  ASSERT_EQ(rotated().size(), 1u);
  EXPECT_EQ(text_of(directory_ + "/" + rotated()[0].name()), "before\n{\"torn");
}

TEST_F(LogFileTest, keeps_names_in_order_and_overwrites_none_when_the_clock_stands_or_goes_back) {
  const auto log = open();
  std::string expected;
  for (int i = 0; i < 20; i++) {
    const std::string line = fmt::format("{}\n", i);
    log->write(line);
    log->rotate();
    expected += line;
    if (i % 3 == 0) clock_.wall -= 5 * second;
  }
  EXPECT_EQ(rotated().size(), 20u);
  EXPECT_EQ(all(), expected);
}

TEST_F(LogFileTest, removes_the_oldest_files_of_all_processes_when_there_is_too_much) {
  const auto other = open(1U << 20, 1000, "access");
  const auto log = open(1U << 20, 1000);
  const std::string line = std::string(299, '.') + "\n";
  for (int i = 0; i < 3; i++) {
    clock_.pass(second);
    other->write(line);
    other->rotate();
    clock_.pass(second);
    log->write(line);
    log->rotate();
  }
  const auto left = rotated();
  ASSERT_EQ(left.size(), 3u);
  EXPECT_EQ(left[0].process, "serve");
  EXPECT_EQ(left[2].at_us, clock_.wall_us());
  EXPECT_EQ(log->removed_files() + other->removed_files(), 3u);
}

TEST_F(LogFileTest, removes_nothing_that_is_not_a_rotated_log) {
  fs::create_directories(directory_);
  std::ofstream(directory_ + "/other.log") << std::string(5000, 'x');
  std::ofstream(directory_ + "/serve-20261123.log") << std::string(5000, 'x');
  const auto log = open(1U << 20, 10);
  log->write("some bytes more\n");
  log->rotate();
  log->write("x\n");
  EXPECT_TRUE(rotated().empty());
  EXPECT_TRUE(fs::exists(directory_ + "/other.log"));
  EXPECT_TRUE(fs::exists(directory_ + "/serve-20261123.log"));
}

TEST_F(LogFileTest, drops_whole_lines_on_a_full_disk_and_goes_on_where_it_was) {
  const auto log = open();
  log->write("a good line\n");
  disk_.weather.bytes_left = 7;  // Inside the next line.
  std::string expected = "a good line\n";
  std::uint64_t kept = 0;
  const std::string line = std::string(1023, 'x') + "\n";
  for (int i = 0; i < 1000; i++) log->write(line);
  EXPECT_FALSE(log->healthy());
  EXPECT_GT(log->dropped(), 700u);
  EXPECT_EQ(log->lines(), 1u);
  kept = 1000 - log->dropped();
  disk_.weather.bytes_left = UINT64_MAX;
  log->tick();
  EXPECT_EQ(log->lines(), 1u) << "it tries but once a second";
  clock_.pass(log_retry_us);
  log->tick();
  EXPECT_TRUE(log->healthy());
  for (std::uint64_t i = 0; i < kept; i++) expected += line;
  EXPECT_EQ(all(), expected);
}

TEST_F(LogFileTest, waits_for_a_directory_that_cannot_be_used) {
  disk_.weather.opens_fail = true;
  const auto log = open();
  log->write("waiting\n");
  EXPECT_FALSE(log->healthy());
  EXPECT_EQ(log->tick_in_us(), log_retry_us);
  disk_.weather.opens_fail = false;
  clock_.pass(log_retry_us);
  log->write("through\n");
  EXPECT_EQ(current(), "waiting\nthrough\n");
}

TEST_F(LogFileTest, loses_nothing_and_stays_in_its_bounds_while_renaming_fails) {
  const auto log = open(1000);
  disk_.weather.renames_fail = true;
  const std::string line = std::string(99, 'x') + "\n";
  std::string expected;
  for (int i = 0; i < 30; i++) {
    log->write(line);
    expected += line;
    clock_.pass(log_retry_us);
  }
  EXPECT_LE(current().size(), 1000u);
  EXPECT_FALSE(log->healthy());
  disk_.weather.renames_fail = false;
  log->write(line);
  EXPECT_EQ(all(), expected + line);
}

TEST_F(LogFileTest, is_made_again_when_somebody_removed_it) {
  const auto log = open();
  log->write("lost to the remover\n");
  fs::remove_all(directory_);
  clock_.pass(log_retry_us);
  log->write("here\n");
  EXPECT_EQ(current(), "here\n");
  const auto second_one = open();
  second_one->write("not here\n");
  EXPECT_FALSE(second_one->healthy()) << "the lock was made again too";
}

TEST_F(LogFileTest, of_one_name_is_written_by_one_process_only) {
  const auto first = open();
  first->write("first\n");
  const auto second_one = open();
  second_one->write("second\n");
  EXPECT_FALSE(second_one->healthy());
  EXPECT_EQ(all(), "first\n");
  EXPECT_EQ(first->close(), "");
  clock_.pass(log_retry_us);
  second_one->tick();
  EXPECT_EQ(all(), "first\nsecond\n");
}

TEST_F(LogFileTest, gives_back_what_it_could_not_write) {
  const auto log = open();
  log->write("x\n");
  disk_.weather.bytes_left = 3;
  log->write("begun\nwhole\n");
  EXPECT_EQ(log->close(), "whole\n");
  EXPECT_EQ(log->dropped(), 1u);
}

TEST_F(LogFileTest, left_by_the_dead_is_put_aside_by_others) {
  open()->write("last words\n");
  ASSERT_TRUE(rotate_log(disk_, clock_, directory_, "serve"));
  ASSERT_TRUE(rotate_log(disk_, clock_, directory_, "nobody"));
  ASSERT_EQ(rotated().size(), 1u);
  EXPECT_EQ(text_of(directory_ + "/" + rotated()[0].name()), "last words\n");
}

}  // namespace
}  // namespace inlet::logs
