"""A transcript as pieces: what no line is broken in, in blocks without a silence, with the gaps between them. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Final, NamedTuple

from whisper_service.core.domain import Gap, Segment, Transcript, Word
from whisper_service.core.text import NEVER_FIRST, OPENING, breakable, clean, columns, wide_mark
from whisper_service.export.captions.style import Style

_WEAK: Final = {
    "en": ["a", "an", "the", "of", "to", "in", "on", "at", "by", "for", "from", "with", "and", "or", "but", "as", "if", "that", "than", "my", "your", "his", "her", "its", "our", "their", "is", "are", "was", "i"],
    "de": ["der", "die", "das", "den", "dem", "des", "ein", "eine", "einen", "einem", "einer", "im", "in", "am", "an", "auf", "aus", "bei", "mit", "nach", "von", "vom", "zu", "zum", "zur", "und", "oder", "für"],
    "fr": ["le", "la", "les", "l'", "un", "une", "des", "du", "de", "d'", "à", "au", "aux", "en", "dans", "par", "pour", "sur", "avec", "et", "ou", "que", "qui"],
    "es": ["el", "la", "los", "las", "un", "una", "unos", "unas", "de", "del", "a", "al", "en", "con", "por", "para", "y", "o", "que", "su", "mi"],
    "it": ["il", "lo", "la", "i", "gli", "le", "un", "uno", "una", "di", "a", "da", "in", "con", "su", "per", "tra", "fra", "e", "o", "che", "del", "della", "dei"],
    "pt": ["o", "a", "os", "as", "um", "uma", "de", "do", "da", "dos", "das", "em", "no", "na", "por", "para", "com", "e", "ou", "que"],
}  # fmt: skip


class Piece(NamedTuple):
    """What no line is broken in: a word with its punctuation, or one or a few characters where no spaces are written."""

    text: str
    start: int
    end: int
    space: bool  # a space stands before it
    weak: bool = False  # an article or preposition: it belongs to what follows


class Block(NamedTuple):
    """A stretch without a silence, of one speaker."""

    pieces: list[Piece]
    speaker: str | None = None
    gap: bool = False
    until: int = 0  # where a gap ends


def line(row: Sequence[Piece]) -> str:
    """Pieces as one line of text."""
    return "".join(f" {piece.text}" if piece.space and at else piece.text for at, piece in enumerate(row))


def blocks(transcript: Transcript, style: Style) -> Iterator[Block]:
    """Speech and gaps in the order of time, cut at silences and where another one speaks."""
    gaps = sorted(transcript.gaps, key=lambda gap: gap.start)
    held: list[Piece] = []
    speaker: str | None = None
    at = passed = 0
    for piece, voice in _said(transcript):
        ahead = passed
        while ahead < len(gaps) and _ms(gaps[ahead].start) <= piece.start:
            ahead += 1
        if held and (ahead > passed or voice != speaker or piece.start - held[-1].end >= style.pause_s * 1000):
            yield Block(held, speaker)
            held = []
        for gap in gaps[passed:ahead]:
            yield _hole(gap, at)
        passed, at, speaker = ahead, piece.start, voice
        if held and wide_mark(held[-1].text[-1]):
            piece = piece._replace(space=False)  # `。` and its like bring their own
        if held and _glued(held[-1], piece):
            held[-1] = _joined(held[-1], piece)
        else:
            held.append(piece)
    if held:
        yield Block(held, speaker)
    for gap in gaps[passed:]:
        yield _hole(gap, at)


def _said(transcript: Transcript) -> Iterator[tuple[Piece, str | None]]:
    """Every piece with its speaker; none begins before the one in front of it, whatever the times in the transcript."""
    at = 0
    for segment in sorted(transcript.segments, key=lambda segment: segment.start):
        weak = frozenset(_WEAK.get(segment.language or transcript.language or "en", ()))
        for piece in _pieces(segment, weak):
            at = max(at, piece.start)
            yield piece._replace(start=at, end=max(at, piece.end)), segment.speaker


def _hole(gap: Gap, at: int) -> Block:
    reason = clean(gap.reason)
    start = max(at, _ms(gap.start))
    until = max(start + 1, _ms(gap.end))
    text = f"[not transcribed: {reason}]" if reason else "[not transcribed]"
    return Block([Piece(word, start, until, True) for word in text.split()], gap=True, until=until)


def _pieces(segment: Segment, weak: frozenset[str]) -> Iterator[Piece]:
    """The words of a segment; where it has none, or its text was changed since, the text spread over its time."""
    text = clean(segment.text)
    if segment.words and clean("".join(word.word for word in segment.words)) == text:
        words: Sequence[Word] = segment.words
        spaced = True  # segments are apart, whether or not the first word says so
        for word in words:
            said = clean(word.word)
            spaced = spaced or word.word[:1].isspace()
            if said:
                yield Piece(said, _ms(word.start), _ms(word.end), spaced, said.lower() in weak)
                spaced = False
            spaced = spaced or word.word[-1:].isspace()
        return
    tokens = list(_tokens(text))
    ends = list(accumulate(columns(token) + 1 for token in tokens))
    start, length = _ms(segment.start), max(0, _ms(segment.end) - _ms(segment.start))
    place = 0
    for token, end in zip(tokens, ends, strict=True):
        spaced = place == 0 or text[place].isspace()
        place += spaced and place > 0
        first = start + length * (end - columns(token) - 1) // ends[-1]
        yield Piece(token, first, start + length * end // ends[-1], spaced, token.lower() in weak)
        place += len(token)


def _tokens(text: str) -> Iterator[str]:
    """Clean text cut at spaces and around every wide character."""
    for word in text.split():
        start = 0
        for at, (before, after) in enumerate(pairwise(word), start=1):
            if not _sticks(before, after):
                yield word[start:at]
                start = at
        yield word[start:]


def _glued(before: Piece, after: Piece) -> bool:
    """Whether a line must not be broken here."""
    if after.space:
        return (not any(map(str.isalnum, after.text)) and after.text[0] in NEVER_FIRST) or before.text[-1] in OPENING
    return _sticks(before.text[-1], after.text[0])


def _sticks(before: str, after: str) -> bool:
    if (
        after in NEVER_FIRST
        or before in OPENING
        or unicodedata.category(after)[0] == "M"
        or "\u200d" in (before, after)
    ):
        return True
    return not (breakable(before) or breakable(after))


def _joined(before: Piece, after: Piece) -> Piece:
    return Piece(line((before, after)), before.start, max(before.end, after.end), before.space, False)


def _ms(seconds: float) -> int:
    return max(0, round(seconds * 1000))
