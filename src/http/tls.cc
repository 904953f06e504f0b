#include "http/tls.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <limits>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "http/tls_stream.h"
#include "http/tls_tickets.h"

namespace inlet::http {
namespace {

constexpr std::uint64_t pem_bytes_max = 1U << 20;
constexpr long client_chain_bytes_max = 32L << 10;  // Of the certificates a client may send.
constexpr int certificates_max = 1000;              // In one file.
constexpr int security_level = 2;                   // At least 112 bits: RSA from 2048.

// Mozilla's "intermediate" list (Server Side TLS 5.7) without DHE, which costs more than it adds.
constexpr const char* suites_1_2 =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
constexpr const char* suites_1_3 =
    "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
constexpr const char* groups = "X25519:P-256:P-384";
constexpr unsigned char alpn_protocols[] = "\x08http/1.1";

template <auto release>
struct Free {
  template <typename T>
  void operator()(T* object) const {
    release(object);
  }
};
using Context = std::unique_ptr<SSL_CTX, Free<SSL_CTX_free>>;
using Certificate = std::unique_ptr<X509, Free<X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>>;
using Memory = std::unique_ptr<BIO, Free<BIO_free>>;

std::string reason() {
  const unsigned long code = ERR_peek_last_error();
  const char* const text = ERR_reason_error_string(code);
  ERR_clear_error();
  return text != nullptr ? text : "unknown reason";
}

std::unexpected<Error> bad(const std::string& file, const std::string& why) {
  return fail(ErrorKind::reject, file + ": " + why);
}

// What the files of one identity hold.
struct Texts {
  std::string cert, key, client_ca;
  Texts() = default;
  Texts(const Texts&) = delete;
  Texts& operator=(const Texts&) = delete;
  ~Texts() { OPENSSL_cleanse(key.data(), key.size()); }
};

Status read_text(FileSystem& files, const std::string& path, std::string& text) {
  const auto file = files.open(path, {});
  if (!file) return fail(file);
  const auto bytes = (*file)->size();
  if (!bytes) return fail(bytes);
  if (*bytes > pem_bytes_max) return bad(path, "is too large to be PEM");
  text.resize(*bytes);
  return read_all(**file, std::as_writable_bytes(std::span(text)), 0);
}

Status read_texts(FileSystem& files, const TlsOptions& options, Texts& texts) {
  if (const Status read = read_text(files, options.cert_file, texts.cert); !read) return read;
  if (const Status read = read_text(files, options.key_file, texts.key); !read) return read;
  if (options.client_auth == ClientAuth::none) return {};
  return read_text(files, options.client_ca_file, texts.client_ca);
}

Memory open_text(const std::string& text) {
  Memory memory(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  CHECK(memory != nullptr);
  return memory;
}

// No password is asked for on a terminal.
int no_password(char*, int, int, void*) { return -1; }

Result<std::vector<Certificate>> parse_certificates(const std::string& file,
                                                    const std::string& text) {
  std::vector<Certificate> found;
  const Memory memory = open_text(text);
  ERR_clear_error();
  while (X509* const one = PEM_read_bio_X509(memory.get(), nullptr, no_password, nullptr)) {
    found.emplace_back(one);
    if (found.size() > certificates_max) return bad(file, "has too many certificates");
  }
  // It always ends with an error; this one says that there is no more.
  if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) {
    return bad(file, "a certificate cannot be read: " + reason());
  }
  ERR_clear_error();
  if (found.empty()) return bad(file, "has no certificate");
  return found;
}

std::int64_t not_after_s(const X509* certificate) {
  std::tm utc{};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &utc) != 1) return 0;
  return ::timegm(&utc);
}

