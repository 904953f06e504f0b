// damage_log: what one shipper could not read of the journal, told to serve and to people.
//
// `<journal>/cursors/SINK.damage`, one line per damage, durable before the cursor moves past it, so
// that serve sets the segment aside instead of recycling it:
//
//   {"segment":7,"offset":4096,"first_sequence":10,"end_sequence":12,"why":"…"}
//
// A last line without its end is of a crash and means nothing. The shipper is the file's only
// writer; a damage it meets again after a crash it does not write again. One thread.

#pragma once

#include <memory>
#include <set>
#include <string>

#include "base/file.h"
#include "base/result.h"
#include "journal/reader.h"

namespace inlet::ship {

class DamageLog {
 public:
  // `path` is the file's; its directory exists. The file is made when the first damage is added.
  DamageLog(FileSystem& files, std::string path);

  [[nodiscard]] Status add(const journal::Damage& damage);

 private:
  [[nodiscard]] Status open();

  FileSystem& files_;
  const std::string path_;
  std::unique_ptr<File> file_;
  std::uint64_t end_ = 0;        // Where the next line goes.
  std::set<std::string> known_;  // Lines already there.
};

}  // namespace inlet::ship
