#include "http/answer.h"

#include <charconv>
#include <ctime>

#include "base/check.h"
#include "base/json.h"

namespace inlet::http {
namespace {

struct StatusText {
  int status;
  std::string_view text;
};

constexpr StatusText status_texts[] = {
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {207, "Multi-Status"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {426, "Upgrade Required"},
    {428, "Precondition Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {507, "Insufficient Storage"},
};

void append_number(std::string& out, std::size_t number) {
  char digits[24];
  const auto [end, error] = std::to_chars(digits, digits + sizeof digits, number);
  CHECK(error == std::errc());
  out.append(digits, end);
}

}  // namespace

std::string_view status_text(int status) {
  for (const StatusText& entry : status_texts) {
    if (entry.status == status) return entry.text;
  }
  return "Unknown";
}

std::string problem_json(int status, std::string_view detail) {
  std::string json = R"({"type":"about:blank","title":)";
  append_json_string(json, status_text(status));
  json += ",\"status\":";
  append_number(json, static_cast<std::size_t>(status));
  json += ",\"detail\":";
  append_json_string(json, detail);
  json += '}';
  return json;
}

std::string http_date(Microseconds wall_us) {
  const std::time_t seconds = wall_us / 1'000'000;
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  char text[40];
  // The C locale's names: nothing here calls setlocale.
  const std::size_t length = std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &utc);
  return {text, length};
}

void append_head(std::string& out, const Response& response, std::string_view date) {
  CHECK(response.status >= 200 && response.status <= 599);
  CHECK(response.extra_lines.empty() || response.extra_lines.ends_with("\r\n"));
  if (response.status == 200) {
    out += "HTTP/1.1 200 OK\r\nDate: ";
  } else {
    out += "HTTP/1.1 ";
    append_number(out, static_cast<std::size_t>(response.status));
    out += ' ';
    out += status_text(response.status);
    out += "\r\nDate: ";
  }
  out += date;
  out += "\r\nX-Content-Type-Options: nosniff\r\n";
  if (!is_bodiless(response.status)) {
    if (!response.content_type.empty()) {
      out += "Content-Type: ";
      out += response.content_type;
      out += "\r\n";
    }
    out += "Content-Length: ";
    append_number(out, response.body.size());
    out += "\r\n";
  }
  out += response.extra_lines;
}

}  // namespace inlet::http
