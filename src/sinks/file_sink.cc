#include "sinks/file_sink.h"

#include <cerrno>
#include <vector>

#include "sinks/object_file.h"

namespace inlet::sinks {
namespace {

constexpr std::size_t durable_names_max = 10'000;  // Remembered; then all are looked at anew.

class FileOutput final : public ObjectOutput {
 public:
  explicit FileOutput(ObjectFile& file) : file_(file) {}
  Status append(std::string_view bytes) override { return file_.append(bytes); }

 private:
  ObjectFile& file_;
};

Delivery failed(const Error& error) {
  return {.outcome = error.kind == ErrorKind::overload ? Outcome::slow_down : Outcome::retry,
          .why = error.what};
}

}  // namespace

FileSink::FileSink(FileSystem& files, FileSinkOptions options)
    : files_(files), options_(std::move(options)), writer_(options_.archive) {}

Delivery FileSink::deliver(const Batch& batch) {
  Delivery delivery;
  for (const ArchiveObject& object : sort_into_objects(batch, delivery.rejected)) {
    const Status written = write(batch, object);
    if (written) continue;
    durable_.clear();  // Somebody may have removed a directory.
    return failed(written.error());
  }
  may_be_repeat_ = false;
  return delivery;
}

Status FileSink::write(const Batch& batch, const ArchiveObject& object) {
  const std::string directory = options_.path + "/" + directory_of(object);
  if (const Status made = make_durable(directory); !made) return made;
  const std::string stem = object_stem(batch.name);
  const std::string name = stem + std::string(compression_suffix(options_.archive.compression));
  const auto file = ObjectFile::open(files_, directory, name);
  if (!file) return fail(file);
  FileOutput out(**file);
  if (const auto all = writer_.write(batch, object, 0, UINT64_MAX, out); !all) return fail(all);
  if (const Status committed = (*file)->commit(); !committed) return committed;
  return may_be_repeat_ ? remove_other_spellings(directory, stem) : Status();
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
    if (other == options_.archive.compression) continue;
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

}  // namespace inlet::sinks
