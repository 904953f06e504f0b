// Goal: what came of a question is told in words an operator can act on.
// Method: every kind of fault and answer.

#include "top/poller.h"

#include <gtest/gtest.h>

#include "top/status_test.h"

namespace inlet::top {
namespace {

std::string why(const fetch::Response& response, Microseconds took_us = 1'000) {
  const auto answer = read_answer(response, took_us, false);
  return answer ? "answered" : answer.error().what;
}

TEST(Poller, EveryFaultHasItsWords) {
  using fetch::Fault;
  EXPECT_EQ(why({.fault = Fault::resolve}), "the name is not known");
  EXPECT_EQ(why({.fault = Fault::connect}), "cannot connect");
  EXPECT_EQ(why({.fault = Fault::connect}, connect_timeout_us), "no connection within 1 s");
  EXPECT_EQ(why({.fault = Fault::interrupted}), "the connection broke off");
  EXPECT_EQ(why({.fault = Fault::interrupted}, answer_timeout_us),
            "connected, but nothing came within 2 s");
  EXPECT_EQ(why({.fault = Fault::tls, .why = "a:1: self-signed"}), "TLS failed, a:1: self-signed");
  EXPECT_EQ(why({.fault = Fault::answer}), "what came is no answer of a node");
  EXPECT_EQ(why({.status = 503}), "answered 503, not a status");
  EXPECT_EQ(why({.status = 200, .body = "{"}), "not a status: it is not JSON");
  EXPECT_EQ(why({.status = 200, .body = document_of({})}), "answered");
}

TEST(Poller, TheDocumentIsKeptOnlyIfItIsWanted) {
  const fetch::Response response{.status = 200, .body = document_of({})};
  EXPECT_EQ(read_answer(response, 1, true)->document, response.body);
  EXPECT_EQ(read_answer(response, 1, false)->document, "");
}

}  // namespace
}  // namespace inlet::top
