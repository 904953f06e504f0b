#include "sim/journal_world.h"

#include <fmt/format.h>
#include <malloc.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace inlet::sim {
namespace {

// Readers may ask for patience; with nobody writing, that much is enough.
constexpr int empty_reads_max = 200;
constexpr std::size_t complaints_max = 20;

// Every life of a journal takes buffers of a MiB; asking the system for them each time is most of
// the cost of a run. Sanitizers bring an allocator that cannot be told.
[[maybe_unused]] const bool memory_kept =
    mallopt(M_MMAP_THRESHOLD, 1 << 30) != 0 && mallopt(M_TRIM_THRESHOLD, 1 << 30) != 0;

}  // namespace

JournalWorld::JournalWorld(std::uint64_t seed, WorldOptions options)
    : options_(options), random_(seed), disk_(std::make_unique<SimDisk>(clock_, random_.next())) {
  CHECK(disk_->make_directories(JournalWorld::directory));
}

JournalWorld::JournalWorld(std::uint64_t seed, const JournalWorld& other)
    : options_(other.options_),
      random_(seed),
      disk_(other.disk_->copy(clock_, random_.next())),
      body_bytes_(other.body_bytes_),
      acknowledged_(other.acknowledged_),
      shown_(other.shown_),
      delivered_(other.delivered_),
      acknowledged_ids_(other.acknowledged_ids_),
      passed_(other.passed_) {
  CHECK(!other.journal_);
}

JournalWorld::~JournalWorld() {
  journal_.reset();
  waiting_.clear();
}

// Events of the world and changes of the disk between them, in the order they happened.
void JournalWorld::tell(const std::string& event) {
  for (const Step& step : disk_->trace()) story_ += "    " + to_string(step) + "\n";
  disk_->clear_trace();
  story_ += event + "\n";
}

void JournalWorld::complain(std::string what) {
  tell("COMPLAINT: " + what);
  if (complaints_.size() < complaints_max) complaints_.push_back(std::move(what));
}

// A record's body tells its id, and all of it follows from that.
std::vector<std::byte> JournalWorld::body_of(std::uint64_t id) const {
  std::vector<std::byte> body(body_bytes_[id]);
  Random bytes(id);
  for (std::size_t at = 8; at < body.size(); at += 8) {
    const std::uint64_t value = bytes.next();
    std::memcpy(body.data() + at, &value, std::min<std::size_t>(8, body.size() - at));
  }
  store(body.data(), id);
  return body;
}

journal::Metadata JournalWorld::metadata_of(std::uint64_t id) const {
  constexpr std::array streams = {"orders", "clicks", "logs"};
  return {.tenant = id % 2 == 0 ? "acme" : "globex",
          .stream = streams[id % streams.size()],
          .content_type = "application/json",
          .content_encoding = id % 5 == 0 ? "zstd" : "",
          .peer = "10.0.0.1",
          .trace_id = "",
          .idempotency_key = id % 7 == 0 ? "key" : ""};
}

void JournalWorld::open(Disk state) {
  CHECK(!journal_ && disk_->running());
  journal::JournalOptions options;
  tell("open");
  options.store.directory = directory;
  options.store.segment_bytes = options_.segment_bytes;
  options.store.bytes_max = options_.bytes_max;
  options.store.direct = options_.direct;
  options.store.sinks = {sink};
  auto opened = journal::Journal::open(*disk_, clock_, pool_, *this, options);
  if (!disk_->running()) return;
  if (!opened) {
    complain("the journal does not open: " + opened.error().what);
    return;
  }
  journal_ = std::move(*opened);
  if (state == Disk::sound) compare();
}

void JournalWorld::append(std::uint64_t body_bytes) {
  CHECK(journal_);
  const std::uint64_t id = body_bytes_.size();
  body_bytes_.push_back(std::max<std::uint64_t>(body_bytes, 8));
  tell(fmt::format("append record {} of {} bytes", id, body_bytes_.back()));
  auto waiting = std::make_unique<Waiting>();
  waiting->id = id;
  journal::Ticket& ticket = waiting->ticket;
  waiting_[&ticket] = std::move(waiting);

  const std::vector<std::byte> body = body_of(id);
  const journal::Metadata metadata = metadata_of(id);
  bool taken = false;
  if (body.size() <= limits::staged_record_bytes_max && id % 3 != 0) {
    taken = journal_->append(ticket, metadata, body, clock_.wall_us());
  } else {
    const std::size_t bytes = journal::RecordBuffer::bytes_for(metadata, body.size());
    journal::RecordBuffer record(pool_.acquire(bytes), metadata);
    std::ranges::copy(body, record.body_space().begin());
    taken = journal_->append(ticket, record, body.size(), clock_.wall_us());
  }
  if (!taken) complain("an append was refused although there is memory");
}

