// Goal: a receipt says what the evidence proves and no more, and tells a tenant nothing of others.
// Method: evidence by hand; one table holds every combination of what a line may count.

#include "serve/receipt.h"

#include <gtest/gtest.h>
#include <simdjson.h>

#include <algorithm>
#include <string>

namespace inlet::serve {
namespace {

using Is = JournalEvidence::Is;
using Damage = SinkEvidence::Damage;
using journal::LedgerLine;

constexpr RecordId id{.journal_id = 0xABC, .sequence = 50};
const RecordFacts web{.tenant = "acme", .stream = "web", .received_us = 1, .bytes = 3};

JournalEvidence readable(const RecordFacts& record = web) {
  return {.is = Is::readable, .segment = 7, .record = record};
}

LedgerLine batch(std::map<std::string, journal::LedgerCounts, std::less<>> streams,
                 std::uint64_t lost = 0, std::uint64_t skipped = 0) {
  return {.first = 40,
          .end = 60,
          .at_us = 9,
          .lost = lost,
          .skipped = skipped,
          .streams = std::move(streams)};
}

SinkEvidence sink_with(std::optional<LedgerLine> line, const std::string& name = "out") {
  SinkEvidence sink{.sink = name, .streams = {"*"}};
  sink.next_sequence = line ? 60 : 1;
  sink.line = std::move(line);
  return sink;
}

SinkReceipt judged(JournalEvidence journal, SinkEvidence sink, std::string_view tenant = "") {
  const auto receipt =
      judge({.id = id, .journal = std::move(journal), .sinks = {std::move(sink)}}, tenant);
  EXPECT_TRUE(receipt);
  return receipt ? receipt->sinks.at(0) : SinkReceipt{};
}

TEST(Receipt, of_a_record_its_sink_has_not_passed_is_pending) {
  EXPECT_EQ(judged(readable(), sink_with({})).fate, Fate::pending);
  EXPECT_EQ(judged(readable(), sink_with({})).precision, Precision::none);
}

TEST(Receipt, of_a_stream_the_sink_does_not_take_says_so_before_and_after_the_sink_passed_it) {
  SinkEvidence sink = sink_with({});
  sink.streams = {"api.*", "logs"};
  EXPECT_EQ(judged(readable(), sink).fate, Fate::not_for_this_sink);
  const LedgerLine line = batch({{"acme/logs", {.delivered = 5}}}, 0, 15);
  EXPECT_EQ(judged(readable(), sink_with(line)).fate, Fate::not_for_this_sink);
}

TEST(Receipt, of_a_record_that_went_before_it_was_passed_tells_damage_from_recycling) {
  EXPECT_EQ(judged({.is = Is::gone}, sink_with({})).fate, Fate::not_for_this_sink);
  const SinkReceipt lost =
      judged({.is = Is::damaged, .damage = "a frame is damaged"}, sink_with({}));
  EXPECT_EQ(lost.fate, Fate::lost);
  EXPECT_EQ(lost.reason, "a frame is damaged");
}

TEST(Receipt, of_a_dead_letter_is_dead_whatever_the_counts_say) {
  SinkEvidence sink = sink_with(batch({{"acme/web", {.delivered = 19, .dead = 1}}}));
  sink.letter = Letter{.record = web, .reason = "422"};
  for (const JournalEvidence& journal : {readable(), JournalEvidence{.is = Is::gone}}) {
    const SinkReceipt receipt = judged(journal, sink);
    EXPECT_EQ(receipt.fate, Fate::dead);
    EXPECT_EQ(receipt.reason, "422");
    EXPECT_EQ(receipt.at_us, 9);
    EXPECT_EQ(receipt.precision, Precision::batch);
  }
}

// Every combination of: the record can be read, its line is a sum, counts of its stream, of another
// stream, lost, skipped, the damage log, the dead letters.
struct Case {
  bool readable, is_sum;
  std::uint64_t delivered, dead, others, lost, skipped;
  Damage damage;
  bool letters_whole;
};

std::vector<Fate> possible_fates(const Case& c) {
  std::vector<Fate> fates;
  const std::uint64_t delivered = c.delivered + (c.readable ? 0 : c.others);
  if (c.lost > 0 && c.damage == Damage::listed) return {Fate::lost};
  if (delivered > 0) fates.push_back(Fate::delivered);
  if (c.dead > 0 && !c.letters_whole) fates.push_back(Fate::dead);
  if (c.lost > 0 && c.damage == Damage::unknown) fates.push_back(Fate::lost);
  // A batch that took records of a stream did not leave others of it out. Which streams the record
  // may be of is known if it can be read, or if the line left nothing out.
  const bool stream_taken = c.readable && c.delivered + c.dead > 0 && !c.is_sum;
  if (c.skipped > 0 && !stream_taken) fates.push_back(Fate::not_for_this_sink);
  return fates;
}

void check(const Case& c) {
  LedgerLine line = batch({}, c.lost, c.skipped);
  line.is_sum = c.is_sum;
  if (c.delivered + c.dead > 0) {
    line.streams["acme/web"] = {.delivered = c.delivered, .dead = c.dead};
  }
  if (c.others > 0) line.streams["acme/api"] = {.delivered = c.others};
  SinkEvidence sink = sink_with(line);
  sink.damage = c.damage;
  sink.letters_whole = c.letters_whole;
  const SinkReceipt receipt = judged(c.readable ? readable() : JournalEvidence{}, sink);
  const std::vector<Fate> fates = possible_fates(c);
  EXPECT_EQ(receipt.fate, fates.size() == 1 ? fates[0] : Fate::settled);
  EXPECT_EQ(receipt.counts.has_value(), fates.size() != 1);
  EXPECT_EQ(receipt.precision, c.is_sum ? Precision::sum : Precision::batch);
  EXPECT_EQ(receipt.reason.empty(), std::ranges::find(fates, Fate::dead) == fates.end());
}

TEST(Receipt, names_one_fate_exactly_where_the_line_leaves_one) {
  int cases = 0;
  for (unsigned bits = 0; bits < 256; bits++) {
    const auto bit = [&](unsigned n) { return bits >> n & 1U; };
    for (const Damage damage : {Damage::listed, Damage::not_listed, Damage::unknown}) {
      const Case c{.readable = bit(0) != 0,
                   .is_sum = bit(1) != 0,
                   .delivered = 3 * bit(2),
                   .dead = 2 * bit(3),
                   .others = bit(4),
                   .lost = bit(5),
                   .skipped = 4 * bit(6),
                   .damage = damage,
                   .letters_whole = bit(7) != 0};
      SCOPED_TRACE(testing::Message() << "bits " << bits << " damage " << static_cast<int>(damage));
      check(c);
      cases++;
    }
  }
  EXPECT_EQ(cases, 768);
}

TEST(Receipt, without_a_line_rests_on_the_cursors_counts) {
  SinkEvidence sink = sink_with({});
  sink.next_sequence = 51;
  sink.totals.records_delivered = 50;
  SinkReceipt receipt = judged({}, sink);
  EXPECT_EQ(receipt.fate, Fate::delivered);
  EXPECT_EQ(receipt.at_us, 0);
  EXPECT_EQ(receipt.precision, Precision::sum);
  sink.totals.records_rejected = 1;
  EXPECT_EQ(judged({}, sink).fate, Fate::settled);
  sink.next_sequence = 50;
  EXPECT_EQ(judged(readable(), sink).fate, Fate::pending);
}

TEST(Receipt, of_a_record_that_is_gone_uses_what_the_other_sinks_lines_prove_of_its_stream) {
  const LedgerLine all = batch({{"acme/api", {.delivered = 20}}});
  const LedgerLine some = batch({{"acme/web", {.delivered = 10}}}, 0, 10);
  const auto receipt = judge({.id = id, .sinks = {sink_with(all), sink_with(some, "web")}}, "");
  EXPECT_EQ(receipt->sinks[0].fate, Fate::delivered);
  EXPECT_EQ(receipt->sinks[1].fate, Fate::not_for_this_sink);
  const LedgerLine only_web = batch({{"acme/web", {.delivered = 20}}});
  const auto other = judge({.id = id, .sinks = {sink_with(only_web), sink_with(some, "web")}}, "");
  EXPECT_EQ(other->sinks[1].fate, Fate::delivered);
}

TEST(Receipt, of_a_record_that_is_gone_is_of_a_stream_that_all_lines_name) {
  const LedgerLine one = batch({{"acme/web", {.delivered = 10}}, {"acme/api", {.delivered = 10}}});
  const LedgerLine two = batch({{"acme/logs", {.delivered = 5}}, {"acme/web", {.delivered = 15}}});
  const LedgerLine some = batch({{"acme/web", {.delivered = 10}}}, 0, 10);
  for (const auto& [first, second] : {std::pair{one, two}, std::pair{two, one}}) {
    const auto receipt = judge(
        {.id = id,
         .sinks = {sink_with(some, "web"), sink_with(first, "first"), sink_with(second, "second")}},
        "");
    EXPECT_EQ(receipt->sinks[0].fate, Fate::delivered);
  }
}

TEST(Receipt, for_a_tenant_is_of_its_own_records_only) {
  const Evidence own{.id = id, .journal = readable(), .sinks = {sink_with({})}};
  EXPECT_TRUE(judge(own, "acme"));
  EXPECT_FALSE(judge(own, "acm"));
  EXPECT_FALSE(judge(own, "acme2"));
  Evidence letter{.id = id, .sinks = {sink_with(batch({{"acme/web", {.dead = 20}}}))}};
  letter.sinks[0].line->streams["other/web"] = {.dead = 1};
  letter.sinks[0].letter = Letter{.record = web, .reason = "422"};
  EXPECT_TRUE(judge(letter, "acme"));
  EXPECT_FALSE(judge(letter, "other"));
}

TEST(Receipt, of_a_record_that_is_gone_is_for_tenants_its_line_names) {
  const LedgerLine line = batch({{"acme/web", {.delivered = 9}}, {"b/web", {.delivered = 11}}});
  const Evidence evidence{.id = id, .sinks = {sink_with(line)}};
  EXPECT_TRUE(judge(evidence, "acme"));
  EXPECT_TRUE(judge(evidence, "b"));
  for (const auto* tenant : {"c", "acm", "acme/web", "web"}) EXPECT_FALSE(judge(evidence, tenant));
  EXPECT_FALSE(judge({.id = id}, "acme"));
  EXPECT_TRUE(judge({.id = id}, ""));
}

TEST(Receipt, of_a_record_that_is_gone_is_not_for_a_tenant_another_line_rules_out) {
  const LedgerLine mixed = batch({{"acme/web", {.delivered = 9}}, {"b/web", {.delivered = 11}}});
  LedgerLine foreign = batch({{"b/web", {.delivered = 2}}});
  const Evidence evidence{.id = id, .sinks = {sink_with(mixed), sink_with(foreign, "two")}};
  EXPECT_FALSE(judge(evidence, "acme"));
  EXPECT_TRUE(judge(evidence, "b"));
}

TEST(Receipt, for_a_tenant_holds_nothing_of_the_node_or_of_others) {
  SinkEvidence sink = sink_with(batch(
      {{"acme/web", {.delivered = 9, .dead = 1}}, {"rival/web", {.delivered = 11, .dead = 77}}}, 5,
      6));
  const auto gone = judge({.id = id, .sinks = {sink}}, "acme");
  ASSERT_TRUE(gone);
  EXPECT_EQ(gone->sinks[0].fate, Fate::settled);
  EXPECT_EQ(gone->sinks[0].counts->delivered, 9U);
  EXPECT_EQ(gone->sinks[0].counts->dead, 1U);
  EXPECT_FALSE(gone->sinks[0].counts->lost || gone->sinks[0].counts->skipped);
  const auto there = judge({.id = id, .journal = readable(), .sinks = {sink}}, "acme");
  EXPECT_EQ(there->segment, 0U);
  for (const auto& receipt : {*gone, *there}) {
    const std::string json = receipt_json(receipt, "n");
    for (const auto* word : {"rival", "segment", "lost\"", "skipped", "77"}) {
      EXPECT_EQ(json.find(word), std::string::npos) << word << " in " << json;
    }
  }
  sink.line.reset();
  sink.next_sequence = 60;
  sink.totals.records_delivered = sink.totals.records_rejected = 7;
  EXPECT_FALSE(judge({.id = id, .journal = readable(), .sinks = {sink}}, "acme")->sinks[0].counts);
}

TEST(Receipt, is_json_with_everything_known_in_it) {
  SinkEvidence dead = sink_with(batch({{"acme/web", {.dead = 20}}}), "dead");
  dead.line->at_us = 1795428000'000'000;
  dead.letter = Letter{.record = web, .reason = "said \"no\"\n"};
  const auto receipt =
      judge({.id = id, .journal = readable(), .sinks = {dead, sink_with({}, "slow")}}, "");
  EXPECT_EQ(receipt_json(*receipt, "node \"1\""),
            R"({"schema":1,"id":"000000000abc-000000000032","stored":{"node":"node \"1\"",)"
            R"("journal":"000000000abc","sequence":50,"segment":7,)"
            R"("received_at":"1970-01-01T00:00:00.000001Z","tenant":"acme","stream":"web",)"
            R"("bytes":3,"in_journal":true},"sinks":[{"sink":"dead","state":"dead",)"
            R"("at":"2026-11-23T10:00:00.000000Z","precision":"batch",)"
            R"("reason":"said \"no\"\n"},{"sink":"slow","state":"pending"}]})"
            "\n");
}

TEST(ReceiptAnswer, says_the_same_of_every_id_that_is_not_known_and_is_never_cached) {
  EXPECT_EQ(unknown_answer().status, 404);
  EXPECT_EQ(malformed_answer().status, 400);
  EXPECT_EQ(other_journal_answer("n", 1).status, 404);
  EXPECT_EQ(later_answer("why").status, 503);
  EXPECT_NE(later_answer("why").extra_lines.find("Retry-After: 1\r\n"), std::string::npos);
  for (const auto& answer : {unknown_answer(), malformed_answer(), other_journal_answer("n", 1),
                             later_answer("why"), found_answer({}, "n")}) {
    EXPECT_NE(answer.extra_lines.find("Cache-Control: no-store\r\n"), std::string::npos);
    simdjson::dom::parser parser;
    EXPECT_EQ(parser.parse(answer.body).error(), simdjson::SUCCESS) << answer.body;
  }
}

}  // namespace
}  // namespace inlet::serve
