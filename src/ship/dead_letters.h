// dead_letters: records a sink will never take, kept where people can see and send them again.
//
//   DIRECTORY/NODE-FIRST-LAST.ndjson, named like the batch; one line per record:
//   {"id","tenant","stream","received_at","content_type","content_encoding","peer","trace_id",
//    "idempotency_key","sink","reason","body"}    body: the bytes as they came, in base64
//
// A file appears whole and durable before the cursor moves; a repeated batch replaces its own.
// Memory does not grow with the number of records. One thread.

#pragma once

#include <string>

#include "base/file.h"
#include "base/result.h"
#include "sinks/sink.h"

namespace inlet::ship {

class DeadLetters {
 public:
  // `directory` is the sink's own; it is made when the first record is set aside.
  DeadLetters(FileSystem& files, std::string directory, std::string sink);

  // Keeps the records of `batch` that `rejected` names, each once.
  [[nodiscard]] Status keep(const sinks::Batch& batch, std::span<const sinks::Rejection> rejected);

 private:
  [[nodiscard]] Status make_directory();

  FileSystem& files_;
  const std::string directory_;
  const std::string sink_;
  bool directory_made_ = false;
};

}  // namespace inlet::ship
