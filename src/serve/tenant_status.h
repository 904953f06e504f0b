// tenant_status: what a tenant is told of itself (GET /v1/status), and nothing of anybody else.
//
// Pure; any thread.

#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/time.h"
#include "serve/sink_watch.h"
#include "serve/tenant.h"

namespace inlet::serve {

// {"schema":1,"tenant","last_stored_at","today":{…},"total":{…},"limits":{…},"undelivered":{…}},
// one line. A limit that is not set is null. The age of the oldest undelivered record is that of
// the node's: the tenant's own is not older.
[[nodiscard]] std::string tenant_status_json(const Tenant& tenant,
                                             std::span<const SinkFigures> sinks,
                                             std::uint64_t next_sequence, Microseconds wall_us);

}  // namespace inlet::serve
