#!/usr/bin/env python3
"""Bytes, operations and the floor of a decode and a prefill step on a GPU, from the models' shapes: the tables of
docs/performance.md. `performance.py` prints them; `performance.py --check` says whether the document still holds them."""
import pathlib
import sys

MODELS = {  # hidden, layers, heads, kv_heads, head_dim, intermediate, vocab (each model's config.json)
    "llama-3.1-8b": (4096, 32, 32, 8, 128, 14336, 128256),
    "qwen2.5-7b": (3584, 28, 28, 4, 128, 18944, 152064),
}
WEIGHT_BYTES = {"BF16": 2.0, "FP8": 1.0, "INT8": 1.0, "INT4": 0.5 + 4 / 128}  # INT4: scale and zero of 128 in four bytes
HEAD_BYTES = {**WEIGHT_BYTES, "INT4": 1.0}  # of the vocabulary, which `quantization: int4` leaves in INT8
KV_BYTES = {"BF16": 2.0, "FP8": 1.0 + 4 / 128, "INT8": 1.0 + 4 / 128, "INT4": 2.0}  # 8 bits: an f32 scale for 128
RATE = {"BF16": 1.0, "FP8": 2.0, "INT8": 2.0, "INT4": 1.0}  # of the matrix units, BF16 = 1; INT4 is multiplied as BF16
CARDS = {  # bytes/s of a copy (read and written together), bf16 operations/s
    "H200": (4.3e12, 788e12),
    "H100": (2.9e12, 788e12),
}
BUS = 50e9  # bytes/s of a copy between pinned host memory and an H200 over PCIe 5
KERNEL_GAP_US = 1.2  # from one kernel's last thread to the next one's first, within a graph


def weights(model):
    h, layers, heads, kv, dim, inter, vocab = MODELS[model]
    layer = h * (heads + 2 * kv) * dim + heads * dim * h + 3 * h * inter
    return layers * layer + vocab * h, vocab * h, layers * layer


def activation_bytes(model, tokens, samples):
    """Between the kernels: what one writes and the next reads (engine/backend/cuda/decoder_walk.cpp)."""
    h, layers, heads, kv, dim, inter, vocab = MODELS[model]
    q, qkv = heads * dim, (heads + 2 * kv) * dim
    norms = 2 * h * (4 + 2 + 4 + 2)      # residual read and written (f32), delta read, x written (bf16)
    products = 2 * (h + h + q + inter) + 2 * (qkv + h + 2 * inter + h)  # x read; y written
    others = 2 * (qkv + q) + 2 * (q + q) + 2 * (2 * inter + inter)      # rope; attention; gate
    return tokens * layers * (norms + products + others) + samples * vocab * 4 * 4


def kernels(model):
    return MODELS[model][1] * 10 + 5


def step(model, form, tokens, samples, keys_read, pairs):
    """Bytes and operations: `keys_read` keys of a layer over all rows, `pairs` of query and key."""
    h, layers, heads, kv, dim, inter, vocab = MODELS[model]
    _, head, body = weights(model)
    bytes_read = body * WEIGHT_BYTES[form] + head * HEAD_BYTES[form] + keys_read * layers * 2 * kv * dim * KV_BYTES[form]
    bytes_all = bytes_read + activation_bytes(model, tokens, samples) + tokens * layers * 2 * kv * dim * KV_BYTES[form]
    products = 2 * body * tokens + 2 * head * samples
    attention = 4 * pairs * heads * dim * layers  # in bf16 in every format
    return bytes_all, products, attention


def floor_s(card, form, bytes_all, products, attention):
    bandwidth, rate = CARDS[card]
    return max(bytes_all / bandwidth, products / (rate * RATE[form]) + attention / rate)


def decode_table(model):
    rows = ["| format | batch | context | GB | Tera-operations | floor H200 ms | tokens/s | bound | gaps ms | floor H100 ms |",
            "|---|---|---|---|---|---|---|---|---|---|"]
    for form in WEIGHT_BYTES:
        for batch in (1, 16, 64, 256):
            for context in (1000, 2000):
                b, p, a = step(model, form, batch, batch, batch * context, batch * context)
                h200, h100 = floor_s("H200", form, b, p, a), floor_s("H100", form, b, p, a)
                bound = "memory" if h200 == b / CARDS["H200"][0] else "matrix"
                gaps = kernels(model) * KERNEL_GAP_US / 1000
                rows.append(f"| {form} | {batch} | {context} | {b / 1e9:.2f} | {(p + a) / 1e12:.3f} | {h200 * 1e3:.2f} | "
                            f"{batch / h200:,.0f} | {bound} | {gaps:.2f} | {h100 * 1e3:.2f} |")
    return rows


def prefill_table(model):
    rows = ["| format | tokens | GB | Tera-operations | floor H200 ms | tokens/s | bound | floor H100 ms |",
            "|---|---|---|---|---|---|---|---|"]
    for form in WEIGHT_BYTES:
        for prompt in (512, 2048, 8192):
            pairs = prompt * (prompt + 1) / 2
            b, p, a = step(model, form, prompt, 1, prompt, pairs)
            h200, h100 = floor_s("H200", form, b, p, a), floor_s("H100", form, b, p, a)
            bound = "memory" if h200 == b / CARDS["H200"][0] else "matrix"
            rows.append(f"| {form} | {prompt} | {b / 1e9:.2f} | {(p + a) / 1e12:.2f} | {h200 * 1e3:.2f} | "
                        f"{prompt / h200:,.0f} | {bound} | {h100 * 1e3:.2f} |")
    return rows


def tier_table(model):
    """A prefix on the host: fetched over the bus, or computed anew."""
    h, layers, heads, kv, dim, inter, vocab = MODELS[model]
    rows = ["| format | KiB a token | fetched, tokens/s | 512 tokens: fetched, computed ms | 8192 tokens: fetched, computed ms | "
            "beside a decode step of batch 64 free: tokens |", "|---|---|---|---|---|---|"]
    for form in WEIGHT_BYTES:
        token_bytes = layers * 2 * kv * dim * KV_BYTES[form]
        cells = []
        for prompt in (512, 8192):
            b, p, a = step(model, form, prompt, 1, prompt, prompt * (prompt + 1) / 2)
            fetched, computed = prompt * token_bytes / BUS, floor_s("H200", form, b, p, a)
            cells.append(f"{fetched * 1e3:.2f}, {computed * 1e3:.2f}: {computed / fetched:.1f}×")
        b, p, a = step(model, form, 64, 64, 64 * 1000, 64 * 1000)
        bandwidth, rate = CARDS["H200"]
        free = (b / bandwidth - p / (rate * RATE[form]) - a / rate) * rate * RATE[form] / (2 * weights(model)[2])
        rows.append(f"| {form} | {token_bytes / 1024:.1f} | {BUS / token_bytes:,.0f} | {cells[0]} | {cells[1]} | {free:.0f} |")
    return rows


def tables():
    lines = []
    for model in MODELS:
        all_weights = weights(model)[0]
        lines += [f"### {model}: {all_weights / 1e9:.2f} billion weights read by every step", "", "A decode step:", ""]
        lines += decode_table(model) + ["", "A prefill step of one prompt:", ""] + prefill_table(model)
        lines += ["", "A prefix on the host:", ""] + tier_table(model) + [""]
    return "\n".join(lines)


def main():
    text = tables()
    if sys.argv[1:] == ["--check"]:
        document = (pathlib.Path(__file__).parent / "performance.md").read_text()
        if text not in document:
            print("docs/performance.md does not hold what docs/performance.py computes")
            return 1
        return 0
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
