#!/usr/bin/env python3
"""Decode and prefill of one shape with random weights: `weir bench engine` in INT8 beside llama.cpp in Q8_0, by turns.

    CMAKE_ARGS=-DGGML_NATIVE=ON pip install --no-binary llama-cpp-python llama-cpp-python gguf numpy
    docs/benchmarks/llama_cpp.py --weir build/release/weir [--rounds 5] [--threads 2]

One round of each in turn; a figure is the median of the rounds, a ratio the median of the rounds' own. llama.cpp is given
what it is best at: one sequence, flash attention, keys and values in F16, every thread, a batch as long as the prompt."""
import argparse
import ctypes
import json
import pathlib
import statistics
import subprocess
import tempfile
import time

import gguf
import llama_cpp as lc
import numpy as np

HIDDEN, INNER, LAYERS, HEADS, KV_HEADS, HEAD, VOCABULARY = 896, 4864, 24, 14, 2, 64, 151936  # qwen2.5-0.5b
PROMPT, OUTPUT = 512, 32
CONTEXT = 1024


def write_model(path):
    rng = np.random.default_rng(1)
    out = gguf.GGUFWriter(path, "qwen2")
    out.add_block_count(LAYERS)
    out.add_context_length(CONTEXT)
    out.add_embedding_length(HIDDEN)
    out.add_feed_forward_length(INNER)
    out.add_head_count(HEADS)
    out.add_head_count_kv(KV_HEADS)
    out.add_rope_freq_base(1e6)
    out.add_layer_norm_rms_eps(1e-6)
    out.add_vocab_size(VOCABULARY)
    out.add_tokenizer_model("none")

    def matrix(name, rows, cols):
        values = rng.standard_normal((rows, cols), dtype=np.float32) * (cols ** -0.5)
        kind = gguf.GGMLQuantizationType.Q8_0
        out.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)

    def vector(name, size, value):
        out.add_tensor(name, np.full(size, value, dtype=np.float32))

    matrix("token_embd.weight", VOCABULARY, HIDDEN)
    vector("output_norm.weight", HIDDEN, 1)
    for layer in range(LAYERS):
        at = f"blk.{layer}."
        for name in ("attn_norm", "ffn_norm"):
            vector(f"{at}{name}.weight", HIDDEN, 1)
        for name, rows in (("q", HEADS * HEAD), ("k", KV_HEADS * HEAD), ("v", KV_HEADS * HEAD)):
            matrix(f"{at}attn_{name}.weight", rows, HIDDEN)
            vector(f"{at}attn_{name}.bias", rows, 0)
        matrix(f"{at}attn_output.weight", HIDDEN, HEADS * HEAD)
        matrix(f"{at}ffn_gate.weight", INNER, HIDDEN)
        matrix(f"{at}ffn_up.weight", INNER, HIDDEN)
        matrix(f"{at}ffn_down.weight", HIDDEN, INNER)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


class LlamaCpp:
    def __init__(self, path):
        lc.llama_backend_init()
        self.model = lc.llama_model_load_from_file(str(path).encode(), lc.llama_model_default_params())
        params = lc.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch = CONTEXT, PROMPT, PROMPT
        params.n_threads = params.n_threads_batch = options.threads
        self.context = lc.llama_init_from_model(self.model, params)
        assert self.context, "llama.cpp does not take the model"

    def decode(self, tokens):
        array = (lc.llama_token * len(tokens))(*tokens)
        assert lc.llama_decode(self.context, lc.llama_batch_get_one(array, len(tokens))) == 0
        lc.llama_synchronize(self.context)

    def best(self):
        logits = lc.llama_get_logits_ith(self.context, -1)
        return int(np.argmax(np.ctypeslib.as_array(ctypes.cast(logits, ctypes.POINTER(ctypes.c_float)), (VOCABULARY,))))

    def round(self):
        """Tokens a second: of a prefill, and of decoding behind 16 tokens as `weir bench engine` does it."""
        lc.llama_memory_clear(lc.llama_get_memory(self.context), True)
        begin = time.perf_counter()
        self.decode([7 * i % 5000 for i in range(PROMPT)])
        prefill = PROMPT / (time.perf_counter() - begin)
        lc.llama_memory_clear(lc.llama_get_memory(self.context), True)
        self.decode(list(range(16)))
        token = self.best()
        begin = time.perf_counter()
        for _ in range(OUTPUT):
            self.decode([token])
            token = self.best()
        return prefill, OUTPUT / (time.perf_counter() - begin)


def weir_round():
    said = json.loads(subprocess.run(
        [options.weir, "bench", "engine", "--shape", "qwen2.5-0.5b", "--quantization", "int8", "--device", "cpu", "--rounds", "1", "--batch", "1",
         "--prompt", str(PROMPT), "--output", str(OUTPUT), "--prefix", "0", "--threads", str(options.threads), "--json"],
        check=True, capture_output=True, text=True).stdout)
    decode = said["decode"][0]["tokens_per_s"]
    return said["prefill"]["tokens_per_s"]["value"], decode["value"], decode["share"], said["isa"]


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--weir", default=pathlib.Path(__file__).resolve().parents[2] / "build/release/weir")
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--threads", type=int, default=2)
options = parser.parse_args()
with tempfile.TemporaryDirectory() as folder:
    model = pathlib.Path(folder) / "model.gguf"
    write_model(model)
    peer = LlamaCpp(model)
    peer.round()
    ours, theirs = [], []
    for _ in range(options.rounds):
        theirs.append(peer.round())
        ours.append(weir_round())
median = statistics.median
print(f"qwen2.5-0.5b, random weights, {options.threads} threads, {ours[0][3]}; llama-cpp-python {lc.__version__}, median of {options.rounds}")
print("| | weir INT8, tokens/s | llama.cpp Q8_0, tokens/s | ratio |\n|---|---|---|---|")
for name, i in ((f"prefill of {PROMPT}", 0), ("decode, one client", 1)):
    ratio = median(o[i] / t[i] for o, t in zip(ours, theirs))
    print(f"| {name} | {median(o[i] for o in ours):.1f} | {median(t[i] for t in theirs):.1f} | {ratio:.2f} |")
print(f"decode reaches {median(o[2] for o in ours):.0%} of the read bandwidth measured in the same round")
