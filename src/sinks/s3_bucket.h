// s3_bucket: where a bucket is found, at S3 or at a server that speaks like it.
//
// Pure but for the variables it is given; any thread.

#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "aws/client.h"

namespace inlet::sinks {

struct S3Bucket {
  std::string name;
  std::string prefix;
  std::string endpoint;            // "": as aws::endpoint_url finds it.
  std::optional<bool> path_style;  // HOST/BUCKET/KEY; empty: if the endpoint is not S3's own.
};

// Whether nothing names another server.
[[nodiscard]] bool is_at_aws(const S3Bucket& bucket, const aws::Variables& variable);

// Its URL with "/" at the end.
[[nodiscard]] std::string bucket_url(const S3Bucket& bucket, std::string_view region,
                                     const aws::Variables& variable);

// What keys begin with: "logs/", or "" for none.
[[nodiscard]] std::string key_folder(std::string_view prefix);

// For a server that only speaks like AWS, whose region nobody knows.
inline constexpr std::string_view region_elsewhere = "us-east-1";

}  // namespace inlet::sinks
