// The command `inlet key new | ls | revoke | rotate | check`: the keys that clients come in with.
//
// A key is printed once, alone on standard output; everything else that is said goes to standard
// error. A key as an argument is refused: every process of the machine could read it.

#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <span>
#include <string>

#include "base/calendar.h"
#include "base/check.h"
#include "base/json.h"
#include "base/names.h"
#include "base/posix_file.h"
#include "main/cli.h"
#include "main/key_file.h"
#include "main/values.h"
#include "serve/tenant.h"

namespace inlet::main {
namespace {

using serve::KeyEntry;
using serve::KeyTable;
using serve::Verdict;

constexpr std::uint64_t day_us = 86'400'000'000;
constexpr std::uint64_t expires_us_max = 36'500 * day_us;
constexpr std::size_t key_input_chars_max = 4096;  // Of standard input, with blanks around the key.

struct KeyFlags {
  CommonFlags common;
  std::string path;
  std::string tenant;
  std::string streams;
  std::string expires;
  std::string note;
  std::string overlap = "7d";
  std::string id;
  bool json = false;
};

// A mistake of the caller or a fault of the world, as the sentence says it.
int report(const Error& error) {
  return error.kind == ErrorKind::reject && error.os == 0 ? report_mistake(error.what)
                                                          : report_fault(error);
}

std::string text_of(serve::KeyId id) {
  const serve::KeyIdText text = serve::key_id_text(id);
  return {text.data(), text.size()};
}

std::string streams_of(const KeyEntry& entry) {
  return entry.streams.empty() ? "*" : fmt::format("{}", fmt::join(entry.streams, ","));
}

std::string expiry_of(const KeyEntry& entry, Microseconds now_us) {
  if (entry.expires_us == serve::never_us) return "never expires";
  return (entry.expires_us <= now_us ? "expired " : "expires ") +
         serve::rfc3339_seconds(entry.expires_us);
}

Result<std::vector<std::string>> read_streams(const std::string& text) {
  std::vector<std::string> out;
  std::string_view rest = text;
  while (text != "*" && !rest.empty()) {
    const std::string_view pattern = rest.substr(0, rest.find(','));
    if (!is_name_pattern(pattern)) {
      return fail(ErrorKind::reject,
                  fmt::format("--streams: \"{}\" is no pattern such as web.*", pattern));
    }
    out.emplace_back(pattern);
    rest.remove_prefix(std::min(pattern.size() + 1, rest.size()));
  }
  return out;
}

Result<Microseconds> read_expires(const std::string& text, Microseconds now_us) {
  if (text.empty()) return serve::never_us;
  Microseconds duration_us = 0;
  if (!read_value(text, {.least = 1, .most = expires_us_max}, duration_us)) {
    return now_us + duration_us;
  }
  const auto at_us = parse_rfc3339(text);
  if (!at_us) {
    return fail(ErrorKind::reject,
                fmt::format("--expires: \"{}\" is no duration such as 90d, nor a time such as "
                            "2027-01-31 or 2027-01-31T12:00:00Z",
                            text));
  }
  if (*at_us <= now_us) {
    return fail(ErrorKind::reject, fmt::format("--expires: \"{}\" is in the past", text));
  }
  return *at_us;
}

// Takes an id, also with the "ik_" that stands before it in a key. What is none is not repeated: it
// could be a secret.
Result<serve::KeyId> read_id(std::string_view text) {
  if (text.starts_with(serve::api_key_prefix)) text.remove_prefix(serve::api_key_prefix.size());
  if (const auto id = serve::parse_key_id(text)) return *id;
  return fail(ErrorKind::reject, "an id is the 12 characters between ik_ and _ of a key");
}

struct Keys {
  std::string path;
  serve::KeyUses uses;
  KeyTable::Parsed parsed;
};

Result<Keys> read_keys(FileSystem& files, const std::string& path) {
  const auto text = read_key_file(files, path);
  if (!text) return fail(text);
  Keys keys{.path = path};
  keys.parsed = KeyTable::parse(*text, path, [](std::string_view) { return 0U; }, keys.uses);
  return keys;
}

int report_mistakes(const Keys& keys) {
  for (const std::string& mistake : keys.parsed.mistakes) report_mistake(mistake);
  return keys.parsed.mistakes.empty() ? exit_fine : exit_mistake;
}

std::unexpected<Error> no_such_id(const std::string& path, serve::KeyId id) {
  return fail(ErrorKind::reject, fmt::format("no key in {} has the id {}", path, text_of(id)));
}

Result<KeyEntry> find_entry(FileSystem& files, const std::string& path, const std::string& word) {
  const auto id = read_id(word);
  if (!id) return fail(id);
  const auto keys = read_keys(files, path);
  if (!keys) return fail(keys);
  if (const serve::Key* const key = keys->parsed.table->of(*id))
    return static_cast<const KeyEntry&>(*key);
  return no_such_id(path, *id);
}

serve::SecretText random_key() {
  std::array<std::byte, serve::api_key_random_bytes> random;
  const ssize_t got = ::getrandom(random.data(), random.size(), 0);
  CHECK(got == static_cast<ssize_t>(random.size()));  // So few bytes are never fewer.
  const std::span<char> raw(reinterpret_cast<char*>(random.data()), random.size());
  struct Wipe {
    std::span<char> bytes;
    ~Wipe() { serve::wipe(bytes); }
  } const wipe{raw};
  return serve::make_api_key(random);
}

// Past stdio, whose buffers would keep it.
Status print_key(const serve::SecretText& key) {
  std::array<char, serve::api_key_chars + 1> line;
  *std::ranges::copy(key.view(), line.data()).out = '\n';
  std::size_t done = 0;
  int os = 0;
  while (done < line.size() && os == 0) {
    const ssize_t put = ::write(STDOUT_FILENO, line.data() + done, line.size() - done);
    if (put < 0 && errno != EINTR) os = errno;
    if (put > 0) done += static_cast<std::size_t>(put);
  }
  serve::wipe(line);
  if (os == 0) return {};
  return fail(ErrorKind::retry, std::strerror(os), os);
}

// Stores what is kept of a fresh key like `entry`, and prints it.
int issue(FileSystem& files, Clock& clock, const std::string& path, KeyEntry entry,
          const KeyFileChange& before) {
  const serve::SecretText key = random_key();
  const auto presented = serve::parse_api_key(key.view());
  CHECK(presented);
  entry.id = presented->id;
  entry.digest = presented->digest;
  const Status stored =
      change_key_file(files, clock, path, [&](const std::string& text) -> Result<std::string> {
        auto changed = before(text);
        if (!changed) return changed;
        return with_key(std::move(*changed), entry);
      });
  if (!stored) return report(stored.error());
  if (const Status printed = print_key(key); !printed) {
    return report_fault(
        {ErrorKind::retry, fmt::format("the new key could not be printed, so revoke {}: {}",
                                       text_of(entry.id), printed.error().what)});
  }
  fmt::print(stderr, "key {} of tenant {}, streams {}, {}; it is not shown again\n",
             text_of(entry.id), entry.tenant, streams_of(entry), expiry_of(entry, clock.wall_us()));
  return exit_fine;
}

int new_key(FileSystem& files, Clock& clock, const KeyFlags& flags) {
  KeyEntry entry{.tenant = flags.tenant, .created_us = clock.wall_us(), .note = flags.note};
  if (!is_name(flags.tenant)) {
    return report_mistake(fmt::format(
        "--tenant: \"{}\" is no name: 1 to 64 of a-z 0-9 _ . -, the first a letter or digit",
        flags.tenant));
  }
  if (flags.tenant == serve::other_tenant) {
    return report_mistake(fmt::format("--tenant: \"other\" {}", serve::other_tenant_mistake));
  }
  if (const auto mistake = serve::key_note_mistake(flags.note)) {
    return report_mistake("--note: " + *mistake);
  }
  auto streams = read_streams(flags.streams);
  if (!streams) return report(streams.error());
  entry.streams = std::move(*streams);
  const auto expires_us = read_expires(flags.expires, clock.wall_us());
  if (!expires_us) return report(expires_us.error());
  entry.expires_us = *expires_us;
  return issue(files, clock, flags.path, std::move(entry),
               [](const std::string& text) -> Result<std::string> { return text; });
}

// As long as the old one had, where it had an end.
Microseconds same_lifetime(const KeyEntry& old, Microseconds now_us) {
  const bool ends = old.expires_us != serve::never_us && old.created_us != 0;
  return ends && old.expires_us > old.created_us ? now_us + (old.expires_us - old.created_us)
                                                 : old.expires_us;
}

int rotate_key(FileSystem& files, Clock& clock, const KeyFlags& flags) {
  const Microseconds now_us = clock.wall_us();
  Microseconds overlap_us = 0;
  if (const Problem problem = read_value(flags.overlap, {.most = expires_us_max}, overlap_us)) {
    return report_mistake(fmt::format("--overlap: \"{}\" {}", flags.overlap, *problem));
  }
  const auto found = find_entry(files, flags.path, flags.id);
  if (!found) return report(found.error());
  KeyEntry old = *found;
  KeyEntry fresh = old;
  fresh.created_us = now_us;
  fresh.expires_us = same_lifetime(old, now_us);
  if (!flags.expires.empty()) {
    const auto expires_us = read_expires(flags.expires, now_us);
    if (!expires_us) return report(expires_us.error());
    fresh.expires_us = *expires_us;
  }
  old.expires_us = std::min(old.expires_us, now_us + overlap_us);
  const int code = issue(files, clock, flags.path, std::move(fresh),
                         [&](const std::string& text) -> Result<std::string> {
                           auto changed = with_key_changed(text, old);
                           if (!changed) return no_such_id(flags.path, old.id);
                           return *changed;
                         });
  if (code == exit_fine) {
    fmt::print(stderr, "key {} {}\n", text_of(old.id), expiry_of(old, clock.wall_us()));
  }
  return code;
}

int revoke_key(FileSystem& files, Clock& clock, const KeyFlags& flags) {
  const auto found = find_entry(files, flags.path, flags.id);
  if (!found) return report(found.error());
  const Status changed = change_key_file(files, clock, flags.path,
                                         [&](const std::string& text) -> Result<std::string> {
                                           auto without = without_key(text, found->id);
                                           if (!without) return no_such_id(flags.path, found->id);
                                           return *without;
                                         });
  if (!changed) return report(changed.error());
  fmt::print(stderr, "key {} of tenant {} is revoked; nodes that read {} refuse it within 5 s\n",
             text_of(found->id), found->tenant, flags.path);
  return exit_fine;
}

void print_json(const serve::Key& key, Microseconds now_us) {
  std::string line = "{\"id\":\"" + text_of(key.id) + "\",\"tenant\":";
  append_json_string(line, key.tenant);
  line += ",\"streams\":[";
  for (std::size_t i = 0; i < key.streams.size(); i++) {
    if (i > 0) line += ',';
    append_json_string(line, key.streams[i]);
  }
  line += key.streams.empty() ? "\"*\"]" : "]";
  const auto time = [&](std::string_view name, bool said, Microseconds at_us) {
    line += fmt::format(",\"{}\":{}", name,
                        said ? "\"" + serve::rfc3339_seconds(at_us) + "\"" : "null");
  };
  time("created_at", key.created_us != 0, key.created_us);
  time("expires_at", key.expires_us != serve::never_us, key.expires_us);
  line += key.expires_us <= now_us ? ",\"expired\":true" : ",\"expired\":false";
  line += ",\"note\":";
  append_json_string(line, key.note);
  fmt::print("{}}}\n", line);
}

int list_keys(FileSystem& files, Clock& clock, const KeyFlags& flags) {
  const auto keys = read_keys(files, flags.path);
  if (!keys) return report(keys.error());
  constexpr std::string_view row = "{:<12}  {:<16}  {:<24}  {:<20}  {:<28}  {}\n";
  const Microseconds now_us = clock.wall_us();
  if (!flags.json) fmt::print(row, "id", "tenant", "streams", "created", "expires", "note");
  for (const serve::Key& key : keys->parsed.table->keys()) {
    if (flags.json) {
      print_json(key, now_us);
    } else {
      const std::string created =
          key.created_us == 0 ? "-" : serve::rfc3339_seconds(key.created_us);
      fmt::print(row, text_of(key.id), key.tenant, streams_of(key), created, expiry_of(key, now_us),
                 key.note);
    }
  }
  if (keys->parsed.table->keys().empty()) fmt::print(stderr, "no keys in {}\n", flags.path);
  return report_mistakes(*keys);
}

// The one key that stands on standard input; views into `room`.
Result<std::string_view> read_input(std::span<char> room) {
  std::size_t chars = 0;
  while (true) {
    const ssize_t got = ::read(STDIN_FILENO, room.data() + chars, room.size() - chars);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      return fail(ErrorKind::retry, fmt::format("read standard input: {}", std::strerror(errno)),
                  errno);
    }
    if (got == 0) break;
    chars += static_cast<std::size_t>(got);
    const bool line_ended = std::memchr(room.data(), '\n', chars) != nullptr;
    if (line_ended || chars == room.size()) break;
  }
  std::string_view text(room.data(), chars);
  constexpr std::string_view blanks = " \t\r\n";
  text.remove_prefix(std::min(text.find_first_not_of(blanks), text.size()));
  return text.substr(0, text.find_last_not_of(blanks) + 1);
}

int judge_key(std::string_view text, const Keys& keys, Microseconds now_us) {
  const Verdict verdict = keys.parsed.table->find(text, "", now_us);
  const auto say = [](std::string what) {
    return report_fault({ErrorKind::reject, std::move(what)});
  };
  switch (verdict.kind) {
    case Verdict::Kind::malformed:
      return say("this is not a key: one is ik_, 12 characters, _ and 39 more");
    case Verdict::Kind::mistyped: return say("this key is mistyped: its checksum does not fit");
    case Verdict::Kind::unknown: {
      const auto presented = serve::parse_api_key(text);
      const std::string id = text_of(presented->id);
      const bool id_known = keys.parsed.table->of(presented->id) != nullptr;
      return say(id_known
                     ? fmt::format("the id {} is in {}, but its secret is another", id, keys.path)
                     : fmt::format("no key with the id {} is in {}", id, keys.path));
    }
    case Verdict::Kind::known:
    case Verdict::Kind::expired:
    case Verdict::Kind::out_of_scope: break;
  }
  const bool valid = verdict.kind == Verdict::Kind::known;
  fmt::print("{} is {}: tenant {}, streams {}, {}\n", text_of(verdict.key->id),
             valid ? "valid" : "not valid any more", verdict.key->tenant, streams_of(*verdict.key),
             expiry_of(*verdict.key, now_us));
  return valid ? exit_fine : exit_fault;
}

int check_key(FileSystem& files, Clock& clock, const KeyFlags& flags) {
  const auto keys = read_keys(files, flags.path);
  if (!keys) return report(keys.error());
  report_mistakes(*keys);
  std::array<char, key_input_chars_max> room{};
  if (::isatty(STDIN_FILENO) == 1) fmt::print(stderr, "the key:\n");
  const auto text = read_input(room);
  const int code = text ? judge_key(*text, *keys, clock.wall_us()) : report(text.error());
  serve::wipe(room);
  return code;
}

// Keys are secrets, and arguments are not.
bool argument_holds_key(int argc, char** argv) {
  constexpr std::size_t id_chars_max = serve::api_key_prefix.size() + serve::api_key_id_chars;
  return std::ranges::any_of(std::span(argv, static_cast<std::size_t>(argc)), [](const char* word) {
    const std::string_view text = word;
    const std::size_t at = text.find(serve::api_key_prefix);
    return at != std::string_view::npos && text.size() - at > 2 * id_chars_max;
  });
}

}  // namespace

