// world_test: a clock moved by hand and a disk that fails when told to. For tests only.

#pragma once

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/directory_test.h"
#include "base/posix_file.h"
#include "base/time.h"

namespace inlet::logs {

class HandClock final : public Clock {
 public:
  Microseconds wall_us() override { return wall.load(); }
  Microseconds steady_us() override { return steady.load(); }
  void sleep(Microseconds duration) override { pass(duration); }
  void pass(Microseconds duration) {
    wall += duration;
    steady += duration;
  }

  std::atomic<Microseconds> wall{1'795'428'000'123'456};  // 2026-11-23T10:00:00.123456Z
  std::atomic<Microseconds> steady{7'000'000};
};

// What is wrong with the disk at present.
struct Weather {
  std::atomic<std::uint64_t> bytes_left{UINT64_MAX};  // Then ENOSPC; the last write is cut.
  std::atomic<bool> opens_fail{false};
  std::atomic<bool> renames_fail{false};
  std::mutex mutex;
  std::condition_variable changed;
  bool stuck = false;  // Writes do not return.

  void set_stuck(bool now) {
    const std::lock_guard lock(mutex);
    stuck = now;
    changed.notify_all();
  }
};

class WeatherFile final : public File {
 public:
  WeatherFile(std::unique_ptr<File> file, Weather& weather)
      : file_(std::move(file)), weather_(weather) {}
  Result<std::size_t> read_at(MutableBytes out, std::uint64_t offset) override {
    return file_->read_at(out, offset);
  }
  Result<std::size_t> write_at(std::span<const iovec> parts, std::uint64_t offset,
                               Flush flush) override {
    {
      std::unique_lock lock(weather_.mutex);
      weather_.changed.wait(lock, [&] { return !weather_.stuck; });
    }
    const std::uint64_t left = weather_.bytes_left.load();
    if (left == 0) return fail(ErrorKind::overload, "write: No space left on device", ENOSPC);
    const iovec cut{parts[0].iov_base, std::min<std::size_t>(parts[0].iov_len, left)};
    const auto put = file_->write_at({&cut, 1}, offset, flush);
    if (put && left != UINT64_MAX) weather_.bytes_left -= *put;
    return put;
  }
  Status sync() override { return file_->sync(); }
  Result<std::uint64_t> size() override { return file_->size(); }

 private:
  const std::unique_ptr<File> file_;
  Weather& weather_;
};

class WeatherDisk final : public FileSystem {
 public:
  Weather weather;

  Result<std::unique_ptr<File>> open(const std::string& path, OpenOptions options) override {
    if (weather.opens_fail) return fail(ErrorKind::retry, "open: Input/output error", EIO);
    auto file = real_.open(path, options);
    if (!file) return file;
    return std::make_unique<WeatherFile>(std::move(*file), weather);
  }
  Result<std::vector<std::string>> list(const std::string& directory) override {
    return real_.list(directory);
  }
  Status make_directories(const std::string& path) override { return real_.make_directories(path); }
  Status rename(const std::string& from, const std::string& to) override {
    if (weather.renames_fail) return fail(ErrorKind::retry, "rename: Input/output error", EIO);
    return real_.rename(from, to);
  }
  Status remove(const std::string& path) override { return real_.remove(path); }
  Status sync_directory(const std::string& directory) override {
    return real_.sync_directory(directory);
  }
  Result<Space> space(const std::string& directory) override { return real_.space(directory); }
  Result<std::unique_ptr<FileLock>> lock(const std::string& path) override {
    return real_.lock(path);
  }

 private:
  PosixFileSystem real_;
};

inline std::string text_of(const std::string& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

// What is in all files of a directory whose names begin with PROCESS, in the order of writing.
inline std::string all_text(FileSystem& files, const std::string& directory,
                            const std::string& process) {
  std::string out;
  const auto names = files.list(directory);
  CHECK(names);
  for (const std::string& name : *names) {
    if (name.starts_with(process + "-2")) out += text_of(directory + "/" + name);
  }
  return out + text_of(directory + "/" + process + ".log");
}

}  // namespace inlet::logs
