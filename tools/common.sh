# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The hyperblocks authors
# Sourced by every script in this folder: strict mode, the repository as working directory, and one way to print a heading.
set -euo pipefail
export CALLER=$PWD  # where paths on the command line begin
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# from_caller PATH: a path that was given on the command line, from here
from_caller() { if [[ $1 == /* ]]; then echo "$1"; else echo "$CALLER/$1"; fi; }
heading() { printf '\n== %s\n' "$*"; }
