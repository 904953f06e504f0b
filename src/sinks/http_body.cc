#include "sinks/http_body.h"

#include <algorithm>

#include "base/check.h"
#include "base/json.h"

namespace inlet::sinks {
namespace {

constexpr std::size_t scratch_kept_bytes = 4U << 20;  // A larger body's memory is given back.

// Lines at the end of a text, up to a limit.
class TextEnd final : public LineConsumer {
 public:
  explicit TextEnd(std::string& text) : text_(text), start_(text.size()) {}

  Status consume(std::string_view lines) override {
    if (text_.size() - start_ + lines.size() > HttpBodyWriter::record_lines_bytes_max) {
      return fail(ErrorKind::reject, "the record's lines are too large for one request");
    }
    text_ += lines;
    return {};
  }

 private:
  std::string& text_;
  const std::size_t start_;
};

}  // namespace

HttpBodyWriter::HttpBodyWriter(HttpBodyOptions options)
    : options_(options),
      events_(options.envelope),
      compressor_(options.compression, options.level) {}

HttpBodyWriter::Added HttpBodyWriter::add(const Record& record, std::uint64_t journal_id,
                                          BodyFormat format) {
  // Lines are seldom shorter than the body; a wrong guess here only ends the request early.
  if (records_ > 0 && text_.size() + record.body.size() > options_.bytes_max) {
    return Added::no_room;
  }
  if (options_.shape == HttpBody::json && records_ == 0) text_.assign(1, '[');
  const std::size_t start = text_.size();
  TextEnd end(text_);
  LineBuffer lines(end);
  events_.append(record, journal_id, format, lines);
  const Status written = lines.flush();
  if (!written) why_ = written.error().what;
  const bool can_be_sent = written && (options_.shape == HttpBody::ndjson || make_elements(start));
  const bool has_room = records_ == 0 || text_.size() <= options_.bytes_max;
  if (can_be_sent && has_room) {
    records_++;
    return Added::yes;
  }
  text_.resize(start);
  return can_be_sent ? Added::no_room : Added::never;
}

// Makes the lines from `start` on elements of an array, each with a comma behind it.
bool HttpBodyWriter::make_elements(std::size_t start) {
  if (options_.envelope) {  // Every line is valid JSON, in which no line break stands.
    std::replace(text_.begin() + static_cast<std::ptrdiff_t>(start), text_.end(), '\n', ',');
    return true;
  }
  std::string elements;
  std::string_view rest = std::string_view(text_).substr(start);
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(line.size());
    if (!append_element(line, rest.size(), elements)) return false;
    rest.remove_prefix(std::min<std::size_t>(1, rest.size()));
    elements += ',';
  }
  text_.resize(start);
  text_ += elements;
  return true;
}

bool HttpBodyWriter::append_element(std::string_view line, std::size_t readable_after,
                                    std::string& out) {
  if (json_.is_json(line, readable_after)) {
    out += line;
  } else if (codec::is_utf8_text(line)) {
    append_json_string(out, line);
  } else {
    why_ = "bytes that are not text cannot stand in a JSON array without envelope";
    return false;
  }
  return true;
}

std::string HttpBodyWriter::finish() {
  CHECK(records_ > 0);
  records_ = 0;
  if (options_.shape == HttpBody::json) text_.back() = ']';
  std::string body;
  if (options_.compression == Compression::none) {
    body.swap(text_);
    return body;
  }
  compressor_.append(text_, body);
  compressor_.finish(body);
  text_.clear();
  if (text_.capacity() > scratch_kept_bytes) std::string().swap(text_);
  return body;
}

}  // namespace inlet::sinks
