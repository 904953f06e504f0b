#include "aws/client.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <map>
#include <utility>

#include "aws/credentials.h"
#include "aws/profile.h"
#include "base/log.h"
#include "base/posix_file.h"
#include "fetch/http_date.h"

namespace inlet::aws {
namespace {

std::string first_of(std::initializer_list<std::string> values) {
  const auto found = std::ranges::find_if(values, [](const auto& v) { return !v.empty(); });
  return found == values.end() ? "" : *found;
}

}  // namespace

class Client::Engine {
 public:
  Engine(Clock& clock, ClientOptions options);

  const std::string& region() const { return context_.region; }
  std::uint64_t start(Call call);
  std::optional<Reply> finish(Microseconds wait_us);
  void cancel(std::uint64_t id);

 private:
  struct Waiting {
    std::uint64_t id;
    Call call;
    Microseconds until_us;
  };
  struct Sent {
    std::uint64_t id;
    std::string service;
    std::string access_key;
    std::string session_token;
  };

  void pump();
  void look(std::optional<fetch::Request> request);
  void send(Waiting waiting, const Credentials& credentials);
  void answer(std::uint64_t id, std::string why);
  void take(fetch::Response response);
  Reply judged(const Sent& sent, fetch::Response response);
  // Corrects the clock and the credentials as the answer asks; returns the verdict after that.
  Verdict learn(const Sent& sent, const fetch::Response& response, const std::string& code);
  Microseconds until_next_timeout();

