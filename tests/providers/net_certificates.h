// Certificates made on the spot, for the TLS tests: an authority and leaves that it signs, as PEM files in a folder
// that is removed at the end.
#pragma once

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include <filesystem>
#include <string>

namespace weir::testing {

class Certificates {
 public:
  Certificates() {
    char name[] = "/tmp/weir_tls_XXXXXX";
    folder_ = ::mkdtemp(name);
    ca_key_ = EVP_EC_gen("P-256");
    ca_ = make("weir test authority", ca_key_, "", nullptr);
    write(ca_, nullptr, "ca");
  }
  ~Certificates() {
    X509_free(ca_);
    EVP_PKEY_free(ca_key_);
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  Certificates(const Certificates&) = delete;
  Certificates& operator=(const Certificates&) = delete;

  /// Writes NAME.pem and NAME.key. `subjects` as in "DNS:localhost,IP:127.0.0.1".
  void leaf(const std::string& name, const std::string& subjects) {
    EVP_PKEY* const key = EVP_EC_gen("P-256");
    X509* const certificate = make(name, key, subjects, ca_);
    write(certificate, key, name);
    X509_free(certificate);
    EVP_PKEY_free(key);
  }
  std::string ca_file() const { return folder_ + "/ca.pem"; }
  std::string certificate(const std::string& name) const { return folder_ + "/" + name + ".pem"; }
  std::string key(const std::string& name) const { return folder_ + "/" + name + ".key"; }

 private:
  X509* make(const std::string& name, EVP_PKEY* key, const std::string& subjects, X509* issuer) {
    X509* const certificate = X509_new();
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial_);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 24 * 3600);
    X509_set_pubkey(certificate, key);
    X509_NAME* const subject = X509_get_subject_name(certificate);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>(name.c_str()), -1,
                               -1, 0);
    X509_set_issuer_name(certificate, issuer == nullptr ? subject : X509_get_subject_name(issuer));
    if (issuer == nullptr) extend(certificate, certificate, NID_basic_constraints, "critical,CA:TRUE");
    if (!subjects.empty()) extend(certificate, issuer, NID_subject_alt_name, subjects);
    EXPECT_GT(X509_sign(certificate, ca_key_, EVP_sha256()), 0);
    return certificate;
  }
  static void extend(X509* certificate, X509* issuer, int id, const std::string& value) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
    X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, &context, id, value.c_str());
    EXPECT_NE(extension, nullptr);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
  }
  void write(X509* certificate, EVP_PKEY* key, const std::string& name) {
    if (FILE* const file = fopen((folder_ + "/" + name + ".pem").c_str(), "w")) {
      PEM_write_X509(file, certificate);
      fclose(file);
    }
    if (key == nullptr) return;
    if (FILE* const file = fopen((folder_ + "/" + name + ".key").c_str(), "w")) {
      PEM_write_PrivateKey(file, key, nullptr, nullptr, 0, nullptr, nullptr);
      fclose(file);
    }
  }

  std::string folder_;
  EVP_PKEY* ca_key_ = nullptr;
  X509* ca_ = nullptr;
  long serial_ = 0;
};

}  // namespace weir::testing
