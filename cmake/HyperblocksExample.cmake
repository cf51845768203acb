# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The hyperblocks authors
# What every example starts with. Inside the project the targets are there already; an example configured alone
# (cmake -S examples/<name> -B <dir>) finds an installed hyperblocks and, failing that, adds this source tree.
if(NOT TARGET hyperblocks::hyperblocks)
  find_package(hyperblocks 0.1 QUIET)
endif()
if(NOT TARGET hyperblocks::hyperblocks)
  add_subdirectory("${CMAKE_CURRENT_LIST_DIR}/.." hyperblocks)
endif()
