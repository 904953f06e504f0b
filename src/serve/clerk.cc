#include "serve/clerk.h"

#include <algorithm>
#include <utility>

namespace inlet::serve {

Clerk::Clerk() : thread_([this] { run(); }) {}

Clerk::~Clerk() { stop(); }

bool Clerk::post(std::string_view tenant, Job& job) {
  {
    const std::lock_guard lock(mutex_);
    if (stopped_ || !has_place(tenant)) return false;
    waiting_.push_back({std::string(tenant), std::move(job)});
  }
  changed_.notify_one();
  return true;
}

bool Clerk::has_place(std::string_view tenant) const {
  if (tenant.empty()) return waiting_.size() < jobs_max;
  if (waiting_.size() >= jobs_max - jobs_kept_for_operators) return false;
  const auto of_tenant = std::ranges::count(waiting_, tenant, &Waiting::tenant);
  return static_cast<std::size_t>(of_tenant) < jobs_of_tenant_max;
}

void Clerk::stop() {
  {
    const std::lock_guard lock(mutex_);
    if (stopped_) return;
    stopped_ = true;
  }
  changed_.notify_one();
  thread_.join();
  for (Waiting& one : std::exchange(waiting_, {})) one.job(Call::stopped);
}

void Clerk::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stopped_ || !waiting_.empty(); });
    if (stopped_) return;
    Job job = std::move(waiting_.front().job);
    waiting_.pop_front();
    lock.unlock();
    job(Call::run);
    job = {};
    lock.lock();
  }
}

}  // namespace inlet::serve
