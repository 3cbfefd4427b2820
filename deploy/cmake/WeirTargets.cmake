# weir_library(NAME PUBLIC deps… PRIVATE deps…): the static library of one top-level folder, all .cpp files below it.
# weir_test(NAME LABEL label [TSAN] SOURCES files… LIBS libraries…): one GoogleTest binary, registered with ctest under one
# label; TSAN: it crosses threads, so it is also built and run under ThreadSanitizer.

find_package(Threads REQUIRED)

add_library(weir_flags INTERFACE)
target_include_directories(weir_flags INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_options(weir_flags INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra;-Wshadow;-Wno-missing-field-initializers>)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # GCC 12 warns of "const char* + std::string" inside libstdc++ itself: https://gcc.gnu.org/bugzilla/show_bug.cgi?id=105651
  target_compile_options(weir_flags INTERFACE $<$<CONFIG:Release>:-Wno-restrict>)
endif()
target_link_libraries(weir_flags INTERFACE Threads::Threads)
if(WEIR_SANITIZE)
  target_compile_options(weir_flags INTERFACE -fsanitize=${WEIR_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(weir_flags INTERFACE -fsanitize=${WEIR_SANITIZE})
  if(WEIR_SANITIZE STREQUAL "thread" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(weir_flags INTERFACE -Wno-tsan)  # Asio's fences, which TSan does not see
  endif()
endif()

if(WEIR_FUZZ)
  # Coverage of what is fuzzed, not of the targets alone. Clang 14 cannot emit the function sanitizer's marks of coroutines.
  target_compile_options(weir_flags INTERFACE -fsanitize=fuzzer-no-link -fno-sanitize=function)
endif()

function(weir_library name)
  cmake_parse_arguments(ARG "" "" "PUBLIC;PRIVATE;EXCLUDE" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  foreach(pattern IN LISTS ARG_EXCLUDE)
    list(FILTER sources EXCLUDE REGEX ${pattern})
  endforeach()
  add_library(${name} STATIC ${sources})
  target_link_libraries(${name} PUBLIC weir_flags ${ARG_PUBLIC} PRIVATE ${ARG_PRIVATE})
endfunction()

function(weir_test name)
  cmake_parse_arguments(ARG "TSAN" "LABEL;TIMEOUT" "SOURCES;LIBS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_LIBS} GTest::gmock GTest::gtest_main)
  target_compile_definitions(${name} PRIVATE WEIR_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  if(ARG_TSAN AND WEIR_SANITIZE STREQUAL "thread")
    set(ARG_LABEL tsan)
    add_dependencies(weir_tsan_tests ${name})
  endif()
  set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABEL}" TIMEOUT ${ARG_TIMEOUT})
endfunction()