// RFC 7301 section 3.2: who offers nothing we speak is told so.
int choose_protocol(SSL*, const unsigned char** out, unsigned char* out_bytes,
                    const unsigned char* offered, unsigned offered_bytes, void*) {
  unsigned char* chosen = nullptr;
  const int result = SSL_select_next_proto(&chosen, out_bytes, alpn_protocols,
                                           sizeof alpn_protocols - 1, offered, offered_bytes);
  if (result != OPENSSL_NPN_NEGOTIATED) return SSL_TLSEXT_ERR_ALERT_FATAL;
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

void set_policy(SSL_CTX* context, TlsVersion version_min) {
  CHECK(SSL_CTX_set_min_proto_version(
            context, version_min == TlsVersion::v1_3 ? TLS1_3_VERSION : TLS1_2_VERSION) == 1);
  CHECK(SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) == 1);
  CHECK(SSL_CTX_set_cipher_list(context, suites_1_2) == 1);
  CHECK(SSL_CTX_set_ciphersuites(context, suites_1_3) == 1);
  CHECK(SSL_CTX_set1_groups_list(context, groups) == 1);
  SSL_CTX_set_security_level(context, security_level);
  // Clients without AES in hardware put ChaCha20 first, and get it.
  SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                   SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_read_ahead(context, 1);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);  // Tickets cost us no memory.
  SSL_CTX_set_num_tickets(context, 1);
  SSL_CTX_set_max_cert_list(context, client_chain_bytes_max);
  SSL_CTX_set_alpn_select_cb(context, choose_protocol, nullptr);
}

// Returns when the chain ends.
Result<std::int64_t> use_chain(SSL_CTX* context, const std::string& file, const std::string& text) {
  auto chain = parse_certificates(file, text);
  if (!chain) return fail(chain);
  if (SSL_CTX_use_certificate(context, chain->front().get()) != 1) return bad(file, reason());
  std::int64_t ends_s = not_after_s(chain->front().get());
  for (auto above = chain->begin() + 1; above != chain->end(); ++above) {
    if (SSL_CTX_add1_chain_cert(context, above->get()) != 1) return bad(file, reason());
    ends_s = std::min(ends_s, not_after_s(above->get()));
  }
  return ends_s;
}

Status use_key(SSL_CTX* context, const TlsOptions& options, const std::string& text) {
  const Memory memory = open_text(text);
  ERR_clear_error();
  const Key key(PEM_read_bio_PrivateKey(memory.get(), nullptr, no_password, nullptr));
  if (!key) return bad(options.key_file, "no key without a password can be read: " + reason());
  // This also compares it with the certificate.
  if (SSL_CTX_use_PrivateKey(context, key.get()) != 1 || SSL_CTX_check_private_key(context) != 1) {
    return bad(options.key_file, "is not the key of " + options.cert_file + ": " + reason());
  }
  return {};
}

Status use_client_ca(SSL_CTX* context, const TlsOptions& options, const std::string& text) {
  if (options.client_auth == ClientAuth::none) return {};
  const auto authorities = parse_certificates(options.client_ca_file, text);
  if (!authorities) return fail(authorities);
  for (const Certificate& each : *authorities) {
    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(context), each.get()) != 1 ||
        SSL_CTX_add_client_CA(context, each.get()) != 1) {
      return bad(options.client_ca_file, reason());
    }
  }
  int mode = SSL_VERIFY_PEER;
  if (options.client_auth == ClientAuth::required) mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
  SSL_CTX_set_verify(context, mode, nullptr);
  return {};
}

std::string day(std::int64_t seconds) {
  const std::time_t time = seconds;
  std::tm utc{};
  ::gmtime_r(&time, &utc);
  char text[16];
  return {text, std::strftime(text, sizeof text, "%Y-%m-%d", &utc)};
}

}  // namespace

struct TlsContext::Identity {
  Context context;
  std::int64_t not_after_s = 0;
};

TlsContext::TlsContext(FileSystem& files, Clock& clock, TlsOptions options)
    : files_(files),
      clock_(clock),
      options_(std::move(options)),
      tickets_(std::make_unique<TlsTickets>(clock)) {}

