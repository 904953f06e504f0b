#include "main/log_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

namespace inlet::main {
namespace {

constexpr std::string_view s3_scheme = "s3://";
constexpr std::string_view file_scheme = "file://";

// Amazon S3 User Guide, "General purpose bucket naming rules".
bool is_bucket_name(std::string_view text) {
  const auto plain = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  return text.size() >= 3 && text.size() <= 63 && plain(text.front()) && plain(text.back()) &&
         std::ranges::all_of(text, [&](char c) { return plain(c) || c == '-' || c == '.'; });
}

// Whether a path is in a directory, or is the directory.
bool is_inside(std::string path, std::string directory) {
  if (!path.ends_with('/')) path += '/';
  if (!directory.ends_with('/')) directory += '/';
  return path.starts_with(directory);
}

}  // namespace

LogPlace log_place(std::string_view archive) {
  LogPlace place;
  if (archive.starts_with(s3_scheme)) {
    archive.remove_prefix(s3_scheme.size());
    place.bucket = archive.substr(0, archive.find('/'));
    place.prefix = archive.substr(std::min(archive.size(), place.bucket.size() + 1));
    return place;
  }
  if (archive.starts_with(file_scheme)) archive.remove_prefix(file_scheme.size());
  place.path = archive;
  return place;
}

std::vector<std::pair<std::string, std::string>> log_mistakes(const Config& config) {
  const LogConfig& log = config.log;
  std::vector<std::pair<std::string, std::string>> mistakes;
  if (log.directory.empty()) {
    if (!log.archive.empty()) {
      mistakes.emplace_back("log.archive", "needs log.directory: only files can be archived");
    }
    if (!log.standard_error) {
      mistakes.emplace_back("log.stderr", "false needs log.directory, or nothing is logged");
    }
    return mistakes;
  }
  if (log.total_bytes_max < log.bytes_max) {
    mistakes.emplace_back(
        "log.max_total_bytes",
        fmt::format("{} is less than one file, log.max_bytes, {}", format_size(log.total_bytes_max),
                    format_size(log.bytes_max)));
  }
  const LogPlace place = log_place(log.archive);
  if (!place.path.empty() && is_inside(place.path, log.directory)) {
    mistakes.emplace_back("log.archive", "is inside log.directory, whose oldest files are removed");
  }
  if (is_inside(log.directory, config.journal.path)) {
    mistakes.emplace_back("log.directory", "is inside journal.path");
  }
  return mistakes;
}

logs::LogFileOptions log_file_options(const LogConfig& log, std::string process) {
  return {.directory = log.directory,
          .process = std::move(process),
          .bytes_max = log.bytes_max,
          .age_max_us = log.age_max_us,
          .total_bytes_max = log.total_bytes_max};
}

std::unique_ptr<logs::ProcessLog> open_process_log(FileSystem& files, Clock& clock,
                                                   const LogConfig& log, const std::string& process,
                                                   logs::Writer writer) {
  if (log.directory.empty()) return nullptr;
  return std::make_unique<logs::ProcessLog>(files, clock, log_file_options(log, process), writer,
                                            log.standard_error);
}

logs::AccessOptions access_options(const LogConfig& log) {
  logs::AccessOptions options;
  options.access = log.access == Access::all      ? logs::Access::all
                   : log.access == Access::errors ? logs::Access::errors
                                                  : logs::Access::off;
  options.sample = log.access_sample;
  return options;
}

Problem read_access(void* section, std::string_view text, Range) {
  static constexpr std::array<std::string_view, 3> names = {"off", "errors", "all"};
  const auto* const found = std::ranges::find(names, text);
  if (found == names.end()) {
    return "is not \"off\", \"errors\" or \"all\"" + suggestion(text, names);
  }
  static_cast<LogConfig*>(section)->access = static_cast<Access>(found - names.begin());
  return std::nullopt;
}

Problem read_access_sample(void* section, std::string_view text, Range) {
  double sample = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), sample);
  const bool whole = error == std::errc() && end == text.data() + text.size();
  if (!whole || !(sample >= 0 && sample <= 1)) return "is not a number from 0 to 1, such as 0.01";
  static_cast<LogConfig*>(section)->access_sample = sample;
  return std::nullopt;
}

Problem read_log_archive(void* section, std::string_view text, Range range) {
  std::string archive;
  if (auto problem = read_value(text, range, archive)) return problem;
  const LogPlace place = log_place(archive);
  const bool other_scheme = place.bucket.empty() && place.path.find("://") != std::string::npos;
  const bool bad_bucket = text.starts_with(s3_scheme) && !is_bucket_name(place.bucket);
  if (other_scheme || bad_bucket) return "is neither s3://BUCKET/PREFIX nor a directory";
  static_cast<LogConfig*>(section)->archive = std::move(archive);
  return std::nullopt;
}

}  // namespace inlet::main
