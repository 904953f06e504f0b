#include "fetch/client.h"

#include <curl/curl.h>

#include <algorithm>
#include <deque>
#include <map>

#include "base/check.h"
#include "fetch/http_date.h"
#include "fetch/transfer.h"

namespace inlet::fetch {
namespace {

constexpr std::size_t requests_max = 100'000;  // Under way; more is a caller gone wild.
constexpr Microseconds second_us = 1'000'000;
constexpr Microseconds retry_after_us_max = 365 * 24 * 3600 * second_us;

struct EndMulti {
  void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
};

}  // namespace

std::string_view Response::header(std::string_view name) const {
  const auto found = std::ranges::find(headers, name, &Headers::value_type::first);
  return found == headers.end() ? std::string_view() : std::string_view(found->second);
}

Microseconds retry_after_us(std::string_view value, Microseconds wall_us) {
  const bool is_seconds =
      !value.empty() && std::ranges::all_of(value, [](char c) { return c >= '0' && c <= '9'; });
  if (!is_seconds) {
    const auto date = parse_http_date(value, wall_us);
    return date ? std::clamp<Microseconds>(*date - wall_us, 0, retry_after_us_max) : 0;
  }
  Microseconds seconds = 0;
  for (const char c : value) {
    seconds = std::min(seconds * 10 + (c - '0'), retry_after_us_max / second_us);
  }
  return seconds * second_us;
}

class Client::Engine {
 public:
  explicit Engine(ClientOptions options) : options_(std::move(options)) {
    CHECK(options_.connections_max > 0);
    static const CURLcode begun = curl_global_init(CURL_GLOBAL_DEFAULT);
    CHECK(begun == CURLE_OK);
    multi_.reset(curl_multi_init());
    CHECK(multi_);
    const auto kept_max = static_cast<long>(options_.connections_max);
    CHECK(curl_multi_setopt(multi_.get(), CURLMOPT_MAXCONNECTS, kept_max) == CURLM_OK);
  }
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  ~Engine() {
    for (const auto& [id, transfer] : active_) detach(*transfer);
  }

  std::uint64_t start(Request request) {
    CHECK(under_way() < requests_max);
    const std::uint64_t id = ++last_id_;
    const Microseconds deadline_us = clock_.steady_us() + request.timeout_us;
    auto transfer = std::make_unique<Transfer>(id, std::move(request), deadline_us);
    if (const std::string_view mistake = transfer->mistake(); !mistake.empty()) {
      transfer->set_fault(Fault::connect, mistake);
      done_.push_back(transfer->take_response());
    } else {
      waiting_.push_back(std::move(transfer));
    }
    return id;
  }

  std::optional<Response> finish(Microseconds wait_us) {
    const Microseconds until_us = clock_.steady_us() + std::max<Microseconds>(wait_us, 0);
    while (true) {
      turn();
      if (!done_.empty()) {
        Response response = std::move(done_.front());
        done_.pop_front();
        return response;
      }
      const Microseconds now_us = clock_.steady_us();
      if (under_way() == 0 || now_us >= until_us) return std::nullopt;
      Microseconds pause_us = until_us - now_us;
      for (const auto& transfer : waiting_) {
        pause_us = std::min(pause_us, transfer->deadline_us() - now_us);
      }
      const auto pause_ms = static_cast<int>(to_ms(pause_us));
      CHECK(curl_multi_poll(multi_.get(), nullptr, 0, pause_ms, nullptr) == CURLM_OK);
    }
  }

  void cancel(std::uint64_t id) {
    if (const auto active = active_.find(id); active != active_.end()) {
      detach(*active->second);
      active_.erase(active);
    }
    std::erase_if(waiting_, [id](const auto& transfer) { return transfer->id() == id; });
    std::erase_if(done_, [id](const Response& response) { return response.id == id; });
  }

  [[nodiscard]] std::size_t under_way() const {
    return waiting_.size() + active_.size() + done_.size();
  }

 private:
  // Everything that can be done without waiting.
  void turn() {
    expire_waiting();
    launch();
    int running = 0;
    CHECK(curl_multi_perform(multi_.get(), &running) == CURLM_OK);
    int left = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi_.get(), &left)) {
      if (message->msg == CURLMSG_DONE) collect(message->easy_handle, message->data.result);
    }
  }

  void expire_waiting() {
    const Microseconds now_us = clock_.steady_us();
    std::erase_if(waiting_, [&](const auto& transfer) {
      if (transfer->deadline_us() > now_us) return false;
      transfer->set_fault(Fault::connect, "no connection was free in time");
      done_.push_back(transfer->take_response());
      return true;
    });
  }

  // Never more requests than connections, so that none waits inside libcurl, where its timeouts
  // would not run.
  void launch() {
    while (!waiting_.empty() && active_.size() < options_.connections_max) {
      std::unique_ptr<Transfer> transfer = std::move(waiting_.front());
      waiting_.pop_front();
      transfer->prepare(make_handle(), options_, clock_.steady_us());
      CHECK(curl_multi_add_handle(multi_.get(), transfer->handle()) == CURLM_OK);
      active_.emplace(transfer->id(), std::move(transfer));
    }
  }

  // Fresh for every request: libcurl before 8.1.0 reads freed memory when a handle is used again
  // and the answer's first header line is a folded one. Connections belong to the multi handle.
  [[nodiscard]] static Easy make_handle() {
    Easy easy(curl_easy_init());
    CHECK(easy);
    return easy;
  }

  void collect(CURL* easy, CURLcode code) {
    const auto active = active_.find(Transfer::of(easy).id());
    CHECK(active != active_.end());
    Transfer& transfer = *active->second;
    transfer.conclude(code);
    detach(transfer);
    done_.push_back(transfer.take_response());
    active_.erase(active);
  }

  void detach(const Transfer& transfer) {
    CHECK(curl_multi_remove_handle(multi_.get(), transfer.handle()) == CURLM_OK);
  }

  const ClientOptions options_;
  SystemClock clock_;  // As libcurl's own, which cannot be passed in.
  std::unique_ptr<CURLM, EndMulti> multi_;
  std::deque<std::unique_ptr<Transfer>> waiting_;
  std::map<std::uint64_t, std::unique_ptr<Transfer>> active_;
  std::deque<Response> done_;
  std::uint64_t last_id_ = 0;
};

Client::Client(ClientOptions options) : engine_(std::make_unique<Engine>(std::move(options))) {}
Client::~Client() = default;
std::uint64_t Client::start(Request request) { return engine_->start(std::move(request)); }
std::optional<Response> Client::finish(Microseconds wait_us) { return engine_->finish(wait_us); }
void Client::cancel(std::uint64_t id) { engine_->cancel(id); }
std::size_t Client::under_way() const { return engine_->under_way(); }

}  // namespace inlet::fetch
