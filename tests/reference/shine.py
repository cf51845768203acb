# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The hyperblocks authors
# SHINE in PyTorch, on tiny decoders that transformers saved (tests/fixtures/models), and what it makes, in float64, as
# tests/fixtures/hypernets/shine_<case>.safetensors:
#   ids, allowed (documents, tokens): two documents, the second padded on the left; question (documents, tokens)
#   params.NAME: parameters under the names that hyperblocks gives them
#   memory_states, plain (layers, documents, tokens * hidden), factors (the same), logits of the question under each adapter
#   dfactors, dplain, and what they send back to every parameter: gradients.NAME
# and SHINE-R as shine_recurrent.safetensors: ids.CHUNK, factors (chunks, layers, tokens * hidden), logits under all parts.
import dataclasses
import math
import pathlib
import sys
import zlib

import safetensors.torch
import torch
import transformers

DOCUMENTS, TOKENS, QUESTION, SCALE = 2, 7, 5, 0.01
LINEARS = {"self_attn.q_proj": "attention.query", "self_attn.k_proj": "attention.key", "self_attn.v_proj": "attention.value",
           "self_attn.o_proj": "attention.output", "mlp.gate_proj": "mlp.gate", "mlp.up_proj": "mlp.up",
           "mlp.down_proj": "mlp.down"}
M2P_LINEARS = ("attention.query", "attention.key", "attention.value", "attention.output", "mlp.expand", "mlp.project")
CHUNKS, M2P_RANK = (5, 3, 4), 3  # of SHINE-R


@dataclasses.dataclass
class Case:
    base: str = "llama"
    method: str = "rl"
    rank: int = 2
    meta_rank: int = 3
    kind: str = "transformer"
    blocks: int = 3
    axes: str = "alternating"
    layer_first: bool = True
    heads: int = 2
    inner: int = 20
    norm_first: bool = False
    linear_bias: bool = False
    couple_blocks: int = 0
    couple_width: int = 8
    couple_heads: int = 2
    couple_inner: int = 12


CASES = {
    "rl": Case(),
    "rr": Case(method="rr", blocks=2, layer_first=False),
    "lr": Case(method="lr", blocks=1, axes="tokens", norm_first=True),
    "ll": Case(method="ll", rank=1, blocks=2, axes="layers", heads=4),
    "biased": Case(base="qwen2", rank=3, blocks=1),
    "biased_output": Case(base="qwen3_biased", blocks=1),
    "couple": Case(blocks=0, couple_blocks=2),
    "linear": Case(kind="linear", blocks=3),
    "linear_gate": Case(kind="linear_gate", blocks=2, linear_bias=True),
}


class Draw:
    """Numbers that depend on their name alone."""

    def __init__(self, case):
        self.case = case

    def __call__(self, name, shape, deviation=1.0):
        generator = torch.Generator().manual_seed(zlib.crc32(f"shine/{self.case}/{name}".encode()))
        return (deviation * torch.randn(shape, generator=generator, dtype=torch.float64)).float().double()

    def ids(self, name, shape, vocabulary):
        generator = torch.Generator().manual_seed(zlib.crc32(f"shine/{self.case}/{name}".encode()))
        return torch.randint(vocabulary, shape, generator=generator)


class Decoder:
    """A frozen decoder whose linears can be given something to add."""

    def __init__(self, folder):
        config = transformers.AutoConfig.from_pretrained(folder)
        config._attn_implementation = "eager"
        self.model = transformers.AutoModelForCausalLM.from_pretrained(folder, config=config, dtype=torch.float32).double().eval()
        self.model.requires_grad_(False)
        self.added = {}
        self.linears = {}
        for index, layer in enumerate(self.model.model.layers):
            for theirs, ours in LINEARS.items():
                place = (index, ours)
                self.linears[place] = layer.get_submodule(theirs)
                self.linears[place].register_forward_hook(
                    lambda _, inputs, y, place=place: y + self.added[place](inputs[0]) if place in self.added else y)

    @property
    def hidden(self):
        return self.model.config.hidden_size

    @property
    def layers(self):
        return self.model.config.num_hidden_layers

    def states(self, rows, allowed):
        """Behind every layer, without the final norm."""
        kept = []
        hooks = [layer.register_forward_hook(lambda _, __, y: kept.append(y[0] if isinstance(y, tuple) else y))
                 for layer in self.model.model.layers]
        positions = torch.arange(rows.shape[1]).expand(rows.shape[0], -1)
        self.model.model(inputs_embeds=rows, attention_mask=allowed, position_ids=positions, use_cache=False)
        for hook in hooks:
            hook.remove()
        return torch.stack(kept)  # (layers, documents, rows, hidden)