TlsContext::~TlsContext() {
  {
    const std::lock_guard lock(watch_mutex_);
    stopped_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

Result<std::unique_ptr<TlsContext>> TlsContext::open(FileSystem& files, Clock& clock,
                                                     TlsOptions options) {
  std::unique_ptr<TlsContext> made(new TlsContext(files, clock, std::move(options)));
  made->in_use_ = made->seen_ = made->digest();
  if (const Status loaded = made->load(); !loaded) return fail(loaded);
  return made;
}

// Of what the files hold or, if they cannot be read, of why.
TlsContext::Digest TlsContext::digest() {
  Texts texts;
  const Status read = read_texts(files_, options_, texts);
  std::string all = read ? "" : read.error().what;
  if (read) {
    for (const std::string* text : {&texts.cert, &texts.key, &texts.client_ca}) {
      all += std::to_string(text->size()) + ":" + *text;
    }
  }
  Digest out{};
  std::size_t bytes = out.size();
  CHECK(EVP_Q_digest(nullptr, "SHA256", nullptr, all.data(), all.size(), out.data(), &bytes) == 1);
  OPENSSL_cleanse(all.data(), all.size());
  return out;
}

Status TlsContext::load() {
  Texts texts;
  if (const Status read = read_texts(files_, options_, texts); !read) return read;
  auto identity = std::make_unique<Identity>();
  identity->context.reset(SSL_CTX_new(TLS_server_method()));
  SSL_CTX* const context = identity->context.get();
  if (context == nullptr) return fail(ErrorKind::retry, "TLS: " + reason());
  set_policy(context, options_.version_min);
  const auto ends_s = use_chain(context, options_.cert_file, texts.cert);
  if (!ends_s) return fail(ends_s);
  if (const Status used = use_key(context, options_, texts.key); !used) return used;
  if (const Status used = use_client_ca(context, options_, texts.client_ca); !used) return used;
  identity->not_after_s = *ends_s;
  tickets_->serve(context);
  use(std::move(identity));
  return {};
}

void TlsContext::use(std::unique_ptr<Identity> identity) {
  // A ticket is only taken by the identity that gave it: another may ask for other certificates.
  const std::uint64_t number = ++identities_;
  const auto* const bytes = reinterpret_cast<const unsigned char*>(&number);
  CHECK(SSL_CTX_set_session_id_context(identity->context.get(), bytes, sizeof number) == 1);
  const std::int64_t ends_s = identity->not_after_s;
  const bool over = ends_s <= clock_.wall_us() / 1'000'000;
  log_line(over ? LogLevel::warn : LogLevel::info, "http",
           over ? "certificate in use has ended" : "certificate in use",
           {{"file", options_.cert_file}, {"not_after", day(ends_s)}});
  not_after_s_ = ends_s;
  const std::lock_guard lock(identity_mutex_);
  identity_ = std::move(identity);
}

Status TlsContext::reload() {
  const std::lock_guard lock(load_mutex_);
  in_use_ = seen_ = digest();
  Status loaded = load();
  (loaded ? reloads_ : reloads_failed_)++;
  if (!loaded) {
    log_error("http", "certificate not changed: the new one cannot be used",
              {{"reason", loaded.error().what}});
  }
  return loaded;
}

void TlsContext::watch() {
  CHECK(!thread_.joinable());
  thread_ = std::thread([this] { run(); });
}

void TlsContext::run() {
  std::unique_lock lock(watch_mutex_);
  const std::chrono::microseconds interval(options_.look_us);
  while (!wake_.wait_for(lock, interval, [this] { return stopped_; })) {
    lock.unlock();
    look();
    lock.lock();
  }
}

void TlsContext::look() {
  {
    const std::lock_guard lock(load_mutex_);
    const Digest found = digest();
    const bool stood_still = found == std::exchange(seen_, found);
    if (found == in_use_ || !stood_still) return;
  }
  (void)reload();
}

std::unique_ptr<TlsStream> TlsContext::open_stream(int fd) {
  SSL* ssl = nullptr;
  {
    const std::lock_guard lock(identity_mutex_);
    ssl = SSL_new(identity_->context.get());
  }
  if (ssl == nullptr) return nullptr;
  SSL_set_accept_state(ssl);
  return std::make_unique<TlsStream>(ssl, fd);
}

}  // namespace inlet::http
