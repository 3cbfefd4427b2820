#!/usr/bin/env python3
"""What number formats cost a model's answers: the tables of quality.md, made with `weir quantize` and `weir eval`.

    docs/benchmarks/quality.py --weir build/release/weir [--stories FOLDER]

--stories: stories260K (karpathy/tinyllamas) in Hugging Face form, which is not part of this repository. Takes a few minutes."""
import argparse
import json
import pathlib
import random
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "engine" / "builtin"))
import dialogue  # noqa: E402

JUDGED = 500        # held-out conversations of the built-in model
CALIBRATION = 256   # conversations that training may see
WORDS = 8           # of a story that stories260K goes on from
ANSWER_TOKENS = 24  # that it is judged by
ROWS = [  # name, `weir quantize --to`, with calibration, type of keys and values
    ("F32", None, False, "f32"),
    ("BF16", "bf16", False, "f32"),
    ("INT8", "int8", False, "f32"),
    ("INT8, SmoothQuant", "int8", True, "f32"),
    ("FP8", "fp8", False, "f32"),
    ("INT4", "int4", False, "f32"),
    ("INT4, SmoothQuant", "int4", True, "f32"),
    ("KV BF16", None, False, "bf16"),
    ("KV F16", None, False, "f16"),
    ("KV INT8", None, False, "int8"),
    ("KV FP8", None, False, "fp8"),
    ("INT8, SmoothQuant, KV INT8", "int8", True, "int8"),
]


def weir(*args):
    return subprocess.run([options.weir, *map(str, args)], check=True, capture_output=True, text=True).stdout


def lines(path, objects):
    path.write_text("".join(json.dumps(o, ensure_ascii=False) + "\n" for o in objects))
    return path


def evaluate(model, kv, data, tokens):
    return json.loads(weir("eval", "--model", model, "--data", data, "--kv-dtype", kv, "--max-tokens", tokens, "--json"))


def conversations(seed, count, held_out):
    rng = random.Random(seed)
    talks = [dialogue.conversation(rng, want_held_out=held_out, turns=rng.choice([1, 1, 1, 2, 3])) for _ in range(count)]
    return [{"messages": t.messages[:-1], "expected": t.messages[-1]["content"]} for t in talks]


def table(title, model, folder, calibration, texts, answers):
    """`texts` for the perplexity, `answers` for what is exact; one file may serve both."""
    print(f"## {title}\n")
    print("| numbers | perplexity | against F32 | exact | against F32 | weights, MB | against 16 bits |\n|---|---|---|---|---|---|---|")
    first = halves = None
    for name, to, smooth, kv in ROWS:
        served = model
        if to is not None:
            served = folder / (to + ("-smooth" if smooth else ""))
            if not served.exists():
                weir("quantize", "--model", model, "--to", to, "--out", served, *(["--calibrate", calibration] if smooth else []))
        judged = evaluate(served, kv, texts, 0 if answers != texts else 128)
        exact = evaluate(served, kv, answers, ANSWER_TOKENS) if answers != texts else judged
        megabytes = judged["weight_bytes"] / 1e6
        first = first or (judged["perplexity"], exact["exact"])
        halves = megabytes if to == "bf16" else halves
        worse = judged["perplexity"] / first[0] - 1
        fewer = exact["exact"] / first[1] - 1
        size = f"{megabytes / halves - 1:+.1%}" if halves and to not in (None, "bf16") else ""
        print(f"| {name} | {judged['perplexity']:.4f} | {worse:+.2%} | {exact['exact']} of {exact['answers']} | {fewer:+.2%} | {megabytes:.2f} | {size} |", flush=True)
    print()


def builtin(folder):
    data = lines(folder / "judged.jsonl", conversations(7, JUDGED, True))
    calibration = lines(folder / "calibration.jsonl", conversations(8, CALIBRATION, False))
    table("builtin:weir-tiny", "builtin:weir-tiny", folder, calibration, data, data)


def stories(folder):
    """Half of the stories calibrate, the others judge; exact is to go on as float32 does."""
    texts = (ROOT / "engine" / "eval" / "stories.txt").read_text().splitlines()
    (folder / "calibration.txt").write_text("\n".join(texts[::2]) + "\n")
    (folder / "judged.txt").write_text("\n".join(texts[1::2]) + "\n")
    prompts = [" ".join(text.split()[at:at + WORDS]) for text in texts for at in (0, 20, 40)]
    wanted = []
    for prompt in filter(None, prompts):
        said = json.loads(weir("generate", "--model", options.stories, "--prompt", prompt, "--raw", "--temperature", 0, "--max-tokens", ANSWER_TOKENS, "--device", "cpu", "--json"))
        wanted.append({"prompt": prompt, "expected": said["text"]})
    table("stories260K", options.stories, folder, folder / "calibration.txt", folder / "judged.txt", lines(folder / "answers.jsonl", wanted))


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--weir", default=ROOT / "build" / "release" / "weir")
parser.add_argument("--stories")
options = parser.parse_args()
with tempfile.TemporaryDirectory() as place:
    for name, make in (("builtin", builtin), ("stories", stories)):
        if name == "stories" and not options.stories:
            continue
        (pathlib.Path(place) / name).mkdir()
        make(pathlib.Path(place) / name)
