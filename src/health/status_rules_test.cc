// Goal: a node's level is that of its worst figure, every threshold is where the table says, and
// the causes read as sentences, worst first.
// Method: every rule at every threshold and just beside it; every pair of rules at every pair of
// levels; random readings of all rules against the plainest judgement.

#include "health/status_rules.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <random>

#include "health/json_reader_test.h"

namespace inlet::health {
namespace {

constexpr std::array levels = {Level::ok, Level::info, Level::warning, Level::degraded,
                               Level::severe};

double beside(double value, Rule::Bad towards) {
  return std::nextafter(value, towards == Rule::Bad::high ? HUGE_VAL : -HUGE_VAL);
}

// A value that this rule judges so; empty if it has no such level.
std::optional<double> value_at(const Rule& rule, Level level) {
  if (level != Level::ok) {
    const double at = rule.at[static_cast<std::size_t>(level) - 1];
    return std::isnan(at) ? std::nullopt : std::optional(at);
  }
  for (const double at : rule.at) {
    if (std::isnan(at)) continue;
    return beside(at, rule.bad == Rule::Bad::high ? Rule::Bad::low : Rule::Bad::high);
  }
  return std::nullopt;
}

TEST(StatusRules, each_threshold_is_reached_at_its_value_and_not_before) {
  for (const Rule& rule : rules()) {
    Level before = Level::ok;
    for (const Level level : levels) {
      const auto value = value_at(rule, level);
      if (!value) continue;
      EXPECT_EQ(level_of(rule, *value), level) << rule.text;
      const auto better = rule.bad == Rule::Bad::high ? Rule::Bad::low : Rule::Bad::high;
      if (level != Level::ok) {
        EXPECT_EQ(level_of(rule, beside(*value, better)), before) << rule.text;
      }
      before = level;
    }
    EXPECT_NE(before, Level::ok) << "a rule that never says anything: " << rule.text;
    EXPECT_EQ(level_of(rule, std::nan("")), Level::ok);
  }
}

TEST(StatusRules, nothing_known_is_ok) {
  const Verdict verdict = judge({});
  EXPECT_EQ(verdict.level, Level::ok);
  EXPECT_TRUE(verdict.causes.empty());
}

TEST(StatusRules, of_every_two_figures_at_every_two_levels_the_worse_counts_and_is_told_first) {
  int combinations = 0;
  for (const Rule& one : rules()) {
    for (const Rule& two : rules()) {
      for (const Level level_one : levels) {
        for (const Level level_two : levels) {
          const auto value_one = value_at(one, level_one);
          const auto value_two = value_at(two, level_two);
          if (!value_one || !value_two) continue;
          const Verdict verdict =
              judge({{one.figure, *value_one, "a"}, {two.figure, *value_two, "b"}});
          combinations++;
          ASSERT_EQ(verdict.level, std::max(level_one, level_two));
          const int causes = (level_one != Level::ok) + (level_two != Level::ok);
          ASSERT_EQ(static_cast<int>(verdict.causes.size()), causes);
          if (causes > 0) {
            ASSERT_EQ(verdict.causes.front().level, verdict.level);
          }
          if (causes == 2 && level_one == level_two) {
            ASSERT_LE(verdict.causes[0].figure, verdict.causes[1].figure);
          }
        }
      }
    }
  }
  EXPECT_GT(combinations, 3000);
}

TEST(StatusRules, any_readings_are_judged_as_the_plainest_judge_would) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  for (int i = 0; i < 20000; i++) {
    std::vector<Reading> readings;
    std::array<std::size_t, 5> expected{};
    for (const Rule& rule : rules()) {
      for (std::size_t n = random() % 3; n > 0; n--) {
        const Level level = levels[random() % levels.size()];
        const auto value = value_at(rule, level);
        if (!value) continue;
        readings.push_back({rule.figure, *value, "s"});
        expected[static_cast<std::size_t>(level)]++;
      }
    }
    std::ranges::shuffle(readings, random);
    const Verdict verdict = judge(readings);
    std::array<std::size_t, 5> got{};
    for (const Cause& cause : verdict.causes) got[static_cast<std::size_t>(cause.level)]++;
    expected[0] = 0;
    ASSERT_EQ(got, expected);
    ASSERT_TRUE(std::ranges::is_sorted(verdict.causes, [](const Cause& a, const Cause& b) {
      return a.level != b.level ? a.level > b.level : a.figure < b.figure;
    }));
    for (const Level level : levels) {
      if (expected[static_cast<std::size_t>(level)] > 0) {
        ASSERT_GE(verdict.level, level);
      }
    }
  }
}

std::string only_cause(Reading reading) {
  const Verdict verdict = judge({std::move(reading)});
  return verdict.causes.size() == 1 ? verdict.causes[0].text : "";
}

TEST(StatusRules, causes_are_sentences_a_person_can_act_on) {
  EXPECT_EQ(only_cause({Figure::failed_requests, 12.4}),
            "12 % of requests failed with 5xx in the last minute");
  EXPECT_EQ(only_cause({Figure::failed_requests, 1.26}),
            "1.3 % of requests failed with 5xx in the last minute");
  EXPECT_EQ(only_cause({Figure::journal_full_in, 420}), "journal full in 7 min");
  EXPECT_EQ(only_cause({Figure::sink_lag, 340, "archive"}), "sink archive is 340 s behind");
  EXPECT_EQ(only_cause({Figure::disk_used, 96.7}), "disk 96 % full");
  EXPECT_EQ(only_cause({Figure::refusing, 1, "full"}), "the journal is full: records are refused");
  EXPECT_EQ(only_cause({Figure::sink_silent, 75, "kafka"}),
            "the shipper of sink kafka has not reported for 75 s");
  EXPECT_EQ(only_cause({Figure::sink_failing, 12, "kafka", "connect: Connection refused"}),
            "sink kafka has taken nothing for 12 s: connect: Connection refused");
  EXPECT_EQ(only_cause({Figure::sink_dead_records, 12, "kafka"}),
            "sink kafka refused 12 records in the last hour");
  EXPECT_EQ(only_cause({Figure::certificate_days_left, 13, "edge"}),
            "certificate edge expires in 13 days");
  EXPECT_EQ(only_cause({Figure::certificate_days_left, -2, "edge"}),
            "certificate edge has expired");
  EXPECT_EQ(only_cause({Figure::draining, 1}), "draining: this node is about to leave");
}

TEST(StatusRules, a_detail_is_cut_at_a_whole_character) {
  const std::string start = "sink k has taken nothing for 9 s: ";
  std::string euros;
  for (int i = 0; i < 100; i++) euros += "\u20AC";  // Three bytes each.
  for (const std::string before : {"", "b", "bc"}) {
    const std::size_t bytes = only_cause({Figure::sink_failing, 9, "k", before + euros}).size();
    EXPECT_LE(bytes, start.size() + detail_bytes_max);
    EXPECT_GT(bytes, start.size() + detail_bytes_max - 3);
    EXPECT_EQ((bytes - start.size() - before.size()) % 3, 0U);
  }
}

TEST(StatusRules, no_cause_leaves_a_hole_in_its_text) {
  for (const Rule& rule : rules()) {
    for (const Level level : levels) {
      const auto value = value_at(rule, level);
      if (!value || level == Level::ok) continue;
      const std::string text = only_cause({rule.figure, *value, "thing"});
      EXPECT_FALSE(text.empty());
      EXPECT_EQ(text.find_first_of("{}"), std::string::npos) << text;
    }
  }
}

TEST(StatusRules, durations_are_told_in_units_people_use) {
  EXPECT_EQ(duration_text(0), "0 s");
  EXPECT_EQ(duration_text(-3), "0 s");
  EXPECT_EQ(duration_text(359), "359 s");
  EXPECT_EQ(duration_text(420), "7 min");
  EXPECT_EQ(duration_text(5 * 3600), "5 h");
  EXPECT_EQ(duration_text(12 * 86400), "12 days");
}

TEST(StatusRules, levels_have_elastic_beanstalks_names_and_values) {
  EXPECT_EQ(name_of(Level::ok), "Ok");
  EXPECT_EQ(name_of(Level::severe), "Severe");
  EXPECT_EQ(eb_value_of(Level::ok), 0);
  EXPECT_EQ(eb_value_of(Level::info), 1);
  EXPECT_EQ(eb_value_of(Level::warning), 15);
  EXPECT_EQ(eb_value_of(Level::degraded), 20);
  EXPECT_EQ(eb_value_of(Level::severe), 25);
}

TEST(StatusRules, the_json_escapes_what_a_name_may_hold) {
  std::string text;
  append_json(text, judge({{Figure::refusing, 1, "fu\"ll"}, {Figure::draining, 1}}));
  const JsonValue json = parse_json(text);
  EXPECT_EQ(json.at("level").text, "Severe");
  ASSERT_EQ(json.at("causes").items.size(), 2u);
  EXPECT_EQ(json.at("causes").items[0].at("text").text,
            "the journal is fu\"ll: records are refused");
  EXPECT_EQ(json.at("causes").items[1].at("level").text, "Info");
}

}  // namespace
}  // namespace inlet::health
