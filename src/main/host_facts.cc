#include "main/host_facts.h"

#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "base/names.h"

namespace inlet::main {
namespace {

constexpr std::size_t kernel_text_bytes_max = 4096;
constexpr std::uint64_t unlimited_from = std::uint64_t{1} << 60;  // v1 says about 2^63.
constexpr std::size_t name_chars_max = 64;

std::string read_kernel_text(FileSystem& files, const std::string& path) {
  const auto file = files.open(path, {});
  if (!file) return {};
  std::string text(kernel_text_bytes_max, '\0');
  const auto got = (*file)->read_at(std::as_writable_bytes(std::span(text)), 0);
  if (!got) return {};
  text.resize(*got);
  return text;
}

std::optional<std::uint64_t> parse_number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end == text.data()) return std::nullopt;
  return value;
}

// The control group's directory under `controller` ("" for v2), from /proc/self/cgroup.
std::string group_path(std::string_view membership, std::string_view controller) {
  while (!membership.empty()) {
    const std::string_view line = membership.substr(0, membership.find('\n'));
    membership.remove_prefix(std::min(membership.size(), line.size() + 1));
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (first == std::string_view::npos || second == std::string_view::npos) continue;
    const std::string_view names = line.substr(first + 1, second - first - 1);
    if (names == controller) return std::string(line.substr(second + 1));
  }
  return "/";
}

// Of the group's own file and that at the root of the mount, which is ours inside a container.
template <typename Parse>
auto lowest_limit(FileSystem& files, const std::string& mount, const std::string& group,
                  const std::string& name, Parse parse) {
  auto limit = parse(read_kernel_text(files, mount + "/" + name));
  const auto own = parse(read_kernel_text(files, mount + group + "/" + name));
  if (own && (!limit || *own < *limit)) limit = own;
  return limit;
}

std::uint32_t cores_allowed() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return static_cast<std::uint32_t>(std::max(1, CPU_COUNT(&set)));
}

}  // namespace

HostFacts read_host_facts(FileSystem& files) {
  HostFacts facts;
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) == 0) facts.host_name = name.data();

  const std::string membership = read_kernel_text(files, "/proc/self/cgroup");
  const std::string group = group_path(membership, "");
  const std::string mount = "/sys/fs/cgroup";
  facts.memory_limit_bytes = lowest_limit(files, mount, group, "memory.max", parse_memory_limit);
  if (!facts.memory_limit_bytes) {
    facts.memory_limit_bytes =
        lowest_limit(files, mount + "/memory", group_path(membership, "memory"),
                     "memory.limit_in_bytes", parse_memory_limit);
  }
  const auto paid = lowest_limit(files, mount, group, "cpu.max", parse_cpu_limit);
  facts.cores = cores_allowed();
  if (paid) facts.cores = std::min(facts.cores, *paid);

  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) facts.descriptors_max = limit.rlim_max;
  return facts;
}

std::optional<std::uint64_t> parse_memory_limit(std::string_view text) {
  const auto bytes = parse_number(text);
  if (!bytes || *bytes >= unlimited_from) return std::nullopt;
  return bytes;
}

std::optional<std::uint32_t> parse_cpu_limit(std::string_view text) {
  const auto quota_us = parse_number(text);
  const std::size_t space = text.find(' ');
  if (!quota_us || space == std::string_view::npos) return std::nullopt;
  const auto period_us = parse_number(text.substr(space + 1));
  if (!period_us || *period_us == 0) return std::nullopt;
  const std::uint64_t cores = (*quota_us + *period_us - 1) / *period_us;
  return static_cast<std::uint32_t>(std::clamp<std::uint64_t>(cores, 1, 1U << 16));
}

std::string node_name(std::string_view host_name) {
  std::string name;
  for (char c : host_name) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    const bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    if (name.empty() && !plain) continue;
    name += plain || c == '.' || c == '_' ? c : '-';
    if (name.size() == name_chars_max) break;
  }
  return is_name(name) ? name : "node";
}

}  // namespace inlet::main
