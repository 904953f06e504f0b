#include "sinks/put_records.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/json.h"
#include "base/names.h"
#include "sinks/text.h"

namespace inlet::sinks {
namespace {

constexpr std::size_t why_bytes_max = 600;
constexpr std::size_t entry_frame_bytes = 32;     // {"Data":"","PartitionKey":""},
constexpr std::size_t request_frame_bytes = 256;  // Field names and the destination's.
constexpr std::string_view tenant_mark = "{tenant}";
constexpr std::string_view stream_mark = "{stream}";

class RealPutClient final : public PutClient {
 public:
  RealPutClient(Clock& clock, aws::ClientOptions options) : client_(clock, std::move(options)) {}

  [[nodiscard]] std::string region() const override { return client_.region(); }
  [[nodiscard]] std::uint64_t start(aws::Call call) override {
    return client_.start(std::move(call));
  }
  [[nodiscard]] std::optional<aws::Reply> finish(Microseconds wait_us) override {
    return client_.finish(wait_us);
  }
  void cancel(std::uint64_t id) override { client_.cancel(id); }

 private:
  aws::Client client_;
};

std::string fill_in(std::string_view text, std::string_view tenant, std::string_view stream) {
  std::string filled;
  while (!text.empty()) {
    const bool is_tenant = text.starts_with(tenant_mark);
    if (is_tenant || text.starts_with(stream_mark)) {
      filled += is_tenant ? tenant : stream;
      text.remove_prefix(is_tenant ? tenant_mark.size() : stream_mark.size());
    } else {
      filled += text.front();
      text.remove_prefix(1);
    }
  }
  return filled;
}

// Of an ARN, the name behind the slash.
std::string_view name_part(std::string_view destination) {
  return destination.substr(destination.rfind('/') + 1);
}

// Both services: [a-zA-Z0-9_.-]+ (API references of CreateStream and CreateDeliveryStream).
bool is_service_name(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == '-';
  });
}

}  // namespace

std::unique_ptr<PutClient> make_put_client(Clock& clock, aws::ClientOptions options) {
  return std::make_unique<RealPutClient>(clock, std::move(options));
}

Status check_put_template(std::string_view text) {
  if (text.empty()) return fail(ErrorKind::reject, "the name of the destination is empty");
  if (is_service_name(fill_in(text, "t", "s"))) return {};
  return fail(ErrorKind::reject,
              fmt::format("\"{}\" is no name of a destination: letters, digits, '_', '.', '-', "
                          "{{tenant}} and {{stream}} make one",
                          text));
}

PutRecordsSink::PutRecordsSink(std::unique_ptr<PutClient> client, PutService service,
                               PutOptions options)
    : client_(std::move(client)),
      service_(service),
      options_(std::move(options)),
      enough_bytes_(options_.in_flight * service_.limits.request_bytes_max),
      events_({.envelope = options_.envelope,
               .ends_lines = service_.ends_lines,
               .formats = options_.formats,
               .piece_bytes = enough_bytes_}),
      lanes_(service_.limits) {
  CHECK(options_.in_flight > 0);
}

PutRecordsSink::~PutRecordsSink() { abandon(); }

// ---- Batches.

void PutRecordsSink::start(const Batch& batch) {
  CHECK(!under_way_);
  begin(batch);
  if (!options_.usable) stop_all(options_.usable.error().what);
  go_on();
}

std::optional<Answer> PutRecordsSink::finish(Microseconds wait_us) {
  while (under_way_) {
    const auto reply = client_->finish(wait_us);
    if (!reply) return std::nullopt;
    settle(*reply);
    go_on();
    wait_us = 0;
  }
  return std::exchange(answer_, std::nullopt);
}

void PutRecordsSink::abandon() {
  for (PutRequest& request : requests_) {
    client_->cancel(request.id);
    lanes_.give_back(request);
  }
  requests_.clear();
  answer_.reset();
  under_way_ = false;
}

bool PutRecordsSink::is_known(const Batch& batch) const {
  return remembered_ && node_ == batch.name.node && batch_.name.first == batch.name.first &&
         batch_.name.last == batch.name.last && batch_.records.size() == batch.records.size();
}

