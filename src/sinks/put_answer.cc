#include "sinks/put_answer.h"

#include <simdjson.h>

#include <algorithm>
#include <array>

namespace inlet::sinks {
namespace {

constexpr std::size_t message_bytes_max = 200;  // Of what a service says about a record.

// Beside everything with "Throttl" in it. Firehose says ServiceUnavailableException when its limits
// are passed (PutRecordBatch, "Errors").
constexpr std::array<std::string_view, 6> throttles{"ProvisionedThroughputExceededException",
                                                    "LimitExceededException",
                                                    "ServiceUnavailableException",
                                                    "ServiceUnavailable",
                                                    "RequestLimitExceeded",
                                                    "TooManyRequestsException"};
constexpr std::array<std::string_view, 2> refusals{"ValidationException",
                                                   "InvalidArgumentException"};

template <std::size_t N>
bool is_one_of(const std::array<std::string_view, N>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// "" if it is missing, null or no string.
std::string_view text_of(simdjson::dom::element entry, std::string_view name) {
  std::string_view text;
  return entry[name].get_string().get(text) == simdjson::SUCCESS ? text : std::string_view();
}

std::unexpected<Error> mistrust(std::string why) {
  return fail(ErrorKind::corrupt, "the answer cannot be believed: " + std::move(why));
}

}  // namespace

Fate fate_of(std::string_view code) {
  if (code.find("Throttl") != std::string_view::npos || is_one_of(throttles, code)) {
    return Fate::throttled;
  }
  return is_one_of(refusals, code) ? Fate::refused : Fate::failed;
}

Result<PutAnswer> read_put_answer(const PutDialect& dialect, std::string_view body,
                                  std::size_t records) {
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  if (parser.parse(body.data(), body.size()).get(root) != simdjson::SUCCESS) {
    return mistrust("it is not JSON");
  }
  simdjson::dom::array entries;
  if (root[dialect.entries].get_array().get(entries) != simdjson::SUCCESS) {
    return mistrust("it says nothing of records");
  }
  PutAnswer answer;
  answer.fates.reserve(records);
  std::uint64_t failed = 0;
  for (const simdjson::dom::element entry : entries) {
    const std::string_view code = text_of(entry, "ErrorCode");
    if (code.empty() && text_of(entry, dialect.proof).empty()) {
      return mistrust("a record is neither stored nor failed");
    }
    answer.fates.push_back(code.empty() ? Fate::stored : fate_of(code));
    if (code.empty()) continue;
    if (failed++ > 0) continue;
    answer.why = code.substr(0, message_bytes_max);
    answer.why += ": ";
    answer.why += text_of(entry, "ErrorMessage").substr(0, message_bytes_max);
  }
  if (answer.fates.size() != records) {
    return mistrust("it is of " + std::to_string(answer.fates.size()) + " records, not " +
                    std::to_string(records));
  }
  std::uint64_t told = 0;
  if (root[dialect.failed].get_uint64().get(told) == simdjson::SUCCESS && told != failed) {
    return mistrust("it miscounts what failed");
  }
  return answer;
}

}  // namespace inlet::sinks
