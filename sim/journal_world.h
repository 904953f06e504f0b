// journal_world: the real journal on the simulated disk, beside the plainest model of its promise.
//
// The model is a list of the records that were acknowledged. A test drives the world with what
// clients, shippers, disks and power supplies do; the world compares after every step that makes a
// comparison possible, and writes down every broken promise as a complaint.
//
// Promises compared:
//   - every acknowledged record that no cursor has passed is read back exactly once, in order, byte
//     for byte, also after any crash;
//   - a record that was never acknowledged is read whole or not at all, and at most once; shown
//     once, it stays (through a page cache that lied about a flush it may vanish again);
//   - sequences of acknowledged records only go up, and a sequence never changes its record;
//   - a cursor passes only records that were delivered;
//   - the journal opens, whatever a crash has left.
//
// One thread: the journal's own threads are not started.

#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "journal/cursor.h"
#include "journal/journal.h"
#include "journal/reader.h"
#include "sim/random.h"
#include "sim/sim_disk.h"

namespace inlet::sim {

struct WorldOptions {
  std::uint64_t segment_bytes = 1U << 20;
  std::uint64_t bytes_max = 12U << 20;
  bool direct = true;
};

class JournalWorld final : public journal::CommitListener {
 public:
  explicit JournalWorld(std::uint64_t seed, WorldOptions options = {});
  // Goes on with a disk taken from another world and that world's model of it.
  JournalWorld(std::uint64_t seed, const JournalWorld& other);
  ~JournalWorld() override;

  static inline const std::string directory = "data/journal";
  static inline const std::string sink = "archive";

  SimDisk& disk() { return *disk_; }
  SimClock& clock() { return clock_; }
  Random& random() { return random_; }

  // Opens the journal on a running disk, which must succeed, and compares. On a damaged disk the
  // test compares itself.
  enum class Disk : bool { sound, damaged };
  void open(Disk state = Disk::sound);
  [[nodiscard]] bool is_open() const { return journal_ != nullptr; }
  void append(std::uint64_t body_bytes);
  void commit();  // Everything that waits.
  void keep_house();
  // Plans a batch of up to `records_max` records and, if the sink is up, delivers it and moves the
  // cursor behind it.
  enum class Sink : bool { down, up };
  void ship(std::uint64_t records_max, Sink state = Sink::up);
  // What survives is looked at before and after the next open().
  void crash(Crash how);
  // To be called when the disk went down by itself: drops what the dead process held.
  void bury();
  void close();  // An orderly end.
  void compare();

  [[nodiscard]] const std::vector<std::string>& complaints() const { return complaints_; }
  // All that happened, a line each: what to read when there is a complaint.
  [[nodiscard]] const std::string& story() const { return story_; }
  [[nodiscard]] std::size_t acknowledged() const { return acknowledged_.size(); }
  [[nodiscard]] std::size_t refused() const { return refused_; }
  [[nodiscard]] journal::JournalStatus status() const { return journal_->status(); }

  // For tests that ship by other means: the cursor may have been saved at this sequence.
  void passed(std::uint64_t next_sequence);
  // The id of the record that had exactly this body; empty if none had.
  [[nodiscard]] std::optional<std::uint64_t> id_of_body(Bytes body) const;
  [[nodiscard]] bool was_acknowledged(std::uint64_t id) const {
    return acknowledged_ids_.contains(id);
  }

  // For tests that damage the disk and judge the loss themselves.
  struct Found {
    std::map<std::uint64_t, std::uint64_t> records;  // Sequence and id of each read back.
    std::vector<journal::Damage> damage;
  };
  // Reads everything from the start; complains about altered, unknown or repeated records.
  [[nodiscard]] Found read_everything();
  [[nodiscard]] const std::map<std::uint64_t, std::uint64_t>& acknowledged_records() const {
    return acknowledged_;
  }

  void on_commits(unsigned loop, journal::Ticket* tickets) override;

 private:
  struct Waiting {
    journal::Ticket ticket;
    std::uint64_t id = 0;
  };

  [[nodiscard]] std::vector<std::byte> body_of(std::uint64_t id) const;
  [[nodiscard]] journal::Metadata metadata_of(std::uint64_t id) const;
  void tell(const std::string& event);
  void complain(std::string what);
  void acknowledge(std::uint64_t sequence, std::uint64_t id);
  void saw(const journal::Record& record, Found& found);
  void compare_completeness(const Found& found);
  void compare_damage(const Found& found);
  void show(const Found& found);
  [[nodiscard]] std::optional<std::uint64_t> identify(const journal::Record& record);
  [[nodiscard]] bool next_record(journal::Reader& reader, std::optional<journal::Record>& out);
  void check_cursor(std::uint64_t next_sequence);
  void deliver(const Found& found);

  const WorldOptions options_;
  Random random_;
  SimClock clock_;
  std::unique_ptr<SimDisk> disk_;
  MemoryBudget budget_{SIZE_MAX};
  journal::BufferPool pool_{budget_};
  std::unique_ptr<journal::Journal> journal_;

  std::vector<std::uint64_t> body_bytes_;  // By id.
  std::map<journal::Ticket*, std::unique_ptr<Waiting>> waiting_;
  std::map<std::uint64_t, std::uint64_t> acknowledged_;  // Sequence to id.
  std::map<std::uint64_t, std::uint64_t> shown_;         // Read back, but never acknowledged.
  std::map<std::uint64_t, std::uint64_t> delivered_;     // The same.
  std::set<std::uint64_t> acknowledged_ids_;
  std::uint64_t passed_ = 1;  // No sequence from here on was ever offered to the cursor as passed.
  std::size_t refused_ = 0;
  std::vector<std::string> complaints_;
  std::string story_;
};

}  // namespace inlet::sim
