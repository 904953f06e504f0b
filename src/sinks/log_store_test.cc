// Goal: a log is called stored only when bucket or directory has all of it under its key.
// Method: a scripted server as S3 may answer; a real directory, broken by its permissions and ends.

#include "sinks/log_store.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "aws/digest.h"
#include "aws/scripted_server_test.h"
#include "base/directory_test.h"
#include "base/posix_file.h"

namespace inlet::sinks {
namespace {

namespace fs = std::filesystem;
using aws::Asked;
using aws::Scripted;

constexpr Microseconds patience_us = 20'000'000;
const std::string key = "n1/serve/2026/11/23/serve-20261123T215500.123456Z.log.gz";

class S3LogStoreTest : public testing::Test {
 protected:
  S3LogStoreOptions options() {
    S3LogStoreOptions made;
    made.bucket = {.name = "kept", .prefix = "/logs of inlet/", .endpoint = server_.url()};
    made.timeout_us = patience_us;
    made.aws.variable = [](const std::string& variable) -> std::string {
      if (variable == "AWS_ACCESS_KEY_ID") return "AKIDTEST";
      return variable == "AWS_SECRET_ACCESS_KEY" ? "hush-hush" : "";
    };
    return made;
  }
  Delivery store(const std::string& body) {
    S3LogStore made(clock_, options());
    made.start(key, body);
    const auto delivery = made.finish(patience_us);
    EXPECT_TRUE(delivery);
    return delivery.value_or(Delivery{.outcome = Outcome::retry});
  }

  SystemClock clock_;
  std::vector<Asked> asked_;
  std::function<Scripted()> answer_ = [] { return Scripted(); };
  aws::ScriptedServer server_{[this](const Asked& asked) {
    asked_.push_back(asked);
    return answer_();
  }};
};

TEST_F(S3LogStoreTest, puts_the_whole_file_signed_under_its_key) {
  const std::string body(3 << 20, 'x');
  EXPECT_EQ(store(body).outcome, Outcome::delivered);
  ASSERT_EQ(asked_.size(), 1u);
  EXPECT_EQ(asked_[0].method, "PUT");
  EXPECT_EQ(asked_[0].target, "/kept/logs%20of%20inlet/" + key);
  EXPECT_EQ(asked_[0].body, body);
  EXPECT_EQ(asked_[0].headers.at("content-type"), "application/gzip");
  EXPECT_EQ(asked_[0].headers.at("content-md5"), aws::content_md5(body));
  EXPECT_EQ(asked_[0].headers.at("x-amz-content-sha256"), aws::hex(aws::sha256(body)));
  EXPECT_TRUE(asked_[0].headers.at("authorization").starts_with("AWS4-HMAC-SHA256 "));
}

TEST_F(S3LogStoreTest, never_takes_anything_else_for_success) {
  for (const int status : {100, 301, 400, 403, 404, 412, 500, 503}) {
    answer_ = [status] {
      return Scripted{.status = status == 100 ? 500 : status, .hang_up = status == 100};
    };
    const Delivery delivery = store("x");
    EXPECT_NE(delivery.outcome, Outcome::delivered) << status;
    EXPECT_NE(delivery.why.find("kept"), std::string::npos) << delivery.why;
    EXPECT_EQ(delivery.why.find("hush-hush"), std::string::npos);
  }
  answer_ = [] {
    return Scripted{.status = 503,
                    .body = "<Error><Code>SlowDown</Code></Error>",
                    .headers = {{"Retry-After", "7"}}};
  };
  const Delivery slow = store("x");
  EXPECT_EQ(slow.outcome, Outcome::slow_down);
  EXPECT_EQ(slow.retry_after_us, 7'000'000);
}

TEST_F(S3LogStoreTest, goes_on_after_it_was_told_to_give_up) {
  S3LogStore made(clock_, options());
  made.start(key, "first");
  made.abandon();
  made.start(key, "second");
  std::optional<Delivery> delivery;
  const Microseconds until = clock_.steady_us() + patience_us;
  while (!delivery && clock_.steady_us() < until) delivery = made.finish(100'000);
  ASSERT_TRUE(delivery);
  EXPECT_EQ(delivery->outcome, Outcome::delivered);
  EXPECT_EQ(asked_.back().body, "second");
}

class DirectoryLogStoreTest : public testing::Test {
 protected:
  DirectoryLogStoreTest() : root_(make_test_directory("log_store")) {}
  ~DirectoryLogStoreTest() override { fs::remove_all(root_); }

  Delivery store(const std::string& body) {
    DirectoryLogStore made(files_, root_ + "/kept");
    made.start(key, body);
    return made.finish(0).value_or(Delivery{.outcome = Outcome::retry});
  }
  [[nodiscard]] std::string stored() const {
    std::ifstream in(root_ + "/kept/" + key);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  const std::string root_;
  PosixFileSystem files_;
};

TEST_F(DirectoryLogStoreTest, keeps_the_file_under_its_key_and_replaces_an_older_one) {
  EXPECT_EQ(store("first, and longer").outcome, Outcome::delivered);
  EXPECT_EQ(stored(), "first, and longer");
  EXPECT_EQ(store("second").outcome, Outcome::delivered);
  EXPECT_EQ(stored(), "second");
}

TEST_F(DirectoryLogStoreTest, says_why_it_cannot) {
  std::ofstream(root_ + "/kept") << "a file where the directory should be";
  const Delivery delivery = store("x");
  EXPECT_EQ(delivery.outcome, Outcome::retry);
  EXPECT_NE(delivery.why.find("kept"), std::string::npos) << delivery.why;
  fs::remove(root_ + "/kept");
  EXPECT_EQ(store("x").outcome, Outcome::delivered);
}

}  // namespace
}  // namespace inlet::sinks
