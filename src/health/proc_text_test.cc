// Goal: what Linux says about host, container and process is read right, and nothing else is.
// Method: texts as kernels wrote them, odd ones among them; every prefix of each, and many changes.

#include "health/proc_text.h"

#include <gtest/gtest.h>

#include <random>

namespace inlet::health {
namespace {

constexpr std::string_view stat_text =
    "cpu  10132153 290696 3084719 46828483 16683 10 25195 7 175628 0\n"
    "cpu0 1393280 32966 572056 13343292 6130 0 17875 0 23933 0\n"
    "intr 199292 1 2 0 0\nctxt 22848\nbtime 1790000000\nprocesses 26442\n";

constexpr std::string_view meminfo_text =
    "MemTotal:       16309672 kB\nMemFree:          211324 kB\nMemAvailable:    9061432 kB\n"
    "Buffers:          480584 kB\nCached:          8318892 kB\nSwapCached:            0 kB\n";

constexpr std::string_view net_dev_text =
    "Inter-|   Receive                                                |  Transmit\n"
    " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop "
    "fifo colls carrier compressed\n"
    "    lo: 999999999  100    0    0    0     0          0         0 999999999  100    0    0\n"
    "  eth0: 1000 10 0 0 0 0 0 0 2000 20 0 0 0 0 0 0\n"
    "veth1a2b:5 1 0 0 0 0 0 0 7 1 0 0 0 0 0 0\n";

constexpr std::string_view process_text =
    "4242 (in (let) 9 1) S 1 4242 4242 0 -1 4194560 2518 0 0 0 150 50 0 0 20 0 7 0 8837 "
    "123456789 2500 18446744073709551615 1 1 0 0 0 0 0 4096 0 0 0 0 17 1 0 0 0 0 0 0 0 0\n";

constexpr std::string_view limits_text =
    "Limit                     Soft Limit           Hard Limit           Units     \n"
    "Max processes             63644                63644                processes \n"
    "Max open files            1024                 1048576              files     \n";

TEST(ProcText, load_averages) {
  const auto load = parse_loadavg("0.52 1.25 12.00 3/467 26442\n");
  ASSERT_TRUE(load);
  EXPECT_DOUBLE_EQ(load->one, 0.52);
  EXPECT_DOUBLE_EQ(load->five, 1.25);
  EXPECT_DOUBLE_EQ(load->fifteen, 12);
  EXPECT_FALSE(parse_loadavg("0.52 1.25"));
  EXPECT_FALSE(parse_loadavg(""));
  EXPECT_FALSE(parse_loadavg("a b c"));
}

TEST(ProcText, processor_times_and_boot) {
  const auto stat = parse_stat(stat_text);
  ASSERT_TRUE(stat);
  EXPECT_EQ(stat->ticks.user, 10132153u);
  EXPECT_EQ(stat->ticks.nice, 290696u);
  EXPECT_EQ(stat->ticks.system, 3084719u);
  EXPECT_EQ(stat->ticks.idle, 46828483u);
  EXPECT_EQ(stat->ticks.iowait, 16683u);
  EXPECT_EQ(stat->ticks.irq, 10u);
  EXPECT_EQ(stat->ticks.softirq, 25195u);
  EXPECT_EQ(stat->ticks.steal, 7u);  // And not the guests', which are users' already.
  EXPECT_EQ(stat->boot_s, 1790000000u);
}

TEST(ProcText, processor_times_of_an_old_kernel_and_a_sandbox) {
  const auto old = parse_stat("cpu  1 2 3 4\n");
  ASSERT_TRUE(old);
  EXPECT_EQ(old->ticks.total(), 10u);
  EXPECT_FALSE(old->boot_s);
  EXPECT_FALSE(parse_stat("cpu  0 0 0 0 0 0 0 0 0 0\n"));  // gVisor says nothing so.
  EXPECT_FALSE(parse_stat("cpu0 1 2 3 4\n"));
}

TEST(ProcText, shares_of_processor_time_make_a_hundred) {
  CpuTicks before{.user = 100, .idle = 1000, .iowait = 50};
  CpuTicks after{.user = 130,
                 .nice = 10,
                 .system = 20,
                 .idle = 1020,
                 .iowait = 55,
                 .irq = 2,
                 .softirq = 3,
                 .steal = 10};
  const auto shares = cpu_between(before, after);
  ASSERT_TRUE(shares);
  EXPECT_DOUBLE_EQ(shares->user, 30);
  EXPECT_DOUBLE_EQ(shares->nice, 10);
  EXPECT_DOUBLE_EQ(shares->system, 25);
  EXPECT_DOUBLE_EQ(shares->idle, 20);
  EXPECT_DOUBLE_EQ(shares->iowait, 5);
  EXPECT_DOUBLE_EQ(shares->steal, 10);
  EXPECT_FALSE(cpu_between(after, after));
  EXPECT_FALSE(cpu_between(after, before));  // Went back: another machine's view.
}

TEST(ProcText, memory) {
  const auto memory = parse_meminfo(meminfo_text);
  ASSERT_TRUE(memory);
  EXPECT_EQ(memory->total_bytes, std::uint64_t{16309672} * 1024);
  EXPECT_EQ(memory->available_bytes, std::uint64_t{9061432} * 1024);
}

TEST(ProcText, memory_without_available_is_what_is_free_or_cached) {
  const auto memory = parse_meminfo(
      "MemTotal:       1000 kB\nMemFree:         100 kB\nBuffers:  20 kB\nCached: 30 kB\n");
  ASSERT_TRUE(memory);
  EXPECT_EQ(memory->available_bytes, 150u * 1024);
  EXPECT_FALSE(parse_meminfo("MemFree: 100 kB\n"));
  EXPECT_FALSE(parse_meminfo("MemTotal: 100 kB\n"));
}

TEST(ProcText, traffic_without_the_loopback) {
  const auto traffic = parse_net_dev(net_dev_text);
  ASSERT_TRUE(traffic);
  EXPECT_EQ(traffic->in_bytes, 1005u);
  EXPECT_EQ(traffic->out_bytes, 2007u);
  const auto alone = parse_net_dev("    lo: 9 1 0 0 0 0 0 0 9 1 0 0 0 0 0 0\n");
  ASSERT_TRUE(alone);
  EXPECT_EQ(alone->in_bytes, 0u);
  EXPECT_FALSE(parse_net_dev("Inter-| Receive\n face |bytes\n"));
}

TEST(ProcText, an_alias_with_a_colon_in_its_name_is_read_from_the_last_colon) {
  const auto traffic = parse_net_dev("eth0:1: 5 1 0 0 0 0 0 0 6 1 0 0 0 0 0 0\n");
  ASSERT_TRUE(traffic);
  EXPECT_EQ(traffic->in_bytes, 5u);
  EXPECT_EQ(traffic->out_bytes, 6u);
}

TEST(ProcText, a_process_whose_name_has_spaces_and_parentheses) {
  const auto stat = parse_process_stat(process_text);
  ASSERT_TRUE(stat);
  EXPECT_EQ(stat->cpu_ticks, 200u);
  EXPECT_EQ(stat->threads, 7u);
  EXPECT_EQ(stat->start_ticks, 8837u);
  EXPECT_EQ(stat->virtual_bytes, 123456789u);
  EXPECT_EQ(stat->resident_pages, 2500u);
  EXPECT_FALSE(parse_process_stat("4242 inlet S 1 2 3"));
  EXPECT_FALSE(parse_process_stat("4242 (inlet) S 1 2 3"));
}

TEST(ProcText, limit_on_open_files) {
  EXPECT_EQ(parse_open_files_limit(limits_text), 1024u);
  EXPECT_FALSE(parse_open_files_limit("Max open files   unlimited  unlimited files\n"));
  EXPECT_FALSE(parse_open_files_limit("Max processes 12 12 processes\n"));
}

TEST(ProcText, control_groups_of_version_2_only) {
  EXPECT_EQ(parse_cgroup("0::/\n"), "/");
  EXPECT_EQ(parse_cgroup("0::/system.slice/docker-abc.scope\n"), "/system.slice/docker-abc.scope");
  EXPECT_EQ(parse_cgroup("12:memory:/docker/x\n0::/y\n"), "/y");  // Both versions mounted.
  EXPECT_FALSE(parse_cgroup("12:memory:/docker/x\n1:name=systemd:/z\n"));
  EXPECT_EQ(parse_bytes("536870912\n"), 536870912u);
  EXPECT_FALSE(parse_bytes("max\n"));
  EXPECT_FALSE(parse_bytes(""));
  EXPECT_EQ(parse_keyed("anon 5\ninactive_file 77\nfile 9\n", "inactive_file"), 77u);
  EXPECT_FALSE(parse_keyed("anon 5\n", "inactive_file"));
  EXPECT_EQ(parse_cpu_max("150000 100000\n"), 1.5);
  EXPECT_FALSE(parse_cpu_max("max 100000\n"));
  EXPECT_FALSE(parse_cpu_max("150000 0\n"));
}

void parse_all(std::string_view text) {
  static_cast<void>(parse_loadavg(text));
  static_cast<void>(parse_stat(text));
  static_cast<void>(parse_meminfo(text));
  static_cast<void>(parse_net_dev(text));
  static_cast<void>(parse_process_stat(text));
  static_cast<void>(parse_open_files_limit(text));
  static_cast<void>(parse_cgroup(text));
  static_cast<void>(parse_bytes(text));
  static_cast<void>(parse_keyed(text, "file"));
  static_cast<void>(parse_cpu_max(text));
}

TEST(ProcText, survives_whatever_a_file_says) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  for (const std::string_view text :
       {stat_text, meminfo_text, net_dev_text, process_text, limits_text}) {
    for (std::size_t length = 0; length <= text.size(); length++) parse_all(text.substr(0, length));
    for (int i = 0; i < 2000; i++) {
      std::string changed(text);
      for (int j = 0; j < 4; j++) changed[random() % changed.size()] = static_cast<char>(random());
      parse_all(changed);
    }
  }
}

}  // namespace
}  // namespace inlet::health
