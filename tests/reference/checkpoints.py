# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The hyperblocks authors
# The parameters of the parity fixtures (tests/fixtures/hypernets) as public checkpoints, written by torch.save:
#   tests/fixtures/checkpoints/shine_<case>/{mem_tokens.pt,metanetwork.pth,metalora.pth,ift_additional_metalora.pth}
#   tests/fixtures/checkpoints/doc_to_lora_<case>/pytorch_model.bin
#   tests/fixtures/checkpoints/text_to_lora_<case>/{hypermod.pt,args.yaml,adapter_config.json}
# so that an import must give exactly the fixture's numbers.
#   PYTHONHASHSEED=0 python checkpoints.py tests/fixtures     sets of strings have an order that depends on it
import collections
import enum
import json
import pathlib
import sys

import safetensors.torch
import torch
import yaml

import doc_to_lora
import shine
import text_to_lora
from torch_files import importable, instance, save

SHORT = {"attention.query": "q", "attention.key": "k", "attention.value": "v", "attention.output": "o", "mlp.gate": "gate",
         "mlp.up": "up", "mlp.down": "down"}


def parameters(fixtures, name):
    tensors = safetensors.torch.load_file(fixtures / "hypernets" / f"{name}.safetensors")
    return {key.removeprefix("params."): tensor for key, tensor in tensors.items() if key.startswith("params.")}


# ---- SHINE ----

def encoder_layer(p, ours, theirs):
    parts = [f"{ours}.attention.{name}" for name in ("query", "key", "value")]
    state = {f"{theirs}.self_attn.in_proj_{kind}": torch.cat([p[f"{part}.{kind}"] for part in parts]) for kind in ("weight", "bias")}
    for public, own in {"self_attn.out_proj": "attention.output", "linear1": "mlp.expand", "linear2": "mlp.project",
                        "norm1": "attention.norm", "norm2": "mlp.norm"}.items():
        for kind in ("weight", "bias"):
            state[f"{theirs}.{public}.{kind}"] = p[f"{ours}.{own}.{kind}"]
    return state


def linear_layers(p, spec):
    state, at = {}, "m2p.blocks"
    for i in range(spec.blocks):
        for kind in ("weight", "bias") if spec.linear_bias else ("weight",):
            if i + 1 < spec.blocks:
                tensor = p[f"{at}.0.0.{kind}"]
            elif spec.kind == "linear":
                tensor = p[f"{at}.0.{kind}"]
            else:
                tensor = torch.cat([p[f"{at}.gate.0.{kind}"], p[f"{at}.value.0.{kind}"]])
            state[f"linear_layers.{i}.{kind}"] = tensor
        at += ".1"
    return state


def metanetwork(p, spec):
    state = collections.OrderedDict(layer_pe=p["m2p.positions.layer"], token_pe=p["m2p.positions.token"])
    if spec.kind == "transformer":
        for i in range(spec.blocks):
            state.update(encoder_layer(p, f"m2p.blocks.{i}", f"transformer_layers.{i}"))
    else:
        state.update(linear_layers(p, spec))
    for i in range(spec.couple_blocks):
        state.update(encoder_layer(p, f"m2p.couple.{i}", f"couple_layers.{i}"))
    state._metadata = collections.OrderedDict({"": {"version": 1}})
    return state


def metalora(p, ranks, share=1.0):
    """The ranks of a slice, and of each C a share."""
    layers = 1 + max(int(name.split(".")[2]) for name in p if name.startswith("meta."))
    tree = {layer: {"attention": {}, "mlp": {}} for layer in range(layers)}
    for layer in range(layers):
        for ours, short in SHORT.items():
            at = f"meta.layers.{layer}.{ours}"
            c = p.get(at + ".bias")
            tree[layer][ours.split(".")[0]][short] = {"A": p[at + ".a"][ranks].T[None].contiguous(),
                                                      "B": p[at + ".b"][:, ranks].T[None].contiguous(),
                                                      "C": None if c is None else share * c[None]}
    return tree


