// dead_letters: records a sink will never take, kept where people can see and send them again.
//
//   DIRECTORY/NODE-FIRST-LAST.ndjson, named like the batch; lines as in codec/dead_letter.h
//
// A file appears whole and durable before the cursor moves; a repeated batch replaces its own.
// There is a bound on all of them together: when it is reached nothing is thrown away, delivery
// waits until somebody redrives or removes some.
//
// Memory does not grow with the number of records. One thread.

#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/file.h"
#include "base/result.h"
#include "sinks/sink.h"

namespace inlet::ship {

// Writes the records of `batch` that `rejected` names (by sequence, each once) as the file `name`
// in `directory`, which exists.
[[nodiscard]] Status write_dead_letters(FileSystem& files, const std::string& directory,
                                        const std::string& name, const std::string& sink,
                                        const sinks::Batch& batch,
                                        std::span<const sinks::Rejection> rejected);

class DeadLetters {
 public:
  // `directory` is the sink's own; it is made when the first record is set aside.
  DeadLetters(FileSystem& files, std::string directory, std::string sink,
              std::uint64_t bytes_max = UINT64_MAX);

  // Keeps the records of `batch` that `rejected` names. ErrorKind::overload while there is no room.
  [[nodiscard]] Status keep(const sinks::Batch& batch, std::span<const sinks::Rejection> rejected);

 private:
  [[nodiscard]] Status make_directory();
  [[nodiscard]] Result<std::uint64_t> bytes_there() const;

  FileSystem& files_;
  const std::string directory_;
  const std::string sink_;
  const std::uint64_t bytes_max_;
  bool directory_made_ = false;
};

}  // namespace inlet::ship