void PutRecordsSink::begin(const Batch& batch) {
  if (!is_known(batch)) {
    lanes_.forget();
    events_.restart();
    rejected_.clear();
    attempts_ = 0;
  }
  lanes_.begin_attempt();
  batch_ = batch;
  node_ = batch.name.node;
  remembered_ = true;
  attempts_++;
  under_way_ = true;
  stopped_ = false;
  trouble_.reset();
}

void PutRecordsSink::go_on() {
  while (!stopped_ && requests_.size() < options_.in_flight) {
    fill();
    if (!send_one()) break;
  }
  if (requests_.empty()) conclude();
}

void PutRecordsSink::conclude() {
  under_way_ = false;
  if (!lanes_.empty() || events_.record() < batch_.records.size()) {
    CHECK(trouble_);
    answer_ = Answer{batch_.name.first, std::move(*trouble_)};
    return;
  }
  Delivery delivery;
  for (auto& [record, why] : rejected_) {
    delivery.rejected.push_back({batch_.records[record].sequence, std::move(why)});
  }
  answer_ = Answer{batch_.name.first, std::move(delivery)};
  remembered_ = false;  // If a batch of that name comes again, it is to be sent again.
}

// ---- Out.

void PutRecordsSink::fill() {
  while (lanes_.held_bytes() < enough_bytes_ && events_.record() < batch_.records.size()) {
    take_record(batch_.records[events_.record()]);
  }
}

// The next events of the record that is next.
void PutRecordsSink::take_record(const Record& record) {
  const std::size_t index = events_.record();
  if (!is_name(record.tenant) || !is_name(record.stream)) {
    return reject(index, "tenant or stream is not a valid name");
  }
  const std::string destination = fill_in(options_.destination, record.tenant, record.stream);
  const std::string_view name = name_part(destination);
  if (name.size() > service_.destination_chars_max) {
    return reject(index, fmt::format("the name {} is longer than {} characters", name,
                                     service_.destination_chars_max));
  }
  const std::size_t key_bytes = service_.keyed ? partition_key(record).size() : 0;
  const std::size_t bytes_max = service_.limits.record_bytes_max;
  PutEvents::Piece piece = events_.next(batch_, bytes_max - key_bytes);
  if (piece.too_large_bytes > 0) {
    return reject(index, fmt::format("an event of {} bytes is larger than the {} that {} takes",
                                     piece.too_large_bytes + key_bytes, bytes_max, service_.name));
  }
  std::string lane = fmt::format("{}/{}", record.tenant, record.stream);
  // Records that need no order among themselves need not wait for each other.
  if (options_.key_by_id) lane += fmt::format("/{}", record.sequence % options_.in_flight);
  lanes_.add(lane, destination, key_bytes, std::move(piece));
}

// Names have at most 64 characters, keys may have 256 (API reference of PutRecordsRequestEntry).
std::string PutRecordsSink::partition_key(const Record& record) const {
  if (options_.key_by_id) return record_id(batch_.journal_id, record.sequence);
  return fmt::format("{}/{}", record.tenant, record.stream);
}

// False if there is nothing that may be sent.
bool PutRecordsSink::send_one() {
  const std::string region = client_->region();
  if (region.empty() && options_.endpoint.empty() && !lanes_.empty()) {
    stop_all("the AWS region is not known");
    return false;
  }
  auto request = lanes_.pack();
  if (!request) return false;
  aws::Call call;
  call.service = service_.name;
  call.url = aws::endpoint_url(options_.endpoint, service_.name, region) + "/";
  call.headers = {{"Content-Type", "application/x-amz-json-1.1"},
                  {"X-Amz-Target", std::string(service_.target)}};
  call.body = body_of(*request);
  call.timeout_us = options_.timeout_us;
  request->id = client_->start(std::move(call));
  requests_.push_back(std::move(*request));
  return true;
}

