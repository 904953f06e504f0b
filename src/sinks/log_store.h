// log_store: where rotated log files are kept for good: a bucket of S3, or a directory.
//
// One file at a time, under a key that belongs to it alone, so that a repeat writes the same again.
//
// Invariants:
//   - `delivered` is said only when the store has the whole object, and an older one of that key is
//     replaced by it.
//   - every start() is answered within the store's own timeout, or taken back by abandon().
//
// s3:PutObject is all it needs. One thread.

#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "aws/client.h"
#include "base/file.h"
#include "base/time.h"
#include "sinks/s3_bucket.h"
#include "sinks/sink.h"

namespace inlet::sinks {

class LogStore {
 public:
  LogStore() = default;
  LogStore(const LogStore&) = delete;
  LogStore& operator=(const LogStore&) = delete;
  virtual ~LogStore() = default;

  // Only when nothing is under way.
  virtual void start(const std::string& key, std::string body) = 0;
  // What became of it, waiting at most `wait_us`; empty: it is still under way.
  [[nodiscard]] virtual std::optional<Delivery> finish(Microseconds wait_us) = 0;
  // It may or may not arrive, and no answer comes.
  virtual void abandon() = 0;
};

struct S3LogStoreOptions {
  S3Bucket bucket;
  Microseconds timeout_us = 60'000'000;
  aws::ClientOptions aws;  // Region, profile, certificates.
};

class S3LogStore final : public LogStore {
 public:
  S3LogStore(Clock& clock, S3LogStoreOptions options);

  void start(const std::string& key, std::string body) override;
  [[nodiscard]] std::optional<Delivery> finish(Microseconds wait_us) override;
  void abandon() override;

 private:
  const S3LogStoreOptions options_;
  const bool at_aws_;
  aws::Client client_;
  const std::string url_;        // Of the bucket and the prefix, with "/".
  std::uint64_t under_way_ = 0;  // The call; 0: none.
};

// Keys are paths below it. An object appears whole or not at all.
class DirectoryLogStore final : public LogStore {
 public:
  DirectoryLogStore(FileSystem& files, std::string directory)
      : files_(files), directory_(std::move(directory)) {}

  void start(const std::string& key, std::string body) override;
  [[nodiscard]] std::optional<Delivery> finish(Microseconds wait_us) override;
  void abandon() override { done_.reset(); }

 private:
  [[nodiscard]] Status store(const std::string& key, std::string_view body);

  FileSystem& files_;
  const std::string directory_;
  std::optional<Delivery> done_;
};

}  // namespace inlet::sinks
