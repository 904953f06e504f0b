// Goal: an agent that follows the file reads every line once, whole, and the disk is not filled.
// Method: a reader that holds its file open through renames; writes that fail; a process before us
// that died inside a line.

#include "health/emf_log.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/directory_test.h"
#include "base/posix_file.h"

namespace inlet::health {
namespace {

namespace fs = std::filesystem;

class EmfLogTest : public testing::Test {
 protected:
  EmfLogTest() : root_(make_test_directory("emf_log")), path_(root_ + "/emf.log") {}
  ~EmfLogTest() override { fs::remove_all(root_); }

  static std::string text_of(const std::string& path) {
    std::ifstream in(path);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  const std::string root_;
  const std::string path_;
  PosixFileSystem files_;
};

TEST_F(EmfLogTest, appends_also_behind_what_a_process_before_wrote) {
  for (int i = 0; i < 2; i++) {
    EmfLog log(files_, {.path = path_});
    log.write("one\n");
    log.write("two\nthree\n");
  }
  EXPECT_EQ(text_of(path_), "one\ntwo\nthree\none\ntwo\nthree\n");
}

TEST_F(EmfLogTest, ends_a_line_that_was_cut_off) {
  std::ofstream(path_) << "whole\n{\"cut";
  EmfLog log(files_, {.path = path_});
  log.write("next\n");
  EXPECT_EQ(text_of(path_), "whole\n{\"cut\nnext\n");
}

TEST_F(EmfLogTest, one_who_follows_the_file_reads_everything_once_through_rotations) {
  EmfLog log(files_, {.path = path_, .bytes_max = 25, .kept = 2});
  std::string expected;
  std::string followed;
  std::ifstream reader;
  for (int i = 0; i < 10; i++) {
    const std::string line = "line " + std::to_string(i) + "....\n";  // Two fit.
    log.write(line);
    expected += line;
    if (!reader.is_open()) reader.open(path_);
    std::string rest(std::istreambuf_iterator<char>(reader), {});
    if (rest.empty()) {  // Renamed: the new file is elsewhere.
      reader = std::ifstream(path_);
      rest.assign(std::istreambuf_iterator<char>(reader), {});
    }
    reader.clear();
    followed += rest;
  }
  EXPECT_EQ(followed, expected);
  std::size_t files = 0;
  for (const auto& file : fs::directory_iterator(root_)) {
    files++;
    EXPECT_LE(file.file_size(), 25u);
  }
  EXPECT_EQ(files, 3u);
  EXPECT_EQ(text_of(path_ + ".1") + text_of(path_), expected.substr(expected.size() - 44));
}

TEST_F(EmfLogTest, a_line_larger_than_the_file_is_written_alone) {
  EmfLog log(files_, {.path = path_, .bytes_max = 8, .kept = 1});
  log.write("a long line indeed\n");
  log.write("another long line\n");
  EXPECT_EQ(text_of(path_), "another long line\n");
  EXPECT_EQ(text_of(path_ + ".1"), "a long line indeed\n");
}

TEST_F(EmfLogTest, keeping_no_old_file_begins_anew) {
  EmfLog log(files_, {.path = path_, .bytes_max = 5, .kept = 0});
  log.write("one\n");
  log.write("two\n");
  EXPECT_EQ(text_of(path_), "two\n");
}

TEST_F(EmfLogTest, warns_once_counts_and_goes_on_when_it_can) {
  fs::remove_all(root_);
  EmfLog log(files_, {.path = path_});
  testing::internal::CaptureStderr();
  for (int i = 0; i < 5; i++) log.write("lost\n");
  const std::string warnings = testing::internal::GetCapturedStderr();
  EXPECT_NE(warnings.find("cannot write"), std::string::npos);
  EXPECT_EQ(warnings.find("cannot write"), warnings.rfind("cannot write"));
  EXPECT_EQ(log.failed_writes(), 5u);
  fs::create_directory(root_);
  log.write("kept\n");
  EXPECT_EQ(text_of(path_), "kept\n");
}

}  // namespace
}  // namespace inlet::health
