# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The hyperblocks authors
# hyperblocks_add_base(TARGET CONFIG path NAME my_base) turns a model's description into a header that the sources of TARGET
# include as <my_base.hpp>; it defines `inline constexpr hyperblocks::DecoderSpec my_base`. CONFIG is a config.json, a folder with
# one, or a GGUF file; a relative path begins at the current source folder. What is not supported stops the build with a sentence.

# hyperblocks_add_spec(KIND TARGET CONFIG path NAME constant): the same for any kind that write_spec.cpp knows.
function(hyperblocks_add_spec kind target)
  cmake_parse_arguments(PARSE_ARGV 2 spec "" "CONFIG;NAME" "")
  if(NOT spec_CONFIG OR NOT spec_NAME OR spec_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "usage: hyperblocks_add_${kind}(TARGET CONFIG path NAME constant)")
  endif()
  if(NOT TARGET "${target}")
    message(FATAL_ERROR "hyperblocks_add_${kind}: there is no target '${target}' yet")
  endif()
  if(NOT spec_NAME MATCHES "^[A-Za-z_][A-Za-z0-9_]*$")
    message(FATAL_ERROR "hyperblocks_add_${kind}: '${spec_NAME}' cannot be the name of a C++ constant")
  endif()
  cmake_path(ABSOLUTE_PATH spec_CONFIG BASE_DIRECTORY "${CMAKE_CURRENT_SOURCE_DIR}" NORMALIZE OUTPUT_VARIABLE config)
  if(IS_DIRECTORY "${config}")
    if(kind STREQUAL "hypernet")
      cmake_path(APPEND config "hypernet.json")
    else()
      cmake_path(APPEND config "config.json")
    endif()
  endif()
  if(NOT EXISTS "${config}")
    message(FATAL_ERROR "hyperblocks_add_${kind}: there is no file ${config}")
  endif()

  hyperblocks_spec_writer(${kind})
  set(folder "${CMAKE_CURRENT_BINARY_DIR}/hyperblocks/${target}")
  set(header "${folder}/${spec_NAME}.hpp")
  add_custom_command(OUTPUT "${header}" VERBATIM
                     COMMAND "${CMAKE_COMMAND}" -E make_directory "${folder}"
                     COMMAND hyperblocks_spec_writer ${kind} "${config}" "${spec_NAME}" "${header}"
                     DEPENDS "${config}" hyperblocks_spec_writer COMMENT "Spec ${spec_NAME}.hpp from ${config}")
  add_custom_target(${target}_${spec_NAME}_spec DEPENDS "${header}")
  if(NOT TARGET hyperblocks_spec_headers)
    add_custom_target(hyperblocks_spec_headers)  # all of them, for what reads sources without compiling them
  endif()
  add_dependencies(hyperblocks_spec_headers ${target}_${spec_NAME}_spec)
  add_dependencies(${target} ${target}_${spec_NAME}_spec)
  get_target_property(type ${target} TYPE)
  if(type STREQUAL "INTERFACE_LIBRARY")
    target_include_directories(${target} INTERFACE "$<BUILD_INTERFACE:${folder}>")
  else()
    target_include_directories(${target} PUBLIC "$<BUILD_INTERFACE:${folder}>")
  endif()
endfunction()

function(hyperblocks_add_base target)
  hyperblocks_add_spec(base ${target} ${ARGN})
endfunction()

# hyperblocks_add_encoder(TARGET CONFIG path NAME my_encoder): a hyperblocks::TextEncoderSpec from an encoder's config.json.
function(hyperblocks_add_encoder target)
  hyperblocks_add_spec(encoder ${target} ${ARGN})
endfunction()

# hyperblocks_add_hypernet(TARGET CONFIG path NAME my_net): a hyperblocks::ShineSpec, DocToLoraSpec or TextToLoraSpec from a
# hypernet.json or its folder, the HypernetBase my_net_base (the sizes that its base must have) and the ContextSpec
# my_net_context, which says what a Doc-to-LoRA reads.
function(hyperblocks_add_hypernet target)
  hyperblocks_add_spec(hypernet ${target} ${ARGN})
endfunction()

# The program that writes the headers, built once for all of them from the library's own readers.
function(hyperblocks_spec_writer kind)
  if(TARGET hyperblocks_spec_writer)
    return()
  endif()
  if(NOT TARGET hyperblocks::io)
    message(FATAL_ERROR "hyperblocks_add_${kind} reads files with hyperblocks::io, which is not there: it needs nlohmann_json, and "
                        "find_package(hyperblocks) must not leave out its component io")
  endif()
  add_executable(hyperblocks_spec_writer EXCLUDE_FROM_ALL "${CMAKE_CURRENT_FUNCTION_LIST_DIR}/write_spec.cpp")
  target_link_libraries(hyperblocks_spec_writer PRIVATE hyperblocks::io)
  set_target_properties(hyperblocks_spec_writer PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/hyperblocks")
endfunction()
