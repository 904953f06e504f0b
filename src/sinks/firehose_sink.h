// firehose_sink: records to Amazon Data Firehose, by PutRecordBatch.
//
// One Firehose record per event: a line of events.h with its line feed, so that what Firehose joins
// into one object is NDJSON again. Firehose itself promises no order; what is sent keeps it.
//
// At least once; readers tell repeats by the id in the envelope. See put_records.h for the rest.
// One thread.

#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "sinks/put_records.h"

namespace inlet::sinks {

// API reference of PutRecordBatch. It does not say whether the request is measured before base64 or
// after; what is right after is right before.
inline constexpr std::size_t firehose_records_max = 500;
inline constexpr std::size_t firehose_request_bytes_max = 4'000'000;
inline constexpr std::size_t firehose_record_bytes_max = 1000U << 10;  // Before base64.
inline constexpr std::size_t firehose_stream_chars_max = 64;

struct FirehoseSinkOptions {
  std::string delivery_stream;  // Its name; {tenant} and {stream} are filled in.
  std::string region;           // "": as aws/client.h finds it.
  std::string profile;          // "": the same.
  std::string endpoint;         // "": the region's.
  std::string ca_file;          // "": the system's.
  bool envelope = true;
  StreamFormats formats;
  std::size_t in_flight = 4;
  Microseconds timeout_us = 30'000'000;  // Of a request.
};

// What is wrong with them, for the configuration to say. A sink made of such answers retry.
[[nodiscard]] Status check(const FirehoseSinkOptions& options);

class FirehoseSink final : public PutRecordsSink {
 public:
  FirehoseSink(Clock& clock, const FirehoseSinkOptions& options);
  FirehoseSink(std::unique_ptr<PutClient> client, const FirehoseSinkOptions& options);
};

}  // namespace inlet::sinks
