// Goal: Elastic Beanstalk's agent finds every request once, in the file and the form it documents,
// whatever clients send and disks do.
// Method: a reader written from the documented format, over real files and over a file system that
// refuses; a clock set by hand; two logs on one name; threads at full speed.

#include "health/healthd_log.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>

#include "base/directory_test.h"
#include "base/posix_file.h"

namespace inlet::health {
namespace {

namespace fs = std::filesystem;
constexpr Microseconds second_us = 1'000'000;
constexpr Microseconds hour_us = 3600 * second_us;
// The documentation's example: 2015-07-23 00:04:39.311 UTC.
constexpr Microseconds example_us = 1437609879'311'000;

class HandClock final : public Clock {
 public:
  Microseconds wall_us() override { return wall_; }
  Microseconds steady_us() override { return steady_; }
  void sleep(Microseconds duration) override { advance(duration); }
  void advance(Microseconds duration) {
    wall_ += duration;
    steady_ += duration;
  }

 private:
  std::atomic<Microseconds> wall_{example_us};
  std::atomic<Microseconds> steady_{second_us};
};

// The real disk, but writes may be refused after some bytes.
class TightFile final : public File {
 public:
  TightFile(std::unique_ptr<File> file, std::uint64_t& bytes_left)
      : file_(std::move(file)), bytes_left_(bytes_left) {}
  Result<std::size_t> read_at(MutableBytes out, std::uint64_t offset) override {
    return file_->read_at(out, offset);
  }
  Result<std::size_t> write_at(std::span<const iovec> parts, std::uint64_t offset,
                               Flush flush) override {
    if (bytes_left_ == 0) return fail(ErrorKind::overload, "write: no space", ENOSPC);
    iovec part = parts[0];
    part.iov_len = std::min<std::size_t>(part.iov_len, bytes_left_);
    const auto put = file_->write_at({&part, 1}, offset, flush);
    if (put) bytes_left_ -= *put;
    return put;
  }
  Status sync() override { return file_->sync(); }
  Result<std::uint64_t> size() override { return file_->size(); }

 private:
  std::unique_ptr<File> file_;
  std::uint64_t& bytes_left_;
};

class TightDisk final : public FileSystem {
 public:
  std::uint64_t bytes_left = UINT64_MAX;

  Result<std::unique_ptr<File>> open(const std::string& path, OpenOptions options) override {
    EXPECT_FALSE(options.truncate) << path;
    auto file = real_.open(path, options);
    if (!file) return file;
    return std::make_unique<TightFile>(std::move(*file), bytes_left);
  }
  Result<std::vector<std::string>> list(const std::string& d) override { return real_.list(d); }
  Status make_directories(const std::string& p) override { return real_.make_directories(p); }
  Status rename(const std::string& f, const std::string& t) override { return real_.rename(f, t); }
  Status remove(const std::string& path) override { return real_.remove(path); }
  Status sync_directory(const std::string& d) override { return real_.sync_directory(d); }
  Result<Space> space(const std::string& d) override { return real_.space(d); }
  Result<std::unique_ptr<FileLock>> lock(const std::string& p) override { return real_.lock(p); }

 private:
  PosixFileSystem real_;
};

// One line as the agent reads it: split at every quote; the second, fourth and fifth count.
struct Line {
  double at_s;
  std::string path;
  int status;
  double took_s;
  double upstream_s;
  std::string client;
};

std::optional<Line> read_line(const std::string& text) {
  std::vector<std::string> fields(1);
  for (const char c : text) {
    if (c == '"') {
      fields.emplace_back();
    } else {
      fields.back() += c;
    }
  }
  if (fields.size() != 6 || fields[5].empty()) return std::nullopt;
  for (const char c : text) {
    if (c < 0x20 || c > 0x7E) return std::nullopt;
  }
  return Line{std::stod(fields[0]), fields[1], std::stoi(fields[2]), std::stod(fields[3]),
              std::stod(fields[4]), fields[5]};
}

class HealthdLogTest : public testing::Test {
 protected:
  HealthdLogTest() : root_(make_test_directory("healthd_log")), base_(root_ + "/application.log") {}
  ~HealthdLogTest() override { fs::remove_all(root_); }

