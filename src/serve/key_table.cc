#include "serve/key_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cctype>
#include <chrono>

#include "base/calendar.h"
#include "base/check.h"
#include "base/json.h"
#include "serve/tenant.h"

namespace inlet::serve {
namespace {

constexpr std::string_view digest_prefix = "sha256:";
constexpr std::string_view all_streams = "*";
constexpr std::size_t shown_chars_max = 24;  // Of a wrong value,
constexpr std::size_t cut_chars = 12;        // and of a longer one.
constexpr std::string_view hex_digits = "0123456789abcdef";
constexpr int index_attempts_per_size = 8;

bool is_control(char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; }

// A wrong value, quoted; never a whole key or much of one.
std::string shown(std::string_view value) {
  if (value.find(api_key_prefix) != std::string_view::npos) return "a key";
  std::string text(value.substr(0, value.size() > shown_chars_max ? cut_chars : value.size()));
  std::ranges::replace_if(text, is_control, '?');
  return fmt::format("\"{}{}\"", text, value.size() > shown_chars_max ? "…" : "");
}

std::optional<KeyDigest> parse_digest(std::string_view text) {
  if (!text.starts_with(digest_prefix)) return std::nullopt;
  text.remove_prefix(digest_prefix.size());
  KeyDigest digest;
  if (text.size() != 2 * digest.size()) return std::nullopt;
  for (std::size_t i = 0; i < digest.size(); i++) {
    const std::size_t high = hex_digits.find(text[2 * i]);
    const std::size_t low = hex_digits.find(text[2 * i + 1]);
    if (high == std::string_view::npos || low == std::string_view::npos) return std::nullopt;
    digest[i] = static_cast<std::byte>(high << 4 | low);
  }
  return digest;
}

bool holds_key(std::string_view text) {
  for (std::size_t at = text.find(api_key_prefix); at != std::string_view::npos;
       at = text.find(api_key_prefix, at + 1)) {
    const auto key = parse_api_key(text.substr(at, api_key_chars));
    if (key || key.error() == KeyFault::mistyped) return true;
  }
  return false;
}

// Reads one line, word by word.
class LineReader {
 public:
  explicit LineReader(std::string_view line) : rest_(line) {}

  std::expected<KeyEntry, std::string> read() {
    const std::string_view id = take_word();
    if (id.size() > api_key_id_chars) {
      return wrong("the line begins with {} characters that are no id of {}", id.size(),
                   api_key_id_chars);
    }
    const auto parsed_id = parse_key_id(id);
    if (!parsed_id) return wrong("{} is no id of {} characters", shown(id), api_key_id_chars);
    entry_.id = *parsed_id;
    const auto digest = parse_digest(take_word());
    if (!digest) return wrong("after the id comes sha256: and 64 hexadecimal digits");
    entry_.digest = *digest;
    while (true) {
      skip_spaces();
      if (rest_.empty()) break;
      if (auto mistake = read_field()) return std::unexpected(std::move(*mistake));
    }
    if (entry_.tenant.empty()) return wrong("there is no tenant=");
    return std::move(entry_);
  }

 private:
  using Mistake = std::optional<std::string>;

  template <typename... Values>
  static std::unexpected<std::string> wrong(fmt::format_string<Values...> text,
                                            Values&&... values) {
    return std::unexpected(fmt::format(text, std::forward<Values>(values)...));
  }

  void skip_spaces() {
    rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t"), rest_.size()));
  }
  std::string_view take_word() {
    skip_spaces();
    const std::string_view word = rest_.substr(0, rest_.find_first_of(" \t"));
    rest_.remove_prefix(word.size());
    return word;
  }

  Mistake read_field() {
    const std::size_t equals = std::min(rest_.find_first_of(" \t="), rest_.size());
    if (equals == rest_.size() || rest_[equals] != '=') {
      return fmt::format("{} is not NAME=VALUE", shown(take_word()));
    }
    const std::string name(rest_.substr(0, equals));
    rest_.remove_prefix(equals + 1);
    if (std::ranges::find(seen_, name) != seen_.end()) {
      return fmt::format("{}= stands there twice", shown(name));
    }
    seen_.push_back(name);
    if (name == "note") return read_note();
    const std::string_view value = take_word();
    if (name == "tenant") return read_tenant(value);
    if (name == "streams") return read_streams(value);
    if (name == "created") return read_time("created", value, entry_.created_us);
    if (name == "expires") return read_time("expires", value, entry_.expires_us);
    return fmt::format("{}= is not known; tenant, streams, created, expires and note are",
                       shown(name));
  }

  Mistake read_tenant(std::string_view value) {
    if (!is_name(value)) return fmt::format("tenant {} is no name", shown(value));
    if (value == other_tenant) return fmt::format("tenant \"other\" {}", other_tenant_mistake);
    entry_.tenant = value;
    return std::nullopt;
  }

