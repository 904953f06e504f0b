// Goal: a change to the file of keys is whole, loses nothing of what others change at the same time
//   or wrote there by hand, and is refused where the file would not be right.
// Method: texts by hand; the real file system with many writers at once, links and wrong files.

#include "main/key_file.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>
#include <vector>

#include "base/directory_test.h"
#include "base/posix_file.h"

namespace inlet::main {
namespace {

serve::KeyEntry entry_of(serve::KeyId id, const std::string& tenant = "acme") {
  return {.id = id, .tenant = tenant};
}

std::string line_of(serve::KeyId id, const std::string& tenant = "acme") {
  return serve::key_line(entry_of(id, tenant)) + "\n";
}

TEST(KeyText, one_line_changes_and_all_others_stay_as_they_are) {
  const std::string text = "# ours\n\n" + line_of(1) + "  # more\r\n" + line_of(2) + "# end";
  EXPECT_EQ(with_key(text, entry_of(3)), text + "\n" + line_of(3));
  EXPECT_EQ(with_key("", entry_of(3)), line_of(3));
  EXPECT_EQ(with_key_changed(text, entry_of(1, "other")),
            "# ours\n\n" + line_of(1, "other") + "  # more\r\n" + line_of(2) + "# end");
  EXPECT_EQ(without_key(text, 2), "# ours\n\n" + line_of(1) + "  # more\r\n# end");
  EXPECT_EQ(without_key(text, 3), std::nullopt);
  EXPECT_EQ(with_key_changed(text, entry_of(3)), std::nullopt);
}

class KeyFileTest : public testing::Test {
 protected:
  KeyFileTest() : root_(make_test_directory("key_file_test")), path_(root_ + "/keys") {}
  ~KeyFileTest() override { std::filesystem::remove_all(root_); }

  static std::string content(const std::string& path) {
    std::ostringstream out;
    out << std::ifstream(path, std::ios::binary).rdbuf();
    return out.str();
  }
  static mode_t mode(const std::string& path) {
    struct stat status{};
    EXPECT_EQ(::stat(path.c_str(), &status), 0);
    return status.st_mode & 0777;
  }
  Status add(const std::string& path, const serve::KeyEntry& entry) {
    return change_key_file(
        files_, clock_, path,
        [&](const std::string& text) -> Result<std::string> { return with_key(text, entry); });
  }

  PosixFileSystem files_;
  SystemClock clock_;
  const std::string root_;
  const std::string path_;
};

TEST_F(KeyFileTest, the_first_key_makes_directory_and_file_for_their_owner_only) {
  const std::string path = root_ + "/data/deep/keys";
  EXPECT_EQ(read_key_file(files_, path), "");
  ASSERT_TRUE(add(path, entry_of(1)));
  EXPECT_EQ(content(path), line_of(1));
  EXPECT_EQ(mode(path), 0600U);
  EXPECT_EQ(mode(root_ + "/data"), 0700U);
  EXPECT_FALSE(std::filesystem::exists(path + ".new"));
}

TEST_F(KeyFileTest, a_file_that_others_could_read_is_closed_and_so_is_one_left_over) {
  std::ofstream(path_) << line_of(1);
  std::ofstream(path_ + ".new") << "left over";
  std::filesystem::permissions(path_, std::filesystem::perms(0644));
  std::filesystem::permissions(path_ + ".new", std::filesystem::perms(0666));
  ASSERT_TRUE(add(path_, entry_of(2)));
  EXPECT_EQ(mode(path_), 0600U);
  EXPECT_EQ(content(path_), line_of(1) + line_of(2));
}

TEST_F(KeyFileTest, a_link_stays_a_link) {
  std::ofstream(root_ + "/target") << line_of(1);
  std::filesystem::create_symlink("target", path_);
  ASSERT_TRUE(add(path_, entry_of(2)));
  EXPECT_TRUE(std::filesystem::is_symlink(path_));
  EXPECT_EQ(content(root_ + "/target"), line_of(1) + line_of(2));
}

TEST_F(KeyFileTest, a_wrong_file_is_not_changed) {
  const std::string wrong = line_of(1) + "rubbish\n";
  std::ofstream(path_) << wrong;
  const Status added = add(path_, entry_of(2));
  ASSERT_FALSE(added);
  EXPECT_EQ(added.error().what,
            path_ + ":2: \"rubbish\" is no id of 12 characters; nothing was changed");
  EXPECT_EQ(content(path_), wrong);
  const Status removed = change_key_file(
      files_, clock_, path_,
      [](const std::string& text) -> Result<std::string> { return *without_key(text, 1); });
  ASSERT_FALSE(removed);
  EXPECT_EQ(removed.error().what, added.error().what) << "lines are counted as they are";
}

TEST_F(KeyFileTest, an_id_that_is_there_is_not_added_again) {
  ASSERT_TRUE(add(path_, entry_of(1)));
  EXPECT_FALSE(add(path_, entry_of(1, "other")));
  EXPECT_EQ(content(path_), line_of(1));
}

TEST_F(KeyFileTest, a_change_that_is_not_wanted_leaves_the_file_alone) {
  ASSERT_TRUE(add(path_, entry_of(1)));
  const Status changed = change_key_file(
      files_, clock_, path_,
      [](const std::string&) -> Result<std::string> { return fail(ErrorKind::reject, "no"); });
  ASSERT_FALSE(changed);
  EXPECT_EQ(changed.error().what, "no");
  EXPECT_EQ(content(path_), line_of(1));
}

TEST_F(KeyFileTest, many_who_write_at_once_lose_nothing_and_readers_see_whole_files) {
  constexpr serve::KeyId writers = 4;
  constexpr serve::KeyId each = 25;
  std::ofstream(path_) << "# kept\n";
  std::vector<std::thread> threads;
  for (serve::KeyId writer = 0; writer < writers; writer++) {
    threads.emplace_back([&, writer] {
      for (serve::KeyId i = 0; i < each; i++) {
        const auto added = add(path_, entry_of(writer * each + i));
        EXPECT_TRUE(added) << added.error().what;
        const auto text = read_key_file(files_, path_);
        ASSERT_TRUE(text);
        EXPECT_TRUE(text->starts_with("# kept\n") && text->ends_with('\n'));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const std::string text = content(path_);
  for (serve::KeyId id = 0; id < writers * each; id++) EXPECT_TRUE(without_key(text, id)) << id;
}

}  // namespace
}  // namespace inlet::main
