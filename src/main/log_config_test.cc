// Goal: an archive of logs is where it is said to be, and no setting of [log] loses logs unsaid.
// Method: places in every spelling; combinations of keys that need each other.

#include "main/log_config.h"

#include <gtest/gtest.h>

namespace inlet::main {
namespace {

TEST(LogPlace, is_a_bucket_with_a_prefix_or_a_directory) {
  const auto bucket = [](std::string_view text) { return log_place(text).bucket; };
  const auto prefix = [](std::string_view text) { return log_place(text).prefix; };
  const auto path = [](std::string_view text) { return log_place(text).path; };
  EXPECT_EQ(bucket("s3://kept"), "kept");
  EXPECT_EQ(prefix("s3://kept"), "");
  EXPECT_EQ(bucket("s3://kept/"), "kept");
  EXPECT_EQ(prefix("s3://kept/a/b"), "a/b");
  EXPECT_EQ(path("s3://kept/a"), "");
  EXPECT_EQ(path("file:///var/kept"), "/var/kept");
  EXPECT_EQ(path("./kept"), "./kept");
  EXPECT_EQ(bucket("./kept"), "");
}

TEST(LogPlace, is_refused_where_it_is_neither) {
  LogConfig log;
  for (const char* text : {"s3://", "s3:///a", "s3://ab", "s3://Upper", "s3://a_b/c", "s3://-ab",
                           "s3://a:b@kept", "http://x/y", "ftp://x"}) {
    EXPECT_TRUE(read_log_archive(&log, text, {})) << text;
  }
  for (const char* text : {"", "s3://kept", "s3://my.kept/a b", "/kept", "kept", "file://kept"}) {
    EXPECT_FALSE(read_log_archive(&log, text, {})) << text;
    EXPECT_EQ(log.archive, text);
  }
}

class LogMistakes : public testing::Test {
 protected:
  LogMistakes() {
    config_.journal.path = std::string("data/journal");
    config_.log.directory = std::string("logs");
    config_.log.bytes_max = 10;
    config_.log.total_bytes_max = 100;
  }
  [[nodiscard]] std::string keys() const {
    std::string keys;
    for (const auto& [key, why] : log_mistakes(config_)) keys += key + " ";
    return keys;
  }
  Config config_;
};

TEST_F(LogMistakes, are_none_in_a_sound_configuration) {
  EXPECT_EQ(keys(), "");
  config_.log.archive = std::string("s3://kept");
  EXPECT_EQ(keys(), "");
  config_.log.archive = std::string("logs-kept");
  config_.log.standard_error = false;
  EXPECT_EQ(keys(), "");
  config_.log = LogConfig();
  EXPECT_EQ(keys(), "");
}

TEST_F(LogMistakes, are_found_where_logs_would_be_lost) {
  config_.log.total_bytes_max = 9;
  EXPECT_EQ(keys(), "log.max_total_bytes ");
  config_.log.total_bytes_max = 10;
  for (const char* inside : {"logs", "logs/", "logs/kept"}) {
    config_.log.archive = std::string(inside);
    EXPECT_EQ(keys(), "log.archive ") << inside;
  }
  config_.log.archive.clear();
  config_.log.directory = std::string("data/journal/logs");
  EXPECT_EQ(keys(), "log.directory ");
  config_.log.directory.clear();
  config_.log.archive = std::string("kept");
  config_.log.standard_error = false;
  EXPECT_EQ(keys(), "log.archive log.stderr ");
}

}  // namespace
}  // namespace inlet::main
