// target: the four forms of a request target (RFC 9112 section 3.2), and authorities.
//
//   origin-form     /path?query             any method
//   absolute-form   http://host/path?query  any method but CONNECT; its host must be that of Host
//   authority-form  host:port               CONNECT only
//   asterisk-form   *                       OPTIONS only
//
// RFC 9112 would let the host of an absolute-form win over Host. Two hosts that differ are how a
// request means one thing to a proxy and another to us, so they are rejected. A fragment should
// never be sent; where one is, it is left out of path and query, as the client should have done.
// Pure.

#pragma once

#include <string_view>

#include "http/head.h"

namespace inlet::http {

// Sets head.path and head.query from head.target and head.method. `host` is the value of Host,
// empty if there was none (HTTP/1.0). Returns null, or one sentence saying what is wrong.
[[nodiscard]] const char* split_target(std::string_view host, RequestHead& head);

}  // namespace inlet::http