def save_shine(fixtures, case, spec):
    p, folder = parameters(fixtures, f"shine_{case}"), fixtures / "checkpoints" / f"shine_{case}"
    if case == "ll":  # another type
        p = {name: tensor.bfloat16() for name, tensor in p.items()}
    memory = torch.nn.Parameter(p["memory"])
    save(memory, folder / "mem_tokens.pt", "cuda:0")
    save(metanetwork(p, spec), folder / "metanetwork.pth", "cuda:0")
    if case == "biased":  # two meta LoRAs that are to become one
        save(metalora(p, slice(0, 2), 0.5), folder / "metalora.pth")
        save(metalora(p, slice(2, 3), 0.5), folder / "ift_additional_metalora.pth")
    else:
        save(metalora(p, slice(None)), folder / "metalora.pth")


# ---- Doc-to-LoRA ----

MODULES = {ours: f"{short}_proj" for ours, short in SHORT.items()}
LAYER = {"attention.query": "self_attn.q_proj", "attention.key": "self_attn.k_proj", "attention.value": "self_attn.v_proj",
         "attention.output": "self_attn.o_proj", "mlp.gate": "mlp.gate_proj", "mlp.up": "mlp.up_proj", "mlp.down": "mlp.down_proj",
         "attention.norm": "input_latents_layernorm", "attention.output_norm": "post_attention_layernorm",
         "mlp.norm": "pre_ff_layernorm", "mlp.output_norm": "post_ff_layernorm", "context_norm": "input_context_layernorm"}


def resampler(p, ours, theirs, blocks, self_layers, shared, latents):
    state, index = {f"{theirs}.latents_q": latents}, 0

    def layer(own):
        nonlocal index
        for part, public in LAYER.items():
            if f"{own}.{part}.weight" in p:
                state[f"{theirs}.layers.{index}.{public}.weight"] = p[f"{own}.{part}.weight"]
        index += 1

    for block in range(blocks):
        layer(f"{ours}.cross.{min(block, 1) if shared else block}")
        for i in range(self_layers):
            layer(f"{ours}.self.{i if shared else block * self_layers + i}")
    state[f"{theirs}.layernorm.weight"] = p[f"{ours}.norm.weight"]
    return state


def decoder_latents(p, spec, layers):
    """From the linears' order within a layer to the modules' alphabetical one."""
    ours = [target for target in MODULES if target in spec.targets]
    theirs = sorted(ours, key=MODULES.get)
    outer, ranks = (1 if spec.context == "all_layers" else layers), (spec.rank if spec.per_rank else 1)
    latents = p["perceiver.decoder.latents"].reshape(outer, len(ours), ranks, -1)
    return latents[:, [ours.index(target) for target in theirs]].reshape(outer * len(ours) * ranks, -1)


def mlps(p, spec, layers):
    state = {}
    for i in range(spec.mlps):
        ours = f"heads.mlps.{i}"
        theirs = f"layers.{i}.layers" if spec.mlps_per_layer else f"layers.{i}.mlp"
        for kind in ("weight", "bias"):
            state[f"{theirs}.0.{kind}"] = p[f"{ours}.0.{kind}"]
            state[f"{theirs}.{4 if spec.mlps_per_layer else 6}.{kind}"] = p[f"{ours}.4.{kind}"]
        for own, public in ((1, 2), (3, 5)):
            if spec.mlps_per_layer:
                rows = range(layers)
                state[f"{theirs}.{own}.weight"] = torch.stack([p[f"{ours}.{own}.{row}.weight"].T for row in rows])
                state[f"{theirs}.{own}.bias"] = torch.stack([p[f"{ours}.{own}.{row}.bias"] for row in rows])[None, :, None, None]
            else:
                for kind in ("weight", "bias"):
                    state[f"{theirs}.{public}.{kind}"] = p[f"{ours}.{own}.{kind}"]
    return state


