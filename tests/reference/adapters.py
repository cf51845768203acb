# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The hyperblocks authors
# Writes tests/fixtures/adapters/<case>/: adapters of the tiny models in tests/fixtures/models as PEFT itself saves them, and in
# expected.safetensors what PEFT makes of them: what it adds to each linear's matrix (layers.I.NAME.delta) and to its bias (.c),
# and the logits of ids. Some also as adapter.gguf, as llama.cpp's converter would write it (package gguf).
#   python adapters.py tests/fixtures        (needs: pip install torch transformers peft safetensors gguf)
import json
import pathlib
import shutil
import sys
import warnings
import zlib

import gguf
import peft
import safetensors.torch
import torch
import transformers

from decoders import LINEARS
from gguf_models import permuted

ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
CASES = {
    # name: model, scalar, what LoraConfig says
    "plain": ("llama", torch.float32, dict(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"])),
    "rslora": ("llama", torch.float32, dict(r=3, lora_alpha=5, use_rslora=True, target_modules="all-linear")),
    "patterns": ("llama", torch.float32, dict(
        r=2, lora_alpha=4, target_modules=ATTENTION + ["down_proj", "gate_proj"],
        rank_pattern={"layers.1.self_attn.q_proj": 5, "v_proj": 1, r".*\.mlp\.(down|gate)_proj": 3, "down_proj": 1},
        alpha_pattern={r"layers\.[02]\.mlp\..*": 7, "^model.layers.1.self_attn.q_proj": 3, "self_attn.v_proj": 0.5})),
    "rslora_patterns": ("qwen3", torch.float32, dict(
        r=2, lora_alpha=4, use_rslora=True, target_modules=r".*\.layers\.[01]\..*(q|down)_proj",
        rank_pattern={"layers.0.mlp.down_proj": 4}, alpha_pattern={"q_proj": 9})),
    "bias": ("qwen2", torch.float32, dict(r=2, lora_alpha=3, lora_bias=True, target_modules=["q_proj", "k_proj"])),
    "half": ("llama", torch.float16, dict(r=2, lora_alpha=2, target_modules=["up_proj"], layers_to_transform=[1])),
    "bf16": ("gemma3", torch.bfloat16, dict(r=2, lora_alpha=4, target_modules=ATTENTION)),
}
GGUF = {"plain": 8.0, "half": 0.0}  # and adapter.lora.alpha; 0 means a scale of 1
GGUF_NAMES = {"q_proj": "attn_q", "v_proj": "attn_v", "up_proj": "ffn_up"}


def randomise(model, case):
    for name, parameter in model.named_parameters():
        if ".lora_" in name:
            generator = torch.Generator().manual_seed(zlib.crc32(f"{case}/{name}".encode()))
            with torch.no_grad():
                parameter.copy_(0.4 * torch.randn(parameter.shape, generator=generator))


def expected(model, base_logits, ids):
    tensors = {}
    for name, module in model.base_model.model.named_modules():
        if not hasattr(module, "lora_A"):
            continue
        layer, linear = name.split("layers.")[1].split(".", 1)
        a, b = module.lora_A["default"], module.lora_B["default"]
        place = f"layers.{layer}.{LINEARS[linear]}"
        tensors[place + ".delta"] = module.scaling["default"] * b.weight.double() @ a.weight.double()
        if b.bias is not None:
            tensors[place + ".c"] = module.scaling["default"] * b.bias.double()
    logits = model(input_ids=ids).logits[0]
    assert (logits - base_logits).abs().max() > 1e-3
    tensors["logits"] = logits
    return {name: tensor.detach().float().contiguous() for name, tensor in tensors.items()} | {"ids": ids[0].int()}


def write_gguf(model, target, alpha, heads):
    writer = gguf.GGUFWriter(target, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", alpha)
    for name, module in model.base_model.model.named_modules():
        if not hasattr(module, "lora_A"):
            continue
        _, _, layer, _, linear = name.split(".")
        a, b = (factor["default"].weight.detach().numpy() for factor in (module.lora_A, module.lora_B))
        tensor = f"blk.{layer}.{GGUF_NAMES[linear]}.weight"
        writer.add_tensor(tensor + ".lora_a", a)
        writer.add_tensor(tensor + ".lora_b", permuted(b, heads) if linear == "q_proj" else b)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_case(fixtures, case, base, scalar, fields):
    target = fixtures / "adapters" / case
    shutil.rmtree(target, ignore_errors=True)
    model = transformers.AutoModelForCausalLM.from_pretrained(fixtures / "models" / base, dtype=torch.float32).eval()
    ids = torch.tensor([[7, 1, 39, 12, 12, 5, 20, 3]])
    base_logits = model(input_ids=ids).logits[0]
    config = peft.LoraConfig(task_type="CAUSAL_LM", **fields)
    model = peft.get_peft_model(model, config).eval()
    randomise(model, case)
    for parameter in (p for name, p in model.named_parameters() if ".lora_" in name):
        parameter.data = parameter.data.to(scalar).float()  # PEFT computes in float32 on what is saved
    tensors = expected(model, base_logits, ids)
    for parameter in (p for name, p in model.named_parameters() if ".lora_" in name):
        parameter.data = parameter.data.to(scalar)
    model.peft_config["default"].base_model_name_or_path = base
    model.save_pretrained(target)
    (target / "README.md").unlink(missing_ok=True)
    if case in GGUF:
        write_gguf(model, target / "adapter.gguf", GGUF[case], model.config.num_attention_heads)
    safetensors.torch.save_file(tensors, target / "expected.safetensors")
    print(case, base, len(tensors), json.loads((target / "adapter_config.json").read_text())["peft_version"])


def main(folder):
    warnings.simplefilter("ignore")
    for case, (base, scalar, fields) in CASES.items():
        write_case(pathlib.Path(folder), case, base, scalar, fields)


if __name__ == "__main__":
    main(sys.argv[1])
