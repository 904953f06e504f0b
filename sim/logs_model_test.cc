// Goal: whatever becomes of disk and process, no line that was written is lost or written twice,
// and none is cut but the last of a life.
// Method: a log on the simulated disk, killed at every change in turn, and under random faults; all
// files read back in their order.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "logs/log_file.h"
#include "sim/seeds.h"
#include "sim/sim_disk.h"

namespace inlet::sim {
namespace {

constexpr Microseconds second_us = 1'000'000;

class LogsModelTest : public testing::Test {
 protected:
  static logs::LogFileOptions options() {
    return {.directory = "/logs",
            .process = "serve",
            .bytes_max = 300,
            .age_max_us = 20 * second_us,
            .total_bytes_max = 1U << 20};
  }
  static std::string text_of(const SimDisk& disk, const std::string& name) {
    const std::vector<std::byte> bytes = disk.contents("/logs/" + name);
    return std::string(as_text(bytes));
  }
  // What is in the files, oldest first, the open one last. Where a file ends inside a line, the
  // rest of it is gone with its process.
  static std::vector<std::string> lines_on(SimDisk& disk) {
    std::vector<std::string> lines;
    const auto names = disk.list("/logs");
    if (!names) return lines;
    std::vector<std::string> files;
    for (const logs::RotatedLog& log : logs::rotated_logs(*names)) files.push_back(log.name());
    if (disk.exists("/logs/serve.log")) files.emplace_back("serve.log");
    for (const std::string& name : files) {
      const std::string text = text_of(disk, name);
      for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = text.find('\n', at);
        if (end == std::string::npos) break;
        lines.push_back(text.substr(at, end - at));
        at = end + 1;
      }
    }
    return lines;
  }
};

TEST_F(LogsModelTest, a_process_killed_at_any_change_has_lost_nothing_that_was_written) {
  std::uint64_t changes = 40;
  for (std::uint64_t at = 1; at <= changes; at++) {
    SimClock clock;
    SimDisk disk(clock, at);
    disk.crash_at(at, Crash::process);
    std::vector<std::string> written;
    for (int life = 0; life < 3; life++) {
      logs::LogFile log(disk, clock, options());
      for (int i = 0; i < 20 && disk.running(); i++) {
        const std::string line =
            fmt::format("{} line {:02} ..............................", life, i);
        const std::uint64_t before = log.lines();
        log.write(line + "\n");
        // The one that was being written when it was killed may be there or not.
        if (disk.running() && log.lines() > before) written.push_back(line);
        clock.advance(second_us);
      }
      if (!disk.running()) disk.restart();
    }
    const std::vector<std::string> found = lines_on(disk);
    ASSERT_TRUE(std::ranges::includes(found, written)) << "killed at " << at;
    ASSERT_LE(found.size(), written.size() + 1) << "killed at " << at;
    ASSERT_TRUE(std::ranges::is_sorted(found)) << "killed at " << at;
  }
}

TEST_F(LogsModelTest, every_line_is_in_one_file_or_counted_whatever_fails) {
  for (const std::uint64_t seed : seeds_to_run("logs", 200)) {
    SCOPED_TRACE(replay_command(seed));
    SimClock clock;
    SimDisk disk(clock, seed);
    for (const Operation on : {Operation::open, Operation::lock, Operation::write, Operation::size,
                               Operation::list, Operation::make_directories, Operation::rename,
                               Operation::remove, Operation::sync_directory}) {
      disk.inject({.on = on, .os = on == Operation::write ? ENOSPC : EIO, .probability = 0.1});
    }
    disk.inject({.on = Operation::write, .os = 0, .short_write = true, .probability = 0.2});
    logs::LogFile log(disk, clock, options());
    constexpr std::uint64_t lines = 300;
    for (std::uint64_t i = 0; i < lines; i++) {
      log.write(fmt::format("line {:04} {}\n", i, std::string(i % 7 * 40, '.')));
      clock.advance(second_us / 2);
      if (i % 50 == 0) log.rotate();
    }
    disk.clear_faults();
    clock.advance(logs::log_retry_us);
    log.tick();
    EXPECT_TRUE(log.healthy());
    const std::vector<std::string> found = lines_on(disk);
    EXPECT_EQ(found.size() + log.dropped(), lines);
    EXPECT_EQ(log.lines(), found.size());
    EXPECT_EQ(std::ranges::adjacent_find(found, std::ranges::greater_equal()), found.end());
  }
}

TEST_F(LogsModelTest, every_rotation_has_a_name_of_its_own_whatever_the_clock_says) {
  SimClock clock;
  SimDisk disk(clock, 1);
  for (int life = 0; life < 10; life++) {
    logs::LogFile log(disk, clock, options());
    for (int i = 0; i < 10; i++) {
      log.write(fmt::format("{} line {:02} {}\n", life, i, std::string(100, '.')));
      clock.set_wall(clock.wall_us() - (i % 3) * second_us);
    }
  }
  const std::vector<Step> trace = disk.trace();
  const auto renames = std::ranges::count(trace, Operation::rename, &Step::operation);
  const auto names = disk.list("/logs");
  ASSERT_TRUE(names);
  EXPECT_GT(renames, 30);
  EXPECT_EQ(static_cast<std::size_t>(renames), logs::rotated_logs(*names).size());
  EXPECT_EQ(lines_on(disk).size(), 100u);
}

}  // namespace
}  // namespace inlet::sim
