"""A transcript as captions that people can read: words -> cues. Pure, and always the same for the same words.

Cuts where a subtitler would: at the ends of sentences, then clauses, then pauses; into at most two balanced lines, with articles
and prepositions beside what they belong to. Every cue says words in their order and none is left out, so speech faster than the
reading speed stays faster: such a cue is shown as long as there is room, and no longer. Times are whole milliseconds.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import Annotated, Final, NamedTuple

import msgspec

from whisper_service.domain import Gap, Segment, Transcript, Value, Word

Seconds = Annotated[float, msgspec.Meta(ge=0, le=60)]
Rate = Annotated[float, msgspec.Meta(ge=1, le=100)]
Columns = Annotated[int, msgspec.Meta(ge=8, le=500)]


class Style(Value, frozen=True, forbid_unknown_fields=True):
    """What readable means. The defaults are those of the large timed-text guides.

    A width is in columns: wide (Chinese, Japanese, Korean) characters take two, combining marks none. Text that is mostly wide
    has the limit `cjk_line_columns`, all other `line_columns`. Raises `ValueError` if `min_s` is more than `max_s`.
    """

    line_columns: Columns = 42
    cjk_line_columns: Columns = 32  # 16 characters
    lines: Annotated[int, msgspec.Meta(ge=1, le=2)] = 2
    chars_per_s: Rate = 17.0
    cjk_chars_per_s: Rate = 9.0
    min_s: Seconds = 5 / 6
    max_s: Annotated[float, msgspec.Meta(ge=0.5, le=60)] = 7.0
    gap_s: Seconds = 1 / 12  # dark between two cues, or the eye misses the change: two frames of film
    pause_s: Seconds = 1.0  # a silence this long is never inside a cue
    linger_s: Seconds = 1.0  # how long a cue may stay after its last word

    def __post_init__(self) -> None:
        if self.min_s > self.max_s:
            raise ValueError("min_s is more than max_s")

    def limit(self, columns: int, wide: int) -> int:
        """The width of a line in a cue of `columns`, of which wide characters take `wide`."""
        return self.cjk_line_columns if wide * 2 > columns else self.line_columns


class Piece(NamedTuple):
    """What no line is broken in: a word with its punctuation, or one or a few characters where no spaces are written."""

    text: str
    start: int
    end: int
    space: bool  # a space stands before it
    weak: bool = False  # an article or preposition: it belongs to what follows


class Cue(NamedTuple):
    """Text on screen from `start` to `end` in milliseconds, `end > start`; every row has pieces and every piece has text."""

    start: int
    end: int
    rows: tuple[tuple[Piece, ...], ...]
    speaker: str | None = None
    gap: bool = False  # not speech: it tells of a stretch that could not be transcribed

    @property
    def lines(self) -> tuple[str, ...]:
        """The rows as text."""
        return tuple(line(row) for row in self.rows)


def cues(transcript: Transcript, style: Style | None = None) -> list[Cue]:
    """The captions of a transcript in the order of time; none overlaps another.

    Limits of length and width hold for all cues but those of one piece that breaks them by itself. A gap is a cue of its own as
    long as the gap, whatever `style` says of length.
    """
    style = style or Style()
    drafts: list[_Draft] = []
    for block in _blocks(transcript, style):
        if block.gap:
            drafts.append(_Draft(tuple(_wrapped(block.pieces, style)), block))
        else:
            drafts += (_Draft(rows, block) for rows in _split(block.pieces, style))
    return _timed(drafts, style)


def line(row: Sequence[Piece]) -> str:
    """Pieces as one line of text."""
    return "".join(f" {piece.text}" if piece.space and at else piece.text for at, piece in enumerate(row))


def clean(text: str) -> str:
    """Text on one line, with one kind of space and no control characters."""
    return " ".join(text.translate(_CONTROL).split())


def columns(text: str) -> int:
    """Width on a screen where wide characters take two columns and combining marks none."""
    return len(text) if text.isascii() else sum(map(_width, text))


class _Block(NamedTuple):
    """A stretch without a silence, of one speaker."""

    pieces: list[Piece]
    speaker: str | None = None
    gap: bool = False
    until: int = 0  # where a gap ends


class _Draft(NamedTuple):
    rows: tuple[tuple[Piece, ...], ...]
    block: _Block


_CONTROL: Final = dict.fromkeys([*range(9), *range(14, 28), *range(127, 160), 0xFEFF]) | {0x85: " "}
_SENTENCE: Final = frozenset(".?!。？！…｡؟।")
_CLAUSE: Final = frozenset(",;:，、；：،؛—–")
_CLOSING: Final = frozenset("\"'”’»)]}）】」』》〉%％")
_OPENING: Final = frozenset("“‘«([{（【「『《〈¿¡")
_NEVER_FIRST: Final = _CLOSING | _SENTENCE | _CLAUSE | frozenset("々ー・ぁぃぅぇぉっゃゅょァィゥェォッャュョ～")
_ABBREVIATIONS: Final = frozenset(["mr.", "mrs.", "ms.", "dr.", "st.", "prof.", "jr.", "sr.", "vs.", "no.", "fig.", "e.g.", "i.e.", "sra.", "dra.", "hr.", "bzw.", "z.b.", "m."])
_WEAK: Final = {
    "en": ["a", "an", "the", "of", "to", "in", "on", "at", "by", "for", "from", "with", "and", "or", "but", "as", "if", "that", "than", "my", "your", "his", "her", "its", "our", "their", "is", "are", "was", "i"],
    "de": ["der", "die", "das", "den", "dem", "des", "ein", "eine", "einen", "einem", "einer", "im", "in", "am", "an", "auf", "aus", "bei", "mit", "nach", "von", "vom", "zu", "zum", "zur", "und", "oder", "für"],
    "fr": ["le", "la", "les", "l'", "un", "une", "des", "du", "de", "d'", "à", "au", "aux", "en", "dans", "par", "pour", "sur", "avec", "et", "ou", "que", "qui"],
    "es": ["el", "la", "los", "las", "un", "una", "unos", "unas", "de", "del", "a", "al", "en", "con", "por", "para", "y", "o", "que", "su", "mi"],
    "it": ["il", "lo", "la", "i", "gli", "le", "un", "uno", "una", "di", "a", "da", "in", "con", "su", "per", "tra", "fra", "e", "o", "che", "del", "della", "dei"],
    "pt": ["o", "a", "os", "as", "um", "uma", "de", "do", "da", "dos", "das", "em", "no", "na", "por", "para", "com", "e", "ou", "que"],
}  # fmt: skip


def _blocks(transcript: Transcript, style: Style) -> Iterator[_Block]:
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
            yield _Block(held, speaker)
            held = []
        for gap in gaps[passed:ahead]:
            yield _hole(gap, at)
        passed, at, speaker = ahead, piece.start, voice
        if held and _width(held[-1].text[-1]) == 2 and not held[-1].text[-1].isalnum():
            piece = piece._replace(space=False)  # `。` and its like bring their own
        if held and _glued(held[-1], piece):
            held[-1] = _joined(held[-1], piece)
        else:
            held.append(piece)
    if held:
        yield _Block(held, speaker)
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


def _hole(gap: Gap, at: int) -> _Block:
    reason = clean(gap.reason)
    start = max(at, _ms(gap.start))
    until = max(start + 1, _ms(gap.end))
    text = f"[not transcribed: {reason}]" if reason else "[not transcribed]"
    return _Block([Piece(word, start, until, True) for word in text.split()], gap=True, until=until)


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
        return (not any(map(str.isalnum, after.text)) and after.text[0] in _NEVER_FIRST) or before.text[-1] in _OPENING
    return _sticks(before.text[-1], after.text[0])


def _sticks(before: str, after: str) -> bool:
    if after in _NEVER_FIRST or before in _OPENING or unicodedata.category(after)[0] == "M" or "\u200d" in (before, after):
        return True
    return not any(_width(edge) == 2 or _unspaced(edge) for edge in (before, after))


def _joined(before: Piece, after: Piece) -> Piece:
    return Piece(line((before, after)), before.start, max(before.end, after.end), before.space, False)


def _split(pieces: Sequence[Piece], style: Style) -> list[tuple[tuple[Piece, ...], ...]]:
    """The cheapest way to cut a block into cues, found by dynamic programming over the last cut."""
    measures = _Measures(pieces, style)
    count = len(pieces)
    best = [0.0] + [float("inf")] * count
    came = [0] * (count + 1)
    for first in range(count):
        for after in range(first + 1, min(count, first + measures.widest) + 1):
            cost = measures.cost(first, after, best[after] - best[first])
            if cost is None:
                if measures.hopeless(first, after):
                    break
                continue
            if best[first] + cost < best[after]:
                best[after], came[after] = best[first] + cost, first
    cuts = [count]
    while cuts[-1]:
        cuts.append(came[cuts[-1]])
    cuts.reverse()
    return [measures.rows(first, after) for first, after in pairwise(cuts)]


class _Measures:
    """Sums over the pieces of a block, so that a possible cue is weighed without looking at its text."""

    def __init__(self, pieces: Sequence[Piece], style: Style) -> None:
        self.pieces = pieces
        self.style = style
        widths = [columns(piece.text) for piece in pieces]
        wides = [width - _narrow(piece.text) for width, piece in zip(widths, pieces, strict=True)]
        self.reach = [0, *accumulate(width + piece.space for width, piece in zip(widths, pieces, strict=True))]
        self.wide = [0, *accumulate(wides)]
        self.sentences = [0, *accumulate(_ends_sentence(piece.text) for piece in pieces)]
        self.widest = max(style.line_columns, style.cjk_line_columns) * style.lines + 1
        follow = [*pieces[1:], None]
        self.break_cost = [_break_cost(piece, after) for piece, after in zip(pieces, follow, strict=True)]

    def width(self, first: int, after: int) -> int:
        return self.reach[after] - self.reach[first] - self.pieces[first].space

    def hopeless(self, first: int, after: int) -> bool:
        """Whether no longer cue from `first` can fit either."""
        return self.width(first, after) > self.widest or self.pieces[after - 1].end - self.pieces[first].start > self.style.max_s * 1000

    def cost(self, first: int, after: int, bound: float) -> float | None:
        """How bad these pieces are as one cue; None if they do not fit. What is not under `bound` need not be exact."""
        style, pieces = self.style, self.pieces
        width, wide = self.width(first, after), self.wide[after] - self.wide[first]
        begin, end = pieces[first].start, pieces[after - 1].end
        cost = 1.0
        limit = width
        if after - first > 1:
            limit = style.limit(width, wide)
            if end - begin > style.max_s * 1000:
                return None
            if width > limit:
                if style.lines < 2 or width > 2 * limit + 1:
                    return None
                cost += 0.15
        last = after == len(pieces)
        if not last:
            cost += self.break_cost[after - 1]
        cost += 0.9 * (self.sentences[after - 1] - self.sentences[first])
        if width < 12 and not (first == 0 and last):
            cost += 0.8 * (12 - width) / 12
        room = end + style.linger_s * 1000 if last else min(end + style.linger_s * 1000, pieces[after].start - style.gap_s * 1000)
        shown = max(1.0, min(room, begin + style.max_s * 1000) - begin) / 1000
        if shown < style.min_s:
            cost += 1.5 * (1 - shown / style.min_s)
        need = _reading_s(width, wide, style)
        if need > shown:
            cost += min(3.0, 1.5 * (need / shown - 1))
        if width > limit and cost < bound:  # the dear part last, and only if it matters
            cut, bend = self.bend(first, after, limit)
            return cost + 0.3 * bend if cut else None
        return cost

    def bend(self, first: int, after: int, limit: int) -> tuple[int, float]:
        """Where to break a cue that needs two lines, and how bad that is; 0 if there is no place."""
        chosen, least = 0, float("inf")
        begin, end = self.reach[first] + self.pieces[first].space, self.reach[after]
        for cut in range(max(first + 1, bisect_left(self.reach, end - limit - 1, first, after)), after):
            upper = self.reach[cut] - begin
            if upper > limit:
                break
            lower = end - self.reach[cut] - self.pieces[cut].space
            if lower > limit:
                continue
            # A lower line that is a little longer than the upper reads better than the reverse.
            uneven = (lower - upper if lower >= upper else 1.2 * (upper - lower)) / limit
            cost = uneven + 0.35 * self.break_cost[cut - 1]
            if cost < least:
                chosen, least = cut, cost
        return chosen, least

    def rows(self, first: int, after: int) -> tuple[tuple[Piece, ...], ...]:
        width = self.width(first, after)
        limit = self.style.limit(width, self.wide[after] - self.wide[first])
        cut = self.bend(first, after, limit)[0] if width > limit and self.style.lines > 1 else 0
        if not cut:
            return (tuple(self.pieces[first:after]),)
        return tuple(self.pieces[first:cut]), tuple(self.pieces[cut:after])


def _break_cost(before: Piece, after: Piece | None) -> float:
    """How much it hurts to cut between two pieces: nothing at the end of a sentence, most after an article."""
    if after is None or _ends_sentence(before.text):
        return 0.0
    mark = before.text.rstrip("".join(_CLOSING))[-1:] or before.text[-1]
    # Chinese and Japanese write a space only between phrases, Korean between words.
    clause = mark in _CLAUSE or (after.space and _ideographic(before.text[-1]) and _ideographic(after.text[0]))
    cost = 0.5 if clause else 3.5 if before.weak else 2.0
    if not clause and not after.space and not before.weak:
        cost += 0.3  # between characters that may be one word
    return max(0.2, cost - min(1.0, (after.start - before.end) / 500))


def _wrapped(pieces: Sequence[Piece], style: Style) -> Iterator[tuple[Piece, ...]]:
    """Lines filled one after the other, as many as it takes."""
    whole = line(pieces)
    limit = style.limit(columns(whole), columns(whole) - _narrow(whole))
    row: list[Piece] = []
    for piece in pieces:
        if row and columns(line([*row, piece])) > limit:
            yield tuple(row)
            row = []
        row.append(piece)
    yield tuple(row)


def _timed(drafts: Sequence[_Draft], style: Style) -> list[Cue]:
    """Show every cue long enough to be read where there is room, and keep the least gap to the next."""
    done: list[Cue] = []
    least, most, dark, linger = (round(s * 1000) for s in (style.min_s, style.max_s, style.gap_s, style.linger_s))
    free = 0
    for number, (rows, block) in enumerate(drafts):
        start = max(rows[0][0].start, free)
        following = drafts[number + 1].rows[0][0].start if number + 1 < len(drafts) else None
        if block.gap:
            end = max(start + 1, block.until)
        else:
            spoken = min(max(rows[-1][-1].end, start + 1), start + most)
            text = " ".join(line(row) for row in rows)
            width = columns(text)
            need = round(_reading_s(width, width - _narrow(text), style) * 1000)
            end = min(max(spoken, start + max(least, need)), spoken + linger, start + most)
            if following is not None and 0 <= following - dark - end < FLICKER_MS:
                end = min(following - dark, start + most)
        if following is not None:
            end = min(end, following - dark if following - dark > start else following)
        end = max(end, start + 1)
        free = end
        done.append(Cue(start, end, rows, block.speaker, block.gap))
    return done


FLICKER_MS: Final = 300
"""A dark moment shorter than this, but longer than the least gap, only flickers: the cue before it stays."""


def _reading_s(width: int, wide: int, style: Style) -> float:
    return (width - wide) / style.chars_per_s + wide / 2 / style.cjk_chars_per_s


def _ends_sentence(text: str) -> bool:
    mark = text.rstrip("".join(_CLOSING))
    if mark[-1:] not in _SENTENCE:
        return False
    stem = mark[:-1].lstrip("".join(_OPENING) + "\"'")
    return mark[-1] != "." or not ((len(stem) == 1 and stem.isupper()) or f"{stem}.".lower() in _ABBREVIATIONS)


def _narrow(text: str) -> int:
    """Columns that are not those of wide characters."""
    return len(text) if text.isascii() else sum(_width(c) == 1 for c in text)


@lru_cache(maxsize=20_000)
def _width(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def _ideographic(character: str) -> bool:
    return _width(character) == 2 and not "\uac00" <= character <= "\ud7a3"


def _unspaced(character: str) -> bool:
    """Thai, Lao, Tibetan, Burmese, Khmer: narrow scripts that write no spaces between words."""
    return "\u0e00" <= character <= "\u109f" or "\u1780" <= character <= "\u17ff"


def _ms(seconds: float) -> int:
    return max(0, round(seconds * 1000))
