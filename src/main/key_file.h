// key_file: changes to the file of keys, each whole or not at all.
//
// Serve only reads the file (serve/key_watch.h); these are its writers. A change is made under a
// lock beside the file, written to a new file and renamed, so that two commands at once lose
// nothing and a reader sees one state or the next. Lines that are not concerned stay as they are.
//
// Invariants:
//   - what is written is right: a file with a mistake in it is not changed, the mistake is told.
//   - the file is for its owner only (0600), and stays that owner's when root changes it.
//
// Any thread, any process.

#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/file.h"
#include "base/time.h"
#include "serve/key_table.h"

namespace inlet::main {

// "" if there is none.
[[nodiscard]] Result<std::string> read_key_file(FileSystem& files, const std::string& path);

// What the text is to become, or why it stays.
using KeyFileChange = std::function<Result<std::string>(const std::string& text)>;
// Makes the file and its directory where there is none. Waits for others who change it.
[[nodiscard]] Status change_key_file(FileSystem& files, Clock& clock, const std::string& path,
                                     const KeyFileChange& change);

// The text with one more line,
[[nodiscard]] std::string with_key(std::string text, const serve::KeyEntry& entry);
// with the line of that id anew, or without it; empty if it has no such line.
[[nodiscard]] std::optional<std::string> with_key_changed(std::string_view text,
                                                          const serve::KeyEntry& entry);
[[nodiscard]] std::optional<std::string> without_key(std::string_view text, serve::KeyId id);

}  // namespace inlet::main
