#include "sinks/file_sink.h"

#include <algorithm>
#include <cerrno>
#include <tuple>

#include "base/names.h"
#include "sinks/text.h"

namespace inlet::sinks {
namespace {

constexpr std::size_t write_bytes = 1U << 20;      // Compressed bytes gathered for one write.
constexpr std::size_t durable_names_max = 10'000;  // Remembered; then all are looked at anew.
constexpr std::string_view object_suffix = ".ndjson";

// Lines, compressed, into an object.
class CompressedObject final : public LineConsumer {
 public:
  CompressedObject(Compressor& compressor, ObjectFile& file)
      : compressor_(compressor), file_(file) {}

  Status consume(std::string_view lines) override {
    compressor_.append(lines, pending_);
    return pending_.size() < write_bytes ? Status() : write();
  }
  Status finish() {
    compressor_.finish(pending_);
    return write();
  }

 private:
  Status write() {
    const Status written = file_.append(pending_);
    pending_.clear();
    return written;
  }

  Compressor& compressor_;
  ObjectFile& file_;
  std::string pending_;
};

Delivery failed(const Error& error) {
  return {.outcome = error.kind == ErrorKind::overload ? Outcome::slow_down : Outcome::retry,
          .why = error.what};
}

}  // namespace

FileSink::FileSink(FileSystem& files, FileSinkOptions options)
    : files_(files),
      options_(std::move(options)),
      compressor_(options_.compression, options_.level),
      events_(options_.envelope) {}

Delivery FileSink::deliver(const Batch& batch) {
  Delivery delivery;
  for (const Object& object : sort_out(batch, delivery)) {
    const Status written = write(batch, object);
    if (written) continue;
    durable_.clear();  // Somebody may have removed a directory.
    return failed(written.error());
  }
  may_be_repeat_ = false;
  return delivery;
}

std::vector<FileSink::Object> FileSink::sort_out(const Batch& batch, Delivery& delivery) const {
  using Key = std::tuple<std::string_view, std::string_view, Microseconds>;
  std::map<Key, std::size_t> places;
  std::vector<Object> objects;
  Key last_key;
  std::size_t last_place = 0;
  for (std::size_t i = 0; i < batch.records.size(); i++) {
    const Record& record = batch.records[i];
    if (!is_name(record.tenant) || !is_name(record.stream)) {
      delivery.rejected.push_back({record.sequence, "tenant or stream is not a valid name"});
      continue;
    }
    const Key key{record.tenant, record.stream, utc_hour(record.received_us)};
    if (objects.empty() || key != last_key) {
      const auto [place, is_new] = places.try_emplace(key, objects.size());
      if (is_new) objects.push_back({record.tenant, record.stream, std::get<2>(key), {}});
      last_key = key;
      last_place = place->second;
    }
    objects[last_place].records.push_back(i);
  }
  return objects;
}

Status FileSink::write(const Batch& batch, const Object& object) {
  const std::string directory = options_.path + "/tenant=" + std::string(object.tenant) +
                                "/stream=" + std::string(object.stream) + "/" +
                                hour_path(object.hour);
  if (const Status made = make_durable(directory); !made) return made;
  const std::string stem = batch_name(batch.name) + std::string(object_suffix);
  const std::string name = stem + std::string(compression_suffix(options_.compression));
  const auto file = ObjectFile::open(files_, directory, name);
  if (!file) return fail(file);
  if (const Status filled = fill(batch, object, **file); !filled) return filled;
  if (const Status committed = (*file)->commit(); !committed) return committed;
  return may_be_repeat_ ? remove_other_spellings(directory, stem) : Status();
}

Status FileSink::fill(const Batch& batch, const Object& object, ObjectFile& file) {
  compressor_.reset();
  CompressedObject to(compressor_, file);
  LineBuffer lines(to);
  const BodyFormat format = format_of(object.stream);
  for (const std::size_t i : object.records) {
    events_.append(batch.records[i], batch.journal_id, format, lines);
    if (!lines.status()) return lines.status();
  }
  if (const Status passed = lines.flush(); !passed) return passed;
  return to.finish();
}

Status FileSink::make_durable(const std::string& directory) {
  if (durable_.contains(directory)) return {};
  if (const Status made = files_.make_directories(directory); !made) return made;
  std::string entry = directory;
  while (entry.size() >= options_.path.size()) {
    entry = parent_directory(entry);
    if (const Status safe = files_.sync_directory(entry); !safe) return safe;
    if (entry == "/" || entry == ".") break;
  }
  if (durable_.size() >= durable_names_max) durable_.clear();
  durable_.insert(directory);
  return {};
}

// The process before this one may have delivered the same batch under another compression, or died
// while it did.
Status FileSink::remove_other_spellings(const std::string& directory, const std::string& stem) {
  bool removed = false;
  for (const auto other : {Compression::none, Compression::gzip, Compression::zstd}) {
    if (other == options_.compression) continue;
    const std::string name = stem + std::string(compression_suffix(other));
    for (const std::string& path :
         {directory + "/" + name, directory + "/" + ObjectFile::temporary_name(name)}) {
      const Status gone = files_.remove(path);
      if (!gone && gone.error().os != ENOENT) return gone;
      removed = removed || gone;
    }
  }
  return removed ? files_.sync_directory(directory) : Status();
}

BodyFormat FileSink::format_of(std::string_view stream) const {
  const auto found = options_.formats.find(stream);
  return found == options_.formats.end() ? BodyFormat::raw : found->second;
}

}  // namespace inlet::sinks
