#!/usr/bin/env python3
"""Trains builtin:weir-tiny from nothing but text that families.py makes up, and writes it as a Hugging Face folder.

    python3 engine/builtin/train.py --minutes 51 --out engine/builtin/weir-tiny     train, export, evaluate
    python3 engine/builtin/train.py --eval-only --out engine/builtin/weir-tiny      evaluate what is there
        --check                     also compare logits, token ids and chat template with Hugging Face transformers

Needs torch, tokenizers, safetensors and numpy; one CPU thread is enough. The data, the start weights and the order of the
batches follow from --seed; the learning rate follows the processor time used, or the step count where --steps is given,
which makes a run repeatable to the bit on one machine. The weights (a moving average) are exported several times on the way,
and each time the families that still go wrong are drawn more often.
"""
import argparse
import copy
import json
import os
import random
import sys
import time

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import torch
import torch.nn.functional as f

import dialogue
import families
import features
import model
import vocabulary

POOL_CONVERSATIONS = 2048   # drawn at once, sorted by length, cut into batches
MEMORY_SHARE = 0.12         # twice what evaluation draws: what the user said earlier is the slowest thing to learn
EVALUATED = 2000
PRACTICE = 600              # conversations that decide which families to practise
EVAL_SEED = 20_000_003


class Muon:
    """Momentum whose update is made orthogonal by Newton-Schulz steps (Jordan et al. 2024, "Muon"): for the 2-D weights inside
    the layers. Here it reaches a given loss in about half of AdamW's steps."""

    def __init__(self, params, momentum=0.95, decay=0.01):
        self.params, self.momentum, self.decay = list(params), momentum, decay
        self.velocity = [torch.zeros_like(p) for p in self.params]

    @torch.no_grad()
    def step(self, rate):
        alike = {}              # matrices of one shape go through the steps together, which costs fewer calls
        for p, v in zip(self.params, self.velocity):
            v.lerp_(p.grad, 1 - self.momentum)
            x = p.grad.lerp(v, self.momentum)
            tall = x.shape[0] > x.shape[1]
            x = x.T if tall else x
            alike.setdefault(x.shape, []).append((p, tall, x / (x.norm() + 1e-7)))
        for group in alike.values():
            x = torch.stack([x for _, _, x in group])
            for _ in range(5):
                a = x @ x.mT
                x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
            for (p, tall, _), y in zip(group, x):
                p.mul_(1 - rate * self.decay).add_(y.T if tall else y, alpha=-rate * max(1, p.shape[0] / p.shape[1]) ** 0.5)


def batches(framer, seed, tokens_max, weights):
    """Yields (ids, mask): rows of similar length, padded on the right, at most tokens_max tokens a batch. `weights` says how
    often each family is drawn; the caller may change it in place."""
    rng = random.Random(seed)
    while True:
        rows = framer.encode([dialogue.conversation(rng, weights=weights, memory_share=MEMORY_SHARE) for _ in range(POOL_CONVERSATIONS)])
        rows.sort(key=lambda row: len(row[0]))
        cut, groups = [], []
        for row in rows:
            if cut and len(row[0]) * (len(cut) + 1) > tokens_max:
                groups.append(cut)
                cut = []
            cut.append(row)
        groups.append(cut)
        rng.shuffle(groups)
        yield from (padded(group, framer.pad) for group in groups)


def padded(rows, pad):
    width = max(len(ids) for ids, _ in rows)
    ids = torch.tensor([ids + [pad] * (width - len(ids)) for ids, _ in rows])
    mask = torch.tensor([mask + [False] * (width - len(mask)) for _, mask in rows])
    return ids[:, :model.CONTEXT_TOKENS], mask[:, :model.CONTEXT_TOKENS]


def loss_of(network, embedding, ids, mask):
    hidden = network.hidden(ids[:, :-1], embedding)[mask[:, 1:]]
    return f.cross_entropy(hidden @ embedding.T, ids[:, 1:][mask[:, 1:]])


