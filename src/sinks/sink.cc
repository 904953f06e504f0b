#include "sinks/sink.h"

#include "base/names.h"

namespace inlet::sinks {
namespace {

constexpr std::size_t hex_digits = 12;

// A number as in record ids: the second half of one.
std::string hex(std::uint64_t value) {
  return record_id(0, value & journal_id_mask).substr(record_id_chars - hex_digits);
}

}  // namespace

std::string batch_name(const BatchName& name) {
  return std::string(name.node) + "-" + hex(name.first) + "-" + hex(name.last);
}

std::string node_name(std::string_view node, std::uint64_t journal_id) {
  return std::string(node) + "-" + hex(journal_id);
}

}  // namespace inlet::sinks
