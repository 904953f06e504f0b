// Goal: a child gets exactly the sockets, environment and signals it is meant to have.
// Method: shell children that write down what they see.

#include "main/process.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/directory_test.h"

namespace inlet::main {
namespace {

class ProcessTest : public testing::Test {
 protected:
  ProcessTest() { directory_ = make_test_directory("process_test"); }
  ~ProcessTest() override { std::filesystem::remove_all(directory_); }

  // What a shell script writes to its standard output.
  std::string output_of(const std::string& script, const Inheritance& inheritance) {
    const std::string out = directory_ + "/out";
    const auto pid = spawn({"/bin/sh", "sh", {"-c", "exec > " + out + "\n" + script}}, inheritance);
    if (!pid) return pid.error().what;
    int status = 0;
    ::waitpid(*pid, &status, 0);
    if (status != 0) return describe_status(status);
    std::ostringstream text;
    text << std::ifstream(out).rdbuf();
    return text.str();
  }

  std::string directory_;
};

std::string printed_by(const Command& command) {
  int ends[2];
  if (::pipe(ends) != 0) return "no pipe";
  const auto pid = spawn(command, {.listeners = {}, .notify_socket = "", .output = ends[1]});
  ::close(ends[1]);
  if (!pid) return pid.error().what;
  ::waitpid(*pid, nullptr, 0);
  char text[256];
  const ssize_t got = ::read(ends[0], text, sizeof text);
  ::close(ends[0]);
  return {text, got > 0 ? static_cast<std::size_t>(got) : 0};
}

std::vector<Listener> two_listeners() {
  std::vector<Listener> out;
  for (const std::string_view name : {ingest_listener, admin_listener}) {
    auto listener = open_listener(name, {"127.0.0.1", 0});
    if (listener) out.push_back(std::move(*listener));
  }
  return out;
}

std::string inode_of(int fd) {
  return std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd)).string();
}

TEST_F(ProcessTest, sockets_arrive_in_order_from_descriptor_three_with_their_names) {
  const std::vector<Listener> listeners = two_listeners();
  ASSERT_EQ(listeners.size(), 2U);
  const std::string expected = inode_of(listeners[0].socket.get()) + "\n" +
                               inode_of(listeners[1].socket.get()) + "\n2 ingest:admin same @x\n";
  EXPECT_EQ(output_of("readlink /proc/$$/fd/3 /proc/$$/fd/4\n"
                      "[ $LISTEN_PID = $$ ] && same=same\n"
                      "echo $LISTEN_FDS $LISTEN_FDNAMES $same $NOTIFY_SOCKET",
                      {listeners, "@x"}),
            expected);
}

TEST_F(ProcessTest, a_child_without_sockets_knows_of_none_and_gets_no_stray_descriptor) {
  ::setenv("LISTEN_FDS", "1", 1);
  ::setenv("NOTIFY_SOCKET", "@ours", 1);
  const int stray = ::dup(STDERR_FILENO);  // Not close-on-exec.
  ASSERT_GT(stray, STDERR_FILENO);
  EXPECT_EQ(output_of("[ -e /proc/$$/fd/" + std::to_string(stray) +
                          " ] && echo stray\n"
                          "echo [$LISTEN_FDS$NOTIFY_SOCKET]",
                      {}),
            "[]\n");
  ::close(stray);
  ::unsetenv("LISTEN_FDS");
  ::unsetenv("NOTIFY_SOCKET");
}

TEST_F(ProcessTest, a_child_has_no_signal_blocked_and_its_own_process_group) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  EXPECT_EQ(output_of("grep SigBlk /proc/$$/status | tr -d '0\\t'\n"
                      "[ $(cut -d' ' -f5 /proc/$$/stat) = $$ ] && echo leader",
                      {}),
            "SigBlk:\nleader\n");
  ::sigprocmask(SIG_UNBLOCK, &set, nullptr);
}

TEST_F(ProcessTest, a_child_that_holds_signals_has_them_blocked_before_its_first_step) {
  Command command{"/bin/grep", "grep", {"SigBlk", "/proc/self/status"}};  // No shell: it unblocks.
  command.holds_signals = true;
  const std::string said = printed_by(command);
  const unsigned long blocked = std::stoul(said.substr(said.find('\t')), nullptr, 16);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2}) {
    EXPECT_NE(blocked & 1UL << (signal - 1), 0UL) << signal;
  }
  EXPECT_EQ(blocked & 1UL << (SIGCHLD - 1), 0UL);
}

TEST_F(ProcessTest, what_a_child_prints_goes_where_it_is_to_go) {
  EXPECT_EQ(printed_by({"/bin/sh", "sh", {"-c", "echo out; echo err >&2"}}), "out\nerr\n");
}

TEST(StartedFrom, is_the_file_of_this_process) {
  EXPECT_TRUE(std::filesystem::equivalent(started_from(), "/proc/self/exe"));
  EXPECT_TRUE(std::filesystem::path(started_from()).is_absolute());
}

TEST_F(ProcessTest, a_program_that_cannot_be_run_is_an_error_and_leaves_no_child) {
  const auto pid = spawn({directory_ + "/missing", "missing", {}}, {});
  ASSERT_FALSE(pid);
  EXPECT_EQ(pid.error().what, "cannot start " + directory_ + "/missing: No such file or directory");
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
}

TEST(Listeners, an_address_in_use_is_one_clear_sentence) {
  const auto first = open_listener(ingest_listener, {"127.0.0.1", 0});
  ASSERT_TRUE(first);
  EXPECT_NE(first->address.port, 0);
  const auto second = open_listener(ingest_listener, first->address);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().what,
            "cannot listen on " + first->address.text() + ": Address already in use");
}

TEST(Listeners, sockets_meant_for_another_process_are_not_taken) {
  ::setenv("LISTEN_FDS", "1", 1);
  ::setenv("LISTEN_PID", "1", 1);
  const auto taken = take_activated_listeners();
  ASSERT_TRUE(taken);
  EXPECT_TRUE(taken->empty());
  EXPECT_EQ(std::getenv("LISTEN_FDS"), nullptr);
}

}  // namespace
}  // namespace inlet::main