@torch.no_grad()
def exact(network, framer, conversations):
    """For each conversation: whether greedy decoding gives the last answer exactly. Greedy decoding equals the expected text
    if and only if every token is the most likely one after the expected ones before it, so one forward pass decides."""
    encoded = framer.encode(conversations)
    order = sorted(range(len(encoded)), key=lambda i: len(encoded[i][0]))
    right = [False] * len(encoded)
    for start in range(0, len(order), 32):
        chosen = order[start:start + 32]
        rows = [encoded[i] for i in chosen]
        ids, _ = padded(rows, framer.pad)
        best = network.logits(network.hidden(ids)).argmax(-1)
        for r, (row, i) in enumerate(zip(rows, chosen)):
            end = min(len(row[0]), ids.shape[1])
            begin = end
            while begin > 0 and row[1][begin - 1]:
                begin -= 1
            right[i] = bool((best[r, begin - 1:end - 1] == ids[r, begin:end]).all())
    return right


@torch.no_grad()
def generate(network, framer, messages, tokens_max=200):
    text = "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in messages) + "<|im_start|>assistant\n"
    ids = framer.tokenizer.encode(text, add_special_tokens=False).ids
    start = len(ids)
    while len(ids) < min(start + tokens_max, network.s.context):
        token = int(network.logits(network.hidden(torch.tensor([ids]))[0, -1]).argmax())
        if token in (framer.eos, framer.pad):
            break
        ids.append(token)
    return framer.tokenizer.decode(ids[start:])


QUICK = [("", "Hello!"), ("", "Say hello to the world in one sentence, please."), ("", "What is the capital of France?"), ("", "What is 2+2?"), ("", "Who are you?"),
         ("Always answer in JSON.", "What is the capital of Japan?"), ("Answer in upper case.", "What colour is the sky?"), ("Your name is Ada.", "What is your name?"),
         ("You are a helpful assistant.", "Count from 1 to 30."), ("", "What is a flurbigorn?"), ("", "Tell me a story about a cat called Luna.")]


def evaluate(network, framer, count=EVALUATED):
    rng = random.Random(EVAL_SEED)
    talks = [dialogue.conversation(rng, want_held_out=True) for _ in range(count)]
    right = exact(network, framer, talks)
    for title, key in (("style", lambda t: t.style), ("family", lambda t: t.family), ("turns", lambda t: min(sum(m["role"] == "user" for m in t.messages), 6))):
        table = {}
        for talk, ok in zip(talks, right):
            table.setdefault(key(talk), []).append(ok)
        print(title + ": " + ", ".join(f"{k} {sum(v)}/{len(v)}" for k, v in sorted(table.items(), key=lambda kv: sum(kv[1]) / len(kv[1]))))
    print(f"held-out exact match: {sum(right)}/{count} = {100 * sum(right) / count:.2f}%", flush=True)
    return sum(right) / count


def practise_the_weak(network, framer, seed, weights):
    """Sets how often each family is drawn by how often it goes wrong now. Looks only at combinations that training may see."""
    rng = random.Random(seed)
    talks = [dialogue.conversation(rng, turns=1) for _ in range(PRACTICE)]
    wrong, seen = [1] * len(weights), [2] * len(weights)
    for talk, ok in zip(talks, exact(network, framer, talks)):
        if talk.source >= 0:
            wrong[talk.source] += not ok
            seen[talk.source] += 1
    for i, base in enumerate(families.WEIGHTS):
        weights[i] = base * (0.25 + 3 * wrong[i] / seen[i])


def export(folder, network, framer):
    os.makedirs(folder, exist_ok=True)
    model.save(folder, network, framer.eos, framer.pad)
    vocabulary.save(folder, framer.tokenizer, network.s.context)


def write_eval(path, count=160, bytes_max=60_000):
    """Writes held-out conversations and the answers they expect, one JSON object a line."""
    rng = random.Random(EVAL_SEED + 1)
    size = 0
    with open(path, "w") as out:
        for _ in range(count):
            turns = rng.choice([1, 1, 1, 2, 3])
            talk = dialogue.conversation(rng, want_held_out=True, turns=turns)
            line = json.dumps({"messages": talk.messages[:-1], "expected": talk.messages[-1]["content"], "family": talk.family, "style": talk.style},
                              ensure_ascii=False) + "\n"
            size += len(line.encode())
            if size > bytes_max:
                break
            out.write(line)


