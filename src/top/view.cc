#include "top/view.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "top/detail.h"
#include "top/text.h"

namespace inlet::top {
namespace {

constexpr std::string_view table_help =
    "q quit  jk select  Enter node  sS sort  r reverse  Tab focus  w window  p pause";
constexpr std::string_view detail_help = "q quit  Esc back  j k scroll  w window  p pause";
constexpr std::size_t lines_above = 3;  // What this is, titles, the fleet.
constexpr std::size_t cause_lines_max = 3;
constexpr std::size_t time_at = 11;         // Of "2026-11-23T10:00:00Z".
constexpr std::size_t rows_for_footer = 8;  // A lower terminal shows nodes instead.

const Node* find_node(const Fleet& fleet, std::string_view url) {
  const auto found = std::ranges::find(fleet.nodes, url, &Node::url);
  return found == fleet.nodes.end() ? nullptr : &*found;
}

// So that `selected` is among `count` rows from the one returned.
std::size_t scrolled(std::size_t first, std::size_t selected, std::size_t count, std::size_t rows) {
  if (selected < first) first = selected;
  if (selected >= first + count) first = selected - count + 1;
  return std::min(first, rows > count ? rows - count : 0);
}

void fit(Page& page, Size size) {
  if (page.size() > size.rows) page.resize(size.rows);
  for (Line& line : page) trim(line, size.columns);
}

}  // namespace

void View::press(Key key) {
  switch (key) {
    case Key::quit: over_ = true; break;
    case Key::back: in_detail_ = false; break;
    case Key::enter:
      if (!in_detail_ && !selected_url_.empty()) {
        in_detail_ = chosen_ = true;
        detail_first_ = 0;
      }
      break;
    case Key::next_sort: move_sort(true); break;
    case Key::previous_sort: move_sort(false); break;
    case Key::reverse: sort_.reverse = !sort_.reverse; break;
    case Key::next_focus:
      focus_ = static_cast<Focus>((static_cast<std::size_t>(focus_) + 1) % focuses);
      break;
    case Key::window:
      window_ = window_ == Window::minute ? Window::seconds_10 : Window::minute;
      break;
    case Key::pause:
      pausing_ = !pausing_;
      frozen_.reset();
      break;
    case Key::none: break;
    default: move(key); break;
  }
}

void View::move(Key key) {
  std::size_t& at = in_detail_ ? detail_first_ : selected_;
  const std::size_t last = rows_ == 0 ? 0 : rows_ - 1;
  switch (key) {
    case Key::up: at -= std::min<std::size_t>(at, 1); break;
    case Key::down: at++; break;
    case Key::page_up: at -= std::min(at, page_rows_); break;
    case Key::page_down: at += page_rows_; break;
    case Key::home: at = 0; break;
    case Key::end: at = last; break;
    default: break;
  }
  at = std::min(at, last);
  if (in_detail_) return;
  chosen_ = true;
  selected_url_.clear();  // The row counts now, not the node that was there.
}

// To the neighbour among the columns that are shown.
void View::move_sort(bool forward) {
  if (in_detail_ || shown_.empty()) return;
  const auto found = std::ranges::find(shown_, sort_.column);
  const auto at = static_cast<std::size_t>(found - shown_.begin());
  const std::size_t count = shown_.size();
  const std::size_t next = forward ? (at + 1) % count : (at + count - 1) % count;
  sort_ = {.column = shown_[found == shown_.end() ? 0 : next]};
}

Page View::draw(const Fleet& fleet, Size size) {
  if (pausing_ && !frozen_) frozen_ = fleet;
  const Fleet& shown = frozen_ ? *frozen_ : fleet;
  Page page;
  if (in_detail_) {
    for (const Row& row : rows_of(shown, window_)) {
      if (row.url == selected_url_) page = draw_detail(shown, row, size);
    }
    if (page.empty()) in_detail_ = false;  // The node is gone.
  }
  if (!in_detail_) page = draw_table(shown, size);
  fit(page, size);
  return page;
}

// The selection stays with its node; where that is gone, or keys have moved it, with the row.
void View::settle_selection(const std::vector<Row>& rows) {
  rows_ = rows.size();
  if (!chosen_) selected_url_.clear();
  const auto found = std::ranges::find(rows, selected_url_, &Row::url);
  if (!selected_url_.empty() && found != rows.end()) {
    selected_ = static_cast<std::size_t>(found - rows.begin());
  }
  selected_ = std::min(selected_, rows.empty() ? 0 : rows.size() - 1);
  selected_url_ = rows.empty() ? "" : rows[selected_].url;
}

Page View::draw_table(const Fleet& fleet, Size size) {
  const Summary summary = summary_of(fleet, window_);
  std::vector<Row> rows = rows_of(fleet, window_);
  sort_rows(rows, sort_);
  settle_selection(rows);
  const Row* const selected = rows.empty() ? nullptr : &rows[selected_];
  const Page below = footer(selected, size);
  const std::size_t taken = lines_above + below.size();
  page_rows_ = size.rows > taken ? size.rows - taken : 1;
  first_ = scrolled(first_, selected_, page_rows_, rows.size());

  std::vector<Row> all = rows;
  all.push_back(summary.row);
  const auto placed = fit_columns(all, size.columns, focus_);
  shown_.clear();
  for (const Placed& place : placed) shown_.push_back(place.column);
  Page page = {status_line(fleet, summary, size.columns), title_line(placed, sort_),
               row_line(placed, summary.row)};
  for (std::size_t i = first_; i < std::min(rows.size(), first_ + page_rows_); i++) {
    page.push_back(row_line(placed, rows[i]));
    page.back().selected = i == selected_;
  }
  if (size.rows > below.size() + 1) add_causes(page, rows, size, size.rows - below.size() - 1);
  while (page.size() + below.size() < size.rows) page.emplace_back();
  page.insert(page.end(), below.begin(), below.end());
  return page;
}

Line View::status_line(const Fleet& fleet, const Summary& summary, std::size_t width) const {
  Line line = count_line(summary);
  line.spans.insert(line.spans.begin(), {"inlet top  ", Style::strong});
  if (pausing_) line.spans.push_back({"  PAUSED", Style::warning});
  std::vector<std::string> facts;  // What matters most first; what does not fit is left out.
  if (rows_ > page_rows_) {
    facts.push_back(
        fmt::format("{}-{} of {}", first_ + 1, std::min(first_ + page_rows_, rows_), rows_));
  }
  facts.push_back(fmt::format("last {}", name_of(window_)));
  facts.push_back(time_text(fleet.wall_us).substr(time_at));
  facts.push_back(fmt::format("by {}", sort_.column->key));
  facts.emplace_back(name_of(focus_));
  std::string rest;
  const std::size_t used = columns_of(line);
  for (const std::string& fact : facts) {
    if (used + rest.size() + 2 + fact.size() > width) break;
    rest += "  " + fact;
  }
  line.spans.push_back({std::string(width - std::min(width, used + rest.size()), ' ')});
  line.spans.push_back({std::move(rest), Style::faint});
  return line;
}

// In the lines that are left over, whole: what the cells of the table had no room for.
void View::add_causes(Page& page, const std::vector<Row>& rows, Size size,
                      std::size_t lines) const {
  bool first = true;
  for (std::size_t i = 0; i < rows.size(); i++) {
    if (i == selected_ || rows[i].cause.empty()) continue;
    const auto text = wrap(fmt::format("{}: {}", rows[i].label, rows[i].cause), size.columns);
    if (page.size() + text.size() + (first ? 1 : 0) > lines) return;
    if (first) page.emplace_back();
    first = false;
    for (const std::string& line : text) page.push_back({{{line, style_of(rows[i])}}});
  }
}

Page View::footer(const Row* selected, Size size) const {
  Page page;
  if (size.rows < rows_for_footer) return page;
  if (selected != nullptr && !selected->cause.empty()) {
    auto lines = wrap(fmt::format("{}: {}", selected->label, selected->cause), size.columns);
    if (lines.size() > cause_lines_max) {
      lines.resize(cause_lines_max);
      lines.back() = cut(lines.back() + "   ", lines.back().size() + 2);
    }
    for (std::string& line : lines) page.push_back({{{std::move(line), style_of(*selected)}}});
  }
  page.push_back({{{std::string(table_help), Style::faint}}});
  return page;
}

Page View::draw_detail(const Fleet& fleet, const Row& row, Size size) {
  const Node* const node = find_node(fleet, row.url);
  CHECK(node != nullptr);
  const Page all = detail_page(*node, row, size.columns);
  const std::size_t help = size.rows > 1 ? 1 : 0;
  page_rows_ = std::max<std::size_t>(size.rows - help, 1);
  // A line can be at the top only as long as the page below it is full.
  rows_ = all.size() > page_rows_ ? all.size() - page_rows_ + 1 : 1;
  detail_first_ = std::min(detail_first_, rows_ - 1);
  Page page;
  for (std::size_t i = detail_first_; i < std::min(all.size(), detail_first_ + page_rows_); i++) {
    page.push_back(all[i]);
  }
  while (page.size() + help < size.rows) page.emplace_back();
  std::string text(detail_help);
  if (rows_ > 1) text += fmt::format("  line {} of {}", detail_first_ + 1, all.size());
  if (pausing_) text += "  PAUSED";
  page.push_back({{{cut(text, size.columns), Style::faint}}});
  return page;
}

}  // namespace inlet::top
