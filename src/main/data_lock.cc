#include "main/data_lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace inlet::main {
namespace {

std::unexpected<Error> os_error(const std::string& path) {
  const int os = errno;
  return fail(ErrorKind::reject, fmt::format("cannot lock {}: {}", path, std::strerror(os)), os);
}

std::string path_of(const std::string& data) { return data + "/run.lock"; }

long owner_in(int fd) {
  std::array<char, 20> text{};
  const ssize_t got = ::pread(fd, text.data(), text.size() - 1, 0);
  return got > 0 ? std::strtol(text.data(), nullptr, 10) : 0;
}

}  // namespace

Result<Descriptor> lock_data(const std::string& data) {
  const std::string path = path_of(data);
  Descriptor lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock) return os_error(path);
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return os_error(path);
    return fail(ErrorKind::reject, fmt::format("data directory {} is in use by process {}", data,
                                               owner_in(lock.get())));
  }
  const std::string pid = std::to_string(::getpid());
  if (::ftruncate(lock.get(), 0) != 0) return os_error(path);
  if (::pwrite(lock.get(), pid.data(), pid.size(), 0) < 0) return os_error(path);
  return lock;
}

Result<long> owner_of_data(const std::string& data) {
  const std::string path = path_of(data);
  const Descriptor lock(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!lock && errno == ENOENT) return 0;
  if (!lock) return os_error(path);
  if (::flock(lock.get(), LOCK_SH | LOCK_NB) == 0) return 0;
  if (errno != EWOULDBLOCK) return os_error(path);
  return owner_in(lock.get());
}

}  // namespace inlet::main
