// The floor of the bench: the least a durable HTTP server can do with Inlet's journal technique. A
// bare epoll loop, just enough HTTP for the load generator, a canned answer.
//
// The loop frames each body (64-byte header, CRC32C) into an aligned staging buffer, or, above
// in_place_bytes_min, in the page-aligned buffer it was received into. A writer thread puts
// everything that waits on disk as one O_DIRECT, RWF_DSYNC write into a zero-filled file that it
// goes round in, then wakes the loop, which answers. No limits, no timers, no recovery.
//
//   bench_floor PORT FILE FILE_BYTES

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"
#include "base/crc32c.h"

namespace {

using inlet::round_up;

constexpr std::size_t block_bytes = 4096;
constexpr std::size_t header_bytes = 64;
constexpr std::size_t commit_bytes_max = 4U << 20;
constexpr std::size_t in_place_bytes_min = 64U << 10;
constexpr std::size_t scratch_bytes = 64U << 10;
constexpr std::string_view answer =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 67\r\n"
    "Inlet-Durability: disk\r\n\r\n"
    "{\"id\":\"000000000000-000000000000\",\"bytes\":1024,\"durability\":\"disk\"}";

static_assert(answer.size() - answer.find("\r\n\r\n") - 4 == 67);

struct Free {
  void operator()(std::byte* at) const { std::free(at); }
};
using AlignedBytes = std::unique_ptr<std::byte, Free>;

AlignedBytes allocate(std::size_t bytes) {
  AlignedBytes made(static_cast<std::byte*>(std::aligned_alloc(block_bytes, bytes)));
  CHECK(made != nullptr);
  return made;
}

// One body on its way: room for the frame header, then the body, up to a block boundary.
struct Body {
  AlignedBytes at;
  std::size_t capacity_bytes = 0;
};

struct Connection {
  int fd = -1;
  std::string head;        // The beginning of a head that came in pieces.
  Body body;               // A body that came in pieces.
  std::size_t length = 0;  // Of the body being received; 0: between requests.
  std::size_t got = 0;
  bool waiting = false;  // For the disk.
  bool closed = false;
};

struct Batch {
  AlignedBytes staging = allocate(commit_bytes_max + in_place_bytes_min + block_bytes);
  std::size_t staged_bytes = 0;
  std::size_t in_place_bytes = 0;
  std::vector<iovec> in_place;
  std::vector<Body> bodies;
  std::vector<Connection*> waiting;
};

class Journal {
 public:
  Journal(const char* path, std::uint64_t file_bytes) : file_bytes_(file_bytes) {
    file_ = ::open(path, O_RDWR | O_CREAT | O_TRUNC | O_DIRECT | O_CLOEXEC, 0600);
    CHECK(file_ >= 0);
    const std::size_t step = 1U << 20;
    const AlignedBytes zeros = allocate(step);
    std::memset(zeros.get(), 0, step);
    for (std::uint64_t at = 0; at < file_bytes; at += step) {
      CHECK(::pwrite(file_, zeros.get(), step, static_cast<off_t>(at)) ==
            static_cast<ssize_t>(step));
    }
    CHECK(::fsync(file_) == 0);
    event_ = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    waiting_.push_back(std::make_unique<Batch>());
    writer_ = std::thread([this] { write_for_ever(); });
  }

  [[nodiscard]] int event() const { return event_; }

  // `body` has header_bytes free before it, and is handed over, if it is large.
  void append(Connection* connection, const std::byte* bytes, std::size_t length, Body* body) {
    const std::lock_guard hold(mutex_);
    Batch* batch = waiting_.back().get();
    if (batch->staged_bytes + batch->in_place_bytes >= commit_bytes_max) {
      waiting_.push_back(free_.empty() ? std::make_unique<Batch>() : std::move(free_.back()));
      if (!free_.empty()) free_.pop_back();
      batch = waiting_.back().get();
    }
    if (body != nullptr && length >= in_place_bytes_min) {
      const std::size_t frame_bytes = round_up(header_bytes + length, block_bytes);
      put_header(body->at.get(), bytes, length);
      std::memset(body->at.get() + header_bytes + length, 0, frame_bytes - header_bytes - length);
      batch->in_place.push_back({body->at.get(), frame_bytes});
      batch->in_place_bytes += frame_bytes;
      batch->bodies.push_back(std::move(*body));
    } else {
      std::byte* const at = batch->staging.get() + batch->staged_bytes;
      put_header(at, bytes, length);
      std::memcpy(at + header_bytes, bytes, length);
      batch->staged_bytes += round_up(header_bytes + length, header_bytes);
    }
    batch->waiting.push_back(connection);
    changed_.notify_one();
  }

