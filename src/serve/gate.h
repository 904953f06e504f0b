// gate: who may come in: judges the key of a request before anything else of it is looked at.
//
// Without keys required everybody is the default tenant. With them, what is answered tells a client
// only what helps the one who holds the key: mistyped, expired, not for this stream; an unknown key
// and a wrong secret are the same.
//
// Threads: judge() on the loop it names; reload() and figures any.

#pragma once

#include <expected>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/time.h"
#include "http/head.h"
#include "serve/auth_failures.h"
#include "serve/intake.h"
#include "serve/key_memo.h"
#include "serve/key_watch.h"
#include "serve/tenants.h"

namespace inlet::serve {

struct GateOptions {
  bool keys_required = false;
  std::string keys_path;
  std::size_t loops = 1;
};

class Gate {
 public:
  // Tenants that keys name are made in `tenants`, which outlives the gate.
  Gate(FileSystem& files, Clock& clock, GateOptions options, Tenants& tenants);

  // Whose request this is, or why it is not let in. `stream`: what it wants to write to, "" if
  // nothing.
  [[nodiscard]] std::expected<Tenant*, Refusal> judge(const http::RequestHead& head,
                                                      std::string_view stream,
                                                      std::string_view peer, std::size_t loop);

  // Has the file of keys looked at now.
  void reload();

  // Null: no keys are required.
  [[nodiscard]] const KeyWatch* keys() const { return keys_.get(); }

 private:
  [[nodiscard]] Refusal refuse(Verdict::Kind kind, bool shown, std::string_view peer);

  Clock& clock_;
  Tenants& tenants_;
  Tenant& default_tenant_;
  AuthFailures failures_;
  std::unique_ptr<KeyWatch> keys_;
  std::vector<KeyMemo> memos_;  // One per loop, if keys are required.
};

}  // namespace inlet::serve
