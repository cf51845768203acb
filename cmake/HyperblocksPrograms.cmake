# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The hyperblocks authors
# How our own programs (tests, benchmarks, examples, fuzzers) are compiled: strict warnings and, on request, for this machine.
# Nothing here reaches a user of the library.
if(HYPERBLOCKS_WITH_CUDA)
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
      set(CMAKE_CUDA_ARCHITECTURES "${HYPERBLOCKS_CUDA_ARCHITECTURES}")
    endif()
    enable_language(CUDA)
    add_custom_target(hyperblocks_gpu_programs)  # every program that needs a GPU, nothing else
  else()
    message(STATUS "hyperblocks: no CUDA compiler, the CUDA programs are left out")
  endif()
endif()

set(hyperblocks_warning_options
    "$<$<COMPILE_LANG_AND_ID:CXX,GNU,Clang>:-Wall;-Wextra;-Wpedantic;-Wshadow;-Wnon-virtual-dtor;-Woverloaded-virtual>"
    "$<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall,-Wextra>")
if(HYPERBLOCKS_WERROR)
  list(APPEND hyperblocks_warning_options "$<$<COMPILE_LANG_AND_ID:CXX,GNU,Clang>:-Werror>"
                                          "$<$<COMPILE_LANGUAGE:CUDA>:-Werror=all-warnings>")
endif()
add_library(hyperblocks_warnings INTERFACE)
target_compile_options(hyperblocks_warnings INTERFACE ${hyperblocks_warning_options})

add_library(hyperblocks_program INTERFACE)
target_link_libraries(hyperblocks_program INTERFACE hyperblocks hyperblocks_warnings)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # Garbage is collected less often: a tenth of the time for a quarter more memory (2 GB a file).
  target_compile_options(hyperblocks_program
                         INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:SHELL:--param ggc-min-expand=300 --param ggc-min-heapsize=524288>")
endif()
if(HYPERBLOCKS_WITH_IO)
  target_link_libraries(hyperblocks_program INTERFACE hyperblocks_io)
endif()
if(HYPERBLOCKS_WITH_TEXT)
  target_link_libraries(hyperblocks_program INTERFACE hyperblocks_text)
endif()
if(HYPERBLOCKS_MARCH_NATIVE)
  target_compile_options(hyperblocks_program INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:-march=native>")
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    # Its own AVX-512 header, as Eigen uses it, is "uninitialized" (GCC bug 105593).
    target_compile_options(hyperblocks_program
                           INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:-Wno-uninitialized;-Wno-maybe-uninitialized>")
  endif()
endif()
