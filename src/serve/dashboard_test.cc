// Goal: the dashboard's files are in the program whole, and a browser gets each in the form it
// takes and only once.
// Method: a connection that keeps the answer; the files are compared with those of the tree.

#include "serve/dashboard.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "base/result.h"

namespace inlet::serve {
namespace {

const std::string sources = std::string(__FILE__).substr(0, std::string(__FILE__).rfind('/'));

std::string text_of_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

struct Answer {
  int status = 0;
  std::string body;
  std::string lines;

  [[nodiscard]] bool says(std::string_view line) const {
    return lines.find(line) != std::string::npos;
  }
};

class OneAnswer final : public http::Connection {
 public:
  void respond(const http::Response& response) override {
    EXPECT_EQ(answer_.status, 0) << "answered twice";
    answer_ = {response.status, std::string(response.body), std::string(response.extra_lines)};
  }
  const http::RequestHead& head() override { return head_; }
  [[nodiscard]] std::string_view peer() const override { return "127.0.0.1"; }
  [[nodiscard]] Microseconds since_us() const override { return 0; }
  [[nodiscard]] std::size_t loop_index() const override { return 0; }

  Answer ask(const Asset& asset, const std::string& fields) {
    text_ = "GET / HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n";
    const http::HeadResult parsed = http::parse_head(text_, head_);
    EXPECT_EQ(parsed.kind, http::HeadResult::Kind::complete) << text_;
    answer_asset(*this, head_, asset);
    return answer_;
  }

 private:
  std::string text_;
  http::RequestHead head_{};
  Answer answer_;
};

Answer ask(std::string_view path, const std::string& fields) {
  const Asset* const asset = find_asset(path);
  EXPECT_NE(asset, nullptr) << path;
  return asset == nullptr ? Answer() : OneAnswer().ask(*asset, fields);
}

TEST(Dashboard, HoldsEveryFileOfTheTreeUnchanged) {
  for (const std::string name : {"index.html", "dashboard.css", "dashboard.js", "figures.js",
                                 "nodes.js", "tables.js", "views.js", "charts.js"}) {
    const std::string expected = text_of_file(sources + "/dashboard/" + name);
    ASSERT_FALSE(expected.empty()) << name;
    EXPECT_EQ(ask(name == "index.html" ? "/" : "/" + name, "").body, expected) << name;
  }
  EXPECT_EQ(find_asset("/index.html"), nullptr);
  EXPECT_EQ(find_asset("/chart.min.js"), nullptr);
  EXPECT_EQ(find_asset(""), nullptr);
}

TEST(Dashboard, KeepsTheLicenceOfTheChartingLibraryBeforeIt) {
  const std::string script = ask("/chart.js", "").body;
  EXPECT_TRUE(script.starts_with("/*!\nChart.js "));
  EXPECT_NE(script.find("The above copyright notice and this permission notice"), script.npos);
  EXPECT_NE(script.find("*/\n/*!\n * Chart.js v"), script.npos);
}

TEST(Dashboard, EveryFileAPageNamesIsThere) {
  for (const std::string_view path :
       {"/", "/dashboard.js", "/views.js", "/charts.js", "/nodes.js"}) {
    const std::string text = ask(path, "").body;
    std::size_t at = 0;
    for (const std::string_view begins : {"src=\"", "href=\"", "from \"./"}) {
      while ((at = text.find(begins, at)) != text.npos) {
        at += begins.size();
        const std::string name = text.substr(at, text.find('"', at) - at);
        if (!name.ends_with(".js") && !name.ends_with(".css")) continue;
        EXPECT_NE(find_asset("/" + name), nullptr) << path << " names " << name;
      }
      at = 0;
    }
  }
}

TEST(Dashboard, IsSentPackedToThoseWhoTakeItAndPlainToOthers) {
  const Answer plain = ask("/dashboard.js", "");
  const Answer packed = ask("/dashboard.js", "Accept-Encoding: gzip, br\r\n");
  EXPECT_EQ(plain.status, 200);
  EXPECT_FALSE(plain.says("Content-Encoding"));
  EXPECT_EQ(packed.status, 200);
  EXPECT_TRUE(packed.says("Content-Encoding: gzip\r\n"));
  EXPECT_EQ(packed.body, as_text(find_asset("/dashboard.js")->gzip));
  EXPECT_LT(packed.body.size(), plain.body.size() / 2);
  EXPECT_TRUE(packed.says("Vary: Accept-Encoding\r\n"));
}

TEST(Dashboard, IsNotSentAgainToABrowserThatHasIt) {
  const std::string etag(find_asset("/")->etag);
  EXPECT_TRUE(etag.starts_with("W/\"") && etag.ends_with('"') && etag.size() == 20) << etag;
  const Answer again = ask("/", "Accept-Encoding: gzip\r\nIf-None-Match: " + etag + "\r\n");
  EXPECT_EQ(again.status, 304);
  EXPECT_TRUE(again.body.empty());
  EXPECT_TRUE(again.says("ETag: " + etag + "\r\n"));
  EXPECT_EQ(ask("/dashboard.js", "If-None-Match: " + etag + "\r\n").status, 200);
}

TEST(Dashboard, AllowsABrowserNoScriptStyleOrFrameButItsOwn) {
  for (const std::string_view path : {"/", "/chart.js"}) {
    const Answer answer = ask(path, "");
    EXPECT_TRUE(
        answer.says("Content-Security-Policy: default-src 'none'; script-src 'self'; "
                    "style-src 'self'; "));
    EXPECT_FALSE(answer.says("unsafe"));
    EXPECT_TRUE(answer.says("frame-ancestors 'none'\r\n"));
  }
}

TEST(TakesGzip, ReadsTheFieldAsItsSpecificationSays) {
  for (const char* const takes :
       {"gzip", "deflate, gzip;q=0.5", "GZIP", "x-gzip", "*", "br, *;q=0.1", "gzip;q=1, *;q=0",
        "*;q=0, gzip", "gzip ; q=0.001"}) {
    EXPECT_TRUE(takes_gzip(takes)) << takes;
  }
  for (const char* const refuses : {"", "identity", "br", "gzip;q=0", "gzip; q=0.000", "*;q=0",
                                    "gzip;q=0, *", "*, gzip;Q=0", "gzipped"}) {
    EXPECT_FALSE(takes_gzip(refuses)) << refuses;
  }
}

TEST(MatchesEtag, ComparesWeakly) {
  for (const char* const same : {"W/\"a\"", "\"a\"", "*", "\"b\", W/\"a\"", "\"b\",\"a\""}) {
    EXPECT_TRUE(matches_etag(same, "W/\"a\"")) << same;
  }
  for (const char* const other : {"", "\"b\"", "a", "W/\"A\"", "\"aa\""}) {
    EXPECT_FALSE(matches_etag(other, "W/\"a\"")) << other;
  }
}

}  // namespace
}  // namespace inlet::serve
