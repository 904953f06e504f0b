// status: what a node says of itself to other programs: /status.json, /history.json, /keys.json.
//
// The views for people are made from these: `inlet top` and the dashboard (dashboard/). Their
// fields stay; new ones come with a higher "schema" only if old readers would misread them.
// Latencies are histograms (health/latency_histogram.h), so that those of many nodes merge exactly.
//
// Any thread.

#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/memory.h"
#include "http/server.h"
#include "serve/door.h"
#include "serve/sink_watch.h"
#include "serve/vitals.h"

namespace inlet::serve {

// A node, to those who describe it. All but the strings outlive it.
struct NodeView {
  Clock& clock;
  DoorContext& door;
  http::Server& server;
  MemoryBudget& memory;
  Tenants& tenants;
  std::string node;
  std::string version;
  Microseconds started_us;         // On the steady clock.
  const Vitals* vitals = nullptr;  // Set before the first question.
};

[[nodiscard]] std::string status_json(const NodeView& node);
// The last minute by the second and the last hour by the minute.
[[nodiscard]] std::string history_json(const NodeView& node);
// What API keys were used for since this process began; nothing of it is secret.
[[nodiscard]] std::string keys_json(const NodeView& node);

[[nodiscard]] std::string_view name_of(journal::Admission admission);
// Until the journal is full, at the present paces; infinite while it does not fill.
[[nodiscard]] double seconds_until_full(const journal::Fullness& fullness);

}  // namespace inlet::serve
