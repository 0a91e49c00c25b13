"""What is searched for, and where it stands in a text. Pure; the store finds the texts, in its two full-text indexes.

A search is a few terms, each a stretch of characters and all of them wanted. Terms of three characters and more are found by
SQLite's trigrams, in any language; shorter ones, of which Chinese has many, by an index of single characters and pairs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Final

TRIGRAM: Final = 3
"""Characters of the shortest term that the trigrams can find."""
MAX_TERMS: Final = 8
AROUND: Final = 80
"""Characters that an excerpt shows on either side of the first find."""
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def terms(query: str) -> tuple[str, ...]:
    """The terms of a query, the most telling (longest) first."""
    wanted = dict.fromkeys(_CONTROL.sub(" ", query).split())
    return tuple(sorted(wanted, key=len, reverse=True)[:MAX_TERMS])


def grams(text: str) -> str:
    """The single characters and pairs of a text without regard to case, each as one word that any tokenizer leaves alone."""
    parts = _CONTROL.sub(" ", text).casefold().split()
    found = dict.fromkeys(gram for part in parts for gram in _short(part))
    return " ".join(map(_word, found))


def is_short(term: str) -> bool:
    """Whether the trigrams cannot find it."""
    return len(term) < TRIGRAM


def match(term: str) -> str:
    """The term as a query in the language of FTS5: of the trigrams, or of the short ones if it is short."""
    if not is_short(term):
        return '"' + term.replace('"', '""') + '"'
    folded = term.casefold()
    pairs = ["".join(pair) for pair in pairwise(folded)]
    return " AND ".join(f'"{_word(gram)}"' for gram in (pairs or folded))


def marked(text: str, wanted: Iterable[str]) -> list[str]:
    """The text in parts: what was not found and what was, in turn, beginning with the former (perhaps empty)."""
    parts, at = [], 0
    for found in _any_of(tuple(wanted)).finditer(text):
        parts += [text[at : found.start()], found[0]]
        at = found.end()
    return [*parts, text[at:]]


def excerpt(text: str, wanted: Sequence[str]) -> list[str]:
    """The same of a stretch around the first find; what was left out shows as an ellipsis."""
    parts = marked(text.strip(), wanted)
    if len(parts[0]) > AROUND:
        parts[0] = "…" + parts[0][-AROUND:].lstrip()
    tail = 0
    for index, part in enumerate(parts[1:], 1):
        if tail + len(part) > 2 * AROUND:
            cut = part[: 2 * AROUND - tail].rstrip() if index % 2 == 0 else ""
            return [*parts[:index], f"{cut}…"] if index % 2 == 0 else [*parts[: index - 1], f"{parts[index - 1]}…"]
        tail += len(part)
    return parts


@lru_cache(maxsize=64)
def _any_of(wanted: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, wanted)), re.IGNORECASE)


def _short(part: str) -> Iterator[str]:
    yield from part
    yield from map("".join, pairwise(part))


def _word(gram: str) -> str:
    return "".join(f"x{ord(character):x}" for character in gram)
