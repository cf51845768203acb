# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The hyperblocks authors
# Writes tests/fixtures/text: small tokenizers, one for each element of tokenizer.json, with the ids and texts that Hugging Face
# tokenizers and SentencePiece give, and chats as Jinja renders them. Run by tools/text-fixtures.
import io
import json
import pathlib
import sys

import jinja2.sandbox
import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

FOLDER = pathlib.Path(sys.argv[1])
TEXTS = ["", " ", "Hello, world!", "  two  spaces ", "don't WON'T I'm we'll", "naïve Café Å e\u0301\u0323", "東京 tower 안녕 \u1112\u1161\u11ab",
         "abc123 4567 ½ ٣", "tab\there\nnew\r\n\n  line \n", "a.b,c!?--d", "😀👩‍👩‍👧 x", "<s>hi</s> [M] a[M]b <s> </s>", "broken \ufffd\ufffd end",
         "İstanbul ß ǅ ﬁ ²", "x\u00a0y\u3000z\u200b\u0085w", "aaaaaaaaaaaaaaaaaaaaaaaa", "low lower lowest newest widest", "MASK maskmask mask\nmask",
         "\u0000\u0001\u00ad\ue000 q", "مرحبا שלום नमस्ते", "\u11a7가\u11a7 \u0344"]
CORPUS = TEXTS + ["low low low lower lowest", "newest newest new", "widest wide", "hello world hello tokens", "the cat and the hat"] * 3
CHARACTERS = sorted({c for text in TEXTS for c in text} | set("▁Ġ") - set("\0"))


def word_piece(**options):
    """Shows where words begin: every character there is, as a beginning and as a continuation."""
    tokens = ["[UNK]", "[CLS]", "[SEP]", "hello", "low", "##er", "##est"] + CHARACTERS + ["##" + c for c in CHARACTERS]
    return Tokenizer(models.WordPiece({t: i for i, t in enumerate(dict.fromkeys(tokens))}, unk_token="[UNK]", **options))


def trained(model, trainer, pre=None):
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def byte_bpe(**options):
    tokenizer = trained(models.BPE(), trainers.BpeTrainer(vocab_size=300, show_progress=False,
                                                          initial_alphabet=pre_tokenizers.ByteLevel.alphabet()),
                        pre_tokenizers.ByteLevel(add_prefix_space=False))
    tokenizer.decoder = decoders.ByteLevel()
    for name, value in options.items():
        setattr(tokenizer.model, name, value)
    return tokenizer


def plain_bpe(**options):
    tokens = ["<unk>"] + list("abcdefghijklmnoprstuwlH▁ ,.") + (
        [f"<0x{b:02X}>" for b in range(256)] if options.get("byte_fallback") else [])
    merges = [("l", "o"), ("lo", "w"), ("e", "r"), ("e", "s"), ("es", "t"), ("▁", "low"), ("h", "e"), ("l", "l"), ("he", "ll"),
              ("a", "a"), ("aa", "aa")]
    tokens += [a + b for a, b in merges]
    return Tokenizer(models.BPE({t: i for i, t in enumerate(dict.fromkeys(tokens))}, merges, **options))


def with_parts(tokenizer, **parts):
    for name, part in parts.items():
        setattr(tokenizer, name, part)
    return tokenizer


