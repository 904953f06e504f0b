#include "ship/damage_log.h"

#include <algorithm>

#include "base/json.h"

namespace inlet::ship {
namespace {

constexpr std::uint64_t known_bytes_max = 1U << 20;  // Of the file, looked at for lines known.

std::string line_of(const journal::Damage& damage) {
  std::string line = "{\"segment\":" + std::to_string(damage.segment) +
                     ",\"offset\":" + std::to_string(damage.offset) +
                     ",\"first_sequence\":" + std::to_string(damage.first_sequence) +
                     ",\"end_sequence\":" + std::to_string(damage.end_sequence) + ",\"why\":";
  append_json_string(line, damage.why);
  return line + "}\n";
}

}  // namespace

DamageLog::DamageLog(FileSystem& files, std::string path) : files_(files), path_(std::move(path)) {}

Status DamageLog::add(const journal::Damage& damage) {
  if (!file_) {
    if (const Status opened = open(); !opened) return opened;
  }
  const std::string line = line_of(damage);
  if (known_.contains(line)) return {};
  if (const Status put = write_all(*file_, as_bytes(line), end_, Flush::yes); !put) return put;
  end_ += line.size();
  if (end_ <= known_bytes_max) known_.insert(line);
  return {};
}

Status DamageLog::open() {
  auto file = files_.open(path_, {.write = true, .create = true});
  if (!file) return fail(file);
  if (const Status safe = files_.sync_directory(parent_directory(path_)); !safe) return safe;
  const auto size = (*file)->size();
  if (!size) return fail(size);
  std::string text(std::min(*size, known_bytes_max), '\0');
  const MutableBytes room(reinterpret_cast<std::byte*>(text.data()), text.size());
  if (const Status got = read_all(**file, room, 0); !got) return got;
  std::size_t whole = 0;
  for (std::size_t end = text.find('\n'); end != std::string::npos; end = text.find('\n', whole)) {
    known_.insert(text.substr(whole, end + 1 - whole));
    whole = end + 1;
  }
  // A line that was torn by a crash was never relied on: the next one is written over it. A file
  // too long to be read whole goes on at its end.
  end_ = *size <= known_bytes_max ? whole : *size;
  file_ = std::move(*file);
  return {};
}

}  // namespace inlet::ship
