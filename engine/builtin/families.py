"""Question families of builtin:weir-tiny.

A family turns a random fact into a Turn: a question, the answer as a sentence, and the answer in short. dialogue.py rewrites
that answer as a system prompt asks and strings turns together into conversations.
"""
import json
from dataclasses import dataclass

import tables as T

@dataclass
class Turn:
    family: str
    phrasing: int
    fact: str
    question: str
    sentence: str
    short: str
    plain: bool = False     # long or verbatim text: asked for only without a rewriting style
    fixed: bool = False     # the question must keep its exact spelling
    json_value: object = None
    source: int = -1        # index into PLAIN_FAMILIES, -1 for talk about names and memories


def ask(rng, family, phrasings, fact, sentence, short, **slots):
    i = rng.randrange(len(phrasings))
    return Turn(family, i, str(fact), phrasings[i].format(**slots), sentence, short)


def capital_first(s):
    return s[0].upper() + s[1:]


def article(word):
    return ("an " if word[0] in "aeiou" else "a ") + word


# ---- facts -------------------------------------------------------------------------------------------------------

ASK_CAPITAL = ["What is the capital of {x}?", "What's the capital of {x}?", "Name the capital of {x}.", "Which city is the capital of {x}?",
               "Tell me the capital of {x}.", "The capital of {x} is what?", "Do you know the capital of {x}?", "What is the capital city of {x}?",
               "What city is the capital of {x}?", "I need the capital of {x}.", "Capital of {x}?", "Can you tell me the capital of {x}?"]
ASK_COUNTRY = ["{y} is the capital of which country?", "Which country has the capital {y}?", "What country is {y} the capital of?",
               "Of which country is {y} the capital?", "Name the country whose capital is {y}."]
ASK_COLOUR = ["What colour is {x}?", "What color is {x}?", "Which colour is {x}?", "Tell me the colour of {x}.", "What is the colour of {x}?",
              "What is the color of {x}?", "Which color does {x} have?", "Name the colour of {x}."]
ASK_OPPOSITE = ["What is the opposite of {x}?", "What's the opposite of {x}?", "Give me the opposite of {x}.", "Tell me the opposite of {x}.",
                "Opposite of {x}?", "Which word is the opposite of {x}?", "Name the opposite of the word {x}.", "What word means the opposite of {x}?"]
ASK_SOUND = ["What sound does a {x} make?", "What does a {x} say?", "Which sound does a {x} make?", "How does a {x} sound?", "What noise does a {x} make?",
             "Tell me the sound of a {x}."]
ASK_PLURAL = ["What is the plural of {x}?", "What's the plural of {x}?", "Give me the plural of {x}.", "Plural of {x}?", "Tell me the plural of the word {x}.",
              "One {x}, two what?", "How do you write the plural of {x}?"]


def the_capital(rng):
    x, y = rng.choice(T.CAPITALS)
    if rng.random() < 0.3 and y != "London":
        return ask(rng, "country", ASK_COUNTRY, x, f"{y} is the capital of {x}.", capital_first(x), y=y)
    return about_capital(rng, ASK_CAPITAL, "capital", x, y)


def about_capital(rng, phrasings, family, x, y):
    return ask(rng, family, phrasings, x, f"The capital of {x} is {y}.", y, x=x)


def about_opposite(rng, phrasings, family, x, y):
    return ask(rng, family, phrasings, x, f"The opposite of {x} is {y}.", y, x=x)


def about_sound(rng, phrasings, family, x, y):
    return ask(rng, family, phrasings, x, f"A {x} says {y}.", y, x=x)


def about_plural(rng, phrasings, family, x, y):
    return ask(rng, family, phrasings, x, f"The plural of {x} is {y}.", y, x=x)


OPPOSITES = T.OPPOSITES + [(b, a) for a, b in T.OPPOSITES if b not in dict(T.OPPOSITES)]


def the_colour(rng):
    x, y = rng.choice(T.COLOURS)
    return ask(rng, "colour", ASK_COLOUR, x, f"{capital_first(x)} is {y}.", y, x=x)


