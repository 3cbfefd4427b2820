#!/usr/bin/env python3
"""Makes tests/engine/reference/fp8-blocks, a checkpoint as Qwen and DeepSeek publish theirs (quant_method "fp8": one scale a block
of 128 × 128 weights, NAME_scale_inv), and records what transformers says of its weights.

    python3 tests/tools/make_fp8_reference.py [--out tests/engine/reference]

Needs torch and transformers (CPU). Weights follow from a fixed seed. The logits are those of a float64 model whose weights are
q * scale: activations are not quantized.
"""
import argparse
import json
import pathlib

import torch
from make_reference_logits import PROMPT_TOKENS, QWEN3, hugging_face
from safetensors.torch import save_file

BLOCK = 128
LARGEST = 448.0
SEED = 51
# Widths that are no multiple of the block, so that its last row and column are cut.
CONFIG = {**QWEN3, "hidden_size": 144, "intermediate_size": 144, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 32,
          "num_hidden_layers": 1, "vocab_size": 97, "torch_dtype": "bfloat16"}
QUANTIZATION = {"activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8", "weight_block_size": [BLOCK, BLOCK],
                "modules_to_not_convert": ["lm_head"]}


def quantized(w):
    """The matrix in FP8, and its scales [blocks of rows, blocks of columns]."""
    rows, columns = (-(-side // BLOCK) for side in w.shape)
    values = torch.empty(w.shape, dtype=torch.float8_e4m3fn)
    scales = torch.empty(rows, columns, dtype=torch.bfloat16)
    for r in range(rows):
        for c in range(columns):
            at = (slice(r * BLOCK, (r + 1) * BLOCK), slice(c * BLOCK, (c + 1) * BLOCK))
            scales[r, c] = w[at].abs().max() / LARGEST
            values[at] = (w[at] / scales[r, c].double()).clamp(-LARGEST, LARGEST).to(torch.float8_e4m3fn)
    return values, scales


def widened(values, scales):
    return values.double() * scales.double().repeat_interleave(BLOCK, 0)[:values.shape[0]].repeat_interleave(BLOCK, 1)[:, :values.shape[1]]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="tests/engine/reference", type=pathlib.Path)
    folder = parser.parse_args().out / "fp8-blocks"
    folder.mkdir(exist_ok=True)
    generator = torch.Generator().manual_seed(SEED)
    model = hugging_face(CONFIG).double().eval()
    tensors, state = {}, {}
    for name, p in model.state_dict().items():
        drawn = torch.randn(p.shape, generator=generator).double()
        if "_proj" not in name:
            value = drawn if p.dim() == 2 else drawn * 0.2 + 1
            tensors[name] = value.bfloat16()
            state[name] = tensors[name].double()
            continue
        drawn *= torch.linspace(0.2, 3.0, p.shape[1]) / p.shape[1] ** 0.5  # blocks differ
        tensors[name], tensors[name + "_scale_inv"] = quantized(drawn)
        state[name] = widened(tensors[name], tensors[name + "_scale_inv"])
    model.load_state_dict(state)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps({**CONFIG, "quantization_config": QUANTIZATION}, indent=1) + "\n")
    prompt = torch.randint(3, CONFIG["vocab_size"], (PROMPT_TOKENS,), generator=generator)
    with torch.no_grad():
        logits = model(prompt[None]).logits[0]
    positions = [0, 7, PROMPT_TOKENS - 1]
    reference = {"prompt": prompt.tolist(), "positions": positions,
                 "logits": [[float(f"{v:.9g}") for v in logits[p].tolist()] for p in positions],
                 "argmax": logits.argmax(-1).tolist(), "max_abs": float(logits.abs().max())}
    (folder / "reference.json").write_text(json.dumps(reference) + "\n")


if __name__ == "__main__":
    main()
