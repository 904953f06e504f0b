#include "sim/sim_disk.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace inlet::sim {
namespace {

constexpr std::uint64_t endless_bytes = std::uint64_t{1} << 40;  // Space told without a capacity.

constexpr std::array operation_names = {
    "open", "lock",           "read",   "write",  "flush",           "size",
    "list", "make directory", "rename", "remove", "flush directory", "statvfs"};

std::string name_of(Operation operation) {
  return operation_names[static_cast<std::size_t>(operation)];
}

// The same kinds as the real file system gives.
std::unexpected<Error> os_error(Operation operation, const std::string& path, int os) {
  ErrorKind kind = ErrorKind::retry;
  if (os == ENOSPC || os == EDQUOT || os == EFBIG) kind = ErrorKind::overload;
  if (os == ENOENT || os == EACCES || os == EPERM || os == EINVAL || os == ENOTDIR) {
    kind = ErrorKind::reject;
  }
  return fail(kind, name_of(operation) + " " + path + ": " + std::strerror(os), os);
}

std::unexpected<Error> no_power() {
  return fail(ErrorKind::stopped, "the simulated machine is down");
}

// One spelling for each path: no "./" in front, no doubled or trailing slash.
std::string plain(const std::string& path) {
  std::string out;
  for (const char c : path) {
    if (c != '/' || out.empty() || out.back() != '/') out += c;
  }
  if (out.size() > 1 && out.back() == '/') out.pop_back();
  if (out.starts_with("./")) out.erase(0, 2);
  return out;
}

Bytes bytes_of(const iovec& part) {
  return {static_cast<const std::byte*>(part.iov_base), part.iov_len};
}

bool aligned(const void* address) {
  return reinterpret_cast<std::uintptr_t>(address) % direct_alignment == 0;
}

}  // namespace

std::string to_string(const Step& step) {
  return fmt::format("{} {} [{}, +{})", name_of(step.operation), step.path, step.offset,
                     step.bytes);
}

class SimFile final : public File {
 public:
  SimFile(SimDisk& disk, SimDisk::Inode inode, std::string path, OpenOptions options)
      : disk_(disk), inode_(inode), path_(std::move(path)), options_(options), life_(disk.life_) {}

  ~SimFile() override {
    const std::lock_guard guard(disk_.mutex_);
    if (life_ == disk_.life_) disk_.close(inode_);
  }

  Result<std::size_t> read_at(MutableBytes out, std::uint64_t offset) override {
    const std::lock_guard guard(disk_.mutex_);
    if (!disk_.usable(life_)) return no_power();
    CHECK(!options_.direct || (aligned(out.data()) && out.size() % direct_alignment == 0 &&
                               offset % direct_alignment == 0));
    return disk_.read_file(inode_, path_, out, offset);
  }

  Result<std::size_t> write_at(std::span<const iovec> parts, std::uint64_t offset,
                               Flush flush) override {
    const std::lock_guard guard(disk_.mutex_);
    if (!disk_.usable(life_)) return no_power();
    CHECK(options_.write);
    CHECK(!options_.direct || offset % direct_alignment == 0);
    for (const iovec& part : parts) {
      CHECK(!options_.direct || (aligned(part.iov_base) && part.iov_len % direct_alignment == 0));
    }
    if (parts.size() == 1) {
      return disk_.write_file(inode_, path_, options_.direct, bytes_of(parts[0]), offset, flush);
    }
    std::vector<std::byte> joined;
    for (const iovec& part : parts) {
      joined.insert(joined.end(), bytes_of(part).begin(), bytes_of(part).end());
    }
    return disk_.write_file(inode_, path_, options_.direct, joined, offset, flush);
  }

  Status sync() override {
    const std::lock_guard guard(disk_.mutex_);
    if (!disk_.usable(life_)) return no_power();
    return disk_.sync_file(inode_, path_, options_.direct);
  }

  Result<std::uint64_t> size() override {
    const std::lock_guard guard(disk_.mutex_);
    if (!disk_.usable(life_)) return no_power();
    return disk_.file_size(inode_, path_);
  }

 private:
  SimDisk& disk_;
  const SimDisk::Inode inode_;
  const std::string path_;
  const OpenOptions options_;
  const std::uint64_t life_;
};

class SimFileLock final : public FileLock {
 public:
  SimFileLock(SimDisk& disk, std::string path)
      : disk_(disk), path_(std::move(path)), life_(disk.life_) {}
  ~SimFileLock() override {
    const std::lock_guard guard(disk_.mutex_);
    if (life_ == disk_.life_) disk_.locks_.erase(path_);
  }

 private:
  SimDisk& disk_;
  const std::string path_;
  const std::uint64_t life_;
};

