#include "serve/door.h"

#include <algorithm>
#include <charconv>

#include "base/check.h"
#include "base/limits.h"
#include "base/names.h"
#include "serve/tenant_status.h"

namespace inlet::serve {
namespace {

constexpr std::string_view json_content_type = "application/json";
constexpr std::string_view disk_lines = "Inlet-Durability: disk\r\n";
constexpr std::string_view replicated_lines = "Inlet-Durability: replicated\r\n";
constexpr std::string_view request_id_name = "X-Request-Id: ";
constexpr std::string_view duplicate_lines = "Inlet-Duplicate: true\r\n";

std::string retry_after(std::uint32_t seconds) {
  return "Retry-After: " + std::to_string(seconds) + "\r\n";
}

}  // namespace

http::HeadAction Door::on_head(const http::RequestHead& head) {
  tenant_ = nullptr;
  rule_ = nullptr;
  cors_lines_ = {};
  tenant_name_ = {};
  is_keyed_ = has_key_ = is_duplicate_ = is_stored_ = false;
  has_request_id_ = !read_trace(head).request_id.empty();
  body_bytes_ = 0;
  judgement_ = {};
  const Target target = read_target(head, context_.rules);
  const bool is_health = target.route == Route::healthz || target.route == Route::readyz;
  if (target.rule != nullptr) {
    if (is_preflight(head)) return answer_preflight(head, target);
    if (const auto origin = head.field("Origin")) {
      cors_lines_ = target.rule->cors.lines_for(*origin);
    }
  }
  if (!is_health && target.route != Route::unknown) {
    const std::string_view stream = target.rule == nullptr ? std::string_view() : target.stream;
    const auto tenant =
        context_.gate->judge(head, stream, connection_.peer(), connection_.loop_index());
    if (!tenant) return refuse(tenant.error());
    tenant_ = *tenant;
    tenant_name_ = tenant_->name();
  }
  if (const auto wrong = wrong_request(head, target)) return refuse(*wrong);
  if (is_health) return answer_health(target.route == Route::readyz);
  if (target.route == Route::status) return answer_status();
  return target.route == Route::receipt ? open_receipt(target) : open_ingest(head, target);
}

http::HeadAction Door::open_ingest(const http::RequestHead& head, const Target& target) {
  const auto ack = read_ack(head, target, context_.rules);
  if (!ack) return refuse(ack.error());
  ack_ = *ack;
  const auto key = read_idempotency_key(head);
  if (!key) return refuse({400, key.error()});
  const journal::Admission admission = context_.journal->admission();
  if (admission != journal::Admission::open) return refuse(refusal_of(admission));
  judgement_ = visit_.begin(*tenant_, head.content_length, context_.shares->facts(context_.memory),
                            context_.clock.steady_us());
  if (!judgement_.ok()) {
    tenant_ = nullptr;  // The visit has counted it.
    return refuse({judgement_.status(), std::string(describe(judgement_.reason))});
  }
  rule_ = target.rule;
  is_keyed_ = key->has_value();
  if (is_keyed_) context_.idempotency->name(keyed_, tenant_->name(), target.stream, **key);
  return http::HeadAction::take_body(tenant_->body_bytes_max(rule_->body_bytes_max));
}

http::HeadAction Door::open_receipt(const Target& target) {
  const auto id = parse_record_id(target.receipt_id);
  if (!id) {
    const ReceiptAnswer malformed = malformed_answer();
    answer(malformed.status, malformed.content_type, malformed.body, malformed.extra_lines);
    return http::HeadAction::answered();
  }
  question_ = {*id, tenant_->name(), 0};
  return http::HeadAction::take_body(0);
}

journal::Metadata Door::metadata() const {
  const http::RequestHead& head = connection_.head();
  return read_metadata(head, tenant_->name(), stream_of(head), connection_.peer());
}

MutableBytes Door::body_space(std::size_t bytes_needed, std::size_t bytes_so_far) {
  const journal::Metadata metadata = this->metadata();
  const auto acquire = [&](std::size_t bytes) {
    const std::size_t size = journal::RecordBuffer::bytes_for(metadata, bytes);
    if (!visit_.hold(size, context_.shares->facts(context_.memory))) return journal::Buffer();
    return context_.pool.acquire(size, MemoryUse::body);
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
  if (rule_ == nullptr) return answer_receipt();
  body_bytes_ = body.size();
  visit_.body_came(body.size(), started_us_);
  if (rule_->format != Format::raw) {
    const std::string_view encoding = connection_.head().field("Content-Encoding").value_or("");
    if (const auto wrong = validate(rule_->format, encoding, body)) {
      refuse({wrong->too_large ? 413 : 422, wrong->detail});
      return;
    }
  }
  const journal::Metadata metadata = this->metadata();
  const Microseconds received_us = context_.clock.wall_us();
  journal_bytes_ = journal_bytes(metadata, body.size());
  ticket_.loop = static_cast<unsigned>(connection_.loop_index());
  if (!is_keyed_ || claim_key(metadata.content_encoding, body, received_us)) {
    store(metadata, body, received_us);
  }
}

bool Door::claim_key(std::string_view content_encoding, Bytes body, Microseconds received_us) {
  keyed_.door = this;
  keyed_.loop = ticket_.loop;
  switch (context_.idempotency->begin(keyed_, content_encoding, body, received_us)) {
    case Claim::first: has_key_ = true; return true;
    case Claim::duplicate:
      is_duplicate_ = true;
      ticket_.sequence = keyed_.sequence;
      on_stored();
      return false;
    case Claim::other_body:
      refuse({422, "this Idempotency-Key was used with another body"});
      return false;
    case Claim::joined: return false;  // on_joined() answers.
  }
  CHECK(false);
}

void Door::store(const journal::Metadata& metadata, Bytes body, Microseconds received_us) {
  ticket_.door = this;
  const bool taken = record_ ? context_.journal->append(ticket_, record_, body.size(), received_us)
                             : context_.journal->append(ticket_, metadata, body, received_us);
  if (taken) return;
  settle_key(false);
  refuse({503, "this node is short of memory", retry_after(1)});
}

void Door::settle_key(bool stored) {
  if (!has_key_) return;
  has_key_ = false;
  context_.idempotency->settled(keyed_, stored ? std::optional(ticket_.sequence) : std::nullopt);
}

// All keys first: a sent answer drives from the cache what the next key needs.
void Door::on_commits(journal::Ticket* tickets) {
  for (const journal::Ticket* each = tickets; each != nullptr; each = each->next) {
    const Door& door = *static_cast<const DoorTicket*>(each)->door;
    if (door.has_key_) door.context_.idempotency->settled_soon(door.keyed_);
  }
  for (const journal::Ticket* each = tickets; each != nullptr; each = each->next) {
    static_cast<const DoorTicket*>(each)->door->settle_key(each->result ==
                                                           journal::CommitResult::committed);
  }
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

void Door::on_joined(KeyedRequest* requests) {
  while (requests != nullptr) {
    auto* const request = static_cast<DoorRequest*>(requests);
    requests = requests->next;
    Door& door = *request->door;
    if (request->stored) {
      door.is_duplicate_ = true;
      door.ticket_.sequence = request->sequence;
      door.on_stored();
    } else {
      door.refuse(
          {503, "the request with the same Idempotency-Key could not be stored", retry_after(1)});
    }
  }
}

void Door::on_commit() {
  if (ticket_.result == journal::CommitResult::committed) return on_stored();
  const journal::Admission admission = context_.journal->admission();
  if (admission != journal::Admission::open) {
    refuse(refusal_of(admission));
  } else {
    refuse({503, "the disk did not take the record", retry_after(1)});
  }
}

void Door::on_stored() {
  if (ack_ == Ack::disk) return answer_stored(Durability::disk);
  waiter_.door = this;
  waiter_.sequence = ticket_.sequence;
  waiter_.deadline_us = started_us_ + context_.ack_timeout_us;
  waiter_.loop = ticket_.loop;
  if (context_.replica != nullptr && context_.replica->wait(waiter_)) return;
  answer_stored(Durability::disk_only_yet);
}

void Door::answer_stored(Durability durability) {
  is_stored_ = true;
  LoopFigures& figures = context_.figures.of(connection_.loop_index());
  if (is_duplicate_) {
    figures.duplicates.add();
    visit_.duplicate();
  } else {
    figures.stored(body_bytes_, context_.clock.steady_us() - started_us_);
    visit_.stored(journal_bytes_, context_.clock.wall_us());
  }
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

void Door::answer_receipt() {
  question_.next_sequence = context_.journal->status().next_sequence;
  context_.receipts->ask(static_cast<unsigned>(connection_.loop_index()), std::move(question_),
                         [this](const ReceiptAnswer& found) {
                           answer(found.status, found.content_type, found.body, found.extra_lines);
                         });
}

http::HeadAction Door::refuse(const Refusal& refusal) {
  context_.figures.of(connection_.loop_index()).refused(refusal.status);
  if (visit_.tenant() != nullptr) {
    visit_.refused(refusal.status);
  } else if (tenant_ != nullptr) {
    tenant_->count(refusal.status >= 500 ? Count::refused_5xx : Count::refused_4xx);
  }
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

http::HeadAction Door::answer_preflight(const http::RequestHead& head, const Target& target) {
  const std::string_view lines = target.rule->cors.preflight_lines_for(*head.field("Origin"));
  if (lines.empty()) return refuse({403, "pages of this origin may not send to this stream"});
  answer(204, {}, {}, lines);
  return http::HeadAction::answered();
}

http::HeadAction Door::answer_status() {
  answer(200, json_content_type,
         tenant_status_json(*tenant_, context_.sinks->figures(),
                            context_.journal->status().next_sequence, context_.clock.wall_us()),
         {});
  return http::HeadAction::answered();
}

void Door::answer(int status, std::string_view content_type, std::string_view body,
                  std::string_view extra_lines) {
  static thread_local std::string lines;  // Kept, so that its memory is.
  std::array<char, judgement_lines_bytes_max> room;
  const std::string_view id = request_id();
  lines.assign(extra_lines).append(write_lines(judgement_, room)).append(cors_lines_);
  if (is_duplicate_) lines.append(duplicate_lines);
  lines.append(request_id_name).append(id).append("\r\n");
  if (context_.access != nullptr) log_access(status, id);
  connection_.respond(
      {.status = status, .content_type = content_type, .body = body, .extra_lines = lines});
}

std::string_view Door::request_id() {
  if (has_request_id_) return read_trace(connection_.head()).request_id;
  return context_.request_ids[connection_.loop_index()].next();
}

void Door::log_access(int status, std::string_view request_id) {
  const std::size_t loop = connection_.loop_index();
  if (!context_.access->wants(loop, status)) return;
  const http::RequestHead& head = connection_.head();
  const Trace trace = read_trace(head);
  const Target target = read_target(head, context_.rules);
  context_.access->push(loop,
                        {.at_us = context_.clock.wall_us(),
                         .took_us = context_.clock.steady_us() - connection_.since_us(),
                         .status = status,
                         .request_bytes = body_bytes_,
                         .sequence = is_stored_ ? ticket_.sequence : 0,
                         .request_id = request_id,
                         .trace_id = trace.trace_id,
                         .amzn_root = trace.amzn_root,
                         .client = connection_.peer(),
                         .method = head.method,
                         .path = head.path,
                         .tenant = tenant_name_,
                         .stream = target.rule == nullptr ? std::string_view() : target.stream,
                         .user_agent = head.field("User-Agent").value_or("")});
}

void Door::on_end() {
  record_.reset();
  ticket_.buffer.reset();
  visit_.end();
}

}  // namespace inlet::serve
