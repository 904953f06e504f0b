#include "sinks/http_sink.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/check.h"
#include "sinks/text.h"

namespace inlet::sinks {
namespace {

constexpr std::size_t answer_bytes_max = 64U << 10;
constexpr std::size_t excerpt_bytes = 200;   // Of an answer, in a sentence.
constexpr std::size_t secret_bytes_min = 4;  // A shorter header value stands in any text.
constexpr std::string_view tenant_mark = "{tenant}";
constexpr std::string_view stream_mark = "{stream}";

constexpr std::array<std::string_view, 7> own_headers{
    "idempotency-key", "x-inlet-batch", "content-encoding", "content-length", "transfer-encoding",
    "connection",      "expect"};

std::string lower_case(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
  });
  return out;
}

bool is_printable(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c > 0x20 && c < 0x7F; });
}

bool has_line_break(std::string_view text) {
  return text.find_first_of(std::string_view("\r\n\0", 3)) != std::string_view::npos;
}

// "host:port" of a URL.
std::string authority_of(std::string_view url) {
  url.remove_prefix(std::min(url.size(), url.find("://") + 3));
  return std::string(url.substr(0, url.find_first_of("/?#")));
}

bool has_unknown_mark(std::string_view url) {
  while (true) {
    const std::size_t at = url.find_first_of("{}");
    if (at == std::string_view::npos) return false;
    url.remove_prefix(at);
    if (!url.starts_with(tenant_mark) && !url.starts_with(stream_mark)) return true;
    url.remove_prefix(tenant_mark.size());
  }
}
static_assert(tenant_mark.size() == stream_mark.size());

// What is wrong with the options; empty: nothing.
std::string_view mistake_in_url(const std::string& url) {
  if (!url.starts_with("http://") && !url.starts_with("https://")) {
    return "the URL begins with neither http:// nor https://";
  }
  const std::string host = authority_of(url);
  if (host.empty() || !is_printable(url)) return "the URL is not valid";
  if (host.contains('@')) return "the URL names a user: there are options for that";
  if (host.find_first_of("{}") != std::string::npos) return "the host cannot be filled in";
  if (has_unknown_mark(url)) return "only {tenant} and {stream} can be filled in";
  return {};
}

std::string_view mistake_in(const HttpSinkOptions& options) {
  if (options.method != "POST" && options.method != "PUT") return "the method is no POST or PUT";
  if (!options.bearer.empty() && !options.user.empty()) {
    return "bearer and user cannot both be sent";
  }
  if (options.user.contains(':')) return "the user holds a colon";  // RFC 7617, 2.
  for (const std::string* secret : {&options.bearer, &options.user, &options.password}) {
    if (has_line_break(*secret)) return "a secret holds a line break";
  }
  for (const auto& [name, value] : options.headers) {
    if (name.empty() || !is_printable(name) || name.contains(':') || has_line_break(value)) {
      return "a header is not valid";
    }
    if (std::ranges::find(own_headers, lower_case(name)) != own_headers.end()) {
      return "a header is one that this sink sets itself";
    }
  }
  if (options.in_flight == 0 || options.request_records_max == 0) return "a limit is 0";
  return mistake_in_url(options.url);
}

// RFC 3986, 2.1: all but unreserved characters.
std::string percent_encoded(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool is_plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                          (c >= 'A' && c <= 'Z') || std::string_view("-._~").contains(c);
    out += is_plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

std::string filled_in(std::string_view url, std::string_view tenant, std::string_view stream) {
  std::string out;
  while (!url.empty()) {
    if (url.starts_with('{')) {
      out += percent_encoded(url.starts_with(tenant_mark) ? tenant : stream);
      url.remove_prefix(tenant_mark.size());
    }
    const std::string_view plain = url.substr(0, url.find('{'));
    out += plain;
    url.remove_prefix(plain.size());
  }
  return out;
}

// RFC 7617.
std::string basic_credentials(const HttpSinkOptions& options) {
  std::string out;
  append_base64(out, as_bytes(options.user + ":" + options.password));
  return out;
}

fetch::Headers make_headers(const HttpSinkOptions& options) {
  fetch::Headers headers = options.headers;
  const bool has_type = std::ranges::any_of(
      headers, [](const auto& header) { return lower_case(header.first) == "content-type"; });
  if (!has_type) {
    const bool is_array = options.body.shape == HttpBody::json;
    headers.emplace_back("Content-Type", is_array ? "application/json" : "application/x-ndjson");
  }
  if (options.body.compression != Compression::none) {
    headers.emplace_back("Content-Encoding",
                         options.body.compression == Compression::gzip ? "gzip" : "zstd");
  }
  if (!options.bearer.empty()) headers.emplace_back("Authorization", "Bearer " + options.bearer);
  if (!options.user.empty()) {
    headers.emplace_back("Authorization", "Basic " + basic_credentials(options));
  }
  return headers;
}

// What no sentence may hold, the longest first, for one may hold another.
std::vector<std::string> make_secrets(const HttpSinkOptions& options) {
  std::vector<std::string> secrets;
  const auto add = [&](const std::string& text, std::size_t bytes_min) {
    if (text.size() >= bytes_min) secrets.push_back(text);
  };
  add(options.bearer, 1);
  add(options.password, 1);
  if (!options.user.empty()) add(basic_credentials(options), 1);
  for (const auto& [name, value] : options.headers) add(value, secret_bytes_min);
  std::ranges::sort(secrets, std::ranges::greater(), &std::string::size);
  return secrets;
}

}  // namespace

