// poller: keeps a roster up to date: asks every node and name when it is due, over the network.
//
// Invariant: a node that does not answer is known to be silent answer_timeout_us after it was
// asked, and keeps no other waiting.
//
// Proxies of the environment are not used: nodes are asked themselves.
//
// One thread; nothing happens but in turn().

#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/time.h"
#include "fetch/client.h"
#include "top/lookup.h"
#include "top/roster.h"

namespace inlet::top {

inline constexpr Microseconds connect_timeout_us = 1'000'000;
inline constexpr Microseconds answer_timeout_us = 2'000'000;

struct PollerOptions {
  std::vector<Target> targets;
  Microseconds interval_us = 1'000'000;
  std::string ca_file;  // PEM, instead of the system's certificates.
  bool keep_documents = false;
};

class Poller {
 public:
  Poller(Clock& clock, const PollerOptions& options);

  // Starts what is due and takes what has come, for at most `wait_us`; returns sooner when an
  // answer came, or when nothing is under way. Whether anything came.
  bool turn(Microseconds wait_us);

  [[nodiscard]] Fleet fleet() const { return roster_.fleet(clock_.steady_us(), clock_.wall_us()); }
  [[nodiscard]] bool is_settled() const { return roster_.is_settled(); }
  [[nodiscard]] bool is_idle() const { return client_.under_way() == 0; }

 private:
  struct Question {
    std::string url;
    Microseconds asked_us;
  };

  void ask();
  void take(const fetch::Response& response);

  Clock& clock_;
  const bool keep_documents_;
  Roster roster_;
  Lookup lookup_;
  fetch::Client client_;
  std::map<std::uint64_t, Question> questions_;
};

// What a response says about a node: its status, or why there is none, in a few words.
[[nodiscard]] Result<Answer> read_answer(const fetch::Response& response, Microseconds took_us,
                                         bool keep_document);

}  // namespace inlet::top