  // Batches that are on disk.
  std::vector<std::unique_ptr<Batch>> take_done() {
    std::uint64_t count = 0;
    if (::read(event_, &count, sizeof count) < 0) CHECK(errno == EAGAIN);
    const std::lock_guard hold(mutex_);
    return std::move(done_);
  }

  void give_back(std::unique_ptr<Batch> batch) {
    batch->staged_bytes = batch->in_place_bytes = 0;
    batch->in_place.clear();
    batch->bodies.clear();
    batch->waiting.clear();
    const std::lock_guard hold(mutex_);
    free_.push_back(std::move(batch));
  }

 private:
  void put_header(std::byte* at, const std::byte* bytes, std::size_t length) {
    std::memset(at, 0, header_bytes);
    inlet::store(at + 32, sequence_++);
    inlet::store(at + 48, static_cast<std::uint32_t>(length));
    inlet::store(at + 52, inlet::crc32c({bytes, length}));
    inlet::store(at, inlet::crc32c({at + 4, header_bytes - 4}));
  }

  void write_for_ever() {
    for (;;) {
      std::unique_lock hold(mutex_);
      changed_.wait(hold, [&] { return !waiting_.front()->waiting.empty(); });
      std::unique_ptr<Batch> batch = std::move(waiting_.front());
      waiting_.pop_front();
      if (waiting_.empty()) {
        waiting_.push_back(free_.empty() ? std::make_unique<Batch>() : std::move(free_.back()));
        if (!free_.empty()) free_.pop_back();
      }
      hold.unlock();
      write(*batch);
      hold.lock();
      done_.push_back(std::move(batch));
      hold.unlock();
      const std::uint64_t one = 1;
      CHECK(::write(event_, &one, sizeof one) == sizeof one);
    }
  }

  void write(Batch& batch) {
    const std::size_t staged = round_up(batch.staged_bytes, block_bytes);
    std::memset(batch.staging.get() + batch.staged_bytes, 0, staged - batch.staged_bytes);
    std::vector<iovec> parts;
    if (staged > 0) parts.push_back({batch.staging.get(), staged});
    parts.insert(parts.end(), batch.in_place.begin(), batch.in_place.end());
    const std::size_t total = staged + batch.in_place_bytes;
    if (offset_ + total > file_bytes_) offset_ = 0;
    CHECK(::pwritev2(file_, parts.data(), static_cast<int>(parts.size()),
                     static_cast<off_t>(offset_), RWF_DSYNC) == static_cast<ssize_t>(total));
    offset_ += total;
  }

