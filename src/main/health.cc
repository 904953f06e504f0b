// The command `inlet health`: asks a node whether it can store records, for health checks that have
// no shell and no curl. Without a URL it asks the node that the configuration describes: on its
// admin listener, or without one on the public listener, if that speaks plain HTTP.

#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include "base/posix_file.h"
#include "base/time.h"
#include "load/target.h"
#include "main/cli.h"
#include "main/listeners.h"
#include "main/values.h"

namespace inlet::main {
namespace {

constexpr std::size_t answer_bytes_max = 8192;  // What is said beyond is of no interest.
constexpr Range timeout_us_range{10'000, 600'000'000};

struct HealthFlags {
  CommonFlags common;
  std::string url;
  std::string timeout = "2s";
  bool ready = false;
};

std::unexpected<Error> os_fault(const loader::Target& target, std::string_view operation) {
  const int os = errno;
  const bool late = os == EAGAIN || os == EINPROGRESS;  // SO_RCVTIMEO, SO_SNDTIMEO.
  return fail(ErrorKind::retry,
              fmt::format("health: {} {}: {}", operation, target.authority,
                          late ? "no answer in time" : std::strerror(os)),
              os);
}

Result<std::string> configured_url(const ServerConfig& server, std::string_view path) {
  const auto no_url = [](std::string_view why) {
    return fail(ErrorKind::reject, fmt::format("health: {}; give a URL", why));
  };
  const Address& address = server.admin ? *server.admin : server.listen;
  if (!server.admin && !server.tls_cert.empty()) {
    return no_url("there is no admin listener, and the public one speaks TLS");
  }
  if (!server.admin && server.proxy_protocol) {
    return no_url("there is no admin listener, and the public one wants the PROXY protocol");
  }
  if (address.port == 0) return no_url("port 0 of the configuration is any port");
  return fmt::format("http://{}{}", reachable(address), path);
}

// What of the time is left, as the socket's timeouts.
bool allow_until(int socket, Clock& clock, Microseconds deadline_us) {
  const Microseconds left_us = deadline_us - clock.steady_us();
  if (left_us <= 0) {
    errno = EAGAIN;
    return false;
  }
  timeval time{};
  time.tv_sec = left_us / 1'000'000;
  time.tv_usec = left_us % 1'000'000;
  return ::setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time)) == 0 &&
         ::setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof(time)) == 0;
}

// The answer as it came: the whole of it, or its first answer_bytes_max.
Result<std::string> ask(const loader::Target& target, Clock& clock, Microseconds deadline_us) {
  const auto address = loader::resolve(target);
  if (!address) return fail(address);
  const Descriptor socket(
      ::socket(address->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP));
  if (!socket || !allow_until(socket.get(), clock, deadline_us)) return os_fault(target, "ask");
  const auto* const to = reinterpret_cast<const sockaddr*>(&address->storage);
  if (::connect(socket.get(), to, address->bytes) != 0) return os_fault(target, "connect to");

  const std::string request =
      fmt::format("GET {}{} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", target.path,
                  target.query, target.authority);
  for (std::string_view rest = request; !rest.empty();) {
    const ssize_t put = ::send(socket.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
    if (put < 0) return os_fault(target, "ask");
    rest.remove_prefix(static_cast<std::size_t>(put));
  }
  std::string answer(answer_bytes_max, '\0');
  std::size_t filled = 0;
  while (filled < answer.size()) {
    if (!allow_until(socket.get(), clock, deadline_us)) return os_fault(target, "ask");
    const ssize_t got = ::recv(socket.get(), answer.data() + filled, answer.size() - filled, 0);
    if (got < 0) return os_fault(target, "ask");
    if (got == 0) break;
    filled += static_cast<std::size_t>(got);
  }
  answer.resize(filled);
  return answer;
}

// What a node that is not well says of it: the `detail` of its problem document.
std::string reason_of(std::string_view answer) {
  constexpr std::string_view mark = "\"detail\":\"";
  const std::size_t at = answer.find(mark);
  if (at == std::string_view::npos) return {};
  const std::string_view detail = answer.substr(at + mark.size());
  std::string reason(detail.substr(0, detail.find('"')));
  std::ranges::replace_if(reason, [](char c) { return c < ' ' || c > '~'; }, '?');
  return ": " + reason;
}

Status judge(std::string_view answer, const loader::Target& target) {
  constexpr std::string_view version_text = "HTTP/1.1 ";
  constexpr std::size_t status_chars = 3;
  if (!answer.starts_with(version_text) || answer.size() < version_text.size() + status_chars) {
    return fail(ErrorKind::retry,
                fmt::format("health: {} did not answer in HTTP", target.authority));
  }
  const std::string_view status = answer.substr(version_text.size(), status_chars);
  if (status == "200") return {};
  return fail(ErrorKind::retry,
              fmt::format("health: {} answers {}{}", target.authority, status, reason_of(answer)));
}

}  // namespace

int health_command(int argc, char** argv) {
  CLI::App app(
      "Asks a node whether it can store records: exit code 0 if so, 1 and a sentence if not.",
      "inlet health");
  HealthFlags flags;
  add_common_flags(app, flags.common);
  app.add_option("url", flags.url, "what to ask (default: the node of the configuration)")
      ->type_name("URL");
  app.add_option("--timeout", flags.timeout, "for the whole answer (default 2s)")
      ->type_name("TIME");
  app.add_flag("--ready", flags.ready, "ask whether it wants requests: not while it drains");
  if (const auto code = parse(app, argc, argv)) return *code;
  Microseconds timeout_us = 0;
  if (const Problem problem = read_value(flags.timeout, timeout_us_range, timeout_us)) {
    return report_mistake(fmt::format("health: --timeout {} {}", flags.timeout, *problem));
  }
  if (!flags.url.empty() && flags.ready) {
    return report_mistake("health: --ready and a URL exclude each other");
  }
  if (flags.url.empty()) {
    PosixFileSystem files;
    const auto config = require_config(files, flags.common);
    if (!config) return exit_mistake;
    const auto url = configured_url(config->server, flags.ready ? "/readyz" : "/healthz");
    if (!url) return report_mistake(url.error().what);
    flags.url = *url;
  }
  const auto target = loader::parse_target(flags.url);
  if (!target) return report_mistake("health: " + target.error().what);
  if (target->tls) return report_mistake("health: only http:// can be asked");
  SystemClock clock;
  const auto answer = ask(*target, clock, clock.steady_us() + timeout_us);
  if (!answer) return report_fault(answer.error());
  const Status well = judge(*answer, *target);
  return well ? exit_fine : report_fault(well.error());
}

}  // namespace inlet::main
