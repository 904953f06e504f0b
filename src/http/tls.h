// tls: what a listener shows its clients: certificate, key, and whom it asks for a certificate.
//
// TLS 1.2 and 1.3 with the suites of Mozilla's "intermediate" list that have forward secrecy and
// authenticated encryption. No renegotiation, no compression, no early data; resumption by tickets
// whose keys never leave memory and change with time and with every load. ALPN takes http/1.1; a
// client that offers only other protocols is refused (RFC 7301 section 3.2).
//
// The files are looked at once a second by a thread of its own, so that a disk that hangs never
// holds up an event loop. What they contain decides, not their times: a directory swapped by a
// symbolic link and a file written twice within a second are seen, too. New content is taken when
// it stood still for one look. A pair that does not fit keeps the old one in use and is logged
// once.
//
// Invariants:
//   - there is always one whole identity in use; a connection keeps the one it began with.
//   - keys are never logged, and the text they came in is overwritten.
//
// Threads: open_stream() and the figures any; the rest the owner's, and the watch's own.

#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "base/file.h"
#include "base/result.h"
#include "base/time.h"

struct ssl_ctx_st;

namespace inlet::http {

class TlsStream;
class TlsTickets;

enum class ClientAuth : unsigned char { none, optional, required };
enum class TlsVersion : unsigned char { v1_2, v1_3 };

struct TlsOptions {
  std::string cert_file;  // PEM: the certificate, then those that signed it.
  std::string key_file;   // PEM, without a password.
  std::string
      client_ca_file;  // PEM; whose clients are believed. Needed if client_auth is not none.
  ClientAuth client_auth = ClientAuth::none;
  TlsVersion version_min = TlsVersion::v1_2;
  Microseconds look_us = 1'000'000;  // How often the files are looked at.
};

class TlsContext {
 public:
  // Reads the files; an error names the file and the reason. `files` and `clock` outlive it.
  [[nodiscard]] static Result<std::unique_ptr<TlsContext>> open(FileSystem& files, Clock& clock,
                                                                TlsOptions options);
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;
  ~TlsContext();

  // Starts to look at the files by itself.
  void watch();

  // Reads the files again: new connections are shown what they hold now, old ones go on. On an
  // error, which is logged, everything stays as it was.
  [[nodiscard]] Status reload();

  // A server's side of a connection on `fd`, which it does not own. Null: no memory.
  [[nodiscard]] std::unique_ptr<TlsStream> open_stream(int fd);

  // When the certificate in use, or one it came with, ends; seconds since 1970.
  [[nodiscard]] std::int64_t not_after_s() const { return not_after_s_; }
  [[nodiscard]] std::uint64_t reloads() const { return reloads_; }
  [[nodiscard]] std::uint64_t reloads_failed() const { return reloads_failed_; }

 private:
  struct Identity;
  using Digest = std::array<unsigned char, 32>;  // SHA-256

  TlsContext(FileSystem& files, Clock& clock, TlsOptions options);
  [[nodiscard]] Status load();
  [[nodiscard]] Digest digest();
  void use(std::unique_ptr<Identity> identity);
  void look();
  void run();

  FileSystem& files_;
  Clock& clock_;
  const TlsOptions options_;
  const std::unique_ptr<TlsTickets> tickets_;
  std::uint64_t identities_ = 0;  // So far.

  std::mutex identity_mutex_;
  std::unique_ptr<Identity> identity_;  // Guarded by identity_mutex_; never null after open().
  std::atomic<std::int64_t> not_after_s_{0};
  std::atomic<std::uint64_t> reloads_{0};
  std::atomic<std::uint64_t> reloads_failed_{0};

  std::mutex load_mutex_;  // One load at a time; guards the digests.
  Digest in_use_{};        // Of the content that was loaded, or refused, last;
  Digest seen_{};          // and of what the last look found.

  std::mutex watch_mutex_;
  std::condition_variable wake_;
  bool stopped_ = false;  // Guarded by watch_mutex_.
  std::thread thread_;
};

}  // namespace inlet::http
