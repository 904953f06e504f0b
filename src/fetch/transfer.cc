#include "fetch/transfer.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdlib>

#include "base/check.h"

namespace inlet::fetch {
namespace {

constexpr std::size_t header_bytes_max = 64U << 10;  // Of an answer, with all interim ones.
constexpr std::size_t url_bytes_max = 16U << 10;
constexpr long keepalive_idle_s = 30;
constexpr long keepalive_interval_s = 10;
constexpr unsigned unacknowledged_ms_max = 30'000;  // Sent bytes without a sign of the peer.

struct EndUrl {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};

template <typename Value>
void set(CURL* easy, CURLoption option, Value value) {
  CHECK(curl_easy_setopt(easy, option, value) == CURLE_OK);
}

std::string lower_case(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
  });
  return out;
}

std::string_view trim(std::string_view text) {
  constexpr std::string_view space = " \t\r\n";
  const std::size_t first = text.find_first_not_of(space);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(space) - first + 1);
}

bool sends_body(const Request& request) {
  return request.method == "POST" || request.method == "PUT" || request.method == "PATCH";
}

// RFC 9110, 5.6.2.
bool is_token(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
  });
}

bool has_control(std::string_view text) {
  return std::ranges::any_of(text, [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return (byte < 0x20 && c != '\t') || byte == 0x7F;
  });
}

std::string part_of(CURLU* url, CURLUPart what) {
  char* part = nullptr;
  if (curl_url_get(url, what, &part, CURLU_DEFAULT_PORT) != CURLUE_OK) return {};
  std::string text(part);
  curl_free(part);
  return text;
}

// "host:port", and whether the URL is one we go to.
bool find_host(const std::string& text, std::string& host) {
  host = "the host";
  if (text.size() > url_bytes_max || has_control(text)) return false;
  const std::unique_ptr<CURLU, EndUrl> url(curl_url());
  CHECK(url);
  if (curl_url_set(url.get(), CURLUPART_URL, text.c_str(), 0) != CURLUE_OK) return false;
  const std::string scheme = part_of(url.get(), CURLUPART_SCHEME);
  host = part_of(url.get(), CURLUPART_HOST) + ":" + part_of(url.get(), CURLUPART_PORT);
  return scheme == "http" || scheme == "https";
}

bool is_tls_failure(CURLcode code) {
  switch (code) {
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CRL_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_ENGINE_NOTFOUND:
    case CURLE_SSL_ENGINE_SETFAILED:
    case CURLE_SSL_ENGINE_INITFAILED:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_SSL_CLIENTCERT: return true;
    default: return false;
  }
}

}  // namespace

long to_ms(Microseconds time_us) {
  constexpr Microseconds ms_max = 1'000'000'000;
  return static_cast<long>(std::clamp<Microseconds>((time_us + 999) / 1000, 1, ms_max));
}

Transfer::Transfer(std::uint64_t id, Request request, Microseconds deadline_us)
    : request_(std::move(request)), deadline_us_(deadline_us) {
  response_.id = id;
  is_url_valid_ = find_host(request_.url, host_);
}

std::string_view Transfer::mistake() const {
  if (!is_url_valid_) return "the URL is not valid";
  if (!is_token(request_.method)) return "the method is not valid";
  for (const auto& [name, value] : request_.headers) {
    if (!is_token(name) || has_control(value)) return "a header is not valid";
  }
  return {};
}

void Transfer::prepare(Easy easy, const ClientOptions& options, Microseconds now_us) {
  easy_ = std::move(easy);
  set_request(options);
  set_headers();
  set_limits(now_us);
  set_tls(options);
  set_callbacks();
}

void Transfer::set_request(const ClientOptions& options) {
  CURL* const to = easy_.get();
  set(to, CURLOPT_URL, request_.url.c_str());
  set(to, CURLOPT_PATH_AS_IS, 1L);
  set(to, CURLOPT_USERAGENT, options.user_agent.c_str());
  if (sends_body(request_)) {
    set(to, CURLOPT_POSTFIELDS, request_.body.data());
    set(to, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request_.body.size()));
  } else if (request_.method == "HEAD") {
    set(to, CURLOPT_NOBODY, 1L);
  }
  set(to, CURLOPT_CUSTOMREQUEST, request_.method.c_str());
}