def the_calendar(rng):
    names, kind = (T.DAYS, "day") if rng.random() < 0.45 else (T.MONTHS, "month")
    i, step, word = rng.randrange(len(names)), *rng.choice([(1, "after"), (-1, "before")])
    x, y = names[i], names[(i + step) % len(names)]
    return ask(rng, "calendar", [f"What {kind} comes {word} {{x}}?", f"Which {kind} is {word} {{x}}?", f"What is the {kind} {word} {{x}}?",
                                 f"Tell me the {kind} {word} {{x}}.", f"Name the {kind} that comes {word} {{x}}."],
               f"{x} {word}", f"The {kind} {word} {x} is {y}.", y, x=x)


def the_count_fact(rng):
    x, y = rng.choice(T.COUNTS)
    words = x.split()
    verb = next(w for w in words if w in ("does", "are"))
    what, rest = " ".join(words[:words.index(verb)]), " ".join(words[words.index(verb) + 1:])
    rest = rest.removesuffix(" have")
    said = capital_first(f"{rest} has {y} {what}." if verb == "does" else f"there are {y} {what} {rest}.").replace(" there.", ".")
    return ask(rng, "how many", ["How many {x}?", "Tell me how many {x}.", "Do you know how many {x}?", "Can you say how many {x}?"], x, said, y, x=x)


def the_kind(rng):
    x, kind = rng.choice(T.KINDS)
    if rng.random() < 0.5:
        return ask(rng, "kind", ["What is {x}?", "What kind of thing is {x}?", "What is {x}, in general?"], x,
                   f"{capital_first(article(x))} is {article(kind)}." if kind != "colour" else f"{capital_first(x)} is a colour.", article(kind),
                   x=article(x) if kind != "colour" else x)
    other = kind if rng.random() < 0.5 else rng.choice(T.KINDS)[1]
    if kind == "colour" or other == "colour":
        return the_kind(rng)
    yes = other == kind
    if not yes and {kind, other} & {"bird", "fish"} and "animal" in (kind, other):
        return the_kind(rng)
    said = f"{'Yes' if yes else 'No'}, {article(x)} is {'' if yes else 'not '}{article(other)}."
    return ask(rng, "is a", ["Is {x} {k}?", "Tell me, is {x} {k}?", "Would you say that {x} is {k}?"], f"{x} {other}", said, said[:3].strip(","),
               x=article(x), k=article(other))


def the_translation(rng):
    word = rng.choice(list(T.TRANSLATIONS))
    i = rng.randrange(3)
    language, y = ("French", "Spanish", "German")[i], T.TRANSLATIONS[word][i]
    return ask(rng, "translate", ["What is {x} in {l}?", "Translate {x} into {l}.", "How do you say {x} in {l}?", "What is the {l} word for {x}?",
                                  "Say {x} in {l}.", "Give me the {l} for {x}."], f"{word} {language}", f"{capital_first(word)} in {language} is {y}.", y,
               x=word, l=language)


def the_emoji(rng):
    x, y = rng.choice(T.EMOJI)
    return ask(rng, "emoji", ["Send me the emoji for {x}.", "What is the emoji for {x}?", "Show me the {x} emoji.", "Give me the {x} emoji."], x, y, y, x=x)


def the_list(rng):
    x, y = rng.choice(T.LISTS)
    return ask(rng, "list", ["Name {x}.", "List {x}.", "Tell me {x}.", "Give me {x}.", "Can you list {x}?", "What are {x}?"], x, y + ".", y, x=x)


# ---- numbers -----------------------------------------------------------------------------------------------------

def small(rng):
    return rng.randrange(10 + 1) if rng.random() < 0.6 else rng.randrange(20 + 1)


