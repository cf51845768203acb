# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The hyperblocks authors
"""Prints the table of docs/models.md: prefill and decoding of SmolLM2-135M by bench/decoder, by PyTorch in float (transformers'
model, numbers at random) and, where llama_cpp and a GGUF file are there, by llama.cpp; two threads each, in turns.

  build/reference-python/bin/python bench/decoder_table.py [--rounds N] [--gguf build/models/smollm2.gguf] >table.md
"""
import argparse
import collections
import json
import pathlib
import re
import statistics
import subprocess
import time

PREFILL, DECODE, STEPS, THREADS = (16, 128, 512), (16, 128, 1024), 16, 2


def ours():
    report = json.loads(subprocess.run(["build/release/bench/decoder", "--benchmark_format=json"], check=True,
                                       capture_output=True, text=True).stdout)
    times = {}
    for row in report["benchmarks"]:
        what, number = re.match(r"(\w+)/\w+:(\d+)", row["name"]).groups()
        times[(what, int(number))] = row["real_time"] * 1e-3
    return times


class Torch:
    def __init__(self):
        import torch
        import transformers
        torch.set_num_threads(THREADS)
        config = transformers.LlamaConfig(vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30,
                                          num_attention_heads=9, num_key_value_heads=3, max_position_embeddings=8192,
                                          tie_word_embeddings=True)
        self.torch, self.transformers = torch, transformers
        self.model = transformers.AutoModelForCausalLM.from_config(config).float().eval()

    def step(self, tokens, cache):
        ids = self.torch.randint(49152, (1, tokens))
        with self.torch.inference_mode():
            return self.model(ids, past_key_values=cache, use_cache=True, logits_to_keep=1)

    def cache(self):
        return self.transformers.DynamicCache(config=self.model.config)

    def __call__(self):
        times = {}
        for tokens in PREFILL:
            self.step(tokens, self.cache())
            times[("prefill", tokens)] = min(timed(lambda: self.step(tokens, self.cache())) for _ in range(2))
        for past in DECODE:
            cache = self.cache()
            self.step(past, cache)
            self.step(1, cache)
            times[("decode", past)] = timed(lambda: [self.step(1, cache) for _ in range(STEPS)]) / STEPS
        return times


class LlamaCpp:
    def __init__(self, gguf):
        import llama_cpp
        self.model = llama_cpp.Llama(str(gguf), n_ctx=2048, n_threads=THREADS, n_threads_batch=THREADS, verbose=False)

    def read(self, tokens):
        self.model.reset()
        self.model.eval([(7 * i + 11) % 40000 for i in range(tokens)])

    def __call__(self):
        times = {}
        for tokens in PREFILL:
            self.read(tokens)
            times[("prefill", tokens)] = min(timed(lambda: self.read(tokens)) for _ in range(2))
        for past in DECODE:
            self.read(past)
            times[("decode", past)] = timed(lambda: [self.model.eval([5]) for _ in range(STEPS)]) / STEPS
        return times


def timed(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--gguf", type=pathlib.Path, default=pathlib.Path("build/models/smollm2.gguf"))
    options = parser.parse_args()
    runners = {"ours": ours, "PyTorch": Torch()}
    try:
        runners["llama.cpp"] = LlamaCpp(options.gguf)
    except (ImportError, ValueError) as reason:
        print(f"llama.cpp left out: {reason}")
    found = {name: collections.defaultdict(list) for name in runners}
    for _ in range(options.rounds):
        for name, run in runners.items():
            for case, seconds in run().items():
                found[name][case].append(seconds)
    others = [name for name in runners if name != "ours"]
    print("| | ours, tokens/s (best / median) | " + " | ".join(f"times as fast as {name} (best / median)" for name in others) + " |")
    print("|---|---|" + "---|" * len(others))
    for what, number in found["ours"]:
        tokens = number if what == "prefill" else 1
        best = {name: min(times[(what, number)]) for name, times in found.items()}
        middle = {name: statistics.median(times[(what, number)]) for name, times in found.items()}
        label = f"prefill of {number}" if what == "prefill" else f"decode after {number}"
        cells = [f"{tokens / best['ours']:.0f} / {tokens / middle['ours']:.0f}"]
        cells += [f"{best[name] / best['ours']:.2f} / {middle[name] / middle['ours']:.2f}" for name in others]
        print(f"| {label} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
