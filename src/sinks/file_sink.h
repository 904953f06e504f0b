// file_sink: the archive on a local disk: one object per tenant, stream and hour in each batch.
//
//   PATH/tenant=T/stream=S/date=YYYY-MM-DD/hour=HH/NODE-FIRST-LAST.ndjson[.zst|.gz]
//
// The hour is that of received_at in UTC; FIRST and LAST are the batch's, so the names of two
// batches never meet and a repeated batch replaces its own objects. Lines as in events.h, in order
// of sequence.
//
// Invariants:
//   - an object appears whole and durable, or not at all (object_file.h).
//   - a name holds only bytes of its own batch; after a repeat also under another compression there
//     is one object, not two.
//   - memory does not grow with the number or size of objects.
//
// Records whose tenant or stream cannot stand in a path are rejected. A full disk is slow_down,
// anything else that fails is retry. One thread.

#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/file.h"
#include "sinks/compress.h"
#include "sinks/events.h"
#include "sinks/object_file.h"
#include "sinks/sink.h"

namespace inlet::sinks {

struct FileSinkOptions {
  std::string path;
  Compression compression = Compression::zstd;
  int level = 1;
  bool envelope = true;
  std::map<std::string, BodyFormat, std::less<>> formats;  // By stream; others are raw.
};

class FileSink final : public Sink {
 public:
  FileSink(FileSystem& files, FileSinkOptions options);

  [[nodiscard]] Delivery deliver(const Batch& batch) override;

 private:
  // What goes into one object: records of a batch, by index.
  struct Object {
    std::string_view tenant;
    std::string_view stream;
    Microseconds hour;
    std::vector<std::size_t> records;
  };

  [[nodiscard]] std::vector<Object> sort_out(const Batch& batch, Delivery& delivery) const;
  [[nodiscard]] Status write(const Batch& batch, const Object& object);
  [[nodiscard]] Status fill(const Batch& batch, const Object& object, ObjectFile& file);
  [[nodiscard]] Status make_durable(const std::string& directory);
  [[nodiscard]] Status remove_other_spellings(const std::string& directory,
                                              const std::string& stem);
  [[nodiscard]] BodyFormat format_of(std::string_view stream) const;

  FileSystem& files_;
  const FileSinkOptions options_;
  Compressor compressor_;
  EventWriter events_;
  // Directories this process has made certain; a directory made by a process that died before it
  // flushed the parent exists, but may not survive a power cut.
  std::set<std::string> durable_;
  bool may_be_repeat_ = true;  // Until the first batch is delivered.
};

}  // namespace inlet::sinks
