// screen: the terminal, by ncurses: shows pages, reads keys, and leaves it as it was.
//
// Colours are used where the terminal has them and NO_COLOR is not set; the words say the same
// without. There is one terminal, so there is at most one Screen.
//
// One thread.

#pragma once

#include <memory>

#include "base/result.h"
#include "base/time.h"
#include "top/view.h"

namespace inlet::top {

class Screen {
 public:
  // Takes the terminal over; an error if standard output or input is none that can be used.
  [[nodiscard]] static Result<std::unique_ptr<Screen>> open();
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;
  ~Screen();

  [[nodiscard]] Size size() const;
  void show(const Page& page);
  // The next key, waiting for one at most `wait_us`; none: there is none, or one without meaning.
  [[nodiscard]] Key read_key(Microseconds wait_us);
  // The terminal went away.
  [[nodiscard]] bool is_lost() const { return lost_; }

 private:
  struct Terminal;

  explicit Screen(std::unique_ptr<Terminal> terminal);
  void draw_line(int row, const Line& line);

  std::unique_ptr<Terminal> terminal_;
  bool lost_ = false;
};

}  // namespace inlet::top
