// The command `inlet ship SINK`: becomes inlet-ship. Destinations' client libraries live in that
// program alone, so a broken one cannot even be loaded into the door.

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "main/cli.h"
#include "main/process.h"

namespace inlet::main {

int ship_command(int, char** argv) {
  const std::string path = sibling_program("inlet-ship");
  ::execv(path.c_str(), argv);
  const int os = errno;
  return report_fault({ErrorKind::reject, "cannot start " + path + ": " + std::strerror(os), os});
}

}  // namespace inlet::main
