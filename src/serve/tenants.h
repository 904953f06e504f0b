// tenants: all of them, by index and by name, and who of them is worth a line of their own.
//
// A tenant is made when a key or the configuration names it and stays for the life of the process,
// so a reference never dangles and the request path needs no lock. Beyond tenants_max the rest
// shares the first one, called "other", with the standard limits; no tenant may be named so.
//
// Invariants:
//   - index 0 is "other"; an index once given stays with its tenant.
//   - list() names at most listed_max; a counter in it never goes back, whoever comes
//     into the list or leaves it.
//
// Threads: any. at() and active() take no lock.

#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "serve/tenant.h"

namespace inlet::serve {

// A tenant without a line takes that of the least busy when it has this many times its requests.
inline constexpr std::uint64_t listed_swap_factor = 2;

struct TenantsOptions {
  std::size_t tenants_max = 10'000;  // "other" not counted.
  std::size_t listed_max = 200;      // Names in a list.
};

// Limits of tenants that are named; complete, not differences.
using NamedLimits = std::map<std::string, TenantLimits, std::less<>>;

class Tenants {
 public:
  Tenants(Clock& clock, const TenantLimits& standard, NamedLimits named,
          TenantsOptions options = {});

  // Makes it if it is not there and there is room. Not for the request path.
  [[nodiscard]] Tenant& of(std::string_view name);
  // The one of that name, or "other". Not for the request path.
  [[nodiscard]] Tenant& find(std::string_view name);
  [[nodiscard]] Tenant& at(std::uint32_t index) const;
  [[nodiscard]] std::uint32_t size() const { return size_.load(std::memory_order_acquire); }
  // Tenants that sent something in the last minute or have undelivered records.
  [[nodiscard]] std::uint32_t active() const;

  // About once a second.
  void turn();

  // The busiest by name, by their requests so far, then all others together as "other". A name
  // keeps its line while it is busy enough.
  [[nodiscard]] std::vector<TenantFigures> list();

 private:
  [[nodiscard]] Tenant* find_locked(std::string_view name) const;
  [[nodiscard]] const TenantLimits& limits_of(std::string_view name) const;
  Tenant& make_locked(std::string_view name);
  void choose_listed();
  void enlist(std::size_t index, const Counts& total);
  void unlist(std::size_t index, const Counts& total);

  Clock& clock_;
  const TenantsOptions options_;
  const TenantLimits standard_;
  const NamedLimits named_;
  std::vector<std::atomic<Tenant*>> by_index_;
  std::atomic<std::uint32_t> size_{0};
  std::atomic<std::uint32_t> active_{0};

  std::mutex mutex_;  // Guards what follows.
  std::vector<std::unique_ptr<Tenant>> owned_;
  std::map<std::string, std::uint32_t, std::less<>> indices_;
  bool complained_ = false;  // That there are too many.
  std::vector<bool> listed_;
  // So that the counters of "other" never go back: what it had of those that got a line since, and
  // what those had that lost theirs.
  Counts other_base_{};
  std::map<std::size_t, Counts> unlisted_at_;
};

}  // namespace inlet::serve
