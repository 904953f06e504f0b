// Goal: the proof is right about every kind of archive, and cannot be talked into a false "found".
// Method: archives made up in a temporary directory, read at once and while they grow.

#include "load/verifier.h"

#include <gtest/gtest.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <filesystem>
#include <map>

#include "base/posix_file.h"
#include "load/body.h"

namespace inlet::loader {
namespace {

constexpr const char* run = "00112233445566ff";

std::string body(std::uint64_t number, const char* of_run = run) {
  static std::map<std::string, BodyMaker> makers;
  const auto [maker, made] = makers.try_emplace(of_run, BodyMaker::Options{of_run, 100});
  std::string text;
  const BodyParts parts = maker->second.append(number, text);
  return text.append(parts.middle).append(parts.end);
}
std::string bare(std::uint64_t number) { return body(number) + "\n"; }
std::string enveloped(std::uint64_t number) {
  return R"({"id":"a-1","tenant":"t","stream":"s","received_at":"x","data":)" + body(number) +
         "}\n";
}
std::string bare_range(std::uint64_t first, std::uint64_t last) {
  std::string lines;
  for (std::uint64_t number = first; number <= last; number++) lines += bare(number);
  return lines;
}

std::string zstd(const std::string& plain) {
  std::string packed(ZSTD_compressBound(plain.size()), '\0');
  packed.resize(ZSTD_compress(packed.data(), packed.size(), plain.data(), plain.size(), 1));
  return packed;
}
std::string gzip(const std::string& plain) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string packed(deflateBound(&stream, plain.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(plain.data()));
  stream.avail_in = static_cast<uInt>(plain.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

// Time passes only by sleeping.
class StoppedClock final : public Clock {
 public:
  Microseconds wall_us() override { return now_us_; }
  Microseconds steady_us() override { return now_us_; }
  void sleep(Microseconds duration) override {
    now_us_ += duration;
    if (on_sleep) on_sleep();
  }
  std::function<void()> on_sleep;

 private:
  Microseconds now_us_ = 0;
};

class VerifierTest : public testing::Test {
 protected:
  VerifierTest()
      : directory_(testing::TempDir() + "verifier_test." + std::to_string(::getpid())),
        archive_(files_, directory_),
        verifier_(archive_, ledger_) {
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directories(directory_);
  }
  ~VerifierTest() override { std::filesystem::remove_all(directory_); }

  void acknowledge(std::uint64_t first, std::uint64_t last) {
    for (std::uint64_t number = first; number <= last; number++) {
      ledger_.add(run)->acknowledge(number);
    }
  }
  void put(const std::string& name, const std::string& bytes) {
    const std::string path = directory_ + "/" + name;
    std::filesystem::create_directories(parent_directory(path));
    auto file = files_.open(path, {.write = true, .create = true, .truncate = true});
    ASSERT_TRUE(file);
    if (bytes.empty()) return;
    ASSERT_TRUE(write_all(**file, as_bytes(bytes), 0, Flush::no));
  }
  Proof read() {
    EXPECT_TRUE(verifier_.run_once([] { return true; }));
    return verifier_.proof();
  }

  PosixFileSystem files_;
  const std::string directory_;
  Ledger ledger_;
  Archive archive_;
  Verifier verifier_;
};

TEST_F(VerifierTest, finds_lines_of_every_form_in_objects_of_every_kind_at_any_depth) {
  acknowledge(1, 8);
  put("tenant=t/stream=s/date=2026-01-01/hour=00/n-1-2.ndjson.zst", zstd(enveloped(1) + bare(2)));
  put("tenant=t/stream=s/date=2026-01-01/hour=01/n-3-4.ndjson.gz", gzip(bare(3) + enveloped(4)));
  put("tenant=t/stream=u/n-5-5.ndjson", bare(5) + "\n\n");
  put("plain", body(6));  // No line end.
  std::string quoted = body(7);
  for (std::size_t at = quoted.find('"'); at != std::string::npos; at = quoted.find('"', at + 2)) {
    quoted.insert(at, 1, '\\');
  }
  put("text.ndjson", R"({"id":"x","text":")" + quoted + "\"}\n");
  put("many.gz", gzip(bare(1000)) + gzip(bare(8)));
  const Proof proof = read();
  EXPECT_EQ(proof.acknowledged, 8u);
  EXPECT_EQ(proof.found, 8u);
  EXPECT_EQ(proof.missing, 0u);
  EXPECT_EQ(proof.unacknowledged, 1u);
  EXPECT_EQ(proof.malformed + proof.damaged + proof.twice + proof.foreign, 0u);
  EXPECT_EQ(proof.objects, 6u);
}

TEST_F(VerifierTest, names_what_is_missing) {
  acknowledge(1, 100);
  put("a.ndjson", bare_range(1, 40) + bare_range(42, 98));
  const Proof proof = read();
  EXPECT_EQ(proof.missing, 3u);
  ASSERT_EQ(proof.first_missing.size(), 3u);
  EXPECT_EQ(proof.first_missing[0].number, 41u);
  EXPECT_EQ(proof.first_missing[0].run, run);
  EXPECT_EQ(proof.first_missing[2].number, 100u);
}

TEST_F(VerifierTest, looks_up_the_ids_of_missing_numbers) {
  std::string lines;
  append_acked_line(lines, {.run = run, .number = 41, .status = 200, .id = "abc-29"});
  append_acked_line(lines, {.run = "ffffffffffffffff", .number = 42, .status = 200, .id = "no"});
  put(".acked", lines);
  std::vector<Missing> missing = {{run, 41, {}}, {run, 42, {}}};
  auto file = files_.open(directory_ + "/.acked", {});
  ASSERT_TRUE(look_up_ids(**file, missing));
  EXPECT_EQ(missing[0].id, "abc-29");
  EXPECT_EQ(missing[1].id, "");
}

TEST_F(VerifierTest, ignores_work_in_progress_and_records_of_others) {
  acknowledge(1, 2);
  put(".n-1-2.ndjson.tmp", bare(1));
  put(".hidden/a.ndjson", bare(2));
  put("a.ndjson", body(1, "ffffffffffffffff") + "\n[1]\n7\n{\"data\":{\"run\":5}}\n{\"n\":1}\n");
  const Proof proof = read();
  EXPECT_EQ(proof.found, 0u);
  EXPECT_EQ(proof.foreign, 5u);
  EXPECT_EQ(proof.objects, 1u);
}

TEST_F(VerifierTest, counts_doubles_across_objects_and_inside_one) {
  acknowledge(1, 10);
  put("a.ndjson", bare_range(1, 10) + bare(3));
  put("b.ndjson", bare(4) + bare(3));
  const Proof proof = read();
  EXPECT_EQ(proof.found, 10u);
  EXPECT_EQ(proof.twice, 2u);
  EXPECT_EQ(proof.duplicates(), 2u);
}

TEST_F(VerifierTest, a_body_altered_or_cut_is_not_found) {
  acknowledge(1, 3);
  std::string altered = bare(1);
  altered[80] = static_cast<char>(altered[80] ^ 1);
  const std::string cut = body(2).substr(0, 60) + "\n";
  std::string renumbered = bare(4);
  renumbered.replace(renumbered.find("\"n\":4"), 5, "\"n\":3");
  put("a.ndjson", altered + cut + renumbered);
  const Proof proof = read();
  EXPECT_EQ(proof.found, 0u);
  EXPECT_EQ(proof.damaged, 2u);
  EXPECT_EQ(proof.malformed, 1u);
}

TEST_F(VerifierTest, reads_a_truncated_object_as_far_as_it_goes_and_on_when_it_is_whole) {
  acknowledge(1, 20000);
  for (const bool zip : {false, true}) {
    const std::string lines = zip ? bare_range(1, 10000) : bare_range(10001, 20000);
    const std::string whole = zip ? gzip(lines) : zstd(lines);
    const std::string name = zip ? "a.ndjson.gz" : "a.ndjson.zst";
    put(name, whole.substr(0, whole.size() / 2));
    const Proof half = read();
    EXPECT_EQ(half.objects_unreadable, 1u);
    ASSERT_EQ(half.problems.size(), 1u);
    EXPECT_NE(half.problems[0].find(name), std::string::npos);
    put(name, whole);
    const Proof proof = read();
    EXPECT_EQ(proof.found, zip ? 20000u : 10000u);
    EXPECT_EQ(proof.twice, 0u);
    EXPECT_EQ(proof.objects_unreadable, 0u);
  }
}

TEST_F(VerifierTest, a_compressed_object_is_found_truncated_at_every_length) {
  acknowledge(1, 20);
  const std::string whole = zstd(bare_range(1, 20));
  for (std::size_t bytes = 0; bytes < whole.size(); bytes++) {
    put("a.zst", whole.substr(0, bytes));
    const Proof proof = read();
    ASSERT_EQ(proof.objects_unreadable, 1u) << bytes;
    ASSERT_EQ(proof.twice + proof.malformed, 0u) << bytes;
  }
  put("a.zst", whole);
  EXPECT_EQ(read().found, 20u);
}

TEST_F(VerifierTest, damage_inside_an_object_is_reported) {
  acknowledge(1, 1000);
  std::string packed = gzip(bare_range(1, 1000));
  packed[packed.size() / 2] = static_cast<char>(packed[packed.size() / 2] ^ 0x55);
  put("a.gz", packed);
  put("b.zst", "this is not zstd");
  const Proof proof = read();
  EXPECT_EQ(proof.objects_unreadable, 2u);
  EXPECT_GT(proof.missing, 0u);
}

TEST_F(VerifierTest, follows_a_plain_file_that_grows_byte_by_byte) {
  acknowledge(1, 3);
  const std::string lines = bare_range(1, 3);
  for (std::size_t bytes = 1; bytes <= lines.size(); bytes++) {
    put("a.ndjson", lines.substr(0, bytes));
    ASSERT_EQ(read().twice, 0u) << bytes;
  }
  EXPECT_EQ(read().found, 3u);
  EXPECT_EQ(read().malformed, 0u);
}

TEST_F(VerifierTest, an_object_written_again_with_the_same_bytes_is_no_double) {
  acknowledge(1, 5);
  put("a.ndjson.zst", zstd(bare_range(1, 5)));
  read();
  put("a.ndjson.zst", zstd(bare_range(1, 5)));
  EXPECT_EQ(read().twice, 0u);
}

TEST_F(VerifierTest, waits_for_objects_that_appear_later) {
  acknowledge(1, 10);
  StoppedClock clock;
  int sleeps = 0;
  clock.on_sleep = [&] {
    sleeps++;
    if (sleeps == 3) put("a.ndjson", bare_range(1, 5));
    if (sleeps == 9) put("b.ndjson", bare_range(6, 10));
  };
  const Patience patience{.timeout_us = 1'000'000, .poll_us = 100'000};
  ASSERT_TRUE(verify_until(verifier_, clock, patience, [] { return true; }));
  EXPECT_EQ(verifier_.found(), 10u);
  EXPECT_EQ(sleeps, 10);
}

TEST_F(VerifierTest, gives_up_after_the_time_without_progress) {
  acknowledge(1, 10);
  put("a.ndjson", bare_range(1, 5));
  StoppedClock clock;
  int sleeps = 0;
  clock.on_sleep = [&] {
    if (++sleeps == 7) put("b.ndjson", bare(6));
  };
  const Patience patience{.timeout_us = 1'000'000, .poll_us = 100'000};
  ASSERT_TRUE(verify_until(verifier_, clock, patience, [] { return true; }));
  EXPECT_EQ(verifier_.proof().missing, 4u);
  EXPECT_EQ(sleeps, 17);
}

TEST_F(VerifierTest, stops_when_told_to) {
  acknowledge(1, 10);
  put("a.ndjson", bare_range(1, 5));
  StoppedClock clock;
  int asked = 0;
  ASSERT_TRUE(verify_until(verifier_, clock, {}, [&] { return ++asked < 5; }));
  EXPECT_EQ(verifier_.found(), 5u);
}

TEST_F(VerifierTest, a_directory_that_does_not_exist_yet_is_empty) {
  acknowledge(1, 1);
  std::filesystem::remove_all(directory_);
  EXPECT_EQ(read().missing, 1u);
  put("a.ndjson", bare(1));
  EXPECT_EQ(read().found, 1u);
}

}  // namespace
}  // namespace inlet::loader
