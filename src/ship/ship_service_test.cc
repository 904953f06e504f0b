// Goal: what a journal has committed stands in the archive exactly once, over flushes, stops and
//   new starts, and whoever looks can see how far delivery is.
// Method: the real journal, reader, cursor and file sink on a temporary directory; sinks that fail
//   until told otherwise.

#include "ship/ship_service.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/directory_test.h"
#include "base/log.h"
#include "base/posix_file.h"
#include "journal/journal.h"
#include "sinks/file_sink.h"

namespace inlet::ship {
namespace {

namespace fs = std::filesystem;

class NoListener final : public journal::CommitListener {
 public:
  void on_commits(unsigned, journal::Ticket*) override {}
};

class DeadSink final : public sinks::PromptSink {
 public:
  sinks::Delivery deliver(const sinks::Batch&) override {
    attempts++;
    return {.outcome = sinks::Outcome::retry, .why = "connection refused"};
  }
  std::atomic<int> attempts = 0;
};

class ShipServiceTest : public testing::Test {
 protected:
  ShipServiceTest() {
    set_log_level(LogLevel::off);
    root_ = make_test_directory("ship_service_test");
    journal::JournalOptions options;
    options.store.directory = journal_directory();
    options.store.segment_bytes = limits::segment_bytes_min;
    options.store.bytes_max = 16 * limits::segment_bytes_min;
    options.store.sinks = {"archive"};
    auto opened = journal::Journal::open(files_, clock_, pool_, listener_, options);
    EXPECT_TRUE(opened);
    journal_ = std::move(*opened);
  }
  ~ShipServiceTest() override {
    journal_.reset();
    fs::remove_all(root_);
    set_log_level(LogLevel::info);
  }

  std::string journal_directory() const { return root_ / "journal"; }

  ShipServiceOptions options() const {
    return {.journal_directory = journal_directory(),
            .dead_directory = root_ / "dead",
            .shipper = {.sink = "archive",
                        .node = "n1",
                        .streams = {"*"},
                        .batch = {.batch_bytes = 4096, .batch_records = 7, .batch_age_us = 1000},
                        .retry = {},
                        .poll_us = 1000,
                        .seed = 1},
            .flush_deadline_us = 5'000'000};
  }

  std::unique_ptr<ShipService> start(sinks::Sink& sink, ShipServiceOptions with) {
    auto service = ShipService::start(files_, clock_, sink, std::move(with));
    EXPECT_TRUE(service);
    return std::move(*service);
  }

