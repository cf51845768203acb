# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The hyperblocks authors
# Writes files as torch.save writes them, in the layouts of the public checkpoints and beyond:
#   tests/fixtures/torch/shine/{mem_tokens.pt,metanetwork.pth,metalora.pth}
#   tests/fixtures/torch/doc_to_lora/pytorch_model.bin      with the objects that lie beside its tensors
#   tests/fixtures/torch/text_to_lora/hypermod.pt
#   tests/fixtures/torch/{values,tensors}.pt                every kind of value, every kind of tensor
#   tests/fixtures/torch/zipped.pt                          the same archive as another program writes it
#   tests/fixtures/torch/bare.pt                            the format before PyTorch 1.6
#   tests/fuzz/corpus/torch_zip/                            small files for the fuzz target to begin with
# The numbers of a checkpoint's tensors count on from the first to the last, each dict in its order, so that tests know them.
#   python torch_files.py tests
import collections
import dataclasses
import enum
import pathlib
import sys
import types
import zipfile

import torch


def importable(name, **members):
    """A class that pickle takes for one of another package: its qualified name is all that is written."""
    module, _, last = name.rpartition(".")
    parts = module.split(".")
    for i in range(len(parts)):
        sys.modules.setdefault(".".join(parts[:i + 1]), types.ModuleType(parts[i]))
    made = members["make"](last) if "make" in members else type(last, (), {})
    made.__module__, made.__qualname__ = module, last
    setattr(sys.modules[module], last, made)
    return made


def instance(name, **fields):
    made = importable(name)()
    made.__dict__.update(fields)
    return made


class Count:
    """Draws tensors whose numbers count on."""

    def __init__(self):
        self.next = 0

    def __call__(self, *shape, dtype=torch.float32):
        size = torch.Size(shape).numel()
        numbers = torch.arange(self.next, self.next + size, dtype=torch.float64)
        self.next += size
        return numbers.to(dtype).reshape(shape)


def encoder_layer(count, name, hidden, inner):
    shapes = {"self_attn.in_proj_weight": (3 * hidden, hidden), "self_attn.in_proj_bias": (3 * hidden,),
              "self_attn.out_proj.weight": (hidden, hidden), "self_attn.out_proj.bias": (hidden,), "linear1.weight": (inner, hidden),
              "linear1.bias": (inner,), "linear2.weight": (hidden, inner), "linear2.bias": (hidden,), "norm1.weight": (hidden,),
              "norm1.bias": (hidden,), "norm2.weight": (hidden,), "norm2.bias": (hidden,)}
    return {f"{name}.{part}": count(*shape) for part, shape in shapes.items()}


def metanetwork():
    count = Count()
    state = collections.OrderedDict(layer_pe=count(2, 2), token_pe=count(3, 2))
    state.update(encoder_layer(count, "transformer_layers.0", 2, 3))
    state._metadata = collections.OrderedDict({"": {"version": 1}, "transformer_layers.0.self_attn": {"version": 1}})
    return state


def metalora(layers=2, linears=(("attention", "qkvo"), ("mlp", ("gate", "up", "down")))):
    count = Count()
    leaf = lambda bias: {"A": count(1, 2, 3), "B": count(1, 3, 2), "C": count(1, 2) if bias else None}
    return {layer: {part: {name: leaf(name == "q") for name in names} for part, names in linears} for layer in range(layers)}


def doc_to_lora():
    count = Count()
    state = {f"_orig_mod.aggregator.perceiver.modality_projection.{part}_proj.weight": count(2, 2, dtype=torch.bfloat16)
             for part in ("gate", "up", "down")}
    state["head.weight"] = count(2, 3, 2)
    for name in ("bias_A", "bias_B", "scaler_A", "scaler_B"):
        state[name + ".down_proj"] = count(1, 2, 1, 1)
    kind = importable("peft.utils.peft_types.PeftType", make=lambda name: enum.Enum(name, {"LORA": "LORA"}, type=str))
    lora = instance("peft.tuners.lora.config.LoraConfig", peft_type=kind.LORA, r=8, lora_alpha=45.25, bias="none", revision=None,
                    target_modules={"down_proj"}, runtime_config=instance("peft.tuners.lora.config.LoraRuntimeConfig",
                                                                          ephemeral_gpu_offload=False))
    aggregator = instance("ctx_to_lora.modeling.aggregator.AggregatorConfig", n_latent_queries=8, num_blocks=9, layer_to_layer=True)
    state["base_model_name_or_path"] = "google/gemma-2-2b-it"
    state["hypernet_config"] = instance("ctx_to_lora.modeling.hypernet.HypernetConfig", latent_size=512, lora_config=lora,
                                        layer_indices=torch.arange(26), feature_sizes=({"down_proj": 9216}, {"down_proj": 2304}),
                                        aggregator_config=aggregator)
    state["ctx_encoder_args"] = instance("ctx_to_lora.configs.CtxEncoderArguments", ctx_encoder_type="per_layer_activations",
                                         layer_idx=None, quantize_ctx_encoder=True)
    return state


