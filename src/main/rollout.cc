#include "main/rollout.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <utility>

#include "base/check.h"
#include "base/log.h"

namespace inlet::main {
namespace {

constexpr std::size_t output_chars_max = 4096;  // Of a test; the rest is read and dropped.
constexpr std::string_view serve_name = "serve";

// "inlet 0.2.0" of the first line as "0.2.0"; "" if it is no such line.
std::string version_in(std::string_view said) {
  static constexpr std::string_view beginning = "inlet ";
  if (!said.starts_with(beginning)) return "";
  said.remove_prefix(beginning.size());
  const std::string version(said.substr(0, said.find('\n')));
  return version.find(' ') == std::string::npos ? version : "";
}

std::string last_line(std::string_view said) {
  while (!said.empty() && said.back() == '\n') said.remove_suffix(1);
  const std::size_t end = said.rfind('\n');
  return std::string(end == std::string_view::npos ? said : said.substr(end + 1));
}

}  // namespace

Rollout::Rollout(Replace replace, RolloutLimits limits)
    : replace_(std::move(replace)), limits_(limits) {}

Rollout::~Rollout() { end_tests(); }

void Rollout::begin(Microseconds id, const std::string& version, std::vector<Command> tests,
                    std::vector<Member> children, Microseconds now_us) {
  CHECK(stage_ == Stage::idle && !tests.empty());
  note_ = {.id = id, .stage = "testing", .outcome = "", .from = version, .to = "", .why = ""};
  stage_ = Stage::testing;
  tests_ = std::move(tests);
  test_ = 0;
  children_ = std::move(children);
  replaced_ = 0;
  started_ = false;
  tests_end_us_ = now_us + limits_.test_us;
  start_test();
}

void Rollout::refuse(Microseconds id, const std::string& version, const std::string& why) {
  note_ = {.id = id, .stage = "", .outcome = "", .from = version, .to = "", .why = ""};
  finish("refused", why);
}

void Rollout::start_test() {
  said_.clear();
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return finish("refused", "no pipe is left");
  output_ = Descriptor(ends[0]);
  const Descriptor put(ends[1]);
  (void)::fcntl(ends[0], F_SETFL, O_NONBLOCK);
  const auto pid = spawn(tests_[test_], {.listeners = {}, .notify_socket = "", .output = ends[1]});
  if (!pid) return finish("refused", pid.error().what);
  test_pid_ = *pid;
  due_us_ = tests_end_us_;
  log_info("run", "upgrade: testing", {{"program", tests_[test_].path}});
}

void Rollout::read_output() {
  std::array<char, 1024> piece{};
  ssize_t got = 0;
  while ((got = ::read(output_.get(), piece.data(), piece.size())) > 0) {
    const auto room = output_chars_max - said_.size();
    said_.append(piece.data(), std::min(room, static_cast<std::size_t>(got)));
  }
}

bool Rollout::on_exit(pid_t pid, int wait_status) {
  if (pid != test_pid_ || pid == 0) return false;
  test_pid_ = 0;
  read_output();
  output_ = Descriptor();
  if (stage_ == Stage::testing) judge_test(wait_status);
  return true;
}

void Rollout::judge_test(int wait_status) {
  const std::string& path = tests_[test_].path;
  if (wait_status != 0) {
    const std::string said = last_line(said_);
    return finish("refused", fmt::format("{} ended with {}{}{}", path, describe_status(wait_status),
                                         said.empty() ? "" : ": ", said));
  }
  const std::string version = version_in(said_);
  if (version.empty()) return finish("refused", path + " does not say its version");
  if (test_ > 0 && version != note_.to) {
    return finish("refused", fmt::format("{} has version {}, {} has {}", tests_.front().path,
                                         note_.to, path, version));
  }
  note_.to = version;
  if (++test_ < tests_.size()) return start_test();
  stage_ = Stage::replacing;
  replace_next();
}

void Rollout::replace_next() {
  due_us_ = never;
  started_ = false;
  if (replaced_ == children_.size()) {
    stage_ = Stage::proven;
    note_.stage = "supervisor";
    return;
  }
  note_.stage = children_[replaced_].name;
  replace_(children_[replaced_].name, Edition::candidate);
}

void Rollout::on_started(const std::string& child, Edition edition, Microseconds now_us) {
  if (stage_ == Stage::returning && child == serve_name && !std::exchange(started_, true)) {
    due_us_ = now_us + limits_.ready_us;
  }
  if (stage_ != Stage::replacing || edition != Edition::candidate) return;
  const Member& member = children_[replaced_];
  if (child != member.name) return;
  started_ = true;
  due_us_ = now_us;
  if (member.settled) due_us_ += child == serve_name ? limits_.ready_us : limits_.ship_trial_us;
}

void Rollout::on_ended(const std::string& child, Edition edition, const std::string& how) {
  if (stage_ != Stage::replacing || edition != Edition::candidate) return;
  const auto member = std::ranges::find(children_, child, &Member::name);
  if (member == children_.end()) return;
  const bool running = member->name != children_[replaced_].name || started_;
  if (!member->settled && running) return;
  fail(fmt::format("{} of version {} ended with {}", child, note_.to, how));
}

void Rollout::on_ready() {
  if (!started_) return;
  if (stage_ == Stage::returning) return finish("returned", note_.why);
  if (stage_ != Stage::replacing || children_[replaced_].name != serve_name) return;
  replaced_++;
  replace_next();
}

void Rollout::turn(Microseconds now_us) {
  if (stage_ == Stage::testing) read_output();  // So that a test is not held up by a full pipe.
  if (now_us < due_us_) return;
  due_us_ = never;
  if (stage_ == Stage::testing) {
    return finish("refused", fmt::format("{} did not end its test within {} s", tests_[test_].path,
                                         limits_.test_us / 1'000'000));
  }
  if (stage_ == Stage::returning) return finish("returned", note_.why);
  if (stage_ != Stage::replacing) return;
  if (children_[replaced_].name == serve_name) {
    return fail(fmt::format("serve of version {} was not ready within {} s", note_.to,
                            limits_.ready_us / 1'000'000));
  }
  replaced_++;
  replace_next();
}

void Rollout::fail(const std::string& why) {
  CHECK(stage_ == Stage::replacing || stage_ == Stage::proven);
  log_error("run", "upgrade: going back", {{"why", why}});
  const std::size_t touched = stage_ == Stage::proven ? children_.size() : replaced_ + 1;
  stage_ = Stage::returning;
  note_.stage = "returning";
  note_.why = why;
  due_us_ = never;  // Until serve is started.
  started_ = false;
  for (std::size_t i = 0; i < touched; i++) replace_(children_[i].name, Edition::running);
}

void Rollout::interrupt(const std::string& why) {
  if (stage_ != Stage::idle) finish("interrupted", why);
}

void Rollout::end_tests() {
  output_ = Descriptor();
  if (test_pid_ == 0) return;
  ::kill(-test_pid_, SIGKILL);  // And what it started.
  ::waitpid(test_pid_, nullptr, 0);
  test_pid_ = 0;
}

void Rollout::finish(const std::string& outcome, const std::string& why) {
  end_tests();
  log_line(LogLevel::warn, "run", "upgrade: over", {{"outcome", outcome}, {"why", why}});
  stage_ = Stage::idle;
  due_us_ = never;
  note_.stage.clear();
  note_.outcome = outcome;
  note_.why = why;
}

}  // namespace inlet::main
