// tls_tickets: the keys that a server's session tickets are sealed with.
//
// A ticket lets a client resume without the cost of a certificate. Who has its key can read what
// resumed sessions of TLS 1.2 said, so keys live in memory only and are replaced by time: one seals
// for ticket_key_life_us and opens for as long again, then it is gone (RFC 5077 section 5.5).
//
// Threads: any.

#pragma once

#include <array>
#include <mutex>

#include "base/time.h"

struct ssl_ctx_st;

namespace inlet::http {

inline constexpr Microseconds ticket_key_life_us = 6LL * 3600 * 1'000'000;

class TlsTickets {
 public:
  explicit TlsTickets(Clock& clock) : clock_(clock) {}
  TlsTickets(const TlsTickets&) = delete;
  TlsTickets& operator=(const TlsTickets&) = delete;
  ~TlsTickets();

  // `context` seals with these keys from now on; they outlive it.
  void serve(ssl_ctx_st* context);

  struct Key {
    std::array<unsigned char, 16> name{};
    std::array<unsigned char, 32> cipher{};
    std::array<unsigned char, 32> mac{};
    Microseconds made_us = -1;  // -1: there is none.
  };
  // The one to seal with. False: the system has no randomness for it.
  [[nodiscard]] bool newest(Key& key);
  enum class Found : unsigned char { none, newest, older };
  [[nodiscard]] Found find(const unsigned char* name, Key& key);

 private:
  bool turn();

  Clock& clock_;
  std::mutex mutex_;
  Key newest_;
  Key older_;
};

}  // namespace inlet::http
