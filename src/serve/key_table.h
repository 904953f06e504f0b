// key_table: the keys of a file, found by what a client presents.
//
// One key a line, '#' begins a comment line:
//
//   ID sha256:HEX tenant=acme streams=web.*,app created=2026-11-23T10:00:00Z expires=… note="…"
//
// Only tenant is needed after the digest: no streams means every stream, no expires means never.
//
// Invariants:
//   - find() does the same work for a known id and an unknown one (it is compared with some other
//     key), and compares digests in constant time: its duration says nothing about the table.
//   - a mistake names file, line and value, but never what could be a secret.
//
// Immutable once parsed, but for the figures in KeyUse. Any thread.

#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/names.h"
#include "base/time.h"
#include "serve/api_key.h"

namespace inlet::serve {

inline constexpr std::size_t key_file_bytes_max = 16U << 20;
inline constexpr std::size_t keys_max = 50'000;
inline constexpr std::size_t key_line_bytes_max = 4096;
inline constexpr std::size_t key_streams_max = 32;  // Patterns of one key.
inline constexpr std::size_t key_note_bytes_max = 200;
inline constexpr std::size_t key_mistakes_max = 20;  // Told of one file.

inline constexpr Microseconds never_us = std::numeric_limits<Microseconds>::max();

// What a key has been used for. Outlives the tables that point to it.
struct KeyUse {
  std::atomic<std::uint64_t> count{0};
  std::atomic<Microseconds> last_us{0};  // On the wall clock; 0: never.

  void add(Microseconds wall_us) {
    count.fetch_add(1, std::memory_order_relaxed);
    last_us.store(wall_us, std::memory_order_relaxed);
  }
};

// Of all keys, by id; what a table that is read anew finds again.
using KeyUses = std::map<KeyId, std::unique_ptr<KeyUse>>;

// One line of the file.
struct KeyEntry {
  KeyId id = 0;
  KeyDigest digest{};
  std::string tenant;
  std::vector<std::string> streams;  // Patterns (base/names.h); none: all.
  Microseconds created_us = 0;       // 0: unsaid.
  Microseconds expires_us = never_us;
  std::string note;
};

struct Key : KeyEntry {
  std::uint32_t tenant_index = 0;  // As the caller numbers tenants.
  KeyUse* use = nullptr;

  [[nodiscard]] bool allows(std::string_view stream) const {
    return streams.empty() || matches_any(streams, stream);
  }
};

// Empty: the line is blank or a comment. The error is what is wrong: "tenant "Acme" is no name".
[[nodiscard]] std::expected<std::optional<KeyEntry>, std::string> parse_key_line(
    std::string_view line);
// The same back, without a line end.
[[nodiscard]] std::string key_line(const KeyEntry& entry);

// What is wrong with a note, if anything.
[[nodiscard]] std::optional<std::string> key_note_mistake(std::string_view note);

// "2026-11-23T10:00:00Z"; the fraction of a second is dropped.
[[nodiscard]] std::string rfc3339_seconds(Microseconds wall_us);

struct Verdict {
  enum class Kind : std::uint8_t {
    known,         // And good for the stream, if one was named.
    out_of_scope,  // Known, but not for this stream: 403.
    expired,       // Known until then.
    unknown,       // No such id, or not its secret: nobody is told which.
    mistyped,      // The checksum does not fit.
    malformed,     // Not a key at all.
  };
  Kind kind;
  const Key* key = nullptr;  // If known, out_of_scope or expired; lives as long as the table.
};

// Of a key whose secret was shown. An empty stream is not judged.
[[nodiscard]] Verdict judge_key(const Key& key, std::string_view stream, Microseconds wall_us);

class KeyTable {
 public:
  // How the caller numbers tenants.
  using TenantIndex = std::function<std::uint32_t(std::string_view tenant)>;
  struct Parsed {
    std::unique_ptr<const KeyTable> table;  // Of the lines that are right; never null.
    std::vector<std::string> mistakes;      // "FILE:LINE: what is wrong", the first few.
  };

  // `name` is the file's, for the mistakes. Entries of `uses` are made where there is none.
  [[nodiscard]] static Parsed parse(std::string_view text, std::string_view name,
                                    const TenantIndex& tenant_index, KeyUses& uses);

  // Judges the key that a client presents, at that time on the wall clock. An empty stream is not
  // judged. Allocates nothing. Does not count as a use: see KeyUse::add().
  [[nodiscard]] Verdict find(std::string_view presented, std::string_view stream,
                             Microseconds wall_us) const;

  // In the order of the file.
  [[nodiscard]] std::span<const Key> keys() const { return std::span(keys_).subspan(1); }
  [[nodiscard]] const Key* of(KeyId id) const;  // Null: there is none.
  // From 1; no other table of this process has it.
  [[nodiscard]] std::uint64_t number() const { return number_; }

 private:
  // All of it is compared, whatever it holds. An empty slot has place 0, whatever its id.
  static constexpr std::size_t bucket_slots = 10;
  struct alignas(64) Bucket {
    std::array<KeyId, bucket_slots> ids{};
    std::array<std::uint32_t, bucket_slots> places{};  // In keys_.
  };
  static_assert(sizeof(Bucket) == 128);
  // Apart from the keys and on one cache line each: comparing touches nothing else.
  struct alignas(sizeof(KeyDigest)) StoredDigest {
    KeyDigest digest;
  };

  KeyTable();
  void build_index();
  [[nodiscard]] bool try_index(std::size_t buckets);
  [[nodiscard]] std::uint64_t scrambled(KeyId id) const;
  [[nodiscard]] std::size_t place_of(KeyId id) const;

  std::vector<Key> keys_;              // The first is nobody's.
  std::vector<StoredDigest> digests_;  // Of keys_.
  std::vector<Bucket> buckets_;
  std::uint64_t seed_ = 0;
  std::uint64_t number_;
};

}  // namespace inlet::serve
