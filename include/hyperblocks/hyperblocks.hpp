// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Everything that runs on the CPU. hyperblocks/io/... adds files.
#pragma once

#include <hyperblocks/blocks/chain.hpp>
#include <hyperblocks/blocks/decoder_block.hpp>
#include <hyperblocks/blocks/embedding.hpp>
#include <hyperblocks/blocks/encoder_block.hpp>
#include <hyperblocks/blocks/perceiver.hpp>
#include <hyperblocks/blocks/residual_mlp.hpp>
#include <hyperblocks/lora/adapter.hpp>
#include <hyperblocks/lora/batch.hpp>
#include <hyperblocks/models/decoders.hpp>
#include <hyperblocks/models/embed.hpp>
#include <hyperblocks/models/generate.hpp>
#include <hyperblocks/ops/cpu/cpu.hpp>
#include <hyperblocks/version.hpp>
