// surroundings_test: made-up variables, files and clocks. For tests only.

#pragma once

#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include "aws/surroundings.h"
#include "base/directory_test.h"
#include "base/posix_file.h"
#include "base/time.h"

namespace inlet::aws {

class SetClock final : public Clock {
 public:
  Microseconds wall_us() override { return wall; }
  Microseconds steady_us() override { return steady; }
  void sleep(Microseconds duration) override { pass(duration); }
  void pass(Microseconds duration) {
    wall += duration;
    steady += duration;
  }

  Microseconds wall = 1'795'428'000'000'000;  // 2026-11-23T10:00:00Z.
  Microseconds steady = 1'000'000'000;
};

class SetSurroundings {
 public:
  SetSurroundings() { root_ = make_test_directory("aws_test"); }
  SetSurroundings(const SetSurroundings&) = delete;
  SetSurroundings& operator=(const SetSurroundings&) = delete;
  ~SetSurroundings() { std::filesystem::remove_all(root_); }

  // Returns its path.
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(root_ / name) << text;
    return path(name);
  }
  std::string path(const std::string& name) const { return (root_ / name).string(); }
  Variables variable() const {
    return [this](const std::string& name) {
      const auto found = variables.find(name);
      return found == variables.end() ? std::string() : found->second;
    };
  }
  Surroundings get() { return {variable(), files}; }

  std::map<std::string, std::string> variables;
  PosixFileSystem files;

 private:
  std::filesystem::path root_;
};

}  // namespace inlet::aws
