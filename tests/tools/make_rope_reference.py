#!/usr/bin/env python3
"""Records what transformers makes of rope settings: tests/engine/reference/rope.json.

    python3 tests/tools/make_rope_reference.py [--out tests/engine/reference/rope.json]

Needs torch and transformers (CPU). Each case is a config.json, the length of the sequence, the inverse frequencies and the
attention factor that modeling_rope_utils computes for it, and cosines and sines of a few positions.
"""
import argparse
import json
import os

import torch
from transformers import LlamaConfig, Phi3Config, Qwen2Config
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

BASE = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2, "hidden_act": "silu",
        "rms_norm_eps": 1e-5, "vocab_size": 32, "rope_theta": 10000.0, "max_position_embeddings": 2048}
LLAMA = {**BASE, "architectures": ["LlamaForCausalLM"], "model_type": "llama"}
QWEN2 = {**BASE, "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_size": 256, "rope_theta": 1000000.0, "max_position_embeddings": 32768}
PHI3 = {**BASE, "architectures": ["Phi3ForCausalLM"], "model_type": "phi3", "hidden_size": 96, "max_position_embeddings": 131072, "original_max_position_embeddings": 4096}
SHORT = [1.0 + 0.02 * i for i in range(24)]
LONG = [1.0 + 0.11 * i * i for i in range(24)]
POSITIONS = [0, 1, 511, 4095, 40000, 131071]

CASES = [  # name, config.json, length of the sequence
    ("default", LLAMA, 2048),
    ("linear", {**LLAMA, "rope_scaling": {"type": "linear", "factor": 2.5}}, 4096),
    ("dynamic within", {**LLAMA, "rope_scaling": {"type": "dynamic", "factor": 4.0}}, 1000),
    ("dynamic beyond", {**LLAMA, "rope_scaling": {"rope_type": "dynamic", "factor": 4.0}}, 5000),
    ("llama 3.1", {**LLAMA, "hidden_size": 256, "rope_theta": 500000.0, "max_position_embeddings": 131072,
                   "rope_scaling": {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                                    "original_max_position_embeddings": 8192, "rope_type": "llama3"}}, 131072),
    ("yarn of qwen 2.5", {**QWEN2, "rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}}, 131072),
    ("yarn with mscale", {**LLAMA, "max_position_embeddings": 163840,
                          "rope_scaling": {"type": "yarn", "factor": 40, "original_max_position_embeddings": 4096, "beta_fast": 32, "beta_slow": 1,
                                           "mscale": 1.0, "mscale_all_dim": 0.707}}, 163840),
    ("yarn without truncation", {**LLAMA, "rope_scaling": {"rope_type": "yarn", "factor": 16.0, "truncate": False, "beta_fast": 24, "beta_slow": 2,
                                                           "original_max_position_embeddings": 512, "attention_factor": 1.25}}, 8192),
    ("yarn in a narrow range", {**LLAMA, "rope_scaling": {"rope_type": "yarn", "factor": 2.0, "beta_fast": 1.0, "beta_slow": 1.0, "truncate": False,
                                                          "original_max_position_embeddings": 128}}, 256),
    ("longrope within", {**PHI3, "rope_scaling": {"type": "longrope", "short_factor": SHORT, "long_factor": LONG}}, 4096),
    ("longrope beyond", {**PHI3, "rope_scaling": {"type": "longrope", "short_factor": SHORT, "long_factor": LONG}}, 4097),
    ("longrope of a part", {**PHI3, "partial_rotary_factor": 0.75,
                            "rope_scaling": {"type": "longrope", "short_factor": SHORT[:18], "long_factor": LONG[:18]}}, 131072),
    ("longrope with a factor", {**PHI3, "rope_scaling": {"type": "longrope", "short_factor": SHORT, "long_factor": LONG, "factor": 8.0}}, 5000),
    ("rope_parameters", {**{k: v for k, v in LLAMA.items() if k != "rope_theta"},
                         "rope_parameters": {"rope_type": "linear", "rope_theta": 500000.0, "factor": 3.0}}, 100),
]


def compact(row):
    """Nine significant digits name a float32 exactly."""
    return [float(f"{x:.9g}") for x in row.tolist()]


def frequencies(config, tokens):
    kind = {"llama": LlamaConfig, "qwen2": Qwen2Config, "phi3": Phi3Config}[config["model_type"]]
    c = kind.from_dict({k: v for k, v in json.loads(json.dumps(config)).items() if k != "architectures"})
    rope_type = c.rope_parameters["rope_type"]
    if rope_type == "default":
        return LlamaRotaryEmbedding.compute_default_rope_parameters(c)
    return ROPE_INIT_FUNCTIONS[rope_type](c, seq_len=tokens)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "engine", "reference", "rope.json"))
    args = p.parse_args()
    cases = []
    for name, config, tokens in CASES:
        inverse, factor = frequencies(config, tokens)
        case = {"name": name, "config": config, "tokens": tokens, "attention_factor": float(factor), "inverse": compact(inverse)}
        if tokens == 131072:
            angles = torch.tensor(POSITIONS)[:, None].float() * inverse
            case["positions"] = POSITIONS
            case["cosines"] = [compact(row) for row in angles.cos() * factor]
            case["sines"] = [compact(row) for row in angles.sin() * factor]
        cases.append(case)
        print(f"{name}: {len(inverse)} frequencies, attention factor {factor:.6g}")
    with open(args.out, "w") as out:
        out.write("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")


if __name__ == "__main__":
    main()
