#include "http/server_connection.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/check.h"
#include "http/forwarded.h"

namespace inlet::http {

ServerConnection::ServerConnection(Loop& loop, int fd, const HandlerFactory& factory,
                                   const ListenerOptions& listener)
    : loop_(loop),
      fd_(fd),
      listener_(listener),
      handler_(factory(*this)),
      peer_(peer_of(fd)),
      state_(listener.tls != nullptr ? State::handshaking : State::idle) {
  loop_.counters().open.add();
  loop_.counters().accepted.add();
}

ServerConnection::~ServerConnection() {
  // The handler goes first, while what it refers to is whole.
  handler_.reset();
  input_.release(loop_.buffers());
  end_tls(false);
  if (state_ == State::closed) return;
  ::close(fd_);
  loop_.counters().open.subtract(1);
}

void ServerConnection::start() {
  deadline_us_ =
      loop_.deadline_us(loop_.draining() ? drain_first_request_us : loop_.options().header_us);
  settle_peer();
  if (listener_.proxy_protocol) {
    if (!peer_trusted_) return refuse_peer("not a trusted proxy");
    state_ = State::announced;
  }
  if (!loop_.watch(fd_, *this)) close();
  run();
}

void ServerConnection::on_event(bool readable, bool writable, bool ended) {
  if (readable) readable_ = true;
  if (ended) ended_ = true;
  if (tls_) {
    if (readable) tls_->note_readable(ended_);
    if (writable && tls_->read_waits_for_room()) readable_ = true;
  }
  if (writable && state_ == State::sending) send_pending();
  run();
}

void ServerConnection::go_on() {
  yielded_ = false;
  run();
}

void ServerConnection::run() {
  if (running_) return;
  running_ = true;
  for (std::size_t i = 0; advance(); i++) {
    if (i < advances_in_a_row_max) continue;
    yielded_ = true;
    loop_.run_next_round(*this);
    break;
  }
  running_ = false;
  bury_if_done();
}

bool ServerConnection::advance() {
  if (memory_waiting_ || yielded_) return false;
  switch (state_) {
    case State::announced: return read_announcement();
    case State::handshaking: return shake_hands();
    case State::idle:
    case State::head: return read_head();
    case State::body: return read_body();
    case State::discarding: return discard_body();
    case State::finishing: return finish();
    case State::lingering: return linger();
    case State::handling:
    case State::sending:
    case State::closed: return false;
  }
  return false;
}

// ---- Reading.

bool ServerConnection::read_head() {
  if (!input_.empty()) {
    if (state_ == State::idle) {
      state_ = State::head;
      since_us_ = loop_.now_us();
      if (served_) deadline_us_ = loop_.deadline_us(loop_.options().header_us);
    }
    Loop::ParsedHead& parsed = loop_.parsed_head();
    parsed.owner = this;
    parsed.bytes = input_.bytes().data();
    const HeadResult result = parse_head(as_text(input_.bytes()), parsed.head);
    is_head_method_ = parsed.head.method == "HEAD";
    if (result.kind == HeadResult::Kind::rejected) {
      reject(result.status, result.detail);
      return true;
    }
    if (result.kind == HeadResult::Kind::complete) return take_head(result.bytes);
  }
  return receive_more();
}

bool ServerConnection::take_head(std::size_t head_bytes) {
  const RequestHead& head = loop_.parsed_head().head;
  head_bytes_ = head_bytes;
  target_offset_ = static_cast<std::uint32_t>(head.target.data() - as_text(input_.bytes()).data());
  target_bytes_ = static_cast<std::uint32_t>(head.target.size());
  body_.start(head, head_bytes);
  body_received_ = 0;
  keep_alive_ = head.keep_alive;
  is_old_ = head.minor_version == 0;
  expect_continue_ = head.expect_continue && head.has_body();
  if (head.expect_other) {
    reject(417, "No expectation but 100-continue is understood.");
    return true;
  }
  if (peer_trusted_) {
    const auto source = forwarded_address(head, *peer_.ip, listener_.trusted_proxies);
    forwarded_ = source ? source->text() : "";
  }
  head_given_ = may_respond_ = in_on_head_ = true;
  const HeadAction action = handler_->on_head(head);
  in_on_head_ = false;
  if (!action.takes_body) {
    CHECK(!may_respond_);
    return true;
  }
  CHECK(may_respond_);
  may_respond_ = false;
  return begin_body(action.body_bytes_max);
}

bool ServerConnection::begin_body(std::uint64_t bytes_max) {
  body_.limit(bytes_max);
  state_ = State::body;
  body_since_us_ = loop_.now_us();
  deadline_us_ = loop_.deadline_us(loop_.options().body_us);
  if (expect_continue_ && input_.size() == head_bytes_ && body_.length() <= bytes_max) {
    // Nothing else is on its way to this client, so a socket that cannot take this is dead.
    if (send(continue_answer) != continue_answer.size()) close();
  }
  return true;
}

bool ServerConnection::read_body() {
  switch (body_.next(input_, *handler_)) {
    case Body::Need::input: return receive_more();
    case Body::Need::direct: return receive_direct();
    case Body::Need::memory: wait_for_memory(MemoryUse::body); return false;
    case Body::Need::nothing: deliver(); return true;
    case Body::Need::less: reject(413, "The body is larger than is taken here."); return true;
    case Body::Need::soundness: reject(400, body_.error()); return true;
  }
  return false;
}

bool ServerConnection::receive_direct() {
  got_memory();
  if (!readable_) return false;
  if (tls_) tls_->expect_much(reserve_tls(tls_idle_bytes + tls_busy_bytes + tls_ahead_bytes));
  const std::size_t count = receive(body_.room());
  if (count == 0) return state_ != State::body;
  body_.received(count);
  return true;
}

bool ServerConnection::receive_more() {
  if (!readable_) {
    if (input_.empty()) release_input();
    return false;
  }
  if ((tls_ && !reserve_tls(tls_idle_bytes + tls_busy_bytes)) ||
      !input_.make_room(loop_.buffers())) {
    wait_for_memory(MemoryUse::input);
    return false;
  }
  got_memory();
  const State before = state_;
  const std::size_t count = receive(input_.room());
  if (count == 0) return state_ != before;
  input_.added(count);
  return true;
}

std::size_t ServerConnection::receive(MutableBytes room) {
  const Received received = tls_ ? tls_->receive(room) : receive_some(fd_, room);
  switch (received.kind) {
    case Received::Kind::bytes:
      // A read that did not fill its room emptied the socket. But no edge tells of its end twice.
      readable_ = tls_ ? tls_->has_more() : received.count == room.size() || ended_;
      body_received_ += received.count;
      loop_.counters().bytes_in.add(received.count);
      break;
    case Received::Kind::nothing_yet: nothing_came(); break;
    case Received::Kind::end: peer_ended(); break;
    case Received::Kind::broken: close(); break;
  }
  return received.count;
}

void ServerConnection::nothing_came() {
  readable_ = false;
  if (tls_ && state_ == State::idle && !tls_->is_at_rest()) {
    // A part of a record: as far as deadlines go, a request has begun.
    state_ = State::head;
    since_us_ = loop_.now_us();
    if (served_) deadline_us_ = loop_.deadline_us(loop_.options().header_us);
  }
  if (input_.empty()) release_input();
}

std::optional<std::size_t> ServerConnection::send(std::string_view first, std::string_view second) {
  return tls_ ? tls_->send(first, second) : send_some(fd_, first, second);
}

// The peer sends no more; it may still read.
void ServerConnection::peer_ended() {
  if (state_ == State::discarding) return release_refusal(false);
  close();
}

void ServerConnection::deliver() {
  got_memory();
  state_ = State::handling;
  deadline_us_ = never_us;
  may_respond_ = true;
  handler_->on_body(body_.bytes(input_));
}

const RequestHead& ServerConnection::head() {
  Loop::ParsedHead& parsed = loop_.parsed_head();
  const void* const bytes = input_.bytes().data();
  if (parsed.owner != this || parsed.bytes != bytes) {
    parsed.owner = this;
    parsed.bytes = bytes;
    const HeadResult again = parse_head(as_text(input_.bytes().first(head_bytes_)), parsed.head);
    CHECK(again.kind == HeadResult::Kind::complete);
  }
  return parsed.head;
}

// ---- Refusals, whose body is read before they are sent.

void ServerConnection::hold_refusal(const Response& response) {
  status_ = response.status;
  pending_.clear();
  append_head(pending_, response, loop_.date());
  pending_sent_ = pending_.size();
  pending_ += "\r\n";
  if (!is_head_method_ && !is_bodiless(response.status)) pending_ += response.body;
  keep_ = !response.close;
  state_ = State::discarding;
  deadline_us_ = loop_.deadline_us(loop_.options().refusal_hold_us);
  // A client that waits for 100 Continue will not send what it announced, or may: no telling what
  // its next bytes are.
  const std::uint64_t left = body_.length_left(input_);
  const bool all_here = !body_.is_chunked() && left == 0;
  if ((expect_continue_ && !all_here) || left > discard_bytes_max) release_refusal(false);
}

bool ServerConnection::discard_body() {
  if (head_bytes_ != 0 && listener_.answers != nullptr) {
    kept_target_ = as_text(input_.bytes())
                       .substr(target_offset_,
                               std::min<std::size_t>(target_bytes_, answered_target_bytes_max));
  }
  input_.drop_front(std::exchange(head_bytes_, 0));
  const Body::Need need = body_.discard(input_);
  if (need == Body::Need::soundness) {
    reject(400, body_.error());
  } else if (need == Body::Need::nothing || body_.discarded() > discard_bytes_max) {
    release_refusal(need == Body::Need::nothing);
  } else {
    return receive_more();
  }
  return true;
}

void ServerConnection::release_refusal(bool keep) {
  keep_ = keep_ && keep && keep_alive_ && !loop_.last_call();
  pending_.insert(pending_sent_, connection_line(keep_));
  pending_sent_ = 0;
  deadline_us_ = loop_.deadline_us(loop_.options().write_us);
  state_ = State::sending;
  send_pending();
}

// ---- Answering.

void ServerConnection::respond(const Response& response) {
  CHECK(may_respond_);
  may_respond_ = false;
  responded_ = true;
  if (state_ == State::closed) {
    head_given_ = false;
    handler_->on_end();
    return bury_if_done();
  }
  if (in_on_head_ && !body_.is_empty()) return hold_refusal(response);
  send_answer(response, keep_alive_ && !response.close && !loop_.last_call());
  run();
}

void ServerConnection::reject(int status, std::string_view detail, std::string_view extra_lines) {
  Counter& counter =
      status == 503 ? loop_.counters().memory_refusals : loop_.counters().framing_errors;
  counter.add();
  pending_.clear();
  const std::string problem = problem_json(status, detail);
  send_answer({.status = status,
               .content_type = problem_content_type,
               .body = problem,
               .extra_lines = extra_lines,
               .close = true},
              false);
}

std::string_view ServerConnection::connection_line(bool keep) const {
  if (!keep) return close_line;
  return is_old_ ? keep_alive_line : std::string_view();
}

void ServerConnection::send_answer(const Response& response, bool keep) {
  keep_ = keep;
  status_ = response.status;
  std::string& out = loop_.answer_scratch();
  out.clear();
  append_head(out, response, loop_.date());
  out += connection_line(keep);
  out += "\r\n";
  std::string_view body = response.body;
  if (is_head_method_ || is_bodiless(response.status)) body = {};
  if (body.size() <= inline_body_bytes_max) {
    out += body;
    body = {};
  }
  send_bytes(out, body);
}

void ServerConnection::send_bytes(std::string_view first, std::string_view second) {
  const std::optional<std::size_t> sent = send(first, second);
  if (!sent) return close();
  if (*sent == first.size() + second.size()) {
    state_ = State::finishing;
    return;
  }
  pending_.clear();
  if (*sent < first.size()) pending_ += first.substr(*sent);
  pending_ += second.substr(*sent < first.size() ? 0 : *sent - first.size());
  pending_sent_ = 0;
  state_ = State::sending;  // on_event() comes back to it.
  deadline_us_ = loop_.deadline_us(loop_.options().write_us);
}

void ServerConnection::send_pending() {
  const std::optional<std::size_t> sent = send(std::string_view(pending_).substr(pending_sent_));
  if (!sent) return close();
  pending_sent_ += *sent;
  if (*sent > 0) deadline_us_ = loop_.deadline_us(loop_.options().write_us);
  if (pending_sent_ < pending_.size()) return;  // on_event() comes back to it.
  pending_ = {};
  pending_sent_ = 0;
  state_ = State::finishing;
}

void ServerConnection::tell_of_answer() {
  std::string_view target = kept_target_;
  if (head_bytes_ != 0) target = as_text(input_.bytes()).substr(target_offset_, target_bytes_);
  listener_.answers->on_answer({.status = status_,
                                .took_us = loop_.clock().steady_us() - since_us_,
                                .target = target,
                                .peer = peer(),
                                .loop = loop_.index(),
                                .by_server = !responded_});
  kept_target_.clear();
}

bool ServerConnection::finish() {
  loop_.counters().requests.add();
  if (listener_.answers != nullptr) tell_of_answer();
  served_ = true;
  responded_ = false;
  if (head_given_) {
    head_given_ = false;
    handler_->on_end();
    loop_.memory_released();
  }
  if (!keep_) {
    start_linger();
    return true;
  }
  // A discarded body has been dropped already, with its head.
  if (std::exchange(head_bytes_, 0) != 0) input_.drop_front(body_.request_bytes());
  state_ = State::idle;
  is_head_method_ = false;
  deadline_us_ =
      loop_.deadline_us(loop_.draining() ? drain_first_request_us : loop_.options().idle_us);
  return true;
}

void ServerConnection::release_input() {
  input_.release(loop_.buffers());
  if (tls_) rest_tls();
  loop_.memory_released();
}

void ServerConnection::start_linger() {
  end_tls(true);
  ::shutdown(fd_, SHUT_WR);
  release_input();
  state_ = State::lingering;
  lingered_bytes_ = 0;
  readable_ = true;
  deadline_us_ = loop_.deadline_us(loop_.options().linger_us);
}

bool ServerConnection::linger() {
  if (!readable_) return false;
  const std::size_t count = receive(loop_.discard_scratch());
  if (count == 0) return false;
  lingered_bytes_ += count;
  if (lingered_bytes_ > linger_bytes_max) close();
  return true;
}

// ---- Waiting.

void ServerConnection::wait_for_memory(MemoryUse use) {
  memory_waiting_ = true;
  if (memory_since_us_ < 0) memory_since_us_ = loop_.now_us();
  loop_.wait_for_memory(*this, use);
}

void ServerConnection::retry_memory() {
  memory_waiting_ = false;
  run();
}

// The time spent waiting was ours, not the client's.
void ServerConnection::got_memory() {
  if (memory_since_us_ < 0) return;
  const Microseconds waited_us = loop_.now_us() - memory_since_us_;
  memory_since_us_ = -1;
  if (deadline_us_ != never_us) deadline_us_ += waited_us;
  body_since_us_ += waited_us;
}

bool ServerConnection::body_too_slow() const {
  if (state_ != State::body) return false;
  const Options& options = loop_.options();
  const Microseconds elapsed_us = loop_.now_us() - body_since_us_;
  if (elapsed_us <= options.body_grace_us) return false;
  const auto seconds = static_cast<double>(elapsed_us) / 1e6;
  const auto bytes_due = static_cast<double>(options.body_bytes_per_second_min) * seconds;
  return static_cast<double>(body_received_) < bytes_due;
}

void ServerConnection::sweep() {
  if (state_ == State::closed) return;
  if (memory_waiting_) {
    const Microseconds give_up_us = memory_since_us_ + loop_.options().memory_wait_us;
    if (loop_.now_us() < give_up_us) return;
    memory_waiting_ = false;
    InWaiting::unlink();
    memory_since_us_ = -1;
    if (state_ == State::discarding) {
      release_refusal(false);
      return run();
    }
    if (state_ == State::handshaking) {
      loop_.counters().memory_refusals.add();
      close();
      return bury_if_done();
    }
    reject(503, "This node is out of memory for requests at the moment.", "Retry-After: 1\r\n");
  } else if (loop_.now_us() >= deadline_us_ || body_too_slow()) {
    timed_out();
  } else {
    return;
  }
  run();
}

void ServerConnection::timed_out() {
  switch (state_) {
    case State::head: return reject(408, "The header fields did not come in time.");
    case State::body: return reject(408, "The body did not come in time.");
    case State::discarding: return release_refusal(false);
    case State::handling:
    case State::finishing: return;
    case State::announced: return refuse_peer("no PROXY header in time");
    case State::handshaking: loop_.counters().tls_failures.add(); return close();
    case State::idle:
    case State::sending:
    case State::lingering:
    case State::closed: return close();
  }
}

void ServerConnection::drain() {
  const bool opening = state_ == State::announced || state_ == State::handshaking;
  if (memory_waiting_ || (state_ != State::idle && !opening)) return;
  if (!served_) {
    deadline_us_ = std::min(deadline_us_, loop_.deadline_us(drain_first_request_us));
    return;
  }
  char next;
  if (::recv(fd_, &next, 1, MSG_PEEK) > 0) return;
  close();
  bury_if_done();
}

void ServerConnection::close() {
  if (state_ == State::closed) return;
  end_tls(state_ == State::idle);
  state_ = State::closed;
  ::close(fd_);
  loop_.counters().open.subtract(1);
  if (memory_waiting_) {
    memory_waiting_ = false;
    InWaiting::unlink();
  }
  if (may_respond_) return;
  if (head_given_) {
    head_given_ = false;
    handler_->on_end();
  }
  release_input();
}

void ServerConnection::bury_if_done() {
  if (state_ != State::closed || running_ || buried_) return;
  if (yielded_ || may_respond_) return;
  buried_ = true;
  loop_.bury(*this);
}

}  // namespace inlet::http
