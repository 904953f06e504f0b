// record_source: what a shipper needs of the journal: committed records in order, and the damage.
//
// The contract is that of journal/reader.h, word for word. The seam exists so that a shipper can be
// tested against damage, gaps and read errors by script. One thread.

#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "journal/reader.h"

namespace inlet::ship {

class RecordSource {
 public:
  RecordSource() = default;
  RecordSource(const RecordSource&) = delete;
  RecordSource& operator=(const RecordSource&) = delete;
  virtual ~RecordSource() = default;

  virtual void seek(journal::Position from) = 0;
  [[nodiscard]] virtual Result<std::optional<journal::Record>> next() = 0;
  [[nodiscard]] virtual journal::Position position() const = 0;
  [[nodiscard]] virtual std::uint64_t committed_sequence() const = 0;
  [[nodiscard]] virtual std::uint64_t bytes_behind() const = 0;
  [[nodiscard]] virtual std::uint64_t journal_id() const = 0;
  [[nodiscard]] virtual std::vector<journal::Damage> take_damage() = 0;
};

// The journal itself.
class JournalSource final : public RecordSource {
 public:
  JournalSource(FileSystem& files, std::string directory) : reader_(files, std::move(directory)) {}

  void seek(journal::Position from) override { reader_.seek(from); }
  Result<std::optional<journal::Record>> next() override { return reader_.next(); }
  journal::Position position() const override { return reader_.position(); }
  std::uint64_t committed_sequence() const override { return reader_.committed_sequence(); }
  std::uint64_t bytes_behind() const override { return reader_.bytes_behind(); }
  std::uint64_t journal_id() const override { return reader_.journal_id(); }
  std::vector<journal::Damage> take_damage() override { return reader_.take_damage(); }

 private:
  journal::Reader reader_;
};

}  // namespace inlet::ship
