// Goal: a key is 160 random bits that no slip of the hand turns into another key, and what is kept
//   of it is its id and SHA-256.
// Method: fixed and random keys, every character of one changed into every other, and the digest
//   computed again with OpenSSL.

#include "serve/api_key.h"

#include <gtest/gtest.h>
#include <openssl/sha.h>

#include <random>
#include <set>
#include <string>

namespace inlet::serve {
namespace {

using Random = std::array<std::byte, api_key_random_bytes>;

Random random_bytes(std::mt19937_64& random) {
  Random bytes;
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

std::string some_key(std::uint64_t seed = 1) {
  std::mt19937_64 random(seed);
  return std::string(make_api_key(random_bytes(random)).view());
}

KeyDigest sha256(std::string_view text) {
  KeyDigest digest;
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(),
         reinterpret_cast<unsigned char*>(digest.data()));
  return digest;
}

TEST(ApiKey, the_form_never_changes) {
  EXPECT_EQ(make_api_key(Random{}).view(),
            "ik_000000000000_0000000000000000000000000000000028xzx5f");
  Random ones;
  ones.fill(std::byte{0xFF});
  const std::string text(make_api_key(ones).view());
  EXPECT_EQ(text.substr(0, text.size() - api_key_check_chars),
            "ik_zzzzzzzzzzzz_zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz");
  EXPECT_EQ(text.size(), api_key_chars);
}

TEST(ApiKey, id_and_digest_come_back) {
  const std::string text = some_key();
  const auto key = parse_api_key(text);
  ASSERT_TRUE(key);
  const KeyIdText id = key_id_text(key->id);
  EXPECT_EQ(text.substr(3, 12), std::string_view(id.data(), id.size()));
  EXPECT_EQ(parse_key_id(text.substr(3, 12)), key->id);
  EXPECT_EQ(key->digest, sha256(text));
  EXPECT_EQ(parse_api_key(text)->digest, sha256(text)) << "the hasher does not remember";
}

// 60 bits of id and 160 of secret: each random bit that is used changes the text.
TEST(ApiKey, every_random_bit_counts) {
  Random bytes{};
  std::set<std::string> texts;
  for (std::size_t bit = 0; bit < 8 * bytes.size(); bit++) {
    bytes[bit / 8] ^= static_cast<std::byte>(1U << bit % 8);
    texts.emplace(make_api_key(bytes).view().substr(0, api_key_chars - api_key_check_chars));
    bytes[bit / 8] ^= static_cast<std::byte>(1U << bit % 8);
  }
  EXPECT_EQ(texts.size(), 220U + 1U);  // The four bits that the id has not room for: one text.
}

TEST(ApiKey, no_single_wrong_character_makes_another_key) {
  const std::string right = some_key();
  int mistyped = 0;
  for (std::size_t at = 0; at < right.size(); at++) {
    for (int c = 0; c < 256; c++) {
      std::string wrong = right;
      wrong[at] = static_cast<char>(c);
      if (wrong == right) continue;
      const auto key = parse_api_key(wrong);
      ASSERT_FALSE(key) << wrong;
      mistyped += key.error() == KeyFault::mistyped ? 1 : 0;
    }
  }
  EXPECT_EQ(mistyped, 31 * (12 + 32 + 7));  // The others have not the form of a key.
}

TEST(ApiKey, neighbours_swapped_are_mistyped) {
  const std::string right = some_key();
  for (std::size_t at = 3; at + 1 < right.size(); at++) {
    std::string wrong = right;
    std::swap(wrong[at], wrong[at + 1]);
    EXPECT_EQ(parse_api_key(wrong).has_value(), wrong == right) << wrong;
  }
}

TEST(ApiKey, another_form_is_not_a_key) {
  const std::string right = some_key();
  for (const std::string& wrong :
       {std::string(), std::string("ik_"), right.substr(1), right + "0", right + "\n", " " + right,
        "IK" + right.substr(2), right.substr(0, 54), std::string(55, '0'),
        std::string(100'000, 'a'), std::string(55, '\0')}) {
    const auto key = parse_api_key(wrong);
    ASSERT_FALSE(key);
    EXPECT_EQ(key.error(), KeyFault::not_a_key);
  }
}

TEST(ApiKey, an_id_is_twelve_characters_of_the_alphabet) {
  for (const char* wrong : {"", "00000000000", "0000000000000", "00000000000i", "00000000000l",
                            "00000000000o", "00000000000u", "00000000000A", "00000000000-"}) {
    EXPECT_FALSE(parse_key_id(wrong)) << wrong;
  }
  EXPECT_EQ(parse_key_id("000000000000"), 0U);
  EXPECT_EQ(parse_key_id("00000000000z"), 31U);
  EXPECT_EQ(parse_key_id("zzzzzzzzzzzz"), (KeyId{1} << 60) - 1);
}

TEST(ApiKey, random_keys_come_back_and_differ) {
  const std::uint64_t seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  std::set<std::string> texts;
  for (int i = 0; i < 10'000; i++) {
    const SecretText text = make_api_key(random_bytes(random));
    const auto key = parse_api_key(text.view());
    ASSERT_TRUE(key) << text.view();
    ASSERT_EQ(key->digest, sha256(text.view()));
    texts.emplace(text.view());
  }
  EXPECT_EQ(texts.size(), 10'000U);
}

TEST(ApiKey, digests_that_differ_in_one_bit_differ) {
  const KeyDigest right = sha256("right");
  EXPECT_TRUE(same_digest(right, right));
  for (std::size_t bit = 0; bit < 8 * right.size(); bit++) {
    KeyDigest wrong = right;
    wrong[bit / 8] ^= static_cast<std::byte>(1U << bit % 8);
    EXPECT_FALSE(same_digest(right, wrong));
  }
}

TEST(ApiKey, a_secret_is_gone_when_its_scope_ends) {
  alignas(SecretText) char memory[sizeof(SecretText)];
  auto* const secret = new (memory) SecretText(Random{});
  EXPECT_NE(std::string_view(memory, sizeof memory).find("ik_"), std::string_view::npos);
  secret->~SecretText();
  EXPECT_EQ(std::string_view(memory, sizeof memory), std::string(sizeof memory, '\0'));
}

}  // namespace
}  // namespace inlet::serve