def text_to_lora():
    count = Count()
    state = collections.OrderedDict()
    for name, shape in {"task_encoder.mlp.0.weight": (2, 3), "task_encoder.mlp.0.bias": (2,), "layer_type_encoder.0.weight": (2, 1),
                        "heads.v_proj.weight": (4, 2), "heads.v_proj.bias": (4,), "heads.q_proj.weight": (6, 2),
                        "heads.q_proj.bias": (6,), "AB_offset.A.q_proj": (2, 1, 2), "AB_offset.B.q_proj": (2, 3, 1)}.items():
        state[name] = count(*shape)
    return state


@dataclasses.dataclass(frozen=True)
class Settings:
    save_freq: int = 10**100
    names: tuple = ("a", "b")


class Colour(enum.Enum):
    RED = "red"


def values():
    cycle = [1]
    cycle.append(cycle)
    shared = {"inner": 1}
    ordered = collections.OrderedDict(z=1, a=2)
    ordered._metadata = {"version": 1}
    importable("somewhere.Settings", make=lambda _: Settings)
    importable("somewhere.Colour", make=lambda _: Colour)
    return {
        "none": None, "booleans": [True, False], "integers": [0, 255, 256, 65535, 65536, -1, 2**31 - 1, -2**31, 2**31, -2**40],
        "limits": [2**63 - 1, -2**63], "large": [2**63, -2**63 - 1, 10**100, -10**100, 256**20], "floats": [1.5, -0.0, 1e308],
        "texts": ["", "a", "\u20ac\n"], "tuples": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)], "sets": [set(), {7}, frozenset({8})],
        "ordered": ordered, "cycle": cycle, "shared": [shared, shared], 7: "seven", -1: {"x": 2**40}, 2**35: {}, (1, 2): "tuple",
        "object": Settings(), "enum": Colour.RED, "name": torch.float32, "bytes": b"abc", "counter": collections.Counter({"x": 2}),
    }


def tensors():
    count = Count()
    matrix = count(2, 3)
    dtypes = {"f64": torch.float64, "f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16, "i64": torch.int64,
              "i32": torch.int32, "i16": torch.int16, "i8": torch.int8, "u8": torch.uint8, "bool": torch.bool}
    tied = torch.nn.Parameter(count(2, 2))
    attributed = count(2)
    attributed.note = "a tensor with an attribute"
    return {
        "dtypes": {name: torch.tensor([1, 0, 3]).to(dtype) for name, dtype in dtypes.items()},
        "views": {"matrix": matrix, "transposed": matrix.t(), "row": matrix[1], "column": matrix[:, 1], "scalar": matrix[1, 2],
                  "steps": matrix.flatten()[1::2], "swapped": count(2, 3, 2).permute(2, 0, 1), "expanded": matrix[:1].expand(4, 3),
                  "empty": torch.zeros(0), "empty_rows": torch.zeros(2, 0, 3), "end": matrix[2:]},
        "kinds": {"parameter": tied, "tied": tied, "buffer": torch.nn.Buffer(count(2)), "attributed": attributed},
        "strange": {"complex": torch.zeros(1, dtype=torch.complex64), "negated": torch.zeros(1)._neg_view(),
                    "meta": torch.zeros(2, device="meta")},
    }


def save(value, path, on="cpu"):
    """As saved from a machine whose tensors lie on a device."""
    path.parent.mkdir(parents=True, exist_ok=True)
    original = torch.serialization.location_tag
    torch.serialization.location_tag = lambda storage: on
    torch.save(value, path)
    torch.serialization.location_tag = original


def zip_again(source, target):
    """Without ZIP64, data descriptors and padding."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as new:
        for entry in old.infolist():
            new.writestr(zipfile.ZipInfo(entry.filename, (1980, 1, 1, 0, 0, 0)), old.read(entry))


def main(tests):
    fixtures, seeds = tests / "fixtures/torch", tests / "fuzz/corpus/torch_zip"
    save(torch.nn.Parameter(torch.zeros(3, 2)), fixtures / "shine/mem_tokens.pt", "cuda:0")
    save(metanetwork(), fixtures / "shine/metanetwork.pth", "cuda:0")
    save(metalora(), fixtures / "shine/metalora.pth", "cuda:0")
    save(doc_to_lora(), fixtures / "doc_to_lora/pytorch_model.bin")
    save(text_to_lora(), fixtures / "text_to_lora/hypermod.pt")
    save(values(), fixtures / "values.pt")
    save(tensors(), fixtures / "tensors.pt")
    zip_again(fixtures / "shine/mem_tokens.pt", fixtures / "zipped.pt")
    torch.save({"x": 1}, fixtures / "bare.pt", _use_new_zipfile_serialization=False)
    save(metalora(1, [("attention", "q")]), seeds / "metalora")
    save(values(), seeds / "values")
    save({name: tensors()[name] for name in ("views", "kinds")}, seeds / "tensors")
    save({name: value for name, value in doc_to_lora().items() if "_" in name and "proj" not in name}, seeds / "objects")
    zip_again(seeds / "metalora", seeds / "zipped")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
