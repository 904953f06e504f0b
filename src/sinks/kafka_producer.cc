#include "sinks/kafka_producer.h"

#include <fmt/format.h>
#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/check.h"

namespace inlet::sinks {
namespace {

constexpr int poll_ms_max = 1000;

int poll_ms(Microseconds wait_us) {
  return static_cast<int>(std::clamp<Microseconds>((wait_us + 999) / 1000, 0, poll_ms_max));
}

bool goes_along(const KafkaRoute& route, std::string_view tenant, std::string_view stream) {
  const std::string_view key = route.key;
  return route.tenant_bytes == tenant.size() && key.substr(0, tenant.size()) == tenant &&
         key.substr(tenant.size() + 1) == stream;
}

rd_kafka_headers_t* make_headers(std::span<const KafkaHeader> headers) {
  rd_kafka_headers_t* made = rd_kafka_headers_new(headers.size());
  for (const KafkaHeader& header : headers) {
    const auto added =
        rd_kafka_header_add(made, header.name.data(), static_cast<ssize_t>(header.name.size()),
                            header.value.data(), static_cast<ssize_t>(header.value.size()));
    CHECK(added == RD_KAFKA_RESP_ERR_NO_ERROR);
  }
  return made;
}

}  // namespace

struct KafkaProducer::Callbacks {
  static void on_answer(rd_kafka_t*, const rd_kafka_message_t* message, void* producer) {
    static_cast<KafkaProducer*>(producer)->answer(*message);
  }

  static void on_error(rd_kafka_t*, int error, const char* reason, void* producer) {
    static_cast<KafkaProducer*>(producer)->last_trouble_ =
        reason != nullptr && *reason != '\0' ? reason : kafka_error_text(error);
  }

  static void on_log(const rd_kafka_t* handle, int level, const char* facility, const char* text) {
    const auto* producer = static_cast<const KafkaProducer*>(rd_kafka_opaque(handle));
    producer->log_.line(level, facility, text);
  }

