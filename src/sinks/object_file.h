// object_file: a file that appears under its name whole and durable, or not at all.
//
// Written under a temporary name in the same directory (".NAME.tmp"), flushed, renamed, and the
// directory flushed. A temporary name left by a crash is truncated by the next object of that name;
// readers skip names that start with a dot.
//
// An object that is not committed is removed when it goes out of scope. One thread.

#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/file.h"
#include "base/result.h"

namespace inlet::sinks {

class ObjectFile {
 public:
  // `directory` exists and is durable.
  [[nodiscard]] static Result<std::unique_ptr<ObjectFile>> open(FileSystem& files,
                                                                const std::string& directory,
                                                                const std::string& name);
  ~ObjectFile();

  [[nodiscard]] Status append(std::string_view bytes);
  // Flushes, and puts the object in the place of one that had its name. Once.
  [[nodiscard]] Status commit();

  [[nodiscard]] static std::string temporary_name(const std::string& name) {
    return "." + name + ".tmp";
  }

 private:
  ObjectFile(FileSystem& files, std::string directory, std::string name, std::unique_ptr<File> file)
      : files_(files),
        directory_(std::move(directory)),
        name_(std::move(name)),
        file_(std::move(file)) {}
  [[nodiscard]] std::string temporary_path() const;

  FileSystem& files_;
  const std::string directory_;
  const std::string name_;
  std::unique_ptr<File> file_;
  std::uint64_t bytes_ = 0;
  bool renamed_ = false;
};

}  // namespace inlet::sinks
