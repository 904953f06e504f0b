// Goal: the archive holds every delivered record exactly once, whatever fails, and wherever the
//   process dies: objects are whole or absent, and a repeat replaces its own work.
// Method: a real directory behind a file system that counts operations and fails, or dies at, any
//   one of them; all objects read back and compared.

#include "sinks/file_sink.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>
#include <fstream>

#include "base/directory_test.h"
#include "base/posix_file.h"
#include "sinks/text.h"

namespace inlet::sinks {
namespace {

namespace fs = std::filesystem;

constexpr Microseconds noon_us = 1'700'000'000'000'000 / hour_us * hour_us;

// Passes everything on until operation `fail_at`. That one fails; as a crash, so does all after it,
// and nothing more happens on the disk.
class FaultyFiles final : public FileSystem {
 public:
  class FaultyFile final : public File {
   public:
    FaultyFile(FaultyFiles& owner, std::unique_ptr<File> file)
        : owner_(owner), file_(std::move(file)) {}
    Result<std::size_t> read_at(MutableBytes out, std::uint64_t offset) override {
      return file_->read_at(out, offset);
    }
    Result<std::size_t> write_at(std::span<const iovec> parts, std::uint64_t offset,
                                 Flush flush) override {
      if (const Status may = owner_.step(); !may) return fail(may);
      return file_->write_at(parts, offset, flush);
    }
    Status sync() override {
      const Status may = owner_.step();
      return may ? file_->sync() : may;
    }
    Result<std::uint64_t> size() override { return file_->size(); }

   private:
    FaultyFiles& owner_;
    std::unique_ptr<File> file_;
  };

  Status step() {
    operations++;
    if (operations < fail_at || (operations > fail_at && !crash)) return {};
    if (os == ENOSPC) return fail(ErrorKind::overload, "disk full", os);
    return fail(ErrorKind::retry, "input/output error", os);
  }

  Result<std::unique_ptr<File>> open(const std::string& path, OpenOptions options) override {
    if (const Status may = step(); !may) return fail(may);
    auto file = real_.open(path, options);
    if (!file) return file;
    return std::make_unique<FaultyFile>(*this, std::move(*file));
  }
  Result<std::vector<std::string>> list(const std::string& path) override {
    return real_.list(path);
  }
  Status make_directories(const std::string& path) override {
    const Status may = step();
    return may ? real_.make_directories(path) : may;
  }
  Status rename(const std::string& from, const std::string& to) override {
    const Status may = step();
    return may ? real_.rename(from, to) : may;
  }
  Status remove(const std::string& path) override {
    const Status may = step();
    return may ? real_.remove(path) : may;
  }
  Status sync_directory(const std::string& path) override {
    synced.push_back(path);
    const Status may = step();
    return may ? real_.sync_directory(path) : may;
  }
  Result<Space> space(const std::string& path) override { return real_.space(path); }
  Result<std::unique_ptr<FileLock>> lock(const std::string& path) override {
    return real_.lock(path);
  }

  int operations = 0;
  int fail_at = INT32_MAX;
  bool crash = false;
  int os = EIO;
  std::vector<std::string> synced;

 private:
  PosixFileSystem real_;
};

class FileSinkTest : public testing::Test {
 protected:
  FileSinkTest() { root_ = make_test_directory("file_sink_test"); }
  ~FileSinkTest() override { fs::remove_all(root_); }

  FileSinkOptions options(Compression compression = Compression::none) {
    return {.path = archive(), .archive = {.compression = compression, .envelope = false}};
  }
  std::string archive() const { return (root_ / "archive").string(); }

  // All objects by their path below the archive, decoded; names that start with a dot apart.
  std::map<std::string, std::string> objects(bool hidden = false) const {
    std::map<std::string, std::string> found;
    if (!fs::exists(archive())) return found;
    for (const auto& entry : fs::recursive_directory_iterator(archive())) {
      const std::string name = entry.path().filename();
      if (!entry.is_regular_file() || name.starts_with('.') != hidden) continue;
      std::ifstream in(entry.path(), std::ios::binary);
      const std::string bytes(std::istreambuf_iterator<char>(in), {});
      const codec::Encoding encoding = name.ends_with(".zst")  ? codec::Encoding::zstd
                                       : name.ends_with(".gz") ? codec::Encoding::gzip
                                                               : codec::Encoding::identity;
      codec::Decoder decoder;
      std::string text;
      EXPECT_TRUE(decoder.decode(encoding, as_bytes(bytes), 1U << 30, text) || hidden) << name;
      found[fs::relative(entry.path(), archive())] = text;
    }
    return found;
  }