  // Murmur2 as the Java client counts, so that others find the same partitions by the same keys.
  // Any thread.
  static std::int32_t partition_of(const rd_kafka_topic_t* topic, const void* key,
                                   std::size_t key_bytes, std::int32_t partitions, void* opaque,
                                   void* ticket) {
    const std::string& route = static_cast<const KafkaTicket*>(ticket)->route->key;
    const void* by = key_bytes > 0 ? key : route.data();
    return rd_kafka_msg_partitioner_murmur2(topic, by, key_bytes > 0 ? key_bytes : route.size(),
                                            partitions, opaque, ticket);
  }
};

std::string kafka_error_text(int error) {
  return rd_kafka_err2str(static_cast<rd_kafka_resp_err_t>(error));
}

Result<std::unique_ptr<KafkaProducer>> KafkaProducer::create(const KafkaSinkOptions& options,
                                                             KafkaGathering gathering,
                                                             KafkaLog& log) {
  auto made = make_kafka_config(options, gathering);
  if (!made) return fail(made);
  std::unique_ptr<KafkaProducer> producer(new KafkaProducer(log));
  rd_kafka_conf_t* config = made->get();
  rd_kafka_conf_set_opaque(config, producer.get());
  rd_kafka_conf_set_dr_msg_cb(config, Callbacks::on_answer);
  rd_kafka_conf_set_error_cb(config, Callbacks::on_error);
  rd_kafka_conf_set_log_cb(config, Callbacks::on_log);
  rd_kafka_topic_conf_t* topics = rd_kafka_conf_get_default_topic_conf(config);
  if (topics == nullptr) {
    topics = rd_kafka_topic_conf_new();
    rd_kafka_conf_set_default_topic_conf(config, topics);
  }
  rd_kafka_topic_conf_set_partitioner_cb(topics, Callbacks::partition_of);
  std::array<char, 512> why{};
  producer->handle_ = rd_kafka_new(RD_KAFKA_PRODUCER, config, why.data(), why.size());
  if (producer->handle_ == nullptr) {
    return fail(ErrorKind::reject, fmt::format("librdkafka refuses to start: {}", why.data()));
  }
  static_cast<void>(made->release());  // It is the producer's now.
  return producer;
}

KafkaProducer::~KafkaProducer() {
  if (handle_ == nullptr) return;
  forget_routes();
  rd_kafka_destroy(handle_);
}

Result<const KafkaRoute*> KafkaProducer::route(const TopicTemplate& topic, std::string_view tenant,
                                               std::string_view stream) {
  if (last_route_ != nullptr && goes_along(*last_route_, tenant, stream)) return last_route_;
  std::string key = fmt::format("{}/{}", tenant, stream);
  if (const auto known = routes_.find(key); known != routes_.end()) {
    return last_route_ = &known->second;
  }
  const std::string name = topic.name(tenant, stream);
  if (!is_topic_name(name)) {
    return fail(ErrorKind::reject, fmt::format("\"{}\" is not a valid name of a topic", name));
  }
  rd_kafka_topic_t* handle = rd_kafka_topic_new(handle_, name.c_str(), nullptr);
  if (handle == nullptr) {
    return fail(ErrorKind::retry, fmt::format("librdkafka cannot open the topic {}: {}", name,
                                              kafka_error_text(rd_kafka_last_error())));
  }
  const auto place = routes_.emplace(key, KafkaRoute{key, tenant.size(), handle}).first;
  return last_route_ = &place->second;
}

void KafkaProducer::forget_routes() {
  for (const auto& [key, route] : routes_) rd_kafka_topic_destroy(route.topic);
  routes_.clear();
  last_route_ = nullptr;
}

KafkaProducer::Taken KafkaProducer::send(KafkaTicket& ticket, const KafkaMessage& message) {
  ticket.state = KafkaTicket::State::under_way;
  ticket.bytes = message.value.size();
  rd_kafka_headers_t* headers = make_headers(message.headers);
  std::array<rd_kafka_vu_t, 7> words{};
  words[0].vtype = RD_KAFKA_VTYPE_RKT;
  words[0].u.rkt = ticket.route->topic;
  words[1].vtype = RD_KAFKA_VTYPE_VALUE;
  // A value of no address would be a tombstone; this one is empty.
  words[1].u.mem.ptr =
      const_cast<char*>(message.value.empty() ? "" : as_text(message.value).data());
  words[1].u.mem.size = message.value.size();
  words[2].vtype = RD_KAFKA_VTYPE_MSGFLAGS;
  words[2].u.i = message.copy ? RD_KAFKA_MSG_F_COPY : 0;
  words[3].vtype = RD_KAFKA_VTYPE_TIMESTAMP;
  words[3].u.i64 = std::max<Microseconds>(message.received_us / 1000, 0);
  words[4].vtype = RD_KAFKA_VTYPE_OPAQUE;
  words[4].u.ptr = &ticket;
  words[5].vtype = RD_KAFKA_VTYPE_HEADERS;
  words[5].u.headers = headers;
  words[6].vtype = RD_KAFKA_VTYPE_KEY;
  words[6].u.mem.ptr = const_cast<char*>(message.key.data());
  words[6].u.mem.size = message.key.size();
  rd_kafka_error_t* refused =
      rd_kafka_produceva(handle_, words.data(), message.key.empty() ? 6 : words.size());
  if (refused == nullptr) {
    under_way_++;
    bytes_under_way_ += ticket.bytes;
    return Taken::yes;
  }
  const rd_kafka_resp_err_t error = rd_kafka_error_code(refused);
  rd_kafka_error_destroy(refused);
  rd_kafka_headers_destroy(headers);
  if (error == RD_KAFKA_RESP_ERR__QUEUE_FULL) return Taken::full;
  if (error == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE) return Taken::too_large;
  ticket.state = KafkaTicket::State::failed;
  ticket.error = error;
  failed_++;
  return Taken::failed;
}

void KafkaProducer::answer(const rd_kafka_message_s& message) {
  auto& ticket = *static_cast<KafkaTicket*>(message._private);
  CHECK(under_way_ > 0);
  under_way_--;
  bytes_under_way_ -= ticket.bytes;
  answered_++;
  if (rd_kafka_message_status(&message) != RD_KAFKA_MSG_STATUS_NOT_PERSISTED) used_ = true;
  ticket.error = message.err;
  ticket.state = message.err == RD_KAFKA_RESP_ERR_NO_ERROR ? KafkaTicket::State::delivered
                                                           : KafkaTicket::State::failed;
  if (message.err != RD_KAFKA_RESP_ERR_NO_ERROR) failed_++;
}

void KafkaProducer::poll(Microseconds wait_us) { rd_kafka_poll(handle_, poll_ms(wait_us)); }

void KafkaProducer::flush(Microseconds wait_us) {
  static_cast<void>(rd_kafka_flush(handle_, poll_ms(wait_us)));
}

void KafkaProducer::purge(Purge what) {
  // Without waiting: a thread of librdkafka may be busy with a resolver that does not answer.
  int flags = RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_NON_BLOCKING;
  if (what == Purge::everything) flags |= RD_KAFKA_PURGE_F_INFLIGHT;
  const rd_kafka_resp_err_t purged = rd_kafka_purge(handle_, flags);
  CHECK(purged == RD_KAFKA_RESP_ERR_NO_ERROR);
}

bool KafkaProducer::is_dead() const {
  return rd_kafka_fatal_error(handle_, nullptr, 0) != RD_KAFKA_RESP_ERR_NO_ERROR;
}

bool KafkaProducer::is_fenced() const {
  switch (rd_kafka_fatal_error(handle_, nullptr, 0)) {
    case RD_KAFKA_RESP_ERR__FENCED:
    case RD_KAFKA_RESP_ERR_PRODUCER_FENCED:
    case RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH: return true;
    default: return false;
  }
}

}  // namespace inlet::sinks
