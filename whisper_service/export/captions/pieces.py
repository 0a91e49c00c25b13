"""Cut a transcript into pieces, which no line may be broken in, and blocks without a silence. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Final, NamedTuple

from whisper_service.core.domain import Gap, Segment, Transcript
from whisper_service.core.text import NEVER_FIRST, OPENING, breakable, clean, columns, wide_mark
from whisper_service.core.timecode import milliseconds
from whisper_service.export.captions.style import Style

_WEAK: Final = {
    "en": [
        "a", "an", "the", "of", "to", "in", "on", "at", "by", "for", "from", "with", "and", "or", "but", "as", "if",
        "that", "than", "my", "your", "his", "her", "its", "our", "their", "is", "are", "was", "i"
    ],
    "de": [
        "der", "die", "das", "den", "dem", "des", "ein", "eine", "einen", "einem", "einer", "im", "in", "am", "an",
        "auf", "aus", "bei", "mit", "nach", "von", "vom", "zu", "zum", "zur", "und", "oder", "für"
    ],
    "fr": [
        "le", "la", "les", "l'", "un", "une", "des", "du", "de", "d'", "à", "au", "aux", "en", "dans", "par", "pour",
        "sur", "avec", "et", "ou", "que", "qui"
    ],
    "es": [
        "el", "la", "los", "las", "un", "una", "unos", "unas", "de", "del", "a", "al", "en", "con", "por", "para", "y",
        "o", "que", "su", "mi"
    ],
    "it": [
        "il", "lo", "la", "i", "gli", "le", "un", "uno", "una", "di", "a", "da", "in", "con", "su", "per", "tra", "fra",
        "e", "o", "che", "del", "della", "dei"
    ],
    "pt": [
        "o", "a", "os", "as", "um", "uma", "de", "do", "da", "dos", "das", "em", "no", "na", "por", "para", "com", "e",
        "ou", "que"
    ],
}  # fmt: skip
"""Language -> articles, prepositions and other words that belong to the word after them."""


class Piece(NamedTuple):
    """Text that stays on one line: a word with its marks, or a few characters of a script without spaces."""

    text: str
    start: int  # milliseconds
    end: int
    space: bool  # a space stands before it
    weak: bool = False  # an article or preposition: it belongs to the next piece


class Block(NamedTuple):
    """A stretch of one speaker without a silence, or a gap."""

    pieces: list[Piece]
    speaker: str | None = None
    gap: bool = False
    until: int = 0  # the end of a gap, in milliseconds


def line(row: Sequence[Piece]) -> str:
    """Return pieces as one line of text."""
    return "".join(f" {piece.text}" if piece.space and at else piece.text for at, piece in enumerate(row))


def blocks(transcript: Transcript, style: Style, *, named: bool = False) -> Iterator[Block]:
    """Yield speech and gaps in the order of time, cut at silences and where the speaker changes.

    With `named`, the first piece of a speaker after another one has the name before it, so that lines are cut with it.
    """
    gaps = sorted(transcript.gaps, key=lambda gap: gap.start)
    held: list[Piece] = []
    speaker: str | None = None
    at = passed = 0
    for piece, voice in _timed_pieces(transcript):
        ahead = passed
        while ahead < len(gaps) and milliseconds(gaps[ahead].start) <= piece.start:
            ahead += 1
        if held and (ahead > passed or voice != speaker or piece.start - held[-1].end >= style.pause_s * 1000):
            yield Block(held, speaker)
            held = []
        for gap in gaps[passed:ahead]:
            yield _gap_block(gap, at)
        if named and voice != speaker and (name := clean(voice or "")):
            piece = piece._replace(text=f"{name}: {piece.text}")
        passed, at, speaker = ahead, piece.start, voice
        if held and wide_mark(held[-1].text[-1]):
            piece = piece._replace(space=False)
        if held and _inseparable(held[-1], piece):
            held[-1] = _joined(held[-1], piece)
        else:
            held.append(piece)
    if held:
        yield Block(held, speaker)
    for gap in gaps[passed:]:
        yield _gap_block(gap, at)


def _timed_pieces(transcript: Transcript) -> Iterator[tuple[Piece, str | None]]:
    """Yield every piece with its speaker. No piece begins before the one in front of it, even in bad data."""
    at = 0
    for segment in sorted(transcript.segments, key=lambda segment: segment.start):
        weak = frozenset(_WEAK.get(segment.language or transcript.language or "en", ()))
        for piece in _pieces(segment, weak):
            at = max(at, piece.start)
            yield piece._replace(start=at, end=max(at, piece.end)), segment.speaker


def _gap_block(gap: Gap, at: int) -> Block:
    """Return a gap as a block that does not begin before `at`."""
    reason = clean(gap.reason)
    start = max(at, milliseconds(gap.start))
    until = max(start + 1, milliseconds(gap.end))
    text = f"[not transcribed: {reason}]" if reason else "[not transcribed]"
    return Block([Piece(word, start, until, True) for word in text.split()], gap=True, until=until)


def _pieces(segment: Segment, weak: frozenset[str]) -> Iterator[Piece]:
    """Yield the words of a segment. Without words, or if the text was edited, spread the text over the time."""
    text = clean(segment.text)
    if segment.words and clean("".join(word.word for word in segment.words)) == text:
        spaced = True  # segments are apart, even if the first word has no space
        for word in segment.words:
            spoken = clean(word.word)
            spaced = spaced or word.word[:1].isspace()
            if spoken:
                yield Piece(spoken, milliseconds(word.start), milliseconds(word.end), spaced, spoken.lower() in weak)
                spaced = False
            spaced = spaced or word.word[-1:].isspace()
        return
    tokens = list(_tokens(text))
    ends = list(accumulate(columns(token) + 1 for token in tokens))
    start, length = milliseconds(segment.start), max(0, milliseconds(segment.end) - milliseconds(segment.start))
    place = 0
    for token, end in zip(tokens, ends, strict=True):
        spaced = place == 0 or text[place].isspace()
        place += spaced and place > 0
        first = start + length * (end - columns(token) - 1) // ends[-1]
        yield Piece(token, first, start + length * end // ends[-1], spaced, token.lower() in weak)
        place += len(token)


def _tokens(text: str) -> Iterator[str]:
    """Cut clean text at spaces and beside wide characters."""
    for word in text.split():
        start = 0
        for at, (before, after) in enumerate(pairwise(word), start=1):
            if not _sticks(before, after):
                yield word[start:at]
                start = at
        yield word[start:]


def _inseparable(before: Piece, after: Piece) -> bool:
    """Return whether a line must not be broken between two pieces."""
    if after.space:
        return (not any(map(str.isalnum, after.text)) and after.text[0] in NEVER_FIRST) or before.text[-1] in OPENING
    return _sticks(before.text[-1], after.text[0])


def _sticks(before: str, after: str) -> bool:
    """Return whether a line must not be broken between two characters without a space."""
    if after in NEVER_FIRST or before in OPENING or unicodedata.category(after)[0] == "M":
        return True
    return "\u200d" in (before, after) or not (breakable(before) or breakable(after))


def _joined(before: Piece, after: Piece) -> Piece:
    return Piece(line((before, after)), before.start, max(before.end, after.end), before.space)
