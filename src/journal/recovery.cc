#include "journal/recovery.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "journal/scanner.h"

namespace inlet::journal {
namespace {

using Fact = std::optional<bool>;  // Empty matches either.
constexpr Fact any;
constexpr Fact yes = true;
constexpr Fact no = false;

struct Row {
  Fact intact, in_order, acknowledged, leftovers;
  Decision decision;
};

// clang-format off
constexpr std::array rows{
  //  intact in_order acknowledged leftovers
  Row{yes,   yes,     any,         any,      Decision::keep},
  Row{yes,   no,      yes,         any,      Decision::damaged},
  Row{no,    any,     yes,         any,      Decision::damaged},
  Row{yes,   no,      no,          any,      Decision::cut},
  Row{no,    any,     no,          yes,      Decision::cut},
  Row{no,    any,     no,          no,       Decision::end},
};
// clang-format on

constexpr bool matches(Fact want, bool got) { return !want || *want == got; }

// The walk over one segment: what is due next, and what was found.
class Walk {
 public:
  Walk(File& file, const SegmentHeader& header, const std::optional<CommitMark>& mark)
      : scanner_(file, header.salt, header.number, header.file_bytes),
        end_{.offset = first_commit_offset,
             .next_sequence = header.first_sequence,
             .clean = true,
             .torn = false,
             .records_lost = 0} {
    if (mark && mark->salt == header.salt && mark->segment == header.number) {
      acknowledged_end_ = mark->offset;
      acknowledged_sequence_ = mark->next_sequence;
    }
  }

  Result<SegmentEnd> run() {
    while (end_.offset + frame_header_bytes <= scanner_.end()) {
      const auto more = step();
      if (!more) return fail(more);
      if (!*more) break;
    }
    if (end_.offset % limits::block_bytes != 0) end_.clean = false;
    return end_;
  }

 private:
  // One place; false at the end.
  Result<bool> step() {
    const auto frame = scanner_.frame_at(end_.offset);
    if (!frame) return fail(frame);
    FrameFacts facts{};
    facts.intact = *frame && (*frame)->payload_intact;
    facts.in_order = facts.intact && due((*frame)->header);
    std::optional<std::uint64_t> later;
    if (!facts.in_order) {
      const Status looked = look_ahead(facts, later);
      if (!looked) return fail(looked);
    }
    const Decision decision = decide(facts);
    if (decision == Decision::keep) {
      keep((*frame)->header);
      return true;
    }
    if (decision == Decision::damaged) return step_over(later);
    end_.torn = decision == Decision::cut;
    end_.clean = !end_.torn;
    return false;
  }

  [[nodiscard]] bool due(const FrameHeader& header) const {
    if (header.sequence != end_.next_sequence) return false;
    const bool starts_commit =
        header.commit == header.sequence && end_.offset % limits::block_bytes == 0;
    return header.commit == commit_ || starts_commit;
  }

  void keep(const FrameHeader& header) {
    commit_ = header.commit;
    end_.offset += header.frame_bytes();
    if (header.type == FrameType::record) end_.next_sequence++;
#if INLET_MUTANT_recovery_off_by_one
    if (end_.next_sequence > 3 && header.type == FrameType::record) end_.next_sequence--;
#endif
  }

  // Fills in what only bytes further on can tell. `later` is where an acknowledged walk goes on.
  Status look_ahead(FrameFacts& facts, std::optional<std::uint64_t>& later) {
    facts.acknowledged = end_.offset < acknowledged_end_;
    std::uint64_t from = end_.offset;
    while (!facts.acknowledged || !later) {
      const auto found = scanner_.find(from, end_.next_sequence);
      if (!found) return fail(found);
      if (!*found) break;
      if (**found > end_.offset) facts.leftovers = true;
      const auto frame = scanner_.frame_at(**found);
      if (!frame) return fail(frame);
      CHECK(*frame);
      // A torn commit starts at the sequence that is due; one above it was written after its end.
      if ((*frame)->header.commit > end_.next_sequence) facts.acknowledged = true;
      if (!later && (*frame)->payload_intact) later = *found;
      from = **found + limits::frame_alignment;
    }
    return {};
  }

  Result<bool> step_over(std::optional<std::uint64_t> later) {
    end_.clean = false;
    const std::uint64_t due_sequence = end_.next_sequence;
    if (!later) {
      end_.offset = std::max(end_.offset, acknowledged_end_);
      end_.next_sequence = std::max(end_.next_sequence, acknowledged_sequence_);
      end_.records_lost += end_.next_sequence - due_sequence;
      return false;
    }
    const auto frame = scanner_.frame_at(*later);
    if (!frame) return fail(frame);
    CHECK(*frame);
    end_.offset = *later;
    end_.next_sequence = (*frame)->header.sequence;
    end_.records_lost += end_.next_sequence - due_sequence;
    commit_ = (*frame)->header.commit;
    return true;
  }

  Scanner scanner_;
  SegmentEnd end_;
  std::uint64_t commit_ = 0;  // Of the frame before.
  std::uint64_t acknowledged_end_ = 0;
  std::uint64_t acknowledged_sequence_ = 0;
};

}  // namespace

Decision decide(FrameFacts facts) {
  std::optional<Decision> decision;
  for (const Row& row : rows) {
    if (!matches(row.intact, facts.intact) || !matches(row.in_order, facts.in_order) ||
        !matches(row.acknowledged, facts.acknowledged) ||
        !matches(row.leftovers, facts.leftovers)) {
      continue;
    }
    CHECK(!decision);  // Rows do not overlap.
    decision = row.decision;
  }
  CHECK(decision);  // Rows leave no gap.
  return *decision;
}

Result<SegmentEnd> find_segment_end(File& file, const SegmentHeader& header,
                                    const std::optional<CommitMark>& mark) {
  return Walk(file, header, mark).run();
}

}  // namespace inlet::journal
