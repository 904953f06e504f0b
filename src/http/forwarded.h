// forwarded: who a request is really from, as far as trusted proxies say.
//
// X-Forwarded-For is written from left to right by each hop in turn, so only what stands right of
// the first hop we do not trust is known to be true. That hop is the client.
//
// Pure; any thread.

#pragma once

#include <optional>

#include "http/address_list.h"
#include "http/head.h"

namespace inlet::http {

// The rightmost hop that is not in `trusted`, or the leftmost if all are: several lines are one
// list. Empty if `socket` is not trusted itself, if nothing is said, or if an element on the way
// there is no address: then it is the socket's. Elements may be "192.0.2.1", "192.0.2.1:80",
// "2001:db8::1", "[2001:db8::1]" or "[2001:db8::1]:80", also in double quotes.
[[nodiscard]] std::optional<IpAddress> forwarded_address(const RequestHead& head,
                                                         const IpAddress& socket,
                                                         const AddressList& trusted);

}  // namespace inlet::http
