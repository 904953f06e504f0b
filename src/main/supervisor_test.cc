// Goal: a real supervisor starts again what dies and ends its processes in the right order.
// Method: the supervisor runs in a child of the test, over shell scripts in place of serve and ship
// that append what happens to them to one file.

#include "main/supervisor.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/directory_test.h"
#include "base/posix_file.h"

namespace inlet::main {
namespace {

constexpr Microseconds patience_us = 20'000'000;
constexpr Microseconds look_us = 10'000;

class SupervisorTest : public testing::Test {
 protected:
  SupervisorTest() {
    config_.data = make_test_directory("supervisor_test");
    config_.server.listen = {"127.0.0.1", 0};
    config_.server.flush_deadline_us = patience_us;
    config_.sinks = {SinkConfig{.name = "archive"}};
  }
  ~SupervisorTest() override {
    if (supervisor_ > 0) {
      ::kill(supervisor_, SIGKILL);
      ::waitpid(supervisor_, nullptr, 0);
    }
    std::filesystem::remove_all(config_.data);
  }

  // A script that notes its start, then each signal of `exits` ("TERM 0", "INT 3") before it exits.
  [[nodiscard]] Command script(const std::string& name,
                               const std::vector<std::string>& exits) const {
    std::string text = "say() { echo \"" + name + " $1\" >> " + config_.data + "/events; }\n";
    for (const std::string& exit : exits) {
      const std::string signal = exit.substr(0, exit.find(' '));
      text += "trap 'say " + signal + "; exit" + exit.substr(exit.find(' ')) + "' " + signal + "\n";
    }
    text += "say start$1\nwhile :; do sleep 0.02; done\n";
    return {"/bin/sh", name, {"-c", text, name}};
  }

  // The candidate notes its start as "NAME start_new", and first does what new_serve_ says.
  [[nodiscard]] Command of_edition(Command command, Edition edition) const {
    if (edition == Edition::running) return command;
    if (command.name == "serve") {
      std::string& script = command.arguments[1];
      script.insert(script.find('\n') + 1, new_serve_);
    }
    command.arguments.emplace_back("_new");
    return command;
  }

  // In place of another program: notes what it was given, and fails if it is to.
  [[nodiscard]] Error become(const Handover& handover) const {
    std::ofstream(config_.data + "/handover") << encode_handover(handover);
    if (becomes_) ::_exit(0);
    return {ErrorKind::retry, "no exec today"};
  }

  void supervise(const Command& serve, const Command& ship) {
    supervisor_ = ::fork();
    if (supervisor_ != 0) return;
    PosixFileSystem files;
    SystemClock clock;
    auto listener = open_listener(ingest_listener, config_.server.listen);
    std::vector<Listener> listeners;
    if (listener) listeners.push_back(std::move(*listener));
    Supervisor supervisor({.files = files,
                           .clock = clock,
                           .serve = [&](Edition edition) { return of_edition(serve, edition); },
                           .ship =
                               [&](Edition edition, const std::string&, bool drain) {
                                 Command command = of_edition(ship, edition);
                                 if (drain) command.arguments.emplace_back("_to_drain");
                                 return command;
                               },
                           .logs =
                               [&](Edition edition, bool drain) {
                                 Command command = of_edition(logs_, edition);
                                 if (drain) command.arguments.emplace_back("_to_drain");
                                 return command;
                               },
                           .tests = [&] { return tests_; },
                           .become = [&](const Handover& handover) { return become(handover); },
                           .load = [&] { return loaded(); },
                           .adopt = [](const Loaded&) { return Status(); },
                           .ready = [](const std::vector<Listener>&) {}},
                          config_, std::move(listeners), limits_);
    const Status done = supervisor.run();
    ::_exit(done ? 0 : 1);
  }

  // What SIGHUP loads: the first configuration with the sinks named in the file "sinks".
  [[nodiscard]] Loaded loaded() const {
    Loaded loaded;
    loaded.config = config_;
    loaded.config.sinks.clear();
    std::ifstream in(config_.data + "/sinks");
    for (std::string name; in >> name;) loaded.config.sinks.push_back({.name = name});
    if (loaded.config.sinks.empty()) loaded.mistakes.emplace_back("no sinks");
    return loaded;
  }

