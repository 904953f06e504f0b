// log_config: what [log] says, as the rooms that log and archive want it.
//
// Pure but for open_process_log(); any thread.

#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/time.h"
#include "logs/access_log.h"
#include "logs/process_log.h"
#include "main/config.h"
#include "main/values.h"

namespace inlet::main {

// Where rotated logs are archived: in a bucket, or in a directory.
struct LogPlace {
  std::string bucket;  // "": a directory.
  std::string prefix;
  std::string path;
};
// Of "s3://BUCKET/PREFIX", "file:///PATH" or a path.
[[nodiscard]] LogPlace log_place(std::string_view archive);

// Keys that need each other: the key and the end of a sentence about it.
[[nodiscard]] std::vector<std::pair<std::string, std::string>> log_mistakes(const Config& config);

[[nodiscard]] logs::LogFileOptions log_file_options(const LogConfig& log, std::string process);

// The log of this process ("serve", "ship-archive"); null if there are no log files. Call start()
// when no fence is to come any more.
[[nodiscard]] std::unique_ptr<logs::ProcessLog> open_process_log(FileSystem& files, Clock& clock,
                                                                 const LogConfig& log,
                                                                 const std::string& process,
                                                                 logs::Writer writer);

// For the log of requests; Access::off if none is wanted. The service knows journal and loops.
[[nodiscard]] logs::AccessOptions access_options(const LogConfig& log);

// For the table of keys; `section` is a LogConfig.
[[nodiscard]] Problem read_access(void* section, std::string_view text, Range range);
[[nodiscard]] Problem read_access_sample(void* section, std::string_view text, Range range);
[[nodiscard]] Problem read_log_archive(void* section, std::string_view text, Range range);

}  // namespace inlet::main
