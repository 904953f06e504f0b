#include "http/tls_tickets.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace inlet::http {
namespace {

// SSL_CTX_set_tlsext_ticket_key_evp_cb(3).
enum Answer : int { failed = -1, unknown = 0, use = 1, use_and_renew = 2 };

bool set_keys(TlsTickets::Key& key, const unsigned char* iv, EVP_CIPHER_CTX* cipher,
              EVP_MAC_CTX* mac, bool seal) {
  char digest[] = "SHA256";
  const OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key.mac.data(), key.mac.size()),
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
      OSSL_PARAM_construct_end(),
  };
  return EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), nullptr, key.cipher.data(), iv,
                           seal ? 1 : 0) == 1 &&
         EVP_MAC_CTX_set_params(mac, parameters) == 1;
}

int on_ticket(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher,
              EVP_MAC_CTX* mac, int seal) {
  auto* const tickets = static_cast<TlsTickets*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
  TlsTickets::Key key;
  int answer = use;
  if (seal == 1) {
    if (!tickets->newest(key) || RAND_bytes(iv, EVP_MAX_IV_LENGTH) != 1) return failed;
    std::ranges::copy(key.name, name);
  } else {
    const TlsTickets::Found found = tickets->find(name, key);
    if (found == TlsTickets::Found::none) return unknown;
    if (found == TlsTickets::Found::older) answer = use_and_renew;
  }
  if (!set_keys(key, iv, cipher, mac, seal == 1)) answer = failed;
  OPENSSL_cleanse(&key, sizeof key);
  return answer;
}

}  // namespace

TlsTickets::~TlsTickets() {
  OPENSSL_cleanse(&newest_, sizeof newest_);
  OPENSSL_cleanse(&older_, sizeof older_);
}

void TlsTickets::serve(ssl_ctx_st* context) {
  SSL_CTX_set_app_data(context, this);
  CHECK(SSL_CTX_set_tlsext_ticket_key_evp_cb(context, on_ticket) == 1);
  SSL_CTX_set_timeout(context, ticket_key_life_us / 1'000'000);
}

// Replaces what is too old.
bool TlsTickets::turn() {
  const Microseconds now_us = clock_.steady_us();
  if (newest_.made_us >= 0 && now_us - newest_.made_us < ticket_key_life_us) {
    if (older_.made_us >= 0 && now_us - older_.made_us >= 2 * ticket_key_life_us) older_ = {};
    return true;
  }
  Key made;
  if (RAND_bytes(made.name.data(), static_cast<int>(made.name.size())) != 1 ||
      RAND_priv_bytes(made.cipher.data(), static_cast<int>(made.cipher.size())) != 1 ||
      RAND_priv_bytes(made.mac.data(), static_cast<int>(made.mac.size())) != 1) {
    return false;
  }
  made.made_us = now_us;
  const bool still_opens =
      newest_.made_us >= 0 && now_us - newest_.made_us < 2 * ticket_key_life_us;
  older_ = still_opens ? newest_ : Key{};
  newest_ = made;
  OPENSSL_cleanse(&made, sizeof made);
  return true;
}

bool TlsTickets::newest(Key& key) {
  const std::lock_guard lock(mutex_);
  if (!turn()) return false;
  key = newest_;
  return true;
}

TlsTickets::Found TlsTickets::find(const unsigned char* name, Key& key) {
  const std::lock_guard lock(mutex_);
  if (!turn()) return Found::none;
  for (const Key* candidate : {&newest_, &older_}) {
    if (candidate->made_us < 0) continue;
    if (!std::equal(candidate->name.begin(), candidate->name.end(), name)) continue;
    key = *candidate;
    return candidate == &newest_ ? Found::newest : Found::older;
  }
  return Found::none;
}

}  // namespace inlet::http
