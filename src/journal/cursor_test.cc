// Goal: a cursor never moves forward by accident: whatever happens to its file, what is loaded is a
//   state that was saved, and serve never recycles past a state that could come back.
// Method: a file system kept in memory that can tear and refuse writes; every single bit of both
//   slots flipped, every length of a torn write tried.

#include "journal/cursor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <map>

#include "base/check.h"
#include "base/log.h"

namespace inlet::journal {
namespace {

constexpr std::size_t slot_bytes = 4096;

// Files as byte vectors; a write may be told to stop after some bytes and fail.
class MemoryFiles final : public FileSystem {
 public:
  using Contents = std::vector<std::byte>;

  class MemoryFile final : public File {
   public:
    MemoryFile(MemoryFiles& owner, Contents& contents) : owner_(owner), contents_(contents) {}
    Result<std::size_t> read_at(MutableBytes out, std::uint64_t offset) override {
      if (offset >= contents_.size()) return 0;
      const std::size_t bytes = std::min(out.size(), contents_.size() - offset);
      std::memcpy(out.data(), contents_.data() + offset, bytes);
      return bytes;
    }
    Result<std::size_t> write_at(std::span<const iovec> parts, std::uint64_t offset,
                                 Flush flush) override {
      EXPECT_EQ(flush, Flush::yes);
      owner_.writes++;
      CHECK(parts.size() == 1);
      std::size_t bytes = parts[0].iov_len;
      const bool torn = owner_.torn_after_bytes < bytes;
      if (torn) bytes = owner_.torn_after_bytes;
      if (contents_.size() < offset + bytes) contents_.resize(offset + bytes);
      std::memcpy(contents_.data() + offset, parts[0].iov_base, bytes);
      if (torn) return fail(ErrorKind::retry, "torn", EIO);
      return bytes;
    }
    Status sync() override { return {}; }
    Result<std::uint64_t> size() override { return contents_.size(); }

   private:
    MemoryFiles& owner_;
    Contents& contents_;
  };

  Result<std::unique_ptr<File>> open(const std::string& path, OpenOptions options) override {
    if (!contents.contains(path) && !options.create) {
      return fail(ErrorKind::reject, "missing", ENOENT);
    }
    return std::make_unique<MemoryFile>(*this, contents[path]);
  }
  Result<std::vector<std::string>> list(const std::string&) override { return {}; }
  Status make_directories(const std::string& path) override {
    directories_made.push_back(path);
    return {};
  }
  Status rename(const std::string&, const std::string&) override { return {}; }
  Status remove(const std::string&) override { return {}; }
  Status sync_directory(const std::string& path) override {
    directories_synced.push_back(path);
    return {};
  }
  Result<Space> space(const std::string&) override { return Space{1, 1}; }
  Result<std::unique_ptr<FileLock>> lock(const std::string&) override {
    return std::make_unique<FileLock>();
  }