  Record record(std::uint64_t sequence, std::string_view stream, Microseconds at,
                std::string_view body) {
    return {.sequence = sequence,
            .received_us = at,
            .tenant = "acme",
            .stream = stream,
            .content_type = "text/plain",
            .content_encoding = "",
            .peer = "",
            .trace_id = "",
            .idempotency_key = "",
            .body = as_bytes(body)};
  }
  std::vector<Record> some_records() {
    return {record(10, "a", noon_us, "r10"), record(11, "b", noon_us, "r11"),
            record(12, "a", noon_us + hour_us, "r12"), record(13, "a", noon_us, "r13")};
  }
  static Batch batch(const std::vector<Record>& records) {
    return {.name = {.node = "n1-3f9a2c1d55aa",
                     .first = records.front().sequence,
                     .last = records.back().sequence},
            .journal_id = 0x3f9a2c1d55aa,
            .records = records};
  }
  const std::map<std::string, std::string> expected_{
      {"tenant=acme/stream=a/date=2023-11-14/hour=22/"
       "n1-3f9a2c1d55aa-00000000000a-00000000000d.ndjson",
       "r10\nr13\n"},
      {"tenant=acme/stream=a/date=2023-11-14/hour=23/"
       "n1-3f9a2c1d55aa-00000000000a-00000000000d.ndjson",
       "r12\n"},
      {"tenant=acme/stream=b/date=2023-11-14/hour=22/"
       "n1-3f9a2c1d55aa-00000000000a-00000000000d.ndjson",
       "r11\n"}};

