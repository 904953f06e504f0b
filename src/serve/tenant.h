// tenant: one customer: what it may, what it has done, and the judgement on its next request.
//
// Whether a request is let in is decided by judge(), a table over plain figures. Tenant keeps the
// figures, in atomics; Visit is one request's account with its tenant and gives back what the
// request held, however it ends.
//
// Invariants:
//   - a request that is refused has taken nothing from any bucket.
//   - what a Visit added to the requests and the memory in use it takes off again, once.
//   - with no other tenant active and no share configured, no share refuses anything.
//
// Threads: any, but for turn(), which is the registry's (tenants.h). A Visit is its connection's.

#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/time.h"
#include "serve/token_bucket.h"

namespace inlet::serve {

struct TenantLimits {
  std::uint64_t requests_per_s = 0;  // 0: no limit; like all of these.
  std::uint64_t requests_burst = 0;  // 0: what comes in in one second; the same for bytes.
  std::uint64_t bytes_per_s = 0;     // Of bodies, as they come.
  std::uint64_t bytes_burst = 0;
  std::uint64_t body_bytes_max = 0;  // Beside what the stream says.
  std::uint32_t requests_in_flight_max = 0;
  double journal_share = 0;  // Of the capacity, 0..1; 0: an equal part of the active tenants.
  double memory_share = 0;   // Of the memory for bodies; the same.

  bool operator==(const TenantLimits&) const = default;
};

// The name of all tenants together that are too many (tenants.h): nobody's own.
inline constexpr std::string_view other_tenant = "other";
inline constexpr std::string_view other_tenant_mistake =
    "is reserved: it stands for all tenants beyond the most there can be";

inline constexpr double share_min = 0.05;  // However many tenants are active.

// What is known of the node at the moment of a request.
struct NodeFacts {
  bool journal_pressed = false;      // So full that who is over its share is refused.
  std::uint64_t journal_bytes = 0;   // Of records, that the journal can hold
  std::uint64_t journal_used = 0;    // and that it holds undelivered.
  std::uint64_t journal_relief = 0;  // To be delivered until it is not pressed any more.
  std::uint64_t drain_bytes_per_s = 0;
  std::uint64_t memory_bytes = 0;  // base/memory.h: the ceiling
  std::uint64_t memory_used = 0;   // and what is in use.
  std::uint32_t active_tenants = 1;

  [[nodiscard]] bool memory_contested() const { return memory_used > memory_bytes / 2; }
};

// What is known of the tenant.
struct TenantFacts {
  std::uint64_t undelivered_bytes = 0;
  std::uint64_t held_bytes = 0;  // Of memory, by bodies that are coming.
  std::uint32_t in_flight = 0;
  Microseconds requests_wait_us = 0;  // Until the bucket has enough.
  Microseconds bytes_wait_us = 0;
};

enum class Refused : std::uint8_t {
  none,
  body_too_large,
  journal_share,
  memory_share,
  in_flight,
  requests,
  bytes,
};

// What the RateLimit fields say.
struct Quota {
  std::uint64_t limit = 0;  // Units that may come at once; 0: nothing to say.
  std::uint64_t remaining = 0;
  std::uint64_t reset_s = 0;
};

struct Judgement {
  Refused reason = Refused::none;
  std::uint32_t retry_after_s = 0;  // At least 1 where trying again helps.
  Quota quota;

  [[nodiscard]] bool ok() const { return reason == Refused::none; }
  [[nodiscard]] int status() const {
    if (ok()) return 200;
    return reason == Refused::body_too_large ? 413 : 429;
  }
};

// The first row of the table that applies, in the order of Refused. Pure. `claimed_bytes` is what
// Content-Length says; empty: nobody knows.
[[nodiscard]] Judgement judge(const TenantLimits& limits, const TenantFacts& tenant,
                              std::optional<std::uint64_t> claimed_bytes, const NodeFacts& node);

// The part of something that is a tenant's: as configured, or an equal one.
[[nodiscard]] double share_of(double configured, std::uint32_t active_tenants);

// For the problem document: one sentence.
[[nodiscard]] std::string_view describe(Refused reason);

inline constexpr std::size_t judgement_lines_bytes_max = 192;
// The header lines that belong to the judgement, into `out`. Retry-After as RFC 9110 section 10.2.3
// has it; RateLimit-Limit, -Remaining and -Reset as draft-ietf-httpapi-ratelimit-headers-06: Limit
// is the burst, Reset is the moment at which it is there again, or, in a refusal, that of
// Retry-After.
[[nodiscard]] std::string_view write_lines(const Judgement& judgement,
                                           std::span<char, judgement_lines_bytes_max> out);

// What is counted of a tenant.
enum class Count : std::uint8_t {
  records,
  bytes,  // Of bodies stored.
  duplicates,
  unfinished,  // The body never came whole: too slow, too long, broken off.
  refused_requests,
  refused_bytes,
  refused_journal_share,
  refused_memory_share,
  refused_in_flight,
  refused_scope,  // The key is not for that stream.
  refused_4xx,    // For any other reason.
  refused_5xx,
};
inline constexpr std::size_t counts = 12;
inline constexpr std::array<std::string_view, counts> count_names = {
    "records",       "bytes",        "duplicates", "unfinished", "requests", "bytes",
    "journal_share", "memory_share", "in_flight",  "scope",      "4xx",      "5xx"};
// From this one on they are refusals, by reason.
inline constexpr Count first_refusal = Count::refused_requests;

using Counts = std::array<std::uint64_t, counts>;

// What is told of a tenant, or of several together.
struct TenantFigures {
  std::string name;
  Counts total{};
  Counts today{};  // Since midnight, UTC.
  std::uint64_t requests_in_flight = 0;
  std::uint64_t held_bytes = 0;
  std::uint64_t undelivered_bytes = 0;
  Microseconds last_stored_us = 0;  // On the wall clock; 0: never.

