#include "journal/ledger_lookup.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <string_view>

#include "journal/format.h"

namespace inlet::journal {
namespace {

constexpr std::string_view sum_word = "sum ";

// Cuts the text up to the next space off `rest`.
std::string_view take_word(std::string_view& rest) {
  const std::size_t end = std::min(rest.find(' '), rest.size());
  const std::string_view word = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return word;
}

template <typename T>
bool take_number(std::string_view& rest, T& out) {
  const std::string_view word = take_word(rest);
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), out);
  return error == std::errc() && end == word.data() + word.size() && !word.empty();
}

// What stands before the counts, and takes it off `rest`.
std::optional<LedgerLine> take_range(std::string_view& rest) {
  LedgerLine line;
  line.is_sum = rest.starts_with(sum_word);
  if (line.is_sum) rest.remove_prefix(sum_word.size());
  if (!take_number(rest, line.first) || !take_number(rest, line.end)) return std::nullopt;
  if (line.end < line.first) return std::nullopt;
  return line;
}

// `text` with its line end. What is not exactly what the ledger writes, checksum and all, is not a
// line.
std::optional<LedgerLine> parse_line(std::string_view text) {
  std::string_view rest = text.substr(0, std::min(text.rfind(' '), text.size()));
  auto line = take_range(rest);
  if (!line || !take_number(rest, line->at_us) || !take_number(rest, line->lost) ||
      !take_number(rest, line->skipped)) {
    return std::nullopt;
  }
  while (!rest.empty()) {
    LedgerCounts& counts = line->streams[std::string(take_word(rest))];
    const bool whole = take_number(rest, counts.delivered) && take_number(rest, counts.bytes) &&
                       take_number(rest, counts.dead);
    if (!whole) return std::nullopt;
  }
  if (format_ledger_line(*line) != text) return std::nullopt;
  return line;
}

// Of lines that overlap the later one counts, and takes the whole earlier one's place (ledger.h).
// So the search goes from the end to the first line that begins at `sequence` or before.
std::optional<LedgerLine> find_line(std::string_view text, std::uint64_t sequence) {
  std::uint64_t later_first = UINT64_MAX;
  std::size_t end = text.rfind('\n');
  while (end != std::string_view::npos) {
    const std::size_t before = end == 0 ? std::string_view::npos : text.rfind('\n', end - 1);
    const std::size_t begin = before == std::string_view::npos ? 0 : before + 1;
    const std::string_view whole = text.substr(begin, end + 1 - begin);
    end = before;
    std::string_view rest = whole;
    const auto range = take_range(rest);
    if (!range) continue;
    if (range->first > sequence) {
      later_first = std::min(later_first, range->first);
      continue;
    }
    auto line = parse_line(whole);
    if (!line) continue;
    if (line->end <= sequence || line->end > later_first) return std::nullopt;
    return line;
  }
  return std::nullopt;
}

Result<std::string> read_part(File& file, std::uint64_t offset, std::uint64_t bytes) {
  std::string text(bytes, '\0');
  const MutableBytes room(reinterpret_cast<std::byte*>(text.data()), text.size());
  const auto got = file.read_at(room, offset);
  if (!got) return fail(got);
  text.resize(*got);
  return text;
}

}  // namespace

Result<std::optional<LedgerLine>> find_ledger_line(FileSystem& files, const std::string& directory,
                                                   const std::string& sink,
                                                   std::uint64_t journal_id,
                                                   std::uint64_t sequence) {
  const auto file =
      files.open(fmt::format("{}/{}/{}.ledger", directory, cursors_directory_name, sink), {});
  if (!file && file.error().os == ENOENT) return std::nullopt;
  if (!file) return fail(file);
  const std::string title = fmt::format("inlet-ledger 1 {:012x}\n", journal_id);
  const auto head = read_part(**file, 0, title.size());
  if (!head) return fail(head);
  if (*head != title) return std::nullopt;
  const auto size = (*file)->size();
  if (!size) return fail(size);
  std::uint64_t begin = title.size();
  if (*size > begin + lookup_bytes_max) begin = *size - lookup_bytes_max;
  const auto text = read_part(**file, begin, *size - std::min(*size, begin));
  if (!text) return fail(text);
  return find_line(*text, sequence);
}

}  // namespace inlet::journal