def ends():
    return processors.TemplateProcessing("[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)])


def added():
    tokenizer = with_parts(word_piece(), normalizer=normalizers.Lowercase(), pre_tokenizer=pre_tokenizers.Whitespace())
    tokenizer.add_special_tokens([AddedToken("<s>", normalized=False), AddedToken("</s>", normalized=False, rstrip=True)])
    tokenizer.add_tokens([AddedToken("[M]", lstrip=True, rstrip=True), AddedToken("MASK", single_word=True),
                          AddedToken("[M", normalized=False)])
    return tokenizer


def suffixed():
    tokenizer = trained(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"),
                        trainers.BpeTrainer(vocab_size=200, show_progress=False, special_tokens=["<unk>"],
                                            end_of_word_suffix="</w>"), pre_tokenizers.Whitespace())
    return with_parts(tokenizer, decoder=decoders.BPEDecoder("</w>"))


def prefixed():
    tokenizer = trained(models.BPE(unk_token="<unk>", continuing_subword_prefix="##", fuse_unk=True),
                        trainers.BpeTrainer(vocab_size=200, show_progress=False, special_tokens=["<unk>"],
                                            continuing_subword_prefix="##"), pre_tokenizers.WhitespaceSplit())
    return with_parts(tokenizer, decoder=decoders.WordPiece("##", cleanup=False))


def unigram(**options):
    pieces = [("<unk>", 0.0)] + [(c, -5.0 - i / 100) for i, c in enumerate("▁ abcdehilnorstw,.") ]
    pieces += [("▁low", -3.0), ("er", -2.5), ("est", -2.0), ("▁lo", -4.0), ("wer", -4.5), ("▁Hello", -1.0), ("aa", -3.0), ("aaa", -4.4)]
    pieces += [(f"<0x{b:02X}>", -9.0) for b in range(256)] if options.get("byte_fallback") else []
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=0, **options))
    return with_parts(tokenizer, pre_tokenizer=pre_tokenizers.Metaspace(), decoder=decoders.Sequence(
        [decoders.ByteFallback(), decoders.Metaspace()]))


N, P, D = normalizers, pre_tokenizers, decoders
MISTRAL = D.Sequence([D.Replace("▁", " "), D.ByteFallback(), D.Fuse(), D.Strip(" ", 1, 0)])
TOKENIZERS = {
    **{f"normalizer {name}": with_parts(word_piece(), normalizer=part) for name, part in {
        "NFC": N.NFC(), "NFD": N.NFD(), "NFKC": N.NFKC(), "NFKD": N.NFKD(), "Lowercase": N.Lowercase(),
        "StripAccents": N.Sequence([N.NFD(), N.StripAccents()]), "Strip": N.Strip(), "Strip right": N.Strip(left=False),
        "Prepend": N.Prepend("▁"), "Replace string": N.Replace(" ", "▁"), "Replace regex": N.Replace(Regex(r"\s+|l+"), "e"),
        "Bert": N.BertNormalizer(), "Bert cased": N.BertNormalizer(lowercase=False),
        "Bert plain": N.BertNormalizer(False, False, False, True), "ByteLevel": N.ByteLevel()}.items()},
    **{f"pre-tokenizer {name}": with_parts(word_piece(), pre_tokenizer=part) for name, part in {
        "Split removed": P.Split(Regex(r"\s+"), "removed"), "Split isolated": P.Split(Regex(r"[\w]+"), "isolated"),
        "Split previous": P.Split(" ", "merged_with_previous"), "Split next": P.Split(Regex(r"\W"), "merged_with_next"),
        "Split contiguous": P.Split(Regex("[a-l]"), "contiguous"), "Split invert": P.Split(Regex(r"(?i:[A-M]+)"), "removed", invert=True),
        "Split classes": P.Split(Regex(r"[^\S\r\n]+|[[:digit:]\w.]{1,3}+|\h|(?m:.)$"), "isolated"),
        "Digits": P.Digits(True), "Digits together": P.Digits(False), "ByteLevel": P.ByteLevel(), "ByteLevel plain":
            P.ByteLevel(add_prefix_space=False, use_regex=False), "Metaspace": P.Metaspace(),
        "Metaspace first": P.Sequence([P.WhitespaceSplit(), P.Metaspace("▁", "first", split=False)]),
        "Metaspace never": P.Metaspace("▁", "never"), "Bert": P.BertPreTokenizer(), "Whitespace": P.Whitespace(),
        "WhitespaceSplit": P.WhitespaceSplit(), "Punctuation": P.Punctuation(), "Punctuation previous":
            P.Punctuation("merged_with_previous"), "CharDelimiterSplit": P.CharDelimiterSplit("l")}.items()},
    **{f"decoder {name}": with_parts(word_piece(), pre_tokenizer=P.Whitespace(), decoder=part) for name, part in {
        "WordPiece": D.WordPiece(), "WordPiece plain": D.WordPiece(cleanup=False), "Replace": D.Replace(Regex("#+"), "-"),
        "Strip": D.Strip("#", 1, 1), "Fuse": D.Fuse(), "BPEDecoder": D.BPEDecoder("r"), "Metaspace": D.Metaspace("#")}.items()},
    **{f"post-processor {name}": with_parts(word_piece(), pre_tokenizer=P.BertPreTokenizer(), post_processor=part)
       for name, part in {"Template": ends(), "Bert": processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1)),
                          "Roberta": processors.RobertaProcessing(("[SEP]", 2), ("[CLS]", 1)),
                          "Sequence": processors.Sequence([processors.ByteLevel(), ends()])}.items()},
    "added tokens": added(),
    "WordPiece": with_parts(word_piece(max_input_chars_per_word=6), normalizer=N.BertNormalizer(),
                            pre_tokenizer=P.BertPreTokenizer(), decoder=D.WordPiece()),
    "WordLevel": with_parts(Tokenizer(models.WordLevel({"<unk>": 0, "low": 1, "Hello": 2, ",": 3}, "<unk>")),
                            pre_tokenizer=P.Whitespace()),
    "byte-level BPE": byte_bpe(), "byte-level BPE ignore_merges": byte_bpe(ignore_merges=True),
    "BPE without unk": plain_bpe(), "BPE unk": plain_bpe(unk_token="<unk>"),
    "BPE fused unk": plain_bpe(unk_token="<unk>", fuse_unk=True),
    "BPE byte fallback": with_parts(plain_bpe(unk_token="<unk>", fuse_unk=True, byte_fallback=True), decoder=MISTRAL,
                                    normalizer=N.Sequence([N.Prepend("▁"), N.Replace(" ", "▁")])),
    "BPE suffix": suffixed(), "BPE prefix": prefixed(), "Unigram": unigram(), "Unigram bytes": unigram(byte_fallback=True),
}


