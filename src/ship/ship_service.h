// ship_service: the owner of one sink's delivery, from start to the last record.
//
// Puts the parts together (lock, cursor, reader, dead letters, damage log, status), runs the
// shipper and does the waiting. One service per sink and process; the lock keeps a second one out.
//
// run() is one thread's; flush() and stop() may be called from any thread or a signal handler.

#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "base/file.h"
#include "base/time.h"
#include "journal/cursor.h"
#include "ship/shipper.h"
#include "ship/status_file.h"
#include "sinks/sink.h"

namespace inlet::ship {

struct ShipServiceOptions {
  std::string journal_directory;
  std::string dead_directory;                 // "<data>/dead"; the sink's folder is made below it.
  std::uint64_t dead_bytes_max = UINT64_MAX;  // Of them.
  ShipperOptions shipper;
  Microseconds flush_deadline_us = 30'000'000;
};

// What was left undelivered when run() returned.
struct ShipSummary {
  std::uint64_t records_left = 0;
  std::uint64_t bytes_left = 0;
  Microseconds oldest_us = 0;  // Age of the oldest of them.
  std::string last_error;
};

class ShipService {
 public:
  // References outlive the service. ErrorKind::reject if another process serves the sink.
  [[nodiscard]] static Result<std::unique_ptr<ShipService>> start(FileSystem& files, Clock& clock,
                                                                  sinks::Sink& sink,
                                                                  ShipServiceOptions options);

  // Delivers until told to end.
  ShipSummary run();

  // End when everything committed is delivered, at the latest after flush_deadline_us.
  void flush();
  // End after the step in hand.
  void stop() { wish_.store(Wish::stop); }

 private:
  enum class Wish : unsigned char { run, flush, stop };

  ShipService(FileSystem& files, Clock& clock, sinks::Sink& sink, ShipServiceOptions options,
              std::unique_ptr<FileLock> lock, std::unique_ptr<journal::Cursor> cursor);
  [[nodiscard]] ShipSummary summary() const;

  Clock& clock_;
  const ShipServiceOptions options_;
  const std::unique_ptr<FileLock> lock_;
  const std::unique_ptr<journal::Cursor> cursor_;
  JournalSource source_;
  DeadLetters dead_letters_;
  DamageLog damage_log_;
  journal::Ledger ledger_;
  Shipper shipper_;
  StatusFile status_file_;
  std::atomic<Wish> wish_{Wish::run};
  static_assert(std::atomic<Wish>::is_always_lock_free);
};

}  // namespace inlet::ship