void Transfer::set_headers() {
  add_header("Expect:");  // Without a value: not to be sent.
  bool has_type = false;
  for (const auto& [name, value] : request_.headers) {
    has_type = has_type || lower_case(name) == "content-type";
    add_header(value.empty() ? name + ";" : fmt::format("{}: {}", name, value));
  }
  if (!has_type) add_header("Content-Type:");  // libcurl would call it a form.
  set(easy_.get(), CURLOPT_HTTPHEADER, headers_.get());
}

void Transfer::add_header(const std::string& line) {
  curl_slist* const list = curl_slist_append(headers_.get(), line.c_str());
  CHECK(list != nullptr);
  static_cast<void>(headers_.release());  // It begins the list that came back.
  headers_.reset(list);
}

void Transfer::set_limits(Microseconds now_us) {
  CURL* const to = easy_.get();
  const Microseconds left_us = deadline_us_ - now_us;
  set(to, CURLOPT_TIMEOUT_MS, to_ms(left_us));
  set(to, CURLOPT_CONNECTTIMEOUT_MS, to_ms(std::min(left_us, request_.connect_timeout_us)));
  set(to, CURLOPT_QUICK_EXIT, 1L);  // A name that takes too long is not waited for.
  set(to, CURLOPT_NOSIGNAL, 1L);
  set(to, CURLOPT_PROTOCOLS_STR, "http,https");
  set(to, CURLOPT_FOLLOWLOCATION, 0L);
  if (request_.direct) set(to, CURLOPT_PROXY, "");
  set(to, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_2TLS));
  set(to, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  set(to, CURLOPT_TCP_KEEPALIVE, 1L);
  set(to, CURLOPT_TCP_KEEPIDLE, keepalive_idle_s);
  set(to, CURLOPT_TCP_KEEPINTVL, keepalive_interval_s);
}

void Transfer::set_tls(const ClientOptions& options) {
  CURL* const to = easy_.get();
  set(to, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  set(to, CURLOPT_SSL_VERIFYPEER, options.verify_peer ? 1L : 0L);
  set(to, CURLOPT_SSL_VERIFYHOST, options.verify_peer ? 2L : 0L);
  if (!options.ca_file.empty()) {
    set(to, CURLOPT_CAINFO, options.ca_file.c_str());
    set(to, CURLOPT_CAPATH, static_cast<const char*>(nullptr));
  }
  if (!options.client_cert.empty()) set(to, CURLOPT_SSLCERT, options.client_cert.c_str());
  if (!options.client_key.empty()) set(to, CURLOPT_SSLKEY, options.client_key.c_str());
}

void Transfer::set_callbacks() {
  CURL* const to = easy_.get();
  set(to, CURLOPT_PRIVATE, this);
  set(to, CURLOPT_ERRORBUFFER, error_.data());
  set(to, CURLOPT_HEADERFUNCTION, &Transfer::take_header);
  set(to, CURLOPT_HEADERDATA, this);
  set(to, CURLOPT_WRITEFUNCTION, &Transfer::take_body);
  set(to, CURLOPT_WRITEDATA, this);
  set(to, CURLOPT_PREREQFUNCTION, &Transfer::note_departure);
  set(to, CURLOPT_PREREQDATA, this);
  set(to, CURLOPT_SOCKOPTFUNCTION, &Transfer::prepare_socket);
}

std::size_t Transfer::take_header(char* bytes, std::size_t, std::size_t count, void* context) {
  auto& transfer = *static_cast<Transfer*>(context);
  Response& response = transfer.response_;
  const std::string_view line(bytes, count);
  transfer.header_bytes_ += count;
  if (transfer.header_bytes_ > header_bytes_max) {
    transfer.refused_ = "the answer's headers are too large";
    return 0;
  }
  if (transfer.head_done_) return count;  // Trailers are nobody's business.
  if (line.starts_with("HTTP/")) {        // A head begins, perhaps after an interim one.
    const std::string code(line.substr(std::min(line.find(' '), line.size())));
    response.headers.clear();
    response.status = std::atoi(code.c_str());
    return count;
  }
  const std::string_view text = trim(line);
  if (text.empty()) {
    transfer.head_done_ = response.status >= 200;
    return count;
  }
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) return count;
  response.headers.emplace_back(lower_case(trim(text.substr(0, colon))),
                                trim(text.substr(colon + 1)));
  return count;
}

