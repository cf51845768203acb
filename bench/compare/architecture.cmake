# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The hyperblocks authors
# hyperblocks_add_architecture: a program that trains and examines one architecture. See CMakeLists.txt beside this file.
set(hyperblocks_compare_folder "${CMAKE_CURRENT_LIST_DIR}")

# What all programs share: the exam, and the base.
function(hyperblocks_add_exam)
  if(TARGET hyperblocks_exam)
    return()
  endif()
  set(base "${hyperblocks_compare_folder}/../../examples/train/tiny/base")
  if(HYPERBLOCKS_BASE_CONFIG)
    set(base "${HYPERBLOCKS_BASE_CONFIG}")
  endif()
  add_library(hyperblocks_exam STATIC "${hyperblocks_compare_folder}/exam.cpp")
  target_link_libraries(hyperblocks_exam PUBLIC hyperblocks::text CLI11::CLI11)
  target_include_directories(hyperblocks_exam PUBLIC "${hyperblocks_compare_folder}" "${hyperblocks_compare_folder}/../../examples")
  hyperblocks_add_base(hyperblocks_exam CONFIG "${base}" NAME compare_base)
endfunction()

function(hyperblocks_add_architecture)
  cmake_parse_arguments(PARSE_ARGV 0 of "" "NAME;HYPERNET;HEADER;TYPE" "")
  if(NOT of_NAME OR NOT (of_HYPERNET OR (of_HEADER AND of_TYPE)) OR of_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "usage: hyperblocks_add_architecture(NAME name HYPERNET path) or (NAME name HEADER path TYPE type)")
  endif()
  set(target "architecture_${of_NAME}")
  add_executable(${target} "${hyperblocks_compare_folder}/architecture.cpp")
  set_target_properties(${target} PROPERTIES OUTPUT_NAME "${of_NAME}")
  hyperblocks_add_exam()
  target_link_libraries(${target} PRIVATE hyperblocks_exam)
  if(of_HYPERNET)
    hyperblocks_add_hypernet(${target} CONFIG "${of_HYPERNET}" NAME compare_net)
    set(of_HEADER published.hpp)
    set(of_TYPE hyperblocks::compare::Published)
  endif()
  target_compile_definitions(${target} PRIVATE "HYPERBLOCKS_ARCHITECTURE_HEADER=\"${of_HEADER}\""
                                               "HYPERBLOCKS_ARCHITECTURE=${of_TYPE}")
endfunction()
