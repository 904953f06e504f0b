#include "main/adoption.h"

#include <fmt/format.h>

#include <span>

#include "main/node_state.h"

namespace inlet::main {
namespace {

constexpr std::size_t name_bytes_max = 256;

}  // namespace

Result<Config> config_for(FileSystem& files, const std::string& directory, Config config) {
  config.data = directory;
  config.journal.path = directory + "/journal";
  if (!files.list(config.journal.path)) {
    return fail(ErrorKind::reject, directory + " is no data directory: it has no journal in it");
  }
  // One that was last run by a version without this file: its objects get our name.
  const auto file = files.open(fmt::format("{}/{}", directory, node_name_file), {});
  if (!file) return config;
  std::string name(name_bytes_max, '\0');
  const auto got = (*file)->read_at(std::as_writable_bytes(std::span(name)), 0);
  if (!got) return fail(got);
  name.resize(*got);
  if (!name.empty()) config.node.name = name;
  return config;
}

}  // namespace inlet::main
