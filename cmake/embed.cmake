# Packs files with gzip and makes them arrays of a header, <serve/dashboard_files.h>, each with its
# weak ETag: the same files give the same header, wherever and whenever it is built.
#
# Run as a script (cmake -P) this writes that header; included, it has the build run it.

if(CMAKE_SCRIPT_MODE_FILE)
  # FILES: paths with | between them. LIBRARY: one more, a script that gets LICENCE before it, as a
  # comment. OUT: the header.
  string(REPLACE "|" ";" FILES "${FILES}")
  set(header "// dashboard_files: written by cmake/embed.cmake.\n\n#pragma once\n\n")
  string(APPEND header "namespace inlet::serve::files {\n\n")
  foreach(source IN LISTS FILES LIBRARY)
    get_filename_component(name ${source} NAME)
    set(plain "${OUT}.${name}")
    if(source STREQUAL LIBRARY)
      file(READ ${LICENCE} licence)
      file(WRITE ${plain} "/*!\n${licence}*/\n")
    else()
      file(WRITE ${plain} "")
    endif()
    execute_process(COMMAND cat ${plain} ${source} COMMAND gzip -9 -n -c OUTPUT_FILE ${plain}.gz
      COMMAND_ERROR_IS_FATAL ANY)
    file(READ ${plain}.gz hex HEX)
    file(SHA256 ${plain}.gz digest)
    string(SUBSTRING ${digest} 0 16 digest)
    file(REMOVE ${plain} ${plain}.gz)
    string(REGEX REPLACE "(..)" "0x\\1," bytes "${hex}")
    string(REPEAT "....." 18 line)
    string(REGEX REPLACE "(${line})" "\\1\n" bytes "${bytes}")
    string(MAKE_C_IDENTIFIER ${name} name)
    string(APPEND header "inline constexpr unsigned char ${name}[] = {\n${bytes}};\n")
    string(APPEND header "inline constexpr char ${name}_etag[] = R\"(W/\"${digest}\")\";\n\n")
  endforeach()
  file(WRITE ${OUT} "${header}}  // namespace inlet::serve::files\n")
  return()
endif()

find_file(CHART_JS chart.min.js PATHS /usr/share/javascript/chart.js NO_DEFAULT_PATH)
if(NOT CHART_JS)
  message(FATAL_ERROR "there is no chart.min.js: install libjs-chart.js")
endif()
set(dashboard ${PROJECT_SOURCE_DIR}/src/serve/dashboard)
set(licence ${dashboard}/chart.LICENSE)
file(GLOB files CONFIGURE_DEPENDS ${dashboard}/*.html ${dashboard}/*.css ${dashboard}/*.js)
list(JOIN files "|" joined)
set(header ${PROJECT_BINARY_DIR}/generated/serve/dashboard_files.h)
add_custom_command(OUTPUT ${header}
  COMMAND ${CMAKE_COMMAND} "-DFILES=${joined}" -DLIBRARY=${CHART_JS} -DLICENCE=${licence}
          -DOUT=${header} -P ${CMAKE_CURRENT_LIST_FILE}
  DEPENDS ${files} ${licence} ${CHART_JS} ${CMAKE_CURRENT_LIST_FILE} VERBATIM
  COMMENT "Packing the dashboard")
target_sources(serve PRIVATE ${header})
target_include_directories(serve PRIVATE ${PROJECT_BINARY_DIR}/generated)