  PosixFileSystem real_files_;
  ServerClock clock_;
  SourceContext context_;
  CredentialChain chain_;
  fetch::Client fetch_;
  std::uint64_t next_id_ = 1;
  std::uint64_t look_id_ = 0;  // Of the chain's request under way; 0: none.
  std::deque<Waiting> waiting_;
  std::map<std::uint64_t, Sent> sent_;  // By the id of the request.
  std::deque<Reply> ready_;
};

Client::Engine::Engine(Clock& clock, ClientOptions options)
    : clock_(clock),
      context_{{options.variable, options.files != nullptr ? *options.files : real_files_},
               clock_,
               options.profile,
               ""},
      chain_(clock_, credential_sources(context_),
             options.seed != 0 ? options.seed : static_cast<std::uint64_t>(clock.wall_us())),
      fetch_(std::move(options.fetch)) {
  const auto& variable = context_.surroundings.variable;
  context_.region = first_of(
      {options.region, variable("AWS_REGION"), variable("AWS_DEFAULT_REGION"),
       read_profile(context_.surroundings, options.profile).value("region"), options.region_else});
}

std::uint64_t Client::Engine::start(Call call) {
  const std::uint64_t id = next_id_++;
  const Microseconds until = clock_.steady_us() + call.timeout_us;
  waiting_.push_back({id, std::move(call), until});
  pump();
  return id;
}

// Sends what can be sent; answers what cannot.
void Client::Engine::pump() {
  if (look_id_ == 0) look(chain_.due());
  while (!waiting_.empty()) {
    const Credentials* credentials = chain_.current();
    if (credentials == nullptr && chain_.is_looking()) break;
    Waiting first = std::move(waiting_.front());
    waiting_.pop_front();
    if (credentials != nullptr) {
      send(std::move(first), *credentials);
    } else {
      answer(first.id, chain_.why_none());
    }
  }
  const Microseconds now = clock_.steady_us();
  std::erase_if(waiting_, [&](const Waiting& one) {
    if (one.until_us > now) return false;
    answer(one.id, "no AWS credentials in time: a source of them has not answered");
    return true;
  });
}

void Client::Engine::look(std::optional<fetch::Request> request) {
  look_id_ = request ? fetch_.start(std::move(*request)) : 0;
}

void Client::Engine::send(Waiting waiting, const Credentials& credentials) {
  Call& call = waiting.call;
  const std::string& region = context_.region;
  if (region.empty()) {
    return answer(waiting.id, "no AWS region: it is not configured, and AWS_REGION is not set");
  }
  if (const std::size_t at = call.url.find(unknown_region); at != std::string::npos) {
    call.url.replace(at, unknown_region.size(), region_domain(region));
  }
  fetch::Request request{.method = std::move(call.method),
                         .url = std::move(call.url),
                         .headers = std::move(call.headers),
                         .body = std::move(call.body),
                         .response_bytes_max = call.response_bytes_max};
  request.timeout_us = std::max<Microseconds>(1, waiting.until_us - clock_.steady_us());
  sign(request, credentials, {call.service, region, clock_.wall_us()});
  sent_.emplace(fetch_.start(std::move(request)),
                Sent{waiting.id, call.service, credentials.access_key, credentials.session_token});
}

void Client::Engine::answer(std::uint64_t id, std::string why) {
  ready_.push_back({.id = id, .verdict = Verdict::transient, .why = std::move(why)});
}

std::optional<Reply> Client::Engine::finish(Microseconds wait_us) {
  const Microseconds end = clock_.steady_us() + wait_us;
  while (true) {
    pump();
    if (!ready_.empty()) {
      Reply reply = std::move(ready_.front());
      ready_.pop_front();
      return reply;
    }
    const Microseconds left = std::max<Microseconds>(0, end - clock_.steady_us());
    const Microseconds slice = std::min(left, until_next_timeout());
    auto response = fetch_.finish(slice);
    if (response) {
      take(std::move(*response));
    } else if (slice == left) {
      return std::nullopt;
    }
  }
}

// Of the calls that wait for credentials.
Microseconds Client::Engine::until_next_timeout() {
  if (waiting_.empty()) return INT64_MAX;
  const auto first = std::ranges::min_element(waiting_, {}, &Waiting::until_us);
  return std::max<Microseconds>(1, first->until_us - clock_.steady_us());
}

void Client::Engine::take(fetch::Response response) {
  if (response.id == look_id_) return look(chain_.take(response));
  const auto found = sent_.find(response.id);
  if (found == sent_.end()) return;  // Cancelled.
  const Sent sent = std::move(found->second);
  sent_.erase(found);
  ready_.push_back(judged(sent, std::move(response)));
}

Reply Client::Engine::judged(const Sent& sent, fetch::Response response) {
  Reply reply{.id = sent.id, .status = response.status};
  if (response.fault != fetch::Fault::none) {
    reply.verdict = Verdict::transient;
    reply.why = std::move(response.why);
    return reply;
  }
  ServiceError said;
  if (response.status < 200 || response.status > 299) said = parse_error(response);
  reply.verdict = learn(sent, response, said.code);
  if (reply.verdict != Verdict::done) {
    reply.why = fmt::format("{} answered {}{}{}{}{}", sent.service, response.status,
                            said.code.empty() ? "" : " ", said.code,
                            said.message.empty() ? "" : ": ", said.message);
    reply.retry_after_us = fetch::retry_after_us(response.header("retry-after"), clock_.wall_us());
  }
  reply.code = std::move(said.code);
  reply.headers = std::move(response.headers);
  reply.body = std::move(response.body);
  return reply;
}

Verdict Client::Engine::learn(const Sent& sent, const fetch::Response& response,
                              const std::string& code) {
  if (may_blame_clock(code)) {
    const auto date = fetch::parse_http_date(response.header("date"), clock_.wall_us());
    if (date && clock_.correct(*date)) {
      log_warn("aws", "this node's clock is wrong; the service says the time", {{"code", code}});
      return Verdict::transient;
    }
  }
  if (blames_credentials(code)) chain_.refuse(sent.access_key, sent.session_token, code);
  return judge(response.status, code);
}

void Client::Engine::cancel(std::uint64_t id) {
  std::erase_if(waiting_, [&](const Waiting& one) { return one.id == id; });
  std::erase_if(ready_, [&](const Reply& one) { return one.id == id; });
  std::erase_if(sent_, [&](const auto& one) {
    if (one.second.id != id) return false;
    fetch_.cancel(one.first);
    return true;
  });
}

Client::Client(Clock& clock, ClientOptions options)
    : engine_(std::make_unique<Engine>(clock, std::move(options))) {}

Client::~Client() = default;

std::string Client::region() const { return engine_->region(); }

std::uint64_t Client::start(Call call) { return engine_->start(std::move(call)); }

std::optional<Reply> Client::finish(Microseconds wait_us) { return engine_->finish(wait_us); }

void Client::cancel(std::uint64_t id) { engine_->cancel(id); }

std::string endpoint_url(std::string_view endpoint, std::string_view service,
                         std::string_view region, const Variables& variable) {
  std::string url(endpoint);
  while (url.ends_with('/')) url.pop_back();
  if (!url.empty()) return url;
  return service_url(variable, service, region);
}

}  // namespace inlet::aws
