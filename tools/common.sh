# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The hyperblocks authors
# Sourced by every script in this folder: strict mode, the repository as working directory, and one way to print a heading.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

heading() { printf '\n== %s\n' "$*"; }
