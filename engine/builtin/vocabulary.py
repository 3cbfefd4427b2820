"""The tokenizer of builtin:weir-tiny: byte-level BPE in the `tokenizers` format, trained on generated conversations.

All 256 bytes are tokens, so any text can be encoded. A word carries the blank or the hyphen before it, a number of up to three
digits stands alone, and three special tokens frame a ChatML conversation. Every word that the model knows is one token in each
of its spellings (cat, Cat, CAT, each with and without the blank before it), and so is every number up to KNOWN_NUMBER_MAX;
`ignore_merges` lets such a word skip the merges, which are there for all other words and know nothing but syllables.
"""
import collections
import json
import os
import re

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

END_OF_TEXT, START, END = SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[ -]?\p{L}+| ?\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
CHAT_TEMPLATE = ("{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
                 "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")
SYLLABLE_TOKENS = 900       # bytes, special tokens and merged syllables
KNOWN_AFTER = 24            # a word seen this often is known; made-up words are seen about three times each
KNOWN_NUMBER_MAX = 101


def _tokenizer(bpe):
    tokenizer = Tokenizer(bpe)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def train(texts):
    """Counts the words of the texts, learns syllables from the letters of the rare ones, and makes the rest tokens."""
    counts = collections.Counter()
    split = _tokenizer(models.BPE()).pre_tokenizer
    for text in texts:
        counts.update(word for word, _ in split.pre_tokenize_str(text))
    seen = collections.Counter()
    for word, n in counts.items():
        seen[_bare(word)] += n
    known = [w for w in counts if not re.search(r"\d", w) and seen[_bare(w)] >= KNOWN_AFTER]
    rare = [w for w in counts if not re.search(r"\d", w) and seen[_bare(w)] < KNOWN_AFTER]
    learner = _tokenizer(models.BPE())
    written = decoders.ByteLevel()
    learner.train_from_iterator((written.decode([w]) for w in rare for _ in range(counts[w])), trainers.BpeTrainer(
        vocab_size=SYLLABLE_TOKENS, special_tokens=SPECIALS, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    model = json.loads(learner.to_str())["model"]
    vocab = model["vocab"]
    numbers = [blank + str(n) for n in range(KNOWN_NUMBER_MAX + 1) for blank in ("", "Ġ")]
    letters = ["-" + chr(c) for base in (65, 97) for c in range(base, base + 26)] + ["Ġ" + chr(c) for base in (65, 97) for c in range(base, base + 26)]
    for word in sorted(known) + numbers + letters:
        vocab.setdefault(word, len(vocab))
    tokenizer = _tokenizer(models.BPE(vocab=vocab, merges=[tuple(m) for m in model["merges"]], ignore_merges=True))
    tokenizer.add_special_tokens(SPECIALS)
    return tokenizer


def _bare(word):
    """The word without the blank or hyphen before it and without its capitals."""
    return word.removeprefix("Ġ").removeprefix("-").lower() or word


def save(folder, tokenizer, context):
    tokenizer.save(os.path.join(folder, "tokenizer.json"))
    added = {str(i): {"content": s, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
             for i, s in enumerate(SPECIALS)}
    config = {"added_tokens_decoder": added, "add_prefix_space": False, "add_bos_token": False, "bos_token": None, "eos_token": END,
              "pad_token": END_OF_TEXT, "unk_token": None, "clean_up_tokenization_spaces": False, "model_max_length": context,
              "tokenizer_class": "PreTrainedTokenizerFast", "chat_template": CHAT_TEMPLATE}
    generation = {"do_sample": False, "eos_token_id": [tokenizer.token_to_id(END), tokenizer.token_to_id(END_OF_TEXT)],
                  "pad_token_id": tokenizer.token_to_id(END_OF_TEXT)}
    for name, value in (("tokenizer_config.json", config), ("generation_config.json", generation)):
        with open(os.path.join(folder, name), "w") as out:
            json.dump(value, out, indent=2, ensure_ascii=False)
            out.write("\n")


def load(folder):
    return Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))


class Framer:
    """Turns conversations into token ids and a mask of the tokens that the model has to produce."""

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer
        self.eos, self.pad = tokenizer.token_to_id(END), tokenizer.token_to_id(END_OF_TEXT)

    def encode(self, conversations):
        """Returns a list of (ids, mask); mask[i] says that ids[i] belongs to an answer, its <|im_end|> included."""
        parts, owner = [], []
        for c, talk in enumerate(conversations):
            prompt = ""
            for message in talk.messages:
                prompt += f"{START}{message['role']}\n"
                if message["role"] == "assistant":
                    parts += [prompt, message["content"] + END]
                    owner += [(c, False), (c, True)]
                    prompt = "\n"
                else:
                    prompt += f"{message['content']}{END}\n"
        out = [([], []) for _ in conversations]
        for (c, answer), piece in zip(owner, self.tokenizer.encode_batch(parts, add_special_tokens=False)):
            out[c][0].extend(piece.ids)
            out[c][1].extend([answer] * len(piece.ids))
        return out
