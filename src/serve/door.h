// door: one client connection's way into the journal.
//
// The path of a record: the head is judged (intake.h) and admission asked; a body that fits the
// connection's read buffer is copied from there into the commit being gathered, a larger one is
// received in the memory it will be written from; the answer goes out when the committer hands the
// ticket back.
//
// Invariants:
//   - 200 is sent only for a ticket that came back committed; `replicated` is said only when the
//     replica's sink has passed the record, 202 where that was asked for and did not come in time.
//   - every refusal leaves nothing stored.
//
// A Door lives on its connection's loop. DoorContext is shared by all of them, read-only but for
// its atomics.

#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "base/time.h"
#include "http/handler.h"
#include "journal/journal.h"
#include "serve/figures.h"
#include "serve/intake.h"
#include "serve/replica_watch.h"
#include "serve/validate.h"

namespace inlet::serve {

struct DoorContext {
  Clock& clock;
  journal::BufferPool& pool;
  const StreamRules& rules;
  Figures& figures;
  Microseconds ack_timeout_us = 0;      // How long an answer waits for the replica.
  journal::Journal* journal = nullptr;  // Set before the first connection.
  ReplicaWatch* replica = nullptr;      // The same; null: there is none.
  std::atomic<bool> draining{false};    // /readyz says so.
};

class Door final : public http::Handler {
 public:
  Door(DoorContext& context, http::Connection& connection)
      : context_(context), connection_(connection) {}

  http::HeadAction on_head(const http::RequestHead& head) override;
  MutableBytes body_space(std::size_t bytes_needed, std::size_t bytes_so_far) override;
  void on_body(Bytes body) override;
  void on_end() override;

  // Answers all requests in a list of tickets that append() took from doors of one loop.
  static void on_commits(journal::Ticket* tickets);
  // The same for a list that came back from the replica's watch.
  static void on_replicated(ReplicaWaiter* waiters);

 private:
  struct DoorTicket : journal::Ticket {
    Door* door = nullptr;
  };
  struct DoorWaiter : ReplicaWaiter {
    Door* door = nullptr;
  };
  enum class Durability : unsigned char { disk, disk_only_yet, replicated };

  http::HeadAction open_ingest(const Ingest& ingest);
  [[nodiscard]] journal::Metadata metadata() const;
  http::HeadAction refuse(const Refusal& refusal);
  http::HeadAction answer_health(bool ready_asked);
  [[nodiscard]] Refusal refusal_of(journal::Admission admission) const;
  void on_commit();
  void answer_stored(Durability durability);
  void answer(int status, std::string_view content_type, std::string_view body,
              std::string_view extra_lines);

  DoorContext& context_;
  http::Connection& connection_;
  const StreamRule* rule_ = nullptr;
  Ack ack_ = Ack::disk;
  DoorTicket ticket_;
  DoorWaiter waiter_;
  journal::RecordBuffer record_;  // A body too large for the read buffer,
  std::string metadata_kept_;     // and its metadata, encoded while the head is at hand.
  std::uint64_t body_bytes_ = 0;
  Microseconds started_us_ = 0;  // When the whole body was there.
};

}  // namespace inlet::serve
