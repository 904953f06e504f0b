#include "main/config_sources.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <set>

#include "base/names.h"

namespace inlet::main {
namespace {

constexpr std::string_view prefix = "INLET_";

// ---- TOML ----

Shape shape_of(const toml::node& node) {
  if (node.is_string()) return Shape::text;
  if (node.is_integer()) return Shape::number;
  if (node.is_floating_point()) return Shape::fraction;
  if (node.is_boolean()) return Shape::boolean;
  if (node.is_array() && node.as_array()->is_homogeneous<std::string>()) return Shape::list;
  if (node.is_array() && node.as_array()->empty()) return Shape::list;
  return Shape::other;
}

// One item a line. An item with a line break in it would be two.
std::string lines_of(const toml::array& items) {
  std::string out;
  for (const toml::node& item : items) {
    if (!out.empty()) out += '\n';
    out += item.as_string()->get();
  }
  return out;
}

std::string_view kind_of(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::string: return "a text";
    case toml::node_type::integer: return "a number";
    case toml::node_type::floating_point: return "a number with a fraction";
    case toml::node_type::boolean: return "true or false";
    case toml::node_type::table: return "a table";
    case toml::node_type::array: return "a list";
    default: return "a date or time";
  }
}

std::string_view expectation(Shape shape) {
  switch (shape) {
    case Shape::number: return "a whole number";
    case Shape::fraction: return "a number such as 0.01";
    case Shape::boolean: return "true or false";
    case Shape::size: return "a size such as \"16MiB\"";
    case Shape::duration: return "a duration such as \"10s\"";
    case Shape::list: return "a list of texts, such as [\"a\", \"b\"]";
    default: return "a text in quotes";
  }
}

bool accepts(Shape wanted, Shape got) {
  if (wanted == Shape::size) return got == Shape::text || got == Shape::number;
  if (wanted == Shape::duration) return got == Shape::text;
  if (wanted == Shape::fraction)
    return got != Shape::boolean && got != Shape::list && got != Shape::other;
  if (wanted == Shape::list) return got == Shape::list || got == Shape::text;
  return wanted == got;
}

class TomlReader {
 public:
  TomlReader(const std::string& file, Written& out) : file_(file), out_(out) {}

  void read_root(const toml::table& root) {
    std::vector<std::string_view> names;
    for (const Section& section : config_sections()) names.push_back(section.name);
    for (const auto& [key, node] : root) {
      const Section* const section = find_section(key.str());
      if (section == nullptr) {
        mistake(key.source(),
                fmt::format("[{}] is not a section{}", key.str(), suggestion(key.str(), names)));
      } else if (!node.is_table()) {
        mistake(node.source(), fmt::format("{0} is a section: write [{0}]", key.str()));
      } else if (section->named) {
        read_named(*section, *node.as_table());
      } else {
        read_section(*section, "", *node.as_table());
      }
    }
  }

  [[nodiscard]] Place place(const toml::source_region& region) const {
    const auto line = region.begin.line;
    const auto column = region.begin.column;
    return {fmt::format("{}:{}:{}", file_, line, column), line, column};
  }

 private:
  void read_named(const Section& section, const toml::table& table) {
    Given itself;
    itself.section = section.name;
    itself.place = place(table.source());
    out_.given.push_back(std::move(itself));
    for (const auto& [key, node] : table) {
      const std::string name(key.str());
      if (!node.is_table()) {
        mistake(key.source(), fmt::format("{0}.{1} is not a table: write [{0}.NAME] and its keys "
                                          "below",
                                          section.name, name));
      } else if (!is_name(name)) {
        mistake(key.source(), fmt::format("\"{}\" is not a name: small letters, digits, '_', '.' "
                                          "and '-', at most 64",
                                          name));
      } else {
        read_section(section, name, *node.as_table());
      }
    }
  }

  void read_section(const Section& section, const std::string& name, const toml::table& table) {
    const std::string path = std::string(section.name) + (name.empty() ? "" : "." + name);
    std::vector<std::string_view> keys;
    for (const Key& key : section.keys) keys.push_back(key.name);
    Given given;
    given.section = section.name;
    given.name = name;
    given.place = place(table.source());
    out_.given.push_back(given);
    for (const auto& [written, node] : table) {
      const Key* const key = find_key(section, written.str());
      if (key == nullptr) {
        const bool dotted = section.named && node.is_table();
        const std::string hint = dotted
                                     ? fmt::format("; a name with a dot is written [{}.\"{}.{}\"]",
                                                   section.name, name, written.str())
                                     : suggestion(written.str(), keys);
        mistake(written.source(),
                fmt::format("{0}.{1} is not a key of [{0}]{2}", path, written.str(), hint));
        continue;
      }
      given.key = written.str();
      given.place = place(node.source());
      if (!accepts(key->shape, shape_of(node))) {
        mistake(node.source(), fmt::format("{}.{} takes {}, not {}", path, key->name,
                                           expectation(key->shape), kind_of(node)));
        continue;
      }
      given.value = value_of(node);
      out_.given.push_back(given);
    }
  }

