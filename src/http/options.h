// options: what a server may be told, and the bounds of this room that nobody needs to tell it.
//
// Sizes are bytes, times microseconds.

#pragma once

#include <cstddef>
#include <cstdint>

#include "base/time.h"
#include "http/address_list.h"

namespace inlet::http {

struct Options {
  std::size_t loops = 1;                 // Threads, each with its own connections.
  std::size_t connections_max = 10'000;  // Accepting pauses there; the rest waits in the backlog.

  Microseconds header_us = 10'000'000;     // From the first byte, or accepting, to the head's end.
  Microseconds body_us = 60'000'000;       // From the head to the end of the body.
  Microseconds body_grace_us = 5'000'000;  // After it the body must come at least so fast:
  std::uint64_t body_bytes_per_second_min = 1024;
  Microseconds idle_us = 75'000'000;   // Between requests: longer than load balancers keep theirs.
  Microseconds write_us = 10'000'000;  // For the peer to take any part of an answer.
  Microseconds memory_wait_us = 2'000'000;   // For memory; then 503.
  Microseconds refusal_hold_us = 1'000'000;  // For the rest of a refused body, before the refusal.
  Microseconds linger_us = 1'000'000;        // For the peer to read the last answer.

  Microseconds sweep_us = 250'000;  // Deadlines are looked at this often: that is their precision.
  Microseconds accept_retry_us = 50'000;  // After descriptors or memory ran out, or at the most.
  Microseconds memory_retry_us = 20'000;  // While a connection waits for memory.
};

class AnswerListener;
class TlsContext;

// What holds for the connections of one listening socket.
struct ListenerOptions {
  TlsContext* tls = nullptr;    // Null: no TLS. Outlives the server.
  bool proxy_protocol = false;  // Every connection begins with a PROXY header, version 2; those
                                // not from trusted_proxies are closed.
  AddressList trusted_proxies;  // Whose word about the client's address counts, also in
                                // X-Forwarded-For.
  AnswerListener* answers = nullptr;  // Null: nobody wants to know. Outlives the server.
};

inline constexpr std::size_t handshakes_per_round_max = 4;   // They take a millisecond each.
inline constexpr Microseconds refusal_log_us = 10'000'000;   // A line for one refusal in that time.
inline constexpr std::size_t body_retries_in_vain_max = 64;  // Of one look at who waits for memory.
inline constexpr std::size_t discard_bytes_max = 64U << 10;  // Of a refused body, to keep going.
inline constexpr std::size_t linger_bytes_max = 256U << 10;  // Read and dropped before closing.
inline constexpr std::size_t linger_piece_bytes = 16U << 10;
inline constexpr std::size_t inline_body_bytes_max = 4096;   // Of answers copied into one piece.
inline constexpr std::size_t spare_small_buffers_max = 256;  // Kept per loop while nobody reads.
inline constexpr std::size_t spare_large_buffers_max = 64;
inline constexpr std::size_t accepts_in_a_row_max = 64;  // Then the requests get their turn.
inline constexpr std::size_t advances_in_a_row_max =
    256;  // Steps of one connection, then of others.
inline constexpr Microseconds drain_first_request_us = 1'000'000;  // From a new connection.

}  // namespace inlet::http
