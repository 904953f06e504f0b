#include "health/emf_log.h"

#include <cerrno>

#include "base/log.h"

namespace inlet::health {

EmfLog::EmfLog(FileSystem& files, EmfLogOptions options)
    : files_(files), options_(std::move(options)) {}

void EmfLog::write(std::string_view lines) {
  const Status done = append(lines);
  if (done) {
    warned_ = false;
    return;
  }
  failed_writes_.add();
  file_.reset();
  if (!warned_) log_warn("health", "cannot write CloudWatch's lines", {{"why", done.error().what}});
  warned_ = true;
}

Status EmfLog::append(std::string_view lines) {
  if (!file_) {
    auto file = files_.open(options_.path, {.write = true, .create = true, .shared = true});
    if (!file) return fail(file);
    file_ = std::move(*file);
  }
  auto end = file_->size();
  if (!end) return fail(end);
  if (*end > 0 && *end + lines.size() > options_.bytes_max) {
    if (const Status rotated = rotate(); !rotated) return rotated;
    return append(lines);
  }
  // A write that failed half-way, or a death in the midst of one, left a line without its end.
  std::byte last{'\n'};
  if (*end > 0) {
    if (const Status read = read_all(*file_, {&last, 1}, *end - 1); !read) return read;
  }
  std::string text;
  if (last != std::byte{'\n'}) text += '\n';
  text += lines;
  return write_all(*file_, as_bytes(text), *end, Flush::no);
}

Status EmfLog::rotate() {
  file_.reset();
  const auto name = [this](unsigned number) {
    return number == 0 ? options_.path : options_.path + "." + std::to_string(number);
  };
  if (options_.kept == 0) return files_.remove(options_.path);
  for (unsigned number = options_.kept; number > 0; number--) {
    const Status moved = files_.rename(name(number - 1), name(number));
    if (!moved && (number == 1 || moved.error().os != ENOENT)) return moved;
  }
  return {};
}

}  // namespace inlet::health
