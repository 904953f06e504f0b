# What makes a bug in the programs harder to exploit, on everything we compile. Not in debug and
# sanitizer builds: the sanitizers bring their own checks and do not work with FORTIFY.

include(CheckPIESupported)
check_pie_supported()
target_link_options(inlet_settings INTERFACE -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack)
if(CMAKE_BUILD_TYPE STREQUAL "Release")
  # Some distributions define FORTIFY themselves, hence -U first. 3 also checks sizes known only at
  # run time.
  target_compile_options(inlet_settings INTERFACE
    -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -fstack-clash-protection)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    target_compile_options(inlet_settings INTERFACE -fcf-protection)
  endif()
endif()
