#include "top/roster.h"

#include <algorithm>

#include "base/check.h"

namespace inlet::top {

Roster::Roster(const std::vector<Target>& targets, Microseconds interval_us)
    : interval_us_(interval_us) {
  CHECK(interval_us > 0);
  for (const Target& target : targets) {
    const bool known = std::ranges::any_of(targets_, [&](const Target& other) {
      return other.is_dns && target.is_dns && other.host == target.host &&
             other.port == target.port;
    });
    if (known) continue;
    targets_.push_back(target);
    const std::size_t index = targets_.size() - 1;
    if (target.is_dns) {
      names_.push_back({.target = index, .why = {}});
    } else {
      add(index, target.host, 0);
    }
  }
}

void Roster::add(std::size_t target, std::string_view host, Microseconds now_us) {
  const Target& of = targets_[target];
  const std::string url = url_of(of, host);
  const auto same = std::ranges::find(entries_, url, [](const Entry& e) { return e.node.url; });
  if (same != entries_.end()) {
    same->gone_us.reset();
    return;
  }
  if (entries_.size() >= nodes_max) return;
  Node node;
  node.target = of.text;
  node.address = address_of(of, host);
  node.url = url;
  const auto after =
      std::ranges::find_if(entries_, [&](const Entry& entry) { return entry.target > target; });
  entries_.insert(after, {.node = std::move(node), .target = target, .due_us = now_us});
}

std::vector<std::string> Roster::due_lookups(Microseconds now_us) {
  std::vector<std::string> out;
  for (Name& name : names_) {
    if (name.asked_us && name.why.empty() && now_us - *name.asked_us > lookup_patience_us) {
      name.why = "the name server does not answer";
      name.since_us = *name.asked_us;
    }
    if (name.asked_us || now_us < name.due_us) continue;
    name.asked_us = now_us;
    name.due_us = now_us + lookup_interval_us;
    const std::string& host = targets_[name.target].host;
    if (std::ranges::find(out, host) == out.end()) out.push_back(host);
  }
  return out;
}

void Roster::looked_up(std::string_view name, const Result<std::vector<std::string>>& hosts,
                       Microseconds now_us) {
  for (Name& entry : names_) {
    if (!entry.asked_us || targets_[entry.target].host != name) continue;
    entry.asked_us.reset();
    if (hosts) {
      entry.why.clear();
      update(entry, *hosts, now_us);
    } else {
      if (entry.why.empty()) entry.since_us = now_us;
      entry.why = hosts.error().what;
    }
  }
}

void Roster::update(const Name& name, const std::vector<std::string>& hosts, Microseconds now_us) {
  for (Entry& entry : entries_) {
    if (entry.target == name.target && !entry.gone_us) entry.gone_us = now_us;
  }
  for (const std::string& host : hosts) add(name.target, host, now_us);
  std::erase_if(entries_, [&](const Entry& entry) {
    return entry.gone_us && now_us - *entry.gone_us >= linger_us;
  });
}

std::vector<std::string> Roster::due_polls(Microseconds now_us) {
  std::vector<std::string> out;
  for (Entry& entry : entries_) {
    if (entry.asked || now_us < entry.due_us) continue;
    entry.asked = true;
    entry.due_us = now_us + interval_us_;
    out.push_back(entry.node.url);
  }
  return out;
}

void Roster::answered(std::string_view url, Result<Answer> answer, Microseconds now_us) {
  const auto found = std::ranges::find(entries_, url, [](const Entry& e) { return e.node.url; });
  if (found == entries_.end() || !found->asked) return;
  found->asked = false;
  Node& node = found->node;
  if (answer) {
    node.reach = Reach::answering;
    node.name = answer->status.node;
    node.status = std::move(answer->status);
    node.document = std::move(answer->document);
    node.why.clear();
    return;
  }
  if (node.reach != Reach::silent) node.since_us = now_us;
  node.reach = Reach::silent;
  node.status.reset();
  node.document.clear();
  node.why = std::move(answer.error().what);
}

bool Roster::has_nodes(const Name& name) const {
  return std::ranges::find(entries_, name.target, &Entry::target) != entries_.end();
}

// In place of the nodes of a name that is not known to stand for any.
std::optional<Node> Roster::stand_in(const Name& name) const {
  if (has_nodes(name)) return std::nullopt;
  const std::string& text = targets_[name.target].text;
  Node node;
  node.target = node.address = node.url = text;
  node.reach = name.why.empty() ? Reach::waiting : Reach::silent;
  node.why = name.why;
  node.since_us = name.since_us;
  return node;
}

Fleet Roster::fleet(Microseconds now_us, Microseconds wall_us) const {
  Fleet out{.nodes = {}, .steady_us = now_us, .wall_us = wall_us};
  for (std::size_t target = 0; target < targets_.size(); target++) {
    for (const Entry& entry : entries_) {
      if (entry.target == target) out.nodes.push_back(entry.node);
    }
    for (const Name& name : names_) {
      if (name.target != target) continue;
      if (auto node = stand_in(name)) out.nodes.push_back(std::move(*node));
    }
  }
  return out;
}

bool Roster::is_settled() const {
  const auto waits = [](const Entry& entry) { return entry.node.reach == Reach::waiting; };
  const auto looks = [this](const Name& name) { return !has_nodes(name) && name.why.empty(); };
  return std::ranges::none_of(entries_, waits) && std::ranges::none_of(names_, looks);
}

}  // namespace inlet::top
