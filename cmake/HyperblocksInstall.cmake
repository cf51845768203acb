# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The hyperblocks authors
# Install and export: the package hyperblocks with the components core, io, text, mpi and cuda. Nothing installed is compiled, so one
# install serves every architecture.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)
set(package_folder "${CMAKE_INSTALL_DATADIR}/cmake/hyperblocks")

install(TARGETS hyperblocks EXPORT hyperblocksCoreTargets FILE_SET HEADERS)
install(EXPORT hyperblocksCoreTargets NAMESPACE hyperblocks:: DESTINATION "${package_folder}")
if(HYPERBLOCKS_WITH_IO)
  install(TARGETS hyperblocks_io EXPORT hyperblocksIoTargets FILE_SET HEADERS)
  install(EXPORT hyperblocksIoTargets NAMESPACE hyperblocks:: DESTINATION "${package_folder}")
endif()
if(HYPERBLOCKS_WITH_TEXT)
  install(TARGETS hyperblocks_text EXPORT hyperblocksTextTargets FILE_SET HEADERS)
  install(EXPORT hyperblocksTextTargets NAMESPACE hyperblocks:: DESTINATION "${package_folder}")
  install(FILES "${PROJECT_SOURCE_DIR}/cmake/FindHyperblocksText.cmake" DESTINATION "${package_folder}")
endif()
if(HYPERBLOCKS_WITH_MPI)
  install(TARGETS hyperblocks_mpi EXPORT hyperblocksMpiTargets FILE_SET HEADERS)
  install(EXPORT hyperblocksMpiTargets NAMESPACE hyperblocks:: DESTINATION "${package_folder}")
endif()
if(HYPERBLOCKS_WITH_CUDA)
  install(DIRECTORY "${PROJECT_SOURCE_DIR}/cuda/" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
          FILES_MATCHING PATTERN "*.cuh" PATTERN "*.hpp")
  install(TARGETS hyperblocks_cuda EXPORT hyperblocksCudaTargets)
  install(EXPORT hyperblocksCudaTargets NAMESPACE hyperblocks:: DESTINATION "${package_folder}")
endif()

configure_package_config_file("${PROJECT_SOURCE_DIR}/cmake/hyperblocksConfig.cmake.in" hyperblocksConfig.cmake
                              INSTALL_DESTINATION "${package_folder}")
write_basic_package_version_file(hyperblocksConfigVersion.cmake COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES "${PROJECT_BINARY_DIR}/hyperblocksConfig.cmake" "${PROJECT_BINARY_DIR}/hyperblocksConfigVersion.cmake"
              "${PROJECT_SOURCE_DIR}/cmake/HyperblocksBase.cmake" "${PROJECT_SOURCE_DIR}/cmake/write_spec.cpp"
        DESTINATION "${package_folder}")
