# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The hyperblocks authors
"""Prints the tables of docs/performance-products.md: bench/products of the release and of the native build, and PyTorch's linear
where it is installed, in turns, so that a drifting machine meets all of them; ratios of best times and of median times.

  build/reference-python/bin/python bench/products_table.py [--rounds N] [--filter REGEX] >tables.md
"""
import argparse
import collections
import json
import math
import re
import statistics
import subprocess
import time

BUILDS = {"release": "built for plain x86-64", "native": "built for the machine"}
CASE = re.compile(r"(\w+)/(\d+)x(\d+)/m:(\d+)/threads:(\d+)")


def run_build(build, pattern):
    """{(who, out, in, m, threads): seconds} of one run of the benchmark."""
    command = [f"build/{build}/bench/products", f"--benchmark_filter={pattern}", "--benchmark_format=json"]
    report = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    times = {}
    for row in report["benchmarks"]:
        who, *numbers = CASE.match(row["name"]).groups()
        times[(who, *map(int, numbers))] = row["real_time"] * 1e-9
    return times


def run_torch(cases):
    try:
        import torch
    except ImportError:
        return {}
    times = {}
    for out, columns, m, threads in sorted(cases):
        torch.set_num_threads(threads)
        x, weight = torch.randn(m, columns), torch.randn(out, columns)
        with torch.inference_mode():
            torch.nn.functional.linear(x, weight)
            count, start = 0, time.perf_counter()
            while count == 0 or time.perf_counter() - start < 0.05:
                torch.nn.functional.linear(x, weight)
                count += 1
            times[("torch", out, columns, m, threads)] = (time.perf_counter() - start) / count
    return times


def measure(rounds, pattern):
    """{build: {case with who: times of all rounds}}"""
    found = {build: collections.defaultdict(list) for build in BUILDS}
    for _ in range(rounds):
        for build, times in found.items():
            run = run_build(build, pattern)
            run |= run_torch({case[1:] for case in run})
            for case, seconds in run.items():
                times[case].append(seconds)
    return found


def ratio_cell(times, mine, who, cases):
    """How many times as fast as `who` we are: geometric mean over shapes of best and of median, and the worst shape's best."""
    best, median = [], []
    for case in cases:
        ours, theirs = times[(mine, *case)], times.get((who, *case))
        if not theirs:
            return "-"
        best.append(min(theirs) / min(ours))
        median.append(statistics.median(theirs) / statistics.median(ours))
    mean = lambda values: math.exp(sum(map(math.log, values)) / len(values))
    return f"{mean(best):.2f} / {mean(median):.2f} / {min(best):.2f}"


def print_tables(found):
    peers = ["eigen", "openblas", "torch"]
    for build, times in found.items():
        cases = [case[1:] for case in times if case[0] == "ours"]
        for threads, mine in ((threads, mine) for threads in sorted({case[3] for case in cases}) for mine in ("ours", "ours_plain")):
            print(f"\n`{mine}`, {BUILDS[build]}, {threads} thread(s): times as fast as (best / median / worst shape's best)\n")
            print("| m | Eigen | OpenBLAS | PyTorch |\n|---|---|---|---|")
            for m in sorted({case[2] for case in cases}):
                same = [case for case in cases if case[2] == m and case[3] == threads]
                print(f"| {m} | " + " | ".join(ratio_cell(times, mine, who, same) for who in peers) + " |")
    times = found["release"]
    cases = [case[1:] for case in times if case[0] == "ours"]
    threads, ms = max(case[3] for case in cases), sorted({case[2] for case in cases})
    for who, bytes_each in (("ours", 4), ("ours_bf16", 2)):
        print(f"\n`{who}`, {BUILDS['release']}, {threads} threads: GFLOP/s (GB/s) of the best round\n")
        print("| out x in | " + " | ".join(f"m {m}" for m in ms) + " |\n|---|" + "---|" * len(ms))
        for out, columns in dict.fromkeys(case[:2] for case in cases):
            cells = []
            for m in ms:
                seconds = min(times[(who, out, columns, m, threads)])
                moved = bytes_each * (m * out + m * columns + out * columns)
                cells.append(f"{2e-9 * m * out * columns / seconds:.0f} ({1e-9 * moved / seconds:.0f})")
            print(f"| {out}x{columns} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--filter", default="threads:2")
    arguments = parser.parse_args()
    print_tables(measure(arguments.rounds, arguments.filter))
