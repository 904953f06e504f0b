#include "sinks/kafka_progress.h"

#include "base/check.h"

namespace inlet::sinks {
namespace {

KafkaPlace place_of(const KafkaTicket& ticket) { return {ticket.record, ticket.event}; }

}  // namespace

void KafkaProgress::start(const BatchName& name) {
  CHECK(window_.empty());
  if (started_ && name.first == first_ && name.last == last_ && name.node == node_) return;
  finish();
  started_ = true;
  node_ = name.node;
  first_ = name.first;
  last_ = name.last;
}

void KafkaProgress::finish() {
  started_ = false;
  place_ = {};
  window_.clear();
  arrived_.clear();
  refused_.clear();
  rejected_.clear();
}

KafkaTicket* KafkaProgress::open(KafkaPlace place, const KafkaRoute* route) {
  CHECK(has_room());
  const bool settled = arrived_.erase(place) > 0 || refused_.contains(place);
  window_.push_back(
      {.route = route,
       .record = place.record,
       .event = place.event,
       .state = settled ? KafkaTicket::State::delivered : KafkaTicket::State::under_way});
  return settled ? nullptr : &window_.back();
}

void KafkaProgress::slide() {
  while (!window_.empty() && window_.front().state == KafkaTicket::State::delivered) {
    const KafkaPlace settled = place_of(window_.front());
    place_ = {settled.record, settled.event + 1};
    window_.pop_front();
  }
}

void KafkaProgress::refuse(KafkaPlace place, std::uint64_t sequence, const std::string& why) {
  refused_.insert(place);
  reject(sequence, why);
}

void KafkaProgress::fail_unanswered(int error) {
  for (KafkaTicket& ticket : window_) {
    if (ticket.state != KafkaTicket::State::under_way) continue;
    ticket.state = KafkaTicket::State::failed;
    ticket.error = error;
  }
}

void KafkaProgress::rewind(bool undone) {
  slide();
  if (undone) {
    place_ = {};
    arrived_.clear();
  } else {
    if (!window_.empty()) place_ = place_of(window_.front());
    for (const KafkaTicket& ticket : window_) {
      CHECK(ticket.state != KafkaTicket::State::under_way);
      if (ticket.state == KafkaTicket::State::delivered) arrived_.insert(place_of(ticket));
    }
  }
  window_.clear();
}

std::vector<Rejection> KafkaProgress::rejections() const {
  std::vector<Rejection> list;
  for (const auto& [sequence, why] : rejected_) list.push_back({sequence, why});
  return list;
}

}  // namespace inlet::sinks
