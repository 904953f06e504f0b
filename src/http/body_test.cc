// Goal: a body arrives whole wherever it lies, and memory is asked for only as bytes come.
// Method: random bodies, sized and chunked, fed in random pieces as a connection would, to a
// handler that sometimes has no memory; the seed is printed.

#include "http/body.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "base/limits.h"

namespace inlet::http {
namespace {

using Need = Body::Need;

constexpr std::uint64_t body_bytes_max = 300'000;

class MemoryHandler final : public Handler {
 public:
  HeadAction on_head(const RequestHead&) override { return HeadAction::take_body(0); }
  MutableBytes body_space(std::size_t bytes_needed, std::size_t bytes_so_far) override {
    asks++;
    if (refusals > 0) {
      refusals--;
      return {};
    }
    EXPECT_LE(bytes_so_far, memory.size());
    EXPECT_LE(bytes_needed, body_bytes_max);
    memory.resize(bytes_needed);
    return memory;
  }
  void on_body(Bytes) override {}
  void on_end() override {}

  int asks = 0;
  int refusals = 0;
  std::vector<std::byte> memory;
};

// A connection without a socket: what the client sends is in `wire`.
struct Feed {
  explicit Feed(std::string_view bytes) : wire(bytes) {}

  std::size_t take(MutableBytes room, std::size_t piece) {
    const std::size_t count = std::min({room.size(), piece, wire.size()});
    std::memcpy(room.data(), wire.data(), count);
    wire.remove_prefix(count);
    return count;
  }
  // One step; true while there is something left to do.
  bool step(std::size_t piece) {
    need = body.next(input, handler);
    if (need == Need::memory) return true;
    if (need == Need::input && !wire.empty()) {
      EXPECT_TRUE(input.make_room(pool));
      input.added(take(input.room(), piece));
      return true;
    }
    if (need == Need::direct && !wire.empty()) {
      body.received(take(body.room(), piece));
      return true;
    }
    return false;
  }
  void read_head() {
    RequestHead head;
    HeadResult result{};
    do {
      EXPECT_TRUE(input.make_room(pool));
      input.added(take(input.room(), 1));
      result = parse_head(as_text(input.bytes()), head);
    } while (result.kind == HeadResult::Kind::incomplete);
    body.start(head, result.bytes);
    body.limit(body_bytes_max);
  }

  MemoryBudget memory{1U << 20};
  BufferPool pool{memory};
  Input input;
  MemoryHandler handler;
  Body body;
  Need need = Need::input;
  std::string_view wire;
};

std::string sized(std::string_view data) {
  return fmt::format("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{}", data.size(),
                     data);
}
std::string chunked(std::string_view data, std::size_t chunk_bytes) {
  std::string text = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (std::size_t at = 0; at < data.size(); at += chunk_bytes) {
    const std::string_view part = data.substr(at, chunk_bytes);
    text += fmt::format("{:x}\r\n{}\r\n", part.size(), part);
  }
  return text + "0\r\n\r\n";
}

TEST(Body, random_bodies_arrive_whole_and_the_next_request_is_left_alone) {
  const auto seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const auto between = [&random](std::size_t least, std::size_t most) {
    return std::uniform_int_distribution<std::size_t>(least, most)(random);
  };
  for (int i = 0; i < 1000; i++) {
    std::string data(between(0, i % 4 == 0 ? body_bytes_max : 30'000), ' ');
    for (char& c : data) c = static_cast<char>('a' + random() % 26);
    const std::string next = "GET / HTTP/1.1\r\n";
    const std::string wire = (i % 2 == 0 ? sized(data) : chunked(data, between(1, 40'000))) + next;
    Feed feed(wire);
    feed.read_head();
    feed.handler.refusals = static_cast<int>(between(0, 2));
    while (feed.step(between(1, 20'000))) {
    }
    ASSERT_EQ(feed.need, Need::nothing);
    ASSERT_TRUE(as_text(feed.body.bytes(feed.input)) == data);
    feed.input.drop_front(feed.body.request_bytes());
    const std::string_view left = as_text(feed.input.bytes());
    ASSERT_TRUE(next == std::string(left).append(feed.wire)) << left;
    feed.input.release(feed.pool);
  }
}

TEST(Body, memory_is_asked_for_only_when_the_small_buffer_is_full_and_then_as_it_fills) {
  const std::string data(100'000, 'x');
  const std::string bytes = sized(data);
  Feed feed(bytes);
  feed.read_head();
  while (feed.input.size() < limits::read_buffer_bytes_small) {
    EXPECT_EQ(feed.handler.asks, 0);
    ASSERT_TRUE(feed.step(1));
  }
  ASSERT_TRUE(feed.step(1));
  EXPECT_EQ(feed.handler.asks, 1);
  EXPECT_LT(feed.handler.memory.size(), data.size());  // Not what was claimed.
  while (feed.step(50'000)) {
  }
  EXPECT_EQ(feed.handler.asks, 2);
  EXPECT_EQ(feed.need, Need::nothing);
  feed.input.release(feed.pool);
}

TEST(Body, chunked_bodies_are_cut_off_at_the_limit_without_waiting_for_their_bytes) {
  for (const std::uint64_t bytes : {body_bytes_max, body_bytes_max + 1}) {
    const std::string coded = chunked(std::string(bytes, 'x'), 5000);
    Feed feed(coded);
    feed.read_head();
    while (feed.step(20'000)) {
    }
    EXPECT_EQ(feed.need, bytes <= body_bytes_max ? Need::nothing : Need::less) << bytes;
    feed.input.release(feed.pool);
  }
  const std::string claim =
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\nx";
  Feed feed(claim);
  feed.read_head();
  while (feed.step(20'000)) {
  }
  EXPECT_EQ(feed.need, Need::less);
  EXPECT_EQ(feed.handler.asks, 0);
  feed.input.release(feed.pool);
}

}  // namespace
}  // namespace inlet::http
