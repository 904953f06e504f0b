#include "main/node_state.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>
#include <span>

#include "main/data_lock.h"

namespace inlet::main {
namespace {

constexpr std::size_t state_bytes_max = 64U << 10;

template <typename Number>
Number number(std::string_view text) {
  Number value = 0;
  (void)std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

void add_line(std::string& out, std::string_view key, std::string_view value) {
  std::string line(value);
  std::ranges::replace(line, '\n', ' ');
  out += fmt::format("{} {}\n", key, line);
}

void take_line(NodeState& state, std::string_view key, std::string_view value) {
  if (key == "pid") state.pid = number<long>(value);
  if (key == "version") state.version = value;
  if (key == "phase") state.phase = value;
  if (key == "journal") state.journal = value;
  if (key == "sink") state.sinks.emplace_back(value);
  if (key == "upgrade") state.upgrade.id = number<Microseconds>(value);
  if (key == "upgrade_stage") state.upgrade.stage = value;
  if (key == "upgrade_outcome") state.upgrade.outcome = value;
  if (key == "upgrade_from") state.upgrade.from = value;
  if (key == "upgrade_to") state.upgrade.to = value;
  if (key == "upgrade_why") state.upgrade.why = value;
}

}  // namespace

std::string encode_node_state(const NodeState& state) {
  std::string out;
  add_line(out, "pid", std::to_string(state.pid));
  add_line(out, "version", state.version);
  add_line(out, "phase", state.phase);
  add_line(out, "journal", state.journal);
  for (const std::string& sink : state.sinks) add_line(out, "sink", sink);
  const UpgradeNote& upgrade = state.upgrade;
  if (upgrade.id == 0) return out;
  add_line(out, "upgrade", std::to_string(upgrade.id));
  add_line(out, "upgrade_stage", upgrade.stage);
  add_line(out, "upgrade_outcome", upgrade.outcome);
  add_line(out, "upgrade_from", upgrade.from);
  add_line(out, "upgrade_to", upgrade.to);
  add_line(out, "upgrade_why", upgrade.why);
  return out;
}

NodeState decode_node_state(std::string_view text) {
  NodeState state;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    const std::size_t space = std::min(line.find(' '), line.size());
    take_line(state, line.substr(0, space), line.substr(std::min(line.size(), space + 1)));
  }
  return state;
}

Result<NodeState> read_node_state(FileSystem& files, const std::string& data) {
  const auto owner = owner_of_data(data);
  if (!owner) return fail(owner);
  if (*owner == 0) return fail(ErrorKind::reject, fmt::format("no node runs in {}", data));
  const auto file = files.open(fmt::format("{}/{}", data, node_state_file), {});
  if (!file) {
    return fail(ErrorKind::reject,
                fmt::format("process {} holds {} and says nothing about itself: {}", *owner, data,
                            file.error().what));
  }
  std::string text(state_bytes_max, '\0');
  const auto got = (*file)->read_at(std::as_writable_bytes(std::span(text)), 0);
  if (!got) return fail(got);
  text.resize(*got);
  NodeState state = decode_node_state(text);
  if (state.pid == *owner) return state;
  return fail(ErrorKind::retry,
              fmt::format("process {} holds {} and has not said who it is", *owner, data));
}

Status ask_node(const NodeState& node, Wish wish) {
  const sigval value{.sival_int = static_cast<int>(wish)};
  if (::sigqueue(static_cast<pid_t>(node.pid), SIGUSR2, value) == 0) return {};
  const int os = errno;
  return fail(ErrorKind::reject,
              fmt::format("cannot ask process {}: {}", node.pid, std::strerror(os)), os);
}

}  // namespace inlet::main
