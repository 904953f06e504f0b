// Goal: a dead letter is found wherever it may lie, and no more is read or believed than that.
// Method: files by hand, bodies larger than the pieces they are read in.

#include "serve/letter_search.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/directory_test.h"
#include "base/posix_file.h"

namespace inlet::serve {
namespace {

constexpr std::uint64_t journal_id = 0xABC;

std::string letter(std::uint64_t sequence, std::size_t body_bytes, const std::string& reason) {
  return fmt::format(R"({{"id":"{}","tenant":"acme","stream":"web",)"
                     R"("received_at":"2026-11-23T10:00:00.000000Z","content_type":"",)"
                     R"("content_encoding":"","peer":"","trace_id":"","idempotency_key":"",)"
                     R"("sink":"out","reason":"{}","body":"{}"}})"
                     "\n",
                     record_id(journal_id, sequence), reason, std::string(body_bytes, 'A'));
}

class LetterSearch : public testing::Test {
 protected:
  ~LetterSearch() override { std::filesystem::remove_all(root); }
  void write(const std::string& file, const std::string& text) const {
    std::ofstream(root + "/" + file, std::ios::binary) << text;
  }
  LettersFound find(std::uint64_t sequence, std::uint64_t first, std::uint64_t end,
                    std::uint64_t bytes_max = UINT64_MAX) {
    auto found = find_letter(files, root, {journal_id, sequence}, first, end, bytes_max);
    EXPECT_TRUE(found);
    return found ? std::move(*found) : LettersFound{};
  }

  PosixFileSystem files;
  const std::string root = make_test_directory("letter_search_test");
  const std::string name = "n-000000000abc-000000000001-000000000009.ndjson";
};

TEST_F(LetterSearch, finds_every_letter_of_a_file_whatever_the_length_of_its_lines) {
  const std::size_t sizes[] = {0,
                               1000,
                               letter_head_bytes_max,
                               letter_piece_bytes - 300,
                               letter_piece_bytes,
                               3 * letter_piece_bytes + 1};
  std::string text;
  std::uint64_t sequence = 0;
  for (const std::size_t bytes : sizes) {
    sequence++;
    text += letter(sequence, bytes / 4 * 4, "reason " + std::to_string(sequence));
  }
  write(name, text);
  for (std::uint64_t i = 1; i <= sequence; i++) {
    const auto found = find(i, 1, 10);
    ASSERT_TRUE(found.letter) << i;
    EXPECT_EQ(found.letter->reason, "reason " + std::to_string(i));
    EXPECT_EQ(found.letter->record.tenant, "acme");
  }
  EXPECT_FALSE(find(9, 1, 10).letter);
  EXPECT_EQ(find(9, 1, 10).letters, std::size(sizes));
}

TEST_F(LetterSearch, looks_only_into_files_of_this_journal_that_are_no_replays) {
  for (const auto* other : {"n-000000000abd-000000000001-000000000009.ndjson",
                            "n-000000000abc-replay-000000000001-000000000009.ndjson",
                            ".n-000000000abc-000000000001-000000000009.ndjson",
                            "n-000000000abc-000000000001-000000000009.tmp",
                            "n-000000000abc-000000000006-000000000009.ndjson",
                            "000000000001-000000000009.ndjson", ".ndjson", "x.ndjson"}) {
    write(other, letter(5, 4, "x"));
  }
  EXPECT_FALSE(find(5, 1, 6).letter);
  EXPECT_EQ(find(5, 1, 6).letters, 0U);
  write(name, letter(5, 4, "x"));
  EXPECT_TRUE(find(5, 1, 6).letter);
}

TEST_F(LetterSearch, is_not_misled_by_bodies_and_reasons) {
  write(name, letter(1, 8, R"(\",\"body\":\"{\"id\":\"000000000abc-000000000002\")"));
  EXPECT_FALSE(find(2, 1, 10).letter);
  EXPECT_EQ(find(1, 1, 10).letter->reason, R"(","body":"{"id":"000000000abc-000000000002")");
}

TEST_F(LetterSearch, counts_letters_of_the_files_within_a_sum) {
  write("n-000000000abc-000000000001-000000000002.ndjson", letter(1, 4, "x") + letter(2, 4, "x"));
  write("n-000000000abc-000000000003-000000000004.ndjson", letter(3, 4, "x"));
  write("n-000000000abc-000000000005-000000000006.ndjson", letter(5, 4, "x"));
  EXPECT_EQ(find(4, 1, 5).letters, 3U);
  EXPECT_EQ(find(4, 1, 7).letters, 4U);
}

TEST_F(LetterSearch, reads_no_more_than_it_may) {
  write(name, letter(1, 4 * letter_piece_bytes, "x") + letter(2, 4, "y"));
  EXPECT_TRUE(find(2, 1, 10).letter);
  EXPECT_FALSE(find(2, 1, 10, 2 * letter_piece_bytes).letter);
  EXPECT_EQ(find(2, 1, 10, 0).letters, 0U);
}

TEST_F(LetterSearch, of_no_folder_is_empty_and_of_a_damaged_letter_an_error) {
  EXPECT_TRUE(find_letter(files, root + "/none", {journal_id, 1}, 1, 2, 99)->letter ==
              std::nullopt);
  write(name, "{\"id\":\"000000000abc-000000000001\",oops\n");
  EXPECT_FALSE(find_letter(files, root, {journal_id, 1}, 1, 10, 9999));
}

}  // namespace
}  // namespace inlet::serve