def arithmetic(rng):
    op = rng.choice("+++--*")
    a, b = small(rng), small(rng)
    if op == "-" and a < b:
        a, b = b, a
    if op == "*":
        a, b = a % 11, b % 11
    name, result = {"+": ("plus", a + b), "-": ("minus", a - b), "*": ("times", a * b)}[op]
    phrasings = ["What is {a}{o}{b}?", "What is {a} {o} {b}?", "{a} {o} {b}", "{a}{o}{b}=", "How much is {a} {n} {b}?", "What is {a} {n} {b}?", "Calculate {a} {o} {b}.",
                 "{a} {n} {b} is what?", "What's {a} {o} {b}?", "What is {aw} {n} {bw}?", "How much is {aw} {n} {bw}?", "Compute {a}{o}{b}.", "Tell me what {a} {n} {b} is.",
                 "{a} {o} {b} = ?"]
    phrasings += {"+": ["Add {a} and {b}.", "What is the sum of {a} and {b}?", "I have {a} apples and get {b} more. How many apples do I have?"],
                  "-": ["Subtract {b} from {a}.", "I have {a} apples and eat {b}. How many apples do I have?"],
                  "*": ["Multiply {a} by {b}.", "What is the product of {a} and {b}?"]}[op]
    return ask(rng, "arithmetic" + op, phrasings, f"{a} {b}", f"{a} {op} {b} = {result}.", str(result), a=a, b=b, o=op, n=name,
               aw=T.NUMBER_WORDS[a], bw=T.NUMBER_WORDS[b])


def compare(rng):
    a, b = small(rng), small(rng)
    if a == b:
        b = a + 1
    if rng.random() < 0.5:
        word, best = rng.choice([("larger", max(a, b)), ("smaller", min(a, b))])
        other = a + b - best
        return ask(rng, "which", [f"Which is {word}, {{a}} or {{b}}?", f"Which number is {word}, {{a}} or {{b}}?", f"What is {word}: {{a}} or {{b}}?"],
                   f"{a} {b} {word}", f"{best} is {word} than {other}.", str(best), a=a, b=b)
    word, yes = rng.choice([("greater", a > b), ("less", a < b)])
    sign = ">" if word == "greater" else "<"
    said = f"Yes, {a} is {word} than {b}." if yes else f"No, {a} is not {word} than {b}."
    return ask(rng, "compare", [f"Is {{a}} {word} than {{b}}?", f"Is it true that {{a}} is {word} than {{b}}?", f"Is {{a}} {sign} {{b}}?",
                                f"Tell me, is {{a}} {word} than {{b}}?"], f"{a} {b} {word}", said, "Yes" if yes else "No", a=a, b=b)


def successor(rng):
    if rng.random() < 0.5:
        i, step, word = rng.randrange(1, 25), *rng.choice([(1, "after"), (-1, "before")])
        x, y, kind = chr(65 + i), chr(65 + i + step), "letter"
    else:
        i, step, word = rng.randrange(1, 100), *rng.choice([(1, "after"), (-1, "before")])
        x, y, kind = str(i), str(i + step), "number"
    return ask(rng, "successor", [f"What {kind} comes {word} {{x}}?", f"Which {kind} is {word} {{x}}?", f"What is the {kind} {word} {{x}}?",
                                  f"Tell me the {kind} that comes {word} {{x}}."], f"{x} {word}", f"The {kind} {word} {x} is {y}.", y, x=x)


def count(rng):
    a = rng.randrange(0, 20)
    b = a + rng.randrange(2, 10)
    if rng.random() < 0.2:
        a, b = 1, rng.choice([10, 15, 20, 25, 30])
    numbers, word = list(range(a, b + 1)), "Count from"
    if rng.random() < 0.25 and b - a < 12:
        numbers, word = numbers[::-1], "Count down from"
    said = ", ".join(map(str, numbers))
    return ask(rng, "count", [word + " {x} to {y}.", "Please " + word.lower() + " {x} to {y}.", "Can you " + word.lower() + " {x} to {y}?"],
               f"{numbers[0]} {numbers[-1]}", said, said, x=numbers[0], y=numbers[-1])


# ---- words -------------------------------------------------------------------------------------------------------

SPELLED = [w for w in T.WORDS if len(w) <= 6][::2]


