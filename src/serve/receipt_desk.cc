#include "serve/receipt_desk.h"

#include <utility>

namespace inlet::serve {
namespace {

constexpr std::string_view busy = "too many receipts are being looked up";
constexpr std::string_view stopping = "this node is stopping";

}  // namespace

void ReceiptDesk::ask(unsigned loop, ReceiptQuestion question, OnAnswer on_answer) {
  if (const auto known = book_.answer_at_once(question)) return on_answer(*known);
  const std::string tenant = question.tenant;
  // Shared by the two ways out: the job that is taken, and the answer when it is not.
  struct Asked {
    ReceiptQuestion question;
    OnAnswer on_answer;
  };
  auto asked = std::make_unique<Asked>(std::move(question), std::move(on_answer));
  Asked* const mine = asked.get();
  Clerk::Job job = [this, loop, asked = std::move(asked)](Clerk::Call call) mutable {
    ReceiptAnswer answer =
        call == Clerk::Call::run ? book_.answer(asked->question) : later_answer(stopping);
    post_(loop,
          [asked = std::move(asked), answer = std::move(answer)] { asked->on_answer(answer); });
  };
  // A job that was not taken is still here, and with it what was asked.
  if (!clerk_.post(tenant, job)) mine->on_answer(later_answer(busy));
}

}  // namespace inlet::serve
