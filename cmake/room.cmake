# A room is a folder of src/: every x.cc is compiled into it, every x_test.cc becomes a test of it.
# There are no hand-kept file lists, so no file can be forgotten.

find_package(GTest REQUIRED)
add_custom_target(unit_tests)
# Of the rooms that have threads: what the thread sanitizer looks at.
add_custom_target(threaded_tests)

# Settings every object of ours is compiled with; libraries are SYSTEM, so only our code is judged.
add_library(inlet_settings INTERFACE)
target_include_directories(inlet_settings INTERFACE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR})
target_compile_options(inlet_settings INTERFACE
  -Wall -Wextra -Werror -Wconversion -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual
  -Wno-missing-field-initializers  # Designated initialisers name what they mean.
  -fstack-protector-strong -fno-omit-frame-pointer)
target_compile_definitions(inlet_settings INTERFACE _GLIBCXX_ASSERTIONS)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  target_compile_options(inlet_settings INTERFACE -msse4.2)
endif()

function(unit_test name source)
  add_executable(${name} ${source})
  target_link_libraries(${name} PRIVATE ${ARGN} GTest::gtest_main)
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT 600)
  add_dependencies(unit_tests ${name})
  if(name MATCHES "^(logs|journal|http|serve|ship|load|main|health)_")
    set_tests_properties(${name} PROPERTIES LABELS threads)
    add_dependencies(threaded_tests ${name})
  endif()
endfunction()

# room(NAME [USES room...] [LIBS library...])
function(room name)
  cmake_parse_arguments(ROOM "" "" "USES;LIBS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS src/${name}/*.cc)
  file(GLOB tests CONFIGURE_DEPENDS src/${name}/*_test.cc)
  list(REMOVE_ITEM sources ${tests} "")
  add_library(${name} STATIC ${sources})
  # A deliberate fault is compiled into the one file that holds it; the rest stays as it was built.
  foreach(source ${sources})
    file(STRINGS ${source} holds_mutant REGEX "INLET_MUTANT_${INLET_MUTANT}")
    if(INLET_MUTANT AND holds_mutant)
      set_source_files_properties(${source} PROPERTIES
        COMPILE_DEFINITIONS INLET_MUTANT_${INLET_MUTANT}=1)
    endif()
  endforeach()
  target_link_libraries(${name} PUBLIC inlet_settings ${ROOM_USES} ${ROOM_LIBS})
  foreach(test ${tests})
    get_filename_component(stem ${test} NAME_WE)
    unit_test(${name}_${stem} ${test} ${name})
    # What is tested is optimised, the test is not: that halves what all tests take to build.
    target_compile_options(${name}_${stem} PRIVATE -O0)
  endforeach()
endfunction()
