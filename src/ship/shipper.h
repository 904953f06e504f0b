// shipper: one sink's work: read, batch, plan, deliver, settle.
//
// A batch goes through four phases, each ended by something durable:
//
//   collect   records are copied out of the journal until the batch is full or due
//   plan      the cursor is saved with the batch's end, before its first byte is sent
//   deliver   the sink is asked until it has taken the batch
//   settle    rejected records go to the dead letters, its line to the ledger, then the cursor is
//             saved behind the batch
//
// While batches are under way, as many as the sink allows, the next one is collected. They are
// settled in the order of the journal, whatever order the answers come in.
//
// A failure in any phase waits and repeats that phase; a crash repeats the planned batches exactly,
// whatever the limits are by then. Damage in the journal is logged, counted and written to the
// damage log before the cursor can pass it.
//
// Invariants:
//   - the cursor passes a record only when it was delivered, set aside, reported as damage, or is
//     of a stream that does not go to this sink.
//   - a batch that was planned is repeated as the same range of sequences.
//   - memory: batch_bytes and one record, for each batch under way and the one being collected.
//
// run_once() never sleeps; the owner calls wait() for as long as it says. One thread.

#pragma once

#include <array>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "journal/cursor.h"
#include "journal/ledger.h"
#include "ship/batch_in_hand.h"
#include "ship/damage_log.h"
#include "ship/dead_letters.h"
#include "ship/record_source.h"
#include "ship/retry.h"
#include "sinks/sink.h"

namespace inlet::ship {

struct ShipperOptions {
  std::string sink;  // Its name.
  std::string node;
  std::vector<std::string> streams = {"*"};  // Patterns of those that go to the sink.
  BatchLimits batch;
  RetryOptions retry;
  Microseconds poll_us = 20'000;  // Between looks at a journal that had nothing new.
  std::uint64_t seed = 1;         // Of the jitter.
};

// normal: batches wait until they are full or due. flush: what is there goes out.
enum class Pace : unsigned char { normal, flush };

struct Step {
  Microseconds wait_us = 0;  // Before the next run_once(); 0: go on at once.
  bool caught_up = false;    // All that is committed has been dealt with.
};

// What operators see; counts of records and bytes since the cursor was made.
struct Figures {
  std::uint64_t journal_id = 0;
  std::uint64_t next_sequence = 1;
  std::uint64_t committed_sequence = 1;
  std::uint64_t delivered_records = 0;
  std::uint64_t delivered_bytes = 0;
  std::uint64_t pending_records = 0;
  std::uint64_t pending_bytes = 0;
  Microseconds lag_us = 0;    // Age of the oldest record not yet delivered.
  std::uint64_t retries = 0;  // Since the start of the process.
  std::uint64_t dead_records = 0;
  std::uint64_t lost_records = 0;
  std::uint64_t skipped_records = 0;  // Not for this sink, or gone before it was configured.
  std::string last_error;             // The latest, also when it is over.
  Microseconds last_error_us = 0;     // 0: none since the start.
  Microseconds failing_since_us = 0;  // First of the failures in a row, on the wall clock; 0: none.
};

class Shipper {
 public:
  // All references outlive the shipper.
  Shipper(Clock& clock, RecordSource& source, journal::Cursor& cursor, sinks::Sink& sink,
          DeadLetters& dead_letters, DamageLog& damage_log, journal::Ledger& ledger,
          ShipperOptions options);

  Shipper(const Shipper&) = delete;
  Shipper& operator=(const Shipper&) = delete;
  ~Shipper();

  // One turn: at most one batch more, no sleep.
  [[nodiscard]] Step run_once(Pace pace);
  // Lets `wait_us` pass, or less if a batch under way gets its answer.
  void wait(Microseconds wait_us);

  [[nodiscard]] Figures figures() const;

 private:
  using Stage = BatchInHand::Stage;
  enum class Collected : unsigned char { complete, caught_up };

  // Each returns a step if the turn ends there.
  [[nodiscard]] std::optional<Step> collect_and_plan(Pace pace);
  [[nodiscard]] std::optional<Step> what_is_there(Pace pace);
  [[nodiscard]] std::optional<Step> answers_and_settle();

  [[nodiscard]] Result<Collected> collect();
  [[nodiscard]] bool is_complete() const;
  [[nodiscard]] Status note_damage(const std::vector<journal::Damage>& damages);
  [[nodiscard]] bool journal_changed();
  void take(const journal::Record& record);
  [[nodiscard]] bool is_for_us(std::string_view stream);
  [[nodiscard]] Status plan();
  void start_waiting();
  [[nodiscard]] std::optional<Step> take_answer(sinks::Answer answer);
  [[nodiscard]] Status settle(BatchInHand& batch);
  void open_next();
  [[nodiscard]] Status save(journal::CursorState state);
  // The ends of all batches in hand behind the first `settled` ones; `open` is being planned.
  [[nodiscard]] std::array<std::uint64_t, journal::planned_batches_max> plans(
      std::size_t settled, const BatchInHand* open) const;
  [[nodiscard]] sinks::Batch view_of(const BatchInHand& batch) const;
  [[nodiscard]] std::uint64_t planned_end() const {
    return planned_.empty() ? 0 : planned_.front();
  }
  // Says how long to wait after a failure.
  Step back_off(sinks::Outcome outcome, const std::string& why, Microseconds asked_us);
  Step back_off(const Error& error);

  Clock& clock_;
  RecordSource& source_;
  journal::Cursor& cursor_;
  sinks::Sink& sink_;
  DeadLetters& dead_letters_;
  DamageLog& damage_log_;
  journal::Ledger& ledger_;
  const ShipperOptions options_;
  const std::size_t in_flight_max_;

  journal::CursorState state_;  // As last saved, but for a journal that turned out to be another.
  std::string node_;            // With the journal's id.

  std::deque<std::unique_ptr<BatchInHand>> window_;  // Planned, in order.
  std::unique_ptr<BatchInHand> open_;                // Being collected.
  std::vector<std::unique_ptr<BatchInHand>> spare_;
  std::deque<std::uint64_t> planned_;    // Ends of batches found planned and not yet collected.
  std::size_t under_way_ = 0;            // Of the window.
  std::optional<sinks::Answer> answer_;  // Came while waiting.
  bool saved_twice_ = false;             // Both slots of the cursor stand where state_ does.
  std::map<std::string, bool, std::less<>> for_us_;  // By stream, those met lately.

  std::uint64_t attempts_ = 0;  // Failed ones in a row.
  Microseconds not_before_us_ = 0;
  bool settle_failed_ = false;  // It is tried again when that time has come.
  std::mt19937_64 random_;
  std::uint64_t retries_ = 0;
  std::string last_error_;
  Microseconds last_error_us_ = 0;
  Microseconds failing_since_us_ = 0;
};

}  // namespace inlet::ship