Result<std::unique_ptr<HttpSink>> HttpSink::create(Clock& clock, HttpSinkOptions options) {
  if (const std::string_view mistake = mistake_in(options); !mistake.empty()) {
    return fail(ErrorKind::reject, std::string(mistake));
  }
  options.client.connections_max = options.in_flight;
  return std::unique_ptr<HttpSink>(new HttpSink(clock, std::move(options)));
}

HttpSink::HttpSink(Clock& clock, HttpSinkOptions options)
    : clock_(clock),
      options_(std::move(options)),
      host_(authority_of(options_.url)),
      headers_(make_headers(options_)),
      secrets_(make_secrets(options_)),
      client_(options_.client),
      writer_(options_.body) {}

void HttpSink::start(const Batch& batch) {
  CHECK(!is_active_);
  std::string name = batch_name(batch.name);
  // The same name is the same records; a journal damaged in between is the exception.
  if (name != name_ || batch.records.size() != batch_.records.size()) {
    sort_out(batch);
    name_ = std::move(name);
  }
  batch_ = batch;
  is_active_ = true;
  stops_in_a_row_ = 0;
  delivery_ = {};
  not_before_us_ = 0;
  dispatch();
}

void HttpSink::sort_out(const Batch& batch) {
  lanes_.clear();
  ready_.clear();
  rejected_.clear();
  std::map<std::pair<std::string_view, std::string_view>, std::size_t> places;
  for (std::size_t i = 0; i < batch.records.size(); i++) {
    const Record& record = batch.records[i];
    const auto [place, is_new] = places.try_emplace({record.tenant, record.stream}, lanes_.size());
    if (is_new) {
      const auto format = options_.formats.find(record.stream);
      ready_.push_back(lanes_.size());
      lanes_.push_back(
          {.url = filled_in(options_.url, record.tenant, record.stream),
           .format = format == options_.formats.end() ? BodyFormat::raw : format->second});
    }
    lanes_[place->second].records.push_back(i);
  }
}

std::optional<Answer> HttpSink::finish(Microseconds wait_us) {
  if (!is_active_) return std::nullopt;
  const Microseconds until_us = clock_.steady_us() + wait_us;
  while (!flying_.empty()) {
    const Microseconds left_us = until_us - clock_.steady_us();
    const auto response = client_.finish(std::max<Microseconds>(left_us, 0));
    if (!response) return std::nullopt;
    take(*response);
    dispatch();
    if (left_us <= 0 && !flying_.empty()) return std::nullopt;
  }
  return conclude();
}

void HttpSink::abandon() {
  for (const auto& [id, index] : flying_) {
    client_.cancel(id);
    ready_.push_front(index);
  }
  flying_.clear();
  flying_bytes_ = 0;
  ready_.insert(ready_.end(), stopped_.begin(), stopped_.end());
  stopped_.clear();
  is_active_ = false;
}

// Sends as much as may be under way.
void HttpSink::dispatch() {
  while (!ready_.empty() && may_send()) {
    const std::size_t index = ready_.front();
    ready_.pop_front();
    if (!send_next(index)) CHECK(lanes_[index].next == lanes_[index].records.size());
  }
}

bool HttpSink::may_send() const {
  return flying_.size() < options_.in_flight && stops_in_a_row_ < options_.in_flight &&
         flying_bytes_ < options_.in_flight * options_.body.bytes_max;
}

// False if the lane has nothing left to send.
bool HttpSink::send_next(std::size_t index) {
  Lane& lane = lanes_[index];
  const std::size_t end = gather(lane);
  if (end == lane.next) return false;
  fetch::Request request = request_for(lane, end);
  lane.request_end = end;
  lane.request_bytes = request.body.size();
  flying_bytes_ += lane.request_bytes;
  flying_.emplace(client_.start(std::move(request)), index);
  return true;
}

// Writes the lane's next records into a body; the end of their range. Where requests end depends
// on the records and the options alone, so that a repeat after a crash has the same requests.
std::size_t HttpSink::gather(Lane& lane) {
  std::size_t end = lane.next;
  while (end < end_max(lane)) {
    const Record& record = batch_.records[lane.records[end]];
    const auto added = writer_.add(record, batch_.journal_id, lane.format);
    if (added == HttpBodyWriter::Added::yes) {
      end++;
    } else if (added == HttpBodyWriter::Added::never && end == lane.next) {
      reject_next(lane, writer_.why());
      end = lane.next;
    } else {
      break;  // Its turn comes with the next request.
    }
  }
  return end;
}