  void commit(int count) {
    for (int i = 0; i < count; i++) {
      tickets_.push_back(std::make_unique<journal::Ticket>());
      const std::string body = "{\"n\":" + std::to_string(++written_) + "}";
      ASSERT_TRUE(journal_->append(
          *tickets_.back(), {.tenant = "acme", .stream = "s", .content_type = "application/json"},
          as_bytes(body), 1'700'000'000'000'000 + written_));
      ASSERT_TRUE(journal_->commit_once());
    }
  }

  // The numbers in the archive, sorted by name of object and line.
  std::vector<int> archived() const {
    std::vector<fs::path> paths;
    for (const auto& entry : fs::recursive_directory_iterator(root_ / "archive")) {
      if (entry.is_regular_file()) paths.push_back(entry.path());
    }
    std::sort(paths.begin(), paths.end());
    std::vector<int> numbers;
    for (const fs::path& path : paths) {
      std::ifstream in(path);
      for (std::string line; std::getline(in, line);) {
        numbers.push_back(std::atoi(line.c_str() + line.find("{\"n\":") + 5));
      }
    }
    return numbers;
  }
  std::vector<int> all() const {
    std::vector<int> numbers;
    for (int i = 1; i <= written_; i++) numbers.push_back(i);
    return numbers;
  }
  std::string status() const {
    std::ifstream in(root_ / "journal/cursors/archive.status");
    return {std::istreambuf_iterator<char>(in), {}};
  }
  sinks::FileSinkOptions to_archive() const {
    return {
        .path = root_ / "archive",
        .archive = {
            .compression = sinks::Compression::none, .level = 1, .envelope = true, .formats = {}}};
  }

  fs::path root_;
  PosixFileSystem files_;
  SystemClock clock_;
  MemoryBudget budget_{64U << 20};
  journal::BufferPool pool_{budget_};
  NoListener listener_;
  std::vector<std::unique_ptr<journal::Ticket>> tickets_;
  std::unique_ptr<journal::Journal> journal_;
  int written_ = 0;
};

TEST_F(ShipServiceTest, a_flush_delivers_everything_committed_and_says_that_nothing_is_left) {
  sinks::FileSink sink(files_, to_archive());
  commit(100);
  const auto service = start(sink, options());
  service->flush();
  const ShipSummary left = service->run();
  EXPECT_EQ(left.records_left, 0U);
  EXPECT_EQ(left.bytes_left, 0U);
  EXPECT_EQ(archived(), all());
  EXPECT_NE(status().find("\"delivered_records\":100,"), std::string::npos) << status();
  EXPECT_NE(status().find("\"pending_records\":0,"), std::string::npos) << status();
}

TEST_F(ShipServiceTest, delivers_while_records_come_and_ends_when_told) {
  sinks::FileSink sink(files_, to_archive());
  const auto service = start(sink, options());
  std::thread runner([&] { service->run(); });
  for (int i = 0; i < 50; i++) commit(2);
  service->flush();
  runner.join();
  EXPECT_EQ(archived(), all());
}

TEST_F(ShipServiceTest, goes_on_where_the_one_before_it_stopped) {
  for (int life = 0; life < 10; life++) {
    sinks::FileSink sink(files_, to_archive());
    const auto service = start(sink, options());
    commit(13);
    std::thread runner([&] { service->run(); });
    std::this_thread::yield();
    service->stop();
    runner.join();
  }
  sinks::FileSink sink(files_, to_archive());
  const auto service = start(sink, options());
  service->flush();
  service->run();
  EXPECT_EQ(archived(), all());
}

TEST_F(ShipServiceTest, a_flush_to_a_dead_sink_ends_at_its_deadline_and_says_what_is_left) {
  DeadSink sink;
  commit(20);
  ShipServiceOptions with = options();
  with.flush_deadline_us = 300'000;
  with.shipper.retry.cap_us = 1000;
  const auto service = start(sink, with);
  service->flush();
  const Microseconds begun = clock_.steady_us();
  const ShipSummary left = service->run();
  EXPECT_GE(clock_.steady_us() - begun, 300'000);
  EXPECT_LT(clock_.steady_us() - begun, 5'000'000);
  EXPECT_GT(sink.attempts, 10);
  EXPECT_EQ(left.records_left, 20U);
  EXPECT_GE(left.bytes_left, 20U);
  EXPECT_GT(left.oldest_us, 0);
  EXPECT_EQ(left.last_error, "connection refused");
  EXPECT_NE(status().find("\"last_error\":\"connection refused\""), std::string::npos) << status();
}

TEST_F(ShipServiceTest, a_stop_ends_a_long_wait) {
  DeadSink sink;
  commit(1);
  ShipServiceOptions with = options();
  with.shipper.retry.base_us = 3'600'000'000;
  with.shipper.retry.cap_us = 3'600'000'000;
  const auto service = start(sink, with);
  std::thread runner([&] { service->run(); });
  while (sink.attempts == 0) std::this_thread::yield();
  service->stop();
  runner.join();
  EXPECT_EQ(sink.attempts, 1);
}

TEST_F(ShipServiceTest, a_second_service_for_the_same_sink_is_refused) {
  DeadSink sink;
  const auto service = start(sink, options());
  const auto second = ShipService::start(files_, clock_, sink, options());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().kind, ErrorKind::reject);
}

TEST_F(ShipServiceTest, the_status_is_whole_and_valid_whatever_the_error_says) {
  Figures figures;
  figures.journal_id = 0xABC;
  figures.lag_us = 1'234'567;
  figures.last_error = "a \"quoted\"\nerror";
  figures.last_error_us = 1'700'000'000'000'000;
  figures.failing_since_us = 1'699'999'999'000'000;
  EXPECT_EQ(status_json("archive", figures, 1'700'000'000'500'000),
            "{\"sink\":\"archive\",\"updated_at\":\"2023-11-14T22:13:20.500000Z\","
            "\"journal_id\":\"000000000abc\",\"next_sequence\":1,\"committed_sequence\":1,"
            "\"delivered_records\":0,\"delivered_bytes\":0,\"pending_records\":0,"
            "\"pending_bytes\":0,\"lag_seconds\":1.235,\"retries\":0,\"dead_records\":0,"
            "\"lost_records\":0,\"skipped_records\":0,\"last_error\":\"a \\\"quoted\\\"\\nerror\","
            "\"last_error_at\":\"2023-11-14T22:13:20.000000Z\","
            "\"failing_since\":\"2023-11-14T22:13:19.000000Z\"}\n");
}

}  // namespace
}  // namespace inlet::ship
