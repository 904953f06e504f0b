// emf_log: the file the CloudWatch agent tails.
//
// At bytes_max it is renamed to PATH.1 (PATH.1 to PATH.2, and so on) and begun anew; an agent that
// follows the file and not the name reads on to its end. What cannot be written is dropped with one
// warning: the next period's figures are more use than late ones. One thread.

#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/counter.h"
#include "base/file.h"

namespace inlet::health {

struct EmfLogOptions {
  std::string path;
  std::uint64_t bytes_max = 10U << 20;  // Of one file.
  unsigned kept = 2;                    // Old files.
};

class EmfLog {
 public:
  EmfLog(FileSystem& files, EmfLogOptions options);

  void write(std::string_view lines);
  // Any thread.
  [[nodiscard]] std::uint64_t failed_writes() const { return failed_writes_.get(); }

 private:
  [[nodiscard]] Status append(std::string_view lines);
  [[nodiscard]] Status rotate();

  FileSystem& files_;
  const EmfLogOptions options_;
  std::unique_ptr<File> file_;
  bool warned_ = false;
  Counter failed_writes_;
};

}  // namespace inlet::health
