#include "sinks/put_lanes.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace inlet::sinks {
namespace {

constexpr std::size_t destinations_kept_max = 10'000;  // Remembered from batch to batch.
constexpr std::size_t entry_frame_bytes = 12;          // {"Data":""},

constexpr std::size_t base64_bytes(std::size_t bytes) { return (bytes + 2) / 3 * 4; }

}  // namespace

void PutLanes::forget() {
  lanes_.clear();
  held_bytes_ = 0;
  begin_attempt();
  if (destinations_.size() > destinations_kept_max) destinations_.clear();
}

void PutLanes::begin_attempt() {
  turns_.clear();
  for (auto& [name, destination] : destinations_) {
    destination.ready.clear();
    destination.in_turns = false;
    destination.stopped = false;
  }
  for (auto& [name, lane] : lanes_) {
    CHECK(!lane.in_flight);
    lane.ready = false;
    lane.stopped = false;
    make_ready(lane);
  }
}

void PutLanes::add(const std::string& name, const std::string& destination, std::size_t key_bytes,
                   PutEvents::Piece piece) {
  if (piece.events.empty()) return;
  const auto [place, is_new] = lanes_.try_emplace(name);
  PutLane& lane = place->second;
  if (is_new) {
    lane.name = name;
    lane.key_bytes = key_bytes;
    lane.destination = &destinations_.try_emplace(destination).first->second;
    lane.destination->name = destination;
  }
  held_bytes_ += piece.bytes;
  lane.waiting.splice(lane.waiting.end(), piece.events);
  make_ready(lane);
}

void PutLanes::make_ready(PutLane& lane) {
  if (lane.waiting.empty() || lane.ready || lane.in_flight || lane.stopped) return;
  PutDestination& destination = *lane.destination;
  lane.ready = true;
  destination.ready.push_back(&lane);
  if (destination.in_turns || destination.stopped) return;
  destination.in_turns = true;
  turns_.push_back(&destination);
}

// ---- Out.

std::optional<PutRequest> PutLanes::pack() {
  while (!turns_.empty() && turns_.front()->stopped) turns_.pop_front();
  if (turns_.empty()) return std::nullopt;
  PutDestination& destination = *turns_.front();
  turns_.pop_front();
  PutRequest request = pack_for(destination);
  destination.in_turns = !destination.ready.empty();
  if (destination.in_turns) turns_.push_back(&destination);
  return request;
}

PutRequest PutLanes::pack_for(PutDestination& destination) {
  PutRequest request;
  request.destination = &destination;
  std::size_t events_max = limits_.records_max;
  while (!destination.ready.empty()) {
    PutLane& lane = *destination.ready.front();
    events_max = std::min(events_max, std::max(lane.limit, request.events));
    std::size_t count_max = events_max - request.events;
    if (lane.late > 0) count_max = std::min(count_max, lane.late);
    std::list<PutEvent> events = take(lane, count_max, request.bytes);
    if (events.empty()) break;  // Full.
    destination.ready.pop_front();
    lane.ready = false;
    lane.in_flight = true;
    request.events += events.size();
    request.parts.push_back({&lane, std::move(events)});
  }
  CHECK(request.events > 0);
  return request;
}

// Up to `count_max` events, as far as they fit.
std::list<PutEvent> PutLanes::take(PutLane& lane, std::size_t count_max,
                                   std::size_t& request_bytes) {
  std::list<PutEvent> events;
  while (events.size() < count_max && !lane.waiting.empty()) {
    const std::size_t data_bytes = lane.waiting.front().data.size();
    const std::size_t more = limits_.counts_encoded ? base64_bytes(data_bytes) + entry_frame_bytes
                                                    : data_bytes + lane.key_bytes;
    const std::size_t limit = request_bytes == 0
                                  ? std::max(limits_.request_bytes_max, limits_.record_bytes_max)
                                  : limits_.request_bytes_max;
    if (request_bytes + more > limit) break;
    request_bytes += more;
    events.splice(events.end(), lane.waiting, lane.waiting.begin());
  }
  return events;
}

// ---- Back.

void PutLanes::give_back(PutRequest& request) {
  for (PutRequest::Part& part : request.parts) {
    part.lane->waiting.splice(part.lane->waiting.begin(), part.events);
    release(*part.lane);
  }
}

std::vector<std::size_t> PutLanes::settle(PutRequest& request, std::span<const Fate> fates) {
  CHECK(fates.size() == request.events);
  std::vector<std::size_t> refused;
  for (PutRequest::Part& part : request.parts) {
    const std::size_t events = part.events.size();
    settle_part(part, fates.first(events), refused);
    fates = fates.subspan(events);
  }
  return refused;
}

void PutLanes::settle_part(PutRequest::Part& part, std::span<const Fate> fates,
                           std::vector<std::size_t>& refused) {
  PutLane& lane = *part.lane;
  std::vector<std::size_t> refused_here;
  std::size_t gone = 0;
  auto event = part.events.begin();
  for (const Fate fate : fates) {
    if (fate == Fate::throttled || fate == Fate::failed) {
      ++event;
      continue;
    }
    if (fate == Fate::stored) lane.destination->accepted = true;
    if (fate == Fate::refused) refused_here.push_back(event->record);
    held_bytes_ -= event->bytes();
    event = part.events.erase(event);
    gone++;
  }
  lane.late = lane.late > 0 ? lane.late - gone : part.events.size();
  lane.suspects -= std::min(lane.suspects, gone);
  if (lane.suspects == 0) lane.limit = SIZE_MAX;
  lane.waiting.splice(lane.waiting.begin(), part.events);
  for (const std::size_t record : refused_here) drop_record(lane, record);
  refused.insert(refused.end(), refused_here.begin(), refused_here.end());
  release(lane);
}

void PutLanes::split(PutRequest& request) {
  CHECK(request.events > 1);
  for (const PutRequest::Part& part : request.parts) {
    part.lane->suspects = part.events.size();
    part.lane->limit = request.events / 2;
  }
  give_back(request);
}

std::size_t PutLanes::drop(PutRequest& request) {
  CHECK(request.events == 1);
  PutRequest::Part& part = request.parts.front();
  PutLane& lane = *part.lane;
  const std::size_t record = part.events.front().record;
  lane.waiting.splice(lane.waiting.begin(), part.events);
  lane.suspects = 0;
  lane.limit = SIZE_MAX;
  drop_record(lane, record);
  release(lane);
  return record;
}

// The lane is in no request any more.
void PutLanes::release(PutLane& lane) {
  lane.in_flight = false;
  if (lane.waiting.empty()) {
    lanes_.erase(lanes_.find(lane.name));
  } else {
    make_ready(lane);
  }
}

void PutLanes::drop_record(PutLane& lane, std::size_t record) {
  const std::size_t late = lane.late;
  std::size_t place = 0;
  for (auto event = lane.waiting.begin(); event != lane.waiting.end(); place++) {
    if (event->record != record) {
      ++event;
      continue;
    }
    if (place < late) lane.late--;
    held_bytes_ -= event->bytes();
    event = lane.waiting.erase(event);
  }
}

}  // namespace inlet::sinks
