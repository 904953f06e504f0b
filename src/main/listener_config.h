// listener_config: what [server] says of TLS, the PROXY protocol and trusted proxies, as the room
// http takes it.
//
// Pure, but for open_tls(), which reads the files.

#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "http/options.h"
#include "http/tls.h"
#include "main/config.h"
#include "main/values.h"

namespace inlet::main {

// Keys that need each other, or exclude each other: the key and the end of a sentence about it.
[[nodiscard]] std::vector<std::pair<std::string, std::string>> listener_mistakes(
    const ServerConfig& server);

// Null if no certificate is configured. An error names the file or the key.
[[nodiscard]] Result<std::unique_ptr<http::TlsContext>> open_tls(FileSystem& files, Clock& clock,
                                                                 const ServerConfig& server);

// Of the ingest listener. `tls`, or null, outlives the server.
[[nodiscard]] http::ListenerOptions listener_options(const ServerConfig& server,
                                                     http::TlsContext* tls);

// Files that open_tls() reads, and goes on reading.
[[nodiscard]] std::vector<std::string> tls_files(const ServerConfig& server);

// For the table of keys; `section` is a ServerConfig.
[[nodiscard]] Problem read_client_auth(void* section, std::string_view text, Range range);
[[nodiscard]] Problem read_tls_version(void* section, std::string_view text, Range range);
[[nodiscard]] Problem read_networks(void* section, std::string_view text, Range range);

}  // namespace inlet::main