def check(folder, network, framer):
    """Compares with transformers: token ids of whole rendered conversations, then logits."""
    from transformers import AutoModelForCausalLM, AutoTokenizer
    theirs, words = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval(), AutoTokenizer.from_pretrained(folder)
    rng, worst, largest = random.Random(EVAL_SEED + 2), 0.0, 0.0
    for _ in range(40):
        talk = dialogue.conversation(rng)
        ids = framer.encode([talk])[0][0][:model.CONTEXT_TOKENS]
        rendered = words.apply_chat_template(talk.messages, tokenize=False)
        assert words.encode(rendered)[:len(ids)] == ids and words.decode(ids) == rendered[:len(words.decode(ids))], rendered
        with torch.no_grad():
            ours, hf = network.logits(network.hidden(torch.tensor([ids]))), theirs(torch.tensor([ids])).logits
        worst, largest = max(worst, float((ours - hf).abs().max())), max(largest, float(hf.abs().max()))
    print(f"transformers {type(theirs).__name__}: same tokens, logits within {worst:.2e} (largest logit {largest:.1f})")


def check_file(path, network, framer):
    """Says how many of the recorded held-out conversations this model answers exactly: the number an engine has to reach."""
    with open(path) as source:
        lines = [json.loads(line) for line in source]
    talks = [dialogue.Conversation([*line["messages"], {"role": "assistant", "content": line["expected"]}]) for line in lines]
    print(f"{os.path.basename(path)}: {sum(exact(network, framer, talks))}/{len(talks)}")


