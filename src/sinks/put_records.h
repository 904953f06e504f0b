// put_records: what the Kinesis and the Firehose sink share: one service record per event, many in
// a request, and each with a fate of its own.
//
// Requests that share a tenant and stream are sent one after the other (put_lanes.h). Order holds
// that way, as far as the services allow: a record that fails inside a request is overtaken by
// those of the same request that were stored.
//
// Invariants:
//   - an event the service confirmed is not sent again while the process lives.
//   - after an event failed, nothing later of its lane is sent before it went through; the batch is
//     answered retry or slow_down, and goes on where it stopped when it comes again.
//   - an answer that does not fit its request confirms nothing.
//   - data is never rejected for what looks like configuration (no such stream, no permission),
//     only when the service refuses a record for itself.
//   - memory: twice in_flight * request_bytes of events, and in_flight requests.
//
// What was under way when an answer was lost may arrive twice, and after a crash the whole batch:
// consumers see the same id in the envelope. One thread.

#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "aws/client.h"
#include "base/result.h"
#include "base/time.h"
#include "sinks/put_answer.h"
#include "sinks/put_events.h"
#include "sinks/put_lanes.h"
#include "sinks/sink.h"

namespace inlet::sinks {

// The part of aws::Client that is needed here; tests put a service of their own behind it.
class PutClient {
 public:
  PutClient() = default;
  PutClient(const PutClient&) = delete;
  PutClient& operator=(const PutClient&) = delete;
  virtual ~PutClient() = default;

  [[nodiscard]] virtual std::string region() const = 0;
  [[nodiscard]] virtual std::uint64_t start(aws::Call call) = 0;
  [[nodiscard]] virtual std::optional<aws::Reply> finish(Microseconds wait_us) = 0;
  virtual void cancel(std::uint64_t id) = 0;
};

// The real one. `clock` outlives it.
[[nodiscard]] std::unique_ptr<PutClient> make_put_client(Clock& clock, aws::ClientOptions options);

// What makes the one service different from the other.
struct PutService {
  std::string_view name;               // As signatures and endpoints call it.
  std::string_view target;             // X-Amz-Target.
  std::string_view destination_field;  // Of the request.
  std::size_t destination_chars_max;
  PutLimits limits;  // record_bytes_max is before base64, with the partition key.
  bool keyed;        // Whether records have a partition key.
  bool ends_lines;   // Whether events keep their line feed.
  PutDialect dialect;
};

struct PutOptions {
  std::string destination;  // A template: {tenant} and {stream} are filled in.
  std::string endpoint;     // "": by service and region.
  bool envelope = true;
  bool key_by_id = false;  // Instead of by tenant and stream: order holds inside records only.
  StreamFormats formats;
  std::size_t in_flight = 4;  // Requests; at least 1.
  Microseconds timeout_us = 30'000'000;
  Status usable;  // What is wrong with them; every batch is answered with it.
};

// What is wrong with a template of names (or of an ARN's last part), for the configuration to say.
[[nodiscard]] Status check_put_template(std::string_view text);

class PutRecordsSink : public Sink {
 public:
  PutRecordsSink(std::unique_ptr<PutClient> client, PutService service, PutOptions options);
  ~PutRecordsSink() override;

  void start(const Batch& batch) final;
  [[nodiscard]] std::optional<Answer> finish(Microseconds wait_us) final;
  void abandon() final;

  // What the events that wait or are under way take.
  [[nodiscard]] std::size_t held_bytes() const { return lanes_.held_bytes(); }

  // A record refused although it is alone is tried so often before it is rejected, unless the
  // destination has taken others before: then it is rejected at once.
  static constexpr std::size_t lone_refusals_max = 16;

 private:
  [[nodiscard]] bool is_known(const Batch& batch) const;
  void begin(const Batch& batch);
  void go_on();
  void conclude();

  void fill();
  void take_record(const Record& record);
  [[nodiscard]] std::string partition_key(const Record& record) const;
  [[nodiscard]] bool send_one();
  [[nodiscard]] std::string body_of(const PutRequest& request) const;

  void settle(const aws::Reply& reply);
  void settle_done(PutRequest& request, const aws::Reply& reply);
  void isolate(PutRequest& request, const aws::Reply& reply);
  void reject(std::size_t record, std::string_view why);
  void stop(Outcome outcome, PutDestination& destination, std::string_view why,
            Microseconds retry_after_us = 0);
  void stop_all(std::string why);
  void complain(Outcome outcome, const PutDestination& destination, std::string_view why,
                Microseconds retry_after_us);

  const std::unique_ptr<PutClient> client_;
  const PutService service_;
  const PutOptions options_;
  const std::size_t enough_bytes_;  // Of events, to fill every request.

  // Of the batch in hand, and of one that was answered retry or slow_down.
  Batch batch_;
  bool remembered_ = false;
  std::string node_;  // Of its name, which batch_ only views.
  PutEvents events_;
  PutLanes lanes_;
  std::map<std::size_t, std::string> rejected_;  // Records, and why.
  std::size_t attempts_ = 0;

  // Of this attempt.
  bool under_way_ = false;
  bool stopped_ = false;  // Nothing more is sent to anywhere.
  std::optional<Delivery> trouble_;
  std::vector<PutRequest> requests_;  // Under way.
  std::optional<Answer> answer_;
};

}  // namespace inlet::sinks
