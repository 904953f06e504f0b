#include "sinks/kinesis_sink.h"

namespace inlet::sinks {
namespace {

bool is_arn(std::string_view stream) { return stream.starts_with("arn:"); }

PutService service(const KinesisSinkOptions& options) {
  return {
      .name = "kinesis",
      .target = "Kinesis_20131202.PutRecords",
      .destination_field = is_arn(options.stream) ? "StreamARN" : "StreamName",
      .destination_chars_max = kinesis_stream_chars_max,
      .limits = {.records_max = kinesis_records_max,
                 .request_bytes_max = kinesis_request_bytes_max,
                 .record_bytes_max = options.record_bytes_max,
                 .counts_encoded = false},
      .keyed = true,
      .ends_lines = false,
      .dialect = {.entries = "Records", .failed = "FailedRecordCount", .proof = "SequenceNumber"}};
}

PutOptions put_options(const KinesisSinkOptions& options) {
  return {.destination = options.stream,
          .endpoint = options.endpoint,
          .envelope = options.envelope,
          .key_by_id = options.partition_key == PartitionKey::id,
          .formats = options.formats,
          .in_flight = options.in_flight,
          .timeout_us = options.timeout_us,
          .usable = check(options)};
}

}  // namespace

Status check(const KinesisSinkOptions& options) {
  if (options.record_bytes_max < kinesis_record_bytes_min ||
      options.record_bytes_max > kinesis_record_bytes_max) {
    return fail(ErrorKind::reject, "record_bytes must be between 1 KiB and 10 MiB");
  }
  if (!is_arn(options.stream)) return check_put_template(options.stream);
  // "arn:aws:kinesis:REGION:ACCOUNT:stream/NAME"
  if (!options.stream.starts_with("arn:aws") || !options.stream.contains(":kinesis:") ||
      !options.stream.contains(":stream/")) {
    return fail(ErrorKind::reject, "\"" + options.stream + "\" is no ARN of a Kinesis stream");
  }
  return check_put_template(options.stream.substr(options.stream.find('/') + 1));
}

KinesisSink::KinesisSink(Clock& clock, const KinesisSinkOptions& options)
    : KinesisSink(make_put_client(clock, {.region = options.region,
                                          .profile = options.profile,
                                          .fetch = {.connections_max = options.in_flight,
                                                    .ca_file = options.ca_file}}),
                  options) {}

KinesisSink::KinesisSink(std::unique_ptr<PutClient> client, const KinesisSinkOptions& options)
    : PutRecordsSink(std::move(client), service(options), put_options(options)) {}

}  // namespace inlet::sinks
