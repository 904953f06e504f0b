// file_sink: the archive on a local disk: one object per tenant, stream and hour in each batch.
//
//   PATH/tenant=T/stream=S/date=YYYY-MM-DD/hour=HH/NODE-FIRST-LAST.ndjson[.zst|.gz]
//
// Names and contents as in archive_objects.h, so a repeated batch replaces its own objects.
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

#include <set>
#include <string>

#include "base/file.h"
#include "sinks/archive_objects.h"
#include "sinks/sink.h"

namespace inlet::sinks {

struct FileSinkOptions {
  std::string path;
  ArchiveOptions archive;
};

class FileSink final : public PromptSink {
 public:
  FileSink(FileSystem& files, FileSinkOptions options);

  [[nodiscard]] bool replaces() const override { return true; }
  [[nodiscard]] Delivery deliver(const Batch& batch) override;

 private:
  [[nodiscard]] Status write(const Batch& batch, const ArchiveObject& object);
  [[nodiscard]] Status make_durable(const std::string& directory);
  [[nodiscard]] Status remove_other_spellings(const std::string& directory,
                                              const std::string& stem);

  FileSystem& files_;
  const FileSinkOptions options_;
  ObjectWriter writer_;
  // Directories this process has made certain; a directory made by a process that died before it
  // flushed the parent exists, but may not survive a power cut.
  std::set<std::string> durable_;
  bool may_be_repeat_ = true;  // Until the first batch is delivered.
};

}  // namespace inlet::sinks
