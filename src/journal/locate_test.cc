// Goal: every record is located, what is located is what the reader then reads, and little is read
//   for it.
// Method: a journal of records of random sizes over several segments (INLET_LOCATE_SEED repeats
//   it), bits turned over in it; the file system counts what is read.

#include "journal/locate.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>

#include "base/directory_test.h"
#include "base/log.h"
#include "base/posix_file.h"
#include "journal/journal.h"
#include "journal/reader.h"

namespace inlet::journal {
namespace {

class CountingFile final : public File {
 public:
  CountingFile(std::unique_ptr<File> file, std::uint64_t& bytes)
      : file_(std::move(file)), bytes_(bytes) {}
  Result<std::size_t> read_at(MutableBytes out, std::uint64_t offset) override {
    bytes_ += out.size();
    return file_->read_at(out, offset);
  }
  Result<std::size_t> write_at(std::span<const iovec> parts, std::uint64_t offset,
                               Flush flush) override {
    return file_->write_at(parts, offset, flush);
  }
  Status sync() override { return file_->sync(); }
  Result<std::uint64_t> size() override { return file_->size(); }

 private:
  std::unique_ptr<File> file_;
  std::uint64_t& bytes_;
};

class CountingFiles final : public FileSystem {
 public:
  Result<std::unique_ptr<File>> open(const std::string& path, OpenOptions options) override {
    auto file = files_.open(path, options);
    if (!file) return file;
    return std::make_unique<CountingFile>(std::move(*file), bytes_read);
  }
  Result<std::vector<std::string>> list(const std::string& path) override {
    return files_.list(path);
  }
  Status make_directories(const std::string& path) override {
    return files_.make_directories(path);
  }
  Status rename(const std::string& from, const std::string& to) override {
    return files_.rename(from, to);
  }
  Status remove(const std::string& path) override { return files_.remove(path); }
  Status sync_directory(const std::string& path) override { return files_.sync_directory(path); }
  Result<Space> space(const std::string& path) override { return files_.space(path); }
  Result<std::unique_ptr<FileLock>> lock(const std::string& path) override {
    return files_.lock(path);
  }

  std::uint64_t bytes_read = 0;

 private:
  PosixFileSystem files_;
};

class NoListener final : public CommitListener {
 public:
  void on_commits(unsigned, Ticket*) override {}
};

class LocateTest : public testing::Test {
 protected:
  LocateTest() {
    set_log_level(LogLevel::off);
    const char* const given = std::getenv("INLET_LOCATE_SEED");
    const std::uint64_t seed =
        given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
    std::printf("INLET_LOCATE_SEED=%llu\n", static_cast<unsigned long long>(seed));
    random.seed(seed);
  }
  ~LocateTest() override {
    journal.reset();
    std::filesystem::remove_all(root);
  }

  void open(std::uint64_t segment_bytes) {
    auto opened = Journal::open(
        files, clock, pool, listener,
        {.store = {
             .directory = root, .segment_bytes = segment_bytes, .bytes_max = 16 * segment_bytes}});
    ASSERT_TRUE(opened) << opened.error().what;
    journal = std::move(*opened);
    journal->keep_house();
  }
  void store(std::size_t bytes) {
    const std::string body(bytes, static_cast<char>(random()));
    Ticket ticket;
    ASSERT_TRUE(journal->append(ticket, {.tenant = "acme", .stream = "web"}, as_bytes(body), 7));
    journal->commit_once();
    ASSERT_EQ(ticket.result, CommitResult::committed);
    newest = ticket.sequence;
    journal->keep_house();
  }
  // Whether the reader gets the record from the hint.
  bool is_read(std::uint64_t sequence) {
    const auto located = locate(files, root, sequence);
    EXPECT_TRUE(located);
    if (!located || !located->at) return false;
    Reader reader(files, root);
    reader.seek(*located->at);
    const auto record = reader.next();
    EXPECT_TRUE(record && *record && (*record)->sequence == sequence) << sequence;
    EXPECT_EQ(reader.position().segment, located->at->segment);
    return true;
  }

  CountingFiles files;
  SystemClock clock;
  MemoryBudget budget{SIZE_MAX};
  BufferPool pool{budget};
  NoListener listener;
  const std::string root = make_test_directory("locate_test");
  std::mt19937_64 random;
  std::unique_ptr<Journal> journal;
  std::uint64_t newest = 0;
};

TEST_F(LocateTest, finds_every_record_of_any_size_in_any_segment) {
  open(2U << 20);
  const std::size_t sizes[] = {0, 10, 1000, 5000, limits::staged_record_bytes_max};
  while (newest < 200) store(sizes[random() % std::size(sizes)] * (random() % 8) / 7);
  for (std::uint64_t sequence = 1; sequence <= newest; sequence++) {
    EXPECT_TRUE(is_read(sequence)) << sequence;
  }
  const auto next = locate(files, root, newest + 1);
  ASSERT_TRUE(next);
  EXPECT_FALSE(next->at);
  EXPECT_FALSE(next->is_gone);
}

TEST_F(LocateTest, reads_little_of_a_large_segment) {
  open(64U << 20);
  while (newest < 900) store(limits::staged_record_bytes_max);
  for (const std::uint64_t sequence : {std::uint64_t{1}, newest / 2, newest}) {
    files.bytes_read = 0;
    EXPECT_TRUE(is_read(sequence));
    EXPECT_LT(files.bytes_read, 16U << 20);
  }
}

TEST_F(LocateTest, of_damage_finds_nothing_wrong) {
  open(2U << 20);
  while (newest < 100) store(random() % 30'000);
  journal.reset();
  for (int i = 0; i < 50; i++) {
    const std::string path = root + "/segment-00000" + std::to_string(1 + random() % 2);
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(random() % (1U << 20)));
    file.put(static_cast<char>(random()));
  }
  std::uint64_t found = 0;
  for (std::uint64_t sequence = 1; sequence <= newest; sequence++) {
    const auto located = locate(files, root, sequence);
    ASSERT_TRUE(located);
    if (!located->at) continue;
    found++;
    EXPECT_EQ(located->at->sequence, sequence);
  }
  EXPECT_GT(found, 0U);
}

TEST_F(LocateTest, tells_what_is_before_the_oldest_segment) {
  open(limits::segment_bytes_min);
  while (newest < 60) store(limits::staged_record_bytes_max);
  journal.reset();
  std::filesystem::remove(root + "/segment-000001");
  EXPECT_TRUE(locate(files, root, 1)->is_gone);
  EXPECT_FALSE(locate(files, root, newest)->is_gone);
}

}  // namespace
}  // namespace inlet::journal
