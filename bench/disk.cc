// The disk alone, as the journal uses it: one O_DIRECT, RWF_DSYNC write after the other into a
// zero-filled file. Prints p50, p99 and p99.9 for each size as JSON.
//
//   bench_disk FILE SECONDS_PER_SIZE

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "base/check.h"

namespace {

constexpr std::size_t file_bytes = 256U << 20;
constexpr std::size_t size_max_bytes = 1U << 20;
constexpr std::size_t sizes_bytes[] = {4U << 10, 16U << 10, 64U << 10, 256U << 10, 1U << 20};

using SteadyClock = std::chrono::steady_clock;

double quantile_us(const std::vector<double>& sorted, double quantile) {
  const auto rank = static_cast<std::size_t>(quantile * static_cast<double>(sorted.size()));
  return sorted[std::min(rank, sorted.size() - 1)];
}

void measure(int file, std::byte* block, std::size_t size_bytes, double seconds) {
  std::vector<double> taken_us;
  std::uint64_t offset = 0;
  const auto start = SteadyClock::now();
  auto before = start;
  while (std::chrono::duration<double>(before - start).count() < seconds) {
    const iovec part{block, size_bytes};
    CHECK(::pwritev2(file, &part, 1, static_cast<off_t>(offset), RWF_DSYNC) ==
          static_cast<ssize_t>(size_bytes));
    const auto after = SteadyClock::now();
    taken_us.push_back(std::chrono::duration<double, std::micro>(after - before).count());
    before = after;
    offset = (offset + size_bytes) % file_bytes;
  }
  std::sort(taken_us.begin(), taken_us.end());
  const double megabytes = static_cast<double>(size_bytes * taken_us.size()) / 1e6;
  std::printf(
      "{\"bytes\":%zu,\"writes\":%zu,\"p50_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f,"
      "\"mb_per_s\":%.1f}",
      size_bytes, taken_us.size(), quantile_us(taken_us, 0.5), quantile_us(taken_us, 0.99),
      quantile_us(taken_us, 0.999), megabytes / seconds);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: bench_disk FILE SECONDS_PER_SIZE\n");
    return 2;
  }
  const int file = ::open(argv[1], O_RDWR | O_CREAT | O_TRUNC | O_DIRECT | O_CLOEXEC, 0600);
  CHECK(file >= 0);
  auto* const block = static_cast<std::byte*>(std::aligned_alloc(4096, size_max_bytes));
  CHECK(block != nullptr);
  std::memset(block, 0, size_max_bytes);
  for (std::size_t at = 0; at < file_bytes; at += size_max_bytes) {
    CHECK(::pwrite(file, block, size_max_bytes, static_cast<off_t>(at)) ==
          static_cast<ssize_t>(size_max_bytes));
  }
  CHECK(::fsync(file) == 0);
  std::memset(block, 'x', size_max_bytes);
  const char* before = "[";
  for (const std::size_t size_bytes : sizes_bytes) {
    std::printf("%s", before);
    measure(file, block, size_bytes, std::atof(argv[2]));
    before = ",";
  }
  std::printf("]\n");
  std::free(block);
  ::close(file);
  return 0;
}
