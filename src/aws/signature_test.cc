// Goal: requests are signed as AWS signs them.
// Method: the worked examples of AWS's own documents, and vectors of its published test suite
//   (requests, keys and signatures as printed there).

#include "aws/signature.h"

#include <gtest/gtest.h>

#include "aws/digest.h"
#include "base/calendar.h"

namespace inlet::aws {
namespace {

const Credentials suite_keys{"AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "", 0};
const Credentials s3_keys{"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "",
                          0};
const std::string no_body_hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

std::string header(const fetch::Request& request, std::string_view name) {
  for (const auto& [key, value] : request.headers) {
    if (key == name) return value;
  }
  return "";
}

std::string signature_of(fetch::Request request, const Credentials& keys,
                         const SignatureScope& scope) {
  sign(request, keys, scope);
  const std::string text = header(request, "Authorization");
  return text.substr(text.find("Signature=") + 10);
}

SignatureScope suite_scope() {
  return {"service", "us-east-1", *parse_rfc3339("2015-08-30T12:36:00Z")};
}
SignatureScope s3_scope() { return {"s3", "us-east-1", *parse_rfc3339("2013-05-24T00:00:00Z")}; }

TEST(signature, signs_the_iam_example_of_the_general_reference) {
  fetch::Request request{
      .url = "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08",
      .headers = {{"Content-Type", "application/x-www-form-urlencoded; charset=utf-8"}}};
  sign(request, suite_keys, {"iam", "us-east-1", *parse_rfc3339("2015-08-30T12:36:00Z")});
  EXPECT_EQ(header(request, "X-Amz-Date"), "20150830T123600Z");
  EXPECT_EQ(header(request, "Authorization"),
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, "
            "SignedHeaders=content-type;host;x-amz-date, "
            "Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7");
}

TEST(signature, signs_vectors_of_the_test_suite) {
  EXPECT_EQ(signature_of({.url = "https://example.amazonaws.com/"}, suite_keys, suite_scope()),
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
  EXPECT_EQ(signature_of({.method = "POST", .url = "https://example.amazonaws.com/"}, suite_keys,
                         suite_scope()),
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b");
  EXPECT_EQ(signature_of({.url = "https://example.amazonaws.com/?Param2=value2&Param1=value1"},
                         suite_keys, suite_scope()),
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500");
}

// The examples of "Signature Calculations for the Authorization Header: Transferring Payload in a
// Single Chunk".
TEST(signature, signs_the_examples_of_s3) {
  EXPECT_EQ(signature_of({.url = "https://examplebucket.s3.amazonaws.com/test.txt",
                          .headers = {{"Range", "bytes=0-9"}}},
                         s3_keys, s3_scope()),
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
  EXPECT_EQ(signature_of({.method = "PUT",
                          .url = "https://examplebucket.s3.amazonaws.com/test%24file.text",
                          .headers = {{"Date", "Fri, 24 May 2013 00:00:00 GMT"},
                                      {"x-amz-storage-class", "REDUCED_REDUNDANCY"}},
                          .body = "Welcome to Amazon S3."},
                         s3_keys, s3_scope()),
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
  EXPECT_EQ(signature_of({.url = "https://examplebucket.s3.amazonaws.com/?lifecycle"}, s3_keys,
                         s3_scope()),
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
  EXPECT_EQ(signature_of({.url = "https://examplebucket.s3.amazonaws.com/?max-keys=2&prefix=J"},
                         s3_keys, s3_scope()),
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

TEST(signature, s3_gets_the_hash_of_the_body_and_others_do_not) {
  fetch::Request request{.url = "https://b.s3.amazonaws.com/k"};
  sign(request, s3_keys, s3_scope());
  EXPECT_EQ(header(request, "X-Amz-Content-Sha256"), no_body_hash);
  fetch::Request other{.url = "https://kinesis.us-east-1.amazonaws.com/"};
  sign(other, s3_keys, {"kinesis", "us-east-1", 0});
  EXPECT_EQ(header(other, "X-Amz-Content-Sha256"), "");
}

TEST(signature, a_session_token_is_sent_and_signed) {
  fetch::Request request{.url = "https://b.s3.amazonaws.com/k"};
  Credentials keys = s3_keys;
  keys.session_token = "token";
  sign(request, keys, s3_scope());
  EXPECT_EQ(header(request, "X-Amz-Security-Token"), "token");
  EXPECT_NE(header(request, "Authorization")
                .find("SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token,"),
            std::string::npos);
}

TEST(signature, the_port_is_part_of_the_host_unless_it_is_the_schemes_own) {
  const auto at = [](const std::string& url) {
    return signature_of({.url = url}, s3_keys, s3_scope());
  };
  EXPECT_EQ(at("http://h:80/k"), at("http://h/k"));
  EXPECT_EQ(at("https://h:443/k"), at("https://h/k"));
  EXPECT_NE(at("http://h:9000/k"), at("http://h/k"));
  EXPECT_NE(at("https://h:80/k"), at("https://h/k"));
}

TEST(signature, the_path_is_encoded_once_for_s3_and_twice_for_others) {
  // Signing "/a%3Db" for another service is signing "/a%253Db" for S3, but for the hash header.
  const auto sign_path = [](const std::string& path, const std::string& service) {
    return signature_of({.url = "http://h" + path}, s3_keys, {service, "r", 0});
  };
  EXPECT_NE(sign_path("/a%3Db", "x"), sign_path("/a=b", "x"));
  EXPECT_NE(sign_path("/a%3Db", "s3"), sign_path("/a%253Db", "s3"));
}

TEST(digest, known_answers) {
  EXPECT_EQ(hex(sha256("")), no_body_hash);
  EXPECT_EQ(hex(hmac_sha256(as_bytes("key"), "The quick brown fox jumps over the lazy dog")),
            "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8");
  EXPECT_EQ(content_md5(""), "1B2M2Y8AsgTpgAmY7PhCfg==");
  EXPECT_EQ(content_md5("hello"), "XUFAKrxLKna5cZ2REBfFkg==");
}

}  // namespace
}  // namespace inlet::aws
