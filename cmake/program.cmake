# The programs. All of src/main but the main files is one archive: a program takes from it only
# what it uses, so inlet maps no sink, inlet-ship no door, and inlet-top neither.

file(GLOB main_sources CONFIGURE_DEPENDS src/main/*.cc)
file(GLOB main_tests CONFIGURE_DEPENDS src/main/*_test.cc)
set(main_entries main.cc ship_main.cc top_main.cc)
list(TRANSFORM main_entries PREPEND ${PROJECT_SOURCE_DIR}/src/main/)
list(REMOVE_ITEM main_sources ${main_tests} ${main_entries} "")

add_library(main STATIC ${main_sources})
target_link_libraries(main PUBLIC inlet_settings base logs journal http health serve load)

add_executable(inlet src/main/main.cc)
target_link_libraries(inlet PRIVATE main)

add_executable(inlet-ship src/main/ship_main.cc)
target_link_libraries(inlet-ship PRIVATE main ship sinks)

add_executable(inlet-top src/main/top_main.cc)
target_link_libraries(inlet-top PRIVATE main top)

foreach(test ${main_tests})
  get_filename_component(stem ${test} NAME_WE)
  unit_test(main_${stem} ${test} main)
endforeach()