std::string PutRecordsSink::body_of(const PutRequest& request) const {
  std::string body;
  body.reserve(request.bytes / 3 * 4 + request.events * entry_frame_bytes + request_frame_bytes);
  body += fmt::format("{{\"{}\":", service_.destination_field);
  append_json_string(body, request.destination->name);
  body += ",\"Records\":[";
  for (const PutRequest::Part& part : request.parts) {
    for (const PutEvent& event : part.events) {
      body += "{\"Data\":\"";
      append_base64(body, as_bytes(event.data));
      body += '"';
      if (service_.keyed) {
        body += ",\"PartitionKey\":";
        append_json_string(body, partition_key(batch_.records[event.record]));
      }
      body += "},";
    }
  }
  body.back() = ']';
  body += '}';
  return body;
}

// ---- Back.

void PutRecordsSink::settle(const aws::Reply& reply) {
  const auto found = std::find_if(requests_.begin(), requests_.end(),
                                  [&](const PutRequest& r) { return r.id == reply.id; });
  if (found == requests_.end()) return;  // Of an abandoned attempt.
  PutRequest request = std::move(*found);
  requests_.erase(found);
  const Fate fate = fate_of(reply.code);
  if (reply.verdict == aws::Verdict::done) return settle_done(request, reply);
  if (reply.verdict == aws::Verdict::too_large ||
      (reply.verdict == aws::Verdict::refused && fate == Fate::refused)) {
    return isolate(request, reply);
  }
  const bool slow = reply.verdict == aws::Verdict::throttled || fate == Fate::throttled;
  stop(slow ? Outcome::slow_down : Outcome::retry, *request.destination, reply.why,
       reply.retry_after_us);
  // What keeps one destination from answering keeps all of them: they are one service.
  if (reply.verdict == aws::Verdict::transient) stopped_ = true;
  lanes_.give_back(request);
}

void PutRecordsSink::settle_done(PutRequest& request, const aws::Reply& reply) {
  const auto answer = read_put_answer(service_.dialect, reply.body, request.events);
  if (!answer) {
    stop(Outcome::retry, *request.destination, answer.error().what);
    return lanes_.give_back(request);
  }
  const auto some = [&](Fate fate) {
    return std::find(answer->fates.begin(), answer->fates.end(), fate) != answer->fates.end();
  };
  if (some(Fate::throttled)) {
    stop(Outcome::slow_down, *request.destination, answer->why);
  } else if (some(Fate::failed)) {
    stop(Outcome::retry, *request.destination, answer->why);
  }
  for (const std::size_t record : lanes_.settle(request, answer->fates)) {
    reject(record, answer->why);
  }
}

// The service refused the request as a whole for something in it: smaller ones will show what.
void PutRecordsSink::isolate(PutRequest& request, const aws::Reply& reply) {
  if (request.events > 1) return lanes_.split(request);
  if (request.destination->accepted || attempts_ >= lone_refusals_max) {
    return reject(lanes_.drop(request), reply.why);
  }
  complain(Outcome::retry, *request.destination, reply.why, 0);
  request.parts.front().lane->stopped = true;
  lanes_.give_back(request);
}

// A record is set aside as a whole: what has not been sent of it is left out.
void PutRecordsSink::reject(std::size_t record, std::string_view why) {
  rejected_.try_emplace(record, why.substr(0, why_bytes_max));
  if (events_.record() == record) events_.skip_record();
}

void PutRecordsSink::stop(Outcome outcome, PutDestination& destination, std::string_view why,
                          Microseconds retry_after_us) {
  destination.stopped = true;
  complain(outcome, destination, why, retry_after_us);
}

void PutRecordsSink::stop_all(std::string why) {
  stopped_ = true;
  if (!trouble_) trouble_ = Delivery{.outcome = Outcome::retry, .why = std::move(why)};
}

void PutRecordsSink::complain(Outcome outcome, const PutDestination& destination,
                              std::string_view why, Microseconds retry_after_us) {
  if (!trouble_) {
    trouble_ = Delivery{.outcome = outcome,
                        .why = fmt::format("{} {}: {}", service_.name, destination.name,
                                           why.substr(0, why_bytes_max))};
  }
  if (outcome == Outcome::slow_down) trouble_->outcome = outcome;
  trouble_->retry_after_us = std::max(trouble_->retry_after_us, retry_after_us);
}

}  // namespace inlet::sinks
