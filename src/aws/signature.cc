#include "aws/signature.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <vector>

#include "aws/digest.h"
#include "aws/text.h"

namespace inlet::aws {
namespace {

struct Url {
  std::string host;  // With the port, unless it is the scheme's own: what is sent as Host.
  std::string path;
  std::string query;
};

Url split(std::string_view url) {
  Url parts;
  const std::size_t scheme = url.find("://");
  const std::string_view standard_port = url.starts_with("https://") ? ":443" : ":80";
  if (scheme != std::string_view::npos) url.remove_prefix(scheme + 3);
  url = url.substr(0, url.find('#'));
  const std::size_t query = url.find('?');
  if (query != std::string_view::npos) parts.query = url.substr(query + 1);
  url = url.substr(0, query);
  const std::size_t path = url.find('/');
  parts.path = path == std::string_view::npos ? "/" : std::string(url.substr(path));
  std::string_view host = url.substr(0, path);
  if (host.ends_with(standard_port)) host.remove_suffix(standard_port.size());
  parts.host = host;
  return parts;
}

// Parameters by name, then value, each with its "=".
std::string canonical_query(std::string_view query) {
  std::vector<std::pair<std::string_view, std::string_view>> parameters;
  while (!query.empty()) {
    const std::string_view one = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), one.size() + 1));
    const std::size_t equals = std::min(one.find('='), one.size());
    if (!one.empty()) {
      parameters.emplace_back(one.substr(0, equals), one.substr(std::min(equals + 1, one.size())));
    }
  }
  std::ranges::sort(parameters);
  std::string out;
  for (const auto& [name, value] : parameters) {
    out += fmt::format("{}{}={}", out.empty() ? "" : "&", name, value);
  }
  return out;
}

// Small letters; runs of spaces in the value count as one.
std::pair<std::string, std::string> canonical_header(std::string_view name,
                                                     std::string_view value) {
  std::string small(name);
  std::ranges::transform(small, small.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
  });
  std::string single;
  for (const char c : trim(value)) {
    if (c != ' ' || !single.ends_with(' ')) single += c;
  }
  return {std::move(small), std::move(single)};
}

struct SignedHeaders {
  std::string lines;
  std::string names;
};

SignedHeaders signed_headers(const fetch::Request& request, const std::string& host) {
  std::map<std::string, std::string> headers{{"host", host}};
  for (const auto& [name, value] : request.headers) {
    auto [small, single] = canonical_header(name, value);
    std::string& all = headers[small];
    all += (all.empty() ? "" : ",") + single;
  }
  SignedHeaders result;
  for (const auto& [name, value] : headers) {
    result.lines += fmt::format("{}:{}\n", name, value);
    result.names += (result.names.empty() ? "" : ";") + name;
  }
  return result;
}

Sha256 signing_key(const Credentials& credentials, const SignatureScope& scope,
                   std::string_view day) {
  const Sha256 of_day = hmac_sha256(as_bytes("AWS4" + credentials.secret_key), day);
  const Sha256 of_region = hmac_sha256(of_day, scope.region);
  const Sha256 of_service = hmac_sha256(of_region, scope.service);
  return hmac_sha256(of_service, "aws4_request");
}

}  // namespace

void sign(fetch::Request& request, const Credentials& credentials, const SignatureScope& scope) {
  const std::string time = basic_time(scope.wall_us);
  const std::string day = time.substr(0, 8);
  const std::string body_hash = hex(sha256(request.body));
  const bool is_s3 = scope.service == "s3";
  request.headers.emplace_back("X-Amz-Date", time);
  if (!credentials.session_token.empty()) {
    request.headers.emplace_back("X-Amz-Security-Token", credentials.session_token);
  }
  if (is_s3) request.headers.emplace_back("X-Amz-Content-Sha256", body_hash);

  const Url url = split(request.url);
  const SignedHeaders headers = signed_headers(request, url.host);
  const std::string canonical_request = fmt::format(
      "{}\n{}\n{}\n{}\n{}\n{}", request.method, is_s3 ? url.path : percent_encode(url.path, true),
      canonical_query(url.query), headers.lines, headers.names, body_hash);
  const std::string scope_text =
      fmt::format("{}/{}/{}/aws4_request", day, scope.region, scope.service);
  const std::string to_sign =
      fmt::format("AWS4-HMAC-SHA256\n{}\n{}\n{}", time, scope_text, hex(sha256(canonical_request)));
  request.headers.emplace_back(
      "Authorization",
      fmt::format("AWS4-HMAC-SHA256 Credential={}/{}, SignedHeaders={}, Signature={}",
                  credentials.access_key, scope_text, headers.names,
                  hex(hmac_sha256(signing_key(credentials, scope, day), to_sign))));
}

}  // namespace inlet::aws