  [[nodiscard]] std::string text_of(const std::string& name) const {
    std::ostringstream out;
    out << std::ifstream(config_.data + "/" + name).rdbuf();
    return out.str();
  }
  [[nodiscard]] std::string events() const { return text_of("events"); }
  [[nodiscard]] std::size_t count(const std::string& text) const {
    const std::string all = events();
    std::size_t found = 0;
    for (std::size_t at = all.find(text); at != std::string::npos; at = all.find(text, at + 1)) {
      found++;
    }
    return found;
  }
  [[nodiscard]] UpgradeNote upgrade() const {
    return decode_node_state(text_of("run.state")).upgrade;
  }

  // The pid run.json gives for a child; 0: none.
  [[nodiscard]] pid_t pid_of(const std::string& child) const {
    const std::string state = text_of("run.json");
    const std::string key = "\"" + child + "\":";
    const std::size_t at = state.find(key, state.find("\"children\""));
    if (at == std::string::npos || at > state.find("\"restarts\"")) return 0;
    return static_cast<pid_t>(std::strtol(state.c_str() + at + key.size(), nullptr, 10));
  }

  template <typename Condition>
  [[nodiscard]] bool eventually(Condition condition) {
    const Microseconds until_us = clock_.steady_us() + patience_us;
    while (!condition()) {
      if (clock_.steady_us() > until_us) return false;
      clock_.sleep(look_us);
    }
    return true;
  }
  [[nodiscard]] bool eventually_says(const std::string& text) {
    return eventually([&] { return events().find(text) != std::string::npos; });
  }

  // A child speaks as soon as it runs; run.json names it when all of them were started.
  bool all_started() {
    return eventually_says("ship start") && eventually_says("serve start") &&
           eventually([&] { return pid_of("serve") != 0 && pid_of("ship-archive") != 0; });
  }

