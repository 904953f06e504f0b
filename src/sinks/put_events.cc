#include "sinks/put_events.h"

#include <algorithm>

namespace inlet::sinks {
namespace {

// Cuts lines apart: passes over those before `first`, keeps what fits, measures the rest.
class Cutter final : public LineConsumer {
 public:
  Cutter(std::size_t record, std::size_t first, std::size_t event_bytes_max,
         const PutEvents::Options& options, PutEvents::Piece& piece)
      : record_(record),
        first_(first),
        event_bytes_max_(event_bytes_max),
        options_(options),
        piece_(piece) {}

  Status consume(std::string_view lines) override {
    while (!lines.empty()) {
      const std::size_t end = lines.find('\n');
      take(lines.substr(0, end));
      if (end == std::string_view::npos) break;
      if (options_.ends_lines) take("\n");
      end_line();
      lines.remove_prefix(end + 1);
    }
    return {};
  }

  // How many events the record has been found to have.
  [[nodiscard]] std::size_t events() const { return event_; }
  // The first one that did not fit.
  [[nodiscard]] std::size_t kept_end() const { return kept_end_; }

 private:
  [[nodiscard]] bool is_wanted() const {
    return event_ >= first_ && event_ < kept_end_ && piece_.bytes < options_.piece_bytes;
  }
  void take(std::string_view text) {
    line_bytes_ += text.size();
    if (is_wanted() && line_bytes_ <= event_bytes_max_) line_ += text;
  }
  void end_line() {
    if (line_bytes_ > event_bytes_max_) {
      piece_.too_large_bytes = std::max(piece_.too_large_bytes, line_bytes_);
    } else if (is_wanted()) {
      piece_.events.push_back({record_, std::string(line_)});
      piece_.bytes += piece_.events.back().bytes();
    } else if (event_ >= first_) {
      kept_end_ = std::min(kept_end_, event_);
    }
    line_.clear();
    line_bytes_ = 0;
    event_++;
  }

  const std::size_t record_;
  const std::size_t first_;
  const std::size_t event_bytes_max_;
  const PutEvents::Options& options_;
  PutEvents::Piece& piece_;
  std::string line_;  // So far; its beginning only, if it is too large or not wanted.
  std::size_t line_bytes_ = 0;
  std::size_t event_ = 0;
  std::size_t kept_end_ = SIZE_MAX;
};

}  // namespace

void PutEvents::restart() {
  record_ = 0;
  event_ = 0;
}

void PutEvents::skip_record() {
  record_++;
  event_ = 0;
}

PutEvents::Piece PutEvents::next(const Batch& batch, std::size_t event_bytes_max) {
  const Record& record = batch.records[record_];
  Piece piece;
  Cutter cutter(record_, event_, event_bytes_max, options_, piece);
  LineBuffer lines(cutter);
  writer_.append(record, batch.journal_id, format_of(record.stream), lines);
  static_cast<void>(lines.flush());  // A Cutter takes everything.
  if (piece.too_large_bytes > 0) {
    piece.events.clear();
    piece.bytes = 0;
    skip_record();
  } else if (cutter.kept_end() < cutter.events()) {
    event_ = cutter.kept_end();
  } else {
    skip_record();
  }
  return piece;
}

BodyFormat PutEvents::format_of(std::string_view stream) const {
  const auto found = options_.formats.find(stream);
  return found == options_.formats.end() ? BodyFormat::raw : found->second;
}

}  // namespace inlet::sinks
