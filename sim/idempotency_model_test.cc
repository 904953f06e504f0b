// Goal: no key of an acknowledged record is forgotten inside the window, and none is answered for a
// record that is not its own, whatever crashes, power cuts and faults of the log come between.
// Method: the real journal, table and log on a simulated disk against a map of what was settled:
// long random runs of requests, commits, deliveries, time and crashes, from seeds.

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <malloc.h>

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/limits.h"
#include "base/log.h"
#include "journal/cursor.h"
#include "serve/idempotency.h"
#include "sim/random.h"
#include "sim/seeds.h"
#include "sim/sim_disk.h"

namespace inlet::sim {
namespace {

constexpr std::uint64_t seeds_default = 200;
constexpr Microseconds second_us = 1'000'000;
constexpr Microseconds window_us = 60 * second_us;
constexpr std::uint64_t keys = 60;
constexpr std::uint64_t bodies = 3;
constexpr std::size_t small_bytes = 40;
constexpr std::size_t large_bytes = 150'000;
constexpr int commits_max = 100;

// The simulated lives take buffers of a MiB: asking the system each time would be most of the cost.
[[maybe_unused]] const bool memory_kept =
    mallopt(M_MMAP_THRESHOLD, 1 << 30) != 0 && mallopt(M_TRIM_THRESHOLD, 1 << 30) != 0;

struct Request : journal::Ticket, serve::KeyedRequest {
  std::uint64_t key_number = 0;
  std::uint64_t body_number = 0;
  Microseconds at_us = 0;
  const Request* joined = nullptr;  // The first it waits for.
  bool back = false;
};

// What the model knows of a key.
struct Known {
  std::uint64_t body;
  std::uint64_t sequence;
  Microseconds at_us;
  bool certain = true;  // Else it may be forgotten: the log could not be written at the end.
};
// A request that was not acknowledged may have been stored all the same: the next life tells.
struct Attempt {
  std::uint64_t body;
  Microseconds at_us;
};

class World final : public journal::CommitListener {
 public:
  explicit World(std::uint64_t seed) : random_(seed), disk_(clock_, random_.next()) {
    CHECK(disk_.make_directories(directory));
    disk_.allow_garbage(seed % 2 == 0);
  }
  ~World() override { drop(); }

  void run() {
    const std::uint64_t lives = 3 + random_.below(6);
    for (std::uint64_t life = 0; life < lives && complaints.empty(); life++) {
      if (random_.chance(0.7)) {
        disk_.crash_at(1 + random_.below(random_.chance(0.3) ? 20 : 300), draw_crash());
      }
      open();
      for (std::uint64_t steps = random_.below(150); steps > 0 && up(); steps--) step();
      if (up() && random_.chance(0.2)) end_well();
      disk_.crash(draw_crash());
      drop();
      disk_.clear_faults();
      disk_.restart();
    }
    open();
    for (std::uint64_t key = 0; key < keys; key++) ask(key, 0);
    if (!up()) return;
    commit();
    run_loops();
  }

  std::vector<std::string> complaints;
  std::string story;
  std::uint64_t stored = 0, duplicates = 0, joined = 0, failed_lives = 0;

  void on_commits(unsigned /*loop*/, journal::Ticket* tickets) override {
    for (; tickets != nullptr; tickets = tickets->next) {
      returned_.push_back(static_cast<Request*>(tickets));
    }
  }

 private:
  static inline const std::string directory = "data/journal";

  [[nodiscard]] Crash draw_crash() { return random_.chance(0.6) ? Crash::power : Crash::process; }
  [[nodiscard]] bool up() const { return idempotency_ && disk_.running() && complaints.empty(); }
  void tell(const std::string& event) { story += event + "\n"; }
  void complain(const std::string& what) {
    tell("COMPLAINT: " + what);
    complaints.push_back(what);
  }
  static Attempt attempt_of(const Request& request) { return {request.body_number, request.at_us}; }

