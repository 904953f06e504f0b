// service: the door as a whole: server, journal and what connects them. Start, drain, stop.
//
// Threads: one that owns it; the loops, the committer and the housekeeper belong to it.

#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/memory.h"
#include "http/server.h"
#include "serve/admin.h"
#include "serve/door.h"
#include "serve/vitals.h"

namespace inlet::serve {

struct ServiceOptions {
  http::Options http;
  journal::StoreOptions store;
  std::size_t memory_bytes = 256U << 20;  // Ceiling on the process; what clients can use is less.
  StreamRules rules;
  std::string replica;  // The sink that Inlet-Ack: replicated waits for; "": there is none.
  Microseconds ack_timeout_us = 5'000'000;
  bool keys_required = false;
  std::string keys_path;
  TenantLimits limits;  // Of tenants that are not named.
  NamedLimits tenants;
  std::uint64_t idempotency_keys_max = 1'000'000;
  Microseconds idempotency_window_us = Microseconds{24} * 3'600'000'000;
  std::uint64_t body_bytes_max = 16U << 20;         // Of any stream.
  std::vector<ReceiptSink> sinks;                   // All of store.sinks, with their streams.
  std::string dead_directory;                       // Of the sinks' dead letters.
  logs::AccessOptions access;                       // But for journal_id, loops and seed.
  std::optional<logs::LogFileOptions> access_file;  // Empty: to standard error.
  std::string node;                                 // For status.json.
  std::string version;
  std::vector<std::string> admin_origins;
  VitalsOptions vitals;  // But for what is said above.
};

class Service final : journal::CommitListener {
 public:
  // Opens the journal. `files` and `clock` outlive the service.
  [[nodiscard]] static Result<std::unique_ptr<Service>> open(FileSystem& files, Clock& clock,
                                                             ServiceOptions options);
  ~Service() override;

  // Before start(). Take over listening sockets.
  void add_ingest_listener(int fd, http::ListenerOptions options = {});
  void add_admin_listener(int fd);
  void start();

  // Has the file of keys looked at now.
  void reload() { gate_.reload(); }

  // From now on /readyz says no; everything else goes on.
  void announce_draining();
  // Serves on for a moment with answers that end their connections, so that hardly any request is
  // on its way into one when drain() closes it.
  void call_last();
  // Stops accepting, answers what is in progress, and returns when every connection is closed or
  // `patience_us` have passed.
  void drain(Microseconds patience_us);
  // Commits what waits and ends all threads.
  void stop();

 private:
  Service(FileSystem& files, Clock& clock, ServiceOptions options);
  void connect(FileSystem& files);
  void watch_sinks(FileSystem& files);
  void open_access_log(FileSystem& files);
  void on_commits(unsigned loop, journal::Ticket* tickets) override;
  void on_write(Microseconds took_us) override;

  Clock& clock_;
  const ServiceOptions options_;
  MemoryBudget memory_;
  journal::BufferPool pool_;
  Figures figures_;
  Tenants tenants_;
  Gate gate_;
  DoorContext context_;
  std::unique_ptr<journal::Journal> journal_;
  http::Server server_;
  std::unique_ptr<ReplicaWatch> replica_;  // After the server: it posts to its loops.
  std::unique_ptr<SinkWatch> sinks_;
  std::unique_ptr<Idempotency> idempotency_;  // The same.
  std::unique_ptr<JournalShares> shares_;
  std::unique_ptr<ReceiptBook> receipt_book_;
  std::unique_ptr<Clerk> clerk_;  // The same.
  std::unique_ptr<ReceiptDesk> receipts_;
  std::unique_ptr<logs::AccessLog> access_;
  std::unique_ptr<Vitals> vitals_;
  AdminContext admin_;
  bool stopped_ = false;
};

// Of a process's memory, what is not client data: code, stacks, connections, metadata.
inline constexpr std::size_t memory_bytes_overhead = 24U << 20;

}  // namespace inlet::serve
