#include "top/lookup.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>

#include "base/check.h"

namespace inlet::top {
namespace {

struct EndAddresses {
  void operator()(addrinfo* list) const { ::freeaddrinfo(list); }
};

std::optional<std::string> numeric(const addrinfo& address) {
  if (address.ai_family == AF_INET6) {
    const auto* const v6 = reinterpret_cast<const sockaddr_in6*>(address.ai_addr);
    if (v6->sin6_scope_id != 0) return std::nullopt;  // Says nothing in a URL.
  }
  std::array<char, NI_MAXHOST> text{};
  if (::getnameinfo(address.ai_addr, address.ai_addrlen, text.data(), text.size(), nullptr, 0,
                    NI_NUMERICHOST) != 0) {
    return std::nullopt;
  }
  const std::string host = text.data();
  return address.ai_family == AF_INET6 ? "[" + host + "]" : host;
}

Result<std::vector<std::string>> hosts_of(int code, const addrinfo* list) {
  if (code == EAI_NONAME || code == EAI_NODATA)
    return fail(ErrorKind::retry, "the name is not known");
  if (code != 0) {
    return fail(ErrorKind::retry, std::string("the name is not found: ") + ::gai_strerror(code));
  }
  std::vector<std::string> hosts;
  for (const addrinfo* at = list; at != nullptr && hosts.size() < addresses_max; at = at->ai_next) {
    if (auto host = numeric(*at)) hosts.push_back(std::move(*host));
  }
  if (hosts.empty()) return fail(ErrorKind::retry, "the name stands for no address");
  std::ranges::sort(hosts);
  hosts.erase(std::ranges::unique(hosts).begin(), hosts.end());
  return hosts;
}

}  // namespace

struct Lookup::Question {
  std::string name;
  addrinfo hints{};
  gaicb request{};
};

Lookup::Lookup() = default;

Lookup::~Lookup() {
  for (auto& question : under_way_) {
    if (::gai_cancel(&question->request) == EAI_NOTCANCELED) {
      static_cast<void>(question.release());  // The C library still writes to it.
    } else if (question->request.ar_result != nullptr) {
      ::freeaddrinfo(question->request.ar_result);
    }
  }
}

void Lookup::start(const std::string& name) {
  auto question = std::make_unique<Question>();
  question->name = name;
  question->hints.ai_socktype = SOCK_STREAM;  // Else each address comes once per kind of socket.
  question->hints.ai_flags = AI_ADDRCONFIG;
  question->request.ar_name = question->name.c_str();
  question->request.ar_request = &question->hints;
  gaicb* list[] = {&question->request};
  // What keeps it from being asked comes out of gai_error().
  static_cast<void>(::getaddrinfo_a(GAI_NOWAIT, list, 1, nullptr));
  under_way_.push_back(std::move(question));
}

std::optional<LookedUp> Lookup::finish() {
  const auto ended = std::ranges::find_if(under_way_, [](const auto& question) {
    return ::gai_error(&question->request) != EAI_INPROGRESS;
  });
  if (ended == under_way_.end()) return std::nullopt;
  const auto question = std::move(*ended);
  under_way_.erase(ended);
  const std::unique_ptr<addrinfo, EndAddresses> list(question->request.ar_result);
  return LookedUp{.name = question->name,
                  .hosts = hosts_of(::gai_error(&question->request), list.get())};
}

}  // namespace inlet::top
