// archive_objects: how a batch becomes objects of an archive: sorted, named, and filled with lines.
//
//   tenant=T/stream=S/date=YYYY-MM-DD/hour=HH/NODE-FIRST-LAST.ndjson[.zst|.gz]
//
// One object per tenant, stream and hour of received_at (UTC) in each batch. FIRST and LAST are the
// batch's, so the names of two batches never meet and a repeated batch gives the same objects, byte
// for byte. Lines as in events.h, in order of sequence.
//
// One thread.

#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "sinks/compress.h"
#include "sinks/events.h"
#include "sinks/sink.h"

namespace inlet::sinks {

struct ArchiveOptions {
  Compression compression = Compression::zstd;
  int level = 1;
  bool envelope = true;
  std::map<std::string, BodyFormat, std::less<>> formats;  // By stream; others are raw.
};

// What goes into one object: records of a batch, by index.
struct ArchiveObject {
  std::string_view tenant;
  std::string_view stream;
  Microseconds hour = 0;
  std::vector<std::size_t> records;
};

// Records whose tenant or stream cannot stand in a path go to `rejected`.
[[nodiscard]] std::vector<ArchiveObject> sort_into_objects(const Batch& batch,
                                                           std::vector<Rejection>& rejected);

// "tenant=T/stream=S/date=…/hour=…"
[[nodiscard]] std::string directory_of(const ArchiveObject& object);

// "NODE-FIRST-LAST.ndjson": to this comes compression_suffix(). Where an object is written in
// parts, those behind the first are "NODE-FIRST-LAST_002.ndjson" and so on, which sort behind it.
[[nodiscard]] std::string object_stem(const BatchName& name, std::size_t part = 0);

// Takes the bytes of an object, piece by piece.
class ObjectOutput {
 public:
  ObjectOutput() = default;
  ObjectOutput(const ObjectOutput&) = delete;
  ObjectOutput& operator=(const ObjectOutput&) = delete;
  virtual ~ObjectOutput() = default;

  [[nodiscard]] virtual Status append(std::string_view bytes) = 0;
};

class ObjectWriter {
 public:
  explicit ObjectWriter(const ArchiveOptions& options);

  // Puts records of `object` from the `from`th on into `out`, until all are in or, behind a whole
  // record, `bytes_max` have come out. Returns how far it came.
  [[nodiscard]] Result<std::size_t> write(const Batch& batch, const ArchiveObject& object,
                                          std::size_t from, std::uint64_t bytes_max,
                                          ObjectOutput& out);

 private:
  const ArchiveOptions options_;
  Compressor compressor_;
  EventWriter events_;
};

}  // namespace inlet::sinks
