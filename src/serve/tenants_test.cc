// Goal: every tenant has one account for ever, the number of accounts and of lines in a list is
//   bounded, and no counter of a list ever goes back.
// Method: small registries filled past their bounds; random load with lists in between, each
//   compared with the one before; threads that ask for names while others look up.

#include "serve/tenants.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>
#include <thread>

#include "base/check.h"
#include "base/log.h"

namespace inlet::serve {
namespace {

class HandClock final : public Clock {
 public:
  Microseconds wall_us() override { return 1'700'000'000'000'000 + now_us; }
  Microseconds steady_us() override { return now_us; }
  void sleep(Microseconds duration) override { now_us += duration; }
  Microseconds now_us = 1'000'000;
};

class TenantsTest : public testing::Test {
 protected:
  TenantsTest() { set_log_level(LogLevel::off); }
  ~TenantsTest() override { set_log_level(LogLevel::info); }

  HandClock clock_;
};

TEST_F(TenantsTest, a_name_is_one_tenant_and_its_index_finds_it) {
  Tenants tenants(clock_, {}, {});
  Tenant& acme = tenants.of("acme");
  EXPECT_EQ(&tenants.of("acme"), &acme);
  EXPECT_EQ(&tenants.find("acme"), &acme);
  EXPECT_EQ(&tenants.at(acme.index()), &acme);
  EXPECT_EQ(acme.name(), "acme");
  EXPECT_NE(&tenants.of("initech"), &acme);
  EXPECT_EQ(tenants.find("unknown").name(), other_tenant);
  EXPECT_EQ(&tenants.of(other_tenant), &tenants.at(0));
  EXPECT_EQ(tenants.size(), 3U);
}

TEST_F(TenantsTest, beyond_the_bound_all_share_the_one_called_other) {
  Tenants tenants(clock_, {.requests_per_s = 7}, {{"late", {.requests_per_s = 99}}},
                  {.tenants_max = 3});
  EXPECT_EQ(tenants.of("late").index(), 1U);
  (void)tenants.of("b");
  (void)tenants.of("c");
  Tenant& d = tenants.of("d");
  EXPECT_EQ(d.index(), 0U);
  EXPECT_EQ(&tenants.of("e"), &d);
  EXPECT_EQ(d.limits().requests_per_s, 7U);
  EXPECT_EQ(tenants.size(), 4U);
  EXPECT_EQ(tenants.of("c").index(), 3U);
  EXPECT_EQ(&tenants.find("e"), &d);
}

TEST_F(TenantsTest, limits_are_those_of_the_name_or_the_standard) {
  Tenants tenants(clock_, {.requests_per_s = 1}, {{"acme", {.bytes_per_s = 5}}});
  Tenant& acme = tenants.of("acme");
  Tenant& plain = tenants.of("plain");
  EXPECT_EQ(acme.limits(), (TenantLimits{.bytes_per_s = 5}));
  EXPECT_EQ(plain.limits(), (TenantLimits{.requests_per_s = 1}));
}

TEST_F(TenantsTest, counts_those_that_are_active_but_never_none) {
  Tenants tenants(clock_, {}, {});
  EXPECT_EQ(tenants.active(), 1U);
  for (const char* name : {"a", "b", "c"}) {
    Visit visit;
    ASSERT_TRUE(visit.begin(tenants.of(name), 1, {}, clock_.now_us).ok());
  }
  EXPECT_EQ(tenants.active(), 3U);
  clock_.now_us += 40'000'000;
  Visit visit;
  ASSERT_TRUE(visit.begin(tenants.of("b"), 1, {}, clock_.now_us).ok());
  visit.end();
  clock_.now_us += 40'000'000;
  tenants.turn();
  EXPECT_EQ(tenants.active(), 1U);
  clock_.now_us += 40'000'000;
  tenants.turn();
  EXPECT_EQ(tenants.active(), 1U);
}

TEST_F(TenantsTest, a_list_has_all_the_busiest_first_and_the_rest_together) {
  Tenants tenants(clock_, {}, {});
  (void)tenants.of("silent");
  tenants.of("small").count(Count::records, 1);
  tenants.of("large").count(Count::records, 9);
  tenants.at(0).count(Count::refused_scope, 4);
  const auto list = tenants.list();
  ASSERT_EQ(list.size(), 3U);
  EXPECT_EQ(list[0].name, "large");
  EXPECT_EQ(list[1].name, "small");
  EXPECT_EQ(list[2].name, other_tenant);
  EXPECT_EQ(list[2].of(Count::refused_scope), 4U);
  EXPECT_EQ(list[2].of(Count::records), 0U);
}

TEST_F(TenantsTest, a_tenant_that_becomes_much_busier_takes_the_line_of_the_least_busy) {
  Tenants tenants(clock_, {}, {}, {.listed_max = 2});
  tenants.of("a").count(Count::records, 10);
  tenants.of("b").count(Count::records, 20);
  tenants.of("c").count(Count::records, 5);
  const auto names = [&] {
    std::set<std::string> set;
    for (const TenantFigures& line : tenants.list()) set.insert(line.name);
    return set;
  };
  EXPECT_EQ(names(), (std::set<std::string>{"a", "b", "other"}));
  tenants.of("c").count(Count::records, 10);  // More, but not by enough.
  EXPECT_EQ(names(), (std::set<std::string>{"a", "b", "other"}));
  EXPECT_EQ(tenants.list().back().of(Count::records), 15U);
  tenants.of("c").count(Count::refused_requests, 5);
  EXPECT_EQ(names(), (std::set<std::string>{"c", "b", "other"}));
  EXPECT_EQ(tenants.list().back().of(Count::records), 15U);  // Neither c's gone nor a's added.
  tenants.of("a").count(Count::records, 1);
  EXPECT_EQ(tenants.list().back().of(Count::records), 16U);
}

TEST_F(TenantsTest, no_counter_of_a_list_goes_back_or_leaps_whoever_comes_and_goes) {
  const unsigned seed = std::random_device()();
  std::printf("seed %u\n", seed);
  std::mt19937_64 random(seed);
  Tenants tenants(clock_, {}, {}, {.tenants_max = 30, .listed_max = 4});
  std::map<std::string, std::uint64_t> before;
  for (int round = 0; round < 3000; round++) {
    std::uint64_t added = 0;
    for (std::uint64_t n = random() % 5; n > 0; n--) {
      const std::string name = fmt::format("t{}", random() % (1 + random() % 40));
      const std::uint64_t more = random() % (std::uint64_t{1} << (random() % 12));
      tenants.of(name).count(Count::records, more);
      added += more;
    }
    const auto list = tenants.list();
    ASSERT_LE(list.size(), 5U);
    std::map<std::string, std::uint64_t> now;
    for (const TenantFigures& line : list) {
      ASSERT_TRUE(now.emplace(line.name, line.of(Count::records)).second) << "twice " << line.name;
      const auto known = before.find(line.name);
      if (known == before.end()) continue;
      ASSERT_GE(line.of(Count::records), known->second) << line.name;
      ASSERT_LE(line.of(Count::records), known->second + added) << line.name;
    }
    before = std::move(now);
  }
}

TEST_F(TenantsTest, ten_thousand_fit_and_threads_that_make_and_look_up_agree) {
  Tenants tenants(clock_, {}, {});
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; i++) {
    threads.emplace_back([&tenants] {
      for (int n = 0; n < 10'500; n++) {
        Tenant& tenant = tenants.of(fmt::format("t{}", n));
        tenant.count(Count::records);
        CHECK(&tenants.at(tenant.index()) == &tenant);
        CHECK(!tenants.at(tenants.size() - 1).name().empty());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(tenants.size(), 10'001U);
  EXPECT_EQ(tenants.at(0).figures().of(Count::records), 4 * 500U);
  std::uint64_t records = 0;
  const auto list = tenants.list();
  for (const TenantFigures& line : list) records += line.of(Count::records);
  EXPECT_EQ(list.size(), 201U);
  EXPECT_EQ(records, 4 * 10'500U);
}

}  // namespace
}  // namespace inlet::serve