def learn(args, framer):
    torch.manual_seed(args.seed)
    if args.start_from:
        network = model.load(args.start_from)
    else:
        network = model.Network(model.Shape(framer.tokenizer.get_vocab_size(), args.hidden, args.layers, args.heads, args.kv_heads, inner=args.inner))
    sums = features.Sum(framer.tokenizer, network.s.hidden)
    if args.start_from:
        sums.start_from(framer.tokenizer, vocabulary.load(args.start_from), network.model.embed_tokens.weight)
        network.model.embed_tokens = torch.nn.Embedding.from_pretrained(sums().detach())
        network.s.vocab = sums.vocab
    print(f"{sum(p.numel() for p in network.parameters())} parameters, {sums.table.shape[0]} features", flush=True)
    network.model.embed_tokens.requires_grad_(False)
    trained = [p for p in network.parameters() if p.requires_grad]
    muon = Muon(p for p in trained if p.dim() == 2)
    adam = torch.optim.AdamW([*(p for p in trained if p.dim() != 2), sums.table], betas=(0.9, 0.98), weight_decay=0.0)
    learnt = torch.nn.ModuleList([network, sums])
    average = copy.deepcopy(learnt)
    weights = list(families.WEIGHTS)
    weights[families.FUNCTIONS.index(families.repeat)] *= 3     # copying comes first: much else is built on it
    step, spent = 0, 0.0
    if args.state and os.path.exists(args.state):
        saved = torch.load(args.state)
        learnt.load_state_dict(saved["learnt"])
        average.load_state_dict(saved["average"])
        adam.load_state_dict(saved["adam"])
        muon.velocity, weights, step = saved["velocity"], saved["weights"], saved["step"]
    elif args.start_from and not args.new_words:
        practise_the_weak(network, framer, args.seed, weights)

    def finished():
        average[0].model.embed_tokens.weight.copy_(average[1]())
        export(args.out, average[0], framer)
        if args.state:
            torch.save({"learnt": learnt.state_dict(), "average": average.state_dict(), "adam": adam.state_dict(), "velocity": muon.velocity,
                        "weights": weights, "step": step}, args.state + ".new")
            os.replace(args.state + ".new", args.state)

    clock = time.time if args.wall else time.process_time
    began, began_processor, seen, recent, exports, first = clock(), time.process_time(), 0, [], 0, step
    for ids, mask in batches(framer, args.seed + step, args.batch_tokens, weights):
        progress = (step - first) / args.steps if args.steps else (clock() - began) / (60 * args.minutes)
        if progress >= 1:
            break
        # Warm up over 100 steps, hold, then fall in a straight line over the last part of the run.
        rate = min(1, (step + 1) / 100, (1 - progress) / args.fall)
        loss = loss_of(network, sums(), ids, mask)
        loss.backward()
        muon.step(args.rate * rate)
        adam.param_groups[0]["lr"] = args.embedding_rate * rate
        adam.step()
        learnt.zero_grad(set_to_none=True)
        with torch.no_grad():
            for a, p in zip(average.parameters(), learnt.parameters()):
                a.lerp_(p, 1 - min(0.995, step / (step + 10)))
        step += 1
        seen += ids.numel()
        recent.append(loss.item())
        if step % 50 == 0:
            spent = time.process_time() - began_processor
            print(f"step {step} {clock() - began:.0f}s ({spent:.0f} processor) loss {sum(recent) / len(recent):.4f} rate {rate:.2f} "
                  f"{seen / spent:.0f} tokens a CPU second", flush=True)
            recent = []
        if progress * args.exports >= exports + 1:
            exports += 1
            with torch.no_grad():
                finished()
            evaluate(average[0], framer, 300)
            practise_the_weak(average[0], framer, args.seed + step, weights)
    with torch.no_grad():
        finished()
    print(f"{step} steps, {seen} tokens, {time.process_time() - began_processor:.0f} CPU seconds", flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", required=True, help="the model folder to write, or to read with --eval-only")
    p.add_argument("--minutes", type=float, default=51, help="training time, in minutes of processor time")
    p.add_argument("--wall", action="store_true", help="measure those minutes by the clock instead")
    p.add_argument("--state", help="a file that carries the whole state of a run into the next one, which continues it")
    p.add_argument("--fall", type=float, default=0.7, help="the share of the run over which the learning rate falls")
    p.add_argument("--exports", type=int, default=8, help="how often to export and weigh families anew during the run")
    p.add_argument("--start-from", help="continue from this folder's weights and tokenizer")
    p.add_argument("--new-words", action="store_true", help="with --start-from: learn a new tokenizer and carry the embedding over to it")
    p.add_argument("--steps", type=int, default=0, help="train this many steps instead, whatever the time")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--seed", type=int, default=7)
    p.add_argument("--batch-tokens", type=int, default=4096)
    p.add_argument("--rate", type=float, default=0.02, help="Muon's learning rate, for the weights inside the layers")
    p.add_argument("--embedding-rate", type=float, default=0.004, help="AdamW's learning rate, for the embedding and the norms")
    for name, value in (("hidden", 128), ("layers", 4), ("heads", 4), ("kv-heads", 4), ("inner", 384)):
        p.add_argument("--" + name, type=int, default=value)
    p.add_argument("--eval-only", action="store_true", help="evaluate the folder and stop")
    p.add_argument("--check", action="store_true", help="compare with transformers, which has to be installed")
    p.add_argument("--eval-file", help="also write held-out conversations with their answers to this file, and answer them")
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    if not args.eval_only:
        if args.start_from and not args.new_words:
            tokenizer = vocabulary.load(args.start_from)
        else:
            rng = random.Random(args.seed)
            tokenizer = vocabulary.train((m["content"] for _ in range(40_000) for m in dialogue.conversation(rng).messages))
        learn(args, vocabulary.Framer(tokenizer))
    framer, network = vocabulary.Framer(vocabulary.load(args.out)), model.load(args.out)
    evaluate(network, framer)
    for system, question in QUICK:
        messages = [{"role": "system", "content": system}] * bool(system) + [{"role": "user", "content": question}]
        print(f"{system + ' | ' if system else ''}{question} -> {generate(network, framer, messages)}")
    if args.check:
        check(args.out, network, framer)
    if args.eval_file:
        write_eval(args.eval_file)
        check_file(args.eval_file, network, framer)


if __name__ == "__main__":
    main()
