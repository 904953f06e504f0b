// report: the fleet as one JSON document, for scripts.
//
//   {"schema":1,"at":"…","window":"10s",
//    "fleet":{"level":"Severe","nodes":3,"answering":2,"silent":1,"waiting":0,
//             "levels":{"Ok":1,"Info":0,"Warning":1,"Degraded":0,"Severe":0},"cause":"…",
//             "interval":{…}|null,"gauges":{…}},
//    "nodes":[{"target":"…","url":"…","node":"…"|null,"state":"answering|silent|waiting",
//              "level":"Ok","why":null|"…","silent_s":null|12.3,"status":{…}|null}]}
//
// "interval" is as in /status.json, with histograms; "status" is the node's own document as it
// came.
//
// Pure; any thread.

#pragma once

#include <string>

#include "top/fleet.h"

namespace inlet::top {

[[nodiscard]] std::string report_json(const Fleet& fleet, Window window);

}  // namespace inlet::top
