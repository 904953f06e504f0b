// dashboard: the page for people on the admin listener, with what it needs, built into the program.
//
// The files of dashboard/ and the charting library of the distribution, packed with gzip when the
// program is built (cmake/embed.cmake): 95 KB instead of 280. A client that does not take gzip gets
// them unpacked. The page asks nobody but nodes, which the Content-Security-Policy tells the
// browser too.
//
// The files are part of the program: any thread.

#pragma once

#include <string>
#include <string_view>

#include "base/bytes.h"
#include "http/handler.h"

namespace inlet::serve {

struct Asset {
  std::string_view path;  // "/", "/dashboard.js", …
  std::string_view content_type;
  std::string_view etag;  // Of the packed form, with its quotes.
  Bytes gzip;
};

// nullptr: there is no such file.
[[nodiscard]] const Asset* find_asset(std::string_view path);

// Answers a GET or HEAD for it; 304 if the client has it.
void answer_asset(http::Connection& connection, const http::RequestHead& head, const Asset& asset);

// Of an Accept-Encoding field (RFC 9110, section 12.5.3).
[[nodiscard]] bool takes_gzip(std::string_view accept_encoding);

// Of an If-None-Match field: compared weakly (RFC 9110, section 13.1.2).
[[nodiscard]] bool matches_etag(std::string_view if_none_match, std::string_view etag);

[[nodiscard]] std::string unpack(const Asset& asset);

}  // namespace inlet::serve
