// page: lines of text with a meaning, which a terminal shows in colour.
//
// Every text in it is printable ASCII (text.h). Pure; any thread.

#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "health/status_rules.h"
#include "top/column.h"

namespace inlet::top {

enum class Style : unsigned char {
  plain,
  faint,
  strong,
  heading,
  ok,
  info,
  warning,
  degraded,
  severe,
  silent,  // A node that does not answer.
  sorted,  // The title of the column that decides the order.
};
inline constexpr std::size_t styles = 11;
[[nodiscard]] Style style_of(health::Level level);
[[nodiscard]] Style style_of(const Row& row);

struct Span {
  std::string text;
  Style style = Style::plain;
};

struct Line {
  std::vector<Span> spans;
  bool selected = false;
};
using Page = std::vector<Line>;

[[nodiscard]] std::size_t columns_of(const Line& line);
// What is beyond `width` goes.
void trim(Line& line, std::size_t width);

// The parts of the table.
[[nodiscard]] Line title_line(std::span<const Placed> placed, const Sort& sort);
[[nodiscard]] Line row_line(std::span<const Placed> placed, const Row& row);

// "3 nodes", then how many there are of each status.
[[nodiscard]] Line count_line(const Summary& summary);

// The whole table as text, a line each; colours are escape sequences (ECMA-48 SGR) if wanted.
[[nodiscard]] std::string table_text(const Fleet& fleet, Window window, const Sort& sort,
                                     std::size_t width, bool coloured);

}  // namespace inlet::top
