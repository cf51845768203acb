# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The hyperblocks authors
# Writes tests/fixtures/text_encoders/<case>/: a tiny BERT as transformers saves it, and a tiny encoder of gte v1.5's kind, which
# transformers does not have: Gte below is our own, with its public names. expected.safetensors: ids, states (tokens, hidden).
import json
import pathlib
import sys
import zlib

import safetensors.torch
import torch
import transformers

TOKENS = 9


def draw(case, name, shape, deviation):
    generator = torch.Generator().manual_seed(zlib.crc32(f"{case}/{name}".encode()))
    return (deviation * torch.randn(shape, generator=generator, dtype=torch.float64)).float().double()


def randomise(state, case):
    for name, tensor in state.items():
        if not tensor.is_floating_point():
            continue
        norm_weight = "norm" in name.lower() and name.endswith("weight") or name.endswith("_ln.weight")
        deviation = 1.5 * tensor.shape[-1] ** -0.5 if tensor.dim() == 2 else 0.2
        state[name] = draw(case, name, tensor.shape, deviation) + float(norm_weight)
    return state


class Gte:
    """x = norm(words); x = attn_ln(x + attention(x)); x = mlp_ln(x + down(up * gelu(gate)))."""

    def __init__(self, config):
        self.config = config

    def shapes(self):
        hidden, inner = self.config["hidden_size"], self.config["intermediate_size"]
        yield "embeddings.word_embeddings.weight", (self.config["vocab_size"], hidden)
        norms = ["embeddings.LayerNorm"]
        for layer in range(self.config["num_hidden_layers"]):
            place = f"encoder.layer.{layer}."
            for name, shape in (("attention.qkv_proj", (3 * hidden, hidden)), ("attention.o_proj", (hidden, hidden)),
                                ("mlp.down_proj", (hidden, inner))):
                yield place + name + ".weight", shape
                yield place + name + ".bias", shape[:1]
            yield place + "mlp.up_gate_proj.weight", (2 * inner, hidden)
            norms += [place + "attn_ln", place + "mlp_ln"]
        for norm in norms:
            yield norm + ".weight", (hidden,)
            yield norm + ".bias", (hidden,)

    def rotate(self, x):
        width = x.shape[-1]
        factor = self.config["rope_scaling"]["factor"]
        base = self.config["rope_theta"] * factor
        frequencies = base ** (-torch.arange(0, width, 2, dtype=torch.float64) / width) / factor ** (2 / width)
        angles = torch.arange(x.shape[1], dtype=torch.float64)[:, None] * frequencies
        first, second = x.chunk(2, -1)
        return torch.cat([first * angles.cos() - second * angles.sin(), second * angles.cos() + first * angles.sin()], -1)

    def states(self, weights, ids):
        heads, epsilon = self.config["num_attention_heads"], self.config["layer_norm_eps"]

        def norm(name, x):
            return torch.nn.functional.layer_norm(x, x.shape[-1:], weights[name + ".weight"], weights[name + ".bias"], epsilon)

        def linear(name, x):
            return torch.nn.functional.linear(x, weights[name + ".weight"], weights.get(name + ".bias"))

        x = norm("embeddings.LayerNorm", weights["embeddings.word_embeddings.weight"][ids])
        for layer in range(self.config["num_hidden_layers"]):
            place = f"encoder.layer.{layer}."
            q, k, v = (part.unflatten(-1, (heads, -1)).transpose(0, 1)
                       for part in linear(place + "attention.qkv_proj", x).chunk(3, -1))
            scores = self.rotate(q) @ self.rotate(k).transpose(1, 2) * q.shape[-1] ** -0.5
            merged = (scores.softmax(-1) @ v).transpose(0, 1).flatten(1)
            x = norm(place + "attn_ln", x + linear(place + "attention.o_proj", merged))
            up, gate = linear(place + "mlp.up_gate_proj", x).chunk(2, -1)
            x = norm(place + "mlp_ln", x + linear(place + "mlp.down_proj", up * torch.nn.functional.gelu(gate)))
        return x


def write(folder, case, config, weights, ids, states):
    target = pathlib.Path(folder) / case
    target.mkdir(parents=True, exist_ok=True)
    (target / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    float32 = {name: tensor.float().contiguous() for name, tensor in weights.items()}
    safetensors.torch.save_file(float32, target / "model.safetensors", {"format": "pt"})
    safetensors.torch.save_file({"ids": ids.int(), "states": states.float().contiguous()}, target / "expected.safetensors")


def main(folder):
    ids = torch.randint(40, (TOKENS,), generator=torch.Generator().manual_seed(7))
    config = transformers.BertConfig(vocab_size=40, hidden_size=16, num_hidden_layers=2, num_attention_heads=4,
                                     intermediate_size=24, max_position_embeddings=32)
    model = transformers.BertModel(config, add_pooling_layer=False).double().eval()
    model.load_state_dict(randomise(model.state_dict(), "bert"))
    with torch.no_grad():
        states = model(ids[None]).last_hidden_state[0]
    weights = {name: tensor for name, tensor in model.state_dict().items() if tensor.is_floating_point()}
    write(folder, "bert", config.to_diff_dict() | {"architectures": ["BertModel"], "model_type": "bert"}, weights, ids, states)

    gte = Gte({"architectures": ["NewModel"], "model_type": "new", "vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 2,
               "num_attention_heads": 2, "intermediate_size": 24, "max_position_embeddings": 64, "type_vocab_size": 0,
               "hidden_act": "gelu", "layer_norm_eps": 1e-12, "layer_norm_type": "layer_norm", "pack_qkv": True,
               "position_embedding_type": "rope", "rope_theta": 160000.0, "rope_scaling": {"factor": 2.0, "type": "ntk"}})
    weights = randomise({name: torch.zeros(shape) for name, shape in gte.shapes()}, "gte")
    write(folder, "gte", gte.config, weights, ids, gte.states(weights, ids))


if __name__ == "__main__":
    main(sys.argv[1])
