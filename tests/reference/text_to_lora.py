# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The hyperblocks authors
# Text-to-LoRA in PyTorch, for a decoder of SIZES, and what it makes, in float64, as
# tests/fixtures/hypernets/text_to_lora_<case>.safetensors:
#   embeddings (texts, width), noise (texts, classes) where a discrete code is sampled
#   params.NAME: parameters under the names that hyperblocks gives them
#   code (texts, width), factors (of every linear A (layers, texts, rank, in), then B (layers, texts, rank, out); in one run),
#   changes: of every layer and linear what the last text's adapter adds to the weight, (out, in), in one run
#   followed.NAME: a codebook after a step of training
#   dfactors, and what it sends back to embeddings and to every parameter that is trained: gradients.NAME
import dataclasses
import math
import pathlib
import sys
import zlib

import safetensors.torch
import torch
from torch.nn.functional import embedding, layer_norm, linear, one_hot, silu

TEXTS, LAYERS = 2, 3
SIZES = {"attention.query": (16, 16), "attention.key": (16, 8), "attention.value": (16, 8), "attention.output": (16, 16),
         "mlp.gate": (16, 24), "mlp.up": (16, 24), "mlp.down": (24, 16)}  # (in, out)
ALL = tuple(SIZES)


@dataclasses.dataclass
class Case:
    targets: tuple = ("attention.query", "attention.value")
    rank: int = 3
    alpha: float = 16.0
    rslora: bool = True
    embedding: int = 9
    latent: int = 13
    head_in: int = 10
    code: str = "linear"
    codes: int = 5
    sampled: bool = False
    shared_head: bool = False
    autoregressive: bool = False
    positions: str = "rotary"
    head_bias: bool = True
    z_score: bool = False
    product_scale: float = 1.0
    offset: bool = False

    @property
    def code_width(self):
        return self.codes if self.code == "discrete" else self.latent // 2


CASES = {
    "l": Case(targets=ALL, z_score=True, offset=True, head_bias=False),
    "l_discrete": Case(code="discrete", codes=7, sampled=True, rslora=False, product_scale=25.0),
    "m_softmax": Case(targets=ALL, shared_head=True, code="softmax"),
    "ranks_vq": Case(autoregressive=True, code="vq", offset=True),
    "ranks_learned": Case(targets=ALL, autoregressive=True, positions="learned"),
    "s": Case(targets=ALL, shared_head=True, autoregressive=True),
    "s_learned": Case(shared_head=True, autoregressive=True, positions="learned", code="discrete", codes=7),
}


class Draw:
    """Numbers that depend on their name alone."""

    def __init__(self, case):
        self.case = case

    def __call__(self, name, shape, deviation=1.0, mean=0.0):
        generator = torch.Generator().manual_seed(zlib.crc32(f"text_to_lora/{self.case}/{name}".encode()))
        return (mean + deviation * torch.randn(shape, generator=generator, dtype=torch.float64)).float().double()


