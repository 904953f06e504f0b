// status_file: how one sink is doing, for serve's dashboard and for people.
//
// `<journal>/cursors/SINK.status`: one JSON object, replaced by rename so that readers see it
// whole, and not flushed: it is worth nothing after a crash. Written about once a second:
//
//   {"sink","updated_at","journal_id","next_sequence","committed_sequence","delivered_records",
//    "delivered_bytes","pending_records","pending_bytes","lag_seconds","retries","dead_records",
//    "lost_records","skipped_records","last_error","last_error_at","failing_since"}
//
// failing_since is "" unless the last attempt failed.
//
// One thread.

#pragma once

#include <string>

#include "base/file.h"
#include "base/time.h"
#include "ship/shipper.h"

namespace inlet::ship {

// The object, with a line end.
[[nodiscard]] std::string status_json(const std::string& sink, const Figures& figures,
                                      Microseconds wall_us);

class StatusFile {
 public:
  StatusFile(FileSystem& files, Clock& clock, std::string directory, std::string sink);

  // Whether the last writing is a second ago.
  [[nodiscard]] bool is_due() const;
  // Failures are nobody's business: delivery goes on.
  void write(const Figures& figures);

 private:
  FileSystem& files_;
  Clock& clock_;
  const std::string directory_;
  const std::string sink_;
  Microseconds written_us_ = 0;
  bool written_ = false;
};

}  // namespace inlet::ship
