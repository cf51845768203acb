# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The hyperblocks authors
# Fails where PROGRAM loads another library of CUDA than the runtime and cuBLASLt.
execute_process(COMMAND readelf -d "${PROGRAM}" OUTPUT_VARIABLE dynamic COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCHALL "\\[lib[a-zA-Z]*" libraries "${dynamic}")
foreach(library IN LISTS libraries)
  if(library MATCHES "lib(cu|nv|npp)" AND NOT library MATCHES "libcudart|libcublasLt")
    message(FATAL_ERROR "the program loads ${library}: ${libraries}")
  endif()
endforeach()
