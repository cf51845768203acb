# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The hyperblocks authors
# The two C libraries of hyperblocks::text as targets HyperblocksText::pcre2 and HyperblocksText::utf8proc. Found by their
# headers and libraries, as not every distribution brings a CMake package for them; installed beside our package file.
include(FindPackageHandleStandardArgs)
find_path(HYPERBLOCKS_PCRE2_INCLUDE pcre2.h)
find_library(HYPERBLOCKS_PCRE2_LIBRARY NAMES pcre2-8 pcre2-8-static)
find_path(HYPERBLOCKS_UTF8PROC_INCLUDE utf8proc.h)
find_library(HYPERBLOCKS_UTF8PROC_LIBRARY NAMES utf8proc utf8proc_static)
mark_as_advanced(HYPERBLOCKS_PCRE2_INCLUDE HYPERBLOCKS_PCRE2_LIBRARY HYPERBLOCKS_UTF8PROC_INCLUDE
                 HYPERBLOCKS_UTF8PROC_LIBRARY)
find_package_handle_standard_args(HyperblocksText DEFAULT_MSG HYPERBLOCKS_PCRE2_LIBRARY HYPERBLOCKS_PCRE2_INCLUDE
                                  HYPERBLOCKS_UTF8PROC_LIBRARY HYPERBLOCKS_UTF8PROC_INCLUDE)

foreach(library pcre2 utf8proc)
  string(TOUPPER ${library} upper)
  if(HyperblocksText_FOUND AND NOT TARGET HyperblocksText::${library})
    add_library(HyperblocksText::${library} UNKNOWN IMPORTED)
    set_target_properties(HyperblocksText::${library} PROPERTIES
                          IMPORTED_LOCATION "${HYPERBLOCKS_${upper}_LIBRARY}"
                          INTERFACE_INCLUDE_DIRECTORIES "${HYPERBLOCKS_${upper}_INCLUDE}")
  endif()
endforeach()
