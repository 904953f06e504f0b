#include "load/archive.h"

#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "base/check.h"

namespace inlet::loader {
namespace {

constexpr std::size_t read_bytes = 256U << 10;
constexpr std::size_t decoded_bytes = 256U << 10;

// Cuts decoded bytes into lines, leaving out the first `skip`, which were given before.
class LineCutter {
 public:
  LineCutter(std::uint64_t skip, const Archive::OnLine& on_line) : skip_(skip), on_line_(on_line) {}

  void feed(std::string_view bytes) {
    for (std::size_t end = bytes.find('\n'); end != std::string_view::npos;
         end = bytes.find('\n')) {
      const std::string_view piece = bytes.substr(0, end);
      bytes.remove_prefix(end + 1);
      if (held_.empty() && !too_long_) {
        line(piece);
        continue;
      }
      hold(piece);
      line(too_long_ ? std::string_view() : held_);
      held_.clear();
      too_long_ = false;
    }
    hold(bytes);
  }

  // The end of an object that is whole so far. Returns the lines given, the skipped ones included.
  std::uint64_t finish() {
    if (!held_.empty() && lines_ >= skip_ && on_line_(held_, false)) lines_++;
    return lines();
  }
  [[nodiscard]] std::uint64_t lines() const { return std::max(lines_, skip_); }

 private:
  void line(std::string_view text) {
    if (lines_++ >= skip_) on_line_(text, true);
  }
  void hold(std::string_view piece) {
    if (held_.size() + piece.size() > archive_line_bytes_max) {
      held_.clear();
      too_long_ = true;
    }
    if (!too_long_) held_.append(piece);
  }

  const std::uint64_t skip_;
  const Archive::OnLine& on_line_;
  std::uint64_t lines_ = 0;
  std::string held_;
  bool too_long_ = false;
};

// Takes an object's stored bytes in order. Errors are ErrorKind::corrupt.
class Decoder {
 public:
  explicit Decoder(LineCutter& lines) : lines_(lines) {}
  virtual ~Decoder() = default;
  [[nodiscard]] virtual Status feed(Bytes bytes) = 0;
  [[nodiscard]] virtual bool is_whole() const = 0;

 protected:
  LineCutter& lines_;
};

class PlainDecoder final : public Decoder {
 public:
  using Decoder::Decoder;
  Status feed(Bytes bytes) override {
    lines_.feed(as_text(bytes));
    return {};
  }
  bool is_whole() const override { return true; }
};

class ZstdDecoder final : public Decoder {
 public:
  explicit ZstdDecoder(LineCutter& lines) : Decoder(lines) { CHECK(stream_ != nullptr); }

  Status feed(Bytes bytes) override {
    ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
    bool full = false;  // More may be waiting inside the decoder.
    while (in.pos < in.size || full) {
      ZSTD_outBuffer out{decoded_.data(), decoded_.size(), 0};
      wanted_ = ZSTD_decompressStream(stream_.get(), &out, &in);
      if (ZSTD_isError(wanted_) != 0) return fail(ErrorKind::corrupt, ZSTD_getErrorName(wanted_));
      full = out.pos == out.size && wanted_ != 0;
      lines_.feed({decoded_.data(), out.pos});
    }
    return {};
  }
  bool is_whole() const override { return wanted_ == 0; }

 private:
  struct Free {
    void operator()(ZSTD_DStream* stream) const { ZSTD_freeDStream(stream); }
  };
  std::unique_ptr<ZSTD_DStream, Free> stream_{ZSTD_createDStream()};
  std::string decoded_ = std::string(decoded_bytes, '\0');
  std::size_t wanted_ = 1;  // 0 at the end of a frame.
};

class GzipDecoder final : public Decoder {
 public:
  explicit GzipDecoder(LineCutter& lines) : Decoder(lines) {
    constexpr int gzip_only = 15 + 16;
    CHECK(::inflateInit2(&stream_, gzip_only) == Z_OK);
  }
  GzipDecoder(const GzipDecoder&) = delete;
  GzipDecoder& operator=(const GzipDecoder&) = delete;
  ~GzipDecoder() override { ::inflateEnd(&stream_); }

