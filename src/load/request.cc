#include "load/request.h"

#include <strings.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "base/check.h"

namespace inlet::loader {
namespace {

constexpr std::size_t copied_line_bytes_max = 16384;  // Longer lines are sent from where they are.

bool is_named(std::string_view header, std::string_view name) {
  return header.size() > name.size() && header[name.size()] == ':' &&
         ::strncasecmp(header.data(), name.data(), name.size()) == 0;
}

bool any_named(const std::vector<std::string>& headers, std::string_view name) {
  return std::any_of(headers.begin(), headers.end(),
                     [&](const std::string& header) { return is_named(header, name); });
}

std::vector<std::string> make_heads(const RequestMaker::Options& options,
                                    std::string_view content_type) {
  CHECK(options.stream_count >= 1 && options.stream_count <= streams_max);
  std::string fields = " HTTP/1.1\r\n";
  if (!any_named(options.headers, "Host")) fields += "Host: " + options.target.authority + "\r\n";
  if (!any_named(options.headers, "User-Agent")) fields += "User-Agent: inlet-load\r\n";
  if (!any_named(options.headers, "Content-Type")) {
    fields.append("Content-Type: ").append(content_type).append("\r\n");
  }
  for (const std::string& header : options.headers) fields.append(header).append("\r\n");
  fields += "Content-Length: ";

  std::vector<std::string> heads(options.stream_count);
  for (std::size_t i = 0; i < heads.size(); i++) {
    heads[i].append("POST ").append(options.target.path);
    if (heads.size() > 1) heads[i].append(1, '-').append(std::to_string(i));
    heads[i].append(options.target.query).append(fields);
  }
  return heads;
}

bool is_token(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

}  // namespace

RequestMaker::RequestMaker(const Options& options, BodyMaker bodies)
    : heads_(make_heads(options, "application/json")), bodies_(std::move(bodies)) {}

RequestMaker::RequestMaker(const Options& options, std::vector<std::string> lines)
    : heads_(make_heads(options, "application/octet-stream")), bodies_(std::move(lines)) {
  CHECK(!std::get<std::vector<std::string>>(bodies_).empty());
}

std::size_t RequestMaker::body_bytes(std::uint64_t number) const {
  if (const auto* maker = std::get_if<BodyMaker>(&bodies_)) return maker->bytes();
  const auto& lines = std::get<std::vector<std::string>>(bodies_);
  return lines[number % lines.size()].size();
}

BodyParts RequestMaker::make(std::uint64_t number, std::string& out) {
  out.assign(heads_[number % heads_.size()]);
  std::array<char, 20> digits;
  const auto [end, error] =
      std::to_chars(digits.data(), digits.data() + digits.size(), body_bytes(number));
  CHECK(error == std::errc());
  out.append(digits.data(), end).append("\r\n\r\n");
  if (auto* maker = std::get_if<BodyMaker>(&bodies_)) return maker->append(number, out);
  const auto& lines = std::get<std::vector<std::string>>(bodies_);
  const std::string& line = lines[number % lines.size()];
  if (line.size() > copied_line_bytes_max) return {line, {}};
  out += line;
  return {};
}

Status check_header(std::string_view header) {
  const std::string shown(header);
  const std::size_t colon = header.find(':');
  const std::string_view name = header.substr(0, colon);
  if (colon == std::string_view::npos || name.empty() ||
      !std::all_of(name.begin(), name.end(), is_token)) {
    return fail(ErrorKind::reject, "header '" + shown + "' is not of the form 'Name: value'");
  }
  const bool control = std::any_of(header.begin(), header.end(), [](char c) {
    return (static_cast<unsigned char>(c) < ' ' && c != '\t') || c == 127;
  });
  if (control)
    return fail(ErrorKind::reject, "header " + std::string(name) + " has a control byte");
  for (const char* framing :
       {"Content-Length", "Transfer-Encoding", "Connection", "Expect", "Upgrade"}) {
    if (is_named(header, framing)) {
      return fail(ErrorKind::reject, "header " + std::string(framing) + " is set by the loader");
    }
  }
  return {};
}

}  // namespace inlet::loader
