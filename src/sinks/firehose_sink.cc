#include "sinks/firehose_sink.h"

namespace inlet::sinks {
namespace {

constexpr PutService service{
    .name = "firehose",
    .target = "Firehose_20150804.PutRecordBatch",
    .destination_field = "DeliveryStreamName",
    .destination_chars_max = firehose_stream_chars_max,
    .limits = {.records_max = firehose_records_max,
               .request_bytes_max = firehose_request_bytes_max,
               .record_bytes_max = firehose_record_bytes_max,
               .counts_encoded = true},
    .keyed = false,
    .ends_lines = true,
    .dialect = {.entries = "RequestResponses", .failed = "FailedPutCount", .proof = "RecordId"}};

PutOptions put_options(const FirehoseSinkOptions& options) {
  return {.destination = options.delivery_stream,
          .endpoint = options.endpoint,
          .envelope = options.envelope,
          .formats = options.formats,
          .in_flight = options.in_flight,
          .timeout_us = options.timeout_us,
          .usable = check(options)};
}

}  // namespace

Status check(const FirehoseSinkOptions& options) {
  return check_put_template(options.delivery_stream);
}

FirehoseSink::FirehoseSink(Clock& clock, const FirehoseSinkOptions& options)
    : FirehoseSink(make_put_client(clock, {.region = options.region,
                                           .profile = options.profile,
                                           .fetch = {.connections_max = options.in_flight,
                                                     .ca_file = options.ca_file}}),
                   options) {}

FirehoseSink::FirehoseSink(std::unique_ptr<PutClient> client, const FirehoseSinkOptions& options)
    : PutRecordsSink(std::move(client), service, put_options(options)) {}

}  // namespace inlet::sinks
