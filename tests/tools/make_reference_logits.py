#!/usr/bin/env python3
"""Makes the tiny random models of tests/engine/reference and records what Hugging Face transformers says about them.

    python3 tests/tools/make_reference_logits.py [--out tests/engine/reference] [--verify] [NAME…]

Needs torch and transformers (CPU). Weights follow from fixed seeds and are drawn large enough that logits differ by whole
units between tokens. Each folder holds a model as a hub download would (config.json, safetensors) and reference.json; the
format is written down in tests/engine/reference/README.md. --verify recomputes the logits from the files and compares.
"""
import argparse
import copy
import json
import math
import os
import shutil

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM

PROMPT_TOKENS = 40
SHARD_BYTES = 60_000
LLAMA3_ROPE = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32}

BASE = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "head_dim": 16, "hidden_act": "silu", "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "max_position_embeddings": 256,
        "attention_bias": False, "mlp_bias": False, "tie_word_embeddings": False, "vocab_size": 256,
        "bos_token_id": 1, "eos_token_id": 2, "torch_dtype": "float32"}
LLAMA = {**BASE, "architectures": ["LlamaForCausalLM"], "model_type": "llama", "rope_scaling": None}
QWEN2 = {**{k: v for k, v in BASE.items() if k not in ("attention_bias", "mlp_bias", "head_dim")}, "architectures": ["Qwen2ForCausalLM"],
         "model_type": "qwen2", "rms_norm_eps": 1e-6, "rope_theta": 1000000.0, "use_sliding_window": False, "sliding_window": 256}

