#include "main/listener_config.h"

#include "base/check.h"

namespace inlet::main {

std::vector<std::pair<std::string, std::string>> listener_mistakes(const ServerConfig& server) {
  std::vector<std::pair<std::string, std::string>> mistakes;
  const auto wrong = [&](const char* key, const char* why) { mistakes.emplace_back(key, why); };
  const bool tls = !server.tls_cert.empty();
  const bool asks = server.tls_client_auth != TlsClientAuth::none;
  if (tls && server.tls_key.empty()) wrong("server.tls_cert", "needs server.tls_key");
  if (!tls && !server.tls_key.empty()) wrong("server.tls_key", "needs server.tls_cert");
  if (!tls && asks) wrong("server.tls_client_auth", "needs server.tls_cert");
  if (asks && server.tls_client_ca.empty()) {
    wrong("server.tls_client_auth", "needs server.tls_client_ca, to know whom to believe");
  }
  if (!asks && !server.tls_client_ca.empty()) {
    wrong("server.tls_client_ca", "is not used unless server.tls_client_auth says so");
  }
  if (server.proxy_protocol && server.trusted_proxies.empty()) {
    wrong("server.proxy_protocol", "needs server.trusted_proxies: nobody else is believed");
  }
  return mistakes;
}

Result<std::unique_ptr<http::TlsContext>> open_tls(FileSystem& files, Clock& clock,
                                                   const ServerConfig& server) {
  if (const auto mistakes = listener_mistakes(server); !mistakes.empty()) {
    return fail(ErrorKind::reject, mistakes.front().first + " " + mistakes.front().second);
  }
  if (server.tls_cert.empty()) return nullptr;
  http::TlsOptions options{.cert_file = server.tls_cert,
                           .key_file = server.tls_key,
                           .client_ca_file = server.tls_client_ca};
  switch (server.tls_client_auth) {
    case TlsClientAuth::none: break;
    case TlsClientAuth::optional: options.client_auth = http::ClientAuth::optional; break;
    case TlsClientAuth::required: options.client_auth = http::ClientAuth::required; break;
  }
  if (server.tls_min_version == TlsVersion::v1_3) options.version_min = http::TlsVersion::v1_3;
  return http::TlsContext::open(files, clock, std::move(options));
}

http::ListenerOptions listener_options(const ServerConfig& server, http::TlsContext* tls) {
  auto trusted = http::AddressList::parse(server.trusted_proxies);
  CHECK(trusted);  // read_networks() has looked.
  return {
      .tls = tls, .proxy_protocol = server.proxy_protocol, .trusted_proxies = std::move(*trusted)};
}

std::vector<std::string> tls_files(const ServerConfig& server) {
  std::vector<std::string> files;
  for (const std::string& file : {server.tls_cert, server.tls_key, server.tls_client_ca}) {
    if (!file.empty()) files.push_back(file);
  }
  return files;
}

Problem read_client_auth(void* section, std::string_view text, Range) {
  auto& out = static_cast<ServerConfig*>(section)->tls_client_auth;
  if (text == "none") {
    out = TlsClientAuth::none;
  } else if (text == "optional") {
    out = TlsClientAuth::optional;
  } else if (text == "required") {
    out = TlsClientAuth::required;
  } else {
    return "is not none, optional or required";
  }
  return std::nullopt;
}

Problem read_tls_version(void* section, std::string_view text, Range) {
  if (text != "1.2" && text != "1.3") return "is not 1.2 or 1.3";
  auto& out = static_cast<ServerConfig*>(section)->tls_min_version;
  out = text == "1.3" ? TlsVersion::v1_3 : TlsVersion::v1_2;
  return std::nullopt;
}

Problem read_networks(void* section, std::string_view text, Range range) {
  std::vector<std::string> items;
  if (Problem problem = read_value(text, range, items)) return problem;
  if (const auto list = http::AddressList::parse(items); !list)
    return "is wrong: " + list.error().what;
  static_cast<ServerConfig*>(section)->trusted_proxies = std::move(items);
  return std::nullopt;
}

}  // namespace inlet::main