std::size_t Transfer::take_body(char* bytes, std::size_t, std::size_t count, void* context) {
  auto& transfer = *static_cast<Transfer*>(context);
  std::string& body = transfer.response_.body;
  if (count > transfer.request_.response_bytes_max - body.size()) {
    transfer.refused_ = "the answer's body is too large";
    return 0;
  }
  body.append(bytes, count);
  return count;
}

// Called as the request is about to leave. libcurl would send it a second time where a kept
// connection turns out to be closed.
int Transfer::note_departure(void* context, char*, char*, int, int) {
  auto& transfer = *static_cast<Transfer*>(context);
  if (transfer.has_left_) {
    transfer.refused_ = "the kept connection was closed as the request left";
    return CURL_PREREQFUNC_ABORT;
  }
  transfer.has_left_ = true;
  return CURL_PREREQFUNC_OK;
}

int Transfer::prepare_socket(void*, curl_socket_t socket, curlsocktype) {
  // Where the option is missing, the request's own timeout remains.
  static_cast<void>(::setsockopt(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged_ms_max,
                                 sizeof unacknowledged_ms_max));
  return CURL_SOCKOPT_OK;
}

Transfer& Transfer::of(CURL* easy) {
  char* context = nullptr;
  CHECK(curl_easy_getinfo(easy, CURLINFO_PRIVATE, &context) == CURLE_OK);
  return *reinterpret_cast<Transfer*>(context);
}

void Transfer::conclude(CURLcode code) {
  if (code == CURLE_OK && (response_.status < 100 || response_.status > 599)) {
    return set_fault(Fault::answer, "the answer has no valid status");
  }
  if (code == CURLE_OK || is_cut_refusal(code)) return;
  const char* const said = error_[0] != 0 ? error_.data() : curl_easy_strerror(code);
  set_fault(fault_of(code), refused_.empty() ? std::string_view(said) : refused_);
}

// A server that refuses a large request may close before it has read all of it; its answer counts.
bool Transfer::is_cut_refusal(CURLcode code) const {
  const bool cut =
      code == CURLE_SEND_ERROR || code == CURLE_RECV_ERROR || code == CURLE_PARTIAL_FILE;
  return cut && head_done_ && response_.status >= 400;
}

void Transfer::set_fault(Fault fault, std::string_view what) {
  const std::uint64_t kept_id = id();
  response_ = Response();
  response_.id = kept_id;
  response_.fault = fault;
  response_.why = fmt::format("{}: {}", host_, what);
}

Fault Transfer::fault_of(CURLcode code) const {
  if (is_tls_failure(code) && !has_left_) return Fault::tls;
  if (code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_RESOLVE_PROXY) {
    return Fault::resolve;
  }
  if (!has_left_) {
    curl_off_t looked_up_us = 0;
    curl_easy_getinfo(easy_.get(), CURLINFO_NAMELOOKUP_TIME_T, &looked_up_us);
    const bool is_slow_name = code == CURLE_OPERATION_TIMEDOUT && looked_up_us == 0;
    return is_slow_name ? Fault::resolve : Fault::connect;
  }
  switch (code) {
    case CURLE_WRITE_ERROR:           // We refused to take more.
    case CURLE_UNSUPPORTED_PROTOCOL:  // Not HTTP, or another version of it.
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_CONTENT_ENCODING:
    case CURLE_HTTP2:
    case CURLE_OUT_OF_MEMORY:  // libcurl's word for heads beyond its own limits.
    case CURLE_FILESIZE_EXCEEDED: return Fault::answer;
    default: return Fault::interrupted;
  }
}

}  // namespace inlet::fetch
