# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The hyperblocks authors
# log.jsonl of a training, as plot-training and compare read it: a line that a kill cut off does not count, nor does a loss that is none.
import json
import math


def lines_of(path):
    """What the log says, line by line."""
    for line in path.read_text().splitlines():
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(entry, dict) and "step" in entry:
            yield entry


def has_loss(entry):
    loss = entry.get("loss")
    return isinstance(loss, (int, float)) and math.isfinite(loss)
