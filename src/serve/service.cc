#include "serve/service.h"

#include <random>

namespace inlet::serve {
namespace {

constexpr Microseconds drain_poll_us = 5'000;
constexpr Microseconds last_call_us = 300'000;     // Of connections in use.
constexpr std::size_t kept_from_bodies_share = 8;  // One part in this many.

std::size_t client_memory(std::size_t memory_bytes) {
  CHECK(memory_bytes > memory_bytes_overhead);
  return memory_bytes - memory_bytes_overhead;
}

}  // namespace

Service::Service(FileSystem& files, Clock& clock, ServiceOptions options)
    : clock_(clock),
      options_(std::move(options)),
      memory_(client_memory(options_.memory_bytes),
              client_memory(options_.memory_bytes) / kept_from_bodies_share),
      pool_(memory_),
      figures_(options_.http.loops),
      tenants_(clock_, options_.limits, options_.tenants),
      gate_(files, clock_,
            {.keys_required = options_.keys_required,
             .keys_path = options_.keys_path,
             .loops = options_.http.loops},
            tenants_),
      context_{.clock = clock_,
               .memory = memory_,
               .pool = pool_,
               .rules = options_.rules,
               .figures = figures_,
               .ack_timeout_us = options_.ack_timeout_us},
      server_(options_.http, memory_, clock_),
      admin_{.node = {.clock = clock_,
                      .door = context_,
                      .server = server_,
                      .memory = memory_,
                      .tenants = tenants_,
                      .node = options_.node,
                      .version = options_.version,
                      .started_us = clock_.steady_us()},
             .origins = options_.admin_origins} {
  for (const auto& [name, limits] : options_.tenants) (void)tenants_.of(name);
}

Result<std::unique_ptr<Service>> Service::open(FileSystem& files, Clock& clock,
                                               ServiceOptions options) {
  journal::JournalOptions journal_options{.store = options.store,
                                          .loops = static_cast<unsigned>(options.http.loops)};
  journal_options.store.floor = 1;  // Idempotency sets it when it knows better.
  std::unique_ptr<Service> service(new Service(files, clock, std::move(options)));
  auto journal =
      journal::Journal::open(files, clock, service->pool_, *service, std::move(journal_options));
  if (!journal) return fail(journal);
  service->journal_ = std::move(*journal);
  service->connect(files);
  return service;
}

Service::~Service() { stop(); }

void Service::connect(FileSystem& files) {
  context_.journal = journal_.get();
  context_.gate = &gate_;
  idempotency_ = Idempotency::open(files, clock_, memory_, *journal_,
                                   {.journal_directory = options_.store.directory,
                                    .max_keys = options_.idempotency_keys_max,
                                    .window_us = options_.idempotency_window_us},
                                   [this](unsigned loop, KeyedRequest* list) {
                                     server_.post(loop, [list] { Door::on_joined(list); });
                                   });
  context_.idempotency = idempotency_.get();
  shares_ =
      std::make_unique<JournalShares>(tenants_, *journal_, files, clock_,
                                      JournalSharesOptions{.directory = options_.store.directory});
  context_.shares = shares_.get();
  receipt_book_ =
      std::make_unique<ReceiptBook>(files, journal_->journal_id(),
                                    ReceiptOptions{.journal_directory = options_.store.directory,
                                                   .dead_directory = options_.dead_directory,
                                                   .node = options_.node,
                                                   .sinks = options_.sinks,
                                                   .body_bytes_max = options_.body_bytes_max},
                                    &memory_);
  clerk_ = std::make_unique<Clerk>();
  receipts_ = std::make_unique<ReceiptDesk>(
      *clerk_, *receipt_book_, [this](unsigned loop, std::move_only_function<void()> function) {
        server_.post(loop, std::move(function));
      });
  context_.receipts = receipts_.get();
  watch_sinks(files);
  std::random_device random;
  for (std::size_t i = 0; i < options_.http.loops; i++) {
    context_.request_ids.emplace_back(std::uint64_t{random()} << 32 | random());
  }
  open_access_log(files);
  VitalsOptions vitals = options_.vitals;
  vitals.loops = options_.http.loops;
  vitals.journal_directory = options_.store.directory;
  vitals.emf.node = options_.node;
  vitals_ = std::make_unique<Vitals>(files, clock_, context_, server_, memory_, std::move(vitals));
  admin_.node.vitals = vitals_.get();
}

void Service::open_access_log(FileSystem& files) {
  logs::AccessOptions access = options_.access;
  if (access.access == logs::Access::off) return;
  access.journal_id = journal_->journal_id();
  access.loops = options_.http.loops;
  access.seed = static_cast<std::uint64_t>(clock_.wall_us());
  std::unique_ptr<logs::LogFile> file;
  if (options_.access_file) {
    file = std::make_unique<logs::LogFile>(files, clock_, *options_.access_file);
  }
  access_ = std::make_unique<logs::AccessLog>(clock_, access, std::move(file));
  context_.access = access_.get();
}

void Service::watch_sinks(FileSystem& files) {
  sinks_ = std::make_unique<SinkWatch>(files, options_.store.directory, options_.store.sinks);
  context_.sinks = sinks_.get();
  if (options_.replica.empty()) return;
  replica_ = std::make_unique<ReplicaWatch>(
      files, clock_, journal_->journal_id(),
      ReplicaWatchOptions{.journal_directory = options_.store.directory, .sink = options_.replica},
      [this](unsigned loop, ReplicaWaiter* list) {
        server_.post(loop, [list] { Door::on_replicated(list); });
      });
  context_.replica = replica_.get();
}

void Service::add_ingest_listener(int fd, http::ListenerOptions options) {
  options.answers = vitals_.get();
  server_.add_listener(
      fd,
      [this](http::Connection& connection) { return std::make_unique<Door>(context_, connection); },
      std::move(options));
}

void Service::add_admin_listener(int fd) {
  server_.add_listener(fd, [this](http::Connection& connection) {
    return std::make_unique<Admin>(admin_, connection);
  });
}

void Service::start() {
  journal_->start();
  idempotency_->start();
  shares_->start();
  vitals_->start();
  if (access_) access_->start();
  server_.start();
}

void Service::announce_draining() { context_.draining = true; }

void Service::call_last() {
  server_.call_last();
  const Microseconds until = clock_.steady_us() + last_call_us;
  while (server_.counters().open > 0 && clock_.steady_us() < until) clock_.sleep(drain_poll_us);
}

void Service::drain(Microseconds patience_us) {
  announce_draining();
  server_.drain();
  const Microseconds until = clock_.steady_us() + patience_us;
  const auto over = [this] { return server_.reached_all_loops() && server_.counters().open == 0; };
  while (!over() && clock_.steady_us() < until) clock_.sleep(drain_poll_us);
}

void Service::stop() {
  if (stopped_) return;
  stopped_ = true;
  // The journal first: it hands every ticket back while the loops still run to answer.
  if (journal_) journal_->stop();
  if (replica_) replica_->stop();
  if (clerk_) clerk_->stop();
  drain(drain_poll_us);
  if (vitals_) vitals_->stop_looking();  // At the server, among others.
  server_.stop();
  if (idempotency_) idempotency_->stop();  // Nobody can settle a key any more.
  if (shares_) shares_->stop();
  if (vitals_) vitals_->stop();
  if (access_) access_->stop();
}

void Service::on_commits(unsigned loop, journal::Ticket* tickets) {
  server_.post(loop, [tickets] { Door::on_commits(tickets); });
}

void Service::on_write(Microseconds took_us) {
  if (vitals_) vitals_->commit_took(took_us);
}

}  // namespace inlet::serve
