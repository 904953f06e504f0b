// Goal: lag is never said to be less than it is, whether the shipper lives or not.
// Method: status texts and times by hand; files as a shipper writes them for the watch.

#include "serve/sink_watch.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/directory_test.h"
#include "base/posix_file.h"
#include "journal/cursor.h"

namespace inlet::serve {
namespace {

const std::string status =
    R"({"sink":"out","updated_at":"2026-11-23T10:00:10.000000Z","pending_bytes":7,"retries":3,)"
    R"("lag_seconds":4.500,"last_error":"a \"b\"","last_error_at":"2026-11-23T10:00:00.000000Z",)"
    R"("failing_since":"2026-11-23T09:59:59.000000Z"})";
constexpr Microseconds ten_us = 1795428000'000'000;

TEST(SinkStatus, is_read_as_the_shipper_writes_it) {
  SinkFigures figures;
  ASSERT_TRUE(read_status(status, figures));
  EXPECT_EQ(figures.updated_us, ten_us + 10'000'000);
  EXPECT_EQ(figures.oldest_us, ten_us + 5'500'000);
  EXPECT_EQ(figures.pending_bytes, 7U);
  EXPECT_EQ(figures.retries, 3U);
  EXPECT_EQ(figures.last_error, "a \"b\"");
  EXPECT_EQ(figures.failing_since_us, ten_us - 1'000'000);
  for (const auto* text : {"", "{}", "[]", R"({"updated_at":"x"})"}) {
    EXPECT_FALSE(read_status(text, figures)) << text;
  }
}

TEST(SinkAge, is_not_negative_after_the_clock_was_set_back) {
  EXPECT_EQ(age_us(300, 1000), 700);
  EXPECT_EQ(age_us(1000, 300), 0);
}

TEST(SinkLag, counts_on_while_the_shipper_is_silent_and_is_zero_with_nothing_to_deliver) {
  const SinkFigures figures{.next_sequence = 5, .oldest_us = 100, .updated_us = 300};
  EXPECT_EQ(lag_us(figures, 5, 1000), 0);
  EXPECT_EQ(lag_us(figures, 6, 1000), 900);
  EXPECT_EQ(lag_us({.next_sequence = 5, .updated_us = 300}, 6, 1000), 700);
  EXPECT_EQ(lag_us({.next_sequence = 5}, 6, 1000), 0);
}

TEST(SinkWatch, shows_what_the_files_say_and_what_is_missing_as_nothing) {
  const std::string root = make_test_directory("sink_watch_test");
  PosixFileSystem files;
  auto cursor = journal::Cursor::open(files, root, "out");
  ASSERT_TRUE(cursor);
  ASSERT_TRUE((*cursor)->save({.journal_id = 1,
                               .next = {.sequence = 42},
                               .records_skipped = 1,
                               .records_delivered = 30,
                               .bytes_delivered = 300,
                               .records_rejected = 8,
                               .records_lost = 2}));
  std::ofstream(root + "/cursors/out.status") << status;
  {
    const SinkWatch watch(files, root, {"out", "new"});
    const auto figures = watch.figures();
    ASSERT_EQ(figures.size(), 2U);
    EXPECT_EQ(figures[0].name, "out");
    EXPECT_EQ(figures[0].next_sequence, 42U);
    EXPECT_EQ(figures[0].delivered_records, 30U);
    EXPECT_EQ(figures[0].dead_records, 8U);
    EXPECT_EQ(figures[0].retries, 3U);
    EXPECT_EQ(figures[1].name, "new");
    EXPECT_EQ(figures[1].next_sequence, 1U);
  }
  std::filesystem::remove_all(root);
}

}  // namespace
}  // namespace inlet::serve