def spelling(rng):
    w = rng.choice(SPELLED)
    kind = rng.randrange(4)
    if kind == 0:
        return ask(rng, "first letter", ["What is the first letter of {w}?", "Which letter does {w} start with?", "Tell me the first letter of the word {w}."],
                   w, f"The first letter of {w} is {w[0]}.", w[0], w=w)
    if kind == 1:
        return ask(rng, "length", ["How many letters does {w} have?", "How many letters are in the word {w}?", "How long is the word {w}?"],
                   w, f"The word {w} has {len(w)} letters.", str(len(w)), w=w)
    said = "-".join(w)
    return ask(rng, "spell", ["Spell {w}.", "How do you spell {w}?", "Spell the word {w}.", "Can you spell {w} for me?", "Please spell {w}."], w, said, said, w=w)


def repeat(rng):
    n = rng.choice([1, 1, 2, 2, 3, 3, 4, 5])
    words = [rng.choice(T.WORDS) if rng.random() < 0.75 else rng.choice([made_up(rng), rng.choice(T.NAMES), str(rng.randrange(1000))]) for _ in range(n)]
    text = " ".join(words)
    turn = ask(rng, "repeat", ["Repeat after me: {x}", "Say this: {x}", "Repeat: {x}", "Repeat these words: {x}", "Please repeat: {x}", 'Say "{x}".',
                               "Repeat after me, please: {x}", "Echo: {x}", "Say exactly: {x}"], text, text, text, x=text)
    turn.fixed = True
    turn.plain = any(w not in REAL for w in words)  # upper case of a made-up word is more than this model can spell
    return turn


SYLLABLES = [c + v + e for c in "b bl d dr f fl g gr j k l m n p pl qu r s sn t tr v w z zl".split() for v in "aeiou" for e in ("", "n", "x", "rp", "g", "m")]

REAL = set(T.WORDS) | {a for a, _ in OPPOSITES + T.SOUNDS + T.PLURALS + T.KINDS}


def made_up(rng):
    while True:
        word = "".join(rng.choice(SYLLABLES) for _ in range(rng.choice([1, 2, 2, 3])))
        if len(word) > 2 and word not in REAL:
            return word


def unknown(rng):
    g, h, w, v = made_up(rng), made_up(rng), rng.choice(T.WORDS), rng.choice(T.WORDS)
    if rng.random() < 0.35:
        i = rng.randrange(len(T.BEYOND))
        return Turn("beyond", i, "", T.BEYOND[i], "I do not know.", "I do not know")
    turn = ask(rng, "unknown", ["What is a {g}?", "Where is {G}?", "What is the capital of {G}?", "What colour is a {g}?", "Who is {G} {H}?",
                                "What is the opposite of {g}?", "{g} {h} {g}", "How many {g}s are in a {h}?", "Tell me about {g}.", "Translate {g} into French.",
                                "Who invented the {g}?", "Why is the {w} {v}?", "Explain {w} to me.", "Write an essay about {w}.", "What does {g} mean?",
                                "When was {G} born?", "How do I {g} a {w}?", "What sound does a {g} make?", "Who wrote {G}?", "{g}?", "{G} {h}",
                                "What do you think about {w}?", "How does a {w} work?", "Which {g} is the best {w}?", "Where can I buy a {w}?"],
               g + h + w + v, "I do not know.", "I do not know", g=g, h=h, G=g.capitalize(), H=h.capitalize(), w=w, v=v)
    return turn


# ---- talk --------------------------------------------------------------------------------------------------------