  static std::string value_of(const toml::node& node) {
    if (const auto* text = node.as_string()) return text->get();
    if (const auto* number = node.as_integer()) return std::to_string(number->get());
    if (const auto* number = node.as_floating_point()) return fmt::format("{}", number->get());
    if (const auto* items = node.as_array()) return lines_of(*items);
    return node.as_boolean()->get() ? "true" : "false";
  }

  void mistake(const toml::source_region& region, std::string what) {
    out_.mistakes.push_back({place(region), std::move(what)});
  }

  const std::string& file_;
  Written& out_;
};

// ---- environment ----

std::string upper(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    if (c == '-' || c == '.') c = '_';
  }
  return out;
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

// A variable and the key it stands for.
struct Variable {
  std::string variable;
  std::string section;
  std::string name;
  std::string key;
};

std::vector<Variable> known_variables(const Written& written) {
  std::vector<Variable> variables;
  for (const Section& section : config_sections()) {
    std::set<std::string> names;
    if (!section.named) names.insert("");
    for (const Given& given : written.given) {
      if (section.named && given.section == section.name && !given.name.empty()) {
        names.insert(given.name);
      }
    }
    for (const std::string& name : names) {
      const std::string start =
          std::string(prefix) + upper(section.name) + (name.empty() ? "" : "_" + upper(name)) + "_";
      for (const Key& key : section.keys) {
        variables.push_back(
            {start + upper(key.name), std::string(section.name), name, std::string(key.name)});
      }
    }
  }
  return variables;
}

// INLET_STREAMS_WEB_FORMAT for a stream that nothing else mentions.
std::optional<Variable> new_name(const std::string& variable) {
  for (const Section& section : config_sections()) {
    const std::string start = std::string(prefix) + upper(section.name) + "_";
    if (!section.named || !variable.starts_with(start)) continue;
    for (const Key& key : section.keys) {
      const std::string end = "_" + upper(key.name);
      if (!variable.ends_with(end) || variable.size() <= start.size() + end.size()) continue;
      const std::string name =
          lower(variable.substr(start.size(), variable.size() - start.size() - end.size()));
      if (!is_name(name)) continue;
      return Variable{variable, std::string(section.name), name, std::string(key.name)};
    }
  }
  return std::nullopt;
}

// A list in the environment: ["a", "b"] as in the file, or one item.
std::string list_of(const std::string& value) {
  if (!value.starts_with('[')) return value;
  try {
    const toml::table parsed = toml::parse("list = " + value);
    const toml::array* const items = parsed["list"].as_array();
    return items != nullptr && shape_of(*items) == Shape::list ? lines_of(*items) : value;
  } catch (const toml::parse_error&) {
    return value;  // One item, and whoever uses it will say what is wrong with it.
  }
}

}  // namespace

void read_toml(std::string_view text, const std::string& file, Written& out) {
  TomlReader reader(file, out);
  try {
    reader.read_root(toml::parse(text, file));
  } catch (const toml::parse_error& error) {
    out.mistakes.push_back({reader.place(error.source()), std::string(error.description())});
  }
}

void read_environment(const std::vector<std::pair<std::string, std::string>>& environment,
                      Written& out) {
  const std::vector<Variable> known = known_variables(out);
  // These are read before the configuration is (sandbox.h), or say where it is.
  static constexpr std::string_view not_keys[] = {"INLET_DATA", "INLET_CONFIG", "INLET_SECCOMP",
                                                  "INLET_CORE_DUMPS"};
  std::vector<std::string_view> names(std::begin(not_keys), std::end(not_keys));
  for (const Variable& variable : known) names.push_back(variable.variable);

  for (const auto& [variable, value] : environment) {
    if (!variable.starts_with(prefix)) continue;
    if (std::ranges::find(not_keys, variable) != std::end(not_keys)) continue;
    Place place;
    place.text = "environment " + variable;
    std::vector<Variable> matches;
    for (const Variable& candidate : known) {
      if (candidate.variable == variable) matches.push_back(candidate);
    }
    if (matches.empty()) {
      if (auto made = new_name(variable)) matches.push_back(std::move(*made));
    }
    if (matches.empty()) {
      out.mistakes.push_back({place, "stands for no key" + suggestion(variable, names)});
    } else if (matches.size() > 1) {
      out.mistakes.push_back(
          {place, fmt::format("could mean {0}.{1}.{2} or {0}.{3}.{4}", matches[0].section,
                              matches[0].name, matches[0].key, matches[1].name, matches[1].key)});
    } else {
      Given given;
      given.section = matches[0].section;
      given.name = matches[0].name;
      given.key = matches[0].key;
      const Key* const key = find_key(*find_section(given.section), given.key);
      given.value = key->shape == Shape::list ? list_of(value) : value;
      given.place = place;
      out.given.push_back(std::move(given));
    }
  }
}

}  // namespace inlet::main
