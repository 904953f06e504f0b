// sim_disk: a file system in memory that loses, tears and refuses what POSIX allows, from one seed.
//
// Code under test uses it as a FileSystem. Tests script its faults, pull the plug at any change,
// and look at what is left:
//
//   SimDisk disk(clock, seed);
//   disk.crash_at(7, Crash::power);     // Power goes during the 7th change from now.
//   ... run the code under test until its calls answer ErrorKind::stopped; drop its objects ...
//   disk.restart();                     // What was not flushed is now kept, lost or torn.
//
// What a power cut leaves: every unflushed write, growth and truncation of a file
// (file_contents.h), and every name created, renamed or removed since the last sync_directory() of
// its directory, is kept or not on its own. A rename is kept or not as a whole. Flushing a file
// does not make its name durable. make_directories() is durable when it returns. The change during
// which power goes may be kept, lost or torn like any other. A killed process leaves all it did,
// and any part of the write it was in.
//
// A change is a call that may alter the disk: open that creates or truncates, write, flush,
// make_directories of something missing, rename, remove, sync_directory, lock. Changes are counted
// and traced, so a test can crash at each one.
//
// Misuse that a kernel would punish (unaligned direct IO, writing a read-only file) is a CHECK.
//
// Threads: any; one lock. Files and locks must be dropped before the disk.

#pragma once

#include <cerrno>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/file.h"
#include "sim/file_contents.h"
#include "sim/random.h"
#include "sim/sim_clock.h"

namespace inlet::sim {

enum class Operation : unsigned char {
  open,
  lock,
  read,
  write,
  flush,
  size,
  list,
  make_directories,
  rename,
  remove,
  sync_directory,
  space,
};

// One change, as traced.
struct Step {
  Operation operation;
  std::string path;
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
};
[[nodiscard]] std::string to_string(const Step& step);

// Something going wrong at the calls it matches. A write with Flush::yes is a write, then a flush.
struct Fault {
  static constexpr std::uint64_t for_ever = std::numeric_limits<std::uint64_t>::max();

  Operation on;
  int os = EIO;                    // The call fails with this; 0: it does not fail.
  bool short_write = false;        // It writes only the first part (whole blocks of a direct file).
  Microseconds stall_us = 0;       // It takes this long first.
  std::string path_part = {};      // Only paths that contain this.
  std::uint64_t skip = 0;          // Leaves so many matching calls alone, then
  std::uint64_t times = for_ever;  // strikes so many,
  double probability = 1;          // each with this probability.
};

enum class Crash : unsigned char { power, process };

class SimDisk final : public FileSystem {
 public:
  SimDisk(SimClock& clock, std::uint64_t seed);
  ~SimDisk() override;

  // FileSystem.
  Result<std::unique_ptr<File>> open(const std::string& path, OpenOptions options) override;
  Result<std::vector<std::string>> list(const std::string& directory) override;
  Status make_directories(const std::string& path) override;
  Status rename(const std::string& from, const std::string& to) override;
  Status remove(const std::string& path) override;
  Status sync_directory(const std::string& directory) override;
  Result<Space> space(const std::string& directory) override;
  Result<std::unique_ptr<FileLock>> lock(const std::string& path) override;

  // Crashes. crash_at(1) strikes during the next change; crash() strikes now. After either every
  // call, also on files opened before, answers ErrorKind::stopped; files opened before restart()
  // answer so for ever.
  void crash_at(std::uint64_t changes_from_now, Crash how);
  void crash(Crash how);
  [[nodiscard]] bool running() const;
  void restart();
  // Whether a torn sector may hold garbage (default no).
  void allow_garbage(bool allowed);

  // Faults.
  void inject(Fault fault);
  void clear_faults();
  void set_capacity(std::uint64_t bytes);  // 0: no limit (the default).
  void set_read_only(bool read_only);

  // What happened.
  [[nodiscard]] std::uint64_t changes() const;  // So far.
  [[nodiscard]] std::vector<Step> trace() const;
  void clear_trace();

  // A look, and a hand, from outside: neither counted nor faulted. Paths must exist.
  [[nodiscard]] std::vector<std::string> paths() const;  // Of all files.
  [[nodiscard]] bool exists(const std::string& path) const;
  [[nodiscard]] std::vector<std::byte> contents(const std::string& path) const;
  void overwrite(const std::string& path, Bytes bytes, std::uint64_t offset);
  void flip_bit(const std::string& path, std::uint64_t bit);
  void zero_page(const std::string& path, std::uint64_t page);  // Of 4096 bytes.
  void truncate(const std::string& path, std::uint64_t size);
  // Another disk with all that is seen on this one, flushed.
  [[nodiscard]] std::unique_ptr<SimDisk> copy(SimClock& clock, std::uint64_t seed) const;

 private:
  friend class SimFile;
  friend class SimFileLock;

  using Inode = std::uint64_t;
  using Names = std::map<std::string, Inode>;

  // One name created, removed or renamed, not yet on stable storage.
  struct NameChange {
    std::string from;  // Empty: created.
    std::string to;    // Empty: removed.
    Inode inode;
    bool synced = false;
  };

  struct Contents {
    FileContents bytes;
    std::uint64_t handles = 0;
  };

  enum class Turn : unsigned char { go, dying, dead };

  struct Strike {
    int os = 0;
    bool short_write = false;
  };

  // Each call begins with these two, under the lock.
  Turn begin(Step step);
  Strike strike(Operation operation, const std::string& path);

  static void apply(const NameChange& change, Names& names);
  void add_name_change(NameChange change);
  void settle_names();
  void forget_unreachable();
  [[nodiscard]] bool is_directory(const std::string& path) const;
  [[nodiscard]] std::uint64_t free_bytes() const;
  [[nodiscard]] FileContents& at(const std::string& path);
  [[nodiscard]] const FileContents& at(const std::string& path) const;
  Inode create(const std::string& path);
  [[nodiscard]] bool usable(std::uint64_t life) const { return on_ && life == life_; }

  Result<std::size_t> read_file(Inode inode, const std::string& path, MutableBytes out,
                                std::uint64_t offset);
  Result<std::size_t> write_file(Inode inode, const std::string& path, bool direct, Bytes bytes,
                                 std::uint64_t offset, Flush flush);
  void write_dying(FileContents& file, Bytes bytes, std::uint64_t offset);
  [[nodiscard]] std::uint64_t write_length(const FileContents& file, bool direct, Bytes bytes,
                                           std::uint64_t offset, bool short_write);
  Status sync_file(Inode inode, const std::string& path, bool direct);
  Result<std::uint64_t> file_size(Inode inode, const std::string& path);
  void close(Inode inode);
  Result<Inode> open_inode(const std::string& path, OpenOptions options);

  mutable std::mutex mutex_;
  SimClock& clock_;
  Random random_;

  Names seen_;
  Names stable_;
  std::vector<NameChange> name_changes_;
  std::set<std::string> directories_;
  std::map<Inode, Contents> inodes_;
  Inode next_inode_ = 1;
  std::map<std::string, std::uint64_t> locks_;  // Path and the life it was taken in.

  bool on_ = true;
  std::uint64_t life_ = 1;  // Counts restarts, so that old files stay dead.
  Crash crash_kind_ = Crash::power;
  std::uint64_t crash_at_change_ = 0;  // 0: none planned.
  bool garbage_ = false;
  std::vector<Fault> faults_;
  std::uint64_t capacity_bytes_ = 0;
  bool read_only_ = false;
  std::uint64_t changes_ = 0;
  std::vector<Step> trace_;
};

}  // namespace inlet::sim
