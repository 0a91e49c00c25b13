"""What the vocabulary does for a transcript: terms that the model is told to expect, and corrections of what it wrote.

Pure.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from whisper_service.core.chinese import CHINESE, variants
from whisper_service.core.domain import Options, Task, Value
from whisper_service.editing.matching import Phrase, occurrences, with_replacement
from whisper_service.editing.operations import ChangeText

AUTHOR: Final = "Vocabulary"
"""Who corrected a text, in its history. Clients may translate it: such edits have a kind of their own."""
MAX_TOKENS: Final = 200
"""Tokens of the terms in a prompt, at most."""
PROMPT_TOKENS: Final = 223
"""Tokens of a prompt that Whisper reads. Of a longer one, it leaves out the beginning."""
ANY: Final = ""
"""The language of hints for a recording whose language is not known, or has no terms of its own."""
_PART: Final = re.compile(r"[A-Za-z]+|\d|[^\sA-Za-z\d]")
_LETTERS: Final = 2
"""Letters in a token of a rare Latin word, at least: names are cut into short pieces."""


class Term(Value, frozen=True):
    """A word or a name that recordings are about."""

    id: int
    term: str  # as it is written
    heard: tuple[str, ...] = ()  # what the model writes instead
    language: str | None = None  # None: any
    hint: bool = True  # the model is told to expect it
    replace: bool = False  # what was heard instead is corrected when a job ends
    uses: int = 0  # corrections so far


class _Shown(Protocol):
    """What a correction needs of a line."""

    @property
    def id(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def text(self) -> str: ...
    @property
    def language(self) -> str | None: ...


class Corrections(NamedTuple):
    """Operations that correct a transcript, and how many corrections they make for each term, by its ID."""

    operations: tuple[ChangeText, ...]
    uses: dict[int, int]


def hints(terms: Iterable[Term], options: Options) -> dict[str, str]:
    """Return the terms to tell the model, by language, as a text for the end of the prompt.

    The most used ones come first, as many as fit behind the prompt of the job. A job whose language is to be detected
    gets a text for each language that has terms, and one for all others (`ANY`).
    """
    wanted = sorted((term for term in terms if term.hint), key=lambda term: (-term.uses, term.term))
    if not wanted or options.task is Task.DETECT:
        return {}
    language = "en" if options.task is Task.TRANSLATE else options.language
    languages = {term.language for term in wanted if term.language} if language is None else set()
    room = min(MAX_TOKENS, PROMPT_TOKENS - most_tokens(options.prompt or ""))
    texts = {ANY: _hint(wanted, language, room)} | {each: _hint(wanted, each, room) for each in sorted(languages)}
    return {language: text for language, text in texts.items() if text}


def prompt_with(prompt: str | None, told: Mapping[str, str], language: str | None) -> str | None:
    """Return the prompt of a job with the hints for a language. None: it has neither."""
    parts = [(prompt or "").strip(), told.get(language or ANY) or told.get(ANY, "")]
    return " ".join(filter(None, parts)) or None


def most_tokens(text: str) -> int:
    """Return how many tokens of Whisper a text has, or some more. No model is asked: the service loads none."""
    return sum(
        -(-len(part) // _LETTERS) if part.isascii() else len(part.encode()) for part in _PART.findall(text)
    )  # fmt: skip


def corrections(lines: Iterable[_Shown], terms: Iterable[Term], language: str | None) -> Corrections:
    """Return what corrects the lines that nobody has changed. `language` is that of lines that state none."""
    wanted = [term for term in terms if term.replace and term.heard]
    operations: list[ChangeText] = []
    uses: Counter[int] = Counter()
    for line in lines if wanted else ():
        if line.version:
            continue
        spoken = line.language or language
        text = line.text
        for term in wanted:
            if term.language in (None, spoken):
                text, count = _corrected(text, term, spoken)
                uses[term.id] += count
        if text != line.text:
            operations.append(ChangeText(id=line.id, v=line.version, text=text))
    return Corrections(tuple(operations), {term_id: count for term_id, count in uses.items() if count})


def _hint(terms: Sequence[Term], language: str | None, room: int) -> str:
    between, end = ("、", "。") if language in ("zh", "yue", "ja") else (", ", ".")
    room -= most_tokens(end)
    chosen: list[str] = []
    for term in terms:
        needed = most_tokens(term.term + between)
        if term.language in (None, language) and needed <= room and term.term not in chosen:
            chosen.append(term.term)
            room -= needed
    return between.join(chosen) + end if chosen else ""


def _corrected(text: str, term: Term, language: str | None) -> tuple[str, int]:
    """Return the text with a term where it was heard as something else, and how often. Longer ones come first."""
    characters = variants() if language in CHINESE else None
    count = 0
    for heard in sorted(term.heard, key=len, reverse=True):
        right = occurrences(text, Phrase(term.term, case=True))
        wrong = [
            (first, last)
            for first, last in occurrences(text, Phrase(heard, whole=True), characters)
            if not any(first < end and begin < last for begin, end in right)
        ]
        text, count = with_replacement(text, wrong, term.term), count + len(wrong)
    return text, count
