// certificate_test: certificates made on the spot, signed by themselves or by one another. For
// tests only.

#pragma once

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>

#include "base/check.h"
#include "base/posix_file.h"

namespace inlet::http {

class TestCertificate {
 public:
  struct Options {
    std::string name = "localhost";
    const TestCertificate* issuer = nullptr;  // Null: itself.
    bool authority = false;
    long ends_in_s = 3600;
  };

  explicit TestCertificate(const Options& options)
      : key_(EVP_EC_gen("P-256"), EVP_PKEY_free), certificate_(X509_new(), X509_free) {
    static long serial = 1;
    X509* const x = certificate_.get();
    CHECK(x != nullptr && key_ != nullptr);
    X509_set_version(x, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x), serial++);
    X509_gmtime_adj(X509_getm_notBefore(x), -7200);
    X509_gmtime_adj(X509_getm_notAfter(x), options.ends_in_s);
    X509_set_pubkey(x, key_.get());
    const auto* const name = reinterpret_cast<const unsigned char*>(options.name.c_str());
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, name, -1, -1, 0);
    const TestCertificate& issuer = options.issuer != nullptr ? *options.issuer : *this;
    X509_set_issuer_name(x, X509_get_subject_name(issuer.certificate_.get()));
    add(NID_basic_constraints, options.authority ? "critical,CA:TRUE" : "critical,CA:FALSE");
    add(NID_subject_alt_name, "DNS:" + options.name + ",IP:127.0.0.1");
    CHECK(X509_sign(x, issuer.key_.get(), EVP_sha256()) > 0);
  }

  [[nodiscard]] std::string cert() const {
    return written([this](BIO* out) { return PEM_write_bio_X509(out, certificate_.get()); });
  }
  [[nodiscard]] std::string key() const {
    return written([this](BIO* out) {
      return PEM_write_bio_PrivateKey(out, key_.get(), nullptr, nullptr, 0, nullptr, nullptr);
    });
  }
  [[nodiscard]] std::string locked_key() const {
    return written([this](BIO* out) {
      const unsigned char password[] = "password";
      return PEM_write_bio_PrivateKey(out, key_.get(), EVP_aes_128_cbc(), password, 8, nullptr,
                                      nullptr);
    });
  }

 private:
  void add(int what, const std::string& value) {
    X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, nullptr, what, value.c_str());
    CHECK(extension != nullptr && X509_add_ext(certificate_.get(), extension, -1) == 1);
    X509_EXTENSION_free(extension);
  }
  template <typename Write>
  static std::string written(Write write) {
    BIO* const memory = BIO_new(BIO_s_mem());
    CHECK(write(memory) == 1);
    char* bytes = nullptr;
    const long count = BIO_get_mem_data(memory, &bytes);
    std::string text(bytes, static_cast<std::size_t>(count));
    BIO_free(memory);
    return text;
  }

  std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)> key_;
  std::unique_ptr<X509, void (*)(X509*)> certificate_;
};

// Replaces the file, in one step for whoever reads it.
inline void write_test_file(const std::string& path, const std::string& text) {
  PosixFileSystem files;
  const auto file = files.open(path + ".new", {.write = true, .create = true, .truncate = true});
  CHECK(file && write_all(**file, as_bytes(text), 0, Flush::no));
  CHECK(files.rename(path + ".new", path));
}

}  // namespace inlet::http
