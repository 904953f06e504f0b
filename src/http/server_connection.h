// server_connection: the life of one client connection, as a state machine.
//
//   [announced ->] [handshaking ->] idle
//   idle -> head -> body -> handling -> sending -> finishing -> idle, or lingering -> closed
//              '-> discarding -----------'
//
// run() calls advance() until there is nothing to do without another event; events (bytes to read,
// room to write, an answer, memory, a deadline) only change fields and call run(). There is no
// recursion: what a handler does inside a callback is acted on when the callback has returned.
//
//   announced    the listener wants a PROXY header first
//   handshaking  the listener speaks TLS; one that has sent nothing costs no more than without
//   idle         no byte of a next request; no buffer
//   head, body   reading; a body that fits the large read buffer stays there and is never copied
//   handling     on_body() was called, respond() has not been; nothing is read
//   discarding   the handler refused at the head; what is left of the body is read first, so that
//                a broken body still gets its 400 and a good one leaves the connection usable
//   sending      the socket took a part of the answer
//   finishing    the answer is with the kernel
//   lingering    we said goodbye and shut our side; reading on, so that no reset overtakes it
//
// Invariants:
//   - one answer per request, and none after one that said `Connection: close`.
//   - on_end() exactly once for each on_head().
//   - what TLS takes of memory is reserved while there is a TlsStream, a record's part of it from a
//     record's first byte on.
//   - a closed connection is deleted only when no event can reach it and no respond() is due.
//
// Threads: its loop's.

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/time.h"
#include "http/body.h"
#include "http/handler.h"
#include "http/input.h"
#include "http/loop.h"
#include "http/socket.h"
#include "http/tls_stream.h"

namespace inlet::http {

class ServerConnection final : public Connection,
                               public EventSource,
                               public InAll,
                               public InWaiting {
 public:
  // Owns `fd`.
  ServerConnection(Loop& loop, int fd, const HandlerFactory& factory,
                   const ListenerOptions& listener);
  ~ServerConnection() override;

  // Events, from the loop.
  void start();
  void sweep();
  void drain();
  void retry_memory();
  void go_on();
  void on_event(bool readable, bool writable, bool ended) override;

  void respond(const Response& response) override;
  const RequestHead& head() override;
  std::string_view peer() const override { return forwarded_.empty() ? peer_.text : forwarded_; }
  Microseconds since_us() const override { return since_us_; }
  std::size_t loop_index() const override { return loop_.index(); }

 private:
  enum class State : unsigned char {
    announced,
    handshaking,
    idle,
    head,
    body,
    handling,
    discarding,
    sending,
    finishing,
    lingering,
    closed,
  };

  // Each returns whether to go on at once.
  void run();
  bool advance();
  bool read_announcement();
  bool shake_hands();
  bool begin_tls();
  bool read_head();
  bool take_head(std::size_t head_bytes);
  bool begin_body(std::uint64_t bytes_max);
  bool read_body();
  bool discard_body();
  bool linger();
  bool receive_more();
  bool receive_direct();
  bool finish();

  void settle_peer();
  void refuse_peer(std::string_view reason);
  void end_tls(bool orderly);
  bool reserve_tls(std::size_t bytes);
  void rest_tls();

  // Reads once. 0: nothing came, or the connection's end has been dealt with.
  std::size_t receive(MutableBytes room);
  void nothing_came();
  std::optional<std::size_t> send(std::string_view first, std::string_view second = {});
  void peer_ended();
  void deliver();
  void release_input();
  void wait_for_memory(MemoryUse use);
  void got_memory();
  void send_pending();

  void hold_refusal(const Response& response);
  void release_refusal(bool keep);
  void reject(int status, std::string_view detail, std::string_view extra_lines = {});
  void send_answer(const Response& response, bool keep);
  void send_bytes(std::string_view first, std::string_view second);
  void tell_of_answer();
  void start_linger();
  void timed_out();
  bool body_too_slow() const;
  void close();
  void bury_if_done();

  std::string_view connection_line(bool keep) const;

  Loop& loop_;
  const int fd_;
  const ListenerOptions& listener_;
  std::unique_ptr<Handler> handler_;
  std::unique_ptr<TlsStream> tls_;  // Null: bytes are as they are.
  Peer peer_;                       // By the PROXY header, if there was one.
  std::string forwarded_;           // Whom the request at hand is from; "": the peer.

  State state_ = State::idle;
  bool peer_trusted_ = false;  // What it says about others counts.
  bool running_ = false;
  bool readable_ = false;  // A read may find something.
  bool ended_ = false;     // The peer has sent its last byte, or is gone.
  bool yielded_ = false;   // It is other connections' turn; go_on() will come.
  bool memory_waiting_ = false;
  bool served_ = false;  // At least one request.
  bool buried_ = false;

  // The request at hand.
  bool head_given_ = false;  // on_head() was called, on_end() is due.
  bool may_respond_ = false;
  bool in_on_head_ = false;
  bool keep_ = false;        // After the answer.
  bool keep_alive_ = false;  // What the client wants.
  bool expect_continue_ = false;
  bool is_head_method_ = false;
  bool is_old_ = false;  // HTTP/1.0.
  Input input_;
  Body body_;
  std::size_t tls_bytes_ = 0;        // Reserved.
  std::size_t head_bytes_ = 0;       // Stand at the front of input_; 0: no head there.
  std::uint32_t target_offset_ = 0;  // In the head.
  std::uint32_t target_bytes_ = 0;   // 0: it could not be read.
  int status_ = 0;                   // Answered.
  bool responded_ = false;           // By the handler, to this request.
  std::uint64_t body_received_ = 0;  // Since the head, for the rate.
  std::uint64_t lingered_bytes_ = 0;
  std::string pending_;           // What the socket did not take, or a refusal held back.
  std::size_t pending_sent_ = 0;  // Of it; of a refusal, where its Connection line belongs.

  std::string kept_target_;  // Of a request whose head was dropped before its answer left.

  Microseconds since_us_ = 0;  // The request's first byte was there.
  Microseconds deadline_us_ = 0;
  Microseconds memory_since_us_ = -1;  // Waiting for memory since; -1: not.
  Microseconds body_since_us_ = 0;
};

}  // namespace inlet::http
