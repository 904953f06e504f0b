// admin: what operators ask a node: health, metrics, status. Never on the public listener.

#pragma once

#include <string>
#include <vector>

#include "http/server.h"
#include "serve/door.h"
#include "serve/status.h"

namespace inlet::serve {

struct AdminContext {
  NodeView node;
  std::vector<std::string> origins;  // Of pages that may read status and history as well.
};

// GET / (the dashboard) and its files, /metrics (Prometheus or OpenMetrics), /status.json,
// /history.json, /keys.json, /receipts/{id}, /healthz and /readyz.
class Admin final : public http::Handler {
 public:
  Admin(AdminContext& context, http::Connection& connection)
      : context_(context), connection_(connection) {}

  http::HeadAction on_head(const http::RequestHead& head) override;
  MutableBytes body_space(std::size_t, std::size_t) override { return {}; }
  void on_body(Bytes) override;
  void on_end() override {}

 private:
  [[nodiscard]] std::string origin_lines(const http::RequestHead& head) const;
  http::HeadAction open_receipt(std::string_view id);
  http::HeadAction answer(int status, std::string_view content_type, std::string_view body,
                          std::string_view extra_lines = {});
  http::HeadAction answer_problem(int status, std::string_view detail,
                                  std::string_view extra_lines = {});

  AdminContext& context_;
  http::Connection& connection_;
  ReceiptQuestion question_;
};

}  // namespace inlet::serve
