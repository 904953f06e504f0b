#include "http/forwarded.h"

#include "http/characters.h"

namespace inlet::http {
namespace {

bool is_port(std::string_view text) {
  if (text.empty() || text.size() > 5) return false;
  for (const char c : text) {
    if (!is_digit(c)) return false;
  }
  return true;
}

std::optional<IpAddress> parse_hop(std::string_view text) {
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"') {
    text = text.substr(1, text.size() - 2);
  }
  if (text.starts_with('[')) {
    const std::size_t close = text.find(']');
    if (close == std::string_view::npos) return std::nullopt;
    const std::string_view inside = text.substr(1, close - 1);
    const std::string_view after = text.substr(close + 1);
    if (!after.empty() && (after[0] != ':' || !is_port(after.substr(1)))) return std::nullopt;
    if (inside.find(':') == std::string_view::npos) return std::nullopt;
    return parse_ip_address(inside);
  }
  const std::size_t colon = text.find(':');
  if (colon != std::string_view::npos && colon == text.rfind(':')) {
    if (!is_port(text.substr(colon + 1))) return std::nullopt;
    text = text.substr(0, colon);
  }
  return parse_ip_address(text);
}

}  // namespace

std::optional<IpAddress> forwarded_address(const RequestHead& head, const IpAddress& socket,
                                           const AddressList& trusted) {
  if (!trusted.contains(socket)) return std::nullopt;
  std::optional<IpAddress> last;
  const std::span<const Field> fields = head.fields();
  for (auto field = fields.rbegin(); field != fields.rend(); ++field) {
    if (!equals_ignoring_case(field->name, "x-forwarded-for")) continue;
    std::string_view list = field->value;
    while (true) {
      const std::size_t comma = list.rfind(',');
      const std::string_view element =
          trimmed(comma == std::string_view::npos ? list : list.substr(comma + 1));
      // RFC 9110 section 5.6.1.2: empty elements of a list count for nothing.
      if (!element.empty()) {
        last = parse_hop(element);
        if (!last || !trusted.contains(*last)) return last;
      }
      if (comma == std::string_view::npos) break;
      list = list.substr(0, comma);
    }
  }
  return last;
}

}  // namespace inlet::http
