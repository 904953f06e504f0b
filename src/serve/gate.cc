#include "serve/gate.h"

#include <random>

#include "serve/credential.h"

namespace inlet::serve {
namespace {

// RFC 6750 section 3.
constexpr std::string_view challenge_line = "WWW-Authenticate: Bearer realm=\"inlet\"\r\n";

std::uint64_t random_seed() {
  std::random_device device;
  return std::uint64_t{device()} << 32 | device();
}

std::string_view detail_of(Verdict::Kind kind, bool shown) {
  if (!shown) return "this needs an API key, as Authorization: Bearer KEY or X-Api-Key: KEY";
  if (kind == Verdict::Kind::mistyped) return "the API key is mistyped";
  if (kind == Verdict::Kind::expired) return "the API key has expired";
  if (kind == Verdict::Kind::malformed) return "what was sent is not an API key";
  return "the API key is not known";
}

}  // namespace

Gate::Gate(FileSystem& files, Clock& clock, GateOptions options, Tenants& tenants)
    : clock_(clock),
      tenants_(tenants),
      default_tenant_(tenants.of(default_tenant)),
      failures_({}, random_seed()) {
  if (!options.keys_required) return;
  memos_.assign(options.loops, KeyMemo(random_sip_key()));
  keys_ = std::make_unique<KeyWatch>(
      files, clock, KeyWatchOptions{.path = std::move(options.keys_path), .loops = options.loops},
      [&tenants](std::string_view tenant) { return tenants.of(tenant).index(); });
}

std::expected<Tenant*, Refusal> Gate::judge(const http::RequestHead& head, std::string_view stream,
                                            std::string_view peer, std::size_t loop) {
  if (!keys_) return &default_tenant_;
  CredentialScratch scratch;
  const std::string_view credential = read_credential(head, scratch);
  const Microseconds wall_us = clock_.wall_us();
  const KeyWatch::Reading table = keys_->read(loop);
  const Verdict verdict = memos_[loop].find(*table, credential, stream, wall_us);
  if (verdict.kind == Verdict::Kind::known) {
    verdict.key->use->add(wall_us);
    return &tenants_.at(verdict.key->tenant_index);
  }
  if (verdict.kind == Verdict::Kind::out_of_scope) {
    tenants_.at(verdict.key->tenant_index).count(Count::refused_scope);
    return std::unexpected(Refusal{403, "this API key is not for this stream"});
  }
  return std::unexpected(refuse(verdict.kind, !credential.empty(), peer));
}

Refusal Gate::refuse(Verdict::Kind kind, bool shown, std::string_view peer) {
  const std::uint32_t wait_s = failures_.retry_after_s(peer, clock_.steady_us());
  if (wait_s > 0) {
    return {429, "too many requests without a valid API key from this address",
            "Retry-After: " + std::to_string(wait_s) + "\r\n"};
  }
  return {401, std::string(detail_of(kind, shown)), std::string(challenge_line)};
}

void Gate::reload() {
  if (keys_) keys_->reload();
}

}  // namespace inlet::serve
