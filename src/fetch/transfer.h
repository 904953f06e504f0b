// transfer: one request on a libcurl handle: how it is set up, and what became of it.
//
// Here is everything libcurl must be told so that client.h keeps its word about sizes, redirects,
// protocols and sending once; which transfer runs when is client.cc's.
//
// Invariants:
//   - the request's body is sent from where it is, without a copy.
//   - an answer takes at most response_bytes_max of body and header_bytes_max of heads.
//   - sentences name the host, never the path or query, which may be secret.
//
// A transfer stays where it is while libcurl has its handle. One thread.

#pragma once

#include <curl/curl.h>

#include <array>
#include <memory>
#include <string>
#include <string_view>

#include "fetch/client.h"

namespace inlet::fetch {

struct EndEasy {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
struct EndList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using Easy = std::unique_ptr<CURL, EndEasy>;

// For libcurl, which takes 0 for "never": at least 1.
[[nodiscard]] long to_ms(Microseconds time_us);

class Transfer {
 public:
  Transfer(std::uint64_t id, Request request, Microseconds deadline_us);
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;

  // What makes the request unfit to be sent; empty: nothing.
  [[nodiscard]] std::string_view mistake() const;

  // Sets a fresh handle up.
  void prepare(Easy easy, const ClientOptions& options, Microseconds now_us);
  // The response is an answer or a fault, by how libcurl ended.
  void conclude(CURLcode code);
  void set_fault(Fault fault, std::string_view what);

  [[nodiscard]] std::uint64_t id() const { return response_.id; }
  [[nodiscard]] Microseconds deadline_us() const { return deadline_us_; }
  [[nodiscard]] CURL* handle() const { return easy_.get(); }
  [[nodiscard]] Response take_response() { return std::move(response_); }

  // The transfer a handle was prepared for.
  [[nodiscard]] static Transfer& of(CURL* easy);

 private:
  void set_request(const ClientOptions& options);
  void set_headers();
  void add_header(const std::string& line);
  void set_limits(Microseconds now_us);
  void set_tls(const ClientOptions& options);
  void set_callbacks();
  [[nodiscard]] Fault fault_of(CURLcode code) const;
  [[nodiscard]] bool is_cut_refusal(CURLcode code) const;

  // What libcurl calls while it runs; the last argument or the first is the transfer.
  static std::size_t take_header(char* bytes, std::size_t, std::size_t count, void* context);
  static std::size_t take_body(char* bytes, std::size_t, std::size_t count, void* context);
  static int note_departure(void* context, char*, char*, int, int);
  static int prepare_socket(void*, curl_socket_t socket, curlsocktype);

  const Request request_;
  const Microseconds deadline_us_;
  Response response_;
  std::string host_;  // With the port.
  bool is_url_valid_ = false;

  // Once it has its turn.
  std::unique_ptr<curl_slist, EndList> headers_;
  std::array<char, CURL_ERROR_SIZE> error_{};
  Easy easy_;
  std::string_view refused_;      // Why we ended it.
  std::size_t header_bytes_ = 0;  // So far, of all heads.
  bool has_left_ = false;         // The request began to leave.
  bool head_done_ = false;
};

}  // namespace inlet::fetch
