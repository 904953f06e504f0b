// Goal: records outlive the reader's buffer, whole, within the block and beyond it.
// Method: records overwritten after they were added; sizes around the end of the block.

#include "ship/record_arena.h"

#include <gtest/gtest.h>

#include <string>

namespace inlet::ship {
namespace {

TEST(RecordArena, keeps_copies_of_everything) {
  std::string text = "acme clicks text/plain gzip 127.0.0.1 trace key body";
  const std::string_view view = text;
  RecordArena arena(1 << 16);
  const journal::Record record{.sequence = 7,
                               .received_us = 8,
                               .metadata = {.tenant = view.substr(0, 4),
                                            .stream = view.substr(5, 6),
                                            .content_type = view.substr(12, 10),
                                            .content_encoding = view.substr(23, 4),
                                            .peer = view.substr(28, 9),
                                            .trace_id = view.substr(38, 5),
                                            .idempotency_key = view.substr(44, 3)},
                               .body = as_bytes(view.substr(48))};
  EXPECT_GE(arena.add(record), text.size() - 7);
  text.assign(text.size(), 'x');
  ASSERT_EQ(arena.records().size(), 1U);
  const sinks::Record& kept = arena.records()[0];
  EXPECT_EQ(kept.sequence, 7U);
  EXPECT_EQ(kept.received_us, 8);
  EXPECT_EQ(kept.tenant, "acme");
  EXPECT_EQ(kept.stream, "clicks");
  EXPECT_EQ(kept.content_type, "text/plain");
  EXPECT_EQ(kept.content_encoding, "gzip");
  EXPECT_EQ(kept.peer, "127.0.0.1");
  EXPECT_EQ(kept.trace_id, "trace");
  EXPECT_EQ(kept.idempotency_key, "key");
  EXPECT_EQ(as_text(kept.body), "body");
}

TEST(RecordArena, takes_what_does_not_fit_into_its_block) {
  for (const std::size_t block_bytes : {0U, 1U, 99U, 100U, 101U, 250U}) {
    RecordArena arena(block_bytes);
    for (int round = 0; round < 3; round++) {
      for (std::uint64_t i = 0; i < 5; i++) {
        const std::string body(100, static_cast<char>('a' + i));
        arena.add({.sequence = i, .received_us = 0, .metadata = {}, .body = as_bytes(body)});
      }
      for (std::uint64_t i = 0; i < 5; i++) {
        EXPECT_EQ(as_text(arena.records()[i].body), std::string(100, static_cast<char>('a' + i)));
      }
      arena.clear();
      EXPECT_TRUE(arena.records().empty());
    }
  }
}

}  // namespace
}  // namespace inlet::ship
