"""Text as a screen shows it: which characters are wide, which end a sentence, where a line may not be broken. Pure."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import Final

_CONTROL: Final = dict.fromkeys([*range(9), *range(14, 28), *range(127, 160), 0xFEFF]) | {0x85: " "}
SENTENCE: Final = frozenset(".?!。？！…｡؟।")
CLAUSE: Final = frozenset(",;:，、；：،؛—–")
CLOSING: Final = frozenset("\"'”’»)]}）】」』》〉%％")
OPENING: Final = frozenset("“‘«([{（【「『《〈¿¡")
NEVER_FIRST: Final = CLOSING | SENTENCE | CLAUSE | frozenset("々ー・ぁぃぅぇぉっゃゅょァィゥェォッャュョ～")
_ABBREVIATIONS: Final = frozenset(
    [
        "mr.",
        "mrs.",
        "ms.",
        "dr.",
        "st.",
        "prof.",
        "jr.",
        "sr.",
        "vs.",
        "no.",
        "fig.",
        "e.g.",
        "i.e.",
        "sra.",
        "dra.",
        "hr.",
        "bzw.",
        "z.b.",
        "m.",
    ]
)


def clean(text: str) -> str:
    """Text on one line, with one kind of space and no control characters."""
    return " ".join(text.translate(_CONTROL).split())


def columns(text: str) -> int:
    """Width on a screen where wide characters take two columns and combining marks none."""
    return len(text) if text.isascii() else sum(map(width_of, text))


def narrow(text: str) -> int:
    """Columns that are not those of wide characters."""
    return len(text) if text.isascii() else sum(width_of(c) == 1 for c in text)


@lru_cache(maxsize=20_000)
def width_of(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def ideographic(character: str) -> bool:
    return width_of(character) == 2 and not "\uac00" <= character <= "\ud7a3"


def unspaced(character: str) -> bool:
    """Thai, Lao, Tibetan, Burmese, Khmer: narrow scripts that write no spaces between words."""
    return "\u0e00" <= character <= "\u109f" or "\u1780" <= character <= "\u17ff"


def ends_sentence(text: str) -> bool:
    mark = text.rstrip("".join(CLOSING))
    if mark[-1:] not in SENTENCE:
        return False
    stem = mark[:-1].lstrip("".join(OPENING) + "\"'")
    return mark[-1] != "." or not ((len(stem) == 1 and stem.isupper()) or f"{stem}.".lower() in _ABBREVIATIONS)