SimDisk::SimDisk(SimClock& clock, std::uint64_t seed) : clock_(clock), random_(seed) {}
SimDisk::~SimDisk() = default;

// --- The turn of a call.

SimDisk::Turn SimDisk::begin(Step step) {
  if (!on_) return Turn::dead;
  changes_++;
  trace_.push_back(std::move(step));
  if (changes_ != crash_at_change_) return Turn::go;
  on_ = false;
  return Turn::dying;
}

SimDisk::Strike SimDisk::strike(Operation operation, const std::string& path) {
  Strike result;
  for (Fault& fault : faults_) {
    if (fault.on != operation || fault.times == 0) continue;
    if (path.find(fault.path_part) == std::string::npos) continue;
    if (fault.skip > 0) {
      fault.skip--;
      continue;
    }
    if (!random_.chance(fault.probability)) continue;
    if (fault.times != Fault::for_ever) fault.times--;
    clock_.advance(fault.stall_us);
    if (fault.os != 0) result.os = fault.os;
    result.short_write = result.short_write || fault.short_write;
  }
  return result;
}

// --- Names.

void SimDisk::apply(const NameChange& change, Names& names) {
  if (!change.from.empty()) {
    const auto old = names.find(change.from);
    if (old != names.end() && old->second == change.inode) names.erase(old);
  }
  if (!change.to.empty()) names[change.to] = change.inode;
}

void SimDisk::add_name_change(NameChange change) {
  apply(change, seen_);
  name_changes_.push_back(std::move(change));
}

void SimDisk::settle_names() {
  auto change = name_changes_.begin();
  for (; change != name_changes_.end() && change->synced; ++change) apply(*change, stable_);
  name_changes_.erase(name_changes_.begin(), change);
  forget_unreachable();
}

void SimDisk::forget_unreachable() {
  std::set<Inode> reachable;
  for (const auto& [name, inode] : seen_) reachable.insert(inode);
  for (const auto& [name, inode] : stable_) reachable.insert(inode);
  for (const NameChange& change : name_changes_) reachable.insert(change.inode);
  std::erase_if(inodes_, [&](const auto& entry) {
    return entry.second.handles == 0 && !reachable.contains(entry.first);
  });
}

bool SimDisk::is_directory(const std::string& path) const {
  return path == "." || path == "/" || directories_.contains(path);
}

SimDisk::Inode SimDisk::create(const std::string& path) {
  const Inode inode = next_inode_++;
  inodes_[inode];
  add_name_change({.from = {}, .to = path, .inode = inode});
  return inode;
}

Result<SimDisk::Inode> SimDisk::open_inode(const std::string& path, OpenOptions options) {
  const auto found = seen_.find(path);
  const bool creates = found == seen_.end() && options.create;
  if (is_directory(path)) return os_error(Operation::open, path, EISDIR);
  if (found == seen_.end() && !options.create) return os_error(Operation::open, path, ENOENT);
  if (creates && !is_directory(parent_directory(path))) {
    return os_error(Operation::open, path, ENOENT);
  }
  if (read_only_ && (creates || options.write)) return os_error(Operation::open, path, EROFS);
  if (!creates && !options.truncate) return found->second;

  const Turn turn = begin({.operation = Operation::open, .path = path});
  if (creates && capacity_bytes_ != 0 && free_bytes() == 0) {
    return os_error(Operation::open, path, ENOSPC);
  }
  const Inode inode = creates ? create(path) : found->second;
  if (!creates) inodes_.at(inode).bytes.truncate(0);
  if (turn != Turn::go) return no_power();
  return inode;
}

Result<std::unique_ptr<File>> SimDisk::open(const std::string& name, OpenOptions options) {
  const std::lock_guard guard(mutex_);
  if (!on_) return no_power();
  const std::string path = plain(name);
  if (const Strike hit = strike(Operation::open, path); hit.os != 0) {
    return os_error(Operation::open, path, hit.os);
  }
  const auto inode = open_inode(path, options);
  if (!inode) return fail(inode);
  inodes_.at(*inode).handles++;
  return std::make_unique<SimFile>(*this, *inode, path, options);
}

void SimDisk::close(Inode inode) {
  Contents& contents = inodes_.at(inode);
  CHECK(contents.handles > 0);
  if (--contents.handles == 0) forget_unreachable();
}

Result<std::vector<std::string>> SimDisk::list(const std::string& name) {
  const std::lock_guard guard(mutex_);
  if (!on_) return no_power();
  const std::string directory = plain(name);
  if (const Strike hit = strike(Operation::list, directory); hit.os != 0) {
    return os_error(Operation::list, directory, hit.os);
  }
  if (!is_directory(directory)) return os_error(Operation::list, directory, ENOENT);
  std::vector<std::string> names;
  const auto add = [&](const std::string& path) {
    if (parent_directory(path) != directory) return;
    names.push_back(path.substr(path.find_last_of('/') + 1));
  };
  for (const auto& [path, inode] : seen_) add(path);
  for (const std::string& path : directories_) add(path);
  std::ranges::sort(names);
  return names;
}