  fs::path root_;
  FaultyFiles files_;
};

TEST_F(FileSinkTest, writes_one_object_for_each_tenant_stream_and_hour_in_order) {
  FileSink sink(files_, options());
  const auto records = some_records();
  const Delivery delivery = sink.deliver(batch(records));
  EXPECT_EQ(delivery.outcome, Outcome::delivered);
  EXPECT_TRUE(delivery.rejected.empty());
  EXPECT_EQ(objects(), expected_);
  EXPECT_TRUE(objects(true).empty());
}

TEST_F(FileSinkTest, compresses_and_names_objects_accordingly) {
  for (const auto& [compression, suffix] :
       {std::pair(Compression::gzip, ".gz"), std::pair(Compression::zstd, ".zst")}) {
    FileSink sink(files_, options(compression));
    const auto records = some_records();
    ASSERT_EQ(sink.deliver(batch(records)).outcome, Outcome::delivered);
    // The other compression's objects are gone: this may be the same batch repeated.
    std::map<std::string, std::string> expected;
    for (const auto& [name, text] : expected_) expected[name + suffix] = text;
    EXPECT_EQ(objects(), expected);
  }
}

TEST_F(FileSinkTest, a_repeated_batch_replaces_its_objects_byte_for_byte) {
  const auto records = some_records();
  FileSink sink(files_, options(Compression::zstd));
  ASSERT_EQ(sink.deliver(batch(records)).outcome, Outcome::delivered);
  const auto first = objects();
  ASSERT_EQ(sink.deliver(batch(records)).outcome, Outcome::delivered);
  FileSink other(files_, options(Compression::zstd));
  ASSERT_EQ(other.deliver(batch(records)).outcome, Outcome::delivered);
  EXPECT_EQ(objects(), first);
}

TEST_F(FileSinkTest, two_batches_never_share_a_name) {
  FileSink sink(files_, options());
  for (std::uint64_t i = 1; i <= 20; i++) {
    const std::vector<Record> one{record(i, "a", noon_us, "x")};
    ASSERT_EQ(sink.deliver(batch(one)).outcome, Outcome::delivered);
    EXPECT_EQ(objects().size(), i);
  }
}

TEST_F(FileSinkTest, names_that_cannot_stand_in_a_path_are_rejected_and_the_rest_delivered) {
  FileSink sink(files_, options());
  auto records = some_records();
  records[1].stream = "../../up";
  records[2].tenant = "";
  const Delivery delivery = sink.deliver(batch(records));
  EXPECT_EQ(delivery.outcome, Outcome::delivered);
  ASSERT_EQ(delivery.rejected.size(), 2U);
  EXPECT_EQ(delivery.rejected[0].sequence, 11U);
  EXPECT_EQ(delivery.rejected[1].sequence, 12U);
  EXPECT_FALSE(delivery.rejected[0].why.empty());
  ASSERT_EQ(objects().size(), 1U);
  EXPECT_EQ(objects().begin()->second, "r10\nr13\n");
}

TEST_F(FileSinkTest, any_operation_may_fail_and_the_repeat_delivers_everything_once) {
  const auto records = some_records();
  for (const int os : {EIO, ENOSPC}) {
    for (int fail_at = 1;; fail_at++) {
      fs::remove_all(archive());
      files_.operations = 0;
      files_.fail_at = fail_at;
      files_.os = os;
      FileSink sink(files_, options(Compression::zstd));
      const Delivery first = sink.deliver(batch(records));
      const bool all_done = files_.operations < fail_at;
      files_.fail_at = INT32_MAX;
      if (all_done) {
        EXPECT_GT(fail_at, 20);
        break;
      }
      ASSERT_EQ(first.outcome, os == ENOSPC ? Outcome::slow_down : Outcome::retry) << fail_at;
      EXPECT_FALSE(first.why.empty());
      EXPECT_TRUE(objects(true).empty()) << "temporary file left behind, operation " << fail_at;
      ASSERT_EQ(sink.deliver(batch(records)).outcome, Outcome::delivered);
      ASSERT_EQ(objects().size(), expected_.size()) << fail_at;
      for (const auto& [name, text] : expected_) ASSERT_EQ(objects().at(name + ".zst"), text);
    }
  }
}

TEST_F(FileSinkTest, the_process_may_die_at_any_operation_and_the_next_one_puts_it_right) {
  const auto records = some_records();
  for (int fail_at = 1;; fail_at++) {
    fs::remove_all(archive());
    files_.operations = 0;
    files_.crash = true;
    files_.fail_at = fail_at;
    {
      FileSink sink(files_, options());
      static_cast<void>(sink.deliver(batch(records)));
    }
    const bool all_done = files_.operations < fail_at;
    files_.crash = false;
    files_.fail_at = INT32_MAX;
    // What shows is whole.
    for (const auto& [name, text] : objects()) ASSERT_EQ(text, expected_.at(name)) << fail_at;
    FileSink next(files_, options(fail_at % 2 == 0 ? Compression::none : Compression::gzip));
    ASSERT_EQ(next.deliver(batch(records)).outcome, Outcome::delivered);
    ASSERT_EQ(objects().size(), expected_.size()) << fail_at;
    ASSERT_TRUE(objects(true).empty()) << fail_at;
    if (all_done) break;
  }
}

TEST_F(FileSinkTest, every_new_directory_is_flushed_into_its_parent_even_if_it_was_there) {
  const auto records = some_records();
  fs::create_directories(archive() + "/tenant=acme/stream=b/date=2023-11-14/hour=22");
  FileSink sink(files_, options());
  ASSERT_EQ(sink.deliver(batch(records)).outcome, Outcome::delivered);
  const std::string stream = archive() + "/tenant=acme/stream=b";
  for (const std::string& path :
       {root_.string(), archive(), archive() + "/tenant=acme", stream, stream + "/date=2023-11-14",
        stream + "/date=2023-11-14/hour=22"}) {
    EXPECT_NE(std::find(files_.synced.begin(), files_.synced.end(), path), files_.synced.end())
        << path;
  }
}

TEST_F(FileSinkTest, a_directory_removed_by_hand_is_made_again) {
  FileSink sink(files_, options());
  const auto records = some_records();
  ASSERT_EQ(sink.deliver(batch(records)).outcome, Outcome::delivered);
  fs::remove_all(archive());
  EXPECT_EQ(sink.deliver(batch(records)).outcome, Outcome::retry);
  ASSERT_EQ(sink.deliver(batch(records)).outcome, Outcome::delivered);
  EXPECT_EQ(objects(), expected_);
}

TEST_F(FileSinkTest, formats_of_streams_are_obeyed) {
  FileSinkOptions with = options();
  with.archive.envelope = true;
  with.archive.formats["a"] = BodyFormat::ndjson;
  FileSink sink(files_, with);
  const std::vector<Record> records{record(1, "a", noon_us, "1\n2\n"),
                                    record(2, "b", noon_us, "1\n2\n")};
  ASSERT_EQ(sink.deliver(batch(records)).outcome, Outcome::delivered);
  std::string all;
  for (const auto& [name, text] : objects()) all += text;
  EXPECT_NE(all.find("-000000000001.1\""), std::string::npos);
  EXPECT_NE(all.find("\"text\":\"1\\n2\\n\""), std::string::npos);
}

}  // namespace
}  // namespace inlet::sinks