  // The supervisor's exit code; -1 if it did not exit.
  int end_of_supervisor() {
    int status = 0;
    const bool ended =
        eventually([&] { return ::waitpid(supervisor_, &status, WNOHANG) == supervisor_; });
    if (!ended) return -1;
    supervisor_ = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  // With an archive of logs.
  void archive_logs_by(const Command& logs) {
    config_.log.archive = std::string("kept");
    logs_ = logs;
  }

  SystemClock clock_;
  Config config_;
  Command logs_;
  std::vector<Command> tests_ = {{"/bin/echo", "echo", {"inlet 9.9.9"}}};
  std::string new_serve_;  // What the candidate's script does first.
  bool becomes_ = true;
  RolloutLimits limits_{.ship_trial_us = 200'000};
  pid_t supervisor_ = 0;
};

TEST_F(SupervisorTest, a_terminated_supervisor_ends_serve_first_and_ships_after_it) {
  supervise(script("serve", {"TERM 0"}), script("ship", {"TERM 0"}));
  ASSERT_TRUE(all_started());
  ::kill(supervisor_, SIGTERM);
  EXPECT_EQ(end_of_supervisor(), 0);
  EXPECT_TRUE(events().ends_with("serve TERM\nship TERM\n")) << events();
  EXPECT_FALSE(std::filesystem::exists(config_.data + "/run.json"));
}

TEST_F(SupervisorTest, a_killed_child_is_started_again_and_counted) {
  supervise(script("serve", {"TERM 0"}), script("ship", {"TERM 0"}));
  ASSERT_TRUE(all_started());
  const pid_t first = pid_of("serve");
  const pid_t ship = pid_of("ship-archive");
  ::kill(first, SIGKILL);
  ASSERT_TRUE(eventually([&] { return pid_of("serve") != 0 && pid_of("serve") != first; }));
  EXPECT_EQ(pid_of("ship-archive"), ship);
  EXPECT_NE(text_of("run.json").find("\"restarts\":{\"serve\":1,\"ship-archive\":0}"),
            std::string::npos);
}

TEST_F(SupervisorTest, a_ship_that_is_killed_while_draining_is_started_again_to_drain) {
  supervise(script("serve", {"TERM 0"}), script("ship", {"TERM 9", "INT 0"}));
  ASSERT_TRUE(all_started());
  ::kill(supervisor_, SIGTERM);
  ASSERT_TRUE(eventually_says("ship start_to_drain"));
  ::kill(supervisor_, SIGTERM);  // The script would drain for ever.
  EXPECT_EQ(end_of_supervisor(), 0);
}

TEST_F(SupervisorTest, a_ship_that_leaves_records_behind_in_order_is_not_started_again) {
  supervise(script("serve", {"TERM 0"}), script("ship", {"TERM 3"}));
  ASSERT_TRUE(all_started());
  ::kill(supervisor_, SIGTERM);
  EXPECT_EQ(end_of_supervisor(), 0);
  EXPECT_EQ(events().find("drain"), std::string::npos);
}

TEST_F(SupervisorTest, ships_that_never_finish_are_stopped_at_the_deadline) {
  config_.server.flush_deadline_us = 0;
  supervise(script("serve", {"TERM 0"}), script("ship", {"INT 0"}));
  ASSERT_TRUE(all_started());
  // The ship is killed by SIGTERM, comes back to drain, and is told to stop when time is over.
  ::kill(supervisor_, SIGTERM);
  EXPECT_EQ(end_of_supervisor(), 0);
  EXPECT_TRUE(events().ends_with("ship INT\n")) << events();
}

TEST_F(SupervisorTest, logs_are_archived_when_all_others_have_ended) {
  archive_logs_by(script("logs", {"TERM 0"}));
  supervise(script("serve", {"TERM 0"}), script("ship", {"TERM 0"}));
  ASSERT_TRUE(all_started() && eventually_says("logs start"));
  ::kill(supervisor_, SIGTERM);
  EXPECT_EQ(end_of_supervisor(), 0);
  EXPECT_TRUE(events().ends_with("serve TERM\nship TERM\nlogs TERM\n")) << events();
}

TEST_F(SupervisorTest, logs_are_archived_also_behind_ships_that_never_finish) {
  config_.server.flush_deadline_us = 0;
  archive_logs_by(script("logs", {"TERM 0"}));
  supervise(script("serve", {"TERM 0"}), script("ship", {"INT 0"}));
  ASSERT_TRUE(all_started() && eventually_says("logs start"));
  ::kill(supervisor_, SIGTERM);
  EXPECT_EQ(end_of_supervisor(), 0);
  EXPECT_TRUE(events().ends_with("ship INT\nlogs TERM\n")) << events();
}

TEST_F(SupervisorTest, an_archive_of_logs_that_dies_while_draining_is_started_again_to_drain) {
  archive_logs_by(script("logs", {"TERM 9", "INT 0"}));
  supervise(script("serve", {"TERM 0"}), script("ship", {"TERM 0"}));
  ASSERT_TRUE(all_started() && eventually_says("logs start"));
  ::kill(supervisor_, SIGTERM);
  ASSERT_TRUE(eventually_says("logs start_to_drain"));
  ::kill(supervisor_, SIGTERM);
  EXPECT_EQ(end_of_supervisor(), 0);
}

TEST_F(SupervisorTest, a_second_signal_ends_even_those_who_ignore_it) {
  Command deaf = script("serve", {});
  deaf.arguments[1] = "trap '' TERM INT\n" + deaf.arguments[1];
  supervise(deaf, script("ship", {"INT 0"}));
  ASSERT_TRUE(all_started());
  ::kill(supervisor_, SIGTERM);
  clock_.sleep(100'000);
  ::kill(supervisor_, SIGINT);
  const Microseconds asked_us = clock_.steady_us();
  EXPECT_EQ(end_of_supervisor(), 0);
  EXPECT_GE(clock_.steady_us() - asked_us, stop_grace_us - 200'000);
  EXPECT_TRUE(events().ends_with("ship INT\n")) << events();
}

TEST_F(SupervisorTest, children_die_with_a_killed_supervisor) {
  supervise(script("serve", {"TERM 0"}), script("ship", {"TERM 0"}));
  ASSERT_TRUE(all_started());
  const pid_t serve = pid_of("serve");
  const pid_t ship = pid_of("ship-archive");
  ::kill(supervisor_, SIGKILL);
  ::waitpid(std::exchange(supervisor_, 0), nullptr, 0);
  const auto gone = [](pid_t pid) {
    // A zombie that nobody has reaped yet is dead as well.
    std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
    std::string text;
    std::getline(in, text);
    return text.empty() || text.find(") Z ") != std::string::npos;
  };
  EXPECT_TRUE(eventually([&] { return gone(serve) && gone(ship); }));
}

TEST_F(SupervisorTest, a_reload_starts_and_stops_ships_and_keeps_the_others) {
  supervise(script("serve", {"TERM 0", "HUP 0"}), script("ship", {"TERM 0", "INT 0"}));
  ASSERT_TRUE(all_started());
  const pid_t archive = pid_of("ship-archive");
  const pid_t serve = pid_of("serve");
  std::ofstream(config_.data + "/sinks") << "archive mirror\n";
  ::kill(supervisor_, SIGHUP);
  ASSERT_TRUE(eventually([&] { return pid_of("ship-mirror") != 0; }));
  ASSERT_TRUE(eventually([&] { return pid_of("serve") != 0 && pid_of("serve") != serve; }));
  EXPECT_NE(events().find("serve HUP"), std::string::npos);
  EXPECT_EQ(pid_of("ship-archive"), archive);
  std::ofstream(config_.data + "/sinks") << "mirror\n";
  ::kill(supervisor_, SIGHUP);
  EXPECT_TRUE(eventually([&] { return pid_of("ship-archive") == 0; }));
  EXPECT_NE(pid_of("ship-mirror"), 0);
}

// ---- Upgrades.

Command saying_ready(Command serve) {
  // As notify_ready() does, in what every system has that can send a datagram.
  static constexpr std::string_view say_ready =
      "python3 -c 'import os,socket; s=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM); "
      "s.sendto(b\"READY=1\", os.environ[\"NOTIFY_SOCKET\"].replace(\"@\",\"\\0\",1))'\n";
  std::string& script = serve.arguments[1];
  script.insert(script.find("while"), say_ready);
  return serve;
}

TEST_F(SupervisorTest, an_upgrade_replaces_serve_then_ships_then_hands_everything_over) {
  supervise(saying_ready(script("serve", {"TERM 0", "HUP 0"})),
            script("ship", {"TERM 0", "INT 0"}));
  ASSERT_TRUE(all_started());
  const pid_t serve = pid_of("serve");
  ::kill(supervisor_, SIGUSR2);
  EXPECT_EQ(end_of_supervisor(), 0);  // It became what _exit(0) is.
  // Nobody waits for the new ship's first words, and here it dies with the supervisor.
  EXPECT_NE(events().find("serve HUP\nserve start_new\nship INT\n"), std::string::npos) << events();
  const NodeState state = decode_node_state(text_of("run.state"));
  EXPECT_EQ(state.upgrade.to, "9.9.9");
  EXPECT_EQ(state.upgrade.stage, "supervisor");
  EXPECT_NE(text_of("handover").find("process serve "), std::string::npos);
  EXPECT_EQ(text_of("handover").find(fmt::format("process serve {} ", serve)), std::string::npos);
}

TEST_F(SupervisorTest, an_upgrade_that_cannot_hand_over_goes_back) {
  becomes_ = false;
  supervise(saying_ready(script("serve", {"TERM 0", "HUP 0"})),
            script("ship", {"TERM 0", "INT 0"}));
  ASSERT_TRUE(all_started());
  ::kill(supervisor_, SIGUSR2);
  ASSERT_TRUE(eventually([&] { return upgrade().outcome == "returned"; })) << events();
  EXPECT_EQ(upgrade().why, "no exec today");
  // The ship may be told to go before its first words; serve was waited for.
  EXPECT_EQ(count("serve start_new"), 1U);
  EXPECT_TRUE(eventually([&] { return count("serve start\n") == 2 && count("ship start\n") == 2; }))
      << events();
}

TEST_F(SupervisorTest, a_candidate_that_fails_its_test_touches_nothing) {
  tests_ = {{"/bin/sh", "sh", {"-c", "echo oh no; exit 1"}}};
  supervise(script("serve", {"TERM 0"}), script("ship", {"TERM 0"}));
  ASSERT_TRUE(all_started());
  const pid_t serve = pid_of("serve");
  ::kill(supervisor_, SIGUSR2);
  ASSERT_TRUE(eventually([&] { return upgrade().outcome == "refused"; }));
  EXPECT_EQ(upgrade().why, "/bin/sh ended with exit code 1: oh no");
  EXPECT_EQ(pid_of("serve"), serve);
}

TEST_F(SupervisorTest, a_test_that_does_not_end_is_killed_and_refused) {
  limits_.test_us = 300'000;
  tests_ = {{"/bin/sh", "sh", {"-c", "exec sleep 1000"}}};
  supervise(script("serve", {"TERM 0"}), script("ship", {"TERM 0"}));
  ASSERT_TRUE(all_started());
  ::kill(supervisor_, SIGUSR2);
  ASSERT_TRUE(eventually([&] { return upgrade().outcome == "refused"; }));
  EXPECT_NE(upgrade().why.find("did not end its test"), std::string::npos);
}

TEST_F(SupervisorTest, a_candidate_serve_that_is_never_ready_gives_way_to_the_one_before) {
  limits_.ready_us = 300'000;
  new_serve_ = "trap '' HUP\nsay start$1\nexec sleep 1000\n";
  supervise(saying_ready(script("serve", {"TERM 0", "HUP 0"})), script("ship", {"TERM 0"}));
  ASSERT_TRUE(all_started());
  const pid_t ship = pid_of("ship-archive");
  ::kill(supervisor_, SIGUSR2);
  ASSERT_TRUE(eventually([&] { return upgrade().outcome == "returned"; })) << events();
  EXPECT_TRUE(eventually([&] { return count("serve start\n") == 2; })) << events();
  EXPECT_EQ(pid_of("ship-archive"), ship);
}

TEST_F(SupervisorTest, a_candidate_serve_that_dies_gives_way_to_the_one_before) {
  new_serve_ = "exit 7\n";
  supervise(saying_ready(script("serve", {"TERM 0", "HUP 0"})), script("ship", {"TERM 0"}));
  ASSERT_TRUE(all_started());
  ::kill(supervisor_, SIGUSR2);
  ASSERT_TRUE(eventually([&] { return upgrade().outcome == "returned"; })) << events();
  EXPECT_EQ(upgrade().why, "serve of version 9.9.9 ended with exit code 7");
}

TEST_F(SupervisorTest, a_node_that_is_told_to_end_during_an_upgrade_ends_soon) {
  new_serve_ = "trap '' TERM HUP\nsay start$1\nexec sleep 1000\n";
  supervise(saying_ready(script("serve", {"TERM 0", "HUP 0"})), script("ship", {"TERM 0"}));
  ASSERT_TRUE(all_started());
  ::kill(supervisor_, SIGUSR2);
  ASSERT_TRUE(eventually_says("start_new"));
  ::kill(supervisor_, SIGTERM);
  EXPECT_EQ(end_of_supervisor(), 0);
}

TEST_F(SupervisorTest, a_node_that_is_to_be_emptied_delivers_all_and_stays) {
  config_.server.flush_deadline_us = 0;  // Must not matter.
  supervise(script("serve", {"TERM 0"}), script("ship", {"TERM 3"}));
  ASSERT_TRUE(all_started());
  ASSERT_TRUE(ask_node({.pid = supervisor_}, Wish::drain));
  ASSERT_TRUE(eventually_says("ship start_to_drain"));  // It had left something behind.
  EXPECT_EQ(decode_node_state(text_of("run.state")).phase, "emptying");
  EXPECT_EQ(::waitpid(supervisor_, nullptr, WNOHANG), 0);
  ::kill(supervisor_, SIGTERM);
  EXPECT_EQ(end_of_supervisor(), 0);
}

TEST_F(SupervisorTest, an_emptied_node_waits_to_be_ended) {
  supervise(script("serve", {"TERM 0"}), script("ship", {"TERM 0"}));
  ASSERT_TRUE(all_started());
  ASSERT_TRUE(ask_node({.pid = supervisor_}, Wish::drain));
  ASSERT_TRUE(eventually([&] { return decode_node_state(text_of("run.state")).phase == "empty"; }));
  EXPECT_EQ(::waitpid(supervisor_, nullptr, WNOHANG), 0);
  ::kill(supervisor_, SIGTERM);
  EXPECT_EQ(end_of_supervisor(), 0);
}

TEST_F(SupervisorTest, a_reload_with_mistakes_changes_nothing) {
  supervise(script("serve", {"TERM 0"}), script("ship", {"TERM 0"}));
  ASSERT_TRUE(all_started());
  const std::string before = text_of("run.json");
  ::kill(supervisor_, SIGHUP);
  clock_.sleep(200'000);
  EXPECT_EQ(text_of("run.json"), before);
}

}  // namespace
}  // namespace inlet::main