  HealthdOptions options(std::size_t ring_entries = 1024, std::size_t loops = 1) {
    return {.base = base_, .loops = loops, .ring_entries = ring_entries};
  }
  HealthdEntry entry(int status = 200, std::string_view path = "/ingest/web") {
    return HealthdEntry::of(clock_.wall_us(), 83'000, status, path, "177.72.242.17");
  }
  static std::string text_of(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  // All lines of a file, each of which must be one.
  static std::vector<Line> lines_of(const std::string& path) {
    const std::string text = text_of(path);
    EXPECT_TRUE(text.empty() || text.back() == '\n');
    std::vector<Line> out;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = text.find('\n', at);
      const auto line = read_line(text.substr(at, end - at));
      EXPECT_TRUE(line) << text.substr(at, end - at);
      if (line) out.push_back(*line);
      at = end + 1;
    }
    return out;
  }
  std::vector<std::string> names() {
    std::vector<std::string> out;
    for (const auto& file : fs::directory_iterator(root_)) {
      if (file.path().extension() != ".lock") out.push_back(file.path().filename());
    }
    std::ranges::sort(out);
    return out;
  }

  const std::string root_;
  const std::string base_;
  HandClock clock_;
  TightDisk files_;
};

TEST_F(HealthdLogTest, a_line_is_the_documentations_own_example) {
  std::string line;
  append_healthd_line(line, HealthdEntry::of(example_us, 83'000, 200, "/", "177.72.242.17"));
  EXPECT_EQ(line, "1437609879.311\"/\"200\"0.083\"0.083\"177.72.242.17\n");
  EXPECT_EQ(healthd_file_name("/var/log/nginx/healthd/application.log", example_us / hour_us),
            "/var/log/nginx/healthd/application.log.2015-07-23-00");
}

TEST_F(HealthdLogTest, times_are_told_to_the_millisecond) {
  const auto line_of = [](Microseconds at_us, Microseconds took_us) {
    std::string line;
    append_healthd_line(line, HealthdEntry::of(at_us, took_us, 200, "/", "-"));
    return line;
  };
  EXPECT_EQ(line_of(1'007'999, 499), "1.007\"/\"200\"0.000\"0.000\"-\n");
  EXPECT_EQ(line_of(1'000'000, 12'345'678), "1.000\"/\"200\"12.346\"12.346\"-\n");
}

TEST_F(HealthdLogTest, nothing_a_client_sends_shifts_or_ends_a_field) {
  for (int byte = 0; byte < 256; byte++) {
    const std::string hostile = std::string("/a") + static_cast<char>(byte) + "b";
    std::string text;
    append_healthd_line(text, HealthdEntry::of(example_us, 1000, 201, hostile, hostile));
    ASSERT_EQ(text.back(), '\n');
    text.pop_back();
    const auto line = read_line(text);
    ASSERT_TRUE(line) << text;
    EXPECT_EQ(line->status, 201);
    EXPECT_DOUBLE_EQ(line->took_s, 0.001);
  }
  std::string empty;
  append_healthd_line(empty, HealthdEntry::of(example_us, 0, 200, "", ""));
  EXPECT_EQ(empty, "1437609879.311\"-\"200\"0.000\"0.000\"-\n");
}

TEST_F(HealthdLogTest, file_names_say_their_hour_and_others_none) {
  const std::int64_t hour = example_us / hour_us;
  EXPECT_EQ(healthd_hour_of(base_, "application.log.2015-07-23-00"), hour);
  EXPECT_EQ(healthd_hour_of(base_, "application.log.2016-02-29-23"),
            healthd_hour_of(base_, "application.log.2016-03-01-00") - 1);
  for (const char* other :
       {"application.log", "application.log.", "application.log.2015-07-23-24",
        "application.log.2015-02-30-00", "application.log.2015-07-23-00.gz",
        "application.log.2015-07-23-0", "application.log.2015-07-23_00", "other.2015-07-23-00",
        "application.log2.2015-07-23-00", "application.log.20a5-07-23-00",
        "application.log.2015-7-23-000", "application.log.lock", "application.log.-015-07-23-00"}) {
    EXPECT_EQ(healthd_hour_of(base_, other), -1) << other;
  }
}

TEST_F(HealthdLogTest, every_request_is_one_line) {
  HealthdLog log(files_, clock_, options());
  for (int i = 0; i < 300; i++) log.push(0, entry(i % 3 == 0 ? 503 : 200));
  log.write_once();
  const auto lines = lines_of(base_ + ".2015-07-23-00");
  ASSERT_EQ(lines.size(), 300u);
  EXPECT_EQ(std::ranges::count(lines, 503, &Line::status), 100);
  EXPECT_NEAR(lines[0].at_s, 1437609879.311, 1e-6);
  EXPECT_DOUBLE_EQ(lines[0].took_s, 0.083);
  EXPECT_EQ(lines[0].path, "/ingest/web");
  EXPECT_EQ(lines[0].client, "177.72.242.17");
  EXPECT_EQ(log.lines(), 300u);
  EXPECT_EQ(log.coarse_lines(), 0u);
  EXPECT_EQ(log.dropped(), 0u);
}

TEST_F(HealthdLogTest, a_line_stands_in_the_file_of_its_own_hour) {
  HealthdLog log(files_, clock_, options(1024, 2));
  clock_.advance(hour_us - example_us % hour_us - second_us);  // A second before the hour.
  log.write_once();
  const HealthdEntry old = entry();
  clock_.advance(2 * second_us);
  log.push(0, old);
  log.push(0, entry());
  log.push(1, old);  // The other loop's share of the old hour comes behind.
  log.write_once();
  EXPECT_EQ(lines_of(base_ + ".2015-07-23-00").size(), 2u);
  EXPECT_EQ(lines_of(base_ + ".2015-07-23-01").size(), 1u);
  EXPECT_EQ(log.lines(), 3u);
}

TEST_F(HealthdLogTest, an_idle_hour_has_an_empty_file_from_its_start) {
  HealthdLog log(files_, clock_, options());
  log.write_once();
  EXPECT_EQ(names(), std::vector<std::string>{"application.log.2015-07-23-00"});
  clock_.advance(hour_us - example_us % hour_us - 1);
  log.write_once();
  EXPECT_EQ(names().size(), 1u);
  clock_.advance(1);
  log.write_once();
  EXPECT_TRUE(fs::exists(base_ + ".2015-07-23-01"));
  EXPECT_EQ(fs::file_size(base_ + ".2015-07-23-01"), 0u);
}

TEST_F(HealthdLogTest, files_whose_hour_is_over_for_two_are_removed_and_no_others) {
  const std::vector<std::string> others = {"application.log", "application.log.2015-07-22-05.gz",
                                           "access.log.2015-07-22-05",
                                           "application.log.2015-02-30-05", "notes"};
  for (const std::string& name : others) std::ofstream(root_ + "/" + name) << "kept";
  std::ofstream(base_ + ".2015-07-22-20") << "ours, from a process before this one";
  HealthdLog log(files_, clock_, options());
  for (int hour = 0; hour < 5; hour++) {
    log.push(0, entry());
    log.write_once();
    clock_.advance(hour_us);
  }
  // The last was written at 04:04: that of 01 ended at 02:00.
  std::vector<std::string> expected = others;
  for (const char* name : {"application.log.2015-07-23-02", "application.log.2015-07-23-03",
                           "application.log.2015-07-23-04"}) {
    expected.emplace_back(name);
  }
  std::ranges::sort(expected);
  EXPECT_EQ(names(), expected);
}

TEST_F(HealthdLogTest, a_restarted_process_goes_on_behind_what_is_there) {
  for (int round = 1; round <= 3; round++) {
    HealthdLog log(files_, clock_, options());
    log.push(0, entry());
    log.write_once();
    EXPECT_EQ(lines_of(base_ + ".2015-07-23-00").size(), static_cast<std::size_t>(round));
  }
}

TEST_F(HealthdLogTest, two_processes_never_write_one_log) {
  auto first = std::make_unique<HealthdLog>(files_, clock_, options());
  first->write_once();
  HealthdLog second(files_, clock_, options());
  for (int i = 0; i < 10; i++) {
    first->push(0, entry(200));
    second.push(0, entry(500));
    first->write_once();
    second.write_once();
    clock_.advance(second_us);
  }
  const std::string file = base_ + ".2015-07-23-00";
  EXPECT_EQ(std::ranges::count(lines_of(file), 200, &Line::status), 10);
  EXPECT_EQ(lines_of(file).size(), 10u);
  EXPECT_EQ(second.dropped(), 10u);
  first.reset();
  second.push(0, entry(500));
  second.write_once();
  EXPECT_EQ(lines_of(file).size(), 11u);
}

TEST_F(HealthdLogTest, a_missing_directory_costs_counted_lines_one_warning_and_is_tried_again) {
  fs::remove_all(root_);
  HealthdLog log(files_, clock_, options());
  testing::internal::CaptureStderr();
  for (int i = 0; i < 30; i++) {
    log.push(0, entry());
    log.write_once();
    clock_.advance(healthd_write_us);
  }
  const std::string warnings = testing::internal::GetCapturedStderr();
  EXPECT_EQ(warnings.find("cannot write"), warnings.rfind("cannot write"));
  EXPECT_NE(warnings.find("cannot write"), std::string::npos);
  EXPECT_EQ(log.dropped(), 30u);
  fs::create_directory(root_);
  clock_.advance(healthd_retry_us);
  log.push(0, entry());
  log.write_once();
  EXPECT_EQ(lines_of(base_ + ".2015-07-23-00").size(), 1u);
  EXPECT_EQ(log.lines() + log.dropped(), 31u);
}

TEST_F(HealthdLogTest, a_directory_removed_and_made_again_is_noticed) {
  HealthdLog log(files_, clock_, options());
  log.push(0, entry());
  log.write_once();
  fs::remove_all(root_);
  fs::create_directory(root_);
  clock_.advance(healthd_retry_us);
  log.push(0, entry());
  log.write_once();
  EXPECT_EQ(lines_of(base_ + ".2015-07-23-00").size(), 1u);
  HealthdLog other(files_, clock_, options());
  other.push(0, entry());
  other.write_once();
  EXPECT_EQ(other.dropped(), 1u) << "the lock went away with the directory";
}

TEST_F(HealthdLogTest, a_file_somebody_truncates_is_appended_to_and_not_made_sparse) {
  HealthdLog log(files_, clock_, options());
  log.push(0, entry());
  log.write_once();
  const std::string file = base_ + ".2015-07-23-00";
  fs::resize_file(file, 0);
  log.push(0, entry());
  log.write_once();
  EXPECT_EQ(lines_of(file).size(), 1u);
}

// Wherever the disk fills up, in the midst of a line or between two, lines stay whole and each
// request is a line or counted.
TEST_F(HealthdLogTest, a_full_disk_never_leaves_half_a_line_and_the_books_balance) {
  std::string one_line;
  append_healthd_line(one_line, entry());
  for (std::uint64_t room = 0; room <= 3 * one_line.size(); room++) {
    HealthdLog log(files_, clock_, options());
    const std::string file = healthd_file_name(base_, clock_.wall_us() / hour_us);
    files_.bytes_left = room;
    testing::internal::CaptureStderr();
    for (int i = 0; i < 3; i++) log.push(0, entry());
    log.write_once();
    files_.bytes_left = UINT64_MAX;
    clock_.advance(healthd_retry_us);
    for (int i = 0; i < 2; i++) log.push(0, entry(404));
    log.write_once();
    testing::internal::GetCapturedStderr();
    const auto lines = lines_of(file);
    ASSERT_EQ(lines.size(), log.lines()) << room;
    ASSERT_EQ(log.lines() + log.dropped(), 5u) << room;
    ASSERT_EQ(std::ranges::count(lines, 404, &Line::status), 2) << room;
    fs::remove(file);
  }
}

TEST_F(HealthdLogTest, requests_too_many_for_the_ring_are_lines_all_the_same) {
  HealthdLog log(files_, clock_, options(64));
  std::map<int, std::size_t> expected;
  for (int i = 0; i < 1000; i++) {
    const int status = i % 10 == 0 ? 429 : 200;
    expected[status]++;
    log.push(0, entry(status));
  }
  log.write_once();
  const auto lines = lines_of(base_ + ".2015-07-23-00");
  std::map<int, std::size_t> got;
  for (const Line& line : lines) {
    got[line.status]++;
    EXPECT_DOUBLE_EQ(line.took_s, 0.083);  // All took the same, so the mean is right.
  }
  EXPECT_EQ(got, expected);
  EXPECT_EQ(log.coarse_lines(), 1000u - 64);
  EXPECT_EQ(log.dropped(), 0u);
}

TEST_F(HealthdLogTest, loops_at_full_speed_are_counted_exactly) {
  constexpr std::size_t loops = 3;
  constexpr std::uint64_t each = 100'000;
  SystemClock clock;
  HealthdLog log(files_, clock, options(1024, loops));
  log.start();
  {
    std::vector<std::jthread> threads;
    for (std::size_t loop = 0; loop < loops; loop++) {
      threads.emplace_back([&, loop] {
        for (std::uint64_t i = 0; i < each; i++) {
          log.push(loop, HealthdEntry::of(clock.wall_us(), 1000, i % 4 == 0 ? 400 : 200, "/x", ""));
        }
      });
    }
  }
  log.stop();
  std::vector<Line> lines;
  for (const std::string& name : names()) {
    const auto more = lines_of(root_ + "/" + name);
    lines.insert(lines.end(), more.begin(), more.end());
  }
  EXPECT_EQ(lines.size(), loops * each);
  EXPECT_EQ(std::ranges::count(lines, 400, &Line::status),
            static_cast<std::ptrdiff_t>(loops * each / 4));
  EXPECT_EQ(log.lines(), loops * each);
  EXPECT_EQ(log.dropped(), 0u);
}

}  // namespace
}  // namespace inlet::health
