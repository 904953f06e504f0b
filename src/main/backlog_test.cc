// Goal: the backlog of a sink is what is committed and not yet behind its cursor, in every state of
// the two files it is read from.
// Method: the files written by the journal's own encoders, then taken away or damaged.

#include "main/backlog.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/directory_test.h"
#include "base/posix_file.h"
#include "journal/cursor.h"

namespace inlet::main {
namespace {

class BacklogTest : public testing::Test {
 protected:
  BacklogTest() {
    journal_ = make_test_directory("backlog_test");
    std::filesystem::create_directory(journal_ + "/cursors");
  }
  ~BacklogTest() override { std::filesystem::remove_all(journal_); }

  void commit_up_to(std::uint64_t next_sequence) {
    std::array<std::byte, journal::commit_mark_bytes> bytes{};
    journal::encode_commit_mark(
        {.salt = 1, .segment = 1, .offset = 8192, .next_sequence = next_sequence, .journal_id = 7},
        bytes);
    write_mark(as_text(bytes));
  }
  void write_mark(std::string_view text) {
    std::ofstream(journal_ + "/commit", std::ios::binary) << text;
  }
  void deliver_up_to(std::uint64_t next_sequence) {
    auto cursor = journal::Cursor::open(files_, journal_, "archive");
    ASSERT_TRUE(cursor);
    journal::CursorState state;
    state.next.sequence = next_sequence;
    ASSERT_TRUE((*cursor)->save(state));
  }
  Result<Backlog> backlog() { return read_backlog(files_, journal_, "archive"); }

  PosixFileSystem files_;
  std::string journal_;
};

TEST_F(BacklogTest, is_empty_before_anything_was_committed) {
  EXPECT_EQ(backlog()->records(), 0U);
  write_mark("");
  EXPECT_EQ(backlog()->records(), 0U);
  write_mark(std::string(journal::commit_mark_bytes, '\0'));
  EXPECT_EQ(backlog()->records(), 0U);
}

TEST_F(BacklogTest, counts_from_the_cursor_to_the_commit_mark) {
  commit_up_to(11);
  EXPECT_EQ(*backlog(), (Backlog{.next = 1, .end = 11}));
  deliver_up_to(8);
  EXPECT_EQ(*backlog(), (Backlog{.next = 8, .end = 11}));
  EXPECT_EQ(describe_backlog(*backlog(), "archive"),
            "3 records stay behind for sink archive, sequence 8 to 10; the next start goes on "
            "there");
  deliver_up_to(11);
  EXPECT_EQ(backlog()->records(), 0U);
}

TEST_F(BacklogTest, is_unknown_when_the_mark_is_damaged) {
  write_mark(std::string(journal::commit_mark_bytes, 'x'));
  ASSERT_FALSE(backlog());
  EXPECT_EQ(backlog().error().kind, ErrorKind::corrupt);
}

}  // namespace
}  // namespace inlet::main
