# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The hyperblocks authors
# Writes tests/fixtures/blocks/<case>.safetensors: parameters and inputs as float32, and what PyTorch makes of them in float64,
# rounded once. Every tensor is drawn from a seed of its own, the case's name and its own, so that files are the same on every
# run and no case changes another.
#   params.NAME, updates.NAME.a / .b / .bias, x, context, ids, mask, sequences {count, length, count stride, length stride}, dy
#   y, gradients.NAME, gradients.updates.NAME.a ..., dx, dcontext
# A case in which PyTorch's own float32 errs by more than ROUNDING is refused: norms of nearly nothing, say, make so much of
# rounding that a comparison in float would say little.
import pathlib
import sys
import zlib

import safetensors.torch
import torch

from cases import CASES

RANK = 3  # of updates, as tests/support/block_case.hpp
MORE_CONTEXT = 3  # rows by which a context's sequences are longer, as there
ROUNDING = 3e-6


class Draws:
    """The tensors of a case, each drawn when it is first asked for: normal numbers that float32 holds exactly."""

    def __init__(self, seed, dtype):
        self.seed, self.dtype, self.tensors = seed, dtype, {}

    def generator(self, name):
        return torch.Generator().manual_seed(zlib.crc32(f"{self.seed}/{name}".encode()))

    def normal(self, name, shape, deviation, centre=0.0):
        if name not in self.tensors:
            numbers = centre + deviation * torch.randn(shape, generator=self.generator(name), dtype=torch.float64)
            self.tensors[name] = numbers.float().to(self.dtype).requires_grad_()
        return self.tensors[name]

    def ids(self, vocabulary, count):
        return torch.randint(vocabulary, (count,), generator=self.generator("ids"))

    def mask(self, count, keys):
        """Of each sequence about a third of the keys is hidden, never the last."""
        mask = torch.rand((count, keys), generator=self.generator("mask")) < 0.67
        mask[:, -1] = True
        return mask


class At:
    """A place in a case's tree of parameters: at / "attention" / "query"."""

    def __init__(self, draws, updated, path=""):
        self.draws, self.updated, self.path = draws, updated, path

    def __truediv__(self, name):
        return At(self.draws, self.updated, f"{self.path}.{name}" if self.path else name)

    def tensor(self, shape, deviation, centre=0.0):
        return self.draws.normal(f"params.{self.path}", shape, deviation, centre)

    def weight(self, out, inner, deviation=None):
        return (self / "weight").tensor((out, inner), deviation or inner**-0.5)

    def bias(self, width):
        return (self / "bias").tensor((width,), 0.3)

    def norm_weight(self, width, centre=1.0):
        return (self / "weight").tensor((width,), 0.3, centre)

    def update(self, out, inner):
        place = "updates." + self.path if self.path else "updates"
        shapes = {"a": (RANK, inner), "b": (out, RANK), "bias": (out,)}
        return tuple(self.draws.normal(f"{place}.{name}", shape, 0.3) for name, shape in shapes.items())


class Feed:
    """What a block sees besides parameters. split and join turn rows into (count, length, width) and back."""

    def __init__(self, count, length, interleaved=False, mask=None):
        self.count, self.length, self.interleaved, self.mask = count, length, interleaved, mask
        self.x = self.context = self.ids = None

    @classmethod
    def of(cls, case, draws):
        feed = cls(case.count, case.length, case.interleaved)
        keys = case.length + (MORE_CONTEXT if case.context else 0)
        if case.vocabulary:
            feed.ids = draws.ids(case.vocabulary, case.length)
        else:
            feed.x = draws.normal("x", (case.count * case.length, case.width), case.deviation)
        if case.context:
            feed.context = draws.normal("context", (case.count * keys, case.context), 1.0)
        if case.masked:
            feed.mask = draws.mask(case.count, keys)
        return feed

    def split(self, x):
        if self.interleaved:
            return x.reshape(self.length, self.count, -1).transpose(0, 1)
        return x.reshape(self.count, self.length, -1)

    def join(self, x):
        return (x.transpose(0, 1) if self.interleaved else x).reshape(self.count * self.length, -1)

    def split_context(self, context):
        return context.reshape(self.count, -1, context.shape[-1])

    def of_latents(self, latents):
        return Feed(self.count, latents, mask=self.mask)

    def without_mask(self):
        return Feed(self.count, self.length, self.interleaved)


def gradient_name(name):
    if name in ("x", "context"):
        return "d" + name
    return "gradients." + name.removeprefix("params.")


def evaluate(case, seed, dtype):
    """What goes into the block and what it gives: two dictionaries of tensors by their names in the file."""
    draws = Draws(seed, dtype)
    feed = Feed.of(case, draws)
    y = case.block(At(draws, case.updated), feed)
    given = dict(draws.tensors)
    dy = draws.normal("dy", y.shape, 1.0)
    gradients = torch.autograd.grad(y, list(given.values()), dy)
    results = {"y": y} | {gradient_name(name): gradient for name, gradient in zip(given, gradients)}
    given["dy"] = dy
    if feed.ids is not None:
        given["ids"] = feed.ids.int()
    if feed.mask is not None:
        given["mask"] = feed.mask.to(torch.uint8)
    strides = (1, case.count) if case.interleaved else (case.length, 1)
    given["sequences"] = torch.tensor((case.count, case.length, *strides), dtype=torch.int32)
    return given, results


def checked(name, gradient):
    """A key's bias adds the same to all scores of a query, and softmax takes it out again: zero, where nothing is between."""
    largest = gradient.abs().max().item()
    if name.endswith("key.bias") and largest < 1e-12:
        return torch.zeros_like(gradient)
    if not 1e-3 < largest < 1e3:
        raise ValueError(f"{name}: a gradient of {largest}")
    return gradient


def rounding(case, seed, expected):
    """The largest relative error of a tensor when PyTorch computes in float32."""
    _, found = evaluate(case, seed, torch.float32)
    return max(((found[name] - tensor).abs().max() / tensor.abs().max()).item()
               for name, tensor in expected.items() if tensor.any())


def fixture(name, case):
    """The tensors of a case's file, and how PyTorch's float32 errs."""
    given, results = evaluate(case, name, torch.float64)
    results = {key: checked(f"{name} {key}", tensor) for key, tensor in results.items()}
    error = rounding(case, name, results)
    if error > ROUNDING:
        raise ValueError(f"{name}: PyTorch in float32 errs by {error}: give the case other sizes")
    tensors = {key: tensor.detach() for key, tensor in (given | results).items()}
    tensors = {key: tensor.float() if tensor.is_floating_point() else tensor for key, tensor in tensors.items()}
    return {key: tensor.contiguous() for key, tensor in tensors.items()}, error


def main(folder):
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.safetensors"):
        if old.stem not in CASES:
            old.unlink()
    print("| case | PyTorch in float32 errs by |\n|---|---|")
    for name, case in CASES.items():
        tensors, error = fixture(name, case)
        safetensors.torch.save_file(tensors, folder / f"{name}.safetensors")
        print(f"| {name} | {error:.1e} |")
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{folder}: {len(CASES)} cases, {size} bytes, PyTorch {torch.__version__}")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
