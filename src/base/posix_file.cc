#include "base/posix_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>

namespace inlet {
namespace {

// Error for a failed system call: "open data/x: No such file or directory".
std::unexpected<Error> os_error(const char* call, const std::string& path) {
  const int os = errno;
  ErrorKind kind = ErrorKind::retry;
  if (os == ENOSPC || os == EDQUOT || os == EFBIG) kind = ErrorKind::overload;
  if (os == ENOENT || os == EACCES || os == EPERM || os == EINVAL || os == ENOTDIR) {
    kind = ErrorKind::reject;
  }
  return fail(kind, std::string(call) + " " + path + ": " + std::strerror(os), os);
}

// Calls again for as long as a signal interrupts the call.
template <typename Call>
auto uninterrupted(Call call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

class PosixFile final : public File {
 public:
  PosixFile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  ~PosixFile() override { ::close(fd_); }

  Result<std::size_t> read_at(MutableBytes out, std::uint64_t offset) override {
    std::size_t done = 0;
    while (done < out.size()) {
      const ssize_t got = uninterrupted([&] {
        return ::pread(fd_, out.data() + done, out.size() - done,
                       static_cast<off_t>(offset + done));
      });
      if (got < 0) return os_error("read", path_);
      if (got == 0) break;
      done += static_cast<std::size_t>(got);
    }
    return done;
  }

  Result<std::size_t> write_at(std::span<const iovec> parts, std::uint64_t offset,
                               Flush flush) override {
    const int count = static_cast<int>(std::min<std::size_t>(parts.size(), IOV_MAX));
    const int flags = flush == Flush::yes ? RWF_DSYNC : 0;
    const ssize_t put = uninterrupted(
        [&] { return ::pwritev2(fd_, parts.data(), count, static_cast<off_t>(offset), flags); });
    if (put >= 0) return static_cast<std::size_t>(put);
    if (errno != EOPNOTSUPP || flags == 0) return os_error("write", path_);
    const ssize_t plain = uninterrupted(
        [&] { return ::pwritev(fd_, parts.data(), count, static_cast<off_t>(offset)); });
    if (plain < 0) return os_error("write", path_);
    if (const Status synced = sync(); !synced) return fail(synced);
    return static_cast<std::size_t>(plain);
  }

  Status sync() override {
    if (uninterrupted([&] { return ::fdatasync(fd_); }) != 0) return os_error("flush", path_);
    return {};
  }

  Result<std::uint64_t> size() override {
    struct stat status{};
    if (::fstat(fd_, &status) != 0) return os_error("stat", path_);
    return static_cast<std::uint64_t>(status.st_size);
  }

 private:
  const int fd_;
  const std::string path_;
};

class PosixFileLock final : public FileLock {
 public:
  explicit PosixFileLock(int fd) : fd_(fd) {}
  ~PosixFileLock() override { ::close(fd_); }

 private:
  const int fd_;
};

}  // namespace

Result<std::unique_ptr<File>> PosixFileSystem::open(const std::string& path, OpenOptions options) {
  int flags = O_CLOEXEC | (options.write ? O_RDWR : O_RDONLY);
  if (options.create) flags |= O_CREAT;
  if (options.truncate) flags |= O_TRUNC;
  if (options.direct) flags |= O_DIRECT;
  const mode_t mode = options.shared ? 0644 : options.group ? 0640 : 0600;
  const int fd = uninterrupted([&] { return ::open(path.c_str(), flags, mode); });
  if (fd < 0) return os_error("open", path);
  // The umask hides it from others. Where the file is not ours, it stays as its owner wants it.
  if (options.create && mode != 0600) static_cast<void>(::fchmod(fd, mode));
  return std::make_unique<PosixFile>(fd, path);
}

Result<std::vector<std::string>> PosixFileSystem::list(const std::string& directory) {
  DIR* const dir = ::opendir(directory.c_str());
  if (dir == nullptr) return os_error("list", directory);
  std::vector<std::string> names;
  errno = 0;
  for (const dirent* entry = ::readdir(dir); entry != nullptr; entry = ::readdir(dir)) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  const int os = errno;
  ::closedir(dir);
  errno = os;
  if (os != 0) return os_error("list", directory);
  std::sort(names.begin(), names.end());
  return names;
}

Status PosixFileSystem::make_directories(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) == 0) return sync_directory(parent_directory(path));
  if (errno == EEXIST) {
    struct stat status{};
    if (::stat(path.c_str(), &status) != 0) return os_error("stat", path);
    errno = ENOTDIR;
    if (!S_ISDIR(status.st_mode)) return os_error("make directory", path);
    return {};
  }
  if (errno != ENOENT || parent_directory(path) == path) return os_error("make directory", path);
  if (const Status parent = make_directories(parent_directory(path)); !parent) return parent;
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return os_error("make directory", path);
  return sync_directory(parent_directory(path));
}

Status PosixFileSystem::rename(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) return os_error("rename", from);
  return {};
}

Status PosixFileSystem::remove(const std::string& path) {
  if (::unlink(path.c_str()) != 0) return os_error("remove", path);
  return {};
}

Status PosixFileSystem::sync_directory(const std::string& directory) {
  const int fd =
      uninterrupted([&] { return ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); });
  if (fd < 0) return os_error("open", directory);
  const int done = uninterrupted([&] { return ::fsync(fd); });
  const int os = errno;
  ::close(fd);
  errno = os;
  if (done != 0) return os_error("flush", directory);
  return {};
}

Result<Space> PosixFileSystem::space(const std::string& directory) {
  struct statvfs status{};
  if (::statvfs(directory.c_str(), &status) != 0) return os_error("statvfs", directory);
  return Space{status.f_blocks * status.f_frsize, status.f_bavail * status.f_frsize};
}

Result<std::unique_ptr<FileLock>> PosixFileSystem::lock(const std::string& path) {
  const int fd =
      uninterrupted([&] { return ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600); });
  if (fd < 0) return os_error("open", path);
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    const int os = errno;
    ::close(fd);
    errno = os;
    if (os == EWOULDBLOCK) return fail(ErrorKind::reject, path + " is held by another process", os);
    return os_error("lock", path);
  }
  return std::make_unique<PosixFileLock>(fd);
}

}  // namespace inlet