GREETINGS = [
    (["Hello!", "Hi!", "Hello", "Hi there!", "Hey!", "Good morning!", "Good evening!", "Hi", "Hello there."], "Hello! How can I help you?", "Hello!"),
    (["Say hello.", "Say hello!", "Can you say hello?", "Say hi."], "Hello!", "Hello!"),
    (["Say hello to the world in one sentence, please.", "Say hello to the world.", "Say hello world.", "Greet the world.", "Say hello to the world in one sentence.",
      "Please say hello to the world."], "Hello, world!", "Hello, world!"),
    (["How are you?", "How are you today?", "How do you do?", "Are you well?"], "I am fine, thank you.", "Fine"),
    (["Thank you.", "Thanks!", "Thank you very much.", "Thanks a lot."], "You are welcome.", "Welcome"),
    (["Goodbye.", "Bye!", "See you later.", "Good night."], "Goodbye!", "Goodbye!"),
    (["Are you there?", "Are you ready?", "Can you hear me?", "Does this work?", "This is a test.", "Test", "test", "Is this thing on?"], "Yes, I am here.", "Yes"),
]
IDENTITY = [
    (["Who are you?", "Tell me who you are.", "Who am I talking to?", "Introduce yourself."], "I am {n}, a very small language model.", "{n}"),
    (["What is your name?", "What's your name?", "Tell me your name.", "Do you have a name?", "What are you called?"], "My name is {n}.", "{n}"),
    (["What are you?", "What kind of thing are you?", "What sort of model are you?"], "I am a very small language model.", "a language model"),
    (["Who made you?", "Who trained you?", "Where do you come from?", "Who created you?"], "I was trained from scratch by the Weir project.", "the Weir project"),
    (["What can you do?", "What do you know?", "How can you help me?", "Help"], "I can answer simple questions about capitals, colours, numbers and words.", "simple questions"),
    (["Are you a human?", "Are you a person?", "Are you human?"], "No, I am a very small language model.", "No"),
]


def talk(rng):
    if rng.random() < 0.25:
        n = rng.choice(T.NAMES)
        return ask(rng, "greet", ["Say hello to {n}.", "Greet {n}.", "Please say hello to {n}.", "Say hi to {n}."], n, f"Hello, {n}!", f"Hello, {n}!", n=n)
    i = rng.randrange(len(GREETINGS))
    phrasings, said, short = GREETINGS[i]
    return ask(rng, "talk", phrasings, i, said, short)


def identity(rng, name):
    i = rng.randrange(len(IDENTITY))
    phrasings, said, short = IDENTITY[i]
    return ask(rng, "identity", phrasings, f"{i} {name}", said.format(n=name), short.format(n=name))


def long_text(rng):
    if rng.random() < 0.5:
        x = rng.choice(list(T.POEMS))
        if rng.random() < 0.2:
            x = "river"
            turn = ask(rng, "poem", ["Write a poem.", "Tell me a poem.", "Write a short poem."], "", T.POEMS[x], T.POEMS[x])
        else:
            turn = ask(rng, "poem", ["Write a poem about the {x}.", "Tell me a poem about the {x}.", "Write a short poem about the {x}."], x, T.POEMS[x], T.POEMS[x], x=x)
    else:
        a, n = rng.choice(["fox", "cat", "dog", "bear", "mouse", "rabbit"]), rng.choice(T.NAMES)
        b, c = {"fox": "frog", "cat": "bird", "dog": "duck", "bear": "bee", "mouse": "snail", "rabbit": "owl"}[a], "red"
        if rng.random() < 0.3:
            turn = ask(rng, "story", ["Tell me a story.", "Write a story.", "Tell me a short story."], "", T.STORY.format(a="fox", b="frog", c=c, n="Ida"), "")
        else:
            turn = ask(rng, "story", ["Tell me a story about a {a} called {n}.", "Write a story about a {a} named {n}."], f"{a} {n}",
                       T.STORY.format(a=a, b=b, c=c, n=n), "", a=a, n=n)
        turn.short = turn.sentence
    turn.plain = True
    return turn


def extract(rng):
    n, age = rng.choice(T.NAMES), rng.randrange(1, 100)
    said = {"name": n, "age": age}
    turn = ask(rng, "extract", ["Extract the name and the age as JSON: {n} is {a} years old.", "Give me the name and age as JSON. {n} is {a} years old.",
                                "{n} is {a} years old. Write the name and the age as JSON.", "Turn this into JSON with the keys name and age: {n} is {a} years old."],
               f"{n} {age}", json.dumps(said), json.dumps(said), n=n, a=age)
    turn.plain = True
    turn.json_value = said
    return turn


