// kinesis_sink: records to Amazon Kinesis Data Streams, by PutRecords.
//
// One Kinesis record per event: a line of events.h without its line feed. With the partition key
// "stream" a tenant and stream goes to one shard, in order, except that a record Kinesis failed is
// overtaken by later ones of the same request: "PutRecords doesn't guarantee the ordering of
// records". With "id" records spread over all shards and only the events of one stay in order.
//
// At least once; consumers tell repeats by the id in the envelope. See put_records.h for the rest.
// One thread.

#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "sinks/put_records.h"

namespace inlet::sinks {

// API reference of PutRecords. Streams may be set up for records of up to 10 MiB; PutRecords takes
// 5 MiB a request everywhere, and up to 10 MiB where such records are allowed.
inline constexpr std::size_t kinesis_records_max = 500;
inline constexpr std::size_t kinesis_request_bytes_max = 5U << 20;
inline constexpr std::size_t kinesis_record_bytes_default = 1U << 20;
inline constexpr std::size_t kinesis_record_bytes_min = 1U << 10;
inline constexpr std::size_t kinesis_record_bytes_max = 10U << 20;
inline constexpr std::size_t kinesis_stream_chars_max = 128;

enum class PartitionKey : unsigned char {
  stream,  // "TENANT/STREAM".
  id,      // The record's id.
};

struct KinesisSinkOptions {
  std::string stream;  // Its name or ARN; {tenant} and {stream} are filled in.
  PartitionKey partition_key = PartitionKey::stream;
  std::string region;    // "": as aws/client.h finds it.
  std::string profile;   // "": the same.
  std::string endpoint;  // "": the region's.
  std::string ca_file;   // "": the system's.
  bool envelope = true;
  StreamFormats formats;
  std::size_t record_bytes_max = kinesis_record_bytes_default;
  std::size_t in_flight = 4;
  Microseconds timeout_us = 30'000'000;  // Of a request.
};

// What is wrong with them, for the configuration to say. A sink made of such answers retry.
[[nodiscard]] Status check(const KinesisSinkOptions& options);

class KinesisSink final : public PutRecordsSink {
 public:
  KinesisSink(Clock& clock, const KinesisSinkOptions& options);
  KinesisSink(std::unique_ptr<PutClient> client, const KinesisSinkOptions& options);
};

}  // namespace inlet::sinks
