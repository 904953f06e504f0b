// kafka_progress: what has become of the messages of the batch in hand.
//
// A window slides over the batch: every message in it has a ticket, in order, and leaves at the
// front when it is settled (delivered or refused). After a failure the batch begins again at the
// first one that is not, and what has arrived behind it is remembered. All that is remembered lies
// within one window, so there is a bound on it whatever the size of the batch.
//
// Invariant: a ticket stays where it is until it leaves the window. One thread.

#pragma once

#include <deque>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "sinks/kafka_feed.h"
#include "sinks/kafka_producer.h"
#include "sinks/sink.h"

namespace inlet::sinks {

class KafkaProgress {
 public:
  explicit KafkaProgress(std::size_t window_max) : window_max_(window_max) {}
  KafkaProgress(const KafkaProgress&) = delete;
  KafkaProgress& operator=(const KafkaProgress&) = delete;

  // Forgets everything, unless this batch is the one in hand.
  void start(const BatchName& name);
  // Where the batch goes on. The window is empty.
  [[nodiscard]] KafkaPlace place() const { return place_; }
  // Leaves out what is before `place`.
  void skip_to(KafkaPlace place) { place_ = place; }

  [[nodiscard]] bool has_room() const { return window_.size() < window_max_; }
  // Takes the next place into the window; null: it is settled already.
  [[nodiscard]] KafkaTicket* open(KafkaPlace place, const KafkaRoute* route);
  // Takes back the last one opened, which was not sent.
  void withdraw() { window_.pop_back(); }
  // Lets go of what is settled at the front.
  void slide();
  [[nodiscard]] const std::deque<KafkaTicket>& window() const { return window_; }

  // The message will never be taken: its record is for the dead letters.
  void refuse(KafkaPlace place, std::uint64_t sequence, const std::string& why);
  void reject(std::uint64_t sequence, const std::string& why) {
    rejected_.try_emplace(sequence, why);
  }

  // What is still under way will not be answered.
  void fail_unanswered(int error);

  // After everything in the window was answered: ends the window. What arrived counts, or with
  // `undone` (the transaction was aborted) nothing does.
  void rewind(bool undone);

  [[nodiscard]] std::vector<Rejection> rejections() const;
  void finish();  // The next batch is another one.

 private:
  const std::size_t window_max_;
  bool started_ = false;
  std::string node_;
  std::uint64_t first_ = 0;
  std::uint64_t last_ = 0;

  KafkaPlace place_;
  std::deque<KafkaTicket> window_;
  std::set<KafkaPlace> arrived_;  // Behind place_.
  std::set<KafkaPlace> refused_;
  std::map<std::uint64_t, std::string> rejected_;  // By sequence.
};

}  // namespace inlet::sinks
