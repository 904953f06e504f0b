#include "serve/letter_search.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "codec/dead_letter.h"

namespace inlet::serve {
namespace {

constexpr std::string_view suffix = ".ndjson";
constexpr std::string_view body_member = ",\"body\":\"";

// The batch a file is named after, if it is of this journal and no replay's.
struct Range {
  std::uint64_t first;
  std::uint64_t last;
};
std::optional<Range> range_of(std::string_view name, std::uint64_t journal_id) {
  if (name.starts_with('.') || !name.ends_with(suffix)) return std::nullopt;
  name.remove_suffix(suffix.size());
  if (name.size() < record_id_chars) return std::nullopt;
  // FIRST-LAST is written as record ids are.
  const auto numbers = parse_record_id(name.substr(name.size() - record_id_chars));
  name.remove_suffix(record_id_chars);
  const std::string journal = fmt::format("-{:012x}-", journal_id);
  if (!numbers || !name.ends_with(journal)) return std::nullopt;
  return Range{numbers->journal_id, numbers->sequence};
}

// Reads one file line by line, of each line no more than its head.
class LetterFile {
 public:
  LetterFile(File& file, std::uint64_t& bytes_left) : file_(file), bytes_left_(bytes_left) {}

  // Empty: no line begins with `beginning`; letters() says how many there are.
  Result<std::optional<Letter>> find(std::string_view beginning) {
    while (true) {
      if (const Status filled = fill(letter_head_bytes_max); !filled) return fail(filled);
      if (rest().empty()) return std::nullopt;
      if (rest().starts_with(beginning)) return parse();
      if (const Status skipped = skip_line(); !skipped) return fail(skipped);
    }
  }
  [[nodiscard]] std::uint64_t letters() const { return letters_; }

 private:
  [[nodiscard]] std::string_view rest() const { return std::string_view(window_).substr(at_); }

  // At least `bytes`, unless the file ends before.
  Status fill(std::size_t bytes) {
    if (rest().size() >= bytes || ended_) return {};
    window_.erase(0, at_);
    at_ = 0;
    const std::size_t before = window_.size();
    const auto more =
        static_cast<std::size_t>(std::min<std::uint64_t>(letter_piece_bytes, bytes_left_));
    window_.resize(before + more);
    const MutableBytes room(reinterpret_cast<std::byte*>(window_.data()) + before, more);
    const auto got = file_.read_at(room, offset_);
    if (!got) return fail(got);
    window_.resize(before + *got);
    offset_ += *got;
    bytes_left_ -= *got;
    ended_ = *got < letter_piece_bytes;
    return {};
  }

  Status skip_line() {
    while (true) {
      const std::size_t end = rest().find('\n');
      if (end != std::string_view::npos) {
        at_ += end + 1;
        letters_++;
        return {};
      }
      at_ = window_.size();
      if (ended_) return {};
      if (const Status filled = fill(1); !filled) return filled;
    }
  }

  // The line as far as its body, which is made empty.
  Result<std::optional<Letter>> parse() const {
    const std::string_view head = rest().substr(0, rest().find(body_member));
    auto letter = codec::parse_dead_letter(std::string(head) + std::string(body_member) + "\"}");
    if (!letter) return fail(letter);
    return Letter{.record = {.tenant = std::move(letter->tenant),
                             .stream = std::move(letter->stream),
                             .received_us = letter->received_us},
                  .reason = std::move(letter->reason)};
  }

  File& file_;
  std::uint64_t& bytes_left_;
  std::string window_;
  std::size_t at_ = 0;  // In the window: what is before has been looked at.
  std::uint64_t offset_ = 0;
  bool ended_ = false;
  std::uint64_t letters_ = 0;
};

}  // namespace

Result<LettersFound> find_letter(FileSystem& files, const std::string& directory, RecordId id,
                                 std::uint64_t first, std::uint64_t end, std::uint64_t bytes_max) {
  const auto names = files.list(directory);
  if (!names && names.error().os == ENOENT) return LettersFound{};
  if (!names) return fail(names);
  const std::string beginning =
      fmt::format("{{\"id\":\"{}\"", record_id(id.journal_id, id.sequence));
  LettersFound found;
  for (const std::string& name : *names) {
    const auto range = range_of(name, id.journal_id);
    if (!range) continue;
    const bool is_within = range->first >= first && range->last < end;
    const bool may_hold = range->first <= id.sequence && id.sequence <= range->last;
    if (!is_within && !may_hold) continue;
    const auto file = files.open(directory + "/" + name, {});
    if (!file && file.error().os == ENOENT) continue;  // Sent again meanwhile.
    if (!file) return fail(file);
    LetterFile letters(**file, bytes_max);
    auto letter = letters.find(may_hold ? std::string_view(beginning) : "\n");
    if (!letter) return fail(letter);
    if (*letter) return LettersFound{.letter = std::move(*letter)};
    if (is_within) found.letters += letters.letters();
  }
  return found;
}

}  // namespace inlet::serve
