# weir_library(NAME PUBLIC deps… PRIVATE deps… EXCLUDE regexes… APART regexes… FAMILIES words…): the static library of one
# top-level folder, all .cpp files below it. Most of a file's compile time is its headers, so the files of a folder are
# compiled as one (CMake's unity build), but for those APART; files whose names begin with one of FAMILIES (codecs, which
# have the same words for different things) are compiled with their family only. WEIR_UNITY=OFF: each file by itself.
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
  cmake_parse_arguments(ARG "" "" "PUBLIC;PRIVATE;EXCLUDE;APART;FAMILIES" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  foreach(pattern IN LISTS ARG_EXCLUDE)
    list(FILTER sources EXCLUDE REGEX ${pattern})
  endforeach()
  add_library(${name} STATIC ${sources})
  foreach(pattern IN LISTS ARG_APART)
    list(FILTER sources EXCLUDE REGEX ${pattern})
  endforeach()
  foreach(source IN LISTS sources)
    get_filename_component(group ${source} DIRECTORY)
    foreach(family IN LISTS ARG_FAMILIES)
      if(source MATCHES "/${family}[^/]*$")
        set(group ${group}/${family})
      endif()
    endforeach()
    cmake_path(RELATIVE_PATH group BASE_DIRECTORY ${CMAKE_SOURCE_DIR})
    string(MAKE_C_IDENTIFIER ${group} group)
    set_source_files_properties(${source} PROPERTIES UNITY_GROUP ${group})
  endforeach()
  if(WEIR_UNITY AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(${name} PRIVATE -Wno-subobject-linkage)  # it takes what a .cpp file includes for a header
  endif()
  set_target_properties(${name} PROPERTIES UNITY_BUILD ${WEIR_UNITY} UNITY_BUILD_MODE GROUP)
  target_link_libraries(${name} PUBLIC weir_flags ${ARG_PUBLIC} PRIVATE ${ARG_PRIVATE})
endfunction()

function(weir_test name)
  cmake_parse_arguments(ARG "TSAN" "LABEL;TIMEOUT" "SOURCES;LIBS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_LIBS} GTest::gmock GTest::gtest_main)
  if(WEIR_SANITIZE MATCHES undefined)
    target_compile_options(${name} PRIVATE -fno-sanitize=undefined)  # the tests' own lines; it is a quarter of their compile time
  endif()
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
