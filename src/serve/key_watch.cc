#include "serve/key_watch.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "base/check.h"
#include "base/log.h"

namespace inlet::serve {
namespace {

// An editor may write a file in place: content is believed when it is the same this much later.
constexpr Microseconds settle_us = 20'000;
constexpr int settle_attempts = 10;

}  // namespace

KeyWatch::KeyWatch(FileSystem& files, Clock& clock, KeyWatchOptions options,
                   KeyTable::TenantIndex tenant_index, Changed changed)
    : files_(files),
      clock_(clock),
      options_(std::move(options)),
      tenant_index_(std::move(tenant_index)),
      changed_(std::move(changed)),
      marks_(options_.loops) {
  table_ = KeyTable::parse("", options_.path, tenant_index_, uses_).table;
  in_force_ = table_.get();
  judge(read_file());  // What is half written now is whole at the first look.
  thread_ = std::thread([this] { run(); });
}

KeyWatch::~KeyWatch() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  wake_.notify_one();
  thread_.join();
  for (const Mark& mark : marks_) CHECK(mark.table.load() == nullptr);
}

// A table is freed only after it was replaced and then seen unmarked. Here the mark is set before
// it is asked whether the table is still in force; both in one order for all threads.
KeyWatch::Reading KeyWatch::read(std::size_t loop) {
  std::atomic<const KeyTable*>& mark = marks_[loop].table;
  CHECK(mark.load(std::memory_order_relaxed) == nullptr);
  const KeyTable* table = in_force_.load(std::memory_order_relaxed);
  while (true) {
    mark.store(table, std::memory_order_seq_cst);
    const KeyTable* const now = in_force_.load(std::memory_order_seq_cst);
    if (now == table) return {mark, table};
    table = now;
  }
}

void KeyWatch::reload() {
  {
    const std::lock_guard lock(mutex_);
    look_now_ = true;
  }
  wake_.notify_one();
}

KeyWatchStatus KeyWatch::status() const {
  const std::lock_guard lock(mutex_);
  return status_;
}

std::vector<KeyFigures> KeyWatch::figures() const {
  const std::lock_guard lock(mutex_);
  std::vector<KeyFigures> out;
  for (const Key& key : table_->keys()) {
    const KeyIdText id = key_id_text(key.id);
    out.push_back({.id = std::string(id.data(), id.size()),
                   .tenant = key.tenant,
                   .expires_us = key.expires_us,
                   .uses = key.use->count.load(std::memory_order_relaxed),
                   .last_used_us = key.use->last_us.load(std::memory_order_relaxed)});
  }
  return out;
}

std::size_t KeyWatch::retired() const {
  const std::lock_guard lock(mutex_);
  return retired_.size();
}

void KeyWatch::run() {
  const auto interval = std::chrono::microseconds(options_.look_us);
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait_for(lock, interval, [this] { return stopped_ || look_now_; });
    if (stopped_) return;
    look_now_ = false;
    lock.unlock();
    judge(read_settled());
    free_unread();
    lock.lock();
  }
}

void KeyWatch::judge(Result<std::string> text) {
  if (!text) {
    seen_any_ = false;  // When it comes back it is judged again, even if it is as it was.
    return go_stale(text.error().what);
  }
  if (seen_any_ && *text == seen_) return;
  seen_ = std::move(*text);
  seen_any_ = true;
  take(KeyTable::parse(seen_, options_.path, tenant_index_, uses_));
}

Result<std::string> KeyWatch::read_settled() const {
  auto text = read_file();
  for (int attempts = 0; attempts < settle_attempts; attempts++) {
    if (!text || (seen_any_ && *text == seen_)) return text;
    clock_.sleep(settle_us);
    auto again = read_file();
    if (!again || *again == *text) return again;
    text = std::move(again);
  }
  return fail(ErrorKind::retry, options_.path + " is being written all the time");
}

Result<std::string> KeyWatch::read_file() const {
  const auto file = files_.open(options_.path, {});
  if (!file) return fail(file);
  const auto bytes = (*file)->size();
  if (!bytes) return fail(bytes);
  if (*bytes > key_file_bytes_max) {
    return fail(ErrorKind::reject,
                fmt::format("{} has more than {} bytes", options_.path, key_file_bytes_max));
  }
  std::string text(*bytes, '\0');
  if (const Status done = read_all(**file, std::as_writable_bytes(std::span(text)), 0); !done) {
    return fail(ErrorKind::retry, "read " + options_.path + ": " + done.error().what);
  }
  return text;
}

void KeyWatch::take(KeyTable::Parsed parsed) {
  const std::size_t keys = parsed.table->keys().size();
  const bool good = parsed.mistakes.empty();
  bool use_it = good;
  {
    const std::lock_guard lock(mutex_);
    // Until a file has been right, lines that are right are better than none.
    if (status_.loaded_us == 0) use_it = true;
    if (good) {
      status_.stale = false;
      status_.reason.clear();
      status_.loaded_us = clock_.wall_us();
    }
  }
  if (use_it) put_in_force(std::move(parsed.table));
  if (good) {
    log_info("serve", "keys loaded", {{"path", options_.path}, {"keys", keys}});
  } else {
    const std::size_t more = parsed.mistakes.size() - 1;
    go_stale(more == 0 ? parsed.mistakes[0]
                       : fmt::format("{} (and {} more)", parsed.mistakes[0], more));
  }
}

void KeyWatch::put_in_force(std::unique_ptr<const KeyTable> table) {
  const KeyTable& now = *table;
  {
    const std::lock_guard lock(mutex_);
    in_force_.store(table.get(), std::memory_order_seq_cst);
    retired_.push_back(std::exchange(table_, std::move(table)));
    status_.keys = now.keys().size();
    status_.generation++;
  }
  if (changed_) changed_(now);
}

void KeyWatch::go_stale(std::string reason) {
  std::size_t keys = 0;
  {
    const std::lock_guard lock(mutex_);
    if (status_.stale && status_.reason == reason) return;
    status_.stale = true;
    status_.reason = reason;
    keys = status_.keys;
  }
  log_error("serve", "keys not taken from the file; those in force stay",
            {{"reason", reason}, {"keys", keys}});
}

void KeyWatch::free_unread() {
  std::vector<std::unique_ptr<const KeyTable>> free;
  const std::lock_guard lock(mutex_);
  std::erase_if(retired_, [&](std::unique_ptr<const KeyTable>& table) {
    const bool read = std::ranges::any_of(marks_, [&](const Mark& mark) {
      return mark.table.load(std::memory_order_seq_cst) == table.get();
    });
    if (!read) free.push_back(std::move(table));
    return !read;
  });
  if (!retired_.empty() || free.empty()) return;
  // No table but the one in force is left to point to these.
  std::erase_if(uses_, [&](const auto& use) { return table_->of(use.first) == nullptr; });
}

}  // namespace inlet::serve
