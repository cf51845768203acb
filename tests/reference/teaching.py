# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The hyperblocks authors
# Whole systems in training, in PyTorch: the loss of lessons that a frozen decoder takes with the adapters which a hypernetwork
# writes, and its gradient towards every parameter, in float64, as tests/fixtures/hypernets/teaching_<system>.safetensors:
#   params.NAME, gradients.NAME
#   documents (documents, tokens), allowed (the same): what SHINE reads; ids.PIECE: Doc-to-LoRA; embeddings: Text-to-LoRA
#   lessons (documents, tokens): every token but the first is to be said, with label smoothing
#   loss (1): the mean over lessons
import pathlib
import sys

import safetensors.torch
import torch

import doc_to_lora
import shine
import text_to_lora
from fixtures import At, Draws

LESSON, SMOOTHING, BASE = 6, 0.1, "llama"


def loss_of(decoder, adapters, lessons):
    """The mean over lessons of the mean over their labels, each lesson under its own adapter."""
    losses = []
    for added, lesson in zip(adapters, lessons):
        decoder.added = added
        logits = decoder.model(**doc_to_lora.reading(lesson[:-1])).logits[0]
        losses.append(torch.nn.functional.cross_entropy(logits, lesson[1:], label_smoothing=SMOOTHING))
    decoder.added = {}
    return sum(losses) / len(losses)


def lessons_of(draw_generator, count, decoder):
    return torch.randint(decoder.model.config.vocab_size, (count, LESSON), generator=draw_generator)


def of_shine(decoder):
    spec, draw = shine.CASES["rl"], shine.Draw("teaching")
    numbers = sum(spec.rank * (linear.in_features + linear.out_features)
                  for (layer, _), linear in decoder.linears.items() if layer == 0)
    tokens = -(-numbers // decoder.hidden)
    p = shine.parameters_of("teaching", spec, decoder, tokens)
    ids = draw.ids("ids", (2, 7), decoder.model.config.vocab_size)
    allowed = torch.ones((2, 7), dtype=torch.int64)
    allowed[1, :2] = 0
    for layer, name in decoder.linears:
        at = f"meta.layers.{layer}.{name}"
        decoder.added[layer, name] = lambda x, at=at: (x @ p[at + ".a"].T) @ p[at + ".b"].T
    rows = torch.cat([decoder.model.get_input_embeddings()(ids), p["memory"].expand(2, -1, -1)], 1)
    seen = torch.cat([allowed, torch.ones((2, tokens), dtype=torch.int64)], 1)
    plain = shine.m2p(p, spec, decoder, decoder.states(rows, seen)[:, :, -tokens:])
    adapters = []
    for document in range(2):
        factors, _ = shine.read_factors(spec, decoder, plain[:, document].flatten(1))
        adapters.append({place: lambda x, a=a, b=b: x @ a @ b for place, (a, b, _) in factors.items()})
    lessons = draw.ids("lessons", (2, LESSON), decoder.model.config.vocab_size)
    return loss_of(decoder, adapters, lessons), p, {"documents": ids.int(), "allowed": allowed.to(torch.uint8),
                                                    "lessons": lessons.int()}


def of_doc_to_lora(decoder):
    spec, draws = doc_to_lora.CASES["layers"], Draws("teaching/doc_to_lora", torch.float64)
    root = At(draws, False)
    generator = draws.generator("ids")
    vocabulary = decoder.model.config.vocab_size
    ids = [torch.randint(vocabulary, (length,), generator=generator) for length in doc_to_lora.PIECES]
    pieces = []
    for tokens in ids:
        features = doc_to_lora.features_of(spec, decoder, tokens)
        latents = doc_to_lora.latents_of(root / "perceiver", spec, features, decoder.layers)
        pieces.append(doc_to_lora.read_out(root / "heads", spec, decoder, latents, 1.0))
    adapters = [doc_to_lora.adapter_of(root / "heads", spec, decoder, [pieces[i] for i in own]) for own in doc_to_lora.DOCUMENTS]
    lessons = lessons_of(generator, 2, decoder)
    loss = loss_of(decoder, adapters, lessons)
    p = {name.removeprefix("params."): tensor for name, tensor in draws.tensors.items()}
    return loss, p, {f"ids.{i}": tokens.int() for i, tokens in enumerate(ids)} | {"lessons": lessons.int()}


def of_text_to_lora(decoder):
    spec = text_to_lora.Case(targets=text_to_lora.ALL)
    network = text_to_lora.Network("teaching", spec)
    embeddings = network.draw("embeddings", (2, spec.embedding))
    code = network.code(embeddings * (spec.embedding ** 0.5 / embeddings.norm(dim=-1, keepdim=True)), None)
    factors = [network.factors(which, code) for which in range(len(spec.targets))]
    scale = spec.alpha / spec.rank**0.5
    adapters = [{(layer, name): lambda x, a=a[layer, text], b=b[layer, text]: scale * (x @ a.T) @ b
                 for (a, b), name in zip(factors, spec.targets) for layer in range(decoder.layers)} for text in range(2)]
    lessons = lessons_of(torch.Generator().manual_seed(7), 2, decoder)
    return loss_of(decoder, adapters, lessons), network.values, {"embeddings": embeddings.float(), "lessons": lessons.int()}


def main(fixtures):
    shine.softmax_in_float64()
    fixtures = pathlib.Path(fixtures)
    for system in (of_shine, of_doc_to_lora, of_text_to_lora):
        loss, p, given = system(shine.Decoder(fixtures / "models" / BASE))
        gradients = torch.autograd.grad(loss, list(p.values()))
        vanishing = ".attention.key.bias"  # softmax takes it out again: what is found is rounding
        tensors = {"params." + name: tensor for name, tensor in p.items()}
        tensors |= {"gradients." + name: gradient * (not (name.startswith("m2p.") and name.endswith(vanishing)))
                    for name, gradient in zip(p, gradients)}
        tensors["loss"] = loss.reshape(1)
        tensors = {name: tensor.detach().float().contiguous() for name, tensor in tensors.items()} | given
        name = system.__name__.removeprefix("of_")
        safetensors.torch.save_file(tensors, fixtures / "hypernets" / f"teaching_{name}.safetensors")
        print(name, loss.item(), min((tensor.abs().max().item(), key) for key, tensor in tensors.items() if key.startswith("gradients.")))


if __name__ == "__main__":
    main(sys.argv[1])
