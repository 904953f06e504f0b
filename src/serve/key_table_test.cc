// Goal: exactly the keys of the file are known, for their streams and until they expire; what is
//   wrong in it is told without telling secrets.
// Method: lines by hand, keys made from seeds, 10,000 at once, every character of a key changed.

#include "serve/key_table.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <random>
#include <set>

#include "base/calendar.h"

namespace inlet::serve {
namespace {

using Kind = Verdict::Kind;
constexpr Microseconds now_us = 1'800'000'000'000'000;
const std::string hex(64, 'a');

std::string key_of(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::array<std::byte, api_key_random_bytes> bytes;
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return std::string(make_api_key(bytes).view());
}

KeyEntry entry_of(std::uint64_t seed, std::string tenant = "acme") {
  const auto key = parse_api_key(key_of(seed));
  return {.id = key->id, .digest = key->digest, .tenant = std::move(tenant)};
}

std::string mistake_of(const std::string& line) {
  const auto entry = parse_key_line(line);
  return entry ? "none" : entry.error();
}

class KeyTableTest : public testing::Test {
 protected:
  void parse(const std::string& text) {
    auto parsed = KeyTable::parse(
        text, "keys",
        [](std::string_view tenant) { return static_cast<std::uint32_t>(tenant.size()); }, uses_);
    table_ = std::move(parsed.table);
    mistakes_ = std::move(parsed.mistakes);
  }
  [[nodiscard]] Kind kind(const std::string& presented, std::string_view stream = "") const {
    return table_->find(presented, stream, now_us).kind;
  }

