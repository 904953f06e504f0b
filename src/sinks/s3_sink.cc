#include "sinks/s3_sink.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "aws/digest.h"
#include "aws/text.h"
#include "base/check.h"
#include "base/log.h"
#include "sinks/s3_bucket.h"

namespace inlet::sinks {
namespace {

constexpr std::size_t arrived_keys_max = 100'000;  // Remembered; then batches are sent whole again.
constexpr std::size_t response_bytes_max = 64U << 10;

class MemoryOutput final : public ObjectOutput {
 public:
  Status append(std::string_view bytes) override {
    body += bytes;
    return {};
  }
  std::string body;
};

S3Bucket bucket_of(const S3SinkOptions& options) {
  return {options.bucket, options.prefix, options.endpoint, options.path_style};
}

aws::ClientOptions client_options(const S3SinkOptions& options, bool at_aws) {
  aws::ClientOptions client = options.aws;
  client.fetch.connections_max = options.in_flight + 1;  // One for credentials.
  if (!at_aws) client.region_else = region_elsewhere;
  return client;
}

}  // namespace

S3Sink::S3Sink(Clock& clock, S3SinkOptions options)
    : clock_(clock),
      options_(std::move(options)),
      prefix_(key_folder(options_.prefix)),
      writer_(options_.archive),
      at_aws_(is_at_aws(bucket_of(options_), options_.aws.variable)),
      client_(clock, client_options(options_, at_aws_)),
      url_(bucket_url(bucket_of(options_), client_.region(), options_.aws.variable)) {
  CHECK(options_.in_flight > 0 && options_.batches > 0 && options_.object_bytes_max > 0);
}

void S3Sink::start(const Batch& batch) {
  CHECK(works_.size() < options_.batches);
  Work work{.batch = batch};
  work.objects = sort_into_objects(batch, work.delivery.rejected);
  works_.push_back(std::move(work));
}

std::optional<Answer> S3Sink::finish(Microseconds wait_us) {
  const Microseconds end = clock_.steady_us() + wait_us;
  while (true) {
    start_requests();
    if (auto answer = take_finished()) return answer;
    const Microseconds left = std::max<Microseconds>(0, end - clock_.steady_us());
    auto reply = client_.finish(left);
    if (!reply) return std::nullopt;
    take(std::move(*reply));
  }
}

// Objects are built one by one, and between them the network gets its turn.
void S3Sink::start_requests() {
  while (sent_.size() < options_.in_flight && start_one()) {
    while (auto reply = client_.finish(0)) take(std::move(*reply));
  }
}

bool S3Sink::start_one() {
  return std::ranges::any_of(
      works_, [this](Work& work) { return !work.failed && (start_put(work) || start_look(work)); });
}

bool S3Sink::start_put(Work& work) {
  while (work.object < work.objects.size()) {
    const ArchiveObject& object = work.objects[work.object];
    std::string key = key_of(work, options_.archive.compression);
    std::vector<std::string> others = other_spellings(work);
    if (const auto arrived = arrived_.find(key); arrived != arrived_.end()) {
      const std::size_t next = arrived->second;
      note_arrival(work, std::move(key), next, std::move(others));
      pass(work, next);
      continue;
    }
    MemoryOutput out;
    const auto next = writer_.write(work.batch, object, work.from, options_.object_bytes_max, out);
    CHECK(next);  // Memory refuses nothing.
    pass(work, *next);
    send(work, {work.batch.name.first, Step::put, std::move(key), *next, std::move(others)},
         std::move(out.body));
    return true;
  }
  return false;
}

// To what comes behind record `next` of the object in hand.
void S3Sink::pass(Work& work, std::size_t next) {
  const bool complete = next == work.objects[work.object].records.size();
  work.object += complete ? 1 : 0;
  work.part = complete ? 0 : work.part + 1;
  work.from = complete ? 0 : next;
}

// Keys that the process before this one may have given the object in hand, if it delivered the
// same batch under another compression.
std::vector<std::string> S3Sink::other_spellings(const Work& work) const {
  std::vector<std::string> keys;
  if (delivered_ >= options_.batches || !may_look_) return keys;
  for (const auto other : {Compression::none, Compression::gzip, Compression::zstd}) {
    if (other != options_.archive.compression) keys.push_back(key_of(work, other));
  }
  return keys;
}

// Looking before removing leaves no delete marker in a bucket that keeps versions.
bool S3Sink::start_look(Work& work) {
  if (work.to_look_for.empty()) return false;
  Sent sent{work.batch.name.first, Step::look, std::move(work.to_look_for.front()), 0, {}};
  work.to_look_for.pop_front();
  send(work, std::move(sent), "");
  return true;
}

void S3Sink::send(Work& work, Sent sent, std::string body) {
  aws::Call call{.service = "s3",
                 .url = url_ + aws::percent_encode(sent.key, true),
                 .body = std::move(body),
                 .response_bytes_max = response_bytes_max,
                 .timeout_us = options_.timeout_us};
  switch (sent.step) {
    case Step::look: call.method = "HEAD"; break;
    case Step::remove: call.method = "DELETE"; break;
    case Step::put: {
      call.method = "PUT";
      call.headers = {{"Content-Type", "application/x-ndjson"}};
      const auto add = [&](std::string_view name, const std::string& value) {
        if (!value.empty()) call.headers.emplace_back(name, value);
      };
      add("Content-MD5", aws::content_md5(call.body));
      add("x-amz-storage-class", options_.storage_class);
      add("x-amz-server-side-encryption", options_.sse);
      add("x-amz-server-side-encryption-aws-kms-key-id", options_.kms_key_id);
    }
  }
  work.under_way++;
  sent_.emplace(client_.start(std::move(call)), std::move(sent));
}

void S3Sink::take(aws::Reply reply) {
  const auto found = sent_.find(reply.id);
  if (found == sent_.end()) return;  // Of an abandoned batch.
  Sent sent = std::move(found->second);
  sent_.erase(found);
  const auto work =
      std::ranges::find(works_, sent.first, [](const Work& one) { return one.batch.name.first; });
  CHECK(work != works_.end());
  work->under_way--;
  if (reply.verdict == aws::Verdict::done) return take_done(*work, std::move(sent));
  if (sent.step == Step::put || reply.verdict != aws::Verdict::refused) {
    return note_failure(*work, reply);
  }
  if (reply.status == 404) return;  // No such object, as nearly always.
  if (!std::exchange(may_look_, false)) return;
  for (Work& one : works_) one.to_look_for.clear();
  log_info("sinks", "objects that another compression left would stay: looking is not permitted",
           {{"bucket", options_.bucket}, {"why", reply.why}});
}

void S3Sink::take_done(Work& work, Sent sent) {
  switch (sent.step) {
    case Step::put:
      return note_arrival(work, std::move(sent.key), sent.next, std::move(sent.other_spellings));
    case Step::look: sent.step = Step::remove; return send(work, std::move(sent), "");
    case Step::remove: return;
  }
}

void S3Sink::note_arrival(Work& work, std::string key, std::size_t next,
                          std::vector<std::string> others) {
  if (may_look_) std::ranges::move(others, std::back_inserter(work.to_look_for));
  arrived_.emplace(key, next);
  work.arrived.push_back(std::move(key));
}

void S3Sink::note_failure(Work& work, const aws::Reply& reply) {
  Delivery& delivery = work.delivery;
  if (!work.failed) delivery.why = fmt::format("bucket {}: {}", options_.bucket, reply.why);
  const bool throttled = reply.verdict == aws::Verdict::throttled;
  if (!work.failed || throttled) {
    delivery.outcome = throttled ? Outcome::slow_down : Outcome::retry;
  }
  delivery.retry_after_us = std::max(delivery.retry_after_us, reply.retry_after_us);
  work.failed = true;
}

// Of a batch that has all it needs, or failed and has nothing more under way.
std::optional<Answer> S3Sink::take_finished() {
  const auto work = std::ranges::find_if(works_, [](const Work& one) {
    const bool all = one.object == one.objects.size() && one.to_look_for.empty();
    return one.under_way == 0 && (one.failed || all);
  });
  if (work == works_.end()) return std::nullopt;
  if (!work->failed) {
    delivered_++;
    for (const std::string& key : work->arrived) arrived_.erase(key);
  }
  if (arrived_.size() > arrived_keys_max) arrived_.clear();
  Answer answer{work->batch.name.first, std::move(work->delivery)};
  works_.erase(work);
  return answer;
}

void S3Sink::abandon() {
  for (const auto& [id, sent] : sent_) client_.cancel(id);
  sent_.clear();
  works_.clear();
}

std::string S3Sink::key_of(const Work& work, Compression compression) const {
  return prefix_ + directory_of(work.objects[work.object]) + "/" +
         object_stem(work.batch.name, work.part) + std::string(compression_suffix(compression));
}

}  // namespace inlet::sinks
