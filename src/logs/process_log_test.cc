// Goal: what a process logs is in its file or, failing that, on standard error, and nobody who logs
// waits for the disk.
// Method: the real log functions, standard error captured, a disk that is stuck or full.

#include "logs/process_log.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "logs/world_test.h"

namespace inlet::logs {
namespace {

namespace fs = std::filesystem;

class ProcessLogTest : public testing::Test {
 protected:
  ProcessLogTest() : directory_(make_test_directory("process_log")) {
    testing::internal::CaptureStderr();
  }
  ~ProcessLogTest() override { fs::remove_all(directory_); }

  std::unique_ptr<ProcessLog> open(Writer writer, bool standard_error) {
    return std::make_unique<ProcessLog>(disk_, clock_,
                                        LogFileOptions{.directory = directory_, .process = "serve"},
                                        writer, standard_error);
  }
  std::string all() { return all_text(disk_, directory_, "serve"); }
  static std::size_t lines_in(const std::string& text) {
    return static_cast<std::size_t>(std::ranges::count(text, '\n'));
  }

  const std::string directory_;
  WeatherDisk disk_;
  SystemClock clock_;
};

TEST_F(ProcessLogTest, has_every_line_of_every_thread_in_the_file_when_it_ends) {
  constexpr int threads = 4;
  constexpr int each = 500;
  {
    auto log = open(Writer::own_thread, false);
    log_info("test", "before the thread");
    log->start();
    std::vector<std::thread> loggers;
    for (int t = 0; t < threads; t++) {
      loggers.emplace_back([t] {
        for (int i = 0; i < each; i++) log_info("test", "line", {{"thread", t}, {"i", i}});
      });
    }
    for (std::thread& thread : loggers) thread.join();
  }
  const std::string text = all();
  EXPECT_EQ(lines_in(text) + lines_in(testing::internal::GetCapturedStderr()),
            std::size_t{threads * each + 1});
  EXPECT_NE(text.find("before the thread"), std::string::npos);
  log_info("test", "after");
  EXPECT_EQ(lines_in(all()), lines_in(text));
}

TEST_F(ProcessLogTest, writes_to_standard_error_as_well_if_told_to) {
  {
    auto log = open(Writer::own_thread, true);
    log->start();
    log_warn("test", "twice");
  }
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_EQ(said, all());
  EXPECT_EQ(lines_in(said), 1u);
}

TEST_F(ProcessLogTest, writes_at_once_where_the_caller_writes) {
  auto log = open(Writer::caller, false);
  log_info("test", "now");
  EXPECT_NE(all().find("now"), std::string::npos);
  log->rotate();
  EXPECT_TRUE(text_of(directory_ + "/serve.log").empty());
  log_info("test", "then");
  EXPECT_NE(all().find("then"), std::string::npos);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST_F(ProcessLogTest, makes_nobody_wait_for_a_stuck_disk) {
  disk_.weather.set_stuck(true);
  std::size_t logged = 0;
  {
    auto log = open(Writer::own_thread, false);
    log->start();
    const std::string long_text(4000, 'x');
    // More than there is room for: it returns all the same.
    for (; log->dropped() == 0 && logged < 1000; logged++) {
      log_info("test", "line", {{"text", long_text}});
    }
    EXPECT_EQ(log->dropped(), 1u);
    disk_.weather.set_stuck(false);
  }
  EXPECT_EQ(lines_in(all()) + lines_in(testing::internal::GetCapturedStderr()), logged);
}

TEST_F(ProcessLogTest, says_on_standard_error_what_the_file_does_not_take) {
  disk_.weather.bytes_left = 0;
  {
    auto log = open(Writer::caller, false);
    log_info("test", "homeless");
    EXPECT_EQ(all(), "");
  }
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_NE(said.find("homeless"), std::string::npos);
  EXPECT_NE(said.find("lines do not get into their file"), std::string::npos);
}

TEST_F(ProcessLogTest, has_what_is_said_about_the_file_in_the_file_when_it_ends) {
  {
    LogFile other(disk_, clock_, {.directory = directory_, .process = "serve"});
    other.write("of another\n");  // Holds the lock.
    auto log = open(Writer::own_thread, true);
    log->start();
    log_info("test", "waiting");
    // Until the file does not take it: seldom enough that the queue has room whatever happens.
    while (log->write("\n")) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    EXPECT_EQ(other.close(), "");
  }
  const std::string text = all();
  for (const char* part :
       {"of another", "waiting", "do not get into", "get into their file again"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part;
  }
  (void)testing::internal::GetCapturedStderr();
}

TEST_F(ProcessLogTest, cannot_be_made_to_write_a_line_by_what_is_in_another) {
  {
    auto log = open(Writer::caller, false);
    static constexpr char hostile[] = "a\nb\r\"},{\"x\":\"\\\0\x1b[2J\xff\xe2\x80\xa8";
    const std::string evil(hostile, sizeof(hostile) - 1);
    log_info("test", evil, {{evil, evil}});
  }
  EXPECT_EQ(lines_in(all()), 1u);
  for (const char c : all()) EXPECT_TRUE(c == '\n' || static_cast<unsigned char>(c) >= 0x20);
}

}  // namespace
}  // namespace inlet::logs
