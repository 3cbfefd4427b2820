"""The tokenizer of builtin:weir-tiny: byte-level BPE in the `tokenizers` format, trained on generated conversations.

All 256 bytes are tokens, so any text can be encoded. Text is split as Qwen2 splits it (each digit alone, a word with its
leading space), and three special tokens frame a ChatML conversation.
"""
import json
import os

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

END_OF_TEXT, START, END = SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
CHAT_TEMPLATE = ("{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
                 "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")


def train(texts, size):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=size, special_tokens=SPECIALS, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    return tokenizer


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
