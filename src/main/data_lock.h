// data_lock: one supervisor, or one adoption, per data directory.
//
// The lock is <data>/run.lock, which holds the owner's pid for people. It belongs to the open
// descriptor, so it passes through exec with it.

#pragma once

#include <string>

#include "base/result.h"
#include "main/listeners.h"

namespace inlet::main {

// ErrorKind::reject if another process holds it:
// "data directory ./data is in use by process 17".
[[nodiscard]] Result<Descriptor> lock_data(const std::string& data);

// The process that holds it, as it says; 0: nobody does.
[[nodiscard]] Result<long> owner_of_data(const std::string& data);

}  // namespace inlet::main
