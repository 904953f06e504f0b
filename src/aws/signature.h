// signature: Signature Version 4, the way AWS knows who sent a request and that it is whole.
//
// Rules: "AWS Signature Version 4 for API requests", IAM User Guide; and for S3, which encodes the
// path once and wants x-amz-content-sha256, "Authenticating Requests (AWS Signature Version 4)",
// Amazon S3 API Reference. The hash is always of the real body.
//
// Pure; any thread.

#pragma once

#include <string>
#include <string_view>

#include "base/time.h"
#include "fetch/client.h"

namespace inlet::aws {

struct Credentials {
  std::string access_key;
  std::string secret_key;
  std::string session_token;    // "": none.
  Microseconds expires_us = 0;  // 0: never.
};

struct SignatureScope {
  std::string service;
  std::string region;
  Microseconds wall_us = 0;  // As the service's clock sees it.
};

// Adds X-Amz-Date, X-Amz-Security-Token, for S3 X-Amz-Content-Sha256, and Authorization. Signs
// every header that is there, and Host as the URL says it.
void sign(fetch::Request& request, const Credentials& credentials, const SignatureScope& scope);

}  // namespace inlet::aws