  Mistake read_streams(std::string_view value) {
    if (value == all_streams) return std::nullopt;
    while (true) {
      const std::string_view pattern = value.substr(0, value.find(','));
      if (!is_name_pattern(pattern)) {
        return fmt::format("stream {} is no pattern such as web.*", shown(pattern));
      }
      if (entry_.streams.size() == key_streams_max) {
        return fmt::format("there are more than {} streams", key_streams_max);
      }
      entry_.streams.emplace_back(pattern);
      if (pattern.size() == value.size()) return std::nullopt;
      value.remove_prefix(pattern.size() + 1);
    }
  }

  static Mistake read_time(std::string_view name, std::string_view value, Microseconds& out) {
    const auto time_us = parse_rfc3339(value);
    if (!time_us)
      return fmt::format("{} {} is no time such as 2027-01-31T12:00:00Z", name, shown(value));
    out = *time_us;
    return std::nullopt;
  }

  // A string in quotes, in which a backslash makes a quote or a backslash part of it.
  Mistake read_note() {
    bool closed = false;
    std::size_t at = 1;
    if (!rest_.starts_with('"')) return "note= has no quotes";
    for (; at < rest_.size() && !closed; at++) {
      if (rest_[at] == '"') {
        closed = true;
        continue;
      }
      if (rest_[at] == '\\') at++;
      if (at < rest_.size()) entry_.note += rest_[at];
    }
    if (!closed) return "the note has no end";
    rest_.remove_prefix(at);
    if (!rest_.empty() && rest_[0] != ' ' && rest_[0] != '\t') {
      return "something follows the note's quotes at once";
    }
    return key_note_mistake(entry_.note);
  }

  std::string_view rest_;
  std::vector<std::string> seen_;
  KeyEntry entry_;
};

// The same value, of which the compiler knows nothing: else it makes a branch of `found` below, and
// unknown ids take a few cycles longer.
std::size_t opaque(std::size_t value) {
  asm("" : "+r"(value));
  return value;
}

using Line = std::expected<std::optional<KeyEntry>, std::string>;

// The entry, if the table has room for it and its id is not among those of the lines before.
Line new_in(std::map<KeyId, std::size_t>& lines, std::optional<KeyEntry> entry,
            std::size_t number) {
  const auto [before, fresh] = lines.try_emplace(entry->id, number);
  if (!fresh) {
    const KeyIdText id = key_id_text(entry->id);
    return std::unexpected(fmt::format("the id {} stands in line {} already",
                                       std::string_view(id.data(), id.size()), before->second));
  }
  if (lines.size() > keys_max) {
    return std::unexpected(fmt::format("there are more than {} keys", keys_max));
  }
  return entry;
}

}  // namespace

std::string rfc3339_seconds(Microseconds wall_us) {
  namespace chrono = std::chrono;
  const chrono::sys_time<chrono::microseconds> at{chrono::microseconds(wall_us)};
  const auto day = chrono::floor<chrono::days>(at);
  const chrono::year_month_day date(day);
  const chrono::hh_mm_ss clock(chrono::floor<chrono::seconds>(at - day));
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     clock.hours().count(), clock.minutes().count(), clock.seconds().count());
}

std::optional<std::string> key_note_mistake(std::string_view note) {
  if (note.size() > key_note_bytes_max) {
    return fmt::format("the note has more than {} bytes", key_note_bytes_max);
  }
  if (std::ranges::any_of(note, is_control)) return "the note holds a control character";
  if (!is_utf8(note)) return "the note is not UTF-8";
  return std::nullopt;
}

std::expected<std::optional<KeyEntry>, std::string> parse_key_line(std::string_view line) {
  if (line.size() > key_line_bytes_max) {
    return std::unexpected(fmt::format("the line has more than {} bytes", key_line_bytes_max));
  }
  if (line.ends_with('\r')) line.remove_suffix(1);
  const std::size_t start = line.find_first_not_of(" \t");
  if (start == std::string_view::npos || line[start] == '#') return std::nullopt;
  if (holds_key(line)) return std::unexpected("the line holds a key; its digest belongs there");
  auto entry = LineReader(line).read();
  if (!entry) return std::unexpected(std::move(entry.error()));
  return std::move(*entry);
}

std::string key_line(const KeyEntry& entry) {
  const KeyIdText id = key_id_text(entry.id);
  std::string line = fmt::format("{} {}", std::string_view(id.data(), id.size()), digest_prefix);
  for (const std::byte byte : entry.digest) {
    const auto value = std::to_integer<unsigned>(byte);
    line += {hex_digits[value >> 4], hex_digits[value & 15]};
  }
  line += " tenant=" + entry.tenant + " streams=";
  if (entry.streams.empty()) line += all_streams;
  for (std::size_t i = 0; i < entry.streams.size(); i++) {
    if (i > 0) line += ',';
    line += entry.streams[i];
  }
  if (entry.created_us != 0) line += " created=" + rfc3339_seconds(entry.created_us);
  if (entry.expires_us != never_us) line += " expires=" + rfc3339_seconds(entry.expires_us);
  if (entry.note.empty()) return line;
  line += " note=\"";
  for (const char c : entry.note) {
    if (c == '"' || c == '\\') line += '\\';
    line += c;
  }
  return line + '"';
}

