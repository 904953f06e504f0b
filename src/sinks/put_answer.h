// put_answer: what Kinesis and Firehose say became of each record of a request.
//
// Both answer 200 with one entry per record, in the order of the request, of which any may have
// failed. An answer that does not fit the request proves nothing: it is an error, and everything is
// to be sent again.
//
// Sources: API references of PutRecords (Kinesis, 2013-12-02) and PutRecordBatch (Firehose,
// 2015-08-04). No state; any thread.

#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace inlet::sinks {

// Names in the answer.
struct PutDialect {
  std::string_view entries;  // The array with one entry per record.
  std::string_view failed;   // The number of those that failed.
  std::string_view proof;    // What an entry has when its record is stored.
};

enum class Fate : unsigned char {
  stored,
  throttled,  // Later, and less of it.
  failed,     // Later.
  refused,    // Never: it is the record's fault.
};

struct PutAnswer {
  std::vector<Fate> fates;  // By record.
  std::string why;          // Of the first that is not stored: "CODE: message".
};

// What an error code of either service means for what was sent.
[[nodiscard]] Fate fate_of(std::string_view code);

// ErrorKind::corrupt if `body` is not the answer to a request of so many records.
[[nodiscard]] Result<PutAnswer> read_put_answer(const PutDialect& dialect, std::string_view body,
                                                std::size_t records);

}  // namespace inlet::sinks