def parameters_of(case, spec, decoder, tokens):
    draw, hidden = Draw(case), decoder.hidden
    result = {"memory": draw("memory", (tokens, hidden), 0.5)}
    for (layer, name), linear in decoder.linears.items():
        at = f"meta.layers.{layer}.{name}"
        result[at + ".a"] = draw(at + ".a", (spec.meta_rank, linear.in_features), 0.1)
        result[at + ".b"] = draw(at + ".b", (linear.out_features, spec.meta_rank), 0.1)
        if linear.bias is not None:
            result[at + ".bias"] = draw(at + ".bias", (linear.out_features,), 0.3)
    result["m2p.positions.layer"] = draw("layer", (decoder.layers, hidden), 0.3)
    result["m2p.positions.token"] = draw("token", (tokens, hidden), 0.3)

    def linear(at, out, inner, bias=True):
        result[at + ".weight"] = draw(at + ".weight", (out, inner), 0.6 * inner**-0.5)
        if bias:
            result[at + ".bias"] = draw(at + ".bias", (out,), 0.2)

    def encoder(at, width, inner):
        for name in ("query", "key", "value", "output"):
            linear(f"{at}.attention.{name}", width, width)
        linear(f"{at}.mlp.expand", inner, width)
        linear(f"{at}.mlp.project", width, inner)
        for name in ("attention", "mlp"):
            result[f"{at}.{name}.norm.weight"] = 1 + draw(f"{at}.{name}.norm.weight", (width,), 0.2)
            result[f"{at}.{name}.norm.bias"] = draw(f"{at}.{name}.norm.bias", (width,), 0.2)

    if spec.kind == "transformer":
        for i in range(spec.blocks):
            encoder(f"m2p.blocks.{i}", hidden, spec.inner)
    else:
        widths = [hidden] + [spec.inner] * (spec.blocks - 1) + [hidden]
        at = "m2p.blocks"
        for i in range(spec.blocks):
            last = i + 1 == spec.blocks
            places = [at] if not last or spec.kind == "linear" else [at + ".gate", at + ".value"]
            for place in places:
                linear(f"{place}.0.0" if not last else f"{place}.0", widths[i + 1], widths[i], spec.linear_bias)
            at += ".1"
    for i in range(spec.couple_blocks):
        encoder(f"m2p.couple.{i}", spec.couple_width, spec.couple_inner)
    return {name: tensor.requires_grad_() for name, tensor in result.items()}


def encoder_layer(p, at, x, heads, norm_first, mask=None, lora=None):
    """torch.nn.TransformerEncoderLayer with our parameters, and perhaps a LoRA on its linears."""
    if lora is not None:
        p = p | {f"{at}.{name}.weight": p[f"{at}.{name}.weight"] + lora[f"{at}.{name}.b"] @ lora[f"{at}.{name}.a"] for name in M2P_LINEARS}
    width, inner = x.shape[-1], p[at + ".mlp.expand.weight"].shape[0]
    layer = torch.nn.TransformerEncoderLayer(width, heads, inner, dropout=0.0, activation="gelu", batch_first=True,
                                             norm_first=norm_first, dtype=torch.float64)
    parts = [f"{at}.attention.{name}" for name in ("query", "key", "value")]
    values = {"self_attn.in_proj_weight": torch.cat([p[part + ".weight"] for part in parts]),
              "self_attn.in_proj_bias": torch.cat([p[part + ".bias"] for part in parts])}
    for theirs, ours in {"self_attn.out_proj": "attention.output", "linear1": "mlp.expand", "linear2": "mlp.project",
                         "norm1": "attention.norm", "norm2": "mlp.norm"}.items():
        for kind in ("weight", "bias"):
            values[f"{theirs}.{kind}"] = p[f"{at}.{ours}.{kind}"]
    return torch.func.functional_call(layer, values, (x,), {"src_mask": mask})


def couple_mask(spec, decoder, count):
    """True where a token may not look: A's tokens see B's of the same linear and the reverse."""
    hidden_from = torch.ones((count, count), dtype=torch.bool)
    at = 0
    for layer, name in [place for place in decoder.linears if place[0] == 0]:
        linear = decoder.linears[layer, name]
        a, b = at, at + spec.rank * linear.in_features
        end = b + spec.rank * linear.out_features
        a, b, end = a // spec.couple_width, b // spec.couple_width, end // spec.couple_width
        hidden_from[a:b, b:end] = False
        hidden_from[b:end, a:b] = False
        at = end * spec.couple_width
    for token in range(count):
        if hidden_from[token].all():
            hidden_from[token, token] = False
    return hidden_from


