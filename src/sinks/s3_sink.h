// s3_sink: the archive in a bucket of S3, or of a server that speaks like it.
//
//   [PREFIX/]tenant=T/stream=S/date=YYYY-MM-DD/hour=HH/NODE-FIRST-LAST.ndjson[.zst|.gz]
//
// Names and contents are those of the file sink (archive_objects.h), so a repeated batch overwrites
// its own objects. Each is one PUT, which S3 does whole or not at all, with Content-MD5 and the
// signed hash of the body.
//
// Invariants:
//   - a name holds only bytes of its own batch; after a repeat also under another compression there
//     is one object, not two.
//   - memory: at most `in_flight` objects of at most object_bytes_max and one record's lines. What
//     is longer goes on in a further object.
//   - of a batch that comes again, what has already arrived is not sent again.
//
// Records whose tenant or stream cannot stand in a path are rejected, nothing else is: what S3
// refuses (permissions, a missing bucket) is the configuration's fault, and is tried again.
//
// s3:PutObject is all it needs; with s3:ListBucket, s3:GetObject and s3:DeleteObject it can also
// keep what the second half of the first invariant says.
//
// One thread.

#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "aws/client.h"
#include "base/time.h"
#include "sinks/archive_objects.h"
#include "sinks/sink.h"

namespace inlet::sinks {

struct S3SinkOptions {
  std::string bucket;
  std::string prefix;
  std::string endpoint;            // "": as aws::endpoint_url finds it.
  std::optional<bool> path_style;  // HOST/BUCKET/KEY; empty: if the endpoint is not S3's own.
  std::string storage_class;       // "": the bucket's.
  std::string sse;                 // "", "AES256", "aws:kms".
  std::string kms_key_id;
  ArchiveOptions archive;
  std::size_t in_flight = 4;                    // Requests at once, of all batches.
  std::size_t batches = 1;                      // At once: in_flight_max().
  std::uint64_t object_bytes_max = 128U << 20;  // Then another one is begun.
  Microseconds timeout_us = 60'000'000;         // Of a request.
  aws::ClientOptions aws;                       // Region, profile, certificates.
};

class S3Sink final : public Sink {
 public:
  S3Sink(Clock& clock, S3SinkOptions options);

  [[nodiscard]] std::size_t in_flight_max() const override { return options_.batches; }
  [[nodiscard]] bool replaces() const override { return true; }
  void start(const Batch& batch) override;
  [[nodiscard]] std::optional<Answer> finish(Microseconds wait_us) override;
  void abandon() override;

 private:
  enum class Step : unsigned char {
    put,
    look,    // For the object in another spelling,
    remove,  // which is there.
  };
  // A batch under way.
  struct Work {
    Batch batch;
    std::vector<ArchiveObject> objects;
    Delivery delivery;
    // What is to be written next.
    std::size_t object = 0;
    std::size_t part = 0;
    std::size_t from = 0;  // Of the object's records.

    std::vector<std::string> arrived;     // Keys.
    std::deque<std::string> to_look_for;  // Keys that should not be there.
    std::size_t under_way = 0;            // Requests.
    bool failed = false;
  };
  struct Sent {
    std::uint64_t first;  // Of its batch.
    Step step;
    std::string key;
    std::size_t next;  // put: the first record that is not in the object.
    std::vector<std::string> other_spellings;
  };

  void start_requests();
  [[nodiscard]] bool start_one();
  [[nodiscard]] bool start_put(Work& work);
  [[nodiscard]] bool start_look(Work& work);
  static void pass(Work& work, std::size_t next);
  void send(Work& work, Sent sent, std::string body);
  void take(aws::Reply reply);
  void take_done(Work& work, Sent sent);
  void note_arrival(Work& work, std::string key, std::size_t next, std::vector<std::string> others);
  void note_failure(Work& work, const aws::Reply& reply);
  [[nodiscard]] std::optional<Answer> take_finished();
  [[nodiscard]] std::string key_of(const Work& work, Compression compression) const;
  [[nodiscard]] std::vector<std::string> other_spellings(const Work& work) const;

  Clock& clock_;
  const S3SinkOptions options_;
  const std::string prefix_;  // With its "/", or "".
  ObjectWriter writer_;
  const bool at_aws_;
  aws::Client client_;
  const std::string url_;  // Of the bucket, with "/".

  std::deque<Work> works_;              // In the order they were started.
  std::map<std::uint64_t, Sent> sent_;  // By the id of the call.
  // What has arrived of batches that are not delivered: key, and the first record not in it.
  std::map<std::string, std::size_t, std::less<>> arrived_;
  std::size_t delivered_ = 0;  // Batches, by this process.
  bool may_look_ = true;       // The permissions allow to look for other spellings.
};

}  // namespace inlet::sinks
