// load_tls: TLS for the load generator.

#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "load/security.h"
#include "load/target.h"

namespace inlet::main {

// Null for a target without TLS. `ca_file` "": whom the system trusts; `insecure`: anyone.
[[nodiscard]] Result<std::unique_ptr<loader::Security>> open_security(const loader::Target& target,
                                                                      const std::string& ca_file,
                                                                      bool insecure);

}  // namespace inlet::main
