// The command `inlet top`: becomes inlet-top. What asks other hosts and draws on terminals lives in
// that program alone, so the door maps none of it.

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "main/cli.h"
#include "main/process.h"

namespace inlet::main {

int top_command(int, char** argv) {
  const std::string path = sibling_program("inlet-top");
  ::execv(path.c_str(), argv);
  const int os = errno;
  return report_fault({ErrorKind::reject, "cannot start " + path + ": " + std::strerror(os), os});
}

}  // namespace inlet::main