std::size_t HttpSink::end_max(const Lane& lane) const {
  const std::size_t end = lane.ends.empty() ? lane.records.size() : lane.ends.back();
  return std::min(end, lane.next + options_.request_records_max);
}

fetch::Request HttpSink::request_for(const Lane& lane, std::size_t end) {
  const auto sequence = [&](std::size_t i) { return batch_.records[lane.records[i]].sequence; };
  fetch::Request request;
  request.method = options_.method;
  request.url = lane.url;
  request.headers = headers_;
  request.headers.emplace_back("Idempotency-Key", batch_name({.node = batch_.name.node,
                                                              .first = sequence(lane.next),
                                                              .last = sequence(end - 1)}));
  request.headers.emplace_back("X-Inlet-Batch", name_);
  request.body = writer_.finish();
  request.response_bytes_max = answer_bytes_max;
  request.timeout_us = options_.timeout_us;
  return request;
}

void HttpSink::take(const fetch::Response& response) {
  const auto flying = flying_.find(response.id);
  CHECK(flying != flying_.end());
  const std::size_t index = flying->second;
  flying_.erase(flying);
  flying_bytes_ -= lanes_[index].request_bytes;
  if (response.status >= 200 && response.status <= 299) return succeed(index);
  switch (response.status) {
    case 400:
    case 413:
    case 415:
    case 422: return refuse(index, response);
    case 429:
    case 503: return stop(index, Outcome::slow_down, response);
    default: return stop(index, Outcome::retry, response);
  }
}

void HttpSink::succeed(std::size_t index) {
  stops_in_a_row_ = 0;
  Lane& lane = lanes_[index];
  advance(lane, lane.request_end);
  if (lane.next < lane.records.size()) ready_.push_back(index);
}

void HttpSink::refuse(std::size_t index, const fetch::Response& response) {
  stops_in_a_row_ = 0;
  Lane& lane = lanes_[index];
  const std::size_t count = lane.request_end - lane.next;
  if (count > 1) {
    if (lane.ends.empty() || lane.ends.back() != lane.request_end) {
      lane.ends.push_back(lane.request_end);
    }
    lane.ends.push_back(lane.next + count / 2);
  } else if (lane.ends.empty() && !lane.is_refused_alone) {
    lane.is_refused_alone = true;
  } else {
    reject_next(lane, sentence(response));
  }
  if (lane.next < lane.records.size()) ready_.push_back(index);
}

void HttpSink::stop(std::size_t index, Outcome outcome, const fetch::Response& response) {
  stops_in_a_row_++;
  stopped_.push_back(index);
  if (delivery_.why.empty() || (outcome == Outcome::slow_down && delivery_.outcome != outcome)) {
    delivery_.outcome = outcome;
    delivery_.why = sentence(response);
  }
  const Microseconds asked_us =
      fetch::retry_after_us(response.header("retry-after"), clock_.wall_us());
  if (asked_us > 0) not_before_us_ = std::max(not_before_us_, clock_.steady_us() + asked_us);
}

void HttpSink::reject_next(Lane& lane, std::string why) {
  rejected_.push_back({batch_.records[lane.records[lane.next]].sequence, std::move(why)});
  advance(lane, lane.next + 1);
}

void HttpSink::advance(Lane& lane, std::size_t to) {
  lane.next = to;
  lane.is_refused_alone = false;
  while (!lane.ends.empty() && lane.ends.back() <= to) lane.ends.pop_back();
}

Answer HttpSink::conclude() {
  is_active_ = false;
  const std::uint64_t first = batch_.name.first;
  if (stopped_.empty()) {
    CHECK(ready_.empty());
    std::ranges::sort(rejected_, {}, &Rejection::sequence);
    delivery_.rejected = std::move(rejected_);
    name_.clear();
    return {first, std::move(delivery_)};
  }
  // Next time those come first that had no chance this time.
  ready_.insert(ready_.end(), stopped_.begin(), stopped_.end());
  stopped_.clear();
  if (not_before_us_ > 0) {
    delivery_.retry_after_us = std::max<Microseconds>(not_before_us_ - clock_.steady_us(), 0);
  }
  return {first, std::move(delivery_)};
}

std::string HttpSink::sentence(const fetch::Response& response) const {
  if (response.fault != fetch::Fault::none) return response.why;
  return fmt::format("{} answered {}: \"{}\"", host_, response.status, excerpt(response.body));
}

std::string HttpSink::excerpt(std::string text) const {
  for (const std::string& secret : secrets_) {
    for (std::size_t at = 0; (at = text.find(secret, at)) != std::string::npos;) {
      text.replace(at, secret.size(), "***");
      at += 3;
    }
  }
  text.resize(std::min(text.size(), excerpt_bytes));
  for (char& c : text) c = c >= 0x20 && c < 0x7F ? c : '?';
  return text;
}

}  // namespace inlet::sinks
