# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The hyperblocks authors
# What every example starts with. Inside the project the targets are there already; an example configured alone
# (cmake -S examples/<name> -B <dir>) adds the source tree that it lies in.
if(CMAKE_SOURCE_DIR STREQUAL CMAKE_CURRENT_SOURCE_DIR AND NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Release unless asked otherwise: without optimisation nothing here is of use" FORCE)
endif()
if(NOT TARGET hyperblocks::hyperblocks)
  add_subdirectory("${CMAKE_CURRENT_LIST_DIR}/.." hyperblocks)
endif()

# A cache entry of this type makes a relative path on the command line begin where the command was given.
set(HYPERBLOCKS_BASE_CONFIG "" CACHE PATH "The model that a program is compiled for: config.json, its folder, or a GGUF file")

# Where there is MPI, a program runs on several processes.
function(hyperblocks_use_mpi target)
  if(TARGET hyperblocks::mpi)
    target_link_libraries(${target} PRIVATE hyperblocks::mpi)
    target_compile_definitions(${target} PRIVATE HYPERBLOCKS_WITH_MPI)
  endif()
endfunction()
