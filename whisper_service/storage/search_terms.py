"""Turn a query into search terms, and mark their finds in a text. Pure: the database finds the texts, in two indexes.

A query is a few terms. All of them must be found. SQLite's trigram index finds terms of three characters and more, in
any language. An index of single characters and pairs finds shorter terms, which are frequent in Chinese.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Final

TRIGRAM: Final = 3
"""Characters of the shortest term that the trigram index can find."""
MAX_TERMS: Final = 8
AROUND: Final = 80
"""Characters that an excerpt shows before and after the first find."""
_SPEAKER: Final = re.compile(r"(?<!\S)(?:speaker|发言人)[:：](?:\"([^\"]*)\"|(\S*))", re.IGNORECASE)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def terms(query: str) -> tuple[str, ...]:
    """Return the terms of a query, the longest first, because a long term has the fewest finds."""
    wanted = dict.fromkeys(_CONTROL.sub(" ", query).split())
    return tuple(sorted(wanted, key=len, reverse=True)[:MAX_TERMS])


def speakers(query: str) -> tuple[str, tuple[str, ...]]:
    """Return a query without `speaker:NAME` and `speaker:"FULL NAME"`, and these names."""
    names = [(quoted or plain).strip() for quoted, plain in _SPEAKER.findall(query)]
    return _SPEAKER.sub(" ", query), tuple(dict.fromkeys(filter(None, names)))[:MAX_TERMS]


def grams(text: str) -> str:
    """Return the single characters and pairs of a text, in lower case, each encoded as one word of the index."""
    parts = _CONTROL.sub(" ", text).casefold().split()
    found = dict.fromkeys(gram for part in parts for gram in _characters_and_pairs(part))
    return " ".join(map(_word, found))


def is_short(term: str) -> bool:
    """Return whether a term is too short for the trigram index."""
    return len(term) < TRIGRAM


def match(term: str) -> str:
    """Return the FTS5 query that finds a term: in the trigram index, or in the other one when the term is short."""
    if not is_short(term):
        return '"' + term.replace('"', '""') + '"'
    folded = term.casefold()
    pairs = ["".join(pair) for pair in pairwise(folded)]
    return " AND ".join(f'"{_word(gram)}"' for gram in (pairs or folded))


def marked(text: str, wanted: Iterable[str]) -> list[str]:
    """Return the text in pieces. Every second piece is a find; the first one is not, and may be empty."""
    parts, at = [], 0
    for found in _any_of(tuple(wanted)).finditer(text):
        parts += [text[at : found.start()], found[0]]
        at = found.end()
    return [*parts, text[at:]]


def excerpt(text: str, wanted: Sequence[str]) -> list[str]:
    """Return the text around the first find in pieces, as `marked`. An ellipsis stands for text that was left out."""
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


def _characters_and_pairs(part: str) -> Iterator[str]:
    yield from part
    yield from map("".join, pairwise(part))


def _word(gram: str) -> str:
    """Encode characters as ASCII letters and digits, which every tokenizer keeps together."""
    return "".join(f"x{ord(character):x}" for character in gram)
