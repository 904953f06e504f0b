// Goal: the shared files are read as AWS's tools read them.
// Method: files as people write them, in a directory of their own.

#include "aws/profile.h"

#include <gtest/gtest.h>

#include "aws/surroundings_test.h"

namespace inlet::aws {
namespace {

class ProfileTest : public testing::Test {
 protected:
  Profile read(const std::string& name = "") { return read_profile(around_.get(), name); }
  void credentials(const std::string& text) {
    around_.variables["AWS_SHARED_CREDENTIALS_FILE"] = around_.write("credentials", text);
  }
  void config(const std::string& text) {
    around_.variables["AWS_CONFIG_FILE"] = around_.write("config", text);
  }

  void set(const std::string& name, const std::string& value) {
    around_.variables.insert_or_assign(name, value);
  }

  SetSurroundings around_;
};

TEST_F(ProfileTest, the_default_is_found_in_both_files_and_credentials_count_first) {
  credentials("[default]\naws_access_key_id = A\naws_secret_access_key=S/+ \n");
  config("[default]\naws_access_key_id = other\nregion = eu-west-1\n");
  const Profile profile = read();
  EXPECT_TRUE(profile.found);
  EXPECT_EQ(profile.name, "default");
  EXPECT_EQ(profile.value("aws_access_key_id"), "A");
  EXPECT_EQ(profile.value("aws_secret_access_key"), "S/+");
  EXPECT_EQ(profile.value("region"), "eu-west-1");
  EXPECT_EQ(profile.value("output"), "");
}

TEST_F(ProfileTest, a_named_profile_comes_from_the_option_or_from_the_variable) {
  credentials("[a]\naws_access_key_id = of-a\n[b]\naws_access_key_id = of-b\n");
  config("[profile a]\nregion = r-a\n[b]\nregion = not-this\n");
  EXPECT_EQ(read("a").value("aws_access_key_id"), "of-a");
  EXPECT_EQ(read("a").value("region"), "r-a");
  set("AWS_PROFILE", "b");
  EXPECT_EQ(read().value("aws_access_key_id"), "of-b");
  EXPECT_EQ(read().value("region"), "");
  EXPECT_EQ(read("a").value("aws_access_key_id"), "of-a");
  EXPECT_FALSE(read("c").found);
}

TEST_F(ProfileTest, comments_nested_settings_and_spaces) {
  config(
      "# [default]\n; x\n[ profile\t p ]  # note\r\n\nregion =  us-east-1 ; near\r\n"
      "s3 =\n  region = nested\n\tx = y\ncolor = a#b\nlonely\n");
  const Profile profile = read("p");
  EXPECT_TRUE(profile.found);
  EXPECT_EQ(profile.value("region"), "us-east-1");
  EXPECT_EQ(profile.value("color"), "a#b");
  EXPECT_EQ(profile.value("x"), "");
}

TEST_F(ProfileTest, without_files_there_is_nothing_and_home_says_where_they_would_be) {
  EXPECT_FALSE(read().found);
  EXPECT_EQ(read().places, "no file, as HOME is not set");
  set("HOME", "/home/x");
  EXPECT_EQ(read().places, "/home/x/.aws/credentials and /home/x/.aws/config");
  set("AWS_CONFIG_FILE", "~/c");
  EXPECT_EQ(read().places, "/home/x/.aws/credentials and /home/x/c");
}

TEST_F(ProfileTest, a_file_that_is_too_large_counts_as_empty) {
  std::string text = "[default]\nregion = x\n";
  text.resize(small_file_bytes_max + 1, '#');
  credentials(text);
  EXPECT_FALSE(read().found);
}

}  // namespace
}  // namespace inlet::aws
