// handler: the contract between the server and the application behind it.
//
// For each request, in this order, all on the connection's loop thread:
//
//   on_head()      the application takes the body, or answers at once
//   body_space()   only if it took a body too large for the read buffer; perhaps several times
//   on_body()      the whole body is there
//   respond()      called by the application, inside on_body() or any time later
//   on_end()       exactly once after each on_head(): the answer was handed to the kernel, or the
//                  connection died. If on_body() was called, never before respond().
//
// respond() may call on_end() before it returns, so it is the last thing to do for a request. If
// the client breaks the framing, is too slow or too large between on_head() and on_body(), the
// server answers by itself and on_body() never comes.
//
// Connection is an interface so that applications can be tested without sockets.

#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

#include "base/bytes.h"
#include "base/time.h"
#include "http/answer.h"
#include "http/head.h"

namespace inlet::http {

class Connection {
 public:
  Connection() = default;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  virtual ~Connection() = default;

  // Exactly once per request: inside on_head(), or inside or after on_body(). After on_body() the
  // connection waits for it without limit and lives until then, even if the client is gone.
  virtual void respond(const Response& response) = 0;

  // The request being handled, until respond() is called. Its views are good until whoever asked
  // for it returns to the loop.
  [[nodiscard]] virtual const RequestHead& head() = 0;

  // IP address of the client: of the socket's other end, or whom trusted proxies name for the
  // request being handled (options.h).
  [[nodiscard]] virtual std::string_view peer() const = 0;

  // When the first byte of the request being handled was there, on the steady clock.
  [[nodiscard]] virtual Microseconds since_us() const = 0;

  // Where to post() what is to be done on this connection's thread.
  [[nodiscard]] virtual std::size_t loop_index() const = 0;
};

struct HeadAction {
  // Goes on to on_body(). 413 is answered for a longer body, before it is read where its length was
  // declared. `100 Continue` is sent if the client waits for it.
  [[nodiscard]] static HeadAction take_body(std::uint64_t bytes_max) { return {true, bytes_max}; }
  // respond() has been called. A body that follows is read and dropped if it is small.
  [[nodiscard]] static HeadAction answered() { return {false, 0}; }

  bool takes_body;
  std::uint64_t body_bytes_max;
};

// One per connection.
class Handler {
 public:
  Handler() = default;
  Handler(const Handler&) = delete;
  Handler& operator=(const Handler&) = delete;
  virtual ~Handler() = default;

  [[nodiscard]] virtual HeadAction on_head(const RequestHead& head) = 0;

  // Room for at least `bytes_needed` bytes of body, the first `bytes_so_far` of which are those
  // already put there. Empty: no memory now, ask again later. It holds until on_end() or the next
  // call. Only asked for when bytes have come that justify it.
  [[nodiscard]] virtual MutableBytes body_space(std::size_t bytes_needed,
                                                std::size_t bytes_so_far) = 0;

  // `body` stays where it is until respond() is called.
  virtual void on_body(Bytes body) = 0;

  // Give back what body_space() gave.
  virtual void on_end() = 0;
};

// An answer that was handed to the kernel, whoever wrote it.
struct Answered {
  int status;
  Microseconds took_us;     // From the request's first byte.
  std::string_view target;  // As sent; "" if it could not be read. Cut to answered_target_bytes_max
                            // where the body was dropped before.
  std::string_view peer;    // As Connection::peer() says.
  std::size_t loop;
  bool by_server;  // The handler was not asked, or had not answered.
};
inline constexpr std::size_t answered_target_bytes_max = 256;

// Told of every answer of a listener (options.h), on that loop's thread. Its views end with the
// call.
class AnswerListener {
 public:
  virtual void on_answer(const Answered& answered) = 0;

 protected:
  ~AnswerListener() = default;
};

// Called on a loop's thread, so from several threads at once if there are several loops.
using HandlerFactory = std::function<std::unique_ptr<Handler>(Connection&)>;

}  // namespace inlet::http
