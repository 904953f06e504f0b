// Goal: a key is found wherever a client may put it, and nothing else is taken for one.
// Method: heads as they come over the wire, parsed by the real parser.

#include "serve/credential.h"

#include <gtest/gtest.h>

#include <string>

namespace inlet::serve {
namespace {

std::string found_in(const std::string& lines) {
  const std::string text = "POST /ingest/a HTTP/1.1\r\nHost: a\r\n" + lines + "\r\n";
  http::RequestHead head;
  EXPECT_EQ(http::parse_head(text, head).kind, http::HeadResult::Kind::complete) << lines;
  CredentialScratch scratch;
  return std::string(read_credential(head, scratch));
}

TEST(Credential, stands_in_any_of_three_places) {
  EXPECT_EQ(found_in("Authorization: Bearer ik_1\r\n"), "ik_1");
  EXPECT_EQ(found_in("X-Api-Key: ik_1\r\n"), "ik_1");
  EXPECT_EQ(found_in("Authorization: Basic aWtfMTp4\r\n"), "ik_1");  // ik_1:x
  EXPECT_EQ(found_in("Authorization: Basic aWtfMTo=\r\n"), "ik_1");  // ik_1:
  EXPECT_EQ(found_in("Authorization: Basic aWtfMQ==\r\n"), "ik_1");
}

TEST(Credential, is_found_whatever_the_case_of_scheme_and_field) {
  EXPECT_EQ(found_in("authorization: bEARER   ik_1\r\n"), "ik_1");
  EXPECT_EQ(found_in("AUTHORIZATION: BASIC aWtfMTp4\r\n"), "ik_1");
  EXPECT_EQ(found_in("x-api-key: ik_1\r\n"), "ik_1");
}

TEST(Credential, in_authorization_counts_first) {
  EXPECT_EQ(found_in("X-Api-Key: ik_2\r\nAuthorization: Bearer ik_1\r\n"), "ik_1");
}

TEST(Credential, is_absent_only_if_nothing_was_sent) {
  EXPECT_EQ(found_in(""), "");
  EXPECT_EQ(found_in("Cookie: ik_1\r\n"), "");
  for (const char* const wrong :
       {"Bearer", "Digest a=b", "Basic !!!!", "Basic aWtfMQ", "Basic OnB3", "Bearerik_1"}) {
    EXPECT_EQ(found_in("Authorization: " + std::string(wrong) + "\r\n"), "?") << wrong;
  }
  EXPECT_EQ(found_in("Authorization: Basic " + std::string(4096, 'a') + "\r\n"), "?");
}

}  // namespace
}  // namespace inlet::serve