  KeyUses uses_;
  std::unique_ptr<const KeyTable> table_;
  std::vector<std::string> mistakes_;
};

TEST(KeyLine, comments_and_blank_lines_hold_nothing) {
  for (const char* line : {"", "  ", "\t", "\r", "# note", "   # note", "#ik_"}) {
    const auto entry = parse_key_line(line);
    ASSERT_TRUE(entry) << line;
    EXPECT_FALSE(*entry);
  }
}

TEST(KeyLine, all_fields_come_back) {
  KeyEntry entry = entry_of(1);
  entry.streams = {"web.*", "app"};
  entry.created_us = *parse_rfc3339("2026-11-23T10:00:00Z");
  entry.expires_us = *parse_rfc3339("2027-11-23T10:00:00Z");
  entry.note = R"(Zoë's "back\up" tenant=evil # x)";
  const std::string line = key_line(entry);
  EXPECT_NE(line.find(" tenant=acme streams=web.*,app created=2026-11-23T10:00:00Z "
                      "expires=2027-11-23T10:00:00Z note=\"Zoë's \\\"back\\\\up\\\" "),
            std::string::npos)
      << line;
  for (const char* const end : {"", "\r", "  ", "\t"}) {
    const auto again = parse_key_line(line + end);
    ASSERT_TRUE(again && *again) << again.error();
    EXPECT_EQ((*again)->id, entry.id);
    EXPECT_EQ((*again)->digest, entry.digest);
    EXPECT_EQ((*again)->tenant, "acme");
    EXPECT_EQ((*again)->streams, entry.streams);
    EXPECT_EQ((*again)->created_us, entry.created_us);
    EXPECT_EQ((*again)->expires_us, entry.expires_us);
    EXPECT_EQ((*again)->note, entry.note);
  }
}

TEST(KeyLine, what_is_left_out_is_every_stream_for_ever) {
  const auto entry = parse_key_line("000000000001 sha256:" + hex + " tenant=acme");
  ASSERT_TRUE(entry && *entry);
  EXPECT_TRUE((*entry)->streams.empty());
  EXPECT_EQ((*entry)->expires_us, never_us);
  const std::string line = key_line(**entry);
  EXPECT_TRUE(line.ends_with(" tenant=acme streams=*")) << line;
  EXPECT_TRUE((**parse_key_line(line)).streams.empty());
}

TEST(KeyLine, every_mistake_is_named) {
  const std::string start = "000000000001 sha256:" + hex;
  const std::string good = start + " tenant=acme";
  const std::pair<std::string, std::string> cases[] = {
      {"00000000000i sha256:" + hex, "\"00000000000i\" is no id of 12 characters"},
      {"0", "\"0\" is no id of 12 characters"},
      {"000000000001", "after the id comes sha256: and 64 hexadecimal digits"},
      {"000000000001 sha256:" + hex.substr(1) + "g tenant=a",
       "after the id comes sha256: and 64 hexadecimal digits"},
      {"000000000001 md5:00 tenant=a", "after the id comes sha256: and 64 hexadecimal digits"},
      {start, "there is no tenant="},
      {start + " streams=a", "there is no tenant="},
      {start + " tenant=Acme", "tenant \"Acme\" is no name"},
      {start + " tenant=", "tenant \"\" is no name"},
      {start + " tenant=other",
       "tenant \"other\" is reserved: it stands for all tenants beyond the most there can be"},
      {start + " tenant=../../etc/passwd/and/more", "tenant \"../../etc/pa…\" is no name"},
      {good + " tenant=acme", "\"tenant\"= stands there twice"},
      {good + " acme", "\"acme\" is not NAME=VALUE"},
      {good + " color=red",
       "\"color\"= is not known; tenant, streams, created, expires and note are"},
      {good + " streams=a,,b", "stream \"\" is no pattern such as web.*"},
      {good + " streams=a,B", "stream \"B\" is no pattern such as web.*"},
      {good + " expires=tomorrow", "expires \"tomorrow\" is no time such as 2027-01-31T12:00:00Z"},
      {good + " created=1", "created \"1\" is no time such as 2027-01-31T12:00:00Z"},
      {good + " note=backup", "note= has no quotes"},
      {good + " note=\"backup", "the note has no end"},
      {good + " note=\"backup\\\"", "the note has no end"},
      {good + " note=\"a\"b", "something follows the note's quotes at once"},
      {good + " note=\"\x1b[2J\"", "the note holds a control character"},
      {good + " note=\"\xff\"", "the note is not UTF-8"},
      {good + " note=\"" + std::string(201, 'x') + "\"", "the note has more than 200 bytes"},
      {good + std::string(5000, ' '), "the line has more than 4096 bytes"},
  };
  for (const auto& [line, mistake] : cases) EXPECT_EQ(mistake_of(line), mistake) << line;
  std::string many = good + " streams=a";
  for (int i = 0; i < 32; i++) many += ",a";
  EXPECT_EQ(mistake_of(many), "there are more than 32 streams");
}

TEST(KeyLine, a_key_in_the_wrong_place_is_not_repeated) {
  const std::string key = key_of(1);
  const std::string secret = key.substr(16);
  const std::string start = "000000000001 sha256:" + hex;
  for (const std::string& line :
       {key, key + " sha256:" + hex, key.substr(3) + " x", secret, "000000000001 " + key,
        "000000000001 sha256:" + key, start + " " + key, start + " tenant=" + key,
        start + " tenant=a note=\"" + key + "\"", start + " tenant=a streams=B," + key,
        start + " " + key + "=", start + " expires=" + secret, start + " " + secret + "=1"}) {
    const std::string mistake = mistake_of(line);
    EXPECT_NE(mistake, "none") << line;
    EXPECT_EQ(mistake.find(secret.substr(0, 13)), std::string::npos) << mistake;
  }
}

TEST_F(KeyTableTest, an_empty_table_knows_nobody) {
  parse("");
  EXPECT_EQ(kind(key_of(1)), Kind::unknown);
  EXPECT_EQ(table_->of(0), nullptr);
  EXPECT_TRUE(table_->keys().empty());
}

TEST_F(KeyTableTest, verdicts_tell_all_cases_apart) {
  KeyEntry scoped = entry_of(1);
  scoped.streams = {"web.*", "app"};
  KeyEntry expired = entry_of(2);
  expired.expires_us = now_us;
  KeyEntry lasting = entry_of(3, "hooli");
  lasting.expires_us = now_us + 1'000'000;
  parse("# ours\n" + key_line(scoped) + "\n\n" + key_line(expired) + "\n" + key_line(lasting));
  ASSERT_EQ(mistakes_, std::vector<std::string>());
  EXPECT_EQ(kind(key_of(1)), Kind::known);
  EXPECT_EQ(kind(key_of(1), "web.shop"), Kind::known);
  EXPECT_EQ(kind(key_of(1), "app"), Kind::known);
  EXPECT_EQ(kind(key_of(1), "apps"), Kind::out_of_scope);
  EXPECT_EQ(kind(key_of(2)), Kind::expired);
  EXPECT_EQ(kind(key_of(3), "anything"), Kind::known);
  EXPECT_EQ(kind(key_of(4)), Kind::unknown);
  EXPECT_EQ(kind("password"), Kind::malformed);
  EXPECT_EQ(kind(""), Kind::malformed);
  std::string mistyped = key_of(1);
  mistyped[20] = mistyped[20] == 'a' ? 'b' : 'a';
  EXPECT_EQ(kind(mistyped), Kind::mistyped);
  const Verdict verdict = table_->find(key_of(3), "", now_us);
  ASSERT_NE(verdict.key, nullptr);
  EXPECT_EQ(verdict.key->tenant, "hooli");
  EXPECT_EQ(verdict.key->tenant_index, 5U);
  EXPECT_EQ(table_->find(key_of(3), "", now_us + 1'000'000).kind, Kind::expired);
}

TEST_F(KeyTableTest, a_right_id_with_another_secret_is_unknown) {
  parse(key_line(entry_of(1)));
  std::array<std::byte, api_key_random_bytes> bytes;
  std::mt19937_64 random(1);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  for (std::size_t bit = 8 * 8; bit < 8 * bytes.size(); bit++) {
    bytes[bit / 8] ^= static_cast<std::byte>(1U << bit % 8);
    const SecretText wrong = make_api_key(bytes);
    ASSERT_EQ(parse_api_key(wrong.view())->id, table_->keys()[0].id);
    const Verdict verdict = table_->find(wrong.view(), "", now_us);
    EXPECT_EQ(verdict.kind, Kind::unknown);
    EXPECT_EQ(verdict.key, nullptr);
    bytes[bit / 8] ^= static_cast<std::byte>(1U << bit % 8);
  }
}

TEST_F(KeyTableTest, a_key_with_any_character_changed_opens_nothing) {
  parse(key_line(entry_of(1)));
  const std::string right = key_of(1);
  for (std::size_t at = 0; at < right.size(); at++) {
    for (int c = 0; c < 256; c++) {
      std::string wrong = right;
      wrong[at] = static_cast<char>(c);
      const Kind found = kind(wrong);
      if (wrong == right) {
        EXPECT_EQ(found, Kind::known);
      } else {
        EXPECT_TRUE(found == Kind::malformed || found == Kind::mistyped) << wrong;
      }
    }
  }
}

TEST_F(KeyTableTest, the_lowest_and_the_highest_id_are_found_and_no_empty_place) {
  KeyEntry lowest = entry_of(1);
  lowest.id = 0;
  parse(key_line(entry_of(2)));
  EXPECT_EQ(table_->of(0), nullptr);
  KeyEntry highest = entry_of(3);
  highest.id = (KeyId{1} << 60) - 1;
  parse(key_line(lowest) + "\n" + key_line(highest) + "\n");
  ASSERT_NE(table_->of(0), nullptr);
  EXPECT_EQ(table_->of(0)->digest, lowest.digest);
  ASSERT_NE(table_->of(highest.id), nullptr);
  EXPECT_EQ(table_->of(highest.id)->digest, highest.digest);
}

TEST_F(KeyTableTest, mistakes_carry_file_and_line_and_right_lines_still_count) {
  parse("# head\n" + key_line(entry_of(1)) + "\nrubbish\n" + key_line(entry_of(1)) + "\n" +
        key_line(entry_of(2)) + "\n");
  const KeyIdText id = key_id_text(entry_of(1).id);
  EXPECT_EQ(mistakes_,
            (std::vector<std::string>{"keys:3: \"rubbish\" is no id of 12 characters",
                                      "keys:4: the id " + std::string(id.data(), id.size()) +
                                          " stands in line 2 already"}));
  EXPECT_EQ(kind(key_of(1)), Kind::known);
  EXPECT_EQ(kind(key_of(2)), Kind::known);
}

TEST_F(KeyTableTest, the_number_of_mistakes_told_is_bounded) {
  std::string text;
  for (int i = 0; i < 1000; i++) text += "rubbish\n";
  parse(text);
  EXPECT_EQ(mistakes_.size(), key_mistakes_max);
}

TEST_F(KeyTableTest, ten_thousand_keys_are_all_found_and_their_neighbours_are_not) {
  std::string text;
  for (std::uint64_t seed = 0; seed < 10'000; seed++) {
    text += key_line(entry_of(seed, fmt::format("t{}", seed))) + "\n";
  }
  parse(text);
  ASSERT_EQ(mistakes_, std::vector<std::string>());
  ASSERT_EQ(table_->keys().size(), 10'000U);
  for (std::uint64_t seed = 0; seed < 10'000; seed++) {
    const Verdict verdict = table_->find(key_of(seed), "", now_us);
    ASSERT_EQ(verdict.kind, Kind::known);
    ASSERT_EQ(verdict.key->tenant, fmt::format("t{}", seed));
    ASSERT_EQ(table_->of(verdict.key->id), verdict.key);
    ASSERT_EQ(kind(key_of(10'000 + seed)), Kind::unknown);
  }
}

TEST_F(KeyTableTest, more_keys_than_there_is_room_for_are_a_mistake) {
  std::string text;
  KeyEntry entry = entry_of(1);
  for (entry.id = 0; entry.id <= keys_max; entry.id++) text += key_line(entry) + "\n";
  parse(text);
  EXPECT_EQ(mistakes_, std::vector<std::string>{"keys:50001: there are more than 50000 keys"});
  EXPECT_EQ(table_->keys().size(), keys_max);
}

TEST_F(KeyTableTest, uses_are_found_again_by_the_next_table) {
  parse(key_line(entry_of(1)) + "\n" + key_line(entry_of(2)));
  table_->keys()[1].use->add(now_us);
  parse(key_line(entry_of(2)));
  EXPECT_EQ(table_->keys()[0].use->count, 1U);
  EXPECT_EQ(table_->keys()[0].use->last_us, now_us);
}

TEST(KeyTime, is_written_as_it_is_read) {
  const std::uint64_t seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  std::uniform_int_distribution<Microseconds> seconds(0, 250'000'000'000);  // Until 9892.
  for (int i = 0; i < 10'000; i++) {
    const Microseconds at_us = seconds(random) * 1'000'000;
    ASSERT_EQ(parse_rfc3339(rfc3339_seconds(at_us)), at_us) << rfc3339_seconds(at_us);
  }
}

}  // namespace
}  // namespace inlet::serve
