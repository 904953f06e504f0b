#include "sinks/object_file.h"

#include "base/check.h"

namespace inlet::sinks {

Result<std::unique_ptr<ObjectFile>> ObjectFile::open(FileSystem& files,
                                                     const std::string& directory,
                                                     const std::string& name) {
  auto file = files.open(directory + "/" + temporary_name(name),
                         {.write = true, .create = true, .truncate = true});
  if (!file) return fail(file);
  return std::unique_ptr<ObjectFile>(new ObjectFile(files, directory, name, std::move(*file)));
}

ObjectFile::~ObjectFile() {
  file_.reset();
  // Best effort: what stays is truncated by the next attempt.
  if (!renamed_) static_cast<void>(files_.remove(temporary_path()));
}

Status ObjectFile::append(std::string_view bytes) {
  CHECK(!renamed_);
  if (const Status written = write_all(*file_, as_bytes(bytes), bytes_, Flush::no); !written) {
    return written;
  }
  bytes_ += bytes.size();
  return {};
}

Status ObjectFile::commit() {
  CHECK(!renamed_);
  if (const Status flushed = file_->sync(); !flushed) return flushed;
  const Status named = files_.rename(temporary_path(), directory_ + "/" + name_);
  if (!named) return named;
  renamed_ = true;
  return files_.sync_directory(directory_);
}

std::string ObjectFile::temporary_path() const { return directory_ + "/" + temporary_name(name_); }

}  // namespace inlet::sinks
