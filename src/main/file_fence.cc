#include "main/file_fence.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "base/file.h"
#include "main/listeners.h"

namespace inlet::main {
namespace {

// The first one with which a file can be moved to another directory, as the journal does with
// damaged segments.
constexpr int version_min = 2;

// Newer than the headers we build with, by the version of the interface that brought them.
constexpr std::uint64_t truncate_file = 1U << 14;  // 3
constexpr std::uint64_t device_ioctl = 1U << 15;   // 5

constexpr std::uint64_t rights_of_version_2 = 2 * LANDLOCK_ACCESS_FS_REFER - 1;
constexpr std::uint64_t read_rights = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
constexpr std::uint64_t write_rights =
    read_rights | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |
    LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
    LANDLOCK_ACCESS_FS_REFER | truncate_file;
// Of something that is no directory.
constexpr std::uint64_t rights_of_files =
    LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | truncate_file;

// The system's own, for the C library and OpenSSL; and what the kernel says about this machine.
constexpr const char* system_directories[] = {"/etc", "/proc", "/sys", "/usr"};

std::unexpected<Error> os_error(const std::string& what) {
  const int os = errno;
  return fail(ErrorKind::reject, fmt::format("{}: {}", what, std::strerror(os)), os);
}

class Fence {
 public:
  explicit Fence(int version) : handled_(rights_of_version_2) {
    if (version >= 3) handled_ |= truncate_file;
    if (version >= 5) handled_ |= device_ioctl;
  }

  [[nodiscard]] Status open() {
    landlock_ruleset_attr attributes{};
    attributes.handled_access_fs = handled_;
    rules_ = Descriptor(static_cast<int>(
        ::syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0)));
    if (!rules_) return os_error("landlock_create_ruleset");
    return {};
  }

  [[nodiscard]] Status allow(const std::string& path, std::uint64_t rights) {
    const Descriptor place(::open(path.c_str(), O_PATH | O_CLOEXEC));
    struct stat status{};
    if (!place || ::fstat(place.get(), &status) != 0) return os_error("open " + path);
    if (!S_ISDIR(status.st_mode)) rights &= rights_of_files;
    landlock_path_beneath_attr rule{};
    rule.allowed_access = rights & handled_;
    rule.parent_fd = place.get();
    if (::syscall(SYS_landlock_add_rule, rules_.get(), LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0) {
      return os_error("landlock_add_rule for " + path);
    }
    return {};
  }

  [[nodiscard]] Status close() {
    if (::syscall(SYS_landlock_restrict_self, rules_.get(), 0) != 0) {
      return os_error("landlock_restrict_self");
    }
    return {};
  }

 private:
  std::uint64_t handled_;
  Descriptor rules_;
};

// The directories in which a file is looked for.
std::vector<std::string> places_of(const std::string& path) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) return {path};
  std::vector<std::string> places = {parent_directory(path)};
  const auto real = std::filesystem::canonical(path, error);
  if (!error) places.push_back(parent_directory(real.string()));
  return places;
}

}  // namespace

Result<int> fence_files(const FileRights& rights) {
  const long version =
      ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (version < version_min) return 0;
  Fence fence(static_cast<int>(version));
  if (const Status opened = fence.open(); !opened) return fail(opened);
  for (const std::string& path : rights.writable) {
    if (const Status allowed = fence.allow(path, write_rights); !allowed) return fail(allowed);
  }
  for (const std::string& path : rights.readable) {
    for (const std::string& place : places_of(path)) {
      if (const Status allowed = fence.allow(place, read_rights); !allowed) return fail(allowed);
    }
  }
  // An image may have none of them.
  for (const char* path : system_directories) (void)fence.allow(path, read_rights);
  if (const Status closed = fence.close(); !closed) return fail(closed);
  return static_cast<int>(version);
}

}  // namespace inlet::main
