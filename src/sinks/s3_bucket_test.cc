// Goal: a bucket is found where it is: at S3 by its host name, elsewhere by its path.
// Method: every way an endpoint may be named, with names that certificates do and do not cover.

#include "sinks/s3_bucket.h"

#include <gtest/gtest.h>

namespace inlet::sinks {
namespace {

std::string nothing(const std::string&) { return {}; }
std::string elsewhere(const std::string& name) {
  return name == "AWS_ENDPOINT_URL_S3" ? "http://127.0.0.1:9000" : "";
}

TEST(S3Bucket, is_a_host_at_s3_and_a_path_elsewhere) {
  const S3Bucket logs{.name = "logs"};
  EXPECT_EQ(bucket_url(logs, "eu-west-1", nothing), "https://logs.s3.eu-west-1.amazonaws.com/");
  EXPECT_EQ(bucket_url(logs, "eu-west-1", elsewhere), "http://127.0.0.1:9000/logs/");
  EXPECT_EQ(bucket_url({.name = "logs", .endpoint = "https://minio:9000"}, "", nothing),
            "https://minio:9000/logs/");
  EXPECT_TRUE(is_at_aws(logs, nothing));
  EXPECT_FALSE(is_at_aws(logs, elsewhere));
}

TEST(S3Bucket, is_a_path_where_its_name_would_leave_the_certificate_or_one_says_so) {
  EXPECT_EQ(bucket_url({.name = "my.logs"}, "eu-west-1", nothing),
            "https://s3.eu-west-1.amazonaws.com/my.logs/");
  EXPECT_EQ(bucket_url({.name = "logs", .path_style = true}, "eu-west-1", nothing),
            "https://s3.eu-west-1.amazonaws.com/logs/");
  EXPECT_EQ(bucket_url({.name = "logs", .path_style = false}, "", elsewhere),
            "http://logs.127.0.0.1:9000/");
}

TEST(S3Bucket, has_keys_in_one_folder) {
  EXPECT_EQ(key_folder(""), "");
  EXPECT_EQ(key_folder("/"), "");
  EXPECT_EQ(key_folder("a"), "a/");
  EXPECT_EQ(key_folder("//a/b//"), "a/b/");
}

}  // namespace
}  // namespace inlet::sinks
