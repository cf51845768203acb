# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The hyperblocks authors
# One consumer test (cmake -P): configures, builds and runs a copy of PROJECT (with IN_PLACE the folder itself) in FOLDER as its
# user would, never on top of an earlier run. With INSTALL_FROM (a build folder of ours) it installs that first and finds the package there.
# CUDA_COMPILER is for projects in CUDA.
# With REFUSED (a target) building that must fail with MESSAGE (a regular expression); with WITHOUT (a package) there is none of
# that name, and configuring must fail with MESSAGE.
function(run)
  execute_process(COMMAND ${ARGV} RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT result EQUAL 0)
    string(JOIN " " command ${ARGV})
    message(FATAL_ERROR "${command}\n${output}")
  endif()
  if(output MATCHES "[Ww]arning:")
    message(FATAL_ERROR "a warning where none may be:\n${output}")
  endif()
endfunction()

file(REMOVE_RECURSE "${FOLDER}")
set(arguments "")
if(INSTALL_FROM)
  run("${CMAKE_COMMAND}" --install "${INSTALL_FROM}" --prefix "${FOLDER}/prefix")
  file(RENAME "${FOLDER}/prefix" "${FOLDER}/moved")  # a package knows no absolute path
  list(APPEND arguments -D "CMAKE_PREFIX_PATH=${FOLDER}/moved")
endif()
if(CUDA_COMPILER)
  list(APPEND arguments -D "CMAKE_CUDA_COMPILER=${CUDA_COMPILER}")
endif()
if(NOT IN_PLACE)
  file(COPY "${PROJECT}/" DESTINATION "${FOLDER}/project")
  set(PROJECT "${FOLDER}/project")
endif()
if(WITHOUT)
  list(APPEND arguments -D "CMAKE_DISABLE_FIND_PACKAGE_${WITHOUT}=ON")
endif()
set(configure "${CMAKE_COMMAND}" --no-warn-unused-cli -S "${PROJECT}" -B "${FOLDER}/build" -G Ninja -D "CMAKE_CXX_COMPILER=${COMPILER}"
    -D "HOW=${HOW}" -D "SOURCE=${SOURCE}" -D "COMPONENTS=${COMPONENTS}" -D "Eigen3_DIR=${Eigen3_DIR}" ${arguments})
if(WITHOUT)
  execute_process(COMMAND ${configure} RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  string(REGEX REPLACE "[ \n]+" " " output "${output}")
  if(result EQUAL 0 OR NOT output MATCHES "${MESSAGE}")
    message(FATAL_ERROR "without ${WITHOUT} configuring should have failed with '${MESSAGE}', but:\n${output}")
  endif()
  return()
endif()
run(${configure})
run("${CMAKE_COMMAND}" --build "${FOLDER}/build")
if(PROGRAM)
  run("${FOLDER}/build/${PROGRAM}")
endif()
if(REFUSED)
  execute_process(COMMAND "${CMAKE_COMMAND}" --build "${FOLDER}/build" --target "${REFUSED}"
                  RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(result EQUAL 0 OR NOT output MATCHES "${MESSAGE}")
    message(FATAL_ERROR "${REFUSED} should have been refused with '${MESSAGE}', but:\n${output}")
  endif()
endif()