def results(tokenizer):
    ids = [tokenizer.encode(text, add_special_tokens=False).ids for text in TEXTS]
    return {"ids": ids, "special": [tokenizer.encode(text).ids for text in TEXTS],
            "text": [tokenizer.decode(one) for one in ids], "whole": [tokenizer.decode(one, skip_special_tokens=False) for one in ids]}


def tokenizer_case(name, tokenizer):
    case = {"name": name, "tokenizer": json.loads(tokenizer.to_str()), **results(tokenizer)}
    for same, other in (("special", "ids"), ("whole", "text")):
        if case[same] == case[other]:
            del case[same]
    return case


def gguf_gpt2(pre, pattern):
    tokenizer = byte_bpe(ignore_merges=pre == "llama-bpe")
    model = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get) + ["<s>", "</s>", "[M]"]
    tokenizer.pre_tokenizer = P.Sequence([*[P.Split(Regex(one), "isolated") for one in pattern],
                                          P.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.add_special_tokens([AddedToken("<s>", normalized=False), AddedToken("</s>", normalized=False)])
    tokenizer.add_tokens([AddedToken("[M]", normalized=False)])
    count = len(tokens)
    if pre == "llama-bpe":
        tokenizer.post_processor = processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", count - 3)])
    found = results(tokenizer)
    return {"name": f"gpt2 {pre}", "model": "gpt2", "pre": pre, "tokens": tokens, "merges": [" ".join(m) for m in model["merges"]],
            "types": [1] * (count - 3) + [3, 3, 4], "bos": count - 3, "eos": count - 2, **{key: found[key] for key in ("ids", "special", "text")}}


def gguf_llama(prefix):
    """SentencePiece itself: its pieces, scores and types are what a GGUF file holds."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(CORPUS), model_writer=model, vocab_size=400, model_type="bpe",
                                             byte_fallback=True, normalization_rule_name="identity", hard_vocab_limit=False,
                                             remove_extra_whitespaces=False, add_dummy_prefix=prefix, minloglevel=2,
                                             allow_whitespace_only_pieces=True)
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    proto = sentencepiece_model_pb2.ModelProto.FromString(model.getvalue())
    texts = [text for text in TEXTS if "<s>" not in text and "\0" not in text]
    ids = [processor.encode(text) for text in texts]
    return {"name": f"llama {'with' if prefix else 'without'} prefix", "model": "llama", "tokens": [p.piece for p in proto.pieces],
            "scores": [p.score for p in proto.pieces], "types": [p.type for p in proto.pieces], "bos": 1, "eos": 2, "unknown": 0,
            "prefix": prefix, "texts": texts, "ids": ids, "special": [[1] + one for one in ids],
            "text": [processor.decode(one) for one in ids]}


GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
QWEN2 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
GGUF = [gguf_gpt2("gpt-2", [GPT2]), gguf_gpt2("smollm", [r"\p{N}", GPT2]), gguf_gpt2("qwen2", [QWEN2]),
        gguf_gpt2("llama-bpe", [QWEN2.replace(r"\p{N}|", r"\p{N}{1,3}|")]), gguf_llama(True), gguf_llama(False)]


# ---- chats: templates in our own words that use the expressions by which the families are told apart ---------------------------
ALTERNATE = "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('alternate') }}{% endif %}"
SYSTEM = ("{% if messages[0]['role'] == 'system' %}{% set system_message = messages[0]['content'] %}"
          "{% set loop_messages = messages[1:] %}{% else %}{% set loop_messages = messages %}{% endif %}")
CHATML = "'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'"
PROMPT = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
HEADER = "'<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>'"
HEADER_PROMPT = "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"


def instructions(before, behind, answer, where):
    user = f"'{before}[INST]{behind}' + message['content'] + '{behind and ' '}[/INST]'"
    with_system = user.replace("message", "system_message + '\\n\\n' + message", 1)
    choice = (f"{{% if loop.{where} and system_message is defined %}}{{{{ {with_system} }}}}{{% else %}}{{{{ {user} }}}}{{% endif %}}"
              if where else f"{{{{ {user} }}}}")
    return ((SYSTEM if where else "{% set loop_messages = messages %}") + "{{ bos_token }}{% for message in loop_messages %}" +
            ALTERNATE + "{% if message['role'] == 'user' %}" + choice + "{% else %}{{ " + answer + " }}{% endif %}{% endfor %}")


TEMPLATES = {
    "ChatML": "{% for message in messages %}{{ " + CHATML + " }}{% endfor %}" + PROMPT,
    "ChatML, default system": "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
        "{{ '<|im_start|>system\nYou are kind.<|im_end|>\n' }}{% endif %}{{ " + CHATML + " }}{% endfor %}" + PROMPT,
    "Qwen3": "{% set ns = namespace(seeking=true, last_query_index=messages|length - 1) %}{% for message in messages[::-1] %}"
        "{% if ns.seeking and message.role == 'user' %}{% set ns.seeking = false %}"
        "{% set ns.last_query_index = messages|length - 1 - loop.index0 %}{% endif %}{% endfor %}{% for message in messages %}"
        "{% set content = message.content %}{% set thoughts = '' %}{% if message.role == 'assistant' and '</think>' in content %}"
        "{% set thoughts = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}"
        "{% set content = content.split('</think>')[-1].lstrip('\\n') %}{% endif %}"
        "{% if message.role == 'assistant' and loop.index0 > ns.last_query_index and (loop.last or thoughts) %}"
        "{{ '<|im_start|>assistant\\n<think>\\n' + thoughts.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}"
        "{% else %}{{ '<|im_start|>' + message.role + '\\n' + content }}{% endif %}{{ '<|im_end|>\\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% if enable_thinking is defined and enable_thinking is false %}"
        "{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}{% endif %}",
    "Llama 2": SYSTEM.replace("{% set loop_messages = messages %}", "{% set loop_messages = messages %}{% set system_message = false %}") +
        "{% for message in loop_messages %}" + ALTERNATE + "{% if loop.index0 == 0 and system_message != false %}"
        "{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}{% else %}"
        "{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}"
        "{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% else %}{{ ' ' + content.strip() + ' ' + eos_token }}"
        "{% endif %}{% endfor %}",
    "Llama 3": "{% for message in messages %}{% if loop.first %}{{ bos_token }}{% endif %}{{ " + HEADER + " }}{% endfor %}" + HEADER_PROMPT,
    "Llama 3, always asking": "{{ bos_token }}{% for message in messages %}{{ " + HEADER + " }}{% endfor %}"
        "{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}",
    "Llama 3.1": "{{ bos_token }}{% if not date_string is defined %}{% set date_string = '26 Jul 2024' %}{% endif %}" +
        SYSTEM.replace("messages[0]['content']", "messages[0]['content'] | trim").replace(
            "{% set loop_messages = messages %}", "{% set loop_messages = messages %}{% set system_message = '' %}") +
        "{{ '<|start_header_id|>system<|end_header_id|>\\n\\n' }}{{ 'Cutting Knowledge Date: December 2023\\n' }}"
        "{{ 'Today Date: ' + date_string + '\\n\\n' }}{{ system_message }}{{ '<|eot_id|>' }}{% for message in loop_messages %}{{ " +
        HEADER + " }}{% endfor %}" + HEADER_PROMPT,
    "Mistral, first form": instructions("", " ", "message['content'] + eos_token + ' '", None),
    "Mistral v0.2": instructions("", " ", "message['content'] + eos_token", None),
    "Mistral v0.2, newer": instructions(" ", " ", "' ' + message['content'] + eos_token", "first"),
    "Mistral v0.3": instructions("", " ", "' ' + message['content'] | trim + eos_token", "last").replace("' [/INST]", "'[/INST]"),
    "Mistral Tekken": instructions("", "", "message['content'] + eos_token", "last"),
    "Mixtral 8x22B": instructions(" ", " ", "' ' + message['content'] + ' ' + eos_token", None),
    "Gemma": "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set first_user_prefix = messages[0]['content'] + '\\n\\n' %}"
        "{% set loop_messages = messages[1:] %}{% else %}{% set first_user_prefix = '' %}{% set loop_messages = messages %}{% endif %}"
        "{% for message in loop_messages %}" + ALTERNATE + "{{ '<start_of_turn>' + ('model' if message['role'] == 'assistant' else 'user')"
        " + '\\n' + (first_user_prefix if loop.first else '') + message['content'] | trim + '<end_of_turn>\\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}",
}


def turns(*contents, system=None):
    messages = [] if system is None else [{"role": "system", "content": system}]
    return messages + [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(contents)]


CHATS = [turns("Hello"), turns(" Hi there \n", system="Be  brief. "), turns("a", " b ", "c\n"), turns("a", "b", "c", system="s"),
         turns("q", "<think>\nhm\n</think>\n\nanswer", "again"), turns("q", "<think>\nhm\n</think>\n\nanswer"), turns("q", "answer"),
         turns("x", system=""), turns("a", "<think>x</think>y", system="s")]


def raise_exception(message):
    raise jinja2.TemplateError(message)


def rendered(template, messages, prompt, thinking):
    """null where the template itself refuses the turns."""
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["raise_exception"] = raise_exception
    bos = next((b for mark, b in (("start_of_turn", "<bos>"), ("start_header", "<|begin_of_text|>")) if mark in template), "<s>")
    options = {} if thinking else {"enable_thinking": False}
    try:
        return environment.from_string(template).render(messages=messages, add_generation_prompt=prompt, bos_token=bos,
                                                        eos_token="</s>", **options)
    except jinja2.TemplateError:
        return None


def chat_case(name, template):
    return {"name": name, "template": template,
            "asking": [rendered(template, chat, True, True) for chat in CHATS],
            "whole": [rendered(template, chat, False, True) for chat in CHATS],
            "without thinking": [rendered(template, chat, True, False) for chat in CHATS[:1]]}


def write(name, content):
    FOLDER.joinpath(name).write_text(json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n")


FOLDER.mkdir(parents=True, exist_ok=True)
write("tokenizers.json", {"texts": TEXTS, "cases": [tokenizer_case(*item) for item in TOKENIZERS.items()]})
write("gguf.json", {"texts": TEXTS, "cases": GGUF})
write("chats.json", {"chats": CHATS, "cases": [chat_case(*item) for item in TEMPLATES.items()]})
