// check: the one assertion, on in every build.
//
// CHECK(c) states what the author knows to be true; if it is false the program is wrong and stops
// before it can write a wrong byte. Never CHECK what a client, a disk or a file told us: that is an
// Error (result.h).

#pragma once

#include <cstdio>
#include <cstdlib>

#define CHECK(condition)                                                                 \
  do {                                                                                   \
    if (!(condition)) [[unlikely]] {                                                     \
      std::fprintf(stderr, "%s:%d: check failed: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                      \
    }                                                                                    \
  } while (false)
