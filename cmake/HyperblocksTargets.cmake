# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The hyperblocks authors
# The INTERFACE targets, and what each needs. Every header under include/ and cuda/ belongs to one of them.

# What a choice is, however it was spelt: AUTO (when what it needs is found), ON (an error without it) or OFF.
foreach(choice HYPERBLOCKS_IO HYPERBLOCKS_TEXT HYPERBLOCKS_MPI HYPERBLOCKS_CUDA HYPERBLOCKS_USE_BLAS)
  if(NOT ${choice} STREQUAL "AUTO")
    if(${choice})
      set(${choice} ON)
    else()
      set(${choice} OFF)
    endif()
  endif()
endforeach()

# hyperblocks_part(name FOUND NEEDS text): the target hyperblocks::<name>, with HYPERBLOCKS_WITH_<NAME>, if it is wanted and what it
# needs was found. Its headers are those of include/hyperblocks/<name>/.
function(hyperblocks_part name found needs)
  string(TOUPPER ${name} upper)
  set(HYPERBLOCKS_WITH_${upper} OFF PARENT_SCOPE)
  if(HYPERBLOCKS_${upper} STREQUAL "OFF")
    return()
  endif()
  if(NOT found)
    set(severity STATUS)
    if(HYPERBLOCKS_${upper} STREQUAL "ON")
      set(severity FATAL_ERROR)
    endif()
    message(${severity} "hyperblocks: ${needs} not found, hyperblocks::${name} left out (HYPERBLOCKS_${upper} is ${HYPERBLOCKS_${upper}})")
    return()
  endif()
  set(HYPERBLOCKS_WITH_${upper} ON PARENT_SCOPE)
  add_library(hyperblocks_${name} INTERFACE)
  add_library(hyperblocks::${name} ALIAS hyperblocks_${name})
  set_target_properties(hyperblocks_${name} PROPERTIES EXPORT_NAME ${name})
  target_link_libraries(hyperblocks_${name} INTERFACE hyperblocks)
  file(GLOB_RECURSE headers CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/include/hyperblocks/${name}/*.hpp")
  if(headers)
    target_sources(hyperblocks_${name} INTERFACE FILE_SET HEADERS BASE_DIRS "${PROJECT_SOURCE_DIR}/include" FILES ${headers})
  endif()
endfunction()

# ---- hyperblocks::hyperblocks: Eigen and threads, nothing else --------------------------------------------------------
find_package(Eigen3 REQUIRED NO_MODULE)  # 3.4 or 5: Eigen's own version file would refuse 5 for a request of 3.4
if(Eigen3_VERSION VERSION_LESS 3.4)
  message(FATAL_ERROR "hyperblocks needs Eigen 3.4 or newer, found ${Eigen3_VERSION} in ${Eigen3_DIR}")
endif()
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)

file(GLOB_RECURSE hyperblocks_headers CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/include/*.hpp")
list(FILTER hyperblocks_headers EXCLUDE REGEX "/include/hyperblocks/(io|text|mpi)/")

add_library(hyperblocks INTERFACE)
add_library(hyperblocks::hyperblocks ALIAS hyperblocks)
target_sources(hyperblocks INTERFACE FILE_SET HEADERS BASE_DIRS "${PROJECT_SOURCE_DIR}/include" FILES ${hyperblocks_headers})
target_compile_features(hyperblocks INTERFACE cxx_std_20)
target_link_libraries(hyperblocks INTERFACE Eigen3::Eigen Threads::Threads)

# ---- a BLAS beneath Eigen, for who uses Eigen beside the library ------------------------------------------------------
if(NOT HYPERBLOCKS_USE_BLAS STREQUAL "OFF")
  if(HYPERBLOCKS_USE_BLAS STREQUAL "ON")
    find_package(BLAS REQUIRED)
  else()
    find_package(BLAS)
  endif()
  if(BLAS_FOUND)
    target_compile_definitions(hyperblocks INTERFACE EIGEN_USE_BLAS)
    target_link_libraries(hyperblocks INTERFACE BLAS::BLAS)
  endif()
endif()

# ---- hyperblocks::io: readers and writers of files --------------------------------------------------------------------
find_package(nlohmann_json 3.10 QUIET)
hyperblocks_part(io "${nlohmann_json_FOUND}" "nlohmann_json 3.10 or newer")
if(HYPERBLOCKS_WITH_IO)
  target_link_libraries(hyperblocks_io INTERFACE nlohmann_json::nlohmann_json)
endif()

# ---- hyperblocks::text: tokenizers and chat templates -----------------------------------------------------------------
find_package(HyperblocksText QUIET MODULE)
if(HYPERBLOCKS_WITH_IO)
  hyperblocks_part(text "${HyperblocksText_FOUND}" "PCRE2 or utf8proc")
else()
  hyperblocks_part(text OFF "hyperblocks::io")
endif()
if(HYPERBLOCKS_WITH_TEXT)
  target_link_libraries(hyperblocks_text INTERFACE hyperblocks_io HyperblocksText::pcre2 HyperblocksText::utf8proc)
endif()

# ---- hyperblocks::mpi: several processes -------------------------------------------------------------------------------
if(NOT HYPERBLOCKS_MPI STREQUAL "OFF")
  set(MPI_CXX_SKIP_MPICXX ON)  # not MPI's own C++ interface, which has been withdrawn
  find_package(MPI 3 QUIET COMPONENTS CXX)
endif()
hyperblocks_part(mpi "${MPI_CXX_FOUND}" "MPI 3")
if(HYPERBLOCKS_WITH_MPI)
  target_link_libraries(hyperblocks_mpi INTERFACE MPI::MPI_CXX)
endif()

# ---- hyperblocks::cuda: the second device ------------------------------------------------------------------------------
# The target asks for the toolkit's libraries alone: a user of it enables the language CUDA, a mere configuring does not.
if(NOT HYPERBLOCKS_CUDA STREQUAL "OFF")
  find_package(CUDAToolkit 12 QUIET)
endif()
if(CUDAToolkit_FOUND AND TARGET CUDA::cublasLt)
  set(cuda_found ON)
endif()
hyperblocks_part(cuda "${cuda_found}" "a CUDA toolkit of 12 or newer with cuBLASLt's development files")
if(HYPERBLOCKS_WITH_CUDA)
  file(GLOB_RECURSE hyperblocks_cuda_headers CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/cuda/*.cuh"
       "${PROJECT_SOURCE_DIR}/cuda/*.hpp")
  target_include_directories(hyperblocks_cuda INTERFACE "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/cuda>"
                                                        "$<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>")
  # CMake 3.25 does not know the feature cuda_std_20, hence the option.
  target_compile_options(hyperblocks_cuda INTERFACE "$<$<COMPILE_LANGUAGE:CUDA>:-std=c++20;--expt-relaxed-constexpr>")
  target_link_libraries(hyperblocks_cuda INTERFACE CUDA::cudart CUDA::cublasLt)
endif()
