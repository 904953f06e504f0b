// Goal: each damage stands in the file once, on a line of its own, also after crashes.
// Method: damages added by several logs one after the other; files torn inside a line.

#include "ship/damage_log.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/directory_test.h"
#include "base/posix_file.h"

namespace inlet::ship {
namespace {

namespace fs = std::filesystem;

class DamageLogTest : public testing::Test {
 protected:
  DamageLogTest() { root_ = make_test_directory("damage_log_test"); }
  ~DamageLogTest() override { fs::remove_all(root_); }

  std::string path() const { return root_ / "s.damage"; }
  std::string text() const {
    std::ifstream in(path(), std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  static journal::Damage damage(std::uint64_t first) {
    return {3, 64, first, first + 2, "a \"b\""};
  }
  static std::string line(std::uint64_t first) {
    return "{\"segment\":3,\"offset\":64,\"first_sequence\":" + std::to_string(first) +
           ",\"end_sequence\":" + std::to_string(first + 2) + ",\"why\":\"a \\\"b\\\"\"}\n";
  }

  fs::path root_;
  PosixFileSystem files_;
};

TEST_F(DamageLogTest, makes_no_file_without_damage) {
  DamageLog log(files_, path());
  EXPECT_FALSE(fs::exists(path()));
}

TEST_F(DamageLogTest, writes_each_damage_once_over_several_lives) {
  for (int life = 0; life < 3; life++) {
    DamageLog log(files_, path());
    for (const std::uint64_t first : {10U, 20U, 10U}) ASSERT_TRUE(log.add(damage(first)));
  }
  EXPECT_EQ(text(), line(10) + line(20));
}

TEST_F(DamageLogTest, goes_on_over_a_torn_line) {
  const std::string whole = line(10) + line(20);
  for (std::size_t bytes = 0; bytes <= whole.size(); bytes++) {
    std::ofstream(path(), std::ios::binary | std::ios::trunc) << whole.substr(0, bytes);
    DamageLog log(files_, path());
    for (const std::uint64_t first : {10U, 20U, 30U}) ASSERT_TRUE(log.add(damage(first)));
    ASSERT_EQ(text(), whole + line(30)) << bytes;
  }
}

TEST_F(DamageLogTest, says_when_it_cannot_write) {
  DamageLog log(files_, root_ / "missing" / "s.damage");
  EXPECT_FALSE(log.add(damage(1)));
}

}  // namespace
}  // namespace inlet::ship
