// column: what the table can show of a node, and which of it where there is no room for all.
//
// Every column has a place, a rank (0: the last to leave) and a figure to sort by. A focus lifts
// the columns of one group above all but the node, its status and the cause.
//
// Pure; any thread.

#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "top/fleet.h"

namespace inlet::top {

enum class Group : unsigned char { always, requests, latency, host, journal };
enum class Focus : unsigned char { overview, requests, latency, host, journal };
inline constexpr std::size_t focuses = 5;
[[nodiscard]] std::string_view name_of(Focus focus);

struct Column {
  std::string_view key;  // As --sort takes it.
  std::string_view title;
  Group group;
  std::size_t width;  // Of "node" and "cause" the least.
  unsigned rank;
  bool ascending;  // How it is sorted unless turned round: what matters first.
};

// In the order they stand in.
[[nodiscard]] std::span<const Column> columns();
// By key; empty: there is none.
[[nodiscard]] const Column* find_column(std::string_view key);

[[nodiscard]] std::string text_of(const Column& column, const Row& row);  // "-": no figure.

struct Sort {
  const Column* column;
  bool reverse = false;
};
[[nodiscard]] Sort default_sort();  // Worst status first.
// Rows without the figure come last, either way round.
void sort_rows(std::vector<Row>& rows, const Sort& sort);

struct Placed {
  const Column* column;
  std::size_t width;
};
inline constexpr std::size_t any_width = static_cast<std::size_t>(-1);
// The columns that fit into `width`, one space between them, in order. What is left over goes to
// the cause. any_width: all of them, nothing cut.
[[nodiscard]] std::vector<Placed> fit_columns(std::span<const Row> rows, std::size_t width,
                                              Focus focus);

}  // namespace inlet::top
