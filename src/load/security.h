// security: how a connection is made secure, without this room knowing by what.
//
// One thread.

#pragma once

#include <sys/types.h>

#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace inlet::loader {

class SecureStream {
 public:
  enum class Step : unsigned char { done, wait, broken };

  SecureStream() = default;
  SecureStream(const SecureStream&) = delete;
  SecureStream& operator=(const SecureStream&) = delete;
  virtual ~SecureStream() = default;

  // After each event, until it is done.
  [[nodiscard]] virtual Step shake_hands() = 0;
  // As recv(2) and send(2) on a non-blocking socket. receive() leaves nothing behind that no event
  // will tell of. After a short send the same bytes come again, or more.
  [[nodiscard]] virtual ssize_t receive(std::span<char> room) = 0;
  [[nodiscard]] virtual ssize_t send(std::string_view bytes) = 0;
  [[nodiscard]] virtual std::string error() const = 0;
};

class Security {
 public:
  Security() = default;
  Security(const Security&) = delete;
  Security& operator=(const Security&) = delete;
  virtual ~Security() = default;

  // For a connected socket, which outlives the stream. Null: not to be had.
  [[nodiscard]] virtual std::unique_ptr<SecureStream> open(int fd) = 0;
};

}  // namespace inlet::loader
