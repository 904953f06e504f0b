// result: how an operation says it did not work.
//
// An Error is classified by what the caller should do next, not by where it arose. Result<T> holds
// a T or an Error; Status holds success or an Error. Neither may be ignored. Exceptions do not
// cross rooms: a library that throws is caught in the one .cc that includes its headers.

#pragma once

#include <expected>
#include <string>
#include <utility>

namespace inlet {

enum class ErrorKind : unsigned char {
  retry,     // Transient: the same call may work later. Back off first.
  overload,  // The other side, or our disk, is full: slow down, then retry.
  reject,    // This input will never be accepted: answer 4xx, or set the record aside.
  corrupt,   // Bytes on disk or on the wire are not what was written.
  stopped,   // We are shutting down; not a fault.
};

struct [[nodiscard]] Error {
  ErrorKind kind;
  std::string what;  // One sentence for the operator: the operation, the object, the cause.
  int os = 0;        // errno where a system call failed, else 0.
};

template <typename T>
using Result = std::expected<T, Error>;
using Status = std::expected<void, Error>;

// `return fail(ErrorKind::corrupt, "...");` from a function returning Result or Status.
[[nodiscard]] inline std::unexpected<Error> fail(ErrorKind kind, std::string what, int os = 0) {
  return std::unexpected(Error{kind, std::move(what), os});
}

// Passes another call's error on: `if (!read) return fail(read);`
template <typename T>
[[nodiscard]] std::unexpected<Error> fail(const Result<T>& result) {
  return std::unexpected(result.error());
}

}  // namespace inlet
