// The command `inlet ship SINK`: becomes inlet-ship. Destinations' client libraries live in that
// program alone, so a broken one cannot even be loaded into the door.

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "main/cli.h"
#include "main/process.h"

namespace inlet::main {

int become_ship(const std::vector<std::string>& words) {
  std::vector<std::string> all = {"inlet ship"};
  all.insert(all.end(), words.begin(), words.end());
  std::vector<char*> arguments;
  for (std::string& word : all) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  const std::string path = sibling_program("inlet-ship");
  ::execv(path.c_str(), arguments.data());
  const int os = errno;
  return report_fault({ErrorKind::reject, "cannot start " + path + ": " + std::strerror(os), os});
}

int ship_command(int argc, char** argv) { return become_ship({argv + 1, argv + argc}); }

}  // namespace inlet::main