class Network:
    """Parameters are drawn where they are first asked for."""

    def __init__(self, case, spec):
        self.draw, self.spec = Draw(case), spec
        self.values, self.fixed = {}, {}

    def parameter(self, name, shape, deviation=1.0, mean=0.0, trained=True):
        kept = self.values if trained else self.fixed
        if name not in kept:
            kept[name] = self.draw(name, shape, deviation, mean).requires_grad_(trained)
        return kept[name]

    def linear(self, name, x, out, bias=True):
        weight = self.parameter(name + ".weight", (out, x.shape[-1]), 1.2 * x.shape[-1]**-0.5)
        return linear(x, weight, self.parameter(name + ".bias", (out,), 0.3) if bias else None)

    def norm(self, name, x):
        shape = x.shape[-1:]
        return layer_norm(x, shape, self.parameter(name + ".weight", shape, 0.2, 1.0), self.parameter(name + ".bias", shape, 0.2))

    def table(self, name, rows, width):
        return self.norm(name + ".norm", self.parameter(name + ".weight", (rows, width)))

    def mlp(self, name, x, out=None):
        """LayerNorm, two linears with silu behind each; residual where no other width is asked for."""
        hidden = silu(self.linear(name + ".1", self.norm(name + ".0", x), 4 * x.shape[-1]))
        y = silu(self.linear(name + ".3", hidden, out or x.shape[-1]))
        return y if out else x + y

    def code(self, x, noise):
        spec, width = self.spec, self.spec.code_width
        if spec.code == "linear":
            return self.norm("task.1", self.linear("task.0", x, width))
        hidden = silu(self.linear("task.0", x, 4 * width))
        last = self.linear("task.2", hidden, spec.codes if spec.code == "softmax" else width)
        if spec.code == "softmax":
            rows = self.parameter("task.4.weight", (width, spec.codes)).T
            return self.norm("task.5", (torch.softmax(last, -1).unsqueeze(-1) * rows).sum(-2))
        if spec.code == "discrete":
            scores = last if noise is None else last + noise
            if noise is not None and torch.equal(scores.argmax(-1), last.argmax(-1)):
                raise ValueError("noise that changes nothing")
            chosen = one_hot(scores.argmax(-1), width).double()
            probabilities = torch.softmax(last, -1)
            return chosen + probabilities - probabilities.detach()
        book = self.parameter("task.3.code", (spec.codes, width), 0.7, trained=False)
        nearest = torch.cdist(last, book).argmin(-1)
        self.follow(last.detach(), nearest)
        chosen = embedding(nearest, book)
        return self.norm("task.4", last + (chosen - last).detach())

    def follow(self, rows, nearest, decay=0.99):
        """The codebook's exponential means."""
        spec = self.spec
        sums = self.parameter("task.3.sum", (spec.codes, rows.shape[-1]), 0.7, trained=False)
        count = self.parameter("task.3.count", (spec.codes,), 0.1, 1.0, trained=False)
        hits = one_hot(nearest, spec.codes).double()
        sums = decay * sums + (1 - decay) * hits.T @ rows
        count = decay * count + (1 - decay) * hits.sum(0)
        smooth = (count + 1e-5) / (count.sum() + spec.codes * 1e-5) * count.sum()
        self.followed = {"followed.sum": sums, "followed.count": count, "followed.code": sums / smooth[:, None]}

    def places(self, which):
        """(layers, two embeddings of the layer and of the linear)"""
        spec, linears = self.spec, len(self.spec.targets)
        if spec.code == "discrete":
            depth, kind = torch.eye(LAYERS, dtype=torch.float64), torch.eye(linears, dtype=torch.float64)
        else:
            depth = self.table("trunk.depth", LAYERS, spec.latent // 4)
            kind = self.table("trunk.type", linears, spec.latent // 4)
        return torch.cat([depth, kind[which].expand(LAYERS, -1)], -1)

    def heads(self, which, codes):
        """What the head of a linear gives: A (layers, texts, rank, in) and B (layers, texts, rank, out)."""
        spec, name = self.spec, self.spec.targets[which]
        size_in, size_out = SIZES[name]
        texts = codes.shape[0]
        x = torch.cat([codes.expand(LAYERS, -1, -1), self.places(which)[:, None].expand(-1, texts, -1)], -1)
        x = silu(self.linear("trunk.mixer.2", silu(self.linear("trunk.mixer.0", x, 4 * x.shape[-1])), x.shape[-1]))
        x = self.mlp("trunk.mlp1", x)
        shape = (LAYERS, texts, spec.rank, -1)
        at, ranks = f"heads.{name}", 1 if spec.autoregressive else spec.rank
        if not spec.shared_head:
            rows = self.mlp("trunk.mlp3", self.ranks(x), spec.head_in)
            return tuple(self.linear(f"{at}.{side}", rows, ranks * size, spec.head_bias).reshape(shape)
                         for side, size in (("a", size_in), ("b", size_out)))
        sides = self.table("trunk.sides", 2 * len(spec.targets), x.shape[-1])
        result = []
        for side, size in enumerate((size_in, size_out)):
            rows = self.mlp("trunk.mlp3", self.ranks(x + sides[2 * which + side]), spec.head_in)
            numbers = self.linear(at, rows, ranks * max(size_in, size_out), spec.head_bias)
            result.append(numbers.reshape(shape)[..., :size])
        return tuple(result)

    def ranks(self, x):
        """mlp2, of every rank if they come one at a time."""
        spec = self.spec
        if not spec.autoregressive:
            return self.mlp("trunk.mlp2", x)
        if spec.shared_head:
            x = self.mlp("trunk.mlp2", x)
        width = x.shape[-1]
        x = x.unsqueeze(-2)
        if spec.positions == "rotary":
            angles = torch.outer(torch.arange(spec.rank).double(), 10000.0**(-torch.arange(0, width, 2).double() / width))
            first, second = x[..., :width // 2], x[..., width // 2:]
            turned = (first * angles.cos() - second * angles.sin(), second * angles.cos() + first * angles.sin())
            return self.mlp("trunk.mlp2", torch.cat(turned, -1))
        positions = self.table("trunk.ranks", spec.rank, width)
        if spec.shared_head:
            return x + self.mlp("trunk.mlp2", positions)
        return self.mlp("trunk.mlp2", x + positions)

    def factors(self, which, codes):
        result, name = [], self.spec.targets[which]
        for side, x in zip("ab", self.heads(which, codes)):
            def fixed(kind, *moments, x=x, side=side):
                shape = (LAYERS, self.spec.rank, x.shape[-1])
                return self.parameter(f"{kind}.{name}.{side}", shape, *moments, trained=False)[:, None]

            if self.spec.z_score:
                x = x * (fixed("deviation", 0.2, 1.0) + 1e-10) + fixed("mean", 0.3)
            x = x / math.sqrt(self.spec.product_scale)
            if self.spec.offset:
                x = x + fixed("offset", 0.3)
            result.append(x)
        return result


def run(case, spec):
    network = Network(case, spec)
    embeddings = network.draw("embeddings", (TEXTS, spec.embedding)).requires_grad_()
    noise = network.draw("noise", (TEXTS, spec.code_width)) if spec.sampled else None
    code = network.code(embeddings, noise)
    pairs = [network.factors(which, code) for which in range(len(spec.targets))]
    factors = torch.cat([factor.reshape(-1) for pair in pairs for factor in pair])
    scale = spec.alpha / (math.sqrt(spec.rank) if spec.rslora else spec.rank)
    changes = torch.cat([(scale * b[layer, -1].T @ a[layer, -1]).reshape(-1) for layer in range(LAYERS) for a, b in pairs])

    dfactors = network.draw("dfactors", factors.shape)
    given = {"embeddings": embeddings} | network.values
    found = torch.autograd.grad((factors * dfactors).sum(), list(given.values()))
    tensors = {"params." + name: tensor for name, tensor in (network.values | network.fixed).items()}
    tensors |= {"gradients." + name: gradient for name, gradient in zip(given, found)}
    tensors |= {"embeddings": embeddings, "code": code, "factors": factors, "dfactors": dfactors, "changes": changes}
    tensors |= {"noise": noise} if spec.sampled else {}
    tensors |= network.followed if spec.code == "vq" else {}
    return {name: tensor.detach().float().contiguous() for name, tensor in tensors.items()}


def main(fixtures):
    for case, spec in CASES.items():
        tensors = run(case, spec)
        safetensors.torch.save_file(tensors, pathlib.Path(fixtures) / "hypernets" / f"text_to_lora_{case}.safetensors")
        largest = {name: tensors[name].abs().max().item() for name in ("code", "factors", "changes")}
        smallest = min((tensor.abs().max().item(), name) for name, tensor in tensors.items() if name.startswith("gradients."))
        print(case, largest, "smallest:", smallest)


if __name__ == "__main__":
    main(sys.argv[1])
