// connection: one non-blocking socket that carries one request at a time.
//
// Says what happened and decides nothing: when to open again, what to send and what a failure means
// is the driver's business.
//
// Invariants:
//   - a socket is open exactly when state() is not closed, and then it is known to the epoll set.
//   - request() is in flight exactly while state() is busy.
//   - with Security a connection is opening until both sides have shaken hands.
//
// One thread.

#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/time.h"
#include "load/answer.h"
#include "load/body.h"
#include "load/security.h"
#include "load/target.h"

namespace inlet::loader {

// A numbered request on its way to being answered.
struct Request {
  std::uint64_t number = 0;
  Microseconds due_us = 0;     // When it should have left; latency counts from here.
  std::uint32_t attempts = 0;  // Times sent, this one included.
};

class Connection {
 public:
  enum class State : unsigned char { closed, connecting, idle, busy };
  enum class Step : unsigned char { wait, done, broken };

  Connection() = default;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection() { close(); }

  // Starts connecting; events arrive at `epoll` under `token`. `security` may be null.
  [[nodiscard]] Status open(const Address& address, Security* security, int epoll,
                            std::uint32_t token, Microseconds now_us);
  // On events while connecting: done (now idle) or broken (error() says why).
  [[nodiscard]] Step finish_opening();
  void close();

  // The request whose parts stand in out() and `rest` begins to leave.
  [[nodiscard]] Step send(const Request& request, BodyParts rest, Microseconds now_us);
  [[nodiscard]] Step send_more();
  // Reads what has come, once, through `buffer`. done: answer() is whole. Anything that comes while
  // idle breaks the connection.
  [[nodiscard]] Step receive(std::string& buffer);
  // After done: idle again, or broken if the connection cannot take another request.
  [[nodiscard]] Step finish_request();

  [[nodiscard]] State state() const { return state_; }
  [[nodiscard]] const Request& request() const { return request_; }
  [[nodiscard]] const AnswerParser& answer() const { return parser_; }
  [[nodiscard]] Microseconds started_us() const { return started_us_; }  // Of opening or sending.
  [[nodiscard]] bool malformed() const { return malformed_; }
  [[nodiscard]] int error() const { return error_; }  // errno; 0: the other side closed.
  [[nodiscard]] std::string error_text() const;
  std::string& out() { return out_; }

 private:
  void watch(std::uint32_t events);
  Step shake_hands();
  ssize_t send_secured();
  Step sent(ssize_t put);
  [[nodiscard]] std::size_t request_bytes() const {
    return out_.size() + rest_.middle.size() + rest_.end.size();
  }

  State state_ = State::closed;
  bool watches_writable_ = false;
  bool malformed_ = false;
  int fd_ = -1;
  int epoll_ = -1;
  int error_ = 0;
  std::uint32_t token_ = 0;
  std::size_t sent_bytes_ = 0;
  Microseconds started_us_ = 0;
  Request request_;
  BodyParts rest_;
  std::string out_;
  Security* security_ = nullptr;
  std::unique_ptr<SecureStream> stream_;  // Null: bytes are as they are.
  AnswerParser parser_;
};

}  // namespace inlet::loader
