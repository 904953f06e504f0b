#include "main/load_tls.h"

#include <cerrno>
#include <utility>

#include "http/tls_client.h"
#include "http/tls_stream.h"

namespace inlet::main {
namespace {

class Stream final : public loader::SecureStream {
 public:
  explicit Stream(std::unique_ptr<http::TlsStream> tls) : tls_(std::move(tls)) {}

  Step shake_hands() override {
    tls_->note_readable(false);
    switch (tls_->handshake()) {
      case http::TlsStream::Step::done: return Step::done;
      case http::TlsStream::Step::wait: return Step::wait;
      default: return Step::broken;
    }
  }

  ssize_t receive(std::span<char> room) override {
    tls_->note_readable(false);
    std::size_t total = 0;
    while (total < room.size()) {
      const http::Received got = tls_->receive(std::as_writable_bytes(room).subspan(total));
      using Kind = http::Received::Kind;
      if (got.kind == Kind::bytes) {
        total += got.count;
        if (!tls_->has_more()) break;
        continue;
      }
      if (total > 0) break;
      if (got.kind == Kind::end) return 0;
      errno = got.kind == Kind::nothing_yet ? EAGAIN : EPROTO;
      return -1;
    }
    return static_cast<ssize_t>(total);
  }

  ssize_t send(std::string_view bytes) override {
    const auto sent = tls_->send(bytes, {});
    if (sent && *sent > 0) return static_cast<ssize_t>(*sent);
    errno = sent ? EAGAIN : EPROTO;
    return -1;
  }

  std::string error() const override { return tls_->error(); }

 private:
  const std::unique_ptr<http::TlsStream> tls_;
};

class Tls final : public loader::Security {
 public:
  explicit Tls(std::unique_ptr<http::TlsClient> client) : client_(std::move(client)) {}

  std::unique_ptr<loader::SecureStream> open(int fd) override {
    auto tls = client_->open_stream(fd);
    return tls ? std::make_unique<Stream>(std::move(tls)) : nullptr;
  }

 private:
  const std::unique_ptr<http::TlsClient> client_;
};

}  // namespace

Result<std::unique_ptr<loader::Security>> open_security(const loader::Target& target,
                                                        const std::string& ca_file, bool insecure) {
  if (!target.tls) return nullptr;
  auto client =
      http::TlsClient::open({.host = target.host, .verify = !insecure, .ca_file = ca_file});
  if (!client) return fail(client);
  return std::make_unique<Tls>(std::move(*client));
}

}  // namespace inlet::main
