// receipt_desk: where loops ask for receipts; the clerk looks them up.
//
// Every question is answered exactly once, on the loop that asked: at once, when the clerk is done,
// or with 503 when there is no place or the clerk stops.
//
// Threads: ask() from any loop.

#pragma once

#include <functional>

#include "serve/clerk.h"
#include "serve/receipt_book.h"

namespace inlet::serve {

class ReceiptDesk {
 public:
  // Runs a function on that loop's thread.
  using Post = std::function<void(unsigned loop, std::move_only_function<void()> function)>;
  using OnAnswer = std::move_only_function<void(const ReceiptAnswer&)>;

  // `clerk` and `book` outlive the desk; the clerk is stopped while loops still run.
  ReceiptDesk(Clerk& clerk, ReceiptBook& book, Post post)
      : clerk_(clerk), book_(book), post_(std::move(post)) {}

  // `loop`: the caller's own. `on_answer` may be called before ask() returns.
  void ask(unsigned loop, ReceiptQuestion question, OnAnswer on_answer);

 private:
  Clerk& clerk_;
  ReceiptBook& book_;
  const Post post_;
};

}  // namespace inlet::serve
