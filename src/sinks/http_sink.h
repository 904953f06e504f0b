// http_sink: records to any HTTP endpoint, as NDJSON or JSON arrays, in requests that can be
// repeated.
//
// The records of one tenant and stream are a lane. A lane's requests are sent one after the other,
// lanes in parallel. Every request says what it is:
//
//   Idempotency-Key: NODE-FIRST-LAST    of the records in it; a repeat has the same key and bytes
//   X-Inlet-Batch: NODE-FIRST-LAST      of the batch
//
// What an answer means:
//
//   2xx                   done
//   429, 503              the lane stops, the batch is slow_down; Retry-After is passed on
//   400, 413, 415, 422    the request is cut in halves until the record that is meant stands alone;
//                         refused again, it is rejected
//   anything else, none   the lane stops, the batch is retry: data is not rejected because a key, a
//                         path or a server is wrong
//
// Invariants:
//   - while the process lives, a request that was answered 2xx is not sent again.
//   - a destination that is down is not asked for every lane: after as many stops in a row as
//     requests may be under way, the batch is answered.
//   - memory: in_flight * request_bytes_max and one record's lines.
//   - secrets (bearer, password, header values) are in no sentence, also when an answer repeats
//     them.
//
// One thread.

#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "fetch/client.h"
#include "sinks/http_body.h"
#include "sinks/sink.h"

namespace inlet::sinks {

struct HttpSinkOptions {
  std::string url;              // May hold {tenant} and {stream} behind the host.
  std::string method = "POST";  // Or PUT.
  HttpBodyOptions body;
  std::map<std::string, BodyFormat, std::less<>> formats;  // By stream; others are raw.
  fetch::Headers headers;  // Sent with every request; a Content-Type here replaces ours.
  std::string bearer;      // A token, or
  std::string user;        // a user
  std::string password;    // with a password.
  std::size_t request_records_max = 10'000;
  std::size_t in_flight = 4;  // Requests at once.
  Microseconds timeout_us = 30'000'000;
  fetch::ClientOptions client;  // connections_max is in_flight.
};

class HttpSink final : public Sink {
 public:
  // `clock` outlives the sink. ErrorKind::reject if an option makes no sense.
  [[nodiscard]] static Result<std::unique_ptr<HttpSink>> create(Clock& clock,
                                                                HttpSinkOptions options);

  void start(const Batch& batch) override;
  [[nodiscard]] std::optional<Answer> finish(Microseconds wait_us) override;
  void abandon() override;

 private:
  // The records of one tenant and stream, and how far they have got.
  struct Lane {
    std::string url;
    BodyFormat format = BodyFormat::raw;
    std::vector<std::size_t> records = {};  // By index in the batch.
    std::size_t next = 0;                   // The first that is not done.
    // Where requests must end, the nearest last: inside of what was refused as a whole.
    std::vector<std::size_t> ends = {};
    bool is_refused_alone = false;  // `next` was refused once, with no other record.
    std::size_t request_end = 0;    // Of the request under way: [next, request_end).
    std::size_t request_bytes = 0;
  };

  HttpSink(Clock& clock, HttpSinkOptions options);

  void sort_out(const Batch& batch);
  void dispatch();
  [[nodiscard]] bool may_send() const;
  [[nodiscard]] bool send_next(std::size_t index);
  [[nodiscard]] std::size_t gather(Lane& lane);
  [[nodiscard]] std::size_t end_max(const Lane& lane) const;
  [[nodiscard]] fetch::Request request_for(const Lane& lane, std::size_t end);
  void take(const fetch::Response& response);
  void succeed(std::size_t index);
  void refuse(std::size_t index, const fetch::Response& response);
  void stop(std::size_t index, Outcome outcome, const fetch::Response& response);
  void reject_next(Lane& lane, std::string why);
  static void advance(Lane& lane, std::size_t to);
  [[nodiscard]] Answer conclude();
  [[nodiscard]] std::string sentence(const fetch::Response& response) const;
  [[nodiscard]] std::string excerpt(std::string text) const;

  Clock& clock_;
  const HttpSinkOptions options_;
  const std::string host_;  // For sentences.
  const fetch::Headers headers_;
  const std::vector<std::string> secrets_;
  fetch::Client client_;
  HttpBodyWriter writer_;

  // The batch in hand, or one that did not get through and may come again.
  std::string name_;  // "": none.
  Batch batch_;       // Its views are good only while is_active_.
  bool is_active_ = false;
  std::vector<Lane> lanes_;
  std::deque<std::size_t> ready_;  // Lanes with something to send.
  std::vector<Rejection> rejected_;

  // This attempt.
  std::map<std::uint64_t, std::size_t> flying_;  // Request to lane.
  std::size_t flying_bytes_ = 0;
  std::vector<std::size_t> stopped_;  // Lanes that wait for the next attempt.
  std::size_t stops_in_a_row_ = 0;
  Delivery delivery_;
  Microseconds not_before_us_ = 0;  // What Retry-After asked for; 0: nothing.
};

}  // namespace inlet::sinks
