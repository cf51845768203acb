# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The hyperblocks authors
# Writes tests/fixtures/models/<case>/: a tiny decoder of each family with random weights as transformers saves it (config.json,
# model.safetensors), and in expected.safetensors what it makes, in float64 (but rotary tables and norms, which it computes in
# float32), of
#   ids (sequences * tokens), allowed (sequences, tokens + appended), appended (rows, hidden), updates.layers.I.NAME.a / .b
# namely logits and states (layers + 1, rows, hidden; the last one normed), and what dlogits and dstates send back to x,
# appended and every update.
import json
import pathlib
import shutil
import sys
import zlib

import safetensors.torch
import torch
import transformers

SEQUENCES, TOKENS, APPENDED, RANK, SCALE = 2, 7, 2, 3, 0.7
SMALL = dict(vocab_size=40, hidden_size=16, intermediate_size=24, num_hidden_layers=3, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=64, attention_dropout=0.0)
LINEARS = {"self_attn.q_proj": "attention.query", "self_attn.k_proj": "attention.key", "self_attn.v_proj": "attention.value",
           "self_attn.o_proj": "attention.output", "mlp.gate_proj": "mlp.gate", "mlp.up_proj": "mlp.up",
           "mlp.down_proj": "mlp.down"}


def cases():
    t = transformers
    yield "llama", t.LlamaConfig(**SMALL, rms_norm_eps=1e-5, tie_word_embeddings=False)
    llama3 = dict(rope_type="llama3", rope_theta=500000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                  original_max_position_embeddings=32)
    yield "llama3", t.LlamaConfig(**SMALL, rope_parameters=llama3, tie_word_embeddings=False)
    yield "smollm2", t.LlamaConfig(**SMALL | dict(num_attention_heads=2, num_key_value_heads=1),
                                   rope_parameters=dict(rope_type="default", rope_theta=100000.0), tie_word_embeddings=True)
    yield "mistral", t.MistralConfig(**SMALL, sliding_window=4, tie_word_embeddings=False)
    yield "qwen2", t.Qwen2Config(**SMALL, use_sliding_window=False, tie_word_embeddings=True)
    yield "qwen3", t.Qwen3Config(**SMALL, head_dim=6, rope_parameters=dict(rope_type="default", rope_theta=1000000.0),
                                 tie_word_embeddings=True)
    yield "qwen3_biased", t.Qwen3Config(**SMALL, head_dim=4, attention_bias=True, tie_word_embeddings=False)
    yield "gemma2", t.Gemma2Config(**SMALL, head_dim=6, query_pre_attn_scalar=10, sliding_window=4, attn_logit_softcapping=2.0,
                                   final_logit_softcapping=3.0)
    yield "gemma3", t.Gemma3TextConfig(**SMALL | dict(num_hidden_layers=7), head_dim=6, query_pre_attn_scalar=5,
                                       sliding_window=4, rope_parameters={
                                           "full_attention": dict(rope_type="default", rope_theta=1000000.0),
                                           "sliding_attention": dict(rope_type="default", rope_theta=10000.0)})


def draw(case, name, shape, deviation):
    generator = torch.Generator().manual_seed(zlib.crc32(f"{case}/{name}".encode()))
    return (deviation * torch.randn(shape, generator=generator, dtype=torch.float64)).float().double()


def randomise(model, case):
    """Weights in proportion to what keeps rows of order one; norms around their identity."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 2:
                parameter.copy_(draw(case, name, parameter.shape, 1.5 * parameter.shape[1] ** -0.5))
            else:
                identity = 1.0 if parameter.mean() > 0.5 else 0.0
                parameter.copy_(identity + draw(case, name, parameter.shape, 0.2))
    return model.double().eval()


def with_updates(model, case, tensors):
    """Adds scale B A x to every linear of every layer; the factors are leaves of the graph."""
    updates = {}
    for index, layer in enumerate(model.model.layers):
        for theirs, ours in LINEARS.items():
            linear = layer.get_submodule(theirs)
            name = f"updates.layers.{index}.{ours}"
            a = draw(case, name + ".a", (RANK, linear.in_features), 0.3).requires_grad_()
            b = draw(case, name + ".b", (linear.out_features, RANK), 0.3).requires_grad_()
            updates[name + ".a"], updates[name + ".b"] = a, b
            linear.register_forward_hook(lambda _, inputs, y, a=a, b=b: y + SCALE * (inputs[0] @ a.T) @ b.T)
    tensors |= updates
    return updates


def expected(case, model):
    tensors = {}
    updates = with_updates(model, case, tensors)
    hidden, total = model.config.hidden_size, TOKENS + APPENDED
    generator = torch.Generator().manual_seed(zlib.crc32(f"{case}/ids".encode()))
    ids = torch.randint(model.config.vocab_size, (SEQUENCES, TOKENS), generator=generator)
    allowed = torch.ones((SEQUENCES, total), dtype=torch.int64)
    allowed[1, :2] = 0  # the second sequence is padded on the left
    x = model.get_input_embeddings()(ids).detach().requires_grad_()
    appended = draw(case, "appended", (APPENDED, hidden), 1.0).requires_grad_()
    rows = torch.cat([x, appended.expand(SEQUENCES, -1, -1)], 1)
    out = model(inputs_embeds=rows, attention_mask=allowed, output_hidden_states=True, use_cache=False,
                position_ids=torch.arange(total).expand(SEQUENCES, -1))
    logits, states = out.logits, torch.stack(out.hidden_states)
    seen = allowed[:, :, None]  # of padding nothing is compared, and nothing comes back
    dlogits = draw(case, "dlogits", logits.shape, 1.0) * seen
    dstates = draw(case, "dstates", states.shape, 0.3) * seen
    leaves = {"dx": x, "dappended": appended} | {"gradients." + name: leaf for name, leaf in updates.items()}
    found = torch.autograd.grad((logits * dlogits).sum() + (states * dstates).sum(), list(leaves.values()))
    tensors |= {"logits": logits * seen, "states": states * seen, "appended": appended, "dlogits": dlogits,
                "dstates": dstates} | dict(zip(leaves, found))
    tensors = {name: tensor.detach().float().contiguous() for name, tensor in tensors.items()}
    for name in ("logits", "dlogits"):
        tensors[name] = tensors[name].flatten(0, 1)
    for name in ("states", "dstates"):
        tensors[name] = tensors[name].flatten(1, 2)
    tensors["dx"] = tensors["dx"].flatten(0, 1)
    return tensors | {"ids": ids.int().flatten(), "allowed": allowed.to(torch.uint8)}


def softmax_in_float64():
    """transformers asks for float32, where the float64 mask of a row that sees nothing is -infinity: NaN."""
    softmax = torch.nn.functional.softmax
    torch.nn.functional.softmax = lambda x, dim=None, dtype=None, **_: softmax(x, dim=dim)


def main(folder):
    softmax_in_float64()
    for case, config in cases():
        target = pathlib.Path(folder) / case
        shutil.rmtree(target, ignore_errors=True)
        config._attn_implementation = "eager"
        model = randomise(transformers.AutoModelForCausalLM.from_config(config).float(), case)
        model.float().save_pretrained(target)
        (target / "generation_config.json").unlink(missing_ok=True)
        safetensors.torch.save_file(expected(case, model.double()), target / "expected.safetensors")
        print(case, json.loads((target / "config.json").read_text())["model_type"])


if __name__ == "__main__":
    main(sys.argv[1])