void JournalWorld::commit() {
  CHECK(journal_);
  tell("commit");
  while (!waiting_.empty()) {
    const std::size_t before = waiting_.size();
    if (!journal_->commit_once()) break;
    if (waiting_.size() == before) break;
  }
  if (!waiting_.empty()) complain("a ticket did not come back");
}

void JournalWorld::on_commits(unsigned /*loop*/, journal::Ticket* tickets) {
  while (tickets != nullptr) {
    journal::Ticket* const ticket = std::exchange(tickets, tickets->next);
    const auto found = waiting_.find(ticket);
    if (found == waiting_.end()) {
      complain("a ticket came back that was not waiting");
      continue;
    }
    if (ticket->result == journal::CommitResult::committed) {
      acknowledge(ticket->sequence, found->second->id);
    } else {
      tell(fmt::format("record {} refused", found->second->id));
      refused_++;
    }
    waiting_.erase(found);
  }
}

void JournalWorld::acknowledge(std::uint64_t sequence, std::uint64_t id) {
  tell(fmt::format("record {} acknowledged as sequence {}", id, sequence));
  if (!acknowledged_.empty() && sequence <= acknowledged_.rbegin()->first) {
    complain(
        fmt::format("sequence {} acknowledged after {}", sequence, acknowledged_.rbegin()->first));
  }
  if (shown_.contains(sequence)) {
    complain(fmt::format("sequence {} was shown as record {}", sequence, shown_[sequence]));
  }
  if (sequence < passed_) {
    complain(fmt::format("sequence {} acknowledged, a cursor is at {}", sequence, passed_));
  }
  acknowledged_[sequence] = id;
  acknowledged_ids_.insert(id);
}

void JournalWorld::keep_house() {
  CHECK(journal_);
  tell("keep house");
  journal_->keep_house();
}

// --- Reading back.

std::optional<std::uint64_t> JournalWorld::id_of_body(Bytes body) const {
  if (body.size() < 8) return std::nullopt;
  const auto id = load<std::uint64_t>(body.data());
  if (id >= body_bytes_.size() || !std::ranges::equal(body, body_of(id))) return std::nullopt;
  return id;
}

std::optional<std::uint64_t> JournalWorld::identify(const journal::Record& record) {
  const auto id = id_of_body(record.body);
  if (!id || record.metadata != metadata_of(*id)) {
    complain(fmt::format("record {} is altered", record.sequence));
    return std::nullopt;
  }
  return id;
}

bool JournalWorld::next_record(journal::Reader& reader, std::optional<journal::Record>& out) {
  for (int empty = 0; empty < empty_reads_max; empty++) {
    auto record = reader.next();
    if (!record) {
      if (disk_->running()) complain("the reader fails: " + record.error().what);
      return false;
    }
    if (*record) {
      out = **record;
      return true;
    }
    if (reader.position().sequence >= reader.committed_sequence()) return false;
  }
  complain("the reader does not get to the commit mark");
  return false;
}

void JournalWorld::saw(const journal::Record& record, Found& found) {
  const auto id = identify(record);
  if (!id) return;
  if (!found.records.empty() && record.sequence <= found.records.rbegin()->first) {
    complain(
        fmt::format("record {} read after {}", record.sequence, found.records.rbegin()->first));
  }
  for (const auto* before : {&acknowledged_, &shown_}) {
    const auto known = before->find(record.sequence);
    if (known == before->end() || known->second == *id) continue;
    // Once the segment behind it is recycled, a delivered one does not know where it ended.
    if (record.sequence < passed_ && !acknowledged_ids_.contains(*id)) continue;
    complain(
        fmt::format("sequence {} holds record {}, not {}", record.sequence, *id, known->second));
  }
  if (!acknowledged_.contains(record.sequence) && acknowledged_ids_.contains(*id)) {
    complain(fmt::format("record {} stands a second time, as sequence {}", *id, record.sequence));
  }
  found.records[record.sequence] = *id;
}

JournalWorld::Found JournalWorld::read_everything() {
  Found found;
  journal::Reader reader(*disk_, directory);
  reader.seek({});
  std::optional<journal::Record> record;
  while (next_record(reader, record)) saw(*record, found);
  found.damage = reader.take_damage();
  std::set<std::uint64_t> ids;
  for (const auto& [sequence, id] : found.records) {
    if (!ids.insert(id).second) complain(fmt::format("record {} is read twice", id));
  }
  return found;
}

