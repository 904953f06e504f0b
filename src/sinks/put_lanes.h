// put_lanes: which events may be sent now, and which of them together.
//
// Events wait in lanes, one per tenant and stream, each with one destination. A request is filled
// lane by lane, so that lanes rarely stand in each other's way.
//
// Invariants:
//   - a lane is in one request at a time.
//   - events of a lane leave in the order they were added; those that come back stand in front.
//   - what failed inside a request is sent before anything else of its lane.
//   - after the service refused a request, events of it go in ever smaller requests, until the one
//     that it refuses is alone.
//   - a destination, or a lane, that was stopped sends nothing until the next attempt.
//
// Nothing is sent here. Requests, and what they point to, are given back or settled, once, before
// forget() or the end. One thread.

#pragma once

#include <deque>
#include <list>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "sinks/put_answer.h"
#include "sinks/put_events.h"

namespace inlet::sinks {

struct PutLimits {
  std::size_t records_max = 0;  // Of a request.
  std::size_t request_bytes_max = 0;
  std::size_t record_bytes_max = 0;  // One above request_bytes_max travels alone.
  bool counts_encoded = false;       // Whether bytes are counted as they are sent, in base64.
};

struct PutLane;

struct PutDestination {
  std::string name;
  std::deque<PutLane*> ready;  // With events that wait, and nothing under way.
  bool in_turns = false;
  bool stopped = false;   // For the rest of this attempt.
  bool accepted = false;  // It has taken a record before.
};

struct PutLane {
  std::string name;
  PutDestination* destination = nullptr;
  std::size_t key_bytes = 0;  // Sent with each event.
  std::list<PutEvent> waiting;
  bool ready = false;
  bool in_flight = false;
  bool stopped = false;          // For the rest of this attempt.
  std::size_t late = 0;          // The first ones that failed: sent before anything else.
  std::size_t suspects = 0;      // The first ones, of which one made the service refuse a request,
  std::size_t limit = SIZE_MAX;  // and how many may go together while there are such.
};

struct PutRequest {
  struct Part {
    PutLane* lane;
    std::list<PutEvent> events;
  };
  std::uint64_t id = 0;
  PutDestination* destination = nullptr;
  std::vector<Part> parts;
  std::size_t events = 0;
  std::size_t bytes = 0;
};

class PutLanes {
 public:
  explicit PutLanes(PutLimits limits) : limits_(limits) {}
  PutLanes(const PutLanes&) = delete;
  PutLanes& operator=(const PutLanes&) = delete;

  // Drops all events; destinations are remembered.
  void forget();
  // Nothing is stopped any more.
  void begin_attempt();

  // Adds events at the end of a lane. A lane keeps its destination and key_bytes while it has any.
  void add(const std::string& lane, const std::string& destination, std::size_t key_bytes,
           PutEvents::Piece piece);
  // Whether there are no events, neither waiting nor under way.
  [[nodiscard]] bool empty() const { return lanes_.empty(); }
  [[nodiscard]] std::size_t held_bytes() const { return held_bytes_; }

  // The next request; empty: nothing may be sent.
  [[nodiscard]] std::optional<PutRequest> pack();

  // Nobody knows what became of it: all of it waits again.
  void give_back(PutRequest& request);
  // Lets go what is stored; what failed waits again. Returns the records that were refused, of
  // which nothing waits any more.
  [[nodiscard]] std::vector<std::size_t> settle(PutRequest& request, std::span<const Fate> fates);
  // Gives back a request of several events that the service refused for one of them.
  void split(PutRequest& request);
  // Lets go a request of one event, and what waits of the same record, which it returns.
  [[nodiscard]] std::size_t drop(PutRequest& request);

 private:
  void make_ready(PutLane& lane);
  void release(PutLane& lane);
  void drop_record(PutLane& lane, std::size_t record);
  [[nodiscard]] PutRequest pack_for(PutDestination& destination);
  [[nodiscard]] std::list<PutEvent> take(PutLane& lane, std::size_t count_max,
                                         std::size_t& request_bytes);
  void settle_part(PutRequest::Part& part, std::span<const Fate> fates,
                   std::vector<std::size_t>& refused);

  const PutLimits limits_;
  std::map<std::string, PutLane, std::less<>> lanes_;  // With events that wait or are under way.
  std::map<std::string, PutDestination, std::less<>> destinations_;
  std::deque<PutDestination*> turns_;  // With lanes that are ready.
  std::size_t held_bytes_ = 0;
};

}  // namespace inlet::sinks
