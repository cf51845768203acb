// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Regions of code compiled for an instruction set that the rest of the program may lack:
//   HYPERBLOCKS_TARGET_BEGIN("avx2,fma") ... functions and templates, no includes ... HYPERBLOCKS_TARGET_END
// Only functions behind a run-time choice (isa.hpp) may live there. Also: unrolling and inlining that kernels
// rely upon.
#pragma once

// Kernels tell NaN by comparing, mask with infinities and round by adding and taking away again.
#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__) || \
    defined(__ASSOCIATIVE_MATH__)
#error "hyperblocks: results are wrong with -ffast-math, -Ofast or parts of them: compile without"
#endif

#if defined(__CUDACC__)        // warnings of nvcc's front end about what the host compiler understands well
#pragma nv_diag_suppress 1675  // GCC's unroll pragma
#pragma nv_diag_suppress 554   // Strided<const T>'s conversion to itself
#endif

#define HYPERBLOCKS_PRAGMA(text) _Pragma(#text)

#if defined(__clang__)
#define HYPERBLOCKS_TARGET_BEGIN(set) \
  HYPERBLOCKS_PRAGMA(clang attribute push(__attribute__((target(set))), apply_to = function))
#define HYPERBLOCKS_TARGET_END HYPERBLOCKS_PRAGMA(clang attribute pop)
#define HYPERBLOCKS_UNROLL HYPERBLOCKS_PRAGMA(unroll)
#else
#define HYPERBLOCKS_TARGET_BEGIN(set) HYPERBLOCKS_PRAGMA(GCC push_options) HYPERBLOCKS_PRAGMA(GCC target(set))
#define HYPERBLOCKS_TARGET_END HYPERBLOCKS_PRAGMA(GCC pop_options)
#define HYPERBLOCKS_UNROLL HYPERBLOCKS_PRAGMA(GCC unroll 32)
#endif

#define HYPERBLOCKS_INLINE inline __attribute__((always_inline))
