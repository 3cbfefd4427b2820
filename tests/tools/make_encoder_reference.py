#!/usr/bin/env python3
"""Makes the tiny random encoders of tests/engine/reference (bert-mean, bert-cls) and records what Hugging Face says of them.

    python3 tests/tools/make_encoder_reference.py [--out tests/engine/reference]
    python3 tests/tools/make_encoder_reference.py --model FOLDER      prints {"embedding": …} of a real model, a text a line on stdin

Needs torch, transformers and tokenizers (CPU). Each folder is as sentence-transformers would save it: config.json, safetensors,
tokenizer.json (WordPiece), modules.json, 1_Pooling. reference.json holds texts, the ids that `tokenizers` gives them, the last
hidden states of the first text, and each text's embedding: pooled, and normalised where the modules say so.
"""
import argparse
import json
import math
import os
import shutil
import sys

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import BertConfig, BertModel

WORDS = ("the of and to in a is that for it as was with be by on not he his but at are this have from or had an they which one you "
         "were her all she there would their we him been has when who will no more if out so said what up its about into than them "
         "only other new some could time these two may then do first any my now such like our over man me even most made after also "
         "did many before must through back years where much your way well down should because long each just state people those too "
         "mr how little good world make very year still see work life being day under cafe naive resume").split()
PIECES = "##s ##ing ##ed ##er ##ly ##es ##ion ##ment ##ness ##able ##al ##ity ##ive ##ful ##ize ##ous ##est ##ish ##less ##ship".split()
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
SIGNS = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~。、—“”…€αβγдежß中国日本"
TEXTS = [
    "The world is good.", "", " ", "a", "Café naïve résumé — WORLD!", "They've worked: peoples' lives, and 42 days (or more)…",
    "中国 and 日本 in 2024", "tab\tfeed\fnewline\r\nnbsp\u00a0zero\u200bwidth\u00adsoft", "ΑΒΓ ДЕЖ Straße €5", "x" * 120, "unknown ☃ snowman",
    "[CLS] in the text [MASK] and [SEP]", "ÀÉÎÕÜ åäö İ ǅ", "\u0041\u0301 a\u0301\u0323 \ufffd \x00 \x07 bell", "don't; can't; it's",
    "the longest of these texts has many words, so that most of its positions are used and a batch is ragged: one two three day",
]

BASE = {"architectures": ["BertModel"], "model_type": "bert", "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
        "intermediate_size": 48, "hidden_act": "gelu", "layer_norm_eps": 1e-12, "max_position_embeddings": 96, "type_vocab_size": 2,
        "pad_token_id": 0, "position_embedding_type": "absolute", "torch_dtype": "float32"}
# name: (config, seed, dtype, pooling, normalize, maximum of the sequence)
MODELS = {
    "bert-mean": ({**BASE}, 31, torch.float32, "mean", True, 64),
    "bert-cls": ({**BASE, "hidden_act": "gelu_new", "layer_norm_eps": 1e-6, "num_attention_heads": 2, "torch_dtype": "bfloat16"}, 32, torch.bfloat16,
                 "cls", False, None),
}


def vocabulary():
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + list(LETTERS + SIGNS) + ["##" + c for c in LETTERS] + WORDS + PIECES
    return {token: i for i, token in enumerate(dict.fromkeys(tokens))}


def tokenizer_json(lowercase):
    vocab = vocabulary()
    special = [{"id": vocab[t], "content": t, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
               for t in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")]
    around = [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "[SEP]", "type_id": 0}}]
    post = ({"type": "TemplateProcessing", "single": around, "pair": around + [{"Sequence": {"id": "B", "type_id": 1}}],
             "special_tokens": {t: {"id": t, "ids": [vocab[t]], "tokens": [t]} for t in ("[CLS]", "[SEP]")}} if lowercase else
            {"type": "BertProcessing", "sep": ["[SEP]", vocab["[SEP]"]], "cls": ["[CLS]", vocab["[CLS]"]]})
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": special,
            "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": lowercase},
            "pre_tokenizer": {"type": "BertPreTokenizer"}, "post_processor": post, "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
            "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": vocab}}


def write_json(path, value):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as out:
        json.dump(value, out, ensure_ascii=False)
        out.write("\n")


def read_json(path):
    with open(path) as source:
        return json.load(source)