Status SimDisk::make_directories(const std::string& name) {
  const std::lock_guard guard(mutex_);
  if (!on_) return no_power();
  const std::string path = plain(name);
  std::vector<std::string> missing;
  for (std::string at = path; !is_directory(at); at = parent_directory(at)) {
    if (seen_.contains(at)) return os_error(Operation::make_directories, path, ENOTDIR);
    missing.insert(missing.begin(), at);
  }
  if (const Strike hit = strike(Operation::make_directories, path); hit.os != 0) {
    return os_error(Operation::make_directories, path, hit.os);
  }
  if (missing.empty()) return {};
  if (read_only_) return os_error(Operation::make_directories, path, EROFS);
  const Turn turn = begin({.operation = Operation::make_directories, .path = path});
  for (const std::string& directory : missing) {
    if (turn == Turn::dying && random_.chance(0.5)) break;
    directories_.insert(directory);
  }
  if (turn != Turn::go) return no_power();
  return {};
}

Status SimDisk::rename(const std::string& from_name, const std::string& to_name) {
  const std::lock_guard guard(mutex_);
  if (!on_) return no_power();
  const std::string from = plain(from_name);
  const std::string to = plain(to_name);
  const Strike hit = strike(Operation::rename, from);
  const auto found = seen_.find(from);
  int os = hit.os;
  if (os == 0 && read_only_) os = EROFS;
  if (os == 0 && (found == seen_.end() || !is_directory(parent_directory(to)))) os = ENOENT;
  if (os == 0 && is_directory(to)) os = EISDIR;
  if (os != 0) return os_error(Operation::rename, from, os);
  const Turn turn = begin({.operation = Operation::rename, .path = from + " to " + to});
  if (from != to) add_name_change({.from = from, .to = to, .inode = found->second});
  if (turn != Turn::go) return no_power();
  return {};
}

Status SimDisk::remove(const std::string& name) {
  const std::lock_guard guard(mutex_);
  if (!on_) return no_power();
  const std::string path = plain(name);
  const Strike hit = strike(Operation::remove, path);
  const auto found = seen_.find(path);
  int os = hit.os;
  if (os == 0 && read_only_) os = EROFS;
  if (os == 0 && is_directory(path)) os = EISDIR;
  if (os == 0 && found == seen_.end()) os = ENOENT;
  if (os != 0) return os_error(Operation::remove, path, os);
  const Turn turn = begin({.operation = Operation::remove, .path = path});
  add_name_change({.from = path, .to = {}, .inode = found->second});
  if (turn != Turn::go) return no_power();
  return {};
}

Status SimDisk::sync_directory(const std::string& name) {
  const std::lock_guard guard(mutex_);
  if (!on_) return no_power();
  const std::string directory = plain(name);
  if (!is_directory(directory)) return os_error(Operation::sync_directory, directory, ENOENT);
  const Turn turn = begin({.operation = Operation::sync_directory, .path = directory});
  if (turn != Turn::go) return no_power();
  if (const Strike hit = strike(Operation::sync_directory, directory); hit.os != 0) {
    return os_error(Operation::sync_directory, directory, hit.os);
  }
  for (NameChange& change : name_changes_) {
    const bool here = (!change.from.empty() && parent_directory(change.from) == directory) ||
                      (!change.to.empty() && parent_directory(change.to) == directory);
    change.synced = change.synced || here;
  }
  settle_names();
  return {};
}

Result<std::unique_ptr<FileLock>> SimDisk::lock(const std::string& name) {
  const std::lock_guard guard(mutex_);
  if (!on_) return no_power();
  const std::string path = plain(name);
  const Strike hit = strike(Operation::lock, path);
  int os = hit.os;
  if (os == 0 && read_only_) os = EROFS;
  if (os == 0 && !is_directory(parent_directory(path))) os = ENOENT;
  if (os != 0) return os_error(Operation::lock, path, os);
  if (locks_.contains(path)) {
    return fail(ErrorKind::reject, path + " is held by another process", EWOULDBLOCK);
  }
  const Turn turn = begin({.operation = Operation::lock, .path = path});
  if (!seen_.contains(path)) create(path);
  if (turn != Turn::go) return no_power();
  locks_[path] = life_;
  return std::make_unique<SimFileLock>(*this, path);
}

// --- Space.

