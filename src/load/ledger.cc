#include "load/ledger.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>

#include "base/check.h"
#include "load/body.h"

namespace inlet::loader {
namespace {

constexpr std::size_t read_bytes = 256U << 10;

std::string_view next_word(std::string_view& text) {
  const std::size_t space = std::min(text.find(' '), text.size());
  const std::string_view word = text.substr(0, space);
  text.remove_prefix(std::min(space + 1, text.size()));
  return word;
}

template <typename Number>
bool parse_number(std::string_view text, Number& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

void append_number(std::string& out, std::uint64_t value) {
  std::array<char, 20> digits;
  const auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  CHECK(error == std::errc());
  out.append(digits.data(), end);
}

}  // namespace

bool NumberSet::insert(std::uint64_t number) {
  CHECK(number < numbers_max);
  const std::size_t word = number / 64;
  if (word >= words_.size()) words_.resize(std::max(word + 1, words_.size() * 3 / 2));
  const std::uint64_t bit = std::uint64_t{1} << (number % 64);
  if ((words_[word] & bit) != 0) return false;
  words_[word] |= bit;
  count_++;
  return true;
}

bool NumberSet::contains(std::uint64_t number) const {
  const std::size_t word = number / 64;
  return word < words_.size() && (words_[word] >> (number % 64) & 1) != 0;
}

std::optional<std::uint64_t> NumberSet::first_not_in(const NumberSet& other,
                                                     std::uint64_t from) const {
  std::uint64_t mask = ~std::uint64_t{0} << (from % 64);
  for (std::size_t word = from / 64; word < words_.size(); word++) {
    const std::uint64_t theirs = word < other.words_.size() ? other.words_[word] : 0;
    const std::uint64_t left = words_[word] & ~theirs & mask;
    if (left != 0) return word * 64 + static_cast<std::uint64_t>(std::countr_zero(left));
    mask = ~std::uint64_t{0};
  }
  return std::nullopt;
}

void RunLedger::acknowledge(std::uint64_t number) {
  if (acknowledged_.insert(number) && arrived_.contains(number)) found_++;
}

void RunLedger::arrive(std::uint64_t number) {
  if (arrived_.insert(number)) {
    if (acknowledged_.contains(number)) found_++;
  } else if (twice_.insert(number) && repeated_.contains(number)) {
    twice_after_repeat_++;
  }
}

void append_acked_line(std::string& out, const AckedLine& line) {
  constexpr std::size_t id_bytes_max = 128;
  out.append(line.run).append(1, ' ');
  append_number(out, line.number);
  out += ' ';
  append_number(out, static_cast<std::uint64_t>(line.status));
  out += ' ';
  out.append(line.id.empty() ? "-" : line.id.substr(0, id_bytes_max)).append(1, ' ');
  append_number(out, line.attempts);
  out += '\n';
}

std::optional<AckedLine> parse_acked_line(std::string_view text) {
  AckedLine line;
  line.run = next_word(text);
  const std::string_view number = next_word(text);
  const std::string_view status = next_word(text);
  line.id = next_word(text);
  const std::string_view attempts = next_word(text);
  const bool good = line.run.size() == run_chars && !line.id.empty() && text.empty() &&
                    parse_number(number, line.number) && parse_number(status, line.status) &&
                    parse_number(attempts, line.attempts) && line.number < numbers_max &&
                    (line.status == 0 || (line.status >= 200 && line.status < 300));
  if (!good) return std::nullopt;
  return line;
}

RunLedger* Ledger::add(std::string_view run) {
  if (RunLedger* const known = find(run)) return known;
  if (runs_.size() >= runs_max) return nullptr;
  return &runs_[std::string(run)];
}

RunLedger* Ledger::find(std::string_view run) {
  const auto found = runs_.find(run);
  return found == runs_.end() ? nullptr : &found->second;
}

bool Ledger::take(const AckedLine& line) {
  RunLedger* const run = add(line.run);
  if (run == nullptr || line.number >= numbers_max) return false;
  if (line.attempts > 1) run->send_again(line.number);
  if (line.status != 0) run->acknowledge(line.number);
  return true;
}

Result<std::unique_ptr<AckedLog>> AckedLog::open(FileSystem& files, const std::string& path) {
  auto file = files.open(path, {.write = true, .create = true});
  if (!file) return fail(file);
  const auto bytes = (*file)->size();
  if (!bytes) return fail(bytes);
  auto log = std::unique_ptr<AckedLog>(new AckedLog(std::move(*file), *bytes));
  if (*bytes > 0)
    log->gathered_.push_back('\n');  // Ends a line that a killed loader may have left open.
  return log;
}

Status AckedLog::flush() {
  if (gathered_.empty() || !state_) {
    gathered_.clear();
    return state_;
  }
  state_ = write_all(*file_, as_bytes(gathered_), bytes_, Flush::no);
  bytes_ += gathered_.size();
  gathered_.clear();
  return state_;
}

Result<std::uint64_t> read_acked(File& file, const std::function<bool(const AckedLine&)>& take) {
  std::string buffer(read_bytes + acked_line_bytes_max, '\0');
  std::size_t held = 0;
  std::uint64_t offset = 0;
  std::uint64_t skipped = 0;
  while (true) {
    const MutableBytes room(reinterpret_cast<std::byte*>(buffer.data()) + held, read_bytes);
    const auto got = file.read_at(room, offset);
    if (!got) return fail(got);
    if (*got == 0) break;
    offset += *got;
    std::string_view left(buffer.data(), held + *got);
    for (std::size_t end = left.find('\n'); end != std::string_view::npos; end = left.find('\n')) {
      const auto line = parse_acked_line(left.substr(0, end));
      if (end > 0 && !(line && take(*line))) skipped++;
      left.remove_prefix(end + 1);
    }
    if (left.size() > acked_line_bytes_max) {  // No line of ours is as long.
      left = left.substr(0, 1);
    }
    held = left.size();
    std::copy(left.begin(), left.end(), buffer.begin());
  }
  if (held > 0) skipped++;  // A last line cut short.
  return skipped;
}

}  // namespace inlet::loader