  Status feed(Bytes bytes) override {
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(bytes.data()));
    stream_.avail_in = static_cast<uInt>(bytes.size());
    bool full = false;
    while (stream_.avail_in > 0 || full) {
      if (whole_) CHECK(::inflateReset(&stream_) == Z_OK);  // Another member follows.
      stream_.next_out = reinterpret_cast<Bytef*>(decoded_.data());
      stream_.avail_out = static_cast<uInt>(decoded_.size());
      const int result = ::inflate(&stream_, Z_NO_FLUSH);
      if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR) {
        return fail(ErrorKind::corrupt, stream_.msg == nullptr ? "not gzip" : stream_.msg);
      }
      whole_ = result == Z_STREAM_END;
      full = stream_.avail_out == 0 && !whole_;
      lines_.feed({decoded_.data(), decoded_.size() - stream_.avail_out});
    }
    return {};
  }
  bool is_whole() const override { return whole_; }

 private:
  z_stream stream_{};
  std::string decoded_ = std::string(decoded_bytes, '\0');
  bool whole_ = false;
};

std::unique_ptr<Decoder> decoder_for(const std::string& path, LineCutter& lines) {
  if (path.ends_with(".zst")) return std::make_unique<ZstdDecoder>(lines);
  if (path.ends_with(".gz")) return std::make_unique<GzipDecoder>(lines);
  return std::make_unique<PlainDecoder>(lines);
}

bool looks_like_object(std::string_view name) {
  return name.ends_with(".zst") || name.ends_with(".gz") || name.ends_with(".ndjson");
}

}  // namespace

Archive::Archive(FileSystem& files, std::string directory)
    : files_(files), directory_(std::move(directory)) {}

Status Archive::read_new(const OnLine& on_line, const KeepGoing& keep_going) {
  on_line_ = &on_line;
  keep_going_ = &keep_going;
  const Status read = read_directory(directory_, 0);
  if (!read && (read.error().os == ENOENT || read.error().kind == ErrorKind::stopped)) return {};
  return read;
}

Status Archive::read_directory(const std::string& directory, std::size_t depth) {
  const auto names = files_.list(directory);
  if (!names) return fail(names);
  for (const std::string& name : *names) {
    if (name.starts_with('.')) continue;
    const std::string path = directory + "/" + name;
    Status read;
    if (looks_like_object(name)) {
      read = read_object(path);
    } else if (depth < archive_depth_max) {
      read = read_directory(path, depth + 1);
      if (!read && read.error().os == ENOTDIR) read = read_object(path);
    }
    // Removed since it was listed: whoever did that had a reason.
    if (!read && read.error().os != ENOENT) return read;
  }
  return {};
}

Status Archive::read_object(const std::string& path) {
  if (!(*keep_going_)()) return fail(ErrorKind::stopped, "stopped");
  if (objects_.size() >= archive_objects_max && !objects_.contains(path)) {
    return fail(ErrorKind::reject,
                directory_ + " has more than " + std::to_string(archive_objects_max) + " objects");
  }
  const auto file = files_.open(path, {});
  if (!file) return fail(file);
  const auto bytes = (*file)->size();
  if (!bytes) return fail(bytes);
  Object& object = objects_[path];
  if (object.bytes == *bytes) return {};

  LineCutter lines(object.lines, *on_line_);
  const auto decoder = decoder_for(path, lines);
  std::string buffer(read_bytes, '\0');
  const MutableBytes room(reinterpret_cast<std::byte*>(buffer.data()), buffer.size());
  Status decoded;
  std::uint64_t offset = 0;
  while (decoded && offset < *bytes) {
    const auto got = (*file)->read_at(room.first(std::min(read_bytes, *bytes - offset)), offset);
    if (!got) {  // To be read on at the next call.
      object.problem = got.error().what;
      object.lines = lines.lines();
      return {};
    }
    if (*got == 0) break;
    decoded = decoder->feed(room.first(*got));
    offset += *got;
    bytes_read_ += *got;
  }
  object.bytes = *bytes;
  object.problem.clear();
  if (!decoded) {
    object.problem = path + ": " + decoded.error().what;
  } else if (!decoder->is_whole()) {
    object.problem = path + " ends short";
  }
  object.lines = object.problem.empty() ? lines.finish() : lines.lines();
  return {};
}

std::vector<std::string> Archive::problems(std::size_t count_max) const {
  std::vector<std::string> all;
  for (const auto& [path, object] : objects_) {
    if (!object.problem.empty() && all.size() < count_max) all.push_back(object.problem);
  }
  std::sort(all.begin(), all.end());
  return all;
}

std::size_t Archive::problem_count() const {
  return static_cast<std::size_t>(
      std::count_if(objects_.begin(), objects_.end(),
                    [](const auto& entry) { return !entry.second.problem.empty(); }));
}

}  // namespace inlet::loader
