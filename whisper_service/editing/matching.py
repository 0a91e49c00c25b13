"""Finds a phrase in the text of a line, and replaces it. Pure. The page has the same rules in TypeScript.

Texts are compared as people read them: composed and decomposed letters, full and half width, curly and straight quotes
are equal. A find begins and ends between two letters, and never in the middle of one that is composed.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from whisper_service.core.domain import Value
from whisper_service.editing.splitting import unspaced

_QUOTES: Final = str.maketrans(
    dict.fromkeys("‘’‚‛ʼ", "'") | dict.fromkeys("“”„‟", '"') | {"\u00a0": " ", "\u3000": " ", "ς": "σ"}
)
_WIDE: Final = ("\uff01", "\uffee")
"""The first and the last character of full or half width."""
_VOICED: Final = "\uff9e\uff9f"
"""Marks of half width that belong to the character before them."""
_JAMO: Final = ("\u1160", "\u11ff")
"""Vowels and final consonants of Hangul, which belong to the consonant before them."""


class Phrase(Value, frozen=True):
    """What is looked for."""

    text: str
    case: bool = False  # upper and lower case differ
    whole: bool = False  # whole words only, in scripts that have spaces between words


class _Folded(NamedTuple):
    """A text as it is compared, and where each of its characters was. -1: within a letter. None: nothing moved."""

    text: str
    places: list[int] | None


def occurrences(text: str, phrase: Phrase, variants: Mapping[int, str] | None = None) -> list[tuple[int, int]]:
    """Return begin and end of each find in a text, in order. No two overlap.

    `variants` are characters that count as others, for `str.translate`: traditional as simplified ones.
    """
    wanted = _fold(phrase.text.strip(), phrase, variants).text
    if not wanted:
        return []
    folded = _fold(text, phrase, variants)
    return list(_places(folded, wanted, whole=phrase.whole))


def with_replacement(text: str, places: Sequence[tuple[int, int]], replacement: str) -> str:
    """Return a text with other words at these places, which are in order and do not overlap."""
    parts, at = [], 0
    for first, last in places:
        parts += [text[at:first], replacement]
        at = last
    return "".join([*parts, text[at:]])


def _places(folded: _Folded, wanted: str, *, whole: bool) -> Iterator[tuple[int, int]]:
    text, places = folded
    first = text.find(wanted)
    while first >= 0:
        last = first + len(wanted)
        begin, end = (first, last) if places is None else (places[first], places[last])
        if begin >= 0 and end >= 0 and not (whole and _is_part(text, first, last)):
            yield begin, end
            first = text.find(wanted, last)
        else:
            first = text.find(wanted, first + 1)


def _is_part(text: str, first: int, last: int) -> bool:
    """Return whether a find is only a part of a word."""
    return any(0 < at < len(text) and _joins(text[at - 1]) and _joins(text[at]) for at in (first, last))


def _joins(character: str) -> bool:
    """Return whether a character makes one word with those beside it."""
    is_letter = unicodedata.category(character)[0] in "LNM" or character == "_"
    return is_letter and not unspaced(character)


def _fold(text: str, phrase: Phrase, variants: Mapping[int, str] | None) -> _Folded:
    if text.isascii():
        return _Folded(text if phrase.case else text.lower(), None)
    parts: list[str] = []
    places: list[int] = []
    for begin, letter in _letters(text):
        part = _fold_letter(letter, phrase, variants)
        parts.append(part)
        places += [begin, *([-1] * (len(part) - 1))] if part else []
    return _Folded("".join(parts), [*places, len(text)])


def _letters(text: str) -> Iterator[tuple[int, str]]:
    """Yield the letters of a text with what is composed with them, and where each begins."""
    begin = 0
    for at, character in enumerate(text):
        if at > begin and not _continues(character):
            yield begin, text[begin:at]
            begin = at
    if text:
        yield begin, text[begin:]


def _continues(character: str) -> bool:
    if character < "\u0300":
        return False
    if unicodedata.category(character)[0] == "M":
        return True
    return character in _VOICED or _JAMO[0] <= character <= _JAMO[1]


def _fold_letter(letter: str, phrase: Phrase, variants: Mapping[int, str] | None) -> str:
    if any(_WIDE[0] <= character <= _WIDE[1] for character in letter):
        letter = unicodedata.normalize("NFKC", letter)
    elif not letter.isascii():
        letter = unicodedata.normalize("NFC", letter)
    letter = (letter if phrase.case else letter.lower()).translate(_QUOTES)
    return letter.translate(variants) if variants else letter


def excerpt(text: str, places: Sequence[tuple[int, int]], around: int = 60) -> list[str]:
    """Return the text around finds in pieces; every second piece is a find. An ellipsis stands for what is left out."""
    bounds = [0, *(at for place in places for at in place), len(text)]
    parts = [text[first:last] for first, last in pairwise(bounds)]
    last = len(parts) - 1
    for index in range(0, len(parts), 2):
        part = parts[index].lstrip() if index == 0 else parts[index].rstrip() if index == last else parts[index]
        if index in (0, last) and len(part) > around:
            part = f"…{part[-around:].lstrip()}" if index == 0 else f"{part[:around].rstrip()}…"
        parts[index] = part
    return parts
