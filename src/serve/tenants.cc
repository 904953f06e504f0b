#include "serve/tenants.h"

#include <algorithm>

#include "base/check.h"
#include "base/log.h"

namespace inlet::serve {
namespace {

// Everything a tenant asked for, let in or not.
std::uint64_t requests(const Counts& total) {
  std::uint64_t sum = total[static_cast<std::size_t>(Count::records)];
  for (auto i = static_cast<std::size_t>(Count::duplicates); i < counts; i++) sum += total[i];
  return sum;
}

void add(Counts& to, const Counts& more) {
  for (std::size_t i = 0; i < counts; i++) to[i] += more[i];
}

void subtract(Counts& from, const Counts& less) {
  for (std::size_t i = 0; i < counts; i++) from[i] -= less[i];
}

}  // namespace

Tenants::Tenants(Clock& clock, const TenantLimits& standard, NamedLimits named,
                 TenantsOptions options)
    : clock_(clock),
      options_(options),
      standard_(standard),
      named_(std::move(named)),
      by_index_(options.tenants_max + 1),
      listed_(options.tenants_max + 1) {
  const std::lock_guard lock(mutex_);
  make_locked(other_tenant);
  for (const auto& [name, limits] : named_) {
    if (find_locked(name) == nullptr) make_locked(name);
  }
}

Tenant& Tenants::of(std::string_view name) {
  const std::lock_guard lock(mutex_);
  Tenant* const known = find_locked(name);
  return known != nullptr ? *known : make_locked(name);
}

Tenant& Tenants::find(std::string_view name) {
  const std::lock_guard lock(mutex_);
  Tenant* const known = find_locked(name);
  return known != nullptr ? *known : *owned_[0];
}

Tenant& Tenants::at(std::uint32_t index) const {
  CHECK(index < size());
  return *by_index_[index].load(std::memory_order_acquire);
}

std::uint32_t Tenants::active() const {
  return std::max(1U, active_.load(std::memory_order_relaxed));
}

Tenant* Tenants::find_locked(std::string_view name) const {
  const auto found = indices_.find(name);
  return found == indices_.end() ? nullptr : owned_[found->second].get();
}

const TenantLimits& Tenants::limits_of(std::string_view name) const {
  const auto found = named_.find(name);
  return found == named_.end() ? standard_ : found->second;
}

Tenant& Tenants::make_locked(std::string_view name) {
  if (owned_.size() > options_.tenants_max) {
    if (!complained_) {
      log_warn("serve", "too many tenants; the rest share one set of limits and figures",
               {{"tenants_max", options_.tenants_max}, {"first", name}});
    }
    complained_ = true;
    return *owned_[0];
  }
  const auto index = static_cast<std::uint32_t>(owned_.size());
  owned_.push_back(std::make_unique<Tenant>(std::string(name), index, limits_of(name),
                                            clock_.steady_us(), active_));
  indices_.emplace(name, index);
  by_index_[index].store(owned_.back().get(), std::memory_order_release);
  size_.store(index + 1, std::memory_order_release);
  return *owned_.back();
}

void Tenants::turn() {
  const std::lock_guard lock(mutex_);
  const Microseconds now_us = clock_.steady_us();
  const Microseconds wall_us = clock_.wall_us();
  for (const auto& tenant : owned_) tenant->turn(now_us, wall_us);
}

std::vector<TenantFigures> Tenants::list() {
  const std::lock_guard lock(mutex_);
  choose_listed();
  std::vector<TenantFigures> list;
  TenantFigures other{.name = std::string(other_tenant), .total = other_base_};
  for (std::size_t i = 0; i < owned_.size(); i++) {
    TenantFigures figures = owned_[i]->figures();
    if (listed_[i]) {
      list.push_back(std::move(figures));
      continue;
    }
    add(other.total, figures.total);
    const auto left = unlisted_at_.find(i);
    if (left != unlisted_at_.end()) subtract(other.total, left->second);
    add(other.today, figures.today);
    other.requests_in_flight += figures.requests_in_flight;
    other.held_bytes += figures.held_bytes;
    other.undelivered_bytes += figures.undelivered_bytes;
    other.last_stored_us = std::max(other.last_stored_us, figures.last_stored_us);
  }
  std::ranges::stable_sort(list, std::greater{},
                           [](const TenantFigures& figures) { return requests(figures.total); });
  list.push_back(std::move(other));
  return list;
}

// The busiest without a line get the free ones, then those of who is much less busy.
void Tenants::choose_listed() {
  struct Candidate {
    std::size_t index;
    std::uint64_t requests;
    Counts total;
  };
  std::vector<Candidate> in;
  std::vector<Candidate> out;
  for (std::size_t i = 1; i < owned_.size(); i++) {
    const Counts total = owned_[i]->totals();
    const std::uint64_t count = requests(total);
    if (listed_[i]) in.push_back({i, count, total});
    if (!listed_[i] && count > 0) out.push_back({i, count, total});
  }
  std::ranges::stable_sort(out, std::greater{}, &Candidate::requests);
  std::ranges::stable_sort(in, std::less{}, &Candidate::requests);
  std::size_t free = options_.listed_max - in.size();
  auto weakest = in.begin();
  for (const Candidate& candidate : out) {
    if (free > 0) {
      free--;
      listed_[candidate.index] = true;  // "other" never had anything of it: there was room before.
      continue;
    }
    if (weakest == in.end()) return;
    if (candidate.requests < listed_swap_factor * weakest->requests) return;
    unlist(weakest->index, weakest->total);
    ++weakest;
    enlist(candidate.index, candidate.total);
  }
}

void Tenants::enlist(std::size_t index, const Counts& total) {
  listed_[index] = true;
  add(other_base_, total);
  const auto left = unlisted_at_.find(index);
  if (left == unlisted_at_.end()) return;
  subtract(other_base_, left->second);
  unlisted_at_.erase(left);
}

void Tenants::unlist(std::size_t index, const Counts& total) {
  listed_[index] = false;
  unlisted_at_.emplace(index, total);
}

}  // namespace inlet::serve