KeyTable::KeyTable() : keys_(1) {
  static std::atomic<std::uint64_t> tables{0};
  number_ = ++tables;
}

KeyTable::Parsed KeyTable::parse(std::string_view text, std::string_view name,
                                 const TenantIndex& tenant_index, KeyUses& uses) {
  std::unique_ptr<KeyTable> table(new KeyTable);
  std::vector<std::string> mistakes;
  std::map<KeyId, std::size_t> lines;
  for (std::size_t number = 1; !text.empty(); number++) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    auto entry = parse_key_line(line);
    if (entry && !*entry) continue;
    if (entry) entry = new_in(lines, std::move(*entry), number);
    if (entry) {
      auto& use = uses[(*entry)->id];
      if (!use) use = std::make_unique<KeyUse>();
      const std::uint32_t tenant = tenant_index((*entry)->tenant);
      table->keys_.push_back({std::move(**entry), tenant, use.get()});
    } else if (mistakes.size() < key_mistakes_max) {
      mistakes.push_back(fmt::format("{}:{}: {}", name, number, entry.error()));
    }
  }
  for (const Key& key : table->keys_) table->digests_.push_back({key.digest});
  table->build_index();
  return {std::move(table), std::move(mistakes)};
}

std::uint64_t KeyTable::scrambled(KeyId id) const {
  std::uint64_t bits = id ^ seed_;  // The finaliser of SplitMix64.
  bits = (bits ^ bits >> 30) * 0xBF58476D1CE4E5B9;
  bits = (bits ^ bits >> 27) * 0x94D049BB133111EB;
  return bits ^ bits >> 31;
}

void KeyTable::build_index() {
  // About two ids in a bucket, so that hardly any seed fails; ids differ, so that some fits.
  std::size_t buckets = std::bit_ceil(std::max<std::size_t>(1, keys().size() / 2));
  while (true) {
    for (int attempts = 0; attempts < index_attempts_per_size; attempts++, seed_++) {
      if (try_index(buckets)) return;
    }
    buckets *= 2;
  }
}

bool KeyTable::try_index(std::size_t buckets) {
  buckets_.assign(buckets, {});
  for (std::size_t place = 1; place < keys_.size(); place++) {
    const KeyId id = keys_[place].id;
    Bucket& bucket = buckets_[scrambled(id) & (buckets - 1)];
    const auto free = std::ranges::find(bucket.places, 0U);
    if (free == bucket.places.end()) return false;
    bucket.ids[static_cast<std::size_t>(free - bucket.places.begin())] = id;
    *free = static_cast<std::uint32_t>(place);
  }
  return true;
}

// No branch depends on what is there.
std::size_t KeyTable::place_of(KeyId id) const {
  const Bucket& bucket = buckets_[scrambled(id) & (buckets_.size() - 1)];
  std::uint32_t place = 0;
  for (std::size_t i = 0; i < bucket_slots; i++) {
    place |= bucket.places[i] & -static_cast<std::uint32_t>(bucket.ids[i] == id);
  }
  return place;
}

Verdict KeyTable::find(std::string_view presented, std::string_view stream,
                       Microseconds wall_us) const {
  const auto key_presented = parse_api_key(presented);
  if (!key_presented) {
    const bool mistyped = key_presented.error() == KeyFault::mistyped;
    return {mistyped ? Verdict::Kind::mistyped : Verdict::Kind::malformed};
  }
  const std::size_t place = place_of(key_presented->id);
  // An unknown id is compared with a key that it alone decides, so that the memory touched is as
  // warm or cold as with a known one.
  const std::size_t decoy =
      1 + static_cast<std::size_t>((scrambled(key_presented->id) >> 32) * keys().size() >> 32);
  const std::size_t found = opaque(place != 0);
  const std::size_t compared =
      ((place & -found) | (decoy & (found - 1))) & -std::size_t{!keys().empty()};
  const std::size_t same = same_digest(digests_[compared].digest, key_presented->digest) ? 1 : 0;
  if (opaque(same & found) == 0) return {Verdict::Kind::unknown};
  return judge_key(keys_[place], stream, wall_us);
}

Verdict judge_key(const Key& key, std::string_view stream, Microseconds wall_us) {
  if (key.expires_us <= wall_us) return {Verdict::Kind::expired, &key};
  const bool allowed = stream.empty() || key.allows(stream);
  return {allowed ? Verdict::Kind::known : Verdict::Kind::out_of_scope, &key};
}

const Key* KeyTable::of(KeyId id) const {
  const std::size_t place = place_of(id);
  return place == 0 ? nullptr : &keys_[place];
}

}  // namespace inlet::serve
