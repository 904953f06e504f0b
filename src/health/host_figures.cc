#include "health/host_figures.h"

#include <unistd.h>

#include <algorithm>
#include <span>

namespace inlet::health {
namespace {

constexpr int looks_per_listing = 60;

double ticks_per_second() {
  const long ticks = ::sysconf(_SC_CLK_TCK);
  return ticks > 0 ? static_cast<double>(ticks) : 100;
}

std::uint64_t page_bytes() {
  const long bytes = ::sysconf(_SC_PAGESIZE);
  return bytes > 0 ? static_cast<std::uint64_t>(bytes) : 4096;
}

std::optional<double> percent_of(std::uint64_t part, std::uint64_t whole) {
  if (whole == 0) return std::nullopt;
  return 100 * static_cast<double>(part) / static_cast<double>(whole);
}

}  // namespace

std::optional<double> HostFigures::memory_used_percent() const {
  if (group_memory_max_bytes && group_memory_used_bytes) {
    return percent_of(*group_memory_used_bytes, *group_memory_max_bytes);
  }
  if (!memory) return std::nullopt;
  return percent_of(memory->total_bytes - memory->available_bytes, memory->total_bytes);
}

std::optional<double> HostFigures::disk_used_percent() const {
  if (!disk) return std::nullopt;
  return percent_of(disk->total_bytes - std::min(disk->total_bytes, disk->free_bytes),
                    disk->total_bytes);
}

std::string HostReader::text_of(const std::string& path) {
  const auto file = files_.open(path, {});
  if (!file) return {};
  std::string text(proc_text_bytes_max, '\0');
  const auto got = (*file)->read_at(std::as_writable_bytes(std::span(text)), 0);
  text.resize(got ? *got : 0);
  // A line cut off by our own bound would read as another number.
  if (text.size() == proc_text_bytes_max) text.resize(text.rfind('\n') + 1);
  return text;
}

HostFigures HostReader::look() {
  HostFigures out;
  out.load = parse_loadavg(text_of(paths_.proc + "/loadavg"));
  out.memory = parse_meminfo(text_of(paths_.proc + "/meminfo"));
  out.network = parse_net_dev(text_of(paths_.proc + "/net/dev"));
  std::optional<std::uint64_t> boot_s;
  if (const auto stat = parse_stat(text_of(paths_.proc + "/stat"))) {
    if (before_) out.cpu = cpu_between(*before_, stat->ticks);
    before_ = stat->ticks;
    boot_s = stat->boot_s;
  }
  if (const auto space = files_.space(paths_.disk)) out.disk = *space;
  look_at_group(out);
  out.process = process(boot_s);
  return out;
}

ProcessFigures HostReader::process(std::optional<std::uint64_t> boot_s) {
  ProcessFigures out;
  const std::string self = paths_.proc + "/self";
  if (const auto stat = parse_process_stat(text_of(self + "/stat"))) {
    out.cpu_seconds = static_cast<double>(stat->cpu_ticks) / ticks_per_second();
    out.threads = stat->threads;
    out.virtual_bytes = stat->virtual_bytes;
    out.resident_bytes = stat->resident_pages * page_bytes();
    if (boot_s) {
      out.start_s = static_cast<double>(*boot_s) +
                    static_cast<double>(stat->start_ticks) / ticks_per_second();
    }
  }
  out.descriptors_max = parse_open_files_limit(text_of(self + "/limits"));
  out.open_descriptors = open_descriptors(self + "/fd");
  return out;
}

// Listing them takes a microsecond each, in one go and on a processor that answers requests: where
// the directory does not tell its size (before Linux 6.2), only now and then.
std::optional<std::uint64_t> HostReader::open_descriptors(const std::string& path) {
  const auto directory = files_.open(path, {});
  if (!directory) return std::nullopt;
  const auto count = (*directory)->size();
  if (count && *count > 0) return *count - 1;  // One is our own.
  if (listed_ && looks_since_listed_++ < looks_per_listing) return listed_;
  looks_since_listed_ = 0;
  const auto names = files_.list(path);
  listed_ = names && names->size() > 2 ? std::optional(names->size() - 2) : std::nullopt;
  return listed_;
}

// Inside a container our group is the root of what is mounted; outside it has a path.
void HostReader::look_at_group(HostFigures& out) {
  const auto group = parse_cgroup(text_of(paths_.proc + "/self/cgroup"));
  for (const std::string& path : {paths_.cgroup + group.value_or("/"), paths_.cgroup}) {
    if (!out.group_memory_max_bytes) {
      out.group_memory_max_bytes = parse_bytes(text_of(path + "/memory.max"));
      const auto used = parse_bytes(text_of(path + "/memory.current"));
      const auto droppable = parse_keyed(text_of(path + "/memory.stat"), "inactive_file");
      if (out.group_memory_max_bytes && used) {
        out.group_memory_used_bytes = *used - std::min(*used, droppable.value_or(0));
      }
    }
    if (!out.group_cpus) out.group_cpus = parse_cpu_max(text_of(path + "/cpu.max"));
  }
}

}  // namespace inlet::health
