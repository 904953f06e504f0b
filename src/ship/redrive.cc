#include "ship/redrive.h"

#include <algorithm>
#include <cerrno>
#include <optional>

#include "codec/dead_letter.h"
#include "ship/dead_letters.h"

namespace inlet::ship {
namespace {

constexpr std::string_view suffix = ".ndjson";
constexpr std::size_t numbers_chars = 26;  // "-FIRST-LAST" behind the node in a file's name.

// The letters of one file, and the batch that views them.
struct Letters {
  std::vector<codec::DeadLetter> letters;
  std::vector<sinks::Record> records;
  std::string node;

  [[nodiscard]] sinks::Batch batch() const {
    return {
        .name = {.node = node, .first = records.front().sequence, .last = records.back().sequence},
        .journal_id = letters.front().journal_id,
        .records = records};
  }
};

Result<std::string> read_text(FileSystem& files, const std::string& path) {
  const auto file = files.open(path, {});
  if (!file) return fail(file);
  const auto bytes = (*file)->size();
  if (!bytes) return fail(bytes);
  std::string text(*bytes, '\0');
  const MutableBytes room(reinterpret_cast<std::byte*>(text.data()), text.size());
  if (const Status got = read_all(**file, room, 0); !got) return fail(got);
  return text;
}

Result<Letters> parse_letters(std::string_view text, const std::string& name) {
  Letters all;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) return fail(ErrorKind::corrupt, "its last line is torn");
    auto letter = codec::parse_dead_letter(text.substr(0, end));
    if (!letter) return fail(letter);
    if (!all.letters.empty() && (letter->journal_id != all.letters.front().journal_id ||
                                 letter->sequence <= all.letters.back().sequence)) {
      return fail(ErrorKind::corrupt, "its records are not in order");
    }
    all.letters.push_back(std::move(*letter));
    text.remove_prefix(end + 1);
  }
  for (const codec::DeadLetter& letter : all.letters) {
    all.records.push_back({.sequence = letter.sequence,
                           .received_us = letter.received_us,
                           .tenant = letter.tenant,
                           .stream = letter.stream,
                           .content_type = letter.content_type,
                           .content_encoding = letter.content_encoding,
                           .peer = letter.peer,
                           .trace_id = letter.trace_id,
                           .request_id = letter.request_id,
                           .idempotency_key = letter.idempotency_key,
                           .body = as_bytes(letter.body)});
  }
  const std::size_t stem_chars = name.size() - suffix.size();
  all.node = name.substr(0, stem_chars - std::min(stem_chars, numbers_chars)) + "-redrive";
  return all;
}

Status remove_file(FileSystem& files, const std::string& directory, const std::string& name) {
  const Status gone = files.remove(directory + "/" + name);
  if (!gone && gone.error().os != ENOENT) return gone;
  return files.sync_directory(directory);
}

}  // namespace

Result<std::vector<std::string>> dead_letter_files(FileSystem& files,
                                                   const std::string& directory) {
  auto names = files.list(directory);
  if (!names && names.error().os == ENOENT) return std::vector<std::string>();
  if (!names) return fail(names);
  std::erase_if(*names, [](const std::string& name) {
    return name.starts_with('.') || !name.ends_with(suffix);
  });
  std::ranges::sort(*names);
  return names;
}

Result<RedriveSummary> redrive(FileSystem& files, const std::string& directory,
                               const std::string& sink, Courier& courier,
                               const OnRedriven& on_redriven) {
  const auto names = dead_letter_files(files, directory);
  if (!names) return fail(names);
  RedriveSummary summary;
  std::uint64_t total = 0;
  for (const std::string& name : *names) {
    const auto file = files.open(directory + "/" + name, {});
    if (file) total += (*file)->size().value_or(0);
  }
  std::uint64_t done = 0;
  for (const std::string& name : *names) {
    const auto text = read_text(files, directory + "/" + name);
    if (!text && text.error().os == ENOENT) continue;  // Somebody else redrove it.
    if (!text) return fail(text);
    const auto letters = parse_letters(*text, name);
    done += text->size();
    if (!letters) {
      summary.damaged.push_back(directory + "/" + name + ": " + letters.error().what);
      continue;
    }
    if (letters->records.empty()) continue;
    const sinks::Batch batch = letters->batch();
    const auto rejected = courier.deliver(batch);
    if (!rejected) {
      summary.stopped = true;
      break;
    }
    const Status kept = rejected->empty()
                            ? remove_file(files, directory, name)
                            : write_dead_letters(files, directory, name, sink, batch, *rejected);
    if (!kept) return fail(kept);
    summary.delivered += letters->records.size() - rejected->size();
    summary.refused_again += rejected->size();
    on_redriven(done, total);
  }
  return summary;
}

}  // namespace inlet::ship
