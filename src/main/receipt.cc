// The command `inlet receipt ID`: what GET /receipts/ID says, from the files, also of a node that
// does not run.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>

#include "base/names.h"
#include "base/posix_file.h"
#include "journal/catalog.h"
#include "main/cli.h"
#include "serve/receipt_book.h"

namespace inlet::main {
namespace {

Result<std::uint64_t> journal_of(FileSystem& files, const std::string& directory) {
  if (const auto mark = journal::read_commit_mark(files, directory)) return mark->journal_id;
  const auto catalog = journal::read_catalog(files, directory, journal::Look::quick);
  if (!catalog) return fail(catalog);
  if (catalog->journal_id == 0) return fail(ErrorKind::reject, directory + " holds no journal");
  return catalog->journal_id;
}

}  // namespace

int receipt_command(int argc, char** argv) {
  CLI::App app("Says where a record is, and what became of it at each sink, as JSON. Reads only.",
               "inlet receipt");
  CommonFlags flags;
  std::string text;
  add_common_flags(app, flags);
  app.add_option("ID", text, "As the answer to its request gave it")->required();
  if (const auto code = parse(app, argc, argv)) return *code;
  const auto id = parse_record_id(text);
  if (!id) return report_mistake(serve::malformed_answer().detail);

  PosixFileSystem files;
  const auto config = require_config(files, flags);
  if (!config) return exit_mistake;
  const auto journal_id = journal_of(files, config->journal.path);
  if (!journal_id) return report_fault(journal_id.error());
  serve::ReceiptOptions options{.journal_directory = config->journal.path,
                                .dead_directory = config->data + "/dead",
                                .node = config->node.name,
                                .sinks = {}};
  for (const SinkConfig& sink : config->sinks) options.sinks.push_back({sink.name, sink.streams});
  serve::ReceiptBook book(files, *journal_id, std::move(options));
  const serve::ReceiptAnswer answer = book.answer({.id = *id, .tenant = {}});
  if (answer.status != 200) return report_fault({.kind = ErrorKind::reject, .what = answer.detail});
  fmt::print("{}", answer.body);
  return exit_fine;
}

}  // namespace inlet::main
