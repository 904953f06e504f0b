#include "serve/dashboard.h"

#include <algorithm>
#include <array>
#include <span>

#include "base/check.h"
#include "codec/decode.h"
#include "http/characters.h"
#include "serve/dashboard_files.h"

namespace inlet::serve {
namespace {

constexpr std::size_t asset_bytes_max = 4U << 20;  // Of a file, unpacked.

constexpr std::string_view html = "text/html; charset=utf-8";
constexpr std::string_view css = "text/css; charset=utf-8";
constexpr std::string_view script = "text/javascript; charset=utf-8";

// Of every answer. connect-src: the nodes of a fleet, which the operator names; img-src: the icon,
// which the page draws. A browser asks each time whether its copy is still good: an upgraded node
// has another page.
constexpr std::string_view lines_of_all =
    "Cache-Control: no-cache\r\n"
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self' http: https:; img-src 'self' data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'\r\n"
    "Referrer-Policy: no-referrer\r\n"
    "Vary: Accept-Encoding\r\n";

Asset asset(std::string_view path, std::string_view content_type, std::string_view etag,
            std::span<const unsigned char> file) {
  return {path, content_type, etag, std::as_bytes(file)};
}

const auto& assets() {
  static const std::array all = {
      asset("/", html, files::index_html_etag, files::index_html),
      asset("/dashboard.css", css, files::dashboard_css_etag, files::dashboard_css),
      asset("/dashboard.js", script, files::dashboard_js_etag, files::dashboard_js),
      asset("/figures.js", script, files::figures_js_etag, files::figures_js),
      asset("/nodes.js", script, files::nodes_js_etag, files::nodes_js),
      asset("/tables.js", script, files::tables_js_etag, files::tables_js),
      asset("/views.js", script, files::views_js_etag, files::views_js),
      asset("/charts.js", script, files::charts_js_etag, files::charts_js),
      asset("/chart.js", script, files::chart_min_js_etag, files::chart_min_js),
  };
  return all;
}

// "0", "0.", "0.000" (RFC 9110, section 12.4.2).
bool is_zero_weight(std::string_view parameters) {
  const std::string_view weight = http::trimmed(parameters);
  if (weight.size() < 3 || http::lower(weight[0]) != 'q' || weight[1] != '=') return false;
  return weight.substr(2).find_first_not_of("0.") == std::string_view::npos;
}

}  // namespace

const Asset* find_asset(std::string_view path) {
  const auto found = std::ranges::find(assets(), path, &Asset::path);
  return found == assets().end() ? nullptr : &*found;
}

bool takes_gzip(std::string_view accept_encoding) {
  bool named = false;
  bool taken = false;
  http::for_each_in_list(accept_encoding, [&](std::string_view coding) {
    const std::size_t semicolon = std::min(coding.find(';'), coding.size());
    const std::string_view name = http::trimmed(coding.substr(0, semicolon));
    const bool is_gzip =
        http::equals_ignoring_case(name, "gzip") || http::equals_ignoring_case(name, "x-gzip");
    if (!is_gzip && (name != "*" || named)) return;
    named = named || is_gzip;
    taken = semicolon == coding.size() || !is_zero_weight(coding.substr(semicolon + 1));
  });
  return taken;
}

bool matches_etag(std::string_view if_none_match, std::string_view etag) {
  const auto opaque = [](std::string_view tag) {
    return tag.starts_with("W/") ? tag.substr(2) : tag;
  };
  bool matches = false;
  http::for_each_in_list(if_none_match, [&](std::string_view tag) {
    matches = matches || tag == "*" || opaque(tag) == opaque(etag);
  });
  return matches;
}

std::string unpack(const Asset& asset) {
  std::string out;
  CHECK(codec::Decoder().decode(codec::Encoding::gzip, asset.gzip, asset_bytes_max, out));
  return out;
}

void answer_asset(http::Connection& connection, const http::RequestHead& head, const Asset& asset) {
  std::string lines(lines_of_all);
  lines.append("ETag: ").append(asset.etag).append("\r\n");
  if (matches_etag(head.field("if-none-match").value_or(""), asset.etag)) {
    connection.respond({.status = 304, .extra_lines = lines});
    return;
  }
  if (!takes_gzip(head.field("accept-encoding").value_or(""))) {
    const std::string plain = unpack(asset);
    connection.respond({.content_type = asset.content_type, .body = plain, .extra_lines = lines});
    return;
  }
  lines += "Content-Encoding: gzip\r\n";
  connection.respond(
      {.content_type = asset.content_type, .body = as_text(asset.gzip), .extra_lines = lines});
}

}  // namespace inlet::serve
