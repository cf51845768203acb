# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The hyperblocks authors
# The drawing of tools/plot-training.
import argparse
import json
import os
import pathlib

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams |= {"svg.fonttype": "none", "font.size": 9, "axes.grid": True, "grid.alpha": 0.3,
                        "axes.spines.top": False, "axes.spines.right": False, "svg.hashsalt": "hyperblocks"}
import matplotlib.pyplot as plt  # noqa: E402: behind the choice of what draws

from training_log import has_loss, lines_of  # noqa: E402


CALLER = pathlib.Path(os.environ.get("CALLER", "."))  # where paths on the command line begin


def read_log(folder):
    """Steps with their losses, and with their shares of right answers; of a step told twice, the later line counts."""
    path = CALLER / folder
    losses, shares = {}, {}
    for entry in lines_of(path / "log.jsonl" if path.is_dir() else path):
        if has_loss(entry):
            losses[entry["step"]] = entry["loss"]
        elif entry.get("asked"):
            shares[entry["step"]] = 100 * entry["right"] / entry["asked"]
    return sorted(losses.items()), sorted(shares.items())


def joined(folders):
    """The logs of stages, one behind the other."""
    losses, shares, steps = [], [], 0
    for folder in folders:
        more, right = read_log(folder)
        losses += [(steps + step, loss) for step, loss in more]
        shares += [(steps + step, share) for step, share in right]
        steps += more[-1][0] if more else 0
    return losses, shares


def needle_map(folder):
    """Depth against length, each cell with its share of needles that were found."""
    rows = json.loads((CALLER / folder / "needle_map.json").read_text())
    bins = len(rows[0]["right"])
    shares = [[100 * row["right"][i] / row["cases"] for row in rows] for i in range(bins)]
    figure, axes = plt.subplots(figsize=(1.2 + 0.75 * len(rows), 3.4), layout="constrained")
    axes.grid(False)
    image = axes.imshow(shares, vmin=0, vmax=100, aspect="auto", cmap="viridis")
    for i, line in enumerate(shares):
        for j, share in enumerate(line):
            axes.text(j, i, f"{share:.0f}", ha="center", va="center", fontsize=7, color="white" if share < 60 else "black")
    axes.set(xticks=range(len(rows)), xticklabels=[f"{row['tokens']:.0f}" for row in rows], xlabel="tokens of the text",
             yticks=range(bins), yticklabels=[f"{100 * i // bins} %" for i in range(bins)], ylabel="depth of the needle")
    figure.colorbar(image, label=f"found of {rows[0]['cases']}, %")
    return figure


def main():
    parser = argparse.ArgumentParser(description="Draws the logs of examples/train.")
    parser.add_argument("--out", required=True, help="*.svg")
    parser.add_argument("--needles", action="store_true", help="the needle_map.json of one folder in place of logs")
    parser.add_argument("runs", nargs="+", metavar="NAME=FOLDER[,FOLDER...]")
    options = parser.parse_args()
    if options.needles:
        if len(options.runs) != 1:
            parser.error("--needles draws one folder")
        needle_map(options.runs[0]).savefig(CALLER / options.out, metadata={"Date": None})
        return
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    for run in options.runs:
        name, _, folder = run.rpartition("=")
        try:
            losses, shares = joined(folder.split(","))
        except OSError as error:
            parser.error(str(error))
        if not losses:
            parser.error(f"no losses in {folder}")
        line, = left.plot(*zip(*losses), label=name or folder, linewidth=1.2)
        if shares:
            right.plot(*zip(*shares), marker="o", markersize=3, color=line.get_color(), label=name or folder)
    left.set(xlabel="step", ylabel="loss", yscale="log")
    right.set(xlabel="step", ylabel="held-out answers right, %", ylim=(0, 102))
    left.legend(frameon=False)
    figure.savefig(CALLER / options.out, metadata={"Date": None})


if __name__ == "__main__":
    main()
