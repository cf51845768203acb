# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The hyperblocks authors
# The drawing of tools/plot-training.
import argparse
import json
import pathlib

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams |= {"svg.fonttype": "none", "font.size": 9, "axes.grid": True, "grid.alpha": 0.3,
                        "axes.spines.top": False, "axes.spines.right": False, "svg.hashsalt": "hyperblocks"}
import matplotlib.pyplot as plt  # noqa: E402: behind the choice of what draws


def read_log(folder):
    """Steps with their losses, and with their shares of right answers; of a step told twice, the later line counts."""
    path = pathlib.Path(folder)
    losses, shares = {}, {}
    for line in (path / "log.jsonl" if path.is_dir() else path).read_text().splitlines():
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            continue  # cut off when the program was killed
        if "loss" in entry:
            losses[entry["step"]] = entry["loss"]
        elif entry.get("asked"):
            shares[entry["step"]] = 100 * entry["right"] / entry["asked"]
    return sorted(losses.items()), sorted(shares.items())


def main():
    parser = argparse.ArgumentParser(description="Draws the logs of examples/train.")
    parser.add_argument("--out", required=True, help="*.svg")
    parser.add_argument("runs", nargs="+", metavar="NAME=FOLDER")
    options = parser.parse_args()
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    for run in options.runs:
        name, _, folder = run.rpartition("=")
        losses, shares = read_log(folder)
        if not losses:
            parser.error(f"no losses in {folder}")
        line, = left.plot(*zip(*losses), label=name or folder, linewidth=1.2)
        if shares:
            right.plot(*zip(*shares), marker="o", markersize=3, color=line.get_color(), label=name or folder)
    left.set(xlabel="step", ylabel="loss", yscale="log")
    right.set(xlabel="step", ylabel="held-out answers right, %", ylim=(0, 102))
    left.legend(frameon=False)
    figure.savefig(options.out, metadata={"Date": None})


if __name__ == "__main__":
    main()
