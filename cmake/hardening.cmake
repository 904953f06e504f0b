# What makes a bug in the programs harder to exploit, on everything we compile. Not in debug and
# sanitizer builds: the sanitizers bring their own checks and do not work with FORTIFY. What a
# running process gives up is in src/main/sandbox.h.

include(CheckPIESupported)
check_pie_supported()
target_link_options(inlet_settings INTERFACE
  -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack -Wl,-z,separate-code)
if(CMAKE_BUILD_TYPE STREQUAL "Release")
  # Some distributions define FORTIFY themselves, hence -U first. 3 also checks sizes known only at
  # run time.
  target_compile_options(inlet_settings INTERFACE
    -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -fstack-clash-protection)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    # The program is marked for shadow stacks although Debian 12's start-up objects are not: they
    # return as they were called. Not for IBT: their entry point has no endbr64.
    target_compile_options(inlet_settings INTERFACE -fcf-protection)
    target_link_options(inlet_settings INTERFACE -Wl,-z,shstk)
  elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
    target_compile_options(inlet_settings INTERFACE -mbranch-protection=standard)
  endif()
endif()

pkg_check_modules(seccomp REQUIRED IMPORTED_TARGET libseccomp)
# The archive of src/main (program.cmake) does not exist yet.
cmake_language(DEFER CALL target_link_libraries main PUBLIC PkgConfig::seccomp)
