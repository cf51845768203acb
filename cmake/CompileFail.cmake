# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The hyperblocks authors
# One compile-fail test (cmake -P): SOURCE must not compile, its output must match each `// expect: <regex>` of its first ten
# lines, and must hold at most 3 errors (`// errors: <n>` changes that): a mistake is a sentence, not a page.
file(STRINGS "${SOURCE}" head LIMIT_COUNT 10)
set(limit 3)
set(expectations "")
foreach(line IN LISTS head)
  if(line MATCHES "^// expect: (.+)$")
    list(APPEND expectations "${CMAKE_MATCH_1}")
  elseif(line MATCHES "^// errors: ([0-9]+)$")
    set(limit ${CMAKE_MATCH_1})
  endif()
endforeach()
if(NOT expectations)
  message(FATAL_ERROR "${SOURCE}: no line '// expect: <regex>' among its first ten")
endif()

list(TRANSFORM SYSTEM PREPEND "-isystem" OUTPUT_VARIABLE system)
execute_process(COMMAND "${CMAKE_COMMAND}" -E env LC_ALL=C "${COMPILER}" -std=c++20 -fsyntax-only -fmessage-length=0
                        "-I${INCLUDE}" ${system} "${SOURCE}"
                RESULT_VARIABLE result ERROR_VARIABLE output OUTPUT_VARIABLE output)
if(result EQUAL 0)
  message(FATAL_ERROR "${SOURCE} compiles, but must not")
endif()
foreach(expectation IN LISTS expectations)
  if(NOT output MATCHES "${expectation}")
    message(FATAL_ERROR "the compiler did not say '${expectation}', but:\n${output}")
  endif()
endforeach()
string(REGEX MATCHALL "error:" errors "${output}")
list(LENGTH errors count)
if(count GREATER limit)
  message(FATAL_ERROR "${count} errors where ${limit} are allowed:\n${output}")
endif()
message(STATUS "refused in ${count} error(s):\n${output}")
