// Goal: every spelling of a key is read as the one key it is or refused, and what stands for keys
// and bodies differs where they differ.
// Method: tables of spellings; each part of a key and of a body changed by itself, each byte of a
// body at lengths where its hash takes another way.

#include "serve/idempotency_key.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <utility>

namespace inlet::serve {
namespace {

IdempotencySecret counting_secret() {
  IdempotencySecret secret;
  for (std::size_t i = 0; i < secret.size(); i++) secret[i] = static_cast<std::byte>(i);
  return secret;
}

std::string text_of(std::string_view field) {
  const auto key = IdempotencyKey::parse(field);
  return key ? std::string(key->text()) : "refused";
}

TEST(IdempotencyKey, is_the_same_bare_and_quoted) {
  EXPECT_EQ(text_of("k-1"), "k-1");
  EXPECT_EQ(text_of("\"k-1\""), "k-1");
  EXPECT_EQ(text_of("8e03978e-40d5-43dd-bc93-6894a57f9324"),
            "8e03978e-40d5-43dd-bc93-6894a57f9324");
  EXPECT_EQ(text_of("aGk+/=="), "aGk+/==");
  EXPECT_EQ(text_of("\"a,b;c\""), "a,b;c");
  EXPECT_EQ(text_of(R"("a\"b\\c")"), "a\"b\\c");
}

TEST(IdempotencyKey, is_refused_if_it_is_empty_too_long_or_not_well_formed) {
  for (const std::string_view field :
       {"", "\"", "\"\"", "\"a", "a\"", "\"a\"b\"", R"("a\")", R"("a\b")", R"(a\b)", "a,b", "a;b",
        "a b", "\"a b\"", "\"a\";p=1", "\"a\tb\"", "a\x7F", "\xC3\xA9", "\"\xC3\xA9\""}) {
    EXPECT_EQ(text_of(field), "refused") << field;
  }
  EXPECT_EQ(text_of(std::string(1, '\0')), "refused");
}

TEST(IdempotencyKey, has_at_most_255_characters_whatever_their_spelling) {
  const std::string longest(255, 'k');
  EXPECT_EQ(text_of(longest), longest);
  EXPECT_EQ(text_of('"' + longest + '"'), longest);
  EXPECT_EQ(text_of(longest + "k"), "refused");
  EXPECT_EQ(text_of('"' + longest + "k\""), "refused");
  std::string escaped = "\"";
  for (int i = 0; i < 255; i++) escaped += "\\\\";
  EXPECT_EQ(text_of(escaped + '"'), std::string(255, '\\'));
  EXPECT_EQ(text_of(escaped + "k\""), "refused");
}

std::optional<std::string> wrong_with(const std::string& lines) {
  const std::string text = "POST /ingest/s HTTP/1.1\r\nHost: h\r\n" + lines + "\r\n";
  http::RequestHead head;
  EXPECT_EQ(http::parse_head(text, head).kind, http::HeadResult::Kind::complete);
  const auto key = read_idempotency_key(head);
  return key ? std::nullopt : std::optional(key.error());
}

TEST(IdempotencyKey, of_a_head_is_none_or_one) {
  EXPECT_EQ(wrong_with(""), std::nullopt);
  EXPECT_EQ(wrong_with("idempotency-KEY: k\r\n"), std::nullopt);
  EXPECT_EQ(wrong_with("Idempotency-Key: \"k\"\r\nIdempotency-Keys: no key\r\n"), std::nullopt);
  EXPECT_NE(wrong_with("Idempotency-Key: a b\r\n"), std::nullopt);
  EXPECT_NE(wrong_with("Idempotency-Key:\r\n"), std::nullopt);
  EXPECT_NE(wrong_with("Idempotency-Key: a\r\nidempotency-key: a\r\n"), std::nullopt);
}

TEST(HashKey, depends_on_tenant_stream_key_and_secret) {
  const auto hash = [](std::string_view tenant, std::string_view stream, std::string_view key,
                       std::byte first = std::byte{0}) {
    IdempotencySecret secret = counting_secret();
    secret[0] = first;
    const Hash128 made = hash_key(secret, tenant, stream, *IdempotencyKey::parse(key));
    return std::pair(made.low, made.high);
  };
  EXPECT_EQ(hash("t", "s", "k"), hash("t", "s", "\"k\""));
  const std::set made{
      hash("t", "s", "k"),  hash("u", "s", "k"),  hash("t", "r", "k"),
      hash("t", "s", "l"),  hash("ts", "k", "k"), hash("t", "sk", "k"),
      hash("t", "s", "kk"), hash("s", "t", "k"),  hash("t", "s", "k", std::byte{1})};
  EXPECT_EQ(made.size(), 9U);
}

TEST(BodyHasher, tells_bodies_and_encodings_apart_and_repeats_itself) {
  const BodyHasher hasher(counting_secret());
  IdempotencySecret other_secret = counting_secret();
  other_secret[15] = std::byte{0};
  const BodyHasher other(other_secret);
  const std::string body(300'000, 'x');
  std::string flipped = body;
  flipped[299'999] = 'y';
  std::set<std::pair<std::uint64_t, std::uint64_t>> made;
  const auto hash = [&](const BodyHasher& with, std::string_view encoding, std::string_view bytes) {
    const Hash128 got = with.hash(encoding, as_bytes(bytes));
    EXPECT_EQ(got, with.hash(encoding, as_bytes(bytes)));
    made.emplace(got.low, got.high);
  };
  hash(hasher, "", body);
  hash(other, "", body);
  hash(hasher, "", flipped);
  hash(hasher, "", std::string_view(body).substr(1));
  hash(hasher, "gzip", body);
  hash(hasher, "", body + "gzip");
  hash(hasher, "zip", body + "g");
  hash(hasher, "", "");
  hash(hasher, "", std::string_view("\0", 1));
  EXPECT_EQ(made.size(), 9U);
}

TEST(BodyHasher, sees_every_byte_at_every_length) {
  const BodyHasher hasher(counting_secret());
  std::set<std::pair<std::uint64_t, std::uint64_t>> made;
  std::size_t bodies = 0;
  const auto add = [&](const std::string& body) {
    const Hash128 got = hasher.hash("", as_bytes(body));
    made.emplace(got.low, got.high);
    bodies++;
  };
  for (const std::size_t length : {1, 3, 4, 8, 9, 16, 17, 128, 129, 240, 241, 1024, 1025, 3000}) {
    std::string body(length, 'x');
    add(body);
    for (char& byte : body) {
      byte ^= 1;
      add(body);
      byte ^= 1;
    }
  }
  EXPECT_EQ(made.size(), bodies);
}

}  // namespace
}  // namespace inlet::serve
