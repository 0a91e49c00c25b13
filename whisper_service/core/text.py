"""Text as a screen shows it: width in columns, marks that end a sentence, places where a line may break. Pure.

The only place that knows character widths, punctuation and scripts without spaces.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import Final

SENTENCE_END: Final = frozenset(".?!。？！…｡؟।۔։።")
CLAUSE_END: Final = frozenset(",;:，、；：،؛—–")
CLOSING: Final = "\"'”’»)]}）】」』》〉"
OPENING: Final = "“‘«([{（【「『《〈¿¡"
NEUTRAL: Final = "\"'-"
"""Marks that open behind a space. Elsewhere they close or join."""
NEVER_FIRST: Final = (
    frozenset(CLOSING) | SENTENCE_END | CLAUSE_END | frozenset("%％々ー・ぁぃぅぇぉっゃゅょァィゥェォッャュョ～")
)
"""Characters that may not begin a line."""
_CONTROL: Final = dict.fromkeys([*range(9), *range(14, 28), *range(127, 160), 0xFEFF]) | {0x85: " "}
_ABBREVIATIONS: Final = frozenset([
    "mr.", "mrs.", "ms.", "dr.", "st.", "prof.", "jr.", "sr.", "vs.", "no.", "fig.", "e.g.", "i.e.",
    "sra.", "dra.", "hr.", "bzw.", "z.b.", "m.",
])  # fmt: skip


def clean(text: str) -> str:
    """Return the text on one line, with one kind of space and without control characters."""
    return " ".join(text.translate(_CONTROL).split())


def quoted(text: str, most: int = 80) -> str:
    """Return a text of a client as a message shows it: in quotes, without control characters, at most `most` long."""
    shown = "".join(c if c.isprintable() else " " for c in text[: most + 1])
    return f"“{shown[:most]}…”" if len(shown) > most else f"“{shown}”"


def reason(error: BaseException) -> str:
    """Return why something failed, as a message shows it: of an error of the system without its number and quotes."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error)


def columns(text: str) -> int:
    """Return the width of a text on a screen: wide characters take two columns, combining marks none."""
    return len(text) if text.isascii() else sum(map(_width, text))


def wide_columns(text: str) -> int:
    """Return how many columns the wide characters of a text take."""
    return 0 if text.isascii() else sum(width for width in map(_width, text) if width == 2)


@lru_cache(maxsize=20_000)
def _width(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if wide(character) else 1


def wide(character: str) -> bool:
    """Return whether a character is wide: Chinese, Japanese, Korean, their marks, and emoji."""
    return unicodedata.east_asian_width(character) in ("W", "F")


def wide_mark(character: str) -> bool:
    """Return whether a character is a wide mark such as `。`, which needs no space behind it."""
    return wide(character) and unicodedata.category(character)[0] in "PSZ"


def ideographic(character: str) -> bool:
    """Return whether a character is wide and not Korean. Only Korean writes spaces between words of wide characters."""
    return wide(character) and not any(first <= character <= last for first, last in _HANGUL)


def unspaced(character: str) -> bool:
    """Return whether a character belongs to a script without spaces between words: Chinese, Japanese, Thai, Khmer..."""
    return ideographic(character) or _narrow_unspaced(character)


def breakable(character: str) -> bool:
    """Return whether a line may break beside a character that has no space beside it."""
    return wide(character) or _narrow_unspaced(character)


_HANGUL: Final = (("\u1100", "\u11ff"), ("\u3130", "\u318f"), ("\ua960", "\ua97f"), ("\uac00", "\ud7ff"))
"""Unicode blocks: Jamo, Compatibility Jamo, Jamo Extended-A, Syllables with Jamo Extended-B."""


def _narrow_unspaced(character: str) -> bool:
    """Thai, Lao, Tibetan, Burmese, Khmer."""
    return "\u0e00" <= character <= "\u109f" or "\u1780" <= character <= "\u17ff"


def ends_sentence(text: str) -> bool:
    """Return whether a word with its marks ends a sentence. A number or an abbreviation with a full stop does not."""
    body = text.strip().rstrip(CLOSING)
    if body[-1:] not in SENTENCE_END:
        return False
    if body[-1] != ".":
        return True
    stem = body[:-1].strip(OPENING + NEUTRAL)
    if stem.isdigit() or body.strip(OPENING + NEUTRAL).lower() in _ABBREVIATIONS:
        return False
    letters = stem.split(".")  # "J." and "U.S." and "p.m.", but not "go." or "I am a."
    initials = all(len(letter) == 1 and letter.isalpha() for letter in letters)
    return not (initials and (len(letters) > 1 or stem.isupper()))
