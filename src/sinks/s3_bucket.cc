#include "sinks/s3_bucket.h"

#include <fmt/format.h>

namespace inlet::sinks {

bool is_at_aws(const S3Bucket& bucket, const aws::Variables& variable) {
  const auto nothing = [](const std::string&) { return std::string(); };
  return aws::endpoint_url(bucket.endpoint, "s3", "", variable) ==
         aws::endpoint_url("", "s3", "", nothing);
}

std::string bucket_url(const S3Bucket& bucket, std::string_view region,
                       const aws::Variables& variable) {
  std::string url = aws::endpoint_url(bucket.endpoint, "s3", region, variable);
  // A dot in the bucket's name would be outside of what the certificate's "*" stands for.
  const bool has_dot = bucket.name.find('.') != std::string::npos;
  if (bucket.path_style.value_or(!is_at_aws(bucket, variable) || has_dot)) {
    return fmt::format("{}/{}/", url, bucket.name);
  }
  const std::size_t scheme = url.find("://");
  url.insert(scheme == std::string::npos ? 0 : scheme + 3, bucket.name + ".");
  return url + "/";
}

std::string key_folder(std::string_view prefix) {
  while (prefix.starts_with('/')) prefix.remove_prefix(1);
  while (prefix.ends_with('/')) prefix.remove_suffix(1);
  return prefix.empty() ? "" : std::string(prefix) + "/";
}

}  // namespace inlet::sinks
