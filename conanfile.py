# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The hyperblocks authors
# Conan 2 recipe: the headers, and the dependencies of the components that are asked for.
from conan import ConanFile
from conan.tools.build import check_min_cppstd
from conan.tools.cmake import CMake, CMakeDeps, CMakeToolchain, cmake_layout
from conan.tools.files import load


class Hyperblocks(ConanFile):
    name = "hyperblocks"
    license = "Apache-2.0"
    description = "Header-only C++20/CUDA building blocks of hypernetworks that write LoRA adapters"
    package_type = "header-library"
    settings = "os", "arch", "compiler", "build_type"
    options = {"io": [True, False], "text": [True, False]}  # text needs io
    default_options = {"io": True, "text": True}
    exports_sources = "CMakeLists.txt", "LICENSE", "cmake/*", "include/*", "cuda/*"
    no_copy_source = True

    def set_version(self):
        line = next(line for line in load(self, "include/hyperblocks/version.hpp").splitlines()
                    if "#define HYPERBLOCKS_VERSION" in line)
        self.version = line.split('"')[1]

    def validate(self):
        check_min_cppstd(self, 20)

    def requirements(self):
        self.requires("eigen/[>=3.4.0 <6]", transitive_headers=True)
        if self.options.io:
            self.requires("nlohmann_json/[>=3.10 <4]", transitive_headers=True)

        if self.options.io and self.options.text:
            self.requires("pcre2/[>=10.40 <11]", transitive_headers=True, transitive_libs=True)
            self.requires("utf8proc/[>=2.8 <3]", transitive_headers=True, transitive_libs=True)

    def layout(self):
        cmake_layout(self)

    def generate(self):
        CMakeDeps(self).generate()
        toolchain = CMakeToolchain(self)
        for option in ("TESTS", "BENCH", "EXAMPLES", "CUDA"):
            toolchain.cache_variables[f"HYPERBLOCKS_{option}"] = "OFF"
        toolchain.cache_variables["HYPERBLOCKS_INSTALL"] = "ON"
        # Exactly what the options say, whatever else the builder's machine has.
        toolchain.cache_variables["HYPERBLOCKS_IO"] = "ON" if self.options.io else "OFF"
        toolchain.cache_variables["HYPERBLOCKS_TEXT"] = "ON" if self.options.io and self.options.text else "OFF"
        toolchain.cache_variables["HYPERBLOCKS_MPI"] = "OFF"
        toolchain.generate()

    def package(self):
        cmake = CMake(self)
        cmake.configure()
        cmake.install()

    def package_id(self):
        self.info.settings.clear()
        self.info.requires.clear()

    def package_info(self):
        self.cpp_info.set_property("cmake_find_mode", "none")  # our own package file is the better one
        self.cpp_info.builddirs = ["share/cmake/hyperblocks"]
