# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The hyperblocks authors
# Doc-to-LoRA in PyTorch, on tiny decoders that transformers saved (tests/fixtures/models), and what it makes, in float64, as
# tests/fixtures/hypernets/doc_to_lora_<case>.safetensors. Two documents, of two pieces and of one, each piece for itself:
#   ids.PIECE (tokens), question (documents, tokens)
#   params.NAME: parameters under the names that hyperblocks gives them
#   features.PIECE (states, tokens, hidden), latents.PIECE (layers, linears, ranks, latent)
#   factors.LINEAR.a (pieces * rank, in), factors.LINEAR.b (pieces * rank, out), of every document's pieces
#   logits of the question under each document's adapter
#   dfactors.LINEAR.a, .b, and what they send back to every parameter but the learned factors: gradients.NAME
import dataclasses
import pathlib
import sys

import safetensors.torch
import torch

import blocks
from fixtures import At, Draws, Feed
from shine import Decoder, softmax_in_float64

PIECES, DOCUMENTS, QUESTION = (7, 5, 6), ((0, 1), (2,)), 5
PIECE_SCALES = (1.0, -0.5, 2.0)


@dataclasses.dataclass
class Case:
    base: str = "llama"
    context: str = "all_layers"
    context_layers: int = 0
    rank: int = 2
    targets: tuple = ("attention.query", "mlp.down")
    latent: int = 12
    latents: int = 3
    blocks: int = 2
    self_layers: int = 0
    shares_weights: bool = False
    per_rank: bool = True
    mlps: int = 2
    mlps_per_layer: bool = False
    bias: bool = True
    scale: float = 1.0  # of the generated A and B
    bias_scale: float = 1.0
    layer: dict = dataclasses.field(default_factory=lambda: dict(heads=4, kv_heads=2, head_width=6, inner=20))
    projection_inner: int = 24
    mlp_inner: int = 10


CASES = {
    "layers": Case(),
    "shared": Case(blocks=3, self_layers=2, shares_weights=True, mlps_per_layer=True, targets=("mlp.down",), rank=3),
    "own": Case(self_layers=1, context_layers=3, mlps=1, scale=1.5, bias_scale=0.5),
    "early_exit": Case(context="early_exit", context_layers=1, bias=False, mlps_per_layer=True, rank=3,
                       targets=("attention.key", "attention.output", "mlp.up")),
    "embeddings": Case(base="gemma2", context="embeddings", per_rank=False, mlps=0),
    "whole": Case(per_rank=False, mlps=1, targets=("attention.value", "mlp.gate"), bias=False),
}


def reading(ids):
    """What transformers wants said of one sequence."""
    return dict(input_ids=ids[None], attention_mask=torch.ones_like(ids)[None], position_ids=torch.arange(len(ids))[None],
                use_cache=False)


def features_of(spec, decoder, ids):
    """(states, tokens, hidden): transformers' own hidden states of a decoder with its first layers alone."""
    layers = decoder.model.model.layers
    count = {"all_layers": (spec.context_layers or len(layers)) - 1, "early_exit": spec.context_layers, "embeddings": 1}[spec.context]
    decoder.model.model.layers = layers[:count]
    states = decoder.model.model(**reading(ids), output_hidden_states=True).hidden_states
    decoder.model.model.layers = layers
    chosen = {"all_layers": states, "early_exit": states[-1:], "embeddings": states[:1]}[spec.context]
    return torch.cat(chosen)


def perceive(at, spec, x, outputs):
    """(tokens, hidden) to (outputs, latent)."""
    feed = Feed(1, x.shape[0])
    feed.x = blocks.glu_mlp(at / "projection", x, spec.projection_inner, spec.latent)
    read = blocks.resampler(at / "encoder", feed, spec.latents, spec.latent, spec.blocks, spec.self_layers, spec.shares_weights,
                            **spec.layer)
    feed = Feed(1, spec.latents)
    feed.x = read
    return blocks.resampler(at / "decoder", feed, outputs, spec.latent, 1, **spec.layer)


def latents_of(at, spec, features, layers):
    """(layers, linears, ranks, latent)"""
    ranks = spec.rank if spec.per_rank else 1
    if spec.context == "all_layers":
        all_latents = torch.cat([perceive(at, spec, x, len(spec.targets) * ranks) for x in features])
    else:
        all_latents = perceive(at, spec, features[0], layers * len(spec.targets) * ranks)
    return all_latents.reshape(layers, len(spec.targets), ranks, spec.latent)