  [[nodiscard]] std::uint64_t of(Count count) const {
    return total[static_cast<std::size_t>(count)];
  }
};

class alignas(64) Tenant {
 public:
  // `active_tenants` counts those that are active, this one too once it is.
  Tenant(std::string name, std::uint32_t index, const TenantLimits& limits, Microseconds now_us,
         std::atomic<std::uint32_t>& active_tenants);

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] std::uint32_t index() const { return index_; }
  [[nodiscard]] const TenantLimits& limits() const { return limits_; }
  // The smaller of the two; for bodies whose length is not known.
  [[nodiscard]] std::uint64_t body_bytes_max(std::uint64_t stream_bytes_max) const;

  void count(Count what, std::uint64_t count = 1) {
    counts_[static_cast<std::size_t>(what)].fetch_add(count, std::memory_order_relaxed);
  }
  [[nodiscard]] TenantFigures figures() const;
  [[nodiscard]] Counts totals() const;

  // Journal it holds that is not delivered everywhere yet. Freshly stored bytes are counted at once
  // and moved to the settled ones by journal_shares, which knows when they are delivered.
  [[nodiscard]] std::uint64_t undelivered_bytes() const;
  [[nodiscard]] std::uint64_t settle_fresh();
  void add_settled(std::uint64_t bytes);
  void delivered(std::uint64_t bytes);

  // Now and then, one caller at a time: a new day, and whether it is still active.
  void turn(Microseconds now_us, Microseconds wall_us);

 private:
  friend class Visit;

  static constexpr Microseconds never_us = INT64_MIN / 2;

  [[nodiscard]] Judgement admit(std::optional<std::uint64_t> claimed_bytes, const NodeFacts& node,
                                Microseconds now_us);
  void seen(Microseconds now_us);

  const std::string name_;
  const std::uint32_t index_;
  std::atomic<std::uint32_t>& active_tenants_;
  const TenantLimits limits_;
  TokenBucket requests_;
  TokenBucket bytes_;
  std::atomic<Microseconds> seen_us_{never_us};
  std::atomic<bool> active_{false};
  std::atomic<std::uint32_t> in_flight_{0};
  std::atomic<std::uint64_t> held_bytes_{0};
  std::atomic<std::uint64_t> fresh_bytes_{0};
  std::atomic<std::uint64_t> settled_bytes_{0};
  std::atomic<Microseconds> last_stored_us_{0};
  std::array<std::atomic<std::uint64_t>, counts> counts_{};
  std::array<std::atomic<std::uint64_t>, counts> at_midnight_{};

  std::int64_t day_ = 0;  // The registry's alone: since 1970, of at_midnight_; 0: not known yet.
};

// One request's account with its tenant, from its head to its end.
class Visit {
 public:
  Visit() = default;
  Visit(const Visit&) = delete;
  Visit& operator=(const Visit&) = delete;
  ~Visit() { end(); }

  // Judges and, if that is well, takes what the request costs. A refusal is counted here.
  [[nodiscard]] Judgement begin(Tenant& tenant, std::optional<std::uint64_t> claimed_bytes,
                                const NodeFacts& node, Microseconds now_us);
  // Whether the body may hold this much memory, all in all; if so, it does from now on.
  [[nodiscard]] bool hold(std::uint64_t bytes, const NodeFacts& node);
  // The whole body is there: what it was longer than claimed is charged.
  void body_came(std::uint64_t body_bytes, Microseconds now_us);

  // How it went; one of these, or the body never came.
  void stored(std::uint64_t journal_bytes, Microseconds wall_us);
  void duplicate();
  // What failed on our side (5xx) costs the tenant nothing.
  void refused(int status);

  // Gives back what is held. Again: nothing.
  void end();

  [[nodiscard]] Tenant* tenant() const { return tenant_; }

 private:
  Tenant* tenant_ = nullptr;
  std::uint64_t charged_bytes_ = 0;
  std::uint64_t body_bytes_ = 0;
  std::uint64_t held_bytes_ = 0;
  bool has_outcome_ = false;
};

}  // namespace inlet::serve