def m2p(p, spec, decoder, states, lora=None):
    """(layers, documents, tokens, hidden) to the same."""
    layers, documents, tokens, hidden = states.shape
    x = states + p["m2p.positions.layer"][:, None, None] + p["m2p.positions.token"][None, None]
    if spec.kind == "transformer":
        for i in range(spec.blocks):
            along_layers = {"alternating": (i % 2 == 0) == spec.layer_first, "layers": True, "tokens": False}[spec.axes]
            if along_layers:
                rows = x.permute(1, 2, 0, 3).reshape(documents * tokens, layers, hidden)
            else:
                rows = x.reshape(layers * documents, tokens, hidden)
            rows = encoder_layer(p, f"m2p.blocks.{i}", rows, spec.heads, spec.norm_first, lora=lora)
            x = (rows.reshape(documents, tokens, layers, hidden).permute(2, 0, 1, 3) if along_layers
                 else rows.reshape(layers, documents, tokens, hidden))
    else:
        at = "m2p.blocks"

        def linear_gelu(place, rows):
            return torch.nn.functional.gelu(torch.nn.functional.linear(rows, p[place + ".weight"], p.get(place + ".bias")))

        for i in range(spec.blocks):
            if i + 1 < spec.blocks:
                x = linear_gelu(at + ".0.0", x)
                at += ".1"
            elif spec.kind == "linear":
                x = linear_gelu(at + ".0", x)
            else:
                x = torch.sigmoid(linear_gelu(at + ".gate.0", x)) * linear_gelu(at + ".value.0", x)
    if spec.couple_blocks:
        rows = x.reshape(layers * documents, tokens * hidden // spec.couple_width, spec.couple_width)
        mask = couple_mask(spec, decoder, rows.shape[1])
        for i in range(spec.couple_blocks):
            rows = encoder_layer(p, f"m2p.couple.{i}", rows, spec.couple_heads, spec.norm_first, mask)
        x = rows.reshape(x.shape)
    return x


def read_factors(spec, decoder, numbers):
    """{(layer, name): (A (in, r), B (r, out), C or None)} of one document's (layers, numbers), scaled; and them in one run."""
    adapters, scaled = {}, []
    for layer in range(decoder.layers):
        at = 0

        def take(count, factor, layer=layer):
            nonlocal at
            part = numbers[layer, at:at + count] * factor
            scaled.append(part)
            at += count
            return part

        for name in LINEARS.values():
            linear, root = decoder.linears[layer, name], math.sqrt(SCALE)
            a, b = take(spec.rank * linear.in_features, root), take(spec.rank * linear.out_features, root)
            c = take(linear.out_features, SCALE) if linear.bias is not None else None
            a = a.reshape(linear.in_features, spec.rank) if spec.method[0] == "r" else a.reshape(spec.rank, -1).T
            b = b.reshape(linear.out_features, spec.rank).T if spec.method[1] == "r" else b.reshape(spec.rank, -1)
            adapters[layer, name] = (a, b, c)
        take(numbers.shape[1] - at, math.sqrt(SCALE))  # not used
    return adapters, torch.cat(scaled).reshape(numbers.shape)


def memory_tokens(spec, decoder):
    numbers = sum(spec.rank * (linear.in_features + linear.out_features) + (linear.out_features if linear.bias is not None else 0)
                  for (layer, _), linear in decoder.linears.items() if layer == 0)
    return -(-numbers // decoder.hidden)


def adds_meta(p, decoder):
    def of(at):
        return lambda x: (x @ p[at + ".a"].T) @ p[at + ".b"].T + p.get(at + ".bias", 0)
    return {(layer, name): of(f"meta.layers.{layer}.{name}") for layer, name in decoder.linears}


def adds(adapter):
    return {place: lambda x, a=a, b=b, c=c: x @ a @ b + (0 if c is None else c) for place, (a, b, c) in adapter.items()}


def add_up(parts):
    return {place: lambda x, place=place: sum(part[place](x) for part in parts) for place in parts[0]}


def logits_of(decoder, asked):
    return decoder.model(input_ids=asked, attention_mask=torch.ones_like(asked), use_cache=False,
                         position_ids=torch.arange(asked.shape[1])[None]).logits[0]


def without_rounding(gradients):
    """Softmax takes the bias of an encoder block's keys out again: what is found is rounding."""
    return {name: gradient * (not ("m2p." in name and name.endswith(".attention.key.bias"))) for name, gradient in gradients.items()}


def run_recurrent(spec, decoder):
    draw, tokens = Draw("recurrent"), memory_tokens(spec, decoder)
    p = parameters_of("recurrent", spec, decoder, tokens)
    lora = {}
    for block in range(spec.blocks):
        for name in M2P_LINEARS:
            at = f"m2p.blocks.{block}.{name}"
            out, inner = p[at + ".weight"].shape
            lora[at + ".a"] = draw(at + ".a", (M2P_RANK, inner), 0.3).requires_grad_()
            lora[at + ".b"] = draw(at + ".b", (out, M2P_RANK), 0.3).requires_grad_()
    chunks = [draw.ids(f"ids.{i}", (1, size), decoder.model.config.vocab_size) for i, size in enumerate(CHUNKS)]
    question = draw.ids("question", (1, QUESTION), decoder.model.config.vocab_size)
    metas, factors, parts = [adds_meta(p, decoder)], [], []
    for ids in chunks:
        decoder.added = add_up(metas)
        rows = torch.cat([decoder.model.get_input_embeddings()(ids), p["memory"][None]], 1)
        states = decoder.states(rows, torch.ones(rows.shape[:2], dtype=torch.int64))[:, :, -tokens:]
        adapter, scaled = read_factors(spec, decoder, m2p(p, spec, decoder, states)[:, 0].flatten(1))
        factors.append(scaled)
        parts.append(adds(adapter))
        metas.append(adds(read_factors(spec, decoder, m2p(p, spec, decoder, states, lora)[:, 0].flatten(1))[0]))
    decoder.added = add_up(parts)
    logits = logits_of(decoder, question)
    decoder.added = {}
    factors = torch.stack(factors)
    dfactors = draw("dfactors", factors.shape)
    parameters = {"shine." + name: tensor for name, tensor in p.items()} | lora
    found = torch.autograd.grad((factors * dfactors).sum(), list(parameters.values()))
    tensors = {"params." + name: tensor for name, tensor in parameters.items()}
    tensors |= {"gradients." + name: gradient for name, gradient in without_rounding(dict(zip(parameters, found))).items()}
    tensors |= {"factors": factors, "logits": logits, "dfactors": dfactors}
    tensors = {name: tensor.detach().float().contiguous() for name, tensor in tensors.items()}
    return tensors | {f"ids.{i}": ids[0].int() for i, ids in enumerate(chunks)} | {"question": question[0].int()}


def run(case, spec, decoder):
    draw, tokens = Draw(case), memory_tokens(spec, decoder)
    p = parameters_of(case, spec, decoder, tokens)
    ids = draw.ids("ids", (DOCUMENTS, TOKENS), decoder.model.config.vocab_size)
    question = draw.ids("question", (DOCUMENTS, QUESTION), decoder.model.config.vocab_size)
    allowed = torch.ones((DOCUMENTS, TOKENS + tokens), dtype=torch.int64)
    allowed[1, :2] = 0

    decoder.added = adds_meta(p, decoder)
    embedded = decoder.model.get_input_embeddings()(ids)
    rows = torch.cat([embedded, p["memory"].expand(DOCUMENTS, -1, -1)], 1)
    memory_states = decoder.states(rows, allowed)[:, :, -tokens:]
    plain = m2p(p, spec, decoder, memory_states)

    factors, logits = [], []
    for document in range(DOCUMENTS):
        adapter, scaled = read_factors(spec, decoder, plain[:, document].flatten(1))
        factors.append(scaled)
        decoder.added = adds(adapter)
        logits.append(logits_of(decoder, question[document:document + 1]))
    decoder.added = {}
    factors = torch.stack(factors, 1)
    flat = plain.flatten(2)
    dfactors, dplain = draw("dfactors", factors.shape), draw("dplain", flat.shape, 0.05)
    found = torch.autograd.grad((factors * dfactors).sum() + (flat * dplain).sum(), list(p.values()))
    tensors = {"params." + name: tensor for name, tensor in p.items()}
    tensors |= {"gradients." + name: gradient for name, gradient in without_rounding(dict(zip(p, found))).items()}
    tensors |= {"memory_states": memory_states.flatten(2), "plain": flat, "factors": factors, "logits": torch.stack(logits),
                "dfactors": dfactors, "dplain": dplain}
    tensors = {name: tensor.detach().float().contiguous() for name, tensor in tensors.items()}
    return tensors | {"ids": ids.int(), "question": question.int(), "allowed": allowed.to(torch.uint8)}


def softmax_in_float64():
    """transformers asks for float32, where the float64 mask of a row that sees nothing is -infinity: NaN."""
    softmax = torch.nn.functional.softmax
    torch.nn.functional.softmax = lambda x, dim=None, dtype=None, **_: softmax(x, dim=dim)


def main(fixtures):
    softmax_in_float64()
    fixtures = pathlib.Path(fixtures)
    (fixtures / "hypernets").mkdir(exist_ok=True)
    for case, spec in CASES.items():
        tensors = run(case, spec, Decoder(fixtures / "models" / spec.base))
        safetensors.torch.save_file(tensors, fixtures / "hypernets" / f"shine_{case}.safetensors")
        print(case, tensors["plain"].shape, tensors["factors"].abs().max().item(), tensors["logits"].abs().max().item())
    recurrent = run_recurrent(Case(blocks=2), Decoder(fixtures / "models/llama"))
    safetensors.torch.save_file(recurrent, fixtures / "hypernets/shine_recurrent.safetensors")


if __name__ == "__main__":
    main(sys.argv[1])
