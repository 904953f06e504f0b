// file: the seam to the file system, and the only way Inlet's rooms touch files.
//
// Two implementations: the real one (posix_file.h) and the simulated disk (sim/sim_disk.h), which
// loses, tears and refuses what POSIX allows to be lost, torn and refused. The primitives are no
// stronger than the system calls behind them: write_at() may write less than asked, a write is not
// safe before a flush returned, and a new or renamed name is not safe before sync_directory().
//
// Every error carries errno in Error::os; ENOSPC and EDQUOT are ErrorKind::overload.
//
// Threads: a File or FileSystem may be used from several threads at once.

#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace inlet {

// Whether a write is to be on stable storage when it returns (RWF_DSYNC), or may stay in a cache.
enum class Flush : bool { no, yes };

class File {
 public:
  File() = default;
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  virtual ~File() = default;  // Closes; flushes nothing.

  // Reads up to out.size() bytes at `offset`. Fewer than asked only at the end of the file.
  // On a direct file address, length and offset must be multiples of direct_alignment.
  [[nodiscard]] virtual Result<std::size_t> read_at(MutableBytes out, std::uint64_t offset) = 0;

  // One write of all parts in order at `offset`; returns how many bytes were written, which may be
  // fewer than asked. With Flush::yes those bytes, and the file size they imply, are on stable
  // storage when it returns. The alignment rule of read_at applies.
  [[nodiscard]] virtual Result<std::size_t> write_at(std::span<const iovec> parts,
                                                     std::uint64_t offset, Flush flush) = 0;

  // Makes all that was written to this file durable (fdatasync). After an error nothing written
  // since the last success may be believed, and calling again proves nothing.
  [[nodiscard]] virtual Status sync() = 0;

  [[nodiscard]] virtual Result<std::uint64_t> size() = 0;
};

inline constexpr std::size_t direct_alignment = 4096;  // Bytes.

struct OpenOptions {
  bool write = false;     // Else read only.
  bool create = false;    // If missing; mode 0600,
  bool shared = false;    // or 0644 for other programs to read, whatever the umask,
  bool group = false;     // or 0640 for those of our group.
  bool truncate = false;  // To zero bytes.
  bool direct = false;    // O_DIRECT: past the page cache. reject where the file system has none.
};

struct Space {
  std::uint64_t total_bytes;
  std::uint64_t free_bytes;  // To an unprivileged process.
};

// Held for as long as the object lives; the kernel lets go when the process dies.
class FileLock {
 public:
  FileLock() = default;
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;
  virtual ~FileLock() = default;
};

class FileSystem {
 public:
  FileSystem() = default;
  FileSystem(const FileSystem&) = delete;
  FileSystem& operator=(const FileSystem&) = delete;
  virtual ~FileSystem() = default;

  [[nodiscard]] virtual Result<std::unique_ptr<File>> open(const std::string& path,
                                                           OpenOptions options) = 0;
  // Names in `directory` without "." and "..", sorted.
  [[nodiscard]] virtual Result<std::vector<std::string>> list(const std::string& directory) = 0;
  // Makes the directory and any missing parent, mode 0700, and makes the new entries durable.
  [[nodiscard]] virtual Status make_directories(const std::string& path) = 0;
  [[nodiscard]] virtual Status rename(const std::string& from, const std::string& to) = 0;
  [[nodiscard]] virtual Status remove(const std::string& path) = 0;
  // Makes entries created, renamed or removed in `directory` durable.
  [[nodiscard]] virtual Status sync_directory(const std::string& directory) = 0;
  [[nodiscard]] virtual Result<Space> space(const std::string& directory) = 0;
  // Takes the exclusive lock on `path`, creating the file; ErrorKind::reject if another holds it.
  [[nodiscard]] virtual Result<std::unique_ptr<FileLock>> lock(const std::string& path) = 0;
};

// Writes all of `bytes`, going on after short writes. A write that makes no progress is an error.
[[nodiscard]] Status write_all(File& file, std::span<const iovec> parts, std::uint64_t offset,
                               Flush flush);
[[nodiscard]] Status write_all(File& file, Bytes bytes, std::uint64_t offset, Flush flush);

// Reads exactly out.size() bytes; ErrorKind::corrupt if the file ends before.
[[nodiscard]] Status read_all(File& file, MutableBytes out, std::uint64_t offset);

// The directory part of a path ("." if none).
[[nodiscard]] std::string parent_directory(const std::string& path);

}  // namespace inlet