  void open() {
    tell("open");
    journal::JournalOptions options{.store = {.directory = directory,
                                              .segment_bytes = limits::segment_bytes_min,
                                              .bytes_max = 8 * limits::segment_bytes_min,
                                              .sinks = {"archive"},
                                              .floor = 1},
                                    .loops = 2};
    auto opened = journal::Journal::open(disk_, clock_, pool_, *this, options);
    if (!disk_.running()) return;
    if (!opened) return complain("the journal does not open: " + opened.error().what);
    journal_ = std::move(*opened);
    look_at_identity();
    idempotency_ = serve::Idempotency::open(
        disk_, clock_, memory_, *journal_,
        {.journal_directory = directory, .max_keys = 10'000, .window_us = window_us},
        [this](unsigned loop, serve::KeyedRequest* list) { handed_back(loop, list); });
    look_at_log();
    const serve::IdempotencyStatus status = idempotency_->status();
    tell(fmt::format("{} entries, {} records, complete to {} of {}", status.entries_loaded,
                     status.records_scanned, status.complete_to, journal_->next_sequence()));
  }

  // Where every segment was delivered, failed a flush and was removed, and the power took the
  // commit mark, the journal is another one: its ids are new, and so are all keys.
  void look_at_identity() {
    if (journal_id_ != 0 && journal_id_ != journal_->journal_id()) {
      expect(segment_fault_ || stored == 0, "a journal keeps its id");
      known_.clear();
      possible_.clear();
    }
    journal_id_ = journal_->journal_id();
  }

  // Drops what a dead process held; of its requests the next life tells.
  void drop() {
    tell("drop");
    if (log_failing_) {
      failed_lives++;
      for (auto& [key, known] : known_) known.certain = false;
    }
    idempotency_.reset();
    journal_.reset();
    returned_.clear();  // Nobody was answered.
    for (const auto& [key, request] : under_way_) attempts_[key].push_back(attempt_of(*request));
    under_way_.clear();
    requests_.clear();
    for (auto& [key, attempts] : attempts_) {
      auto& possible = possible_[key];
      possible.insert(possible.end(), attempts.begin(), attempts.end());
    }
    attempts_.clear();
  }

  void end_well() {
    tell("end well");
    commit();
    if (disk_.running()) run_loops();
    idempotency_->stop();
  }

  void look_at_log() {
    if (disk_.running()) log_failing_ = idempotency_->status().log_failing;
  }

  void step() {
    const std::uint64_t choice = random_.below(100);
    if (choice < 50) {
      ask(random_.below(keys), random_.chance(0.9) ? 0 : random_.below(bodies));
    } else if (choice < 62) {
      commit();
    } else if (choice < 70) {
      tell("run loops");
      run_loops();
    } else if (choice < 80) {
      clock_.advance(static_cast<Microseconds>(random_.below(random_.chance(0.1) ? 40'000 : 700)) *
                     1000);
    } else if (choice < 90) {
      tell("keep log");
      idempotency_->keep_log();
    } else if (choice < 94) {
      deliver();
    } else if (choice < 96) {
      tell("keep house");
      journal_->keep_house();
    } else if (choice < 98) {
      fault();
    } else {
      tell("heal");
      disk_.clear_faults();
    }
    if (disk_.running()) look_at_log();
  }

  void fault() {
    constexpr Operation operations[] = {Operation::write, Operation::flush, Operation::open,
                                        Operation::rename, Operation::sync_directory};
    Fault fault{.on = operations[random_.below(5)], .path_part = "idempotency"};
    if (fault.on == Operation::sync_directory) fault.path_part = directory;
    if (random_.chance(0.3)) {
      fault = {.on = Operation::flush, .path_part = "segment"};
      segment_fault_ = true;
    }
    if (fault.on == Operation::write && random_.chance(0.3)) {
      fault.os = 0;
      fault.short_write = true;
    }
    fault.times = random_.chance(0.7) ? 1 : Fault::for_ever;
    tell(fmt::format("fault of operation {} at {}", static_cast<int>(fault.on), fault.path_part));
    disk_.inject(fault);
  }

  // --- Requests.

  static std::vector<std::byte> body_of(std::uint64_t key, std::uint64_t body) {
    const bool large = key % 4 == 0;
    return std::vector<std::byte>(large ? large_bytes : small_bytes + body,
                                  static_cast<std::byte>(body + 1));
  }

  void ask(std::uint64_t key, std::uint64_t body) {
    if (!up()) return;
    Request& request = requests_.emplace_back();
    request.key_number = key;
    request.body_number = body;
    request.at_us = clock_.wall_us();
    request.Ticket::loop = request.KeyedRequest::loop = static_cast<unsigned>(random_.below(2));
    const std::string name =
        random_.chance(0.5) ? fmt::format("k-{}", key) : fmt::format("\"k-{}\"", key);
    const journal::Metadata metadata{.tenant = "acme", .stream = "demo", .idempotency_key = name};
    const std::vector<std::byte> bytes = body_of(key, body);
    idempotency_->name(request, metadata.tenant, metadata.stream,
                       *serve::IdempotencyKey::parse(metadata.idempotency_key));
    const serve::Claim claim =
        idempotency_->begin(request, metadata.content_encoding, bytes, request.at_us);
    tell(fmt::format("key {} body {}: {}", key, body, static_cast<int>(claim)));
    judge(request, claim);
    if (claim == serve::Claim::joined) {
      request.joined = under_way_[key];
      joined++;
    }
    if (claim == serve::Claim::first) append(request, metadata, bytes);
  }

  void append(Request& request, const journal::Metadata& metadata,
              const std::vector<std::byte>& bytes) {
    under_way_[request.key_number] = &request;
    journal::RecordBuffer record(
        pool_.acquire(journal::RecordBuffer::bytes_for(metadata, bytes.size())), metadata);
    std::ranges::copy(bytes, record.body_space().begin());
    if (!journal_->append(request, record, bytes.size(), request.at_us)) {
      complain("an append was refused although there is memory");
    }
  }

  void judge(const Request& request, serve::Claim claim) {
    using serve::Claim;
    const std::uint64_t key = request.key_number;
    if (const auto other = under_way_.find(key); other != under_way_.end()) {
      const bool same = other->second->body_number == request.body_number;
      return expect(claim == (same ? Claim::joined : Claim::other_body), "under way");
    }
    const auto known = known_.find(key);
    if (known != known_.end() && in_window(known->second.at_us)) {
      const Known& record = known->second;
      if (claim == Claim::first && !record.certain) {
        forget(key);
        return;
      }
      // What was never acknowledged cannot be newer: the key would not have been free for it.
      const bool same = record.body == request.body_number;
      expect(claim == (same ? Claim::duplicate : Claim::other_body), "known");
      if (claim == Claim::duplicate) {
        expect(request.KeyedRequest::sequence == record.sequence, "the same record");
        duplicates++;
      }
      return;
    }
    judge_possible(request, claim);
  }

  void judge_possible(const Request& request, serve::Claim claim) {
    using serve::Claim;
    if (claim == Claim::first) return forget(request.key_number);
    const auto is_one = [&](bool same) {
      return std::ranges::any_of(possible_[request.key_number], [&](const Attempt& attempt) {
        return in_window(attempt.at_us) && (attempt.body == request.body_number) == same;
      });
    };
    expect(claim != Claim::joined && is_one(claim == Claim::duplicate), "possible");
    if (claim != Claim::duplicate) return;
    duplicates++;
    // Shown once, it stays, for as long as the earliest of those it may be.
    Microseconds at_us = request.at_us;
    for (const Attempt& attempt : possible_[request.key_number]) {
      if (in_window(attempt.at_us)) at_us = std::min(at_us, attempt.at_us);
    }
    known_[request.key_number] = {request.body_number, request.KeyedRequest::sequence, at_us};
  }

  void forget(std::uint64_t key) {
    known_.erase(key);
    possible_.erase(key);
  }
  [[nodiscard]] bool in_window(Microseconds at_us) { return at_us > clock_.wall_us() - window_us; }
  void expect(bool right, const std::string& what) {
    if (!right) complain("not so: " + what);
  }

  void handed_back(unsigned loop, serve::KeyedRequest* list) {
    for (; list != nullptr; list = list->next) {
      auto& request = static_cast<Request&>(*list);
      expect(!request.back && request.joined != nullptr && request.KeyedRequest::loop == loop,
             "handed back once, to its loop");
      request.back = true;
    }
  }
  void expect_joined_back(const Request& first, bool committed) {
    for (const Request& request : requests_) {
      if (request.joined != &first) continue;
      expect(request.back && request.stored == committed, "joined and told");
      expect(!committed || request.KeyedRequest::sequence == first.Ticket::sequence,
             "joined and told the sequence");
    }
  }

  // What the loops do with the tickets posted to them: settle, then answer.
  void run_loops() {
    for (; !returned_.empty(); returned_.pop_front()) {
      Request& request = *returned_.front();
      const std::uint64_t key = request.key_number;
      const bool committed = request.result == journal::CommitResult::committed;
      const std::uint64_t sequence = request.Ticket::sequence;
      tell(fmt::format("key {} {} as {}", key, committed ? "stored" : "refused", sequence));
      under_way_.erase(key);
      if (committed) {
        known_[key] = {request.body_number, sequence, request.at_us};
        attempts_.erase(key);  // Whatever was tried before, this is the latest.
        stored++;
      } else {
        attempts_[key].push_back(attempt_of(request));
      }
      idempotency_->settled(request, committed ? std::optional(sequence) : std::nullopt);
      expect_joined_back(request, committed);
    }
  }

  // --- The journal.

  void commit() {
    tell("commit");
    for (int i = 0; i < commits_max && returned_.size() < under_way_.size(); i++) {
      if (!journal_->commit_once()) break;
    }
    if (disk_.running()) expect(returned_.size() == under_way_.size(), "every ticket comes back");
  }

  void deliver() {
    tell("deliver");
    auto cursor = journal::Cursor::open(disk_, directory, "archive");
    if (!cursor) return;
    journal::CursorState state = (*cursor)->state();
    state.next = {.sequence = journal_->next_sequence()};
    state.journal_id = journal_->journal_id();
    if (!(*cursor)->save(state) || !(*cursor)->save(state)) return;
    journal_->keep_house();
  }

  Random random_;
  SimClock clock_;
  SimDisk disk_;
  MemoryBudget memory_{SIZE_MAX / 2};
  journal::BufferPool pool_{memory_};
  std::unique_ptr<journal::Journal> journal_;
  std::unique_ptr<serve::Idempotency> idempotency_;
  std::deque<Request> requests_;
  std::map<std::uint64_t, const Request*> under_way_;
  std::deque<Request*> returned_;  // Of those under way: the journal is done with them.
  std::map<std::uint64_t, Known> known_;
  std::map<std::uint64_t, std::vector<Attempt>> attempts_;  // Not acknowledged, in this life;
  std::map<std::uint64_t, std::vector<Attempt>> possible_;  // in those before.
  std::uint64_t journal_id_ = 0;
  bool segment_fault_ = false;
  bool log_failing_ = false;
};

TEST(IdempotencyModel, forgets_no_acknowledged_key_and_makes_none_up) {
  set_log_level(LogLevel::off);
  std::uint64_t stored = 0, duplicates = 0, joined = 0, failed_lives = 0;
  for (const std::uint64_t seed : seeds_to_run("idempotency", seeds_default)) {
    World world(seed);
    world.run();
    ASSERT_EQ(world.complaints, std::vector<std::string>{}) << world.story << replay_command(seed);
    stored += world.stored;
    duplicates += world.duplicates;
    joined += world.joined;
    failed_lives += world.failed_lives;
  }
  fmt::print("{} stored, {} duplicates, {} joined, {} lives ended with a log that failed\n", stored,
             duplicates, joined, failed_lives);
  EXPECT_GT(stored, 0U);
  EXPECT_GT(duplicates, 0U);
}

}  // namespace
}  // namespace inlet::sim
