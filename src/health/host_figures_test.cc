// Goal: all figures of the host come together, and what is missing is absent and no error.
// Method: a tree of recorded files on a real disk; this machine's own /proc; nothing at all.

#include "health/host_figures.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/directory_test.h"
#include "base/posix_file.h"

namespace inlet::health {
namespace {

class HostFiguresTest : public testing::Test {
 protected:
  HostFiguresTest() : root_(make_test_directory("host_figures")) {
    paths_ = {.disk = root_, .proc = root_ + "/proc", .cgroup = root_ + "/cgroup"};
  }
  ~HostFiguresTest() override { std::filesystem::remove_all(root_); }

  void put(const std::string& path, const std::string& text) {
    const std::filesystem::path whole = root_ + "/" + path;
    std::filesystem::create_directories(whole.parent_path());
    std::ofstream(whole) << text;
  }

  std::string root_;
  HostPaths paths_;
  PosixFileSystem files_;
};

TEST_F(HostFiguresTest, nothing_to_read_is_nothing_known) {
  HostReader reader(files_, {.disk = root_ + "/x", .proc = root_ + "/x", .cgroup = root_ + "/x"});
  const HostFigures figures = reader.look();
  EXPECT_FALSE(figures.load || figures.cpu || figures.memory || figures.network || figures.disk);
  EXPECT_FALSE(figures.group_memory_max_bytes || figures.group_memory_used_bytes);
  EXPECT_FALSE(figures.group_cpus || figures.process.cpu_seconds || figures.process.start_s);
  EXPECT_FALSE(figures.process.open_descriptors || figures.process.descriptors_max);
  EXPECT_FALSE(figures.memory_used_percent() || figures.disk_used_percent());
}

TEST_F(HostFiguresTest, the_share_of_the_processors_is_between_two_looks) {
  put("proc/stat", "cpu  100 0 0 900 0 0 0 0\nbtime 1790000000\n");
  HostReader reader(files_, paths_);
  EXPECT_FALSE(reader.look().cpu);
  put("proc/stat", "cpu  130 0 0 970 0 0 0 0\nbtime 1790000000\n");
  const HostFigures figures = reader.look();
  ASSERT_TRUE(figures.cpu);
  EXPECT_DOUBLE_EQ(figures.cpu->user, 30);
  EXPECT_DOUBLE_EQ(figures.cpu->idle, 70);
}

TEST_F(HostFiguresTest, a_container_is_measured_against_its_own_limit_without_droppable_pages) {
  put("proc/meminfo", "MemTotal: 4000 kB\nMemAvailable: 1000 kB\n");
  HostReader reader(files_, paths_);
  EXPECT_DOUBLE_EQ(reader.look().memory_used_percent().value(), 75);
  put("cgroup/memory.max", "1000000\n");
  put("cgroup/memory.current", "900000\n");
  put("cgroup/memory.stat", "anon 1\ninactive_file 400000\n");
  put("cgroup/cpu.max", "50000 100000\n");
  const HostFigures figures = reader.look();
  EXPECT_EQ(figures.group_memory_used_bytes, 500000u);
  EXPECT_DOUBLE_EQ(figures.memory_used_percent().value(), 50);
  EXPECT_DOUBLE_EQ(figures.group_cpus.value(), 0.5);
}

TEST_F(HostFiguresTest, outside_a_container_the_group_has_a_path) {
  put("proc/self/cgroup", "0::/system.slice/inlet.service\n");
  put("cgroup/system.slice/inlet.service/memory.max", "2000\n");
  put("cgroup/system.slice/inlet.service/memory.current", "500\n");
  const HostFigures figures = HostReader(files_, paths_).look();
  EXPECT_EQ(figures.group_memory_max_bytes, 2000u);
  EXPECT_EQ(figures.group_memory_used_bytes, 500u);
}

TEST_F(HostFiguresTest, a_file_longer_than_we_read_is_cut_between_lines) {
  std::string text;
  for (int i = 0; text.size() < 2 * proc_text_bytes_max; i++) {
    text += "eth" + std::to_string(i) + ": 1 0 0 0 0 0 0 0 1 0 0 0 0 0 0 0\n";
  }
  put("proc/net/dev", text);
  const HostFigures figures = HostReader(files_, paths_).look();
  ASSERT_TRUE(figures.network);
  EXPECT_EQ(figures.network->in_bytes, figures.network->out_bytes);
  EXPECT_GT(figures.network->in_bytes, 1000u);
}

TEST_F(HostFiguresTest, this_machine_and_this_process_can_be_read) {
  HostReader reader(files_, {.disk = root_});
  const HostFigures figures = reader.look();
  ASSERT_TRUE(figures.load && figures.memory && figures.network && figures.disk);
  EXPECT_GT(figures.memory->total_bytes, figures.memory->available_bytes);
  EXPECT_GT(figures.disk->total_bytes, 0u);
  const ProcessFigures& process = figures.process;
  EXPECT_GT(process.resident_bytes.value_or(0), 1U << 20);
  EXPECT_GT(process.virtual_bytes.value_or(0), process.resident_bytes.value_or(0));
  EXPECT_GT(process.start_s.value_or(0), 1.7e9);
  EXPECT_EQ(process.threads, 1u);
  EXPECT_GE(process.open_descriptors.value_or(0), 3u);
  const std::uint64_t before = *process.open_descriptors;
  const auto one_more = files_.open("/proc/self/stat", {});
  ASSERT_TRUE(one_more);
  EXPECT_EQ(HostReader(files_, {.disk = root_}).look().process.open_descriptors, before + 1);
}

}  // namespace
}  // namespace inlet::health