int key_command(int argc, char** argv) {
  ::umask(077);
  ::prctl(PR_SET_DUMPABLE, 0);  // No core file may hold a key.
  if (argument_holds_key(argc, argv)) {
    return report_mistake(
        "key: a key is a secret that others can read in an argument: give its id, or give it to "
        "inlet key check on standard input");
  }
  CLI::App app("Keys that clients come in with: make, list, replace and revoke them.", "inlet key");
  KeyFlags flags;
  app.require_subcommand(1);
  CLI::App& fresh = *app.add_subcommand("new", "Make a key and print it, this once.");
  CLI::App& ls = *app.add_subcommand("ls", "List the keys.");
  CLI::App& revoke = *app.add_subcommand("revoke", "Take a key away.");
  CLI::App& rotate = *app.add_subcommand("rotate", "Make the key that replaces another.");
  CLI::App& check = *app.add_subcommand("check", "Say whose the key on standard input is.");
  for (CLI::App* command : {&fresh, &ls, &revoke, &rotate, &check}) {
    add_common_flags(*command, flags.common);
    command->add_option("--keys", flags.path, "the file of keys (default DATA/keys)")
        ->type_name("FILE");
  }
  fresh.add_option("--tenant", flags.tenant, "whose it is")->type_name("NAME")->required();
  fresh.add_option("--streams", flags.streams, "where it may write, such as web.*,app (default *)")
      ->type_name("PATTERNS");
  fresh.add_option("--note", flags.note, "what to remember about it")->type_name("TEXT");
  for (CLI::App* command : {&fresh, &rotate}) {
    command->add_option("--expires", flags.expires, "when it ends, such as 90d or 2027-01-31")
        ->type_name("TIME");
  }
  for (CLI::App* command : {&revoke, &rotate}) {
    command->add_option("id", flags.id, "the 12 characters after ik_")->required();
  }
  rotate.add_option("--overlap", flags.overlap, "how long the old key goes on (default 7d)")
      ->type_name("TIME");
  ls.add_flag("--json", flags.json, "Print one JSON object a line");
  if (const auto code = parse(app, argc, argv)) return *code;

  PosixFileSystem files;
  SystemClock clock;
  if (flags.path.empty()) {
    const auto config = require_config(files, flags.common);
    if (!config) return exit_mistake;
    flags.path = config->server.keys;
  }
  if (fresh.parsed()) return new_key(files, clock, flags);
  if (ls.parsed()) return list_keys(files, clock, flags);
  if (revoke.parsed()) return revoke_key(files, clock, flags);
  if (rotate.parsed()) return rotate_key(files, clock, flags);
  return check_key(files, clock, flags);
}

}  // namespace inlet::main
