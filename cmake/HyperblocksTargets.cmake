# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The hyperblocks authors
# The INTERFACE targets, and what each needs. Every header under include/ and cuda/ belongs to one of them.

# ---- hyperblocks::hyperblocks: Eigen and threads, nothing else --------------------------------------------------------
find_package(Eigen3 REQUIRED NO_MODULE)  # 3.4 or 5: Eigen's own version file would refuse 5 for a request of 3.4
if(Eigen3_VERSION VERSION_LESS 3.4)
  message(FATAL_ERROR "hyperblocks needs Eigen 3.4 or newer, found ${Eigen3_VERSION} in ${Eigen3_DIR}")
endif()
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)

file(GLOB_RECURSE hyperblocks_headers CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/include/*.hpp")
set(hyperblocks_io_headers ${hyperblocks_headers})
set(hyperblocks_text_headers ${hyperblocks_headers})
list(FILTER hyperblocks_io_headers INCLUDE REGEX "/include/hyperblocks/io/")
list(FILTER hyperblocks_text_headers INCLUDE REGEX "/include/hyperblocks/text/")
set(hyperblocks_mpi_headers ${hyperblocks_headers})
list(FILTER hyperblocks_mpi_headers INCLUDE REGEX "/include/hyperblocks/mpi/")
list(FILTER hyperblocks_headers EXCLUDE REGEX "/include/hyperblocks/(io|text|mpi)/")

add_library(hyperblocks INTERFACE)
add_library(hyperblocks::hyperblocks ALIAS hyperblocks)
target_sources(hyperblocks INTERFACE FILE_SET HEADERS BASE_DIRS "${PROJECT_SOURCE_DIR}/include" FILES ${hyperblocks_headers})
target_compile_features(hyperblocks INTERFACE cxx_std_20)
target_link_libraries(hyperblocks INTERFACE Eigen3::Eigen Threads::Threads)

# ---- a BLAS beneath Eigen: for what our own kernels do not serve ------------------------------------------------------
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
add_library(hyperblocks_io INTERFACE)
add_library(hyperblocks::io ALIAS hyperblocks_io)
set_target_properties(hyperblocks_io PROPERTIES EXPORT_NAME io)
if(hyperblocks_io_headers)
  target_sources(hyperblocks_io INTERFACE FILE_SET HEADERS BASE_DIRS "${PROJECT_SOURCE_DIR}/include"
                                          FILES ${hyperblocks_io_headers})
endif()
find_package(nlohmann_json 3.10 QUIET)
set(HYPERBLOCKS_WITH_IO ${nlohmann_json_FOUND})
if(HYPERBLOCKS_WITH_IO)
  target_link_libraries(hyperblocks_io INTERFACE hyperblocks nlohmann_json::nlohmann_json)
else()
  message(STATUS "hyperblocks: nlohmann_json not found, hyperblocks::io left out")
endif()

# ---- hyperblocks::text: tokenizers and chat templates -----------------------------------------------------------------
find_package(HyperblocksText QUIET MODULE)
set(HYPERBLOCKS_WITH_TEXT OFF)
if(HYPERBLOCKS_WITH_IO AND HyperblocksText_FOUND)
  set(HYPERBLOCKS_WITH_TEXT ON)
  add_library(hyperblocks_text INTERFACE)
  add_library(hyperblocks::text ALIAS hyperblocks_text)
  set_target_properties(hyperblocks_text PROPERTIES EXPORT_NAME text)
  target_sources(hyperblocks_text INTERFACE FILE_SET HEADERS BASE_DIRS "${PROJECT_SOURCE_DIR}/include"
                                            FILES ${hyperblocks_text_headers})
  target_link_libraries(hyperblocks_text INTERFACE hyperblocks_io HyperblocksText::pcre2 HyperblocksText::utf8proc)
else()
  message(STATUS "hyperblocks: PCRE2 or utf8proc not found, hyperblocks::text left out")
endif()

# ---- hyperblocks::mpi: several processes -------------------------------------------------------------------------------
set(MPI_CXX_SKIP_MPICXX ON)  # not MPI's own C++ interface, which has been withdrawn
find_package(MPI 3 QUIET COMPONENTS CXX)
set(HYPERBLOCKS_WITH_MPI ${MPI_CXX_FOUND})
if(HYPERBLOCKS_WITH_MPI)
  add_library(hyperblocks_mpi INTERFACE)
  add_library(hyperblocks::mpi ALIAS hyperblocks_mpi)
  set_target_properties(hyperblocks_mpi PROPERTIES EXPORT_NAME mpi)
  target_sources(hyperblocks_mpi INTERFACE FILE_SET HEADERS BASE_DIRS "${PROJECT_SOURCE_DIR}/include"
                                           FILES ${hyperblocks_mpi_headers})
  target_link_libraries(hyperblocks_mpi INTERFACE hyperblocks MPI::MPI_CXX)
else()
  message(STATUS "hyperblocks: MPI not found, hyperblocks::mpi left out")
endif()

# ---- hyperblocks::cuda: the second device ------------------------------------------------------------------------------
# The target asks for the toolkit's libraries alone: a user of it enables the language CUDA, a mere configuring does not.
set(HYPERBLOCKS_WITH_CUDA OFF)
if(HYPERBLOCKS_CUDA STREQUAL "ON")
  find_package(CUDAToolkit 12 REQUIRED)
  if(NOT TARGET CUDA::cublasLt)
    message(FATAL_ERROR "hyperblocks: HYPERBLOCKS_CUDA is ON and the toolkit has no cuBLASLt: install its development files")
  endif()
elseif(NOT HYPERBLOCKS_CUDA STREQUAL "OFF")
  find_package(CUDAToolkit 12 QUIET)
endif()
if(TARGET CUDA::cublasLt AND NOT HYPERBLOCKS_CUDA STREQUAL "OFF")
  set(HYPERBLOCKS_WITH_CUDA ON)
  file(GLOB_RECURSE hyperblocks_cuda_headers CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/cuda/*.cuh"
       "${PROJECT_SOURCE_DIR}/cuda/*.hpp")
  add_library(hyperblocks_cuda INTERFACE)
  add_library(hyperblocks::cuda ALIAS hyperblocks_cuda)
  set_target_properties(hyperblocks_cuda PROPERTIES EXPORT_NAME cuda)
  target_include_directories(hyperblocks_cuda INTERFACE "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/cuda>"
                                                        "$<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>")
  # CMake 3.25 does not know the feature cuda_std_20, hence the option.
  target_compile_options(hyperblocks_cuda INTERFACE "$<$<COMPILE_LANGUAGE:CUDA>:-std=c++20;--expt-relaxed-constexpr>")
  target_link_libraries(hyperblocks_cuda INTERFACE hyperblocks CUDA::cudart CUDA::cublasLt)
endif()
