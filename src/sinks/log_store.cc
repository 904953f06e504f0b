#include "sinks/log_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "aws/digest.h"
#include "aws/text.h"
#include "base/check.h"
#include "sinks/object_file.h"

namespace inlet::sinks {
namespace {

constexpr std::size_t connections_max = 2;  // One for credentials.
constexpr std::size_t response_bytes_max = 64U << 10;

aws::ClientOptions client_options(const S3LogStoreOptions& options, bool at_aws) {
  aws::ClientOptions client = options.aws;
  client.fetch.connections_max = connections_max;
  if (!at_aws) client.region_else = region_elsewhere;
  return client;
}

}  // namespace

S3LogStore::S3LogStore(Clock& clock, S3LogStoreOptions options)
    : options_(std::move(options)),
      at_aws_(is_at_aws(options_.bucket, options_.aws.variable)),
      client_(clock, client_options(options_, at_aws_)),
      url_(bucket_url(options_.bucket, client_.region(), options_.aws.variable) +
           aws::percent_encode(key_folder(options_.bucket.prefix), true)) {}

void S3LogStore::start(const std::string& key, std::string body) {
  CHECK(under_way_ == 0);
  aws::Call call{.service = "s3",
                 .method = "PUT",
                 .url = url_ + aws::percent_encode(key, true),
                 .headers = {{"Content-Type", "application/gzip"}},
                 .body = std::move(body),
                 .response_bytes_max = response_bytes_max,
                 .timeout_us = options_.timeout_us};
  if (std::string md5 = aws::content_md5(call.body); !md5.empty()) {
    call.headers.emplace_back("Content-MD5", std::move(md5));
  }
  under_way_ = client_.start(std::move(call));
}

std::optional<Delivery> S3LogStore::finish(Microseconds wait_us) {
  CHECK(under_way_ != 0);
  auto reply = client_.finish(wait_us);
  if (!reply || reply->id != under_way_) return std::nullopt;  // Or of an abandoned one.
  under_way_ = 0;
  if (reply->verdict == aws::Verdict::done) return Delivery{};
  const bool throttled = reply->verdict == aws::Verdict::throttled;
  return Delivery{.outcome = throttled ? Outcome::slow_down : Outcome::retry,
                  .why = fmt::format("bucket {}: {}", options_.bucket.name, reply->why),
                  .retry_after_us = reply->retry_after_us};
}

void S3LogStore::abandon() {
  if (under_way_ != 0) client_.cancel(std::exchange(under_way_, 0));
}

void DirectoryLogStore::start(const std::string& key, std::string body) {
  CHECK(!done_);
  done_.emplace();
  const Status stored = store(key, body);
  if (stored) return;
  done_->outcome = stored.error().kind == ErrorKind::overload ? Outcome::slow_down : Outcome::retry;
  done_->why = stored.error().what;
}

Status DirectoryLogStore::store(const std::string& key, std::string_view body) {
  const std::string path = directory_ + "/" + key;
  const std::string directory = parent_directory(path);
  if (const Status made = files_.make_directories(directory); !made) return made;
  const auto file = ObjectFile::open(files_, directory, path.substr(directory.size() + 1));
  if (!file) return fail(file);
  if (const Status appended = (*file)->append(body); !appended) return appended;
  return (*file)->commit();
}

std::optional<Delivery> DirectoryLogStore::finish(Microseconds) {
  CHECK(done_);
  return std::exchange(done_, std::nullopt);
}

}  // namespace inlet::sinks
