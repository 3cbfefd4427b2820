#!/usr/bin/env python3
"""Makes the checkpoints of tests/engine/reference/compressed-* in 8 and 4 bits with the compressed-tensors library itself, and records
what transformers says of their weights.

    python3 tests/tools/make_compressed_reference.py [--out tests/engine/reference]

Needs torch, transformers and compressed-tensors (CPU). Weights follow from fixed seeds; the scales are absmax, as the library
has it. The logits are those of a float32 model whose weights are q * scale: activations are not quantized.
"""
import argparse
import json
import pathlib

import torch
from compressed_tensors.compressors import ModelCompressor
from compressed_tensors.quantization import QuantizationConfig, apply_quantization_config
from compressed_tensors.compressors.pack_quantized.helpers import unpack_from_int32
from compressed_tensors.quantization.utils import calculate_qparams
from make_reference_logits import LLAMA, PROMPT_TOKENS, QWEN2, hugging_face

SMALL = {"hidden_size": 32, "num_attention_heads": 2, "num_key_value_heads": 1, "intermediate_size": 48, "vocab_size": 97}
INT8 = {"weights": {"num_bits": 8, "type": "int", "strategy": "channel", "symmetric": True},
        "input_activations": {"num_bits": 8, "type": "int", "strategy": "token", "symmetric": True, "dynamic": True}}
FP8 = {"weights": {"num_bits": 8, "type": "float", "strategy": "channel", "symmetric": True},
       "input_activations": {"num_bits": 8, "type": "float", "strategy": "token", "symmetric": True, "dynamic": True}}
FP8_STATIC = {"weights": {"num_bits": 8, "type": "float", "strategy": "tensor", "symmetric": True},
              "input_activations": {"num_bits": 8, "type": "float", "strategy": "tensor", "symmetric": True}}
INT4 = {"weights": {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 32, "symmetric": False}}

# name: (config, seed, scheme, format)
MODELS = {
    "compressed-int8": ({**QWEN2, **SMALL, "torch_dtype": "bfloat16"}, 31, INT8, "int-quantized"),
    "compressed-fp8": ({**LLAMA, **SMALL, "head_dim": 16, "torch_dtype": "bfloat16"}, 32, FP8, "float-quantized"),
    "compressed-fp8-static": ({**LLAMA, **SMALL, "head_dim": 16, "tie_word_embeddings": True, "torch_dtype": "float16"}, 33, FP8_STATIC,
                              "float-quantized"),
    "compressed-int4": ({**QWEN2, **SMALL, "hidden_size": 64, "intermediate_size": 96, "torch_dtype": "bfloat16"}, 34, INT4, "pack-quantized"),
}


def dtype_of(config):
    return getattr(torch, config["torch_dtype"])


def fill(model, config, seed):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            drawn = torch.randn(p.shape, generator=generator)
            if p.dim() == 1:
                p.copy_(drawn * 0.2 + (0 if name.endswith("bias") else 1))
            else:
                p.copy_(drawn * 1.5 / p.shape[1] ** 0.5 if "embed" not in name else drawn)


def set_scales(model):
    for module in model.modules():
        scheme = getattr(module, "quantization_scheme", None)
        if scheme is None:
            continue
        w = module.weight.float()
        if scheme.weights.strategy == "group":
            w = w.unflatten(1, (-1, scheme.weights.group_size))
        low, high = (w.amin(), w.amax()) if scheme.weights.strategy == "tensor" else (w.amin(-1, keepdim=True), w.amax(-1, keepdim=True))
        scale, zero = calculate_qparams(low, high, scheme.weights)
        module.weight_scale.data.copy_(scale.reshape(module.weight_scale.shape))
        if hasattr(module, "weight_zero_point"):
            module.weight_zero_point.data.copy_(zero.reshape(module.weight_zero_point.shape))
        if hasattr(module, "input_scale"):
            module.input_scale.data.fill_(0.01)


def dequantized(folder, config):
    """A float32 model of what the folder holds."""
    from safetensors.torch import load_file
    tensors = load_file(folder / "model.safetensors")
    model = hugging_face({**config, "torch_dtype": "float32"}).float().eval()
    state = model.state_dict()
    for name in state:
        if name == "lm_head.weight" and config["tie_word_embeddings"]:
            state[name] = tensors["model.embed_tokens.weight"].float()
            continue
        scale = tensors.get(name + "_scale")
        if name in tensors:
            value = tensors[name].float()
            state[name] = value if scale is None else value * scale.float()
            continue
        shape = torch.Size(tensors[name + "_shape"].tolist())
        numbers = unpack_from_int32(tensors[name + "_packed"], 4, shape).float().unflatten(1, (scale.shape[1], -1))
        zeros = unpack_from_int32(tensors[name + "_zero_point"], 4, torch.Size(scale.shape), packed_dim=0).float()
        state[name] = ((numbers - zeros[..., None]) * scale.float()[..., None]).flatten(1)
    model.load_state_dict(state)
    return model


def make(folder, config, seed, scheme, form):
    model = hugging_face(config).to(dtype_of(config)).eval()
    fill(model, config, seed)
    quantization = QuantizationConfig(config_groups={"group_0": {"targets": ["Linear"], **scheme}}, format=form, ignore=["lm_head"])
    apply_quantization_config(model, quantization)
    set_scales(model)
    compressor = ModelCompressor.from_pretrained_model(model, form)
    compressor.compress_model(model)
    model.save_pretrained(folder)
    compressor.update_config(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    generator = torch.Generator().manual_seed(seed)
    prompt = torch.randint(3, config["vocab_size"], (PROMPT_TOKENS,), generator=generator)
    with torch.no_grad():
        logits = dequantized(folder, config)(prompt[None]).logits[0]
    positions = [0, 7, PROMPT_TOKENS - 1]
    reference = {"prompt": prompt.tolist(), "positions": positions,
                 "logits": [[float(f"{v:.9g}") for v in logits[p].tolist()] for p in positions],
                 "argmax": logits.argmax(-1).tolist(), "max_abs": float(logits.abs().max())}
    (folder / "reference.json").write_text(json.dumps(reference) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="tests/engine/reference", type=pathlib.Path)
    out = parser.parse_args().out
    for name, recipe in MODELS.items():
        make(out / name, *recipe)
        print(name)


if __name__ == "__main__":
    main()
