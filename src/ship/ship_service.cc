#include "ship/ship_service.h"

#include <algorithm>

#include "base/log.h"

namespace inlet::ship {
namespace {

constexpr Microseconds sleep_us_max = 50'000;  // How long a wish may go unnoticed.

std::string cursors_directory(const ShipServiceOptions& options) {
  return options.journal_directory + "/" + std::string(journal::cursors_directory_name);
}

}  // namespace

Result<std::unique_ptr<ShipService>> ShipService::start(FileSystem& files, Clock& clock,
                                                        sinks::Sink& sink,
                                                        ShipServiceOptions options) {
  const std::string cursors = cursors_directory(options);
  const std::string& name = options.shipper.sink;
  if (const Status made = files.make_directories(cursors); !made) return fail(made);
  auto lock = files.lock(cursors + "/" + name + ".lock");
  if (!lock) return fail(lock);
  auto cursor = journal::Cursor::open(files, options.journal_directory, name);
  if (!cursor) return fail(cursor);
  return std::unique_ptr<ShipService>(new ShipService(files, clock, sink, std::move(options),
                                                      std::move(*lock), std::move(*cursor)));
}

ShipService::ShipService(FileSystem& files, Clock& clock, sinks::Sink& sink,
                         ShipServiceOptions options, std::unique_ptr<FileLock> lock,
                         std::unique_ptr<journal::Cursor> cursor)
    : clock_(clock),
      options_(std::move(options)),
      lock_(std::move(lock)),
      cursor_(std::move(cursor)),
      source_(files, options_.journal_directory),
      dead_letters_(files, options_.dead_directory + "/" + options_.shipper.sink,
                    options_.shipper.sink, options_.dead_bytes_max),
      damage_log_(files, cursors_directory(options_) + "/" + options_.shipper.sink + ".damage"),
      ledger_(files, options_.journal_directory, options_.shipper.sink),
      shipper_(clock, source_, *cursor_, sink, dead_letters_, damage_log_, ledger_,
               options_.shipper),
      status_file_(files, clock, cursors_directory(options_), options_.shipper.sink) {}

ShipSummary ShipService::run() {
  bool flushing = false;
  Microseconds deadline_us = 0;
  while (wish_.load() != Wish::stop) {
    if (!flushing && wish_.load() == Wish::flush) {
      flushing = true;
      deadline_us = clock_.steady_us() + options_.flush_deadline_us;
    }
    const Step step = shipper_.run_once(flushing ? Pace::flush : Pace::normal);
    if (status_file_.is_due()) status_file_.write(shipper_.figures());
    const Microseconds left_us = deadline_us - clock_.steady_us();
    if (flushing && (step.caught_up || left_us <= 0)) break;
    Microseconds wait_us = std::min(step.wait_us, sleep_us_max);
    if (flushing) wait_us = std::min(wait_us, left_us);
    if (wait_us > 0) shipper_.wait(wait_us);
  }
  status_file_.write(shipper_.figures());
  return summary();
}

void ShipService::flush() {
  // A stop asked for before stays one.
  Wish expected = Wish::run;
  wish_.compare_exchange_strong(expected, Wish::flush);
}

ShipSummary ShipService::summary() const {
  const Figures figures = shipper_.figures();
  ShipSummary left{.records_left = figures.pending_records,
                   .bytes_left = figures.pending_bytes,
                   .oldest_us = figures.lag_us,
                   .last_error = figures.last_error};
  log_info("ship", left.records_left == 0 ? "ended with everything delivered" : "ended early",
           {{"sink", options_.shipper.sink},
            {"records_left", left.records_left},
            {"bytes_left", left.bytes_left},
            {"oldest_us", left.oldest_us},
            {"last_error", left.last_error}});
  return left;
}

}  // namespace inlet::ship
