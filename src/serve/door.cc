#include "serve/door.h"

#include <algorithm>
#include <charconv>

#include "base/check.h"
#include "base/limits.h"
#include "base/names.h"

namespace inlet::serve {
namespace {

constexpr std::string_view json_content_type = "application/json";
constexpr std::string_view disk_lines = "Inlet-Durability: disk\r\n";
constexpr std::string_view replicated_lines = "Inlet-Durability: replicated\r\n";

std::string retry_after(std::uint32_t seconds) {
  return "Retry-After: " + std::to_string(seconds) + "\r\n";
}

}  // namespace

http::HeadAction Door::on_head(const http::RequestHead& head) {
  const Request request = read_request(head, context_.rules);
  if (const auto* ingest = std::get_if<Ingest>(&request)) return open_ingest(*ingest);
  if (const auto* refusal = std::get_if<Refusal>(&request)) return refuse(*refusal);
  return answer_health(std::holds_alternative<Readyz>(request));
}

http::HeadAction Door::open_ingest(const Ingest& ingest) {
  const journal::Admission admission = context_.journal->admission();
  if (admission != journal::Admission::open) return refuse(refusal_of(admission));
  rule_ = ingest.rule;
  ack_ = ingest.ack;
  return http::HeadAction::take_body(rule_->body_bytes_max);
}

journal::Metadata Door::metadata() const {
  const http::RequestHead& head = connection_.head();
  return read_metadata(head, stream_of(head), connection_.peer());
}

MutableBytes Door::body_space(std::size_t bytes_needed, std::size_t bytes_so_far) {
  const journal::Metadata metadata = this->metadata();
  const auto acquire = [&](std::size_t bytes) {
    return context_.pool.acquire(journal::RecordBuffer::bytes_for(metadata, bytes),
                                 MemoryUse::body);
  };
  journal::Buffer buffer;
  const std::uint64_t claimed = connection_.head().content_length.value_or(0);
  // Believing the claimed length saves moving the body as it grows.
  if (claimed > bytes_needed && context_.pool.plentiful()) buffer = acquire(claimed);
  if (!buffer) buffer = acquire(bytes_needed);
  if (!buffer) return {};
  if (record_) {
    record_.grow(std::move(buffer), bytes_so_far);
  } else {
    record_ = journal::RecordBuffer(std::move(buffer), metadata);
  }
  return record_.body_space();
}

void Door::on_body(Bytes body) {
  started_us_ = context_.clock.steady_us();
  body_bytes_ = body.size();
  if (rule_->format != Format::raw) {
    const std::string_view encoding = connection_.head().field("Content-Encoding").value_or("");
    if (const auto wrong = validate(rule_->format, encoding, body)) {
      refuse({wrong->too_large ? 413 : 422, wrong->detail});
      return;
    }
  }
  ticket_.door = this;
  ticket_.loop = static_cast<unsigned>(connection_.loop_index());
  const Microseconds received_us = context_.clock.wall_us();
  const bool taken = record_ ? context_.journal->append(ticket_, record_, body.size(), received_us)
                             : context_.journal->append(ticket_, metadata(), body, received_us);
  if (!taken) refuse({503, "this node is short of memory", retry_after(1)});
}

void Door::on_commits(journal::Ticket* tickets) {
  while (tickets != nullptr) {
    auto* const ticket = static_cast<DoorTicket*>(tickets);
    tickets = tickets->next;
    ticket->door->on_commit();
  }
}

void Door::on_replicated(ReplicaWaiter* waiters) {
  while (waiters != nullptr) {
    auto* const waiter = static_cast<DoorWaiter*>(waiters);
    waiters = waiters->next;
    waiter->door->answer_stored(waiter->replicated ? Durability::replicated
                                                   : Durability::disk_only_yet);
  }
}

void Door::on_commit() {
  if (ticket_.result == journal::CommitResult::committed) {
    if (ack_ == Ack::disk) return answer_stored(Durability::disk);
    waiter_.door = this;
    waiter_.sequence = ticket_.sequence;
    waiter_.deadline_us = started_us_ + context_.ack_timeout_us;
    waiter_.loop = ticket_.loop;
    if (context_.replica != nullptr && context_.replica->wait(waiter_)) return;
    return answer_stored(Durability::disk_only_yet);
  }
  const journal::Admission admission = context_.journal->admission();
  if (admission != journal::Admission::open) {
    refuse(refusal_of(admission));
  } else {
    refuse({503, "the disk did not take the record", retry_after(1)});
  }
}

void Door::answer_stored(Durability durability) {
  LoopFigures& figures = context_.figures.of(connection_.loop_index());
  figures.stored(body_bytes_, context_.clock.steady_us() - started_us_);
  if (durability == Durability::replicated) figures.replicated.add();
  if (durability == Durability::disk_only_yet) figures.not_replicated_in_time.add();
  const bool replicated = durability == Durability::replicated;
  char body[128];
  char* at = body;
  const auto put = [&](std::string_view text) { at = std::copy(text.begin(), text.end(), at); };
  put("{\"id\":\"");
  at = write_record_id(at, context_.journal->journal_id(), ticket_.sequence);
  put("\",\"bytes\":");
  at = std::to_chars(at, body + sizeof body, body_bytes_).ptr;
  put(replicated ? ",\"durability\":\"replicated\"}\n" : ",\"durability\":\"disk\"}\n");
  answer(durability == Durability::disk_only_yet ? 202 : 200, json_content_type,
         {body, static_cast<std::size_t>(at - body)}, replicated ? replicated_lines : disk_lines);
}

http::HeadAction Door::refuse(const Refusal& refusal) {
  context_.figures.of(connection_.loop_index()).refused(refusal.status);
  answer(refusal.status, http::problem_content_type,
         http::problem_json(refusal.status, refusal.detail), refusal.extra_lines);
  return http::HeadAction::answered();
}

Refusal Door::refusal_of(journal::Admission admission) const {
  const std::string lines = retry_after(context_.journal->retry_after_s());
  if (admission == journal::Admission::full) {
    return {503, "this node's journal is full of records that were not delivered yet", lines};
  }
  if (admission == journal::Admission::stalled) {
    return {503, "this node's disk does not answer", lines};
  }
  return {503, "this node's disk refuses writes", lines};
}

http::HeadAction Door::answer_health(bool ready_asked) {
  const journal::Admission admission = context_.journal->admission();
  if (admission != journal::Admission::open) return refuse(refusal_of(admission));
  if (ready_asked && context_.draining.load(std::memory_order_relaxed)) {
    return refuse({503, "this node is draining", retry_after(1)});
  }
  answer(200, json_content_type, "{\"status\":\"ok\"}\n", {});
  return http::HeadAction::answered();
}

void Door::answer(int status, std::string_view content_type, std::string_view body,
                  std::string_view extra_lines) {
  connection_.respond(
      {.status = status, .content_type = content_type, .body = body, .extra_lines = extra_lines});
}

void Door::on_end() {
  record_.reset();
  ticket_.buffer.reset();
}

}  // namespace inlet::serve
