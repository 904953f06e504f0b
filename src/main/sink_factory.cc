#include "main/sink_factory.h"

#include <map>
#include <utility>

#include "sinks/file_sink.h"
#include "sinks/firehose_sink.h"
#include "sinks/http_sink.h"
#include "sinks/kafka_sink.h"
#include "sinks/kinesis_sink.h"
#include "sinks/s3_sink.h"

namespace inlet::main {
namespace {

using Formats = std::map<std::string, sinks::BodyFormat, std::less<>>;

// snappy and lz4 are Kafka's alone (config_sinks.cc).
sinks::Compression compression_of(Compression compression) {
  switch (compression) {
    case Compression::gzip: return sinks::Compression::gzip;
    case Compression::zstd: return sinks::Compression::zstd;
    default: return sinks::Compression::none;
  }
}

sinks::KafkaCompression kafka_compression_of(Compression compression) {
  switch (compression) {
    case Compression::none: return sinks::KafkaCompression::none;
    case Compression::gzip: return sinks::KafkaCompression::gzip;
    case Compression::zstd: return sinks::KafkaCompression::zstd;
    case Compression::snappy: return sinks::KafkaCompression::snappy;
    case Compression::lz4: return sinks::KafkaCompression::lz4;
  }
  std::unreachable();
}

Formats formats_of(const Config& config) {
  Formats formats;
  for (const StreamConfig& stream : config.streams) {
    formats[stream.name] = stream.format == Format::json     ? sinks::BodyFormat::json
                           : stream.format == Format::ndjson ? sinks::BodyFormat::ndjson
                                                             : sinks::BodyFormat::raw;
  }
  return formats;
}

sinks::ArchiveOptions archive_of(const Config& config, const SinkConfig& sink) {
  return {.compression = compression_of(sink.compression),
          .level = static_cast<int>(sink.level),
          .envelope = sink.envelope,
          .formats = formats_of(config)};
}

std::unique_ptr<sinks::Sink> make_file(FileSystem& files, const Config& config,
                                       const SinkConfig& sink) {
  return std::make_unique<sinks::FileSink>(
      files, sinks::FileSinkOptions{.path = sink.path, .archive = archive_of(config, sink)});
}

std::unique_ptr<sinks::Sink> make_s3(Clock& clock, const Config& config, const SinkConfig& sink) {
  sinks::S3SinkOptions options;
  options.bucket = sink.bucket;
  options.prefix = sink.prefix;
  options.endpoint = sink.endpoint;
  if (sink.path_style != PathStyle::automatic) {
    options.path_style = sink.path_style == PathStyle::yes;
  }
  options.storage_class = sink.storage_class;
  options.sse = sink.sse;
  options.kms_key_id = sink.kms_key;
  options.archive = archive_of(config, sink);
  options.in_flight = sink.in_flight;
  options.batches = sink.in_flight;
  options.timeout_us = sink.timeout_us;
  options.aws.region = sink.region;
  options.aws.fetch.ca_file = sink.ca_file;
  return std::make_unique<sinks::S3Sink>(clock, std::move(options));
}

Result<std::unique_ptr<sinks::Sink>> make_kafka(Clock& clock, const Config& config,
                                                const SinkConfig& sink, const std::string& run) {
  sinks::KafkaSinkOptions options;
  options.brokers = sink.brokers;
  options.topic = sink.topic;
  options.key = sink.key == KafkaKey::id     ? sinks::KafkaKey::id
                : sink.key == KafkaKey::none ? sinks::KafkaKey::none
                                             : sinks::KafkaKey::stream;
  options.events =
      sink.events == KafkaEvents::event ? sinks::KafkaEvents::event : sinks::KafkaEvents::record;
  options.compression = kafka_compression_of(sink.compression);
  options.linger_us = sink.linger_us;
  options.message_bytes_max = sink.message_bytes_max;
  options.timeout_us = sink.timeout_us;
  options.transactional = sink.transactional;
  options.transactional_id = sink.transactional_id.empty()
                                 ? "inlet-" + config.node.name + "-" + sink.name
                                 : sink.transactional_id;
  // A second producer of the same id would end the shipper's.
  if (!run.empty()) options.transactional_id += "-" + run;
  options.cursor_topic = sink.cursor_topic;
  options.tls = sink.tls;
  options.ca_file = sink.ca_file;
  options.cert_file = sink.cert_file;
  options.key_file = sink.key_file;
  options.sasl_mechanism = sink.sasl_mechanism;
  options.user = sink.user;
  options.password = sink.password;
  options.properties = sink.properties;
  options.formats = formats_of(config);
  auto made = sinks::KafkaSink::create(clock, std::move(options));
  if (!made) return fail(made);
  return std::move(*made);
}

Result<std::unique_ptr<sinks::Sink>> make_kinesis(Clock& clock, const Config& config,
                                                  const SinkConfig& sink) {
  sinks::KinesisSinkOptions options;
  options.stream = sink.kinesis_stream;
  options.partition_key = sink.partition_key == PartitionKey::id ? sinks::PartitionKey::id
                                                                 : sinks::PartitionKey::stream;
  options.region = sink.region;
  options.endpoint = sink.endpoint;
  options.ca_file = sink.ca_file;
  options.envelope = sink.envelope;
  options.formats = formats_of(config);
  options.record_bytes_max = sink.record_bytes_max;
  options.in_flight = sink.in_flight;
  options.timeout_us = sink.timeout_us;
  if (const Status fine = check(options); !fine) return fail(fine);
  return std::make_unique<sinks::KinesisSink>(clock, options);
}

Result<std::unique_ptr<sinks::Sink>> make_firehose(Clock& clock, const Config& config,
                                                   const SinkConfig& sink) {
  sinks::FirehoseSinkOptions options;
  options.delivery_stream = sink.delivery_stream;
  options.region = sink.region;
  options.endpoint = sink.endpoint;
  options.ca_file = sink.ca_file;
  options.envelope = sink.envelope;
  options.formats = formats_of(config);
  options.in_flight = sink.in_flight;
  options.timeout_us = sink.timeout_us;
  if (const Status fine = check(options); !fine) return fail(fine);
  return std::make_unique<sinks::FirehoseSink>(clock, options);
}

fetch::Headers headers_of(const SinkConfig& sink) {
  fetch::Headers headers;
  for (const std::string& header : sink.headers) {
    const std::size_t colon = header.find(':');
    const std::size_t value = header.find_first_not_of(" \t", colon + 1);
    headers.emplace_back(header.substr(0, colon),
                         value == std::string::npos ? std::string() : header.substr(value));
  }
  return headers;
}

Result<std::unique_ptr<sinks::Sink>> make_http(Clock& clock, const Config& config,
                                               const SinkConfig& sink) {
  sinks::HttpSinkOptions options;
  options.url = sink.url;
  options.method = sink.method;
  options.body.shape =
      sink.body == HttpBody::json ? sinks::HttpBody::json : sinks::HttpBody::ndjson;
  options.body.envelope = sink.envelope;
  options.body.compression = compression_of(sink.compression);
  options.body.level = static_cast<int>(sink.level);
  options.body.bytes_max = sink.request_bytes_max;
  options.formats = formats_of(config);
  options.headers = headers_of(sink);
  options.bearer = sink.bearer;
  options.user = sink.user;
  options.password = sink.password;
  options.in_flight = sink.in_flight;
  options.timeout_us = sink.timeout_us;
  options.client.ca_file = sink.ca_file;
  options.client.client_cert = sink.cert_file;
  options.client.client_key = sink.key_file;
  auto made = sinks::HttpSink::create(clock, std::move(options));
  if (!made) return fail(made);
  return std::move(*made);
}

}  // namespace

Result<std::unique_ptr<sinks::Sink>> make_sink(FileSystem& files, Clock& clock,
                                               const Config& config, const SinkConfig& sink,
                                               const std::string& run) {
  switch (sink.type) {
    case SinkType::file: return make_file(files, config, sink);
    case SinkType::s3: return make_s3(clock, config, sink);
    case SinkType::kafka: return make_kafka(clock, config, sink, run);
    case SinkType::kinesis: return make_kinesis(clock, config, sink);
    case SinkType::firehose: return make_firehose(clock, config, sink);
    case SinkType::http: return make_http(clock, config, sink);
  }
  std::unreachable();
}

}  // namespace inlet::main