MEMORIES = {
    "name": (["My name is {x}.", "I am {x}.", "Call me {x}."], "Nice to meet you, {x}.", ["What is my name?", "What's my name?", "Who am I?", "Do you know my name?"],
             "Your name is {x}.", "You have not told me your name.", lambda rng: rng.choice(T.NAMES)),
    "colour": (["My favourite colour is {x}.", "I like the colour {x}."], "{X} is a nice colour.", ["What is my favourite colour?", "Which colour do I like?"],
               "Your favourite colour is {x}.", "You have not told me your favourite colour.",
               lambda rng: rng.choice("red green blue yellow purple pink orange black white brown".split())),
    "city": (["I live in {x}.", "My home is in {x}."], "{x} is a nice city.", ["Where do I live?", "In which city do I live?"],
             "You live in {x}.", "You have not told me where you live.", lambda rng: rng.choice(T.CAPITALS)[1]),
    "age": (["I am {x} years old.", "My age is {x}."], "I will remember that.", ["How old am I?", "What is my age?"],
            "You are {x} years old.", "You have not told me your age.", lambda rng: rng.randrange(5, 100)),
}


def memory(rng, told):
    """Tells the model something about the user, or asks for it; `told` holds what this conversation has said so far."""
    about = rng.choice(list(told)) if told and rng.random() < 0.7 else rng.choice(list(MEMORIES))
    tell, ack, question, said, unknown_said, draw = MEMORIES[about]
    if about in told or rng.random() < 0.25:
        x = told.get(about)
        if x is None:
            return ask(rng, "not told", question, about, unknown_said, "I do not know")
        return ask(rng, "recall " + about, question, x, said.format(x=x), str(x))
    x = draw(rng)
    turn = ask(rng, "tell " + about, tell, x, ack.format(x=x, X=str(x).capitalize()), "OK", x=x)
    told[about] = x
    return turn


FOLLOWED = {"capital": (T.CAPITALS, about_capital), "opposite": (OPPOSITES, about_opposite), "sound": (T.SOUNDS, about_sound), "plural": (T.PLURALS, about_plural)}


def follow_up(rng, family):
    facts, about = FOLLOWED[family]
    x, y = rng.choice(facts)
    phrasings = {"capital": ["And of {x}?", "And {x}?", "What about {x}?", "How about {x}?"],
                 "sound": ["And a {x}?", "What about a {x}?", "And what does a {x} say?"]}.get(family, ["And of {x}?", "And {x}?", "What about {x}?"])
    return about(rng, phrasings, family, x, y)


PLAIN_FAMILIES = [
    (the_capital, 11), (the_colour, 3), (lambda r: about_opposite(r, ASK_OPPOSITE, "opposite", *r.choice(OPPOSITES)), 6), (the_calendar, 3),
    (lambda r: about_sound(r, ASK_SOUND, "sound", *r.choice(T.SOUNDS)), 2), (lambda r: about_plural(r, ASK_PLURAL, "plural", *r.choice(T.PLURALS)), 4),
    (the_count_fact, 3), (the_kind, 5), (the_translation, 6), (the_emoji, 1), (the_list, 1.5), (arithmetic, 17), (compare, 7), (successor, 4), (count, 4),
    (spelling, 9), (repeat, 8), (unknown, 7), (talk, 5), (long_text, 1.2), (extract, 2.5),
]
FUNCTIONS, WEIGHTS = zip(*PLAIN_FAMILIES)


MEMORY_SHARE = 0.06


def any_turn(rng, style, told, previous, weights, memory_share):
    draw = rng.random()
    if previous in FOLLOWED and draw < 0.3:
        return follow_up(rng, previous)
    if draw < (0.25 if style.name != "Weir Tiny" else 0.06):
        return identity(rng, style.name)
    if draw < 1 - memory_share:
        source = rng.choices(range(len(FUNCTIONS)), weights)[0]
        turn = FUNCTIONS[source](rng)
        turn.source = source
        return turn
    return memory(rng, told)
