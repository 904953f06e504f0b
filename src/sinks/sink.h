// sink: the contract of every destination: start(batch), and later one of three answers.
//
// A sink brings batches to its destination and says what became of each. It knows nothing of
// journals, cursors, batching or retrying: the shipper repeats a batch until it is delivered, also
// after a crash, and then with the same name and the same records.
//
// Invariants:
//   - `delivered` is said only when every record of the batch that is not in `rejected` is as safe
//     at the destination as it can be made there.
//   - after retry or slow_down the whole batch comes again. A sink may remember, while the process
//     lives, what of that batch has arrived, and leave it out of the repeat.
//   - names made from BatchName belong to that batch alone, so a repeat overwrites its own work.
//   - what arrives keeps the order of every tenant and stream: requests that share one are sent one
//     after the other, unless names or positions at the destination restore the order.
//
// start() never waits for the network; every batch gets its answer within the sink's own timeouts.
// A sink waits and spreads its retries nowhere: that is the shipper's. One thread.

#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/time.h"

namespace inlet::sinks {

// One accepted request body with its metadata. Views live as long as the batch.
struct Record {
  std::uint64_t sequence = 0;
  Microseconds received_us = 0;
  std::string_view tenant;
  std::string_view stream;
  std::string_view content_type;
  std::string_view content_encoding;
  std::string_view peer;
  std::string_view trace_id;
  std::string_view request_id = {};
  std::string_view idempotency_key;
  Bytes body;
};

// The planned range of sequences; records in it may be missing where the journal was damaged.
struct BatchName {
  std::string_view node;  // "<node>-<journal id, 12 hex digits>": unique per journal directory.
  std::uint64_t first = 0;
  std::uint64_t last = 0;
};

struct Batch {
  BatchName name;
  std::uint64_t journal_id = 0;
  std::span<const Record> records;  // In order of sequence.
};

// "NODE-FIRST-LAST", sequences as 12 hex digits like in record ids.
[[nodiscard]] std::string batch_name(const BatchName& name);

// "<node>-<journal id, 12 hex digits>".
[[nodiscard]] std::string node_name(std::string_view node, std::uint64_t journal_id);

enum class Outcome : unsigned char {
  delivered,  // All but the rejected ones.
  retry,      // Not now; the same batch may work later.
  slow_down,  // The destination is full or asks for less.
};

// A record the destination will never take.
struct Rejection {
  std::uint64_t sequence;
  std::string why;
};

struct Delivery {
  Outcome outcome = Outcome::delivered;
  std::string why;                       // One sentence unless delivered.
  Microseconds retry_after_us = 0;       // What the destination asked for; 0: nothing.
  std::vector<Rejection> rejected = {};  // By sequence; counts only with delivered.
};

// What became of the batch that starts at `first`.
struct Answer {
  std::uint64_t first = 0;
  Delivery delivery;
};

class Sink {
 public:
  Sink() = default;
  Sink(const Sink&) = delete;
  Sink& operator=(const Sink&) = delete;
  virtual ~Sink() = default;  // Ends what is under way; it may or may not arrive.

  // How many batches may be under way at once without harm to the order. At least 1; constant.
  [[nodiscard]] virtual std::size_t in_flight_max() const { return 1; }

  // Whether what a batch becomes takes the place of what a batch of the same name became before.
  [[nodiscard]] virtual bool replaces() const { return false; }

  // Begins to deliver `batch`. What it views lives until its answer was returned, or abandon().
  virtual void start(const Batch& batch) = 0;

  // An answer, waiting for one at most `wait_us`; empty: none came.
  [[nodiscard]] virtual std::optional<Answer> finish(Microseconds wait_us) = 0;

  // Gives up what is under way: it may or may not arrive, and no answer comes.
  virtual void abandon() = 0;
};

// A sink whose work is done by the time it is asked for, such as writing a file.
class PromptSink : public Sink {
 public:
  [[nodiscard]] virtual Delivery deliver(const Batch& batch) = 0;

  void start(const Batch& batch) final { answer_ = Answer{batch.name.first, deliver(batch)}; }
  [[nodiscard]] std::optional<Answer> finish(Microseconds) final {
    return std::exchange(answer_, std::nullopt);
  }
  void abandon() final { answer_.reset(); }

 private:
  std::optional<Answer> answer_;
};

// How a stream's bodies are to be understood.
enum class BodyFormat : unsigned char {
  raw,     // By the content type of each request.
  json,    // As one JSON document, or an array of them.
  ndjson,  // As one JSON document a line.
};

}  // namespace inlet::sinks
