// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// One header of each component that is there.
#pragma once

#ifdef WITH_IO
#include <hyperblocks/io/load_decoder.hpp>
#include <hyperblocks/io/peft.hpp>
#endif
#ifdef WITH_TEXT
#include <hyperblocks/text/load_tokenizer.hpp>
#endif
#ifdef WITH_MPI
#include <hyperblocks/mpi/processes.hpp>
#endif