def read_out(at, spec, decoder, latents, piece_scale):
    """{(layer, linear): (A (r, in), B (r, out))}"""
    x = latents.flatten(0, 2)
    for i in range(spec.mlps):
        x = blocks.residual_mlp(at / "mlps" / str(i), x, spec.mlp_inner, layers=latents.shape[0] if spec.mlps_per_layer else 1)
    x = (x / x.norm(dim=-1, keepdim=True)).reshape(latents.shape)
    factors = {}
    for layer in range(latents.shape[0]):
        for i, target in enumerate(spec.targets):
            place, linear = at / "layers" / str(layer) / target, decoder.linears[layer, target]
            ranks = 1 if spec.per_rank else spec.rank

            def rows(name, width):
                weight = (place / name).weight(ranks * width, spec.latent)
                scales = (place / f"scale_{name}").tensor((spec.rank,), 0.3, 1.0)
                return (x[layer, i] @ weight.T).reshape(spec.rank, width) * scales[:, None] * spec.scale

            factors[layer, target] = (rows("a", linear.in_features) * piece_scale, rows("b", linear.out_features))
    return factors


def bias_of(at, spec, linear, layer, target):
    place = at / "layers" / str(layer) / target
    return ((place / "bias_a").tensor((spec.rank, linear.in_features), 0.2),
            (place / "bias_b").tensor((spec.rank, linear.out_features), 0.2))


def adapter_of(at, spec, decoder, pieces):
    """What is added to each linear, of a document's pieces."""
    def added(place):
        factors = [piece[place] for piece in pieces]
        if spec.bias:
            factors.append(tuple(spec.bias_scale * factor for factor in bias_of(at, spec, decoder.linears[place], *place)))
        a, b = (torch.cat(parts) for parts in zip(*factors))
        return lambda x: 2 * spec.rank**1.5 * (x @ a.T) @ b
    return {place: added(place) for place in pieces[0]}


def run(case, spec, decoder):
    draws = Draws(f"doc_to_lora/{case}", torch.float64)
    root = At(draws, False)
    vocabulary, generator = decoder.model.config.vocab_size, draws.generator("ids")
    ids = [torch.randint(vocabulary, (length,), generator=generator) for length in PIECES]
    question = torch.randint(vocabulary, (len(DOCUMENTS), QUESTION), generator=generator)
    results, pieces = {}, []
    for i, tokens in enumerate(ids):
        features = features_of(spec, decoder, tokens)
        latents = latents_of(root / "perceiver", spec, features, decoder.layers)
        pieces.append(read_out(root / "heads", spec, decoder, latents, PIECE_SCALES[i]))
        results |= {f"features.{i}": features, f"latents.{i}": latents}
    logits = []
    for document, own in enumerate(DOCUMENTS):
        decoder.added = adapter_of(root / "heads", spec, decoder, [pieces[i] for i in own])
        logits.append(decoder.model(**reading(question[document])).logits[0])
    decoder.added = {}
    results["logits"] = torch.stack(logits)

    given = {name: tensor for name, tensor in draws.tensors.items()}
    loss, directions = 0, {}
    for layer, target in pieces[0]:
        for which, name in enumerate("ab"):
            factor = torch.cat([piece[layer, target][which] for piece in pieces])
            key = f"factors.layers.{layer}.{target}.{name}"
            results[key] = factor
            directions["d" + key] = draws.normal("d" + key, factor.shape, 1.0)
            loss = loss + (factor * directions["d" + key]).sum()
    trained = {name: tensor for name, tensor in given.items() if ".bias_" not in name}
    gradients = torch.autograd.grad(loss, list(trained.values()))
    results |= {"gradients." + name.removeprefix("params."): gradient for name, gradient in zip(trained, gradients)}
    tensors = {name: tensor.detach().float().contiguous() for name, tensor in (given | directions | results).items()}
    return tensors | {f"ids.{i}": tokens.int() for i, tokens in enumerate(ids)} | {"question": question.int()}


def main(fixtures):
    softmax_in_float64()
    fixtures = pathlib.Path(fixtures)
    (fixtures / "hypernets").mkdir(exist_ok=True)
    for case, spec in CASES.items():
        tensors = run(case, spec, Decoder(fixtures / "models" / spec.base))
        safetensors.torch.save_file(tensors, fixtures / "hypernets" / f"doc_to_lora_{case}.safetensors")
        print(case, tensors["logits"].abs().max().item(),
              max(tensor.abs().max().item() for name, tensor in tensors.items() if name.startswith("factors.")))


if __name__ == "__main__":
    main(sys.argv[1])