void JournalWorld::compare() {
  if (!disk_->running()) return;
  const Found found = read_everything();
  if (journal_) compare_completeness(found);
  compare_damage(found);
  show(found);
}

void JournalWorld::compare_completeness(const Found& found) {
  for (const auto& [sequence, id] : acknowledged_) {
    if (sequence >= passed_ && !found.records.contains(sequence)) {
      complain(fmt::format("acknowledged record {} (sequence {}) is lost", id, sequence));
    }
  }
  std::erase_if(shown_, [&](const auto& record) {
    const bool vanished = record.first >= passed_ && !found.records.contains(record.first);
    if (vanished && options_.direct) {
      complain(fmt::format("record {} was shown once and is gone", record.first));
    }
    return vanished;
  });
}

void JournalWorld::compare_damage(const Found& found) {
  for (const journal::Damage& damage : found.damage) {
    const auto lost = acknowledged_.lower_bound(std::max(damage.first_sequence, passed_));
    const bool of_acknowledged = lost != acknowledged_.end() && lost->first < damage.end_sequence;
    if (damage.end_sequence <= passed_ || (!of_acknowledged && !options_.direct)) continue;
    complain(fmt::format("damage reported on a sound disk: segment {}, [{}, {}): {}",
                         damage.segment, damage.first_sequence, damage.end_sequence, damage.why));
  }
}

// What was shown once may have been delivered, so from now on it must stay as it is.
void JournalWorld::show(const Found& found) {
  for (const auto& [sequence, id] : found.records) {
    if (!acknowledged_.contains(sequence)) shown_.emplace(sequence, id);
  }
}

// --- A shipper.

void JournalWorld::check_cursor(std::uint64_t next_sequence) {
  for (const auto& [sequence, id] : acknowledged_) {
    if (sequence >= next_sequence) break;
    if (!delivered_.contains(sequence)) {
      complain(fmt::format("the cursor passed record {}, never delivered", sequence));
    }
  }
}

void JournalWorld::deliver(const Found& found) {
  for (const auto& [sequence, id] : found.records) {
    const auto [before, is_new] = delivered_.emplace(sequence, id);
    if (!is_new && before->second != id && acknowledged_ids_.contains(before->second)) {
      complain(fmt::format("sequence {} was delivered as two records", sequence));
    }
    before->second = id;
  }
  show(found);
}

void JournalWorld::passed(std::uint64_t next_sequence) {
  passed_ = std::max(passed_, next_sequence);
}

void JournalWorld::ship(std::uint64_t records_max, Sink sink_state) {
  auto cursor = journal::Cursor::open(*disk_, directory, sink);
  if (!cursor) {
    // A fault of the disk may keep a shipper from starting, a crash or damage may not.
    if (cursor.error().os == 0 && cursor.error().kind != ErrorKind::stopped) {
      complain("the cursor does not open: " + cursor.error().what);
    }
    return;
  }
  journal::CursorState state = (*cursor)->state();
  check_cursor(state.next.sequence);
  journal::Reader reader(*disk_, directory);
  reader.seek(state.next);
  Found found;
  std::optional<journal::Record> record;
  for (std::uint64_t count = 0; count < records_max && next_record(reader, record); count++) {
    saw(*record, found);
  }
  state.planned_ends[0] = reader.position().sequence;
  if (!(*cursor)->save(state) || sink_state == Sink::down) return show(found);
  deliver(found);
  state.planned_ends = {};
  state.next = reader.position();
  tell(fmt::format("ship up to sequence {}", state.next.sequence));
  state.journal_id = reader.journal_id();
  state.records_delivered += found.records.size();
  passed(state.next.sequence);
  std::ignore = (*cursor)->save(state);
}

// --- Ends.

void JournalWorld::bury() {
  CHECK(!disk_->running());
  tell("the machine is down");
  journal_.reset();
  waiting_.clear();
  disk_->restart();
  tell("the machine is up");
  if (random_.chance(0.5)) compare();  // A shipper may look before the journal is opened again.
}

void JournalWorld::crash(Crash how) {
  disk_->crash(how);
  bury();
}

void JournalWorld::close() {
  CHECK(journal_);
  tell("close");
  journal_.reset();
  if (!waiting_.empty() && disk_->running()) complain("a ticket did not come back");
  waiting_.clear();
}

}  // namespace inlet::sim
