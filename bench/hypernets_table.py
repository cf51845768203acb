# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The hyperblocks authors
"""Prints the table of docs/performance-hypernets.md: hypernetworks at SmolLM2-135M's shapes by bench/hypernets and by PyTorch
(bench/hypernets_torch.py: the same weights, two threads each), in turns, and whether both write the same adapter.

  build/reference-python/bin/python bench/hypernets_table.py [--rounds N] [--folder build/hypernets] [--compile] >table.md
"""
import argparse
import pathlib
import statistics
import subprocess
import sys

import safetensors.torch

CASES = [("shine", 512), ("doc-to-lora", 512), ("doc-to-lora", 2048), ("doc-to-lora-iterative", 2048),
         ("text-to-lora-small", 0), ("text-to-lora-large", 0)]
WEIGHTS = ("float", "bf16", "all-bf16")


def run(*command):
    """(best, median, memory) of a program."""
    output = subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True).stdout
    return tuple(float(number) for number in output.split()[-3:])


def difference(folder, system):
    """Of what the adapters add, relative to the largest number of each linear's; the worst linear's."""
    ours = safetensors.torch.load_file(folder / f"ours_{system}" / "adapter_model.safetensors")
    theirs = safetensors.torch.load_file(folder / f"torch_{system}.safetensors")
    assert ours.keys() == theirs.keys(), "the adapters change other linears"

    def added(adapter, name):
        return adapter[name.replace("lora_A", "lora_B")].double() @ adapter[name].double()
    return max(((added(ours, name) - added(theirs, name)).abs().max() / added(theirs, name).abs().max()).item()
               for name in theirs if "lora_A" in name)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path("build/hypernets"))
    parser.add_argument("--compile", action="store_true", help="PyTorch through torch.compile")
    arguments = parser.parse_args()
    folder, here = arguments.folder, pathlib.Path(__file__).parent
    torch_program = [sys.executable, here / "hypernets_torch.py", folder]
    if not (folder / "text_to_lora_large.safetensors").exists():
        subprocess.run([*map(str, torch_program), "make"], check=True, stdout=sys.stderr)
    print("| system | tokens | weights | ours: best, median (s) | PyTorch: best, median (s) | times as fast: best, median "
          "| memory: ours, PyTorch (GB) | adapters differ by |")
    print("|---|---|---|---|---|---|---|---|")
    for system, tokens in CASES:
        ours, theirs, differences = {weights: [] for weights in WEIGHTS}, [], {}
        for _ in range(arguments.rounds):
            calls = 2 if tokens > 0 else 50
            theirs.append(run(*torch_program, system, tokens, calls, *(["compile"] if arguments.compile else [])))
            for weights in WEIGHTS:
                ours[weights].append(run("build/release/bench/hypernets", folder, system, tokens, weights, calls))
                differences[weights] = difference(folder, system)
        for weights in WEIGHTS:
            best, torch_best = min(row[0] for row in ours[weights]), min(row[0] for row in theirs)
            median, torch_median = (statistics.median(row[1] for row in rows) for rows in (ours[weights], theirs))
            print(f"| {system} | {tokens} | {weights} | {best:.3g}, {median:.3g} | {torch_best:.3g}, {torch_median:.3g} "
                  f"| {torch_best / best:.1f}, {torch_median / median:.1f} "
                  f"| {ours[weights][0][2]:.2f}, {theirs[0][2]:.2f} | {differences[weights]:.1e} |", flush=True)


if __name__ == "__main__":
    main()
