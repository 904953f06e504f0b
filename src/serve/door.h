// door: one client connection's way into the journal.
//
// The path of a record: its key is judged (gate.h), then its head (intake.h), its tenant's limits
// (tenant.h) and the journal asked for admission; a body that fits the connection's read buffer is
// copied from there into the commit being gathered, a larger one is received in the memory it will
// be written from; if it was stored before (idempotency.h) the first answer is given again;
// otherwise the answer goes out when the committer hands the ticket back.
//
// Invariants:
//   - 200 is sent only for a ticket that came back committed; `replicated` is said only when the
//     replica's sink has passed the record, 202 where that was asked for and did not come in time.
//   - every refusal leaves nothing stored, and no body is read before its key was found good.
//
// A Door lives on its connection's loop. DoorContext is shared by all of them, read-only but for
// its atomics.

#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "http/handler.h"
#include "journal/journal.h"
#include "logs/access_log.h"
#include "serve/figures.h"
#include "serve/gate.h"
#include "serve/idempotency.h"
#include "serve/intake.h"
#include "serve/journal_shares.h"
#include "serve/receipt_desk.h"
#include "serve/replica_watch.h"
#include "serve/sink_watch.h"
#include "serve/trace.h"
#include "serve/validate.h"

namespace inlet::serve {

struct DoorContext {
  Clock& clock;
  MemoryBudget& memory;
  journal::BufferPool& pool;
  const StreamRules& rules;
  Figures& figures;
  Microseconds ack_timeout_us = 0;  // How long an answer waits for the replica.
  // Set before the first connection.
  journal::Journal* journal = nullptr;
  Gate* gate = nullptr;
  JournalShares* shares = nullptr;
  Idempotency* idempotency = nullptr;
  ReceiptDesk* receipts = nullptr;
  const SinkWatch* sinks = nullptr;
  std::vector<RequestIds> request_ids = {};  // By loop.
  logs::AccessLog* access = nullptr;         // Null: nobody wants it.
  ReplicaWatch* replica = nullptr;           // Null: there is none.
  std::atomic<bool> draining{false};         // /readyz says so.
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
  // The same for a list that came back from the replica's watch,
  static void on_replicated(ReplicaWaiter* waiters);
  // and for requests that had joined another with the same key.
  static void on_joined(KeyedRequest* requests);

 private:
  struct DoorTicket : journal::Ticket {
    Door* door = nullptr;
  };
  struct DoorWaiter : ReplicaWaiter {
    Door* door = nullptr;
  };
  struct DoorRequest : KeyedRequest {
    Door* door = nullptr;
  };
  enum class Durability : unsigned char { disk, disk_only_yet, replicated };

  http::HeadAction open_ingest(const http::RequestHead& head, const Target& target);
  http::HeadAction open_receipt(const Target& target);
  http::HeadAction answer_health(bool ready_asked);
  http::HeadAction answer_preflight(const http::RequestHead& head, const Target& target);
  http::HeadAction answer_status();
  http::HeadAction refuse(const Refusal& refusal);

  [[nodiscard]] journal::Metadata metadata() const;
  [[nodiscard]] Refusal refusal_of(journal::Admission admission) const;
  // False: the request was answered, or will be with another one.
  bool claim_key(std::string_view content_encoding, Bytes body, Microseconds received_us);
  void store(const journal::Metadata& metadata, Bytes body, Microseconds received_us);
  void settle_key(bool stored);
  void on_commit();
  void on_stored();
  void answer_receipt();
  void answer_stored(Durability durability);
  void answer(int status, std::string_view content_type, std::string_view body,
              std::string_view extra_lines);
  // The client's, or a new one. Good until the loop's next.
  [[nodiscard]] std::string_view request_id();
  void log_access(int status, std::string_view request_id);

  DoorContext& context_;
  http::Connection& connection_;

  // Of the request in hand.
  Tenant* tenant_ = nullptr;  // Null until its key was found good.
  std::string_view tenant_name_;
  bool has_request_id_ = false;  // The client sent one.
  bool is_stored_ = false;
  Visit visit_;
  Judgement judgement_;
  const StreamRule* rule_ = nullptr;  // Null: it is no record.
  std::string_view cors_lines_;       // The rule's.
  Ack ack_ = Ack::disk;
  ReceiptQuestion question_;
  DoorTicket ticket_;
  DoorWaiter waiter_;
  DoorRequest keyed_;
  bool is_keyed_ = false;         // The head has an Idempotency-Key, and keyed_ its name.
  bool has_key_ = false;          // keyed_ is to be settled.
  bool is_duplicate_ = false;     // Stored before, as ticket_.sequence.
  journal::RecordBuffer record_;  // A body too large for the read buffer.
  std::uint64_t body_bytes_ = 0;
  std::uint64_t journal_bytes_ = 0;  // Of the record.
  Microseconds started_us_ = 0;      // When the whole body was there.
};

}  // namespace inlet::serve
