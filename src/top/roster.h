// roster: which nodes there are, which to ask next, and what came of it.
//
// Invariants:
//   - a node is asked again `interval_us` after it was last asked, never twice at once; one that is
//     slow delays no other.
//   - a name is looked up again every lookup_interval_us. Of what it stood for, nothing is dropped
//     because a lookup failed; an address that is gone from it stays linger_us longer, so that a
//     node that died and left is seen to have died.
//   - never more than nodes_max nodes.
//
// Pure: time is passed in (steady). One thread.

#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "top/fleet.h"
#include "top/target.h"

namespace inlet::top {

inline constexpr std::size_t nodes_max = 256;
inline constexpr Microseconds lookup_interval_us = 10'000'000;
inline constexpr Microseconds lookup_patience_us = 3'000'000;  // Then it is shown to be slow.
inline constexpr Microseconds linger_us = 60'000'000;

struct Answer {
  NodeStatus status;
  std::string document;  // Empty unless it is to be kept.
};

class Roster {
 public:
  // Targets that mean the same node count once.
  Roster(const std::vector<Target>& targets, Microseconds interval_us);

  // Names to look up now; each is then being looked up until looked_up().
  [[nodiscard]] std::vector<std::string> due_lookups(Microseconds now_us);
  void looked_up(std::string_view name, const Result<std::vector<std::string>>& hosts,
                 Microseconds now_us);

  // URLs to ask now; each is then being asked until answered().
  [[nodiscard]] std::vector<std::string> due_polls(Microseconds now_us);
  // Of a node that is gone meanwhile: ignored. The error becomes Node::why.
  void answered(std::string_view url, Result<Answer> answer, Microseconds now_us);

  [[nodiscard]] Fleet fleet(Microseconds now_us, Microseconds wall_us) const;
  // Nothing is waited for: each node and name has answered, or failed to.
  [[nodiscard]] bool is_settled() const;

 private:
  struct Entry {
    Node node;
    std::size_t target;
    Microseconds due_us = 0;
    bool asked = false;
    std::optional<Microseconds> gone_us;  // Since its name no longer stands for it.
  };
  struct Name {
    std::size_t target;
    Microseconds due_us = 0;
    std::optional<Microseconds> asked_us;  // Being looked up since.
    std::string why;                       // The last lookup failed; and since when.
    Microseconds since_us = 0;
  };

  void add(std::size_t target, std::string_view host, Microseconds now_us);
  void update(const Name& name, const std::vector<std::string>& hosts, Microseconds now_us);
  [[nodiscard]] std::optional<Node> stand_in(const Name& name) const;
  [[nodiscard]] bool has_nodes(const Name& name) const;

  std::vector<Target> targets_;
  const Microseconds interval_us_;
  std::vector<Entry> entries_;  // Ordered by target, then as they came.
  std::vector<Name> names_;
};

}  // namespace inlet::top