  std::map<std::string, Contents> contents;
  std::size_t torn_after_bytes = SIZE_MAX;
  std::size_t writes = 0;
  std::vector<std::string> directories_made;
  std::vector<std::string> directories_synced;
};

const std::string path = "j/cursors/archive.cursor";

CursorState state_at(std::uint64_t sequence) {
  return {.journal_id = 0xABCDEF,
          .next = {.segment = 3, .offset = 4096 * sequence, .sequence = sequence},
          .planned_ends = {sequence + 10, sequence + 20},
          .records_skipped = 3 * sequence,
          .records_delivered = sequence - 1,
          .bytes_delivered = 1000 * sequence,
          .records_rejected = 4,
          .records_lost = 5,
          .saved_us = 1'700'000'000'000'000};
}

class CursorTest : public testing::Test {
 protected:
  CursorTest() { set_log_level(LogLevel::off); }
  ~CursorTest() override { set_log_level(LogLevel::info); }

  std::unique_ptr<Cursor> open() {
    auto cursor = Cursor::open(files_, "j", "archive");
    EXPECT_TRUE(cursor);
    return std::move(*cursor);
  }
  std::optional<CursorView> view() {
    const auto read = read_cursor(files_, "j", "archive");
    EXPECT_TRUE(read);
    return *read;
  }

  MemoryFiles files_;
};

TEST_F(CursorTest, a_new_cursor_starts_at_the_first_record_and_its_file_is_made_durable) {
  EXPECT_EQ(view(), std::nullopt);
  EXPECT_EQ(open()->state(), CursorState{});
  EXPECT_EQ(files_.contents.at(path).size(), 2 * slot_bytes);
  EXPECT_EQ(files_.directories_made, std::vector<std::string>{"j/cursors"});
  EXPECT_EQ(files_.directories_synced, (std::vector<std::string>{"j/cursors", "j"}));
  EXPECT_EQ(view()->durable_sequence, 1U);
}

TEST_F(CursorTest, every_field_survives_being_saved_and_opened_again) {
  const CursorState state = state_at(77);
  ASSERT_TRUE(open()->save(state));
  EXPECT_EQ(open()->state(), state);
  EXPECT_EQ(view()->latest, state);
}

TEST_F(CursorTest, saves_alternate_between_the_slots_and_the_smaller_one_is_durable) {
  const auto cursor = open();
  for (std::uint64_t sequence = 1; sequence < 50; sequence++) {
    ASSERT_TRUE(cursor->save(state_at(sequence)));
    EXPECT_EQ(view()->latest, state_at(sequence));
    EXPECT_EQ(view()->durable_sequence, sequence < 2 ? 1 : sequence - 1);
  }
}

TEST_F(CursorTest, a_cursor_opened_again_goes_on_with_the_slot_that_is_not_the_latest) {
  for (std::uint64_t sequence = 1; sequence < 20; sequence++) {
    const auto cursor = open();
    ASSERT_TRUE(cursor->save(state_at(sequence)));
    EXPECT_GE(view()->durable_sequence + 1, sequence);
  }
}

TEST_F(CursorTest, a_single_slot_or_slots_of_two_journals_give_no_durable_sequence) {
  const auto cursor = open();
  ASSERT_TRUE(cursor->save(state_at(9)));
  EXPECT_EQ(view()->durable_sequence, 1U);
  CursorState other = state_at(20);
  other.journal_id++;
  ASSERT_TRUE(cursor->save(other));
  EXPECT_EQ(view()->latest, other);
  EXPECT_EQ(view()->durable_sequence, 1U);
}

TEST_F(CursorTest, opening_writes_the_latest_slot_again_unchanged_and_copies_a_lone_one) {
  ASSERT_TRUE(open()->save(state_at(5)));
  files_.writes = 0;
  open();
  EXPECT_EQ(files_.writes, 1U);
  EXPECT_EQ(view()->durable_sequence, 5U);  // The copy.
  ASSERT_TRUE(open()->save(state_at(6)));
  const auto before = files_.contents.at(path);
  files_.writes = 0;
  open();
  EXPECT_EQ(files_.writes, 1U);
  EXPECT_EQ(files_.contents.at(path), before);
}

TEST_F(CursorTest, every_flipped_bit_in_either_slot_is_noticed) {
  {
    const auto cursor = open();
    ASSERT_TRUE(cursor->save(state_at(5)));
    ASSERT_TRUE(cursor->save(state_at(6)));
  }
  // Generation 1 stands in slot 1, generation 2 in slot 0.
  const auto good = files_.contents.at(path);
  for (std::size_t bit = 0; bit < 2 * slot_bytes * 8; bit++) {
    auto& bytes = files_.contents.at(path);
    bytes[bit / 8] ^= std::byte{1} << (bit % 8);
    const CursorState kept = bit / 8 < slot_bytes ? state_at(5) : state_at(6);
    const auto seen = view();
    ASSERT_EQ(seen->latest, kept) << "bit " << bit;
    ASSERT_EQ(seen->durable_sequence, 1U) << "bit " << bit;
    bytes = good;
  }
}

TEST_F(CursorTest, damage_to_both_slots_starts_over_and_the_next_save_holds) {
  {
    const auto cursor = open();
    ASSERT_TRUE(cursor->save(state_at(5)));
    ASSERT_TRUE(cursor->save(state_at(6)));
  }
  for (std::byte& b : files_.contents.at(path)) b ^= std::byte{0x5A};
  const auto cursor = open();
  EXPECT_EQ(cursor->state(), CursorState{});
  ASSERT_TRUE(cursor->save(state_at(2)));
  EXPECT_EQ(open()->state(), state_at(2));
}

TEST_F(CursorTest, a_torn_write_of_any_length_leaves_the_state_before_it) {
  for (const std::uint64_t saved : {0U, 1U, 2U, 3U}) {
    for (std::size_t bytes = 0; bytes < slot_bytes; bytes++) {
      files_.contents.clear();
      files_.torn_after_bytes = SIZE_MAX;
      auto cursor = open();
      for (std::uint64_t i = 1; i <= saved; i++) ASSERT_TRUE(cursor->save(state_at(10 * i)));
      files_.torn_after_bytes = bytes;
      ASSERT_FALSE(cursor->save(state_at(90)));
      const CursorState before = saved == 0 ? CursorState{} : state_at(10 * saved);
      EXPECT_EQ(cursor->state(), before);
      // A slot whose missing tail is equal to what stood there before is the new state, whole.
      const CursorState seen = view()->latest;
      ASSERT_TRUE(seen == before || (bytes > 64 && seen == state_at(90))) << bytes;
      ASSERT_LE(view()->durable_sequence, before.next.sequence);
      files_.torn_after_bytes = SIZE_MAX;
      ASSERT_TRUE(cursor->save(state_at(91)));
      ASSERT_EQ(view()->latest, state_at(91));
    }
  }
}

TEST_F(CursorTest, a_file_cut_short_while_it_was_made_is_made_whole) {
  for (const std::size_t bytes : {std::size_t{0}, std::size_t{100}, slot_bytes, slot_bytes + 1}) {
    files_.contents[path].assign(bytes, std::byte{0});
    EXPECT_EQ(open()->state(), CursorState{});
    EXPECT_EQ(files_.contents.at(path).size(), 2 * slot_bytes);
  }
}

TEST_F(CursorTest, a_slot_in_the_other_slots_place_is_not_believed) {
  ASSERT_TRUE(open()->save(state_at(5)));
  auto& bytes = files_.contents.at(path);
  std::rotate(bytes.begin(), bytes.begin() + slot_bytes, bytes.end());
  EXPECT_EQ(view()->latest, CursorState{});
}

}  // namespace
}  // namespace inlet::journal
