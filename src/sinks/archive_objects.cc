#include "sinks/archive_objects.h"

#include <fmt/format.h>

#include <tuple>

#include "base/names.h"
#include "sinks/text.h"

namespace inlet::sinks {
namespace {

constexpr std::size_t piece_bytes = 1U
                                    << 20;  // Compressed bytes gathered before they are passed on.
constexpr std::string_view object_suffix = ".ndjson";

// Lines, compressed, into an object.
class CompressedLines final : public LineConsumer {
 public:
  CompressedLines(Compressor& compressor, ObjectOutput& out) : compressor_(compressor), out_(out) {}

  Status consume(std::string_view lines) override {
    compressor_.append(lines, pending_);
    return pending_.size() < piece_bytes ? Status() : pass_on();
  }
  Status finish() {
    compressor_.finish(pending_);
    return pass_on();
  }
  [[nodiscard]] std::uint64_t bytes() const { return passed_bytes_ + pending_.size(); }

 private:
  Status pass_on() {
    const Status passed = out_.append(pending_);
    passed_bytes_ += pending_.size();
    pending_.clear();
    return passed;
  }

  Compressor& compressor_;
  ObjectOutput& out_;
  std::string pending_;
  std::uint64_t passed_bytes_ = 0;
};

}  // namespace

std::vector<ArchiveObject> sort_into_objects(const Batch& batch, std::vector<Rejection>& rejected) {
  using Key = std::tuple<std::string_view, std::string_view, Microseconds>;
  std::map<Key, std::size_t> places;
  std::vector<ArchiveObject> objects;
  Key last_key;
  std::size_t last_place = 0;
  for (std::size_t i = 0; i < batch.records.size(); i++) {
    const Record& record = batch.records[i];
    if (!is_name(record.tenant) || !is_name(record.stream)) {
      rejected.push_back({record.sequence, "tenant or stream is not a valid name"});
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

std::string directory_of(const ArchiveObject& object) {
  return "tenant=" + std::string(object.tenant) + "/stream=" + std::string(object.stream) + "/" +
         hour_path(object.hour);
}

std::string object_stem(const BatchName& name, std::size_t part) {
  const std::string number = part == 0 ? "" : fmt::format("_{:03}", part + 1);
  return batch_name(name) + number + std::string(object_suffix);
}

ObjectWriter::ObjectWriter(const ArchiveOptions& options)
    : options_(options),
      compressor_(options_.compression, options_.level),
      events_(options_.envelope) {}

Result<std::size_t> ObjectWriter::write(const Batch& batch, const ArchiveObject& object,
                                        std::size_t from, std::uint64_t bytes_max,
                                        ObjectOutput& out) {
  compressor_.reset();
  CompressedLines compressed(compressor_, out);
  LineBuffer lines(compressed);
  const auto found = options_.formats.find(object.stream);
  const BodyFormat format = found == options_.formats.end() ? BodyFormat::raw : found->second;
  std::size_t next = from;
  while (next < object.records.size() && compressed.bytes() < bytes_max) {
    events_.append(batch.records[object.records[next++]], batch.journal_id, format, lines);
    if (!lines.status()) return fail(lines.status());
  }
  if (const Status passed = lines.flush(); !passed) return fail(passed);
  if (const Status finished = compressed.finish(); !finished) return fail(finished);
  return next;
}

}  // namespace inlet::sinks