SMALL = {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 151}
QWEN3 = {**QWEN2, **SMALL, "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "head_dim": 16, "attention_bias": False}
MISTRAL = {**{k: v for k, v in BASE.items() if k not in ("attention_bias", "mlp_bias")}, **SMALL, "architectures": ["MistralForCausalLM"],
           "model_type": "mistral", "sliding_window": 11}
SHORT = [1.0 + 0.05 * i for i in range(6)]
LONG = [1.0 + 0.3 * i * i for i in range(6)]
PHI3 = {**BASE, **SMALL, "architectures": ["Phi3ForCausalLM"], "model_type": "phi3", "num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": 127,
        "max_position_embeddings": 128, "original_max_position_embeddings": 32, "sliding_window": None, "pad_token_id": 0, "partial_rotary_factor": 0.75,
        "rope_scaling": {"type": "longrope", "short_factor": SHORT, "long_factor": LONG}}
del PHI3["head_dim"], PHI3["mlp_bias"]

# name: (config, seed, stored dtype, sharded)
MODELS = {
    "llama-gqa": ({**LLAMA, "hidden_size": 48, "intermediate_size": 80, "vocab_size": 160}, 11, torch.float32, False),
    "llama-tied-rope3": ({**LLAMA, "tie_word_embeddings": True, "rope_scaling": LLAMA3_ROPE, "hidden_size": 48,
                          "num_attention_heads": 6, "num_key_value_heads": 2, "intermediate_size": 64, "vocab_size": 200}, 12, torch.float32, False),
    "qwen2-tied": ({**QWEN2, "tie_word_embeddings": True, "hidden_size": 48, "num_attention_heads": 3, "num_key_value_heads": 1,
                    "intermediate_size": 64, "num_hidden_layers": 3, "vocab_size": 192}, 13, torch.float32, False),
    "qwen2-gqa-sharded": ({**QWEN2, "vocab_size": 128, "intermediate_size": 80, "num_key_value_heads": 1}, 14, torch.float32, True),
    "llama-bf16": ({**LLAMA, "hidden_size": 32, "num_attention_heads": 2, "num_key_value_heads": 2, "intermediate_size": 64, "vocab_size": 257,
                    "torch_dtype": "bfloat16"}, 15, torch.bfloat16, False),
    "qwen2-f16": ({**QWEN2, "hidden_size": 32, "num_attention_heads": 2, "num_key_value_heads": 1, "intermediate_size": 64, "vocab_size": 261,
                   "torch_dtype": "float16"}, 16, torch.float16, False),
    "mistral": ({**MISTRAL}, 21, torch.float32, False),
    "mistral-bf16": ({**MISTRAL, "head_dim": None, "sliding_window": 5, "tie_word_embeddings": True, "torch_dtype": "bfloat16"}, 22, torch.bfloat16, False),
    "qwen2-windows": ({**QWEN2, **SMALL, "num_hidden_layers": 3, "hidden_size": 32, "use_sliding_window": True, "sliding_window": 9,
                       "max_window_layers": 1, "vocab_size": 109}, 23, torch.float32, False),
    "qwen3": ({**QWEN3}, 17, torch.float32, False),
    "qwen3-bf16": ({**QWEN3, "tie_word_embeddings": True, "attention_bias": True, "torch_dtype": "bfloat16"}, 18, torch.bfloat16, False),
    "phi3-longrope": ({**PHI3}, 19, torch.float32, False),
    "phi3-bf16": ({**PHI3, "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2, "original_max_position_embeddings": 64, "torch_dtype": "bfloat16"}, 20, torch.bfloat16, False),
}


def hugging_face(config):
    """Builds the transformers model for one of our config.json, whatever the installed version calls rope settings."""
    c = AutoConfig.for_model(**{k: v for k, v in copy.deepcopy(config).items() if k not in ("architectures", "torch_dtype")})
    c._attn_implementation = "eager"
    # Newer versions move rope_theta into rope_parameters; the files here say it the way published models do.
    rope = getattr(c, "rope_parameters", None) or {"rope_theta": c.rope_theta, **(c.rope_scaling or {})}
    assert rope["rope_theta"] == config["rope_theta"] and rope.get("factor") == (config.get("rope_scaling") or {}).get("factor"), rope
    return AutoModelForCausalLM.from_config(c).float().eval()


def randomize(model, seed):
    """Draws every parameter: matrices so that each layer changes the residual by its own size, norms around one, biases not zero."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in sorted(model.named_parameters()):
            if p.dim() == 1:
                p.copy_((0 if name.endswith("bias") else 1) + 0.3 * torch.randn(p.shape, generator=g))
            else:
                std = 0.5 if "embed" in name else 1.5 / math.sqrt(p.shape[1])
                p.copy_(std * torch.randn(p.shape, generator=g))


def stored_tensors(model, dtype):
    tied = model.config.tie_word_embeddings
    return {n: p.detach().to(dtype).contiguous() for n, p in model.named_parameters() if not (tied and n == "lm_head.weight")}


def write_weights(folder, tensors, sharded):
    if not sharded:
        save_file(tensors, os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})
        return
    shards, size = [{}], 0
    for name, tensor in tensors.items():
        size += tensor.nbytes
        if shards[-1] and size > SHARD_BYTES:
            shards.append({})
            size = tensor.nbytes
        shards[-1][name] = tensor
    where = {}
    for i, shard in enumerate(shards):
        file = f"model-{i + 1:05d}-of-{len(shards):05d}.safetensors"
        save_file(shard, os.path.join(folder, file), metadata={"format": "pt"})
        where.update({name: file for name in shard})
    write_json(os.path.join(folder, "model.safetensors.index.json"),
               {"metadata": {"total_size": sum(t.nbytes for t in tensors.values())}, "weight_map": where})


def read_weights(folder):
    tensors = {}
    for file in sorted(os.listdir(folder)):
        if file.endswith(".safetensors"):
            with safe_open(os.path.join(folder, file), "pt") as source:
                tensors.update({name: source.get_tensor(name) for name in source.keys()})
    return tensors


def write_json(path, value):
    with open(path, "w") as out:
        json.dump(value, out, indent=1)
        out.write("\n")


def logits_of(folder, prompt, dtype=torch.float32):
    """Logits [tokens, vocabulary] of the model as its files say, computed in `dtype` whatever they store."""
    with open(os.path.join(folder, "config.json")) as source:
        config = json.load(source)
    model = hugging_face(config)
    missing, unexpected = model.load_state_dict({k: v.float() for k, v in read_weights(folder).items()}, strict=False)
    assert not unexpected and set(missing) <= {"lm_head.weight"}, (missing, unexpected)
    model.tie_weights()
    for parameter in model.parameters():  # and no buffer: from_pretrained leaves rotary frequencies in float32 too
        parameter.data = parameter.data.to(dtype)
    with torch.no_grad():
        return model(torch.tensor([prompt])).logits[0].float()


def compact(row):
    """Nine significant digits name a float32 exactly."""
    return [float(f"{x:.9g}") for x in row.tolist()]


def greedy(folder, prompt, count=16):
    ids = list(prompt)
    for _ in range(count):
        ids.append(int(logits_of(folder, ids)[-1].argmax()))
    return ids[len(prompt):]


def make(out, name, config, seed, dtype, sharded):
    folder = os.path.join(out, name)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    print(f"{name}: ", end="")
    model = hugging_face(config)
    randomize(model, seed)
    write_json(os.path.join(folder, "config.json"), config)
    write_weights(folder, stored_tensors(model, dtype), sharded)
    g = torch.Generator().manual_seed(seed + 1000)
    prompt = torch.randint(3, config["vocab_size"], (PROMPT_TOKENS,), generator=g).tolist()
    logits = logits_of(folder, prompt)
    positions = [0, 1, 17, 38, 39]
    # Of the families that came first only float32 is recorded.
    in_bf16 = logits_of(folder, prompt, torch.bfloat16)[positions] if dtype == torch.bfloat16 and name != "llama-bf16" else None
    with open(os.path.join(folder, "reference.json"), "w") as file:
        rows = ",\n  ".join(json.dumps(compact(logits[p])) for p in positions)
        file.write(f'{{"prompt": {json.dumps(prompt)},\n "positions": {json.dumps(positions)},\n'
                   f' "argmax": {json.dumps(logits.argmax(-1).tolist())},\n "greedy": {json.dumps(greedy(folder, prompt))},\n'
                   f' "max_abs": {float(logits.abs().max()):.6g},\n "logits": [\n  {rows}\n ]')
        if in_bf16 is not None:
            file.write(',\n "logits_bf16": [\n  ' + ",\n  ".join(json.dumps(compact(row)) for row in in_bf16) + "\n ]")
        file.write("}\n")
    bytes_ = sum(os.path.getsize(os.path.join(folder, f)) for f in os.listdir(folder))
    for file in os.listdir(folder):
        os.chmod(os.path.join(folder, file), 0o644)
    print(f"{sum(p.numel() for p in model.parameters())} parameters, logits std {logits.std():.3f} max {logits.abs().max():.2f}, "
          f"{len(set(logits.argmax(-1).tolist()))} distinct argmax, {bytes_ / 1024:.0f} KiB")


def verify(out, name):
    folder = os.path.join(out, name)
    with open(os.path.join(folder, "reference.json")) as source:
        reference = json.load(source)
    logits = logits_of(folder, reference["prompt"])[reference["positions"]]
    want = torch.tensor(reference["logits"])
    print(f"{name}: largest difference {float((logits - want).abs().max() / want.abs().max()):.2e} of the largest logit")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "engine", "reference"))
    p.add_argument("names", nargs="*", metavar="NAME", help="only these folders")
    p.add_argument("--verify", action="store_true", help="compare the recorded logits with the files, write nothing")
    args = p.parse_args()
    torch.set_num_threads(1)
    for name, (config, seed, dtype, sharded) in MODELS.items():
        if args.names and name not in args.names:
            continue
        if args.verify:
            verify(args.out, name)
        else:
            make(args.out, name, config, seed, dtype, sharded)


if __name__ == "__main__":
    main()
