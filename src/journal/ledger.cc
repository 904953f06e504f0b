#include "journal/ledger.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <optional>

#include "base/check.h"
#include "base/crc32c.h"
#include "base/limits.h"
#include "journal/format.h"

namespace inlet::journal {
namespace {

constexpr std::string_view title = "inlet-ledger 1 ";
constexpr std::string_view sum_word = "sum ";
constexpr std::uint64_t file_bytes_max = 1U << 30;  // Of a file that we will read at all.
constexpr std::size_t kept_lines_of = 2;            // Folding keeps the newer 1/2.

std::string title_line(std::uint64_t journal_id) {
  return fmt::format("{}{:012x}\n", title, journal_id);
}

// Cuts the text up to the next space off `rest`.
std::string_view take_word(std::string_view& rest) {
  const std::size_t end = std::min(rest.find(' '), rest.size());
  const std::string_view word = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return word;
}

template <typename T>
bool take_number(std::string_view& rest, T& out, int base = 10) {
  const std::string_view word = take_word(rest);
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), out, base);
  return error == std::errc() && end == word.data() + word.size() && !word.empty();
}

// `text` without its line end.
std::optional<LedgerLine> parse_line(std::string_view text) {
  const std::size_t last = text.rfind(' ');
  if (last == std::string_view::npos) return std::nullopt;
  std::string_view crc_text = text.substr(last + 1);
  std::uint32_t crc = 0;
  if (!take_number(crc_text, crc, 16) || crc != crc32c(as_bytes(text.substr(0, last)))) {
    return std::nullopt;
  }
  std::string_view rest = text.substr(0, last);
  LedgerLine line;
  line.is_sum = rest.starts_with(sum_word);
  if (line.is_sum) rest.remove_prefix(sum_word.size());
  const bool head = take_number(rest, line.first) && take_number(rest, line.end) &&
                    take_number(rest, line.at_us) && take_number(rest, line.lost) &&
                    take_number(rest, line.skipped);
  if (!head || line.end < line.first) return std::nullopt;
  while (!rest.empty()) {
    LedgerCounts& counts = line.streams[std::string(take_word(rest))];
    const bool whole = take_number(rest, counts.delivered) && take_number(rest, counts.bytes) &&
                       take_number(rest, counts.dead);
    if (!whole) return std::nullopt;
  }
  return line;
}

// A line that begins inside what is already there replaces it from there on, so that lines never
// overlap, whatever the file holds.
void put(std::vector<LedgerLine>& lines, LedgerLine line) {
  while (!lines.empty() && lines.back().end > line.first) lines.pop_back();
  lines.push_back(std::move(line));
}

// The whole lines; what follows was torn.
LedgerView parse(std::string_view text) {
  LedgerView view;
  const std::size_t first_end = text.find('\n');
  if (first_end == std::string_view::npos || !text.starts_with(title)) return view;
  std::string_view id = text.substr(title.size(), first_end - title.size());
  if (!take_number(id, view.journal_id, 16)) return {};
  std::size_t begin = first_end + 1;
  for (std::size_t end = text.find('\n', begin); end != std::string_view::npos;
       end = text.find('\n', begin)) {
    auto line = parse_line(text.substr(begin, end - begin));
    if (!line) break;
    put(view.lines, std::move(*line));
    begin = end + 1;
  }
  return view;
}

Result<std::string> read_text(File& file) {
  const auto bytes = file.size();
  if (!bytes) return fail(bytes);
  std::string text(std::min(*bytes, file_bytes_max), '\0');
  const MutableBytes room(reinterpret_cast<std::byte*>(text.data()), text.size());
  if (const Status got = read_all(file, room, 0); !got) return fail(got);
  return text;
}

std::string ledger_path(const std::string& directory, const std::string& sink) {
  return directory + "/" + std::string(cursors_directory_name) + "/" + sink + ".ledger";
}

}  // namespace