def heads(p, spec, layers):
    theirs = sorted((target for target in MODULES if target in spec.targets), key=MODULES.get)
    ranks, latent = (1 if spec.per_rank else spec.rank), spec.latent
    place = lambda layer, target: f"heads.layers.{layer}.{target}"
    sizes = {target: [p[f"{place(0, target)}.{name}.weight"].shape[0] // ranks for name in "ab"] for target in theirs}
    widest = max(sum(size) for size in sizes.values())
    weight = torch.randn((layers, len(theirs), latent, ranks, widest))  # what no linear reads is there all the same
    for layer in range(layers):
        for i, target in enumerate(theirs):
            a, b = (p[f"{place(layer, target)}.{name}.weight"].reshape(ranks, -1, latent) for name in "ab")
            both = torch.cat([a, b], 1)  # (ranks, in + out, latent)
            weight[layer, i, :, :, :both.shape[1]] = both.permute(2, 0, 1)
    weight = weight.reshape(layers, len(theirs), latent, ranks * widest)
    state = {"head.weight": weight[:, 0].contiguous() if len(theirs) == 1 else weight}
    for target in theirs:
        for ours, public, width in (("a", "A", sizes[target][0]), ("b", "B", sizes[target][1])):
            stacked = lambda name: torch.stack([p[f"{place(layer, target)}.{name}"] for layer in range(layers)])
            if spec.bias:
                state[f"bias_{public}.{MODULES[target]}"] = stacked(f"bias_{ours}")
            elif spec.context == "early_exit":  # there, and not used
                state[f"bias_{public}.{MODULES[target]}"] = torch.randn(layers, spec.rank, width)
            state[f"scaler_{public}.{MODULES[target]}"] = stacked(f"scale_{ours}")[None, :, :, None]
    return state, {MODULES[target]: size for target, size in sizes.items()}


def settings(spec, layers, hidden, sizes, late):
    kind = importable("peft.utils.peft_types.PeftType", make=lambda name: enum.Enum(name, {"LORA": "LORA"}, type=str))
    lora = instance("peft.tuners.lora.config.LoraConfig", peft_type=kind.LORA, r=spec.rank, lora_alpha=2 * spec.rank**1.5,
                    bias="none", target_modules=set(sizes), revision=None,
                    runtime_config=instance("peft.tuners.lora.config.LoraRuntimeConfig", ephemeral_gpu_offload=False))
    aggregator = instance("ctx_to_lora.modeling.aggregator.AggregatorConfig", aggregator_type="perceiver", num_layers=layers,
                          num_modules=len(sizes), num_extra_modules=0, output_size=spec.latent, feature_size=hidden,
                          pooling_type="mean", num_latent_factor=8, lora_r=spec.rank, per_rank_gen=spec.per_rank,
                          n_latent_queries=spec.latents, num_blocks=spec.blocks, num_self_attn_per_block=spec.self_layers,
                          shared_weights=spec.shares_weights, layer_to_layer_ctx_encoder=spec.context == "all_layers")
    config = instance("ctx_to_lora.modeling.hypernet.HypernetConfig", latent_size=spec.latent, use_light_weight_lora=False,
                      light_weight_latent_size=128, per_rank_gen=spec.per_rank, use_per_rank_bias=False, use_bias=spec.bias,
                      per_layer_processing=spec.mlps_per_layer, use_token_mixing=False, num_pre_head_layers=spec.mlps,
                      dropout_rate=0.0, lora_config=lora, extra_modules=None, base_hidden_size=hidden,
                      layer_indices=torch.arange(layers), aggregator_config=aggregator,
                      feature_sizes=({module: size[0] for module, size in sizes.items()},
                                     {module: size[1] for module, size in sizes.items()}))
    if not late:  # as saved before these were settings
        del config.num_pre_head_layers, config.use_bias, config.use_per_rank_bias
    kinds = {"all_layers": "per_layer_activations", "early_exit": "early_exit", "embeddings": "embed_only"}
    context = kinds[spec.context]
    if spec.context == "embeddings":
        members = {name.upper(): name for name in kinds.values()}
        context = importable("ctx_to_lora.modeling.ctx_encoder.CTX_ENCODER_TYPE",
                             make=lambda name: enum.Enum(name, members, type=str))(context)
    arguments = instance("ctx_to_lora.configs.CtxEncoderArguments", ctx_encoder_model_name_or_path=None, ctx_encoder_type=context,
                         layer_idx=spec.context_layers if spec.context == "early_exit" else None, quantize_ctx_encoder=True,
                         ctx_encoder_last_layer=spec.context_layers or None if spec.context == "all_layers" else None)
    return config, arguments


def save_doc_to_lora(fixtures, case, spec, layers=3, hidden=16, late=True):
    p = parameters(fixtures, f"doc_to_lora_{case}")
    folder = fixtures / "checkpoints" / f"doc_to_lora_{case if late else 'early'}"
    if not late:  # four MLPs then
        for name in [name for name in p if name.startswith("heads.mlps.")]:
            parts = name.split(".")
            p[".".join(["heads", "mlps", str(int(parts[2]) + 2)] + parts[3:])] = p[name]
        spec.mlps = 4
    state = {f"aggregator.perceiver.modality_projection.{name}_proj.weight": p[f"perceiver.projection.{name}.weight"]
             for name in ("gate", "up", "down")}
    state |= resampler(p, "perceiver.encoder", "aggregator.perceiver.encoder", spec.blocks, spec.self_layers, spec.shares_weights,
                       p["perceiver.encoder.latents"])
    state |= resampler(p, "perceiver.decoder", "aggregator.perceiver.decoder", 1, 0, False, decoder_latents(p, spec, layers))
    head, sizes = heads(p, spec, layers)
    state |= mlps(p, spec, layers) | head
    if case == "own":  # as torch.compile names them
        state = {"_orig_mod." + name: tensor for name, tensor in state.items()}
    state = collections.OrderedDict(state)
    state["base_model_name_or_path"] = "some/base"
    state["hypernet_config"], state["ctx_encoder_args"] = settings(spec, layers, hidden, sizes, late)
    save(state, folder / "pytorch_model.bin", "cuda:0")


# ---- Text-to-LoRA ----

def task_encoder(p, spec):
    state = {f"mlp.0.{kind}": p[f"task.0.{kind}"] for kind in ("weight", "bias")}
    if spec.code == "linear":
        return state | {f"mlp.1.{kind}": p[f"task.1.{kind}"] for kind in ("weight", "bias")}
    state |= {f"mlp.3.{kind}": p[f"task.2.{kind}"] for kind in ("weight", "bias")}
    if spec.code == "softmax":
        state |= {"embed": p["task.4.weight"].T.contiguous()} | {f"ln.{kind}": p[f"task.5.{kind}"] for kind in ("weight", "bias")}
    if spec.code == "vq":
        state |= {"embed": p["task.3.code"].T.contiguous(), "embed_avg": p["task.3.sum"].T.contiguous(),
                  "cluster_size": p["task.3.count"]} | {f"ln.{kind}": p[f"task.4.{kind}"] for kind in ("weight", "bias")}
    return state


def trunk(p, spec, modules):
    """`modules`: our names in the order of the file's numbers."""
    state, both, numbers = {}, ("weight", "bias"), [spec.targets.index(target) for target in modules]
    table = lambda theirs, ours, rows: {f"{theirs}.0.weight": rows} | {f"{theirs}.1.{kind}": p[f"{ours}.norm.{kind}"] for kind in both}
    mixer = p["trunk.mixer.0.weight"]
    if spec.code == "discrete":
        mixer = torch.cat([mixer[:, :-len(modules)], mixer[:, -len(modules):][:, numbers]], 1)
    else:
        state |= table("layer_depth_encoder", "trunk.depth", p["trunk.depth.weight"])
        state |= table("layer_type_encoder", "trunk.type", p["trunk.type.weight"][numbers])
    state |= {"mixer.1.weight": mixer, "mixer.1.bias": p["trunk.mixer.0.bias"]}
    state |= {f"mixer.4.{kind}": p[f"trunk.mixer.2.{kind}"] for kind in both}
    for theirs, ours in (("mlp1.mlp", "mlp1"), ("mlp2.mlp", "mlp2"), ("mlp3", "mlp3")):
        for public, own in ((0, 0), (1, 1), (4, 3)):
            state |= {f"{theirs}.{public}.{kind}": p[f"trunk.{ours}.{own}.{kind}"] for kind in both}
    if spec.autoregressive and spec.positions == "learned":
        state |= table("pos_emb", "trunk.ranks", p["trunk.ranks.weight"])
    if spec.shared_head:
        for number, target in zip(numbers, modules):
            for side, letter in enumerate("AB"):
                state[f"out_emb.{MODULES[target]}.{letter}"] = p["trunk.sides.weight"][2 * number + side].clone()
        state |= {f"out_emb_norm.{kind}": p[f"trunk.sides.norm.{kind}"] for kind in both}
    return state


def text_heads(p, spec, modules):
    state = {}
    for target in modules:
        for kind in ("weight", "bias") if spec.head_bias else ("weight",):
            at = f"heads.{target}"
            state[f"heads.{MODULES[target]}.{kind}"] = (p[f"{at}.{kind}"] if spec.shared_head else
                                                        torch.cat([p[f"{at}.a.{kind}"], p[f"{at}.b.{kind}"]]))
    return state


def fixed(p, spec, modules):
    state = {}
    for theirs, ours in (("AB_offset", "offset"), ("mean_recon_target", "mean"), ("std_recon_target", "deviation")):
        for letter in "AB":
            for target in modules:
                size = text_to_lora.SIZES[target][letter == "B"]
                zeros = torch.zeros(text_to_lora.LAYERS, spec.rank, size)
                values = p.get(f"{ours}.{target}.{letter.lower()}", zeros)
                state[f"{theirs}.{letter}.{MODULES[target]}"] = values if letter == "A" else values.transpose(1, 2).contiguous()
    return state


def save_text_to_lora(fixtures, case, spec):
    p, folder = parameters(fixtures, f"text_to_lora_{case}"), fixtures / "checkpoints" / f"text_to_lora_{case}"
    modules = sorted(spec.targets, key=lambda target: MODULES[target][::-1])  # as a set might have them
    modules = modules[1:] + modules[:1]
    state = collections.OrderedDict(fixed(p, spec, modules))
    state.update({f"task_encoder.{name}": tensor for name, tensor in task_encoder(p, spec).items()})
    state.update(trunk(p, spec, modules) | text_heads(p, spec, modules))
    save(state, folder / "hypermod.pt", "cuda:0")
    recon = spec.z_score or spec.product_scale != 1
    arguments = dict(training_task="recon" if recon else "sft", factorized=spec.z_score, pred_z_score=spec.z_score,
                     delta_w_scaling=spec.product_scale if spec.product_scale != 1 else 10000, autoreg_gen=spec.autoregressive,
                     hypernet_latent_size=spec.latent, emb_model="Alibaba-NLP/gte-large-en-v1.5" if spec.shared_head else "",
                     use_one_hot_task_emb=False, encoder_type="linear", head_use_bias=False, save_freq=10**100, model_dir=None,
                     target_modules=sorted(MODULES[target] for target in spec.targets),
                     notes="it's: a \"note\" of many words " * 9, escaped="tab\tline\nend \u20ac " * 9, nested={"a": [1, 2]}, empty=[])
    (folder / "args.yaml").write_text(yaml.dump(arguments))
    config = dict(peft_type="LORA", r=spec.rank, lora_alpha=spec.alpha, use_rslora=spec.rslora, lora_dropout=0.05,
                  target_modules=[MODULES[target] for target in spec.targets], rank_pattern={}, alpha_pattern={})
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n")


def main(fixtures):
    torch.manual_seed(0)
    for case, spec in shine.CASES.items():
        save_shine(fixtures, case, spec)
    for case, spec in doc_to_lora.CASES.items():
        save_doc_to_lora(fixtures, case, spec)
    save_doc_to_lora(fixtures, "layers", doc_to_lora.CASES["layers"], late=False)
    for case, spec in text_to_lora.CASES.items():
        save_text_to_lora(fixtures, case, spec)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
