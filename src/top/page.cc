#include "top/page.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "top/text.h"

namespace inlet::top {
namespace {

// ECMA-48, 8.3.117, by Style.
constexpr std::array<std::string_view, styles> sgr = {"",   "2",  "1",    "1;4",    "32", "36",
                                                      "33", "31", "1;31", "1;7;31", "1;7"};

bool is_words(const Column& column) {
  return column.key == "node" || column.key == "status" || column.key == "cause";
}

void add_text(std::string& out, const Line& line, bool coloured) {
  std::size_t end = line.spans.size();
  while (end > 0 && line.spans[end - 1].text.find_first_not_of(' ') == std::string::npos) end--;
  std::string text;
  for (std::size_t i = 0; i < end; i++) {
    const Span& span = line.spans[i];
    const std::string_view code = sgr[static_cast<std::size_t>(span.style)];
    text +=
        coloured && !code.empty() ? fmt::format("\x1b[{}m{}\x1b[m", code, span.text) : span.text;
  }
  if (!coloured) text.erase(text.find_last_not_of(' ') + 1);
  out += text;
  out += '\n';
}

}  // namespace

Style style_of(health::Level level) {
  constexpr std::array<Style, levels> by_level = {Style::ok, Style::info, Style::warning,
                                                  Style::degraded, Style::severe};
  return by_level.at(static_cast<std::size_t>(level));
}

Style style_of(const Row& row) {
  if (row.reach == Reach::waiting) return Style::faint;
  return row.reach == Reach::silent ? Style::silent : style_of(row.level);
}

std::size_t columns_of(const Line& line) {
  std::size_t out = 0;
  for (const Span& span : line.spans) out += span.text.size();
  return out;
}

void trim(Line& line, std::size_t width) {
  for (Span& span : line.spans) {
    if (span.text.size() > width) span.text.resize(width);
    width -= span.text.size();
  }
}

Line title_line(std::span<const Placed> placed, const Sort& sort) {
  Line line;
  for (const auto& [column, width] : placed) {
    const bool sorted = column == sort.column;
    std::string title(column->title);
    if (sorted) {
      if (title.size() + 2 <= width) title += ' ';
      title += column->ascending != sort.reverse ? '^' : 'v';
    }
    if (!line.spans.empty()) line.spans.push_back({" ", Style::heading});
    line.spans.push_back({is_words(*column) ? left(title, width) : right(title, width),
                          sorted ? Style::sorted : Style::heading});
  }
  return line;
}

Line row_line(std::span<const Placed> placed, const Row& row) {
  const Style name = row.url.empty() ? Style::strong : Style::plain;
  Line line;
  for (const auto& [column, width] : placed) {
    const std::string text = text_of(*column, row);
    if (!line.spans.empty()) line.spans.push_back({" "});
    if (!is_words(*column)) {
      line.spans.push_back({right(text, width), name});
    } else if (column->key == "node") {
      line.spans.push_back({left(text, width), name});
    } else {
      // A bar of colour over the padding would say nothing.
      const std::string shown = cut(text, width);
      line.spans.push_back({shown, style_of(row)});
      line.spans.push_back({std::string(width - shown.size(), ' ')});
    }
  }
  return line;
}

Line count_line(const Summary& summary) {
  Line line;
  line.spans.push_back({summary.row.label, Style::strong});
  const auto add = [&](std::size_t count, std::string_view word, Style style) {
    if (count == 0) return;
    line.spans.push_back({"  "});
    line.spans.push_back({fmt::format("{} {}", count, word), style});
  };
  add(summary.silent, "No answer", Style::silent);
  for (std::size_t i = levels; i-- > 0;) {
    const auto level = static_cast<health::Level>(i);
    add(summary.answering.at(i), health::name_of(level), style_of(level));
  }
  add(summary.waiting, "waiting", Style::faint);
  return line;
}

std::string table_text(const Fleet& fleet, Window window, const Sort& sort, std::size_t width,
                       bool coloured) {
  const Summary summary = summary_of(fleet, window);
  std::vector<Row> rows = rows_of(fleet, window);
  sort_rows(rows, sort);
  rows.insert(rows.begin(), summary.row);
  const auto placed = fit_columns(rows, width, Focus::overview);
  std::string out;
  add_text(out, title_line(placed, sort), coloured);
  for (const Row& row : rows) add_text(out, row_line(placed, row), coloured);
  return out;
}

}  // namespace inlet::top
