"""Damages valid inputs, with tokens that often break readers."""

import random
from collections.abc import Sequence
from typing import Any, TypeVar

Text = TypeVar("Text", str, bytes)

TOKENS = (
    *("(", ")", "[", "]", "{", "}", ",", "=", ":", ".", "*", "**", "#", "'", '"', "\\", "-", "+", "1", "None", "mean"),
    *("(" * 150, "[" * 5_000, "[" * 120_000, "{" * 300, "-" * 9_000, "+-" * 3_000 + "1", "not " * 2_000, "a." * 3_000),
    *('{"a":' * 3_000, "1" + "+1" * 3_000, "f(" * 90, "x" * 20_000),
    *("9" * 400, "9" * 5_000, "9" * 400 + "+1j", "0x" + "f" * 5_000, "1e999", "-1e999", "1e-999", "NaN", "Infinity"),
    *("-Infinity", "nan", "1_0", "01", "1j", "true", "null", "-0.0", "1" * 30),
    *("\0", "\ufeff", "\ud800", "\udfff", "\\ud800", "\\u0000"),
    *("\u2028", "\x85", "\u202e", "\x1b[2J", "\uff41", "é", "\U0001f600"),
    *("\n", "\r\n", "\t", "\f", " ", "\\\n", "'''", "\\x"),
    *("\\N{DASH}", "b'\\xff'", "f'{x}'", "# -*- coding: rot13 -*-"),
    *("__import__('os').system('true')", "open('/x', 'w')", "lambda: 0"),
    *("exec('1')", "(yield)", "x:=1", "...", "[x for x in y]"),
    *("{[]: 1}", "{**{}}", "{{}}", "set()", "{1, 'a'}", "*a", "**a", "a=1, a=2", "a=1", "self=1", "parent=1", "name=1"),
    *('"a": 1, "a": 2', '"policy"', '"mix": 0', '"name"', '"__class__"', '"$ref"', "!!python/object/apply:os.system"),
    *("../../etc/passwd", "/dev/null", "/", "..", "~", "~root"),
    *("x.json", "-", "--", "--help", "@file", "$(true)", "`true`"),
)  # fmt: skip

# Replacements for entries of JSON.
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2**31, 2**63, 2**64, 10**400, 0.0, -0.0, 1e308, float("nan"), float("inf")),
    *("", "x", "1", "nan", "\ud800", "\0", "a\nb", "../../x", "/", "x" * 20_000, "float32", "cosine", "scan"),
    *([], {}, [[]], [1], ["crop"], ["a", 1], {"a": 1}, {"": None}, [None] * 1_000, {"a\nb": "c\nd"}, [["a", 1]]),
)


def mutated(rng: random.Random, text: Text, examples: Sequence[Text], tokens: Sequence[Text]) -> Text:
    """Returns the text after up to six random insertions, deletions, repetitions, cuts, splices and replacements."""
    for _ in range(rng.choice((0, 1, 1, 1, 2, 2, 3, 6))):
        start = rng.randrange(len(text) + 1)
        end = min(len(text), start + rng.choice((0, 1, 1, 2, 4, 16, 64, 10_000)))
        head, piece, tail = text[:start], text[start:end], text[end:]
        match rng.randrange(6):
            case 0:
                text = head + rng.choice(tokens) + tail
            case 1:
                text = head + tail
            case 2:
                text = head + piece * rng.choice((2, 3, 50)) + tail
            case 3:
                text = head
            case 4:
                other = rng.choice(examples)
                text = head + other[rng.randrange(len(other) + 1) :]
            case _:
                text = head + character(rng, text) + text[start + 1 :]
    return text


def character(rng: random.Random, like: Text) -> Text:
    """Returns one character or byte, mostly ASCII."""
    number = rng.randrange(128 if rng.random() < 0.8 else 256)
    if isinstance(like, str):
        return chr(number)
    return bytes([number])


def mutated_tree(rng: random.Random, tree: Any) -> Any:
    """Returns a copy of JSON data in which an entry is replaced, removed, renamed, added or damaged itself."""
    if not isinstance(tree, dict | list) or not tree or rng.random() < 0.03:
        return rng.choice(VALUES)
    copy: Any = tree.copy()
    key = rng.choice(list(copy)) if isinstance(copy, dict) else rng.randrange(len(copy))
    match rng.randrange(8):
        case 0:
            del copy[key]
        case 1 if isinstance(copy, dict):
            copy[rng.choice(TOKENS)] = copy.pop(key)
        case 2 if isinstance(copy, dict):
            copy[rng.choice(TOKENS)] = rng.choice(VALUES)
        case 2 | 3 if isinstance(copy, list):
            copy.insert(key, rng.choice(VALUES))
        case _:
            copy[key] = mutated_tree(rng, copy[key])
    return copy


def encoded(rng: random.Random, text: str) -> bytes:
    """Returns the bytes of the text, usually but not always in UTF-8."""
    encoding = rng.choice(("utf-8",) * 12 + ("utf-8-sig", "utf-16", "latin-1"))
    errors = "surrogatepass" if encoding.startswith("utf") else "replace"
    return text.encode(encoding, errors)