void add_to(LedgerLine& sum, const LedgerLine& more) {
  CHECK(more.first >= sum.end);
  sum.is_sum = true;
  sum.end = more.end;
  sum.at_us = std::max(sum.at_us, more.at_us);
  sum.lost += more.lost;
  sum.skipped += more.skipped;
  for (const auto& [name, counts] : more.streams) {
    LedgerCounts& total = sum.streams[name];
    total.delivered += counts.delivered;
    total.bytes += counts.bytes;
    total.dead += counts.dead;
  }
}

std::string format_ledger_line(const LedgerLine& line) {
  std::string text = fmt::format("{}{} {} {} {} {}", line.is_sum ? sum_word : "", line.first,
                                 line.end, line.at_us, line.lost, line.skipped);
  for (const auto& [name, counts] : line.streams) {
    text += fmt::format(" {} {} {} {}", name, counts.delivered, counts.bytes, counts.dead);
  }
  return fmt::format("{} {:08x}\n", text, crc32c(as_bytes(text)));
}

Result<LedgerView> read_ledger(FileSystem& files, const std::string& directory,
                               const std::string& sink) {
  const auto file = files.open(ledger_path(directory, sink), {});
  if (!file && file.error().os == ENOENT) return LedgerView{};
  if (!file) return fail(file);
  const auto text = read_text(**file);
  if (!text) return fail(text);
  return parse(*text);
}

Ledger::Ledger(FileSystem& files, const std::string& directory, const std::string& sink)
    : files_(files), directory_(directory), sink_(sink), path_(ledger_path(directory, sink)) {}

Status Ledger::add(std::uint64_t journal_id, const LedgerLine& line) {
  if (!file_ || journal_id_ != journal_id) {
    if (const Status opened = open(journal_id); !opened) return opened;
  }
  const std::string text = format_ledger_line(line);
  if (end_bytes_ + text.size() > bytes_max) {
    if (const Status folded = fold(journal_id); !folded) return folded;
  }
  if (const Status put = write_all(*file_, as_bytes(text), end_bytes_, Flush::yes); !put) {
    file_.reset();
    return put;
  }
  end_bytes_ += text.size();
  return {};
}

// Always goes on in a new file: what is read back after a failed flush, ours or that of a process
// before us, may be in a cache only, and no later flush of the same file would tell.
Status Ledger::open(std::uint64_t journal_id) {
  file_.reset();
  const auto view = read_ledger(files_, directory_, sink_);
  if (!view) return fail(view);
  if (view->journal_id != journal_id) return rewrite(journal_id, {});
  return rewrite(journal_id, view->lines);
}

// In a new file that takes the place of the old one.
Status Ledger::rewrite(std::uint64_t journal_id, const std::vector<LedgerLine>& lines) {
  file_.reset();
  std::string text = title_line(journal_id);
  for (const LedgerLine& line : lines) text += format_ledger_line(line);
  const std::string temporary = parent_directory(path_) + "/." + sink_ + ".ledger.tmp";
  auto file = files_.open(temporary, {.write = true, .create = true, .truncate = true});
  if (!file) return fail(file);
  if (const Status put = write_all(**file, as_bytes(text), 0, Flush::yes); !put) return put;
  if (const Status named = files_.rename(temporary, path_); !named) return named;
  if (const Status safe = files_.sync_directory(parent_directory(path_)); !safe) return safe;
  file_ = std::move(*file);
  journal_id_ = journal_id;
  end_bytes_ = text.size();
  return {};
}

// Makes one line of the older ones.
Status Ledger::fold(std::uint64_t journal_id) {
  const auto view = read_ledger(files_, directory_, sink_);
  if (!view) return fail(view);
  const std::size_t folded = view->lines.size() - view->lines.size() / kept_lines_of;
  if (folded < 2) return {};  // Lines that are huge one by one.
  std::vector<LedgerLine> lines = {view->lines[0]};
  for (std::size_t i = 1; i < folded; i++) add_to(lines[0], view->lines[i]);
  lines.insert(lines.end(), view->lines.begin() + static_cast<std::ptrdiff_t>(folded),
               view->lines.end());
  return rewrite(journal_id, lines);
}

}  // namespace inlet::journal
