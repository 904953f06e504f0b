#include "health/prometheus.h"

#include <fmt/format.h>

#include <cmath>

namespace inlet::health {
namespace {

void append_label_value(std::string& out, std::string_view value) {
  for (const char c : value) {
    if (c == '\\' || c == '"') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
}

}  // namespace

void PrometheusText::family(std::string_view name, std::string_view help, std::string_view type) {
  name_ = name;
  fmt::format_to(std::back_inserter(text_), "# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
}

void PrometheusText::start_sample(Labels labels) {
  text_ += name_;
  char separator = '{';
  for (const auto& [label, value] : labels) {
    text_ += separator;
    separator = ',';
    text_ += label;
    text_ += "=\"";
    append_label_value(text_, value);
    text_ += '"';
  }
  if (separator == ',') text_ += '}';
  text_ += ' ';
}

void PrometheusText::sample(std::uint64_t value, Labels labels) {
  start_sample(labels);
  fmt::format_to(std::back_inserter(text_), "{}\n", value);
}

void PrometheusText::sample(double value, Labels labels) {
  start_sample(labels);
  if (std::isinf(value)) {
    text_ += value > 0 ? "+Inf\n" : "-Inf\n";
  } else {
    fmt::format_to(std::back_inserter(text_), "{}\n", value);
  }
}

}  // namespace inlet::health
