#include "serve/tenant.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "base/check.h"
#include "base/limits.h"

namespace inlet::serve {
namespace {

constexpr Microseconds us_per_s = 1'000'000;
constexpr Microseconds us_per_day = 86'400 * us_per_s;
constexpr Microseconds active_for_us = 60 * us_per_s;
constexpr std::uint32_t retry_after_s_max = 300;
constexpr std::uint32_t retry_after_s_unknown = 30;  // Nothing drains.
constexpr std::uint32_t retry_after_s_soon = 1;      // Requests end all the time.

std::uint32_t whole_seconds(Microseconds wait_us) {
  const Microseconds seconds = (wait_us + us_per_s - 1) / us_per_s;
  return static_cast<std::uint32_t>(std::clamp<Microseconds>(seconds, 1, UINT32_MAX));
}

double of(double share, std::uint64_t whole) { return share * static_cast<double>(whole); }

// Until the tenant is inside its share or the journal is not pressed any more. The sinks take
// everybody's records in the order they came, so of what drains a tenant's part is that of what it
// has in the journal.
std::uint32_t journal_wait_s(double share, const TenantFacts& tenant, const NodeFacts& node) {
  if (node.drain_bytes_per_s == 0) return retry_after_s_unknown;
  const auto drain = static_cast<double>(node.drain_bytes_per_s);
  const auto own = static_cast<double>(tenant.undelivered_bytes);
  const double excess = own - of(share, node.journal_bytes);
  const double all = std::max(own, static_cast<double>(node.journal_used));
  const double inside_s = excess * all / (own * drain);
  const double relief_s = static_cast<double>(node.journal_relief) / drain;
  const double seconds = std::ceil(std::min(inside_s, relief_s));
  return static_cast<std::uint32_t>(
      std::clamp(seconds, 1.0, static_cast<double>(retry_after_s_max)));
}

// Small bodies need none of the memory that is shared; they come in the read buffer.
std::uint64_t memory_wanted(std::optional<std::uint64_t> claimed_bytes) {
  if (!claimed_bytes) return 1;
  return *claimed_bytes <= limits::read_buffer_bytes_small ? 0 : *claimed_bytes;
}

bool over_memory_share(const TenantLimits& limits, std::uint64_t held_bytes,
                       std::uint64_t wanted_bytes, const NodeFacts& node) {
  if (wanted_bytes == 0 || !node.memory_contested()) return false;
  const double share = share_of(limits.memory_share, node.active_tenants);
  return share < 1 && static_cast<double>(held_bytes + wanted_bytes) > of(share, node.memory_bytes);
}

bool over_journal_share(double share, const TenantFacts& tenant, const NodeFacts& node) {
  return node.journal_pressed && share < 1 &&
         static_cast<double>(tenant.undelivered_bytes) > of(share, node.journal_bytes);
}

Quota quota_of(const TokenBucket& bucket, Microseconds now_us) {
  if (!bucket.limited()) return {};
  const std::int64_t level = std::max<std::int64_t>(0, bucket.level(now_us));
  return {
      .limit = bucket.burst(),
      .remaining = static_cast<std::uint64_t>(level),
      .reset_s = static_cast<std::uint64_t>((bucket.full_in_us(now_us) + us_per_s - 1) / us_per_s)};
}

// The one that will be used up first, if both go on like this.
Quota nearer(const Quota& a, const Quota& b) {
  if (a.limit == 0) return b;
  if (b.limit == 0) return a;
  const auto left = [](const Quota& quota) {
    return static_cast<double>(quota.remaining) / static_cast<double>(quota.limit);
  };
  return left(b) < left(a) ? b : a;
}

Count count_of(Refused reason) {
  switch (reason) {
    case Refused::journal_share: return Count::refused_journal_share;
    case Refused::memory_share: return Count::refused_memory_share;
    case Refused::in_flight: return Count::refused_in_flight;
    case Refused::requests: return Count::refused_requests;
    case Refused::bytes: return Count::refused_bytes;
    case Refused::none:
    case Refused::body_too_large: break;
  }
  return Count::refused_4xx;
}

}  // namespace

double share_of(double configured, std::uint32_t active_tenants) {
  if (configured > 0) return configured;
  return std::max(share_min, 1.0 / std::max(1U, active_tenants));
}

Judgement judge(const TenantLimits& limits, const TenantFacts& tenant,
                std::optional<std::uint64_t> claimed_bytes, const NodeFacts& node) {
  const double journal_share = share_of(limits.journal_share, node.active_tenants);
  if (limits.body_bytes_max != 0 && claimed_bytes.value_or(0) > limits.body_bytes_max) {
    return {Refused::body_too_large};
  }
  if (over_journal_share(journal_share, tenant, node)) {
    return {Refused::journal_share, journal_wait_s(journal_share, tenant, node)};
  }
  if (over_memory_share(limits, tenant.held_bytes, memory_wanted(claimed_bytes), node)) {
    return {Refused::memory_share, retry_after_s_soon};
  }
  if (limits.requests_in_flight_max != 0 && tenant.in_flight >= limits.requests_in_flight_max) {
    return {Refused::in_flight, retry_after_s_soon};
  }
  if (tenant.requests_wait_us > 0) {
    return {Refused::requests, whole_seconds(tenant.requests_wait_us)};
  }
  if (tenant.bytes_wait_us > 0) return {Refused::bytes, whole_seconds(tenant.bytes_wait_us)};
  return {};
}

std::string_view describe(Refused reason) {
  switch (reason) {
    case Refused::none: return "";
    case Refused::body_too_large: return "the body is longer than this tenant may send";
    case Refused::journal_share:
      return "this node is nearly full and holds more than this tenant's share of undelivered "
             "records";
    case Refused::memory_share:
      return "this node is short of memory and this tenant's requests hold their share of it";
    case Refused::in_flight: return "this tenant has as many requests under way as it may have";
    case Refused::requests: return "this tenant sends more requests than it may";
    case Refused::bytes: return "this tenant sends more bytes than it may";
  }
  return "";
}

std::string_view write_lines(const Judgement& judgement,
                             std::span<char, judgement_lines_bytes_max> out) {
  char* at = out.data();
  char* const end = at + out.size();
  const auto line = [&](std::string_view name, std::uint64_t value) {
    at = std::copy(name.begin(), name.end(), at);
    at = std::to_chars(at, end, value).ptr;
    *at++ = '\r';
    *at++ = '\n';
  };
  if (judgement.retry_after_s != 0) line("Retry-After: ", judgement.retry_after_s);
  if (judgement.quota.limit != 0) {
    line("RateLimit-Limit: ", judgement.quota.limit);
    line("RateLimit-Remaining: ", judgement.quota.remaining);
    line("RateLimit-Reset: ", judgement.quota.reset_s);
  }
  return {out.data(), at};
}

// Four lines of the longest name, the largest number and their ends.
static_assert(judgement_lines_bytes_max >= 4 * (std::string_view("RateLimit-Remaining: ").size() +
                                                20 + std::string_view("\r\n").size()));

Tenant::Tenant(std::string name, std::uint32_t index, const TenantLimits& limits,
               Microseconds now_us, std::atomic<std::uint32_t>& active_tenants)
    : name_(std::move(name)),
      index_(index),
      active_tenants_(active_tenants),
      limits_(limits),
      requests_(limits.requests_per_s, limits.requests_burst, now_us),
      bytes_(limits.bytes_per_s, limits.bytes_burst, now_us) {}

std::uint64_t Tenant::body_bytes_max(std::uint64_t stream_bytes_max) const {
  const std::uint64_t own = limits_.body_bytes_max;
  return own == 0 ? stream_bytes_max : std::min(own, stream_bytes_max);
}

TenantFigures Tenant::figures() const {
  TenantFigures figures{.name = name_,
                        .total = totals(),
                        .requests_in_flight = in_flight_.load(std::memory_order_relaxed),
                        .held_bytes = held_bytes_.load(std::memory_order_relaxed),
                        .undelivered_bytes = undelivered_bytes(),
                        .last_stored_us = last_stored_us_.load(std::memory_order_relaxed)};
  for (std::size_t i = 0; i < counts; i++) {
    figures.today[i] = figures.total[i] - at_midnight_[i].load(std::memory_order_relaxed);
  }
  return figures;
}

Counts Tenant::totals() const {
  Counts totals;
  for (std::size_t i = 0; i < counts; i++) totals[i] = counts_[i].load(std::memory_order_relaxed);
  return totals;
}

std::uint64_t Tenant::undelivered_bytes() const {
  return settled_bytes_.load(std::memory_order_relaxed) +
         fresh_bytes_.load(std::memory_order_relaxed);
}

std::uint64_t Tenant::settle_fresh() {
  const std::uint64_t fresh = fresh_bytes_.load(std::memory_order_acquire);
  if (fresh == 0) return 0;
  settled_bytes_.fetch_add(fresh, std::memory_order_relaxed);
  fresh_bytes_.fetch_sub(fresh, std::memory_order_relaxed);
  return fresh;
}

void Tenant::add_settled(std::uint64_t bytes) {
  settled_bytes_.fetch_add(bytes, std::memory_order_relaxed);
}

void Tenant::delivered(std::uint64_t bytes) {
  const std::uint64_t before = settled_bytes_.fetch_sub(bytes, std::memory_order_relaxed);
  CHECK(before >= bytes);
}

void Tenant::turn(Microseconds now_us, Microseconds wall_us) {
  const std::int64_t day = wall_us / us_per_day;
  if (day != day_) {
    // What came before the first turn came today.
    for (std::size_t i = 0; i < counts && day_ != 0; i++) {
      at_midnight_[i].store(counts_[i].load(std::memory_order_relaxed), std::memory_order_relaxed);
    }
    day_ = day;
  }
  const bool quiet = now_us - seen_us_.load(std::memory_order_relaxed) > active_for_us &&
                     in_flight_.load(std::memory_order_relaxed) == 0;
  const bool active = !quiet || undelivered_bytes() > 0;
  if (active_.exchange(active, std::memory_order_relaxed) != active) {
    active_tenants_.fetch_add(active ? 1 : UINT32_MAX, std::memory_order_relaxed);
  }
}

void Tenant::seen(Microseconds now_us) {
  seen_us_.store(now_us, std::memory_order_relaxed);
  if (active_.load(std::memory_order_relaxed)) return;
  if (!active_.exchange(true, std::memory_order_relaxed)) {
    active_tenants_.fetch_add(1, std::memory_order_relaxed);
  }
}

// Buckets last, so that nothing is taken by a request that is refused for something else.
Judgement Tenant::admit(std::optional<std::uint64_t> claimed_bytes, const NodeFacts& node,
                        Microseconds now_us) {
  seen(now_us);
  TenantFacts facts{.undelivered_bytes = undelivered_bytes(),
                    .held_bytes = held_bytes_.load(std::memory_order_relaxed),
                    .in_flight = in_flight_.fetch_add(1, std::memory_order_relaxed)};
  Judgement judgement = judge(limits_, facts, claimed_bytes, node);
  if (judgement.ok()) {
    facts.requests_wait_us = requests_.take(now_us, 1);
    if (facts.requests_wait_us == 0) {
      facts.bytes_wait_us = bytes_.take(now_us, claimed_bytes.value_or(1));
      if (facts.bytes_wait_us != 0) requests_.give_back(1);
    }
    judgement = judge(limits_, facts, claimed_bytes, node);
  }
  if (!judgement.ok()) in_flight_.fetch_sub(1, std::memory_order_relaxed);
  if (judgement.reason == Refused::requests) judgement.quota = quota_of(requests_, now_us);
  if (judgement.reason == Refused::bytes) judgement.quota = quota_of(bytes_, now_us);
  if (judgement.ok()) {
    judgement.quota = nearer(quota_of(requests_, now_us), quota_of(bytes_, now_us));
  } else {
    // Section 5 of the draft: beside Retry-After, Reset is the same moment.
    judgement.quota.reset_s = judgement.retry_after_s;
  }
  return judgement;
}

Judgement Visit::begin(Tenant& tenant, std::optional<std::uint64_t> claimed_bytes,
                       const NodeFacts& node, Microseconds now_us) {
  CHECK(tenant_ == nullptr);
  const Judgement judgement = tenant.admit(claimed_bytes, node, now_us);
  if (!judgement.ok()) {
    tenant.count(count_of(judgement.reason));
    return judgement;
  }
  tenant_ = &tenant;
  charged_bytes_ = claimed_bytes.value_or(1);
  body_bytes_ = 0;
  has_outcome_ = false;
  return judgement;
}

bool Visit::hold(std::uint64_t bytes, const NodeFacts& node) {
  CHECK(tenant_ != nullptr);
  if (bytes <= held_bytes_) return true;
  const std::uint64_t more = bytes - held_bytes_;
  const std::uint64_t before = tenant_->held_bytes_.fetch_add(more, std::memory_order_relaxed);
  if (over_memory_share(tenant_->limits_, before, more, node)) {
    tenant_->held_bytes_.fetch_sub(more, std::memory_order_relaxed);
    return false;
  }
  held_bytes_ = bytes;
  return true;
}

void Visit::body_came(std::uint64_t body_bytes, Microseconds now_us) {
  CHECK(tenant_ != nullptr);
  body_bytes_ = body_bytes;
  if (body_bytes <= charged_bytes_) return;
  tenant_->bytes_.charge(now_us, body_bytes - charged_bytes_);
  charged_bytes_ = body_bytes;
}

void Visit::stored(std::uint64_t journal_bytes, Microseconds wall_us) {
  CHECK(tenant_ != nullptr);
  has_outcome_ = true;
  tenant_->count(Count::records);
  tenant_->count(Count::bytes, body_bytes_);
  // Released: whoever counts these bytes also sees the sequence the journal has reached with them.
  tenant_->fresh_bytes_.fetch_add(journal_bytes, std::memory_order_release);
  tenant_->last_stored_us_.store(wall_us, std::memory_order_relaxed);
}

void Visit::duplicate() {
  CHECK(tenant_ != nullptr);
  has_outcome_ = true;
  tenant_->count(Count::duplicates);
}

void Visit::refused(int status) {
  if (tenant_ == nullptr) return;
  has_outcome_ = true;
  tenant_->count(status >= 500 ? Count::refused_5xx : Count::refused_4xx);
  if (status < 500) return;
  tenant_->requests_.give_back(1);
  tenant_->bytes_.give_back(std::exchange(charged_bytes_, 0));
}

void Visit::end() {
  if (tenant_ == nullptr) return;
  if (!has_outcome_) tenant_->count(Count::unfinished);
  tenant_->in_flight_.fetch_sub(1, std::memory_order_relaxed);
  if (held_bytes_ != 0) {
    tenant_->held_bytes_.fetch_sub(std::exchange(held_bytes_, 0), std::memory_order_relaxed);
  }
  tenant_ = nullptr;
}

}  // namespace inlet::serve
