// lookup: what addresses a name stands for, asked without blocking the thread.
//
// The C library asks in a thread of its own (getaddrinfo_a), so /etc/hosts and the rest of the
// system's configuration count. Questions under way when this object ends are given up; one that
// cannot be is left to the C library, so that quitting never waits for a name server.
//
// One thread.

#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace inlet::top {

inline constexpr std::size_t addresses_max = 256;  // Of one name.

struct LookedUp {
  std::string name;
  Result<std::vector<std::string>> hosts;  // Numeric, IPv6 in brackets; sorted, never empty.
};

class Lookup {
 public:
  Lookup();
  Lookup(const Lookup&) = delete;
  Lookup& operator=(const Lookup&) = delete;
  ~Lookup();

  void start(const std::string& name);
  // One that has ended since, without waiting.
  [[nodiscard]] std::optional<LookedUp> finish();

 private:
  struct Question;
  std::vector<std::unique_ptr<Question>> under_way_;
};

}  // namespace inlet::top
