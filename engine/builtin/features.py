"""What tokens have in common, told to the network before it starts: how builtin:weir-tiny learns so much from so little text.

During training the embedding is a sum: a vector for the token itself, one for its word whatever the spelling (cat, Cat and CAT
share it), one each for blank, hyphen and capitals before or in it, one for each letter at its place, and a few for a number's
value (its digits, and waves of several periods, which make sums and comparisons easy to express). The output matrix is tied to
the same sum. So upper case learnt on one word holds for all, and so does the first letter. The export adds the sums up: served,
this is a plain embedding matrix.
"""
import math

import torch

import tables as T

LETTERS_MAX = 8             # letters of a word that are told apart by place
LETTER_SHARE = 0.4          # letters weigh less than the word: words with like spelling stay apart
PERIODS = (2, 5, 10, 20, 50, 100)
NUMBER_MAX = 101


def _number(word):
    if word.isdigit():
        return int(word)
    return T.NUMBER_WORDS.index(word) if word in T.NUMBER_WORDS else None


def describe(token):
    """Returns [(feature name, weight)] of a token's text, the token itself left out."""
    out = []
    word = token
    if word[:1] in (" ", "-") and len(word) > 1 and word[1].isalnum():
        out.append(("before " + word[0], 1.0))
        word = word[1:]
    if word.isdigit() and int(word) > NUMBER_MAX or not word.isalnum():
        return out
    lower = word.lower()
    if lower != word:
        out.append(("capitals" if word == word.upper() and len(word) > 1 else "capital", 1.0))
        if len(word) == 1:
            out.append(("capitals", 1.0))
    out.append(("word " + lower, 1.0))
    n = _number(lower)
    if n is not None:
        out += [("number", 1.0), ("value", n / 50), ("small value", min(n, 20) / 10), (f"ones {n % 10}", 0.5), (f"tens {n // 10}", 0.5)]
        for period in PERIODS:
            out += [(f"sine {period}", math.sin(2 * math.pi * n / period)), (f"cosine {period}", math.cos(2 * math.pi * n / period))]
    if not word.isdigit():
        out.append(("letters" if n is None else "letters of a number", 0.5))
        out.append((f"length {min(len(word), LETTERS_MAX + 1)}", LETTER_SHARE))
        out += [(f"letter {i} {c}", LETTER_SHARE) for i, c in enumerate(lower[:LETTERS_MAX])]
        out.append((f"last letter {lower[-1]}", LETTER_SHARE))
    return out


class Sum(torch.nn.Module):
    """The embedding as a sum of feature vectors. Rows 0…vocab-1 of the table belong to the tokens themselves."""

    def __init__(self, tokenizer, hidden):
        super().__init__()
        names, rows, weights, starts = {}, [], [], []
        vocab = tokenizer.get_vocab_size()
        for token in range(vocab):
            starts.append(len(rows))
            rows.append(token)
            weights.append(1.0)
            for name, weight in describe(tokenizer.decode([token])):
                rows.append(names.setdefault(name, vocab + len(names)))
                weights.append(weight)
        self.vocab = vocab
        self.words = {row for name, row in names.items() if name.startswith("word ")}
        self.table = torch.nn.Parameter(torch.randn(vocab + len(names), hidden) * 0.02)
        for name, value in (("rows", rows), ("starts", starts), ("weights", weights)):
            self.register_buffer(name, torch.tensor(value), persistent=False)

    def forward(self):
        return torch.nn.functional.embedding_bag(self.rows, self.table, self.starts, mode="sum", per_sample_weights=self.weights)

    @torch.no_grad()
    def start_from(self, tokenizer, old_tokenizer, old_embedding):
        """Makes the sum equal to an older model's embedding where both have the token. The shared vectors are those that fit it
        best (least squares), so a spelling that the older model lacked is made from the word's other spellings; a word that it
        lacked in every spelling begins as the mean of the older model's pieces."""
        old = old_tokenizer.get_vocab()
        names = [tokenizer.id_to_token(i) for i in range(self.vocab)]
        known = torch.tensor([name in old for name in names])
        pieces = [[old[n]] if n in old else old_tokenizer.encode(tokenizer.decode([i])).ids or [0] for i, n in enumerate(names)]
        wanted = torch.stack([old_embedding[ids].mean(0) for ids in pieces])
        shared = torch.zeros(self.vocab, self.table.shape[0] - self.vocab)
        owner = torch.repeat_interleave(torch.arange(self.vocab), torch.diff(self.starts, append=torch.tensor([len(self.rows)])))
        others = self.rows >= self.vocab
        shared[owner[others], self.rows[others] - self.vocab] = self.weights[others]
        seen = shared[known]
        fit = torch.linalg.solve(seen.T @ seen + 0.05 * torch.eye(seen.shape[1]), seen.T @ wanted[known])
        fresh = {}              # words that no known token has, by the row of the word: the token in the fewest pieces speaks for it
        for token in torch.nonzero(~known).flatten().tolist():
            word = next((r for r in self.rows[owner == token].tolist() if r in self.words), None)
            if word is not None and not bool(seen[:, word - self.vocab].any()):
                fresh[word] = min(fresh.get(word, token), token, key=lambda t: len(pieces[t]))
        for word, token in fresh.items():
            fit[word - self.vocab] = wanted[token] - shared[token] @ fit
        self.table[self.vocab:] = fit
        self.table[:self.vocab] = torch.where(known[:, None], wanted - shared @ fit, 0)
