# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The hyperblocks authors
"""Prints the tables of docs/performance-low-rank.md: bench/low_rank_update of the release build, every case in a process of its own in
which its variants take turns, and PyTorch's composition where it is installed. Ratios of best times and of median times.

  build/reference-python/bin/python bench/low_rank_update_table.py [--repetitions N] [--threads N] [--shapes 576x576,...] [--ranks 4,8,...]
"""
import argparse
import collections
import json
import statistics
import subprocess
import time

SHAPES = "576x576 192x576 1536x576 576x1536 1728x576 1152x576 576x1152 2048x1024 3072x1024 1024x3072 4096x4096 12288x4096 4096x12288 2304x576 2112x512"
ROWS, SMALL, LARGE = (1, 4, 16, 64, 256, 1024), (4, 8, 16), (64, 128, 328, 1032)
BATCH = 64  # adapters, and rows


def run(pattern, repetitions):
    """{benchmark's name: seconds of every repetition}, and its counters."""
    command = ["build/release/bench/low_rank_update", f"--benchmark_filter={pattern}", "--benchmark_format=json",
               f"--benchmark_repetitions={repetitions}", "--benchmark_enable_random_interleaving=true"]
    time.sleep(0.3)  # PyTorch's threads keep a core busy for a while
    report = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    times, counters = collections.defaultdict(list), {}
    for row in report["benchmarks"]:
        if row["run_type"] == "iteration":
            name = row["name"].split("/")[0]
            times[name].append(row["real_time"] * 1e-9)
            counters[name] = row
    return times, counters


def run_torch(out, columns, m, rank, threads, repetitions):
    try:
        import torch
    except ImportError:
        return []
    torch.set_num_threads(threads)
    x, weight, a, b = torch.randn(m, columns), torch.randn(out, columns), torch.randn(rank, columns), torch.randn(out, rank)
    times = []
    with torch.inference_mode():
        for _ in range(repetitions + 1):
            count, start = 0, time.perf_counter()
            while count == 0 or time.perf_counter() - start < 0.02:
                x @ weight.T + (x @ a.T) @ b.T * 1.5
                count += 1
            times.append((time.perf_counter() - start) / count)
    return times[1:]


def ratio(first, second):
    if not first or not second:
        return "-"
    return f"{min(first) / min(second):.3f} ({statistics.median(first) / statistics.median(second):.3f})"


def header(*titles):
    print("| " + " | ".join(titles) + " |\n|" + "---|" * len(titles))


def print_overhead(found, shapes, ranks, threads):
    print(f"\nFused update / bare product, {threads} threads: best (median) times; last, what the multiply-adds alone would cost\n")
    header("out x in", "r", *(f"m {m}" for m in ROWS), "arithmetic")
    for shape in shapes:
        out, columns = map(int, shape.split("x"))
        for rank in sorted({*SMALL} & {*ranks}):
            cells = [ratio(found[shape, m, rank]["fused"], found[shape, m, rank]["bare"]) for m in ROWS]
            print(f"| {shape} | {rank} | " + " | ".join(cells) + f" | {1 + rank * (out + columns) / (out * columns):.3f} |")


def print_peers(found, shapes, ranks, threads):
    for peer, title in (("three_step", "Eigen's three steps"), ("torch", "PyTorch's composition"), ("plain", "the update with plain factors")):
        print(f"\n{title} / fused update, {threads} threads: best (median) times, the worst shape's best\n")
        header("r", *(f"m {m}" for m in ROWS))
        for rank in ranks:
            cells = []
            for m in ROWS:
                pairs = [(found[shape, m, rank][peer], found[shape, m, rank]["fused"]) for shape in shapes]
                if not all(theirs for theirs, _ in pairs):
                    cells.append("-")
                    continue
                best = statistics.geometric_mean(min(t) / min(o) for t, o in pairs)
                median = statistics.geometric_mean(statistics.median(t) / statistics.median(o) for t, o in pairs)
                cells.append(f"{best:.2f} ({median:.2f}), {min(min(t) / min(o) for t, o in pairs):.2f}")
            print(f"| {rank} | " + " | ".join(cells) + " |")


def print_batch(found, shapes, ranks, threads, bandwidth):
    print(f"\n64 adapters over 64 rows, {threads} threads; the floor is the bare product and the adapters' bytes at the {bandwidth:.0f} GB/s of `read`\n")
    header("out x in", "r", "batch / bare product", "batch / floor", "64 calls / batch")
    for shape in shapes:
        out, columns = map(int, shape.split("x"))
        for rank in sorted({*SMALL} & {*ranks}):
            times = found[shape, BATCH, rank]
            floor = [bare + BATCH * 4 * rank * (out + columns) / bandwidth * 1e-9 for bare in times["bare"]]
            print(f"| {shape} | {rank} | {ratio(times['batch'], times['bare'])} | {ratio(times['batch'], floor)} | "
                  f"{ratio(times['separate'], times['batch'])} |")


def main(arguments):
    shapes, threads = arguments.shapes.replace(",", " ").split(), arguments.threads
    ranks = [int(rank) for rank in arguments.ranks.split(",")]
    found = {}
    for shape in shapes:
        for m in ROWS:
            for rank in ranks:
                times, _ = run(f"/{shape}/m:{m}/r:{rank}/threads:{threads}/", arguments.repetitions)
                out, columns = map(int, shape.split("x"))
                times["torch"] = run_torch(out, columns, m, rank, threads, min(arguments.repetitions, 3))
                found[shape, m, rank] = times
    _, counters = run("^read", 3)
    print_overhead(found, shapes, ranks, threads)
    print_peers(found, shapes, ranks, threads)
    print_batch(found, shapes, ranks, threads, counters["read"]["GB/s"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--shapes", default=SHAPES)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--ranks", default=",".join(map(str, SMALL + LARGE)))
    main(parser.parse_args())