std::uint64_t SimDisk::free_bytes() const {
  if (capacity_bytes_ == 0) return endless_bytes;
  std::uint64_t used = 0;
  std::set<Inode> counted;
  for (const auto& [path, inode] : seen_) {
    if (counted.insert(inode).second) used += inodes_.at(inode).bytes.seen().allocated_bytes();
  }
  return used < capacity_bytes_ ? capacity_bytes_ - used : 0;
}

Result<Space> SimDisk::space(const std::string& name) {
  const std::lock_guard guard(mutex_);
  if (!on_) return no_power();
  const std::string directory = plain(name);
  if (const Strike hit = strike(Operation::space, directory); hit.os != 0) {
    return os_error(Operation::space, directory, hit.os);
  }
  if (!is_directory(directory)) return os_error(Operation::space, directory, ENOENT);
  return Space{.total_bytes = capacity_bytes_ == 0 ? endless_bytes : capacity_bytes_,
               .free_bytes = free_bytes()};
}

// --- Files.

Result<std::size_t> SimDisk::read_file(Inode inode, const std::string& path, MutableBytes out,
                                       std::uint64_t offset) {
  if (const Strike hit = strike(Operation::read, path); hit.os != 0) {
    return os_error(Operation::read, path, hit.os);
  }
  const SparseBytes& bytes = inodes_.at(inode).bytes.seen();
  if (offset >= bytes.size()) return 0;
  const std::size_t length = std::min<std::uint64_t>(out.size(), bytes.size() - offset);
  bytes.read(out.first(length), offset);
  return length;
}

void SimDisk::write_dying(FileContents& file, Bytes bytes, std::uint64_t offset) {
  // A killed process may have written any first part; the fate of sectors in a power cut is drawn
  // at restart.
  if (crash_kind_ == Crash::process) {
    const std::uint64_t sectors = round_up(bytes.size(), sector_bytes) / sector_bytes;
    const std::uint64_t written = random_.below(sectors + 1) * sector_bytes;
    bytes = bytes.first(std::min<std::uint64_t>(written, bytes.size()));
  }
  if (!bytes.empty()) file.write(bytes, offset, false);
}

std::uint64_t SimDisk::write_length(const FileContents& file, bool direct, Bytes bytes,
                                    std::uint64_t offset, bool short_write) {
  std::uint64_t length = bytes.size();
  const std::uint64_t unit = direct ? direct_alignment : 1;
  if (short_write && length > unit) {
    length = (1 + random_.below((length - 1) / unit)) * unit;
  }
  if (capacity_bytes_ == 0) return length;
  return file.seen().fitting(length, offset, free_bytes());
}

Result<std::size_t> SimDisk::write_file(Inode inode, const std::string& path, bool direct,
                                        Bytes bytes, std::uint64_t offset, Flush flush) {
  FileContents& file = inodes_.at(inode).bytes;
  const Turn turn =
      begin({.operation = Operation::write, .path = path, .offset = offset, .bytes = bytes.size()});
  if (turn == Turn::dying) write_dying(file, bytes, offset);
  if (turn != Turn::go) return no_power();

  if (read_only_) return os_error(Operation::write, path, EROFS);
  const Strike hit = strike(Operation::write, path);
  if (hit.os == ENOSPC) return os_error(Operation::write, path, ENOSPC);
  if (hit.os != 0) {
    file.write_failed(bytes, offset, direct, random_);
    return os_error(Operation::write, path, hit.os);
  }
  const std::uint64_t length = write_length(file, direct, bytes, offset, hit.short_write);
  if (length == 0 && !bytes.empty()) return os_error(Operation::write, path, ENOSPC);
  if (flush == Flush::yes) {
    if (const Strike flush_hit = strike(Operation::flush, path); flush_hit.os != 0) {
      file.write(bytes.first(length), offset, false);
      if (!direct) file.flush_failed();
      return os_error(Operation::flush, path, flush_hit.os);
    }
  }
  file.write(bytes.first(length), offset, flush == Flush::yes);
  return length;
}

Status SimDisk::sync_file(Inode inode, const std::string& path, bool direct) {
  const Turn turn = begin({.operation = Operation::flush, .path = path});
  if (turn != Turn::go) return no_power();
  FileContents& file = inodes_.at(inode).bytes;
  if (const Strike hit = strike(Operation::flush, path); hit.os != 0) {
    if (!direct) file.flush_failed();
    return os_error(Operation::flush, path, hit.os);
  }
  file.flush();
  return {};
}

Result<std::uint64_t> SimDisk::file_size(Inode inode, const std::string& path) {
  if (const Strike hit = strike(Operation::size, path); hit.os != 0) {
    return os_error(Operation::size, path, hit.os);
  }
  return inodes_.at(inode).bytes.seen().size();
}

}  // namespace inlet::sim
