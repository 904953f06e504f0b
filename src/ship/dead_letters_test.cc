// Goal: a record set aside can be sent again from its file alone: every field and byte is there.
// Method: records with awkward bytes, compared with the line expected;
//   repeats of the same batch.

#include "ship/dead_letters.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/directory_test.h"
#include "base/posix_file.h"
#include "sinks/text.h"

namespace inlet::ship {
namespace {

namespace fs = std::filesystem;

class DeadLettersTest : public testing::Test {
 protected:
  DeadLettersTest() { root_ = make_test_directory("dead_letters_test"); }
  ~DeadLettersTest() override { fs::remove_all(root_); }

  fs::path root_;
  PosixFileSystem files_;
};

TEST_F(DeadLettersTest, keep_every_field_of_the_rejected_records_and_of_no_other) {
  const std::string body("\x00\xff{}\n", 5);
  std::vector<sinks::Record> records;
  for (std::uint64_t i = 10; i < 14; i++) {
    records.push_back({.sequence = i,
                       .received_us = 1'700'000'000'123'456,
                       .tenant = "acme",
                       .stream = "clicks",
                       .content_type = "a/b; c=\"d\"",
                       .content_encoding = "gzip",
                       .peer = "::1",
                       .trace_id = "t\n1",
                       .idempotency_key = "k\xff",
                       .body = as_bytes(body)});
  }
  const sinks::Batch batch{.name = {.node = "n1-3f9a2c1d55aa", .first = 9, .last = 14},
                           .journal_id = 0x3f9a2c1d55aa,
                           .records = records};
  DeadLetters letters(files_, root_ / "dead/archive", "archive");
  const std::vector<sinks::Rejection> rejected{{11, "because"}, {13, "\"why\" not"}};
  for (int repeat = 0; repeat < 2; repeat++) ASSERT_TRUE(letters.keep(batch, rejected));

  const fs::path path = root_ / "dead/archive/n1-3f9a2c1d55aa-000000000009-00000000000e.ndjson";
  std::ifstream in(path, std::ios::binary);
  std::string base64;
  sinks::append_base64(base64, as_bytes(body));
  const auto line = [&](const std::string& id, const std::string& reason) {
    return "{\"id\":\"" + id +
           "\",\"tenant\":\"acme\",\"stream\":\"clicks\","
           "\"received_at\":\"2023-11-14T22:13:20.123456Z\","
           "\"content_type\":\"a/b; c=\\\"d\\\"\",\"content_encoding\":\"gzip\","
           "\"peer\":\"::1\",\"trace_id\":\"t\\n1\",\"idempotency_key\":\"k\xEF\xBF\xBD\","
           "\"sink\":\"archive\",\"reason\":" +
           reason + ",\"body\":\"" + base64 + "\"}\n";
  };
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(in), {}),
            line("3f9a2c1d55aa-00000000000b", "\"because\"") +
                line("3f9a2c1d55aa-00000000000d", R"("\"why\" not")"));
  EXPECT_EQ(std::distance(fs::directory_iterator(path.parent_path()), {}), 1);
}

TEST_F(DeadLettersTest, say_when_they_cannot_be_written) {
  std::ofstream(root_ / "dead") << "a file where the folder should be";
  DeadLetters letters(files_, root_ / "dead/archive", "archive");
  EXPECT_FALSE(letters.keep({}, {}));
}

}  // namespace
}  // namespace inlet::ship
