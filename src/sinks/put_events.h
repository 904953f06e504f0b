// put_events: the events of a batch, one after the other, in pieces that fit in memory.
//
// Kinesis and Firehose take one record per event, so the lines of events.h are cut apart here. A
// compressed body may stand for gigabytes of lines: a record is read again from its beginning for
// every piece of it.
//
// Invariants:
//   - events come in the order of the journal, each exactly once.
//   - a record with an event that is too large gives none at all.
//   - memory: one piece, which is piece_bytes and one event, beside what events.h needs.
//
// Without envelope a body that is not JSON gives one event per line of it.
//
// One thread.

#pragma once

#include <list>
#include <map>
#include <string>

#include "sinks/events.h"
#include "sinks/sink.h"

namespace inlet::sinks {

using StreamFormats = std::map<std::string, BodyFormat, std::less<>>;  // Other streams are raw.

struct PutEvent {
  std::size_t record;  // Its index in the batch.
  std::string data;

  // What it takes in memory, roughly.
  [[nodiscard]] std::size_t bytes() const { return sizeof(PutEvent) + data.size(); }
};

class PutEvents {
 public:
  struct Options {
    bool envelope = true;
    bool ends_lines = false;  // Whether an event keeps the line feed at its end.
    StreamFormats formats;
    std::size_t piece_bytes = 0;
  };
  struct Piece {
    std::list<PutEvent> events;
    std::size_t bytes = 0;
    std::size_t too_large_bytes = 0;  // Of the largest event, if the record is refused for it.
  };

  explicit PutEvents(Options options) : options_(std::move(options)), writer_(options_.envelope) {}

  // Goes to the beginning of a batch.
  void restart();
  // The index of the record that the next piece is of; the number of records: there is none.
  [[nodiscard]] std::size_t record() const { return record_; }
  // The next events of that record; then goes on behind them.
  [[nodiscard]] Piece next(const Batch& batch, std::size_t event_bytes_max);
  // Leaves out what is left of that record.
  void skip_record();

 private:
  [[nodiscard]] BodyFormat format_of(std::string_view stream) const;

  const Options options_;
  EventWriter writer_;
  std::size_t record_ = 0;
  std::size_t event_ = 0;  // Of that record, the next one.
};

}  // namespace inlet::sinks
