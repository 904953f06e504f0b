#include "main/key_file.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <optional>

namespace inlet::main {
namespace {

constexpr Microseconds lock_patience_us = 10'000'000;
constexpr Microseconds lock_retry_us = 10'000;

// Behind symbolic links: it is the file that is replaced, not the link to it.
std::string resolved(const std::string& path) {
  char* const target = ::realpath(path.c_str(), nullptr);
  if (target == nullptr) return path;
  const std::string out = target;
  std::free(target);
  return out;
}

Result<std::unique_ptr<FileLock>> lock_patiently(FileSystem& files, Clock& clock,
                                                 const std::string& path) {
  const Microseconds until_us = clock.steady_us() + lock_patience_us;
  while (true) {
    auto lock = files.lock(path);
    if (lock || lock.error().os != EWOULDBLOCK || clock.steady_us() >= until_us) return lock;
    clock.sleep(lock_retry_us);
  }
}

Status find_right(const std::string& path, std::string_view text) {
  serve::KeyUses uses;
  const auto parsed = serve::KeyTable::parse(text, path, [](std::string_view) { return 0U; }, uses);
  if (parsed.mistakes.empty()) return {};
  return fail(ErrorKind::reject, parsed.mistakes.front() + "; nothing was changed");
}

// Root writes for whom the file is: else serve could not read it.
Status give_to_owner(const std::string& fresh, const std::string& path) {
  if (::geteuid() != 0) return {};
  struct stat owner{};
  if (::stat(path.c_str(), &owner) != 0 && ::stat(parent_directory(path).c_str(), &owner) != 0) {
    return fail(ErrorKind::retry, fmt::format("stat {}: {}", path, std::strerror(errno)), errno);
  }
  if (::chown(fresh.c_str(), owner.st_uid, owner.st_gid) == 0) return {};
  return fail(ErrorKind::retry, fmt::format("chown {}: {}", fresh, std::strerror(errno)), errno);
}

Status replace(FileSystem& files, const std::string& path, std::string_view text) {
  const std::string fresh = path + ".new";
  // One that was left over could be somebody else's to read.
  const Status removed = files.remove(fresh);
  if (!removed && removed.error().os != ENOENT) return removed;
  {
    const auto file = files.open(fresh, {.write = true, .create = true, .truncate = true});
    if (!file) return fail(file);
    if (const Status owned = give_to_owner(fresh, path); !owned) return owned;
    if (const Status put = write_all(**file, as_bytes(text), 0, Flush::no); !put) return put;
    if (const Status flushed = (*file)->sync(); !flushed) return flushed;
  }
  if (const Status named = files.rename(fresh, path); !named) return named;
  return files.sync_directory(parent_directory(path));
}

// The text with `instead` in the place of the line that holds that id; empty if none does.
std::optional<std::string> with_line(std::string_view text, serve::KeyId id,
                                     const std::string& instead) {
  std::string out;
  bool found = false;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end == std::string_view::npos ? end : end + 1);
    text.remove_prefix(line.size());
    const auto entry = serve::parse_key_line(line.substr(0, end));
    const bool is_it = entry && *entry && (*entry)->id == id;
    out += is_it ? std::string_view(instead) : line;
    found = found || is_it;
  }
  return found ? std::optional(std::move(out)) : std::nullopt;
}

}  // namespace

Result<std::string> read_key_file(FileSystem& files, const std::string& path) {
  const auto file = files.open(path, {});
  if (!file && file.error().os == ENOENT) return std::string();
  if (!file) return fail(file);
  const auto bytes = (*file)->size();
  if (!bytes) return fail(bytes);
  if (*bytes > serve::key_file_bytes_max) {
    return fail(ErrorKind::reject,
                fmt::format("{} has more than {} bytes", path, serve::key_file_bytes_max));
  }
  std::string text(*bytes, '\0');
  if (const Status done = read_all(**file, std::as_writable_bytes(std::span(text)), 0); !done) {
    return fail(ErrorKind::retry, fmt::format("read {}: {}", path, done.error().what));
  }
  return text;
}

Status change_key_file(FileSystem& files, Clock& clock, const std::string& path,
                       const KeyFileChange& change) {
  const std::string target = resolved(path);
  if (const Status made = files.make_directories(parent_directory(target)); !made) return made;
  const auto lock = lock_patiently(files, clock, target + ".lock");
  if (!lock) return fail(lock);
  const auto text = read_key_file(files, target);
  if (!text) return fail(text);
  if (const Status right = find_right(path, *text); !right) return right;
  const auto changed = change(*text);
  if (!changed) return fail(changed);
  if (const Status right = find_right(path, *changed); !right) return right;
  if (changed->size() > serve::key_file_bytes_max) {
    return fail(ErrorKind::reject,
                fmt::format("{} would have more than {} bytes", path, serve::key_file_bytes_max));
  }
  return replace(files, target, *changed);
}

std::string with_key(std::string text, const serve::KeyEntry& entry) {
  if (!text.empty() && !text.ends_with('\n')) text += '\n';
  return text + serve::key_line(entry) + "\n";
}

std::optional<std::string> with_key_changed(std::string_view text, const serve::KeyEntry& entry) {
  return with_line(text, entry.id, serve::key_line(entry) + "\n");
}

std::optional<std::string> without_key(std::string_view text, serve::KeyId id) {
  return with_line(text, id, "");
}

}  // namespace inlet::main