  const std::uint64_t file_bytes_;
  int file_ = -1;
  int event_ = -1;
  std::uint64_t offset_ = 0;
  std::uint64_t sequence_ = 1;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::unique_ptr<Batch>> waiting_;  // The last is being filled.
  std::vector<std::unique_ptr<Batch>> done_;
  std::vector<std::unique_ptr<Batch>> free_;
  std::thread writer_;
};

class Server {
 public:
  Server(std::uint16_t port, Journal& journal) : journal_(journal) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int one = 1;
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    ::setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(listener_, 4096) != 0) {
      std::fprintf(stderr, "floor: cannot listen on port %d: %s\n", port, std::strerror(errno));
      std::exit(1);
    }
    epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
    watch(listener_, &listener_);
    watch(journal_.event(), &journal_);
  }

  [[noreturn]] void run() {
    epoll_event events[512];
    for (;;) {
      const int count = ::epoll_wait(epoll_, events, 512, -1);
      for (int i = 0; i < count; i++) {
        void* const who = events[i].data.ptr;
        if (who == &listener_) {
          accept();
        } else if (who == &journal_) {
          answer_all();
        } else {
          receive(*static_cast<Connection*>(who));
        }
      }
    }
  }

 private:
  void watch(int fd, void* who) {
    epoll_event event{.events = EPOLLIN, .data = {.ptr = who}};
    CHECK(::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) == 0);
  }

  void accept() {
    for (;;) {
      const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) return;
      const int one = 1;
      ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
      auto* const connection = new Connection;
      connection->fd = fd;
      watch(fd, connection);
    }
  }

  void close(Connection& connection) {
    ::close(connection.fd);
    connection.closed = true;
    if (!connection.waiting) delete &connection;
  }

  void receive(Connection& connection) {
    if (connection.length > 0) {
      std::byte* const at = connection.body.at.get() + header_bytes;
      const ssize_t got =
          ::recv(connection.fd, at + connection.got, connection.length - connection.got, 0);
      if (got < 0 && errno == EAGAIN) return;
      if (got <= 0) return close(connection);
      connection.got += static_cast<std::size_t>(got);
      if (connection.got == connection.length) finish_body(connection);
      return;
    }
    const ssize_t got = ::recv(connection.fd, scratch_, sizeof scratch_, 0);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) return close(connection);
    std::string_view bytes(scratch_, static_cast<std::size_t>(got));
    if (!connection.head.empty()) bytes = connection.head.append(bytes);
    const std::size_t head = bytes.find("\r\n\r\n");
    if (head == std::string_view::npos) {
      if (connection.head.empty()) connection.head = bytes;
      return;
    }
    start_body(connection, bytes.substr(0, head), bytes.substr(head + 4));
    connection.head.clear();
  }

  void start_body(Connection& connection, std::string_view head, std::string_view rest) {
    const std::size_t at = head.find("ontent-Length: ");
    const std::size_t length =
        at == std::string_view::npos ? 0 : std::strtoull(head.data() + at + 15, nullptr, 10);
    if (rest.size() >= length) {
      connection.waiting = true;
      journal_.append(&connection, inlet::as_bytes(rest).data(), length, nullptr);
      return;
    }
    connection.body = take_body(round_up(header_bytes + length, block_bytes));
    std::memcpy(connection.body.at.get() + header_bytes, rest.data(), rest.size());
    connection.length = length;
    connection.got = rest.size();
  }

  void finish_body(Connection& connection) {
    connection.waiting = true;
    const std::size_t length = connection.length;
    connection.length = 0;
    journal_.append(&connection, connection.body.at.get() + header_bytes, length, &connection.body);
    if (connection.body.at != nullptr) bodies_.push_back(std::move(connection.body));
  }

  Body take_body(std::size_t bytes) {
    if (!bodies_.empty() && bodies_.back().capacity_bytes >= bytes) {
      Body body = std::move(bodies_.back());
      bodies_.pop_back();
      return body;
    }
    return {.at = allocate(bytes), .capacity_bytes = bytes};
  }

  void answer_all() {
    for (std::unique_ptr<Batch>& batch : journal_.take_done()) {
      for (Connection* const connection : batch->waiting) {
        connection->waiting = false;
        if (connection->closed) {
          delete connection;
        } else if (::send(connection->fd, answer.data(), answer.size(), MSG_NOSIGNAL) < 0) {
          close(*connection);
        }
      }
      for (Body& body : batch->bodies) bodies_.push_back(std::move(body));
      journal_.give_back(std::move(batch));
    }
  }

  Journal& journal_;
  int listener_ = -1;
  int epoll_ = -1;
  std::vector<Body> bodies_;
  char scratch_[scratch_bytes];
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: bench_floor PORT FILE FILE_BYTES\n");
    return 2;
  }
  Journal journal(argv[2], std::strtoull(argv[3], nullptr, 10));
  const auto server =
      std::make_unique<Server>(static_cast<std::uint16_t>(std::atoi(argv[1])), journal);
  server->run();
}
