#include "main/handover.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>

namespace inlet::main {
namespace {

constexpr std::string_view title = "inlet-handover";
constexpr std::size_t handover_bytes_max = 64U << 10;

std::unexpected<Error> os_error(const char* call) {
  const int os = errno;
  return fail(ErrorKind::retry, fmt::format("{}: {}", call, std::strerror(os)), os);
}

std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  while (!line.empty()) {
    words.push_back(line.substr(0, line.find(' ')));
    line.remove_prefix(std::min(line.size(), words.back().size() + 1));
  }
  return words;
}

template <typename Number>
Number number(std::string_view text) {
  Number value = 0;
  (void)std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

void take_line(Handover& out, const std::vector<std::string_view>& words) {
  const std::string_view key = words.empty() ? std::string_view() : words.front();
  if (words.size() == 2) {
    if (key == "upgrades") out.upgrades = number<std::uint64_t>(words[1]);
    if (key == "lock") out.lock = number<int>(words[1]);
    if (key == "notifications") out.notifications = number<int>(words[1]);
    if (key == "configuration") out.configuration = number<int>(words[1]);
  }
  if (key == "socket" && words.size() == 3) {
    out.sockets.push_back({std::string(words[1]), number<int>(words[2])});
  }
  if (key == "process" && words.size() == 5) {
    out.processes.push_back({std::string(words[1]), number<pid_t>(words[2]),
                             number<Microseconds>(words[3]), number<std::uint64_t>(words[4])});
  }
  if (key == "upgrade" && words.size() == 4) {
    out.upgrade.id = number<Microseconds>(words[1]);
    out.upgrade.from = words[2];
    out.upgrade.to = words[3];
  }
}

std::vector<int> descriptors(const Handover& handover) {
  std::vector<int> out = {handover.lock, handover.notifications};
  if (handover.configuration >= 0) out.push_back(handover.configuration);
  for (const Handover::Socket& socket : handover.sockets) out.push_back(socket.fd);
  return out;
}

}  // namespace

std::string encode_handover(const Handover& handover) {
  std::string out = fmt::format("{} {}\n", title, handover_version);
  out += fmt::format("lock {}\nnotifications {}\nconfiguration {}\n", handover.lock,
                     handover.notifications, handover.configuration);
  for (const Handover::Socket& socket : handover.sockets) {
    out += fmt::format("socket {} {}\n", socket.name, socket.fd);
  }
  for (const Handover::Process& process : handover.processes) {
    out += fmt::format("process {} {} {} {}\n", process.name, process.pid, process.started_us,
                       process.restarts);
  }
  const UpgradeNote& upgrade = handover.upgrade;
  out += fmt::format("upgrade {} {} {}\n", upgrade.id, upgrade.from, upgrade.to);
  out += fmt::format("upgrades {}\n", handover.upgrades);
  return out;
}

Result<Handover> decode_handover(std::string_view text) {
  const std::string first = fmt::format("{} {}\n", title, handover_version);
  if (!text.starts_with(first)) {
    return fail(ErrorKind::reject, "what the supervisor before left is of another version");
  }
  Handover handover;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    take_line(handover, words_of(line));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
  }
  const auto missing = [](int fd) { return fd < 0; };
  if (std::ranges::any_of(descriptors(handover), missing)) {
    return fail(ErrorKind::reject, "what the supervisor before left is incomplete");
  }
  return handover;
}

Result<Descriptor> leave_handover(const Handover& handover) {
  Descriptor file(::memfd_create("inlet-handover", 0));
  if (!file) return os_error("make a file in memory");
  const std::string text = encode_handover(handover);
  const ssize_t put = ::write(file.get(), text.data(), text.size());
  if (put != static_cast<ssize_t>(text.size())) return os_error("write to a file in memory");
  for (const int fd : descriptors(handover)) {
    if (::fcntl(fd, F_SETFD, 0) != 0) return os_error("keep a descriptor over exec");
  }
  return file;
}

void withdraw_handover(const Handover& handover) {
  for (const int fd : descriptors(handover)) (void)::fcntl(fd, F_SETFD, FD_CLOEXEC);
}

Result<Handover> take_handover(int fd) {
  const Descriptor file(fd);
  std::string text(handover_bytes_max, '\0');
  const ssize_t got = ::pread(file.get(), text.data(), text.size(), 0);
  if (got < 0) return os_error("read what the supervisor before left");
  text.resize(static_cast<std::size_t>(got));
  auto handover = decode_handover(text);
  if (!handover) return handover;
  for (const int kept : descriptors(*handover)) {
    if (::fcntl(kept, F_SETFD, FD_CLOEXEC) != 0) return os_error("take a descriptor over");
  }
  return handover;
}

}  // namespace inlet::main
