// archive: the lines of all objects below a directory, read as they appear.
//
// Objects are files named *.zst, *.gz or anything else (plain), at any depth; names that begin with
// "." are work in progress and ignored. An object that ends short, or is damaged, gives the lines
// before that, and is read on when its size has changed. No line is given twice.
//
// Memory: one line, and a few words per object.
//
// One thread.

#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/file.h"
#include "base/result.h"

namespace inlet::loader {

inline constexpr std::size_t archive_depth_max = 16;
inline constexpr std::size_t archive_objects_max = 4'000'000;
inline constexpr std::size_t archive_line_bytes_max = 128U << 20;

class Archive {
 public:
  // Takes a line without its end. A last line that has no end may be cut short: then the answer
  // says whether it was taken; if not it comes again when it is longer.
  using OnLine = std::function<bool(std::string_view line, bool has_end)>;
  // Asked between objects; false ends the reading early.
  using KeepGoing = std::function<bool()>;

  Archive(FileSystem& files, std::string directory);

  // Reads what is new since the last call. A directory that does not exist is empty.
  [[nodiscard]] Status read_new(const OnLine& on_line, const KeepGoing& keep_going);

  [[nodiscard]] std::size_t objects() const { return objects_.size(); }
  [[nodiscard]] std::uint64_t bytes_read() const { return bytes_read_; }  // As stored.
  // Why objects could not be read to the end, as of now: at most `count_max` sentences.
  [[nodiscard]] std::vector<std::string> problems(std::size_t count_max) const;
  [[nodiscard]] std::size_t problem_count() const;

 private:
  struct Object {
    std::uint64_t bytes = ~std::uint64_t{0};  // When last read.
    std::uint64_t lines = 0;                  // Given so far.
    std::string problem;
  };

  Status read_directory(const std::string& directory, std::size_t depth);
  Status read_object(const std::string& path);

  FileSystem& files_;
  const std::string directory_;
  std::unordered_map<std::string, Object> objects_;
  std::uint64_t bytes_read_ = 0;
  const OnLine* on_line_ = nullptr;
  const KeepGoing* keep_going_ = nullptr;
};

}  // namespace inlet::loader