def model_of(folder):
    config = BertConfig.from_dict(read_json(os.path.join(folder, "config.json")))
    config._attn_implementation = "eager"
    model = BertModel(config, add_pooling_layer=False).float().eval()
    tensors = {k: v.float() for k, v in load_file(os.path.join(folder, "model.safetensors")).items() if not k.startswith(("pooler", "embeddings.position_ids"))}
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    assert not unexpected and not missing, (missing, unexpected)
    return model


def embed(folder, model, tokenizer, text):
    """sentence-transformers' modules, one text at a time: hidden states, ids, the pooled and perhaps normalised vector."""
    pooling = read_json(os.path.join(folder, "1_Pooling", "config.json"))
    normalize = any(m["type"].endswith("Normalize") for m in read_json(os.path.join(folder, "modules.json")))
    ids = tokenizer.encode(text).ids
    with torch.no_grad():
        hidden = model(torch.tensor([ids])).last_hidden_state[0]
    vector = hidden[0] if pooling["pooling_mode_cls_token"] else hidden.mean(0)
    return hidden, ids, torch.nn.functional.normalize(vector, dim=0) if normalize else vector


def compact(row):
    return [float(f"{x:.9g}") for x in row.tolist()]


def make(out, name, config, seed, dtype, pooling, normalize, longest):
    folder = os.path.join(out, name)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    config = {**config, "vocab_size": len(vocabulary())}
    model = BertModel(BertConfig.from_dict(config), add_pooling_layer=True)
    g = torch.Generator().manual_seed(seed)
    tensors = {}
    for key, p in sorted(model.named_parameters()):
        if p.dim() == 1:
            value = (0 if key.endswith("bias") else 1) + 0.3 * torch.randn(p.shape, generator=g)
        else:
            value = (0.7 if "embeddings" in key else 1.5 / math.sqrt(p.shape[1])) * torch.randn(p.shape, generator=g)
        tensors[key] = value.to(dtype).contiguous()
    tensors["embeddings.position_ids"] = torch.arange(config["max_position_embeddings"])[None]  # what old checkpoints carry
    save_file(tensors, os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})
    os.chmod(os.path.join(folder, "model.safetensors"), 0o644)
    write_json(os.path.join(folder, "config.json"), config)
    write_json(os.path.join(folder, "tokenizer.json"), tokenizer_json(pooling == "mean"))
    write_json(os.path.join(folder, "1_Pooling/config.json"), {
        "word_embedding_dimension": config["hidden_size"], "pooling_mode_cls_token": pooling == "cls", "pooling_mode_mean_tokens": pooling == "mean",
        "pooling_mode_max_tokens": False, "pooling_mode_mean_sqrt_len_tokens": False})
    modules = [("0", "", "Transformer"), ("1", "1_Pooling", "Pooling")] + ([("2", "2_Normalize", "Normalize")] if normalize else [])
    write_json(os.path.join(folder, "modules.json"),
               [{"idx": int(i), "name": i, "path": path, "type": "sentence_transformers.models." + kind} for i, path, kind in modules])
    if longest:
        write_json(os.path.join(folder, "sentence_bert_config.json"), {"max_seq_length": longest, "do_lower_case": False})
    model = model_of(folder)
    tokenizer = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    rows = [embed(folder, model, tokenizer, text) for text in TEXTS]
    write_json(os.path.join(folder, "reference.json"),
               {"texts": TEXTS, "ids": [ids for _, ids, _ in rows], "decoded": [tokenizer.decode(ids) for _, ids, _ in rows],
                "hidden": [compact(row) for row in rows[0][0]], "embeddings": [compact(vector) for _, _, vector in rows]})
    size = sum(os.path.getsize(os.path.join(d, f)) for d, _, files in os.walk(folder) for f in files)
    print(f"{name}: vocabulary {config['vocab_size']}, longest text {max(len(ids) for _, ids, _ in rows)} tokens, {size / 1024:.0f} KiB")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "engine", "reference"))
    p.add_argument("--model", help="a real model's folder; texts come on stdin")
    args = p.parse_args()
    torch.set_num_threads(1)
    if args.model:
        model, tokenizer = model_of(args.model), Tokenizer.from_file(os.path.join(args.model, "tokenizer.json"))
        tokenizer.no_padding()
        tokenizer.no_truncation()
        for line in sys.stdin:
            print(json.dumps({"embedding": compact(embed(args.model, model, tokenizer, line.rstrip("\n"))[2])}))
        return
    for name, settings in MODELS.items():
        make(args.out, name, *settings)


if __name__ == "__main__":
    main()
