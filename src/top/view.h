// view: what an operator sees and what their keys do; the terminal itself is screen.h's.
//
// Two pages: the table of all nodes, and one node in detail. The selection is the first row until a
// key moves it; from then on it follows its node when the order changes.
//
// Invariant: a page drawn never has more lines or columns than the terminal.
//
// Pure; one thread.

#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "top/page.h"

namespace inlet::top {

enum class Key : unsigned char {
  none,
  up,
  down,
  page_up,
  page_down,
  home,
  end,
  enter,
  back,
  next_sort,
  previous_sort,
  reverse,
  next_focus,
  window,
  pause,
  quit,
};

struct Size {
  std::size_t rows;
  std::size_t columns;
};

struct ViewOptions {
  Sort sort = default_sort();
  Window window = Window::seconds_10;
};

class View {
 public:
  explicit View(const ViewOptions& options) : sort_(options.sort), window_(options.window) {}

  void press(Key key);
  // What to show now. While paused, what there was when the pause began.
  [[nodiscard]] Page draw(const Fleet& fleet, Size size);
  [[nodiscard]] bool is_over() const { return over_; }

 private:
  [[nodiscard]] Page draw_table(const Fleet& fleet, Size size);
  [[nodiscard]] Page draw_detail(const Fleet& fleet, const Row& row, Size size);
  [[nodiscard]] Line status_line(const Fleet& fleet, const Summary& summary,
                                 std::size_t width) const;
  // The whole cause of the selected node, and the keys.
  [[nodiscard]] Page footer(const Row* selected, Size size) const;
  void add_causes(Page& page, const std::vector<Row>& rows, Size size, std::size_t lines) const;
  void settle_selection(const std::vector<Row>& rows);
  void move(Key key);
  void move_sort(bool forward);

  Sort sort_;
  Window window_;
  Focus focus_ = Focus::overview;
  bool over_ = false;
  bool pausing_ = false;         // Asked for, or in force:
  std::optional<Fleet> frozen_;  // then this is shown.
  bool in_detail_ = false;

  // Of the page drawn last, which is what keys are about.
  std::vector<const Column*> shown_;  // Columns.
  std::size_t page_rows_ = 1;
  std::size_t rows_ = 0;
  std::size_t selected_ = 0;
  std::string selected_url_;
  bool chosen_ = false;           // By a key.
  std::size_t first_ = 0;         // Row of the table at the top.
  std::size_t detail_first_ = 0;  // Line of the detail at the top.
};

}  // namespace inlet::top
