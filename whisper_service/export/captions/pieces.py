"""Cut a transcript into pieces, which no line may be broken in, and blocks without a silence. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Final, NamedTuple

from whisper_service.core.domain import Gap, HeldSegment, Segment, Transcript
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


Key = tuple[int, int]
"""What identifies a segment: the numbers of its chunk, and of the segment in that."""


class TextStretch(NamedTuple):
    """A stretch of the text of a segment: its key, and characters of its text as `core.text.clean` gives it."""

    chunk: int
    segment: int
    begin: int
    end: int


class Piece(NamedTuple):
    """Text that stays on one line: a word with its marks, or a few characters of a script without spaces."""

    text: str
    start: int  # milliseconds
    end: int
    space: bool  # a space stands before it
    weak: bool = False  # an article or preposition: it belongs to the next piece
    places: tuple[TextStretch, ...] = ()  # where it stands; none: in a gap


class Block(NamedTuple):
    """A stretch of one speaker without a silence, a segment that people timed, or a gap."""

    pieces: list[Piece]
    speaker: str | None = None
    gap: bool = False
    until: int = 0  # the end of a gap, in milliseconds
    held: tuple[int, int] | None = None  # the block is one cue with these times, in milliseconds


def line(row: Sequence[Piece]) -> str:
    """Return pieces as one line of text."""
    return "".join(f" {piece.text}" if piece.space and at else piece.text for at, piece in enumerate(row))


def blocks(transcript: Transcript, style: Style, *, named: bool = False) -> Iterator[Block]:
    """Yield speech and gaps in the order of time, cut at silences and where the speaker changes.

    A segment that people timed is a block of its own, whatever is in it. With `named`, the first piece of a speaker
    after another one has the name before it, so that lines are cut with it.
    """
    gaps = sorted(transcript.gaps, key=lambda gap: gap.start)
    block = Block([])
    key: Key | None = None  # of the segment that people timed, if the block is one
    speaker: str | None = None
    at = passed = 0
    for piece, segment in _timed_pieces(transcript):
        voice, timed = segment.speaker, _key(segment) if isinstance(segment, HeldSegment) else None
        within = timed is not None and timed == key
        ahead = passed
        while not within and ahead < len(gaps) and milliseconds(gaps[ahead].start) <= piece.start:
            ahead += 1
        if not within and (
            ahead > passed
            or voice != speaker
            or timed != key
            or (block.pieces and piece.start - block.pieces[-1].end >= style.pause_s * 1000)
        ):
            if block.pieces:
                yield block
            block = Block([], voice)
        for gap in gaps[passed:ahead]:
            yield _gap_block(gap, at)
        if named and voice != speaker and (name := clean(voice or "")):
            piece = piece._replace(text=f"{name}: {piece.text}")
        passed, at, speaker, key = ahead, piece.start, voice, timed
        if timed is not None:
            block = block._replace(held=_reach(block.held, segment))
        _add(block.pieces, piece)
    if block.pieces:
        yield block
    for gap in gaps[passed:]:
        yield _gap_block(gap, at)


def _add(pieces: list[Piece], piece: Piece) -> None:
    """Add a piece to those of a block: to the last of them if no line may be broken between the two."""
    if pieces and wide_mark(pieces[-1].text[-1]):
        piece = piece._replace(space=False)
    if pieces and _inseparable(pieces[-1], piece):
        pieces[-1] = _joined(pieces[-1], piece)
    else:
        pieces.append(piece)


def _reach(times: tuple[int, int] | None, segment: Segment) -> tuple[int, int]:
    """Return the times of a cue that has a segment, or a part of one in which the speaker changes."""
    start, end = milliseconds(segment.start), milliseconds(segment.end)
    return (start, end) if times is None else (min(times[0], start), max(times[1], end))


def _key(segment: Segment) -> Key:
    return segment.chunk, segment.index


def _in_order(segments: Sequence[Segment]) -> list[Segment]:
    """Return segments in the order of time. The parts of one that people timed stay together."""
    begins: dict[Key, float] = {}
    for segment in segments:
        if isinstance(segment, HeldSegment):
            begins[_key(segment)] = min(segment.start, begins.get(_key(segment), segment.start))
    return sorted(segments, key=lambda each: begins[_key(each)] if isinstance(each, HeldSegment) else each.start)


def _timed_pieces(transcript: Transcript) -> Iterator[tuple[Piece, Segment]]:
    """Yield every piece with its segment. No piece begins before the one in front of it, even in bad data."""
    at = 0
    for segment in _in_order(transcript.segments):
        weak = frozenset(_WEAK.get(segment.language or transcript.language or "en", ()))
        for piece in _pieces(segment, weak):
            at = max(at, piece.start)
            yield piece._replace(start=at, end=max(at, piece.end)), segment


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
        spaced, place = True, 0  # segments are apart, even if the first word has no space
        for word in segment.words:
            spoken = clean(word.word)
            spaced = spaced or word.word[:1].isspace()
            if spoken:
                place += spaced and place > 0
                places = (TextStretch(segment.chunk, segment.index, place, place + len(spoken)),)
                start, end = milliseconds(word.start), milliseconds(word.end)
                yield Piece(spoken, start, end, spaced, spoken.lower() in weak, places)
                spaced = False
                place += len(spoken)
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
        places = (TextStretch(segment.chunk, segment.index, place, place + len(token)),)
        yield Piece(token, first, start + length * end // ends[-1], spaced, token.lower() in weak, places)
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
    places = before.places + after.places
    return Piece(line((before, after)), before.start, max(before.end, after.end), before.space, places=places)
