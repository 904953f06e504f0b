// answer: what a server says: status texts, problem documents, and the bytes of an answer's head.
//
// Pure; any thread.

#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/time.h"

namespace inlet::http {

// Views are borrowed for the call they are given to.
struct Response {
  int status = 200;
  std::string_view content_type;
  std::string_view body;
  std::string_view extra_lines;  // "Name: value\r\n" as often as needed; nothing from a client.
  bool close = false;            // End the connection after it.
};

inline constexpr std::string_view problem_content_type = "application/problem+json";

// "Not Found"; "Unknown" for a status not in the table.
[[nodiscard]] std::string_view status_text(int status);

// RFC 9457: {"type":"about:blank","title":"Not Found","status":404,"detail":"..."}
[[nodiscard]] std::string problem_json(int status, std::string_view detail);

// "Sun, 06 Nov 1994 08:49:37 GMT"
[[nodiscard]] std::string http_date(Microseconds wall_us);

// Statuses whose answers have no body, whatever Response says.
[[nodiscard]] constexpr bool is_bodiless(int status) {
  return status < 200 || status == 204 || status == 304;
}

// Appends status line and fields to `out`, but neither the Connection field nor the empty line.
void append_head(std::string& out, const Response& response, std::string_view date);

inline constexpr std::string_view close_line = "Connection: close\r\n";
inline constexpr std::string_view keep_alive_line = "Connection: keep-alive\r\n";
inline constexpr std::string_view continue_answer = "HTTP/1.1 100 Continue\r\n\r\n";

}  // namespace inlet::http
