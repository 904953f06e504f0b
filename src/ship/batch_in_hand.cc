#include "ship/batch_in_hand.h"

#include <algorithm>

namespace inlet::ship {

journal::LedgerLine ledger_line(const BatchInHand& batch, Microseconds at_us) {
  journal::LedgerLine line{.first = batch.first,
                           .end = batch.end,
                           .at_us = at_us,
                           .lost = batch.lost,
                           .skipped = batch.skipped,
                           .streams = {}};
  std::string name;
  journal::LedgerCounts* counts = nullptr;
  std::string_view tenant;
  std::string_view stream;
  for (const sinks::Record& record : batch.arena.records()) {
    // Neighbours are mostly of one stream.
    if (counts == nullptr || record.stream != stream || record.tenant != tenant) {
      tenant = record.tenant;
      stream = record.stream;
      name.assign(tenant).append("/").append(stream);
      counts = &line.streams[name];
    }
    const bool dead = std::ranges::binary_search(batch.rejected, record.sequence, {},
                                                 &sinks::Rejection::sequence);
    if (dead) {
      counts->dead++;
    } else {
      counts->delivered++;
      counts->bytes += record.body.size();
    }
  }
  return line;
}

}  // namespace inlet::ship
