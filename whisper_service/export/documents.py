"""Write texts to read and edit: txt, tsv, json, md, docx. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

import msgspec

from whisper_service.core.domain import Transcript
from whisper_service.core.file_names import stem_of
from whisper_service.core.text import clean, wide_mark
from whisper_service.core.timecode import clock, hms, milliseconds
from whisper_service.export.layout import Layout
from whisper_service.export.speaker_names import WholeTranscript, names_shown, speaking_times
from whisper_service.export.word_file import paragraph, run, word_file


def to_json(transcript: Transcript, layout: Layout) -> str:
    """Write everything, with the field names of the API. `speakers` are left out where no names are shown."""
    whole = WholeTranscript(**msgspec.structs.asdict(transcript))
    if names_shown(transcript, layout):
        whole = msgspec.structs.replace(whole, speakers=speaking_times(transcript))
    elif layout.speakers is False:
        whole = msgspec.structs.replace(
            whole, segments=tuple(msgspec.structs.replace(segment, speaker=None) for segment in whole.segments)
        )
    return msgspec.json.format(msgspec.json.encode(whole), indent=2).decode() + "\n"


def to_txt(transcript: Transcript, layout: Layout) -> str:
    """Write one line for each segment. It begins with the name of its speaker if another one spoke before."""
    named = names_shown(transcript, layout)
    lines, last = [], None
    for passage in passages(transcript):
        changed = named and not passage.gap and passage.speaker != last
        lines.append(f"{passage.label if changed else ''}{passage.text}\n")
        last = last if passage.gap else passage.speaker
    return "".join(lines)


def to_tsv(transcript: Transcript, layout: Layout) -> str:
    """Write start and end in whole milliseconds and the text, separated by tabs, like the original Whisper.

    If `layout` asks for speakers, their names are a fourth column.
    """
    rows: list[tuple[object, ...]] = [("start", "end", "text", "speaker")]
    rows += ((row.start, row.end, row.text, row.name) for row in passages(transcript))
    return "".join("\t".join(map(str, row if layout.speakers else row[:3])) + "\n" for row in rows)


def to_md(transcript: Transcript, layout: Layout) -> str:
    """Write Markdown (CommonMark): the name as heading, then paragraphs that begin with their time and speaker."""
    blocks = [f"# {literal(clean(stem_of(transcript.name)))}".rstrip()]
    for each in map(joined, paragraphs(transcript)):
        marks = [f"**{literal(mark)}**" for mark in each.marks(layout)]
        text = literal(each.text)
        blocks.append(" ".join([*marks, text]) if marks else _LIST.sub(r"\1\\\2", text))
    return "\n\n".join(blocks) + "\n"


def to_docx(transcript: Transcript, layout: Layout) -> bytes:
    """Write Office Open XML: the name as title, then paragraphs as in `to_md`. Equal transcripts give equal bytes."""
    body = (paragraph(_runs(p, layout), p.text) for p in map(joined, paragraphs(transcript)))
    return word_file(clean(stem_of(transcript.name)), "".join(body), author=clean(layout.author))


def _runs(passage: Passage, layout: Layout) -> str:
    return "".join([*(run(f"{mark} ", "<w:b/>") for mark in passage.marks(layout)), run(passage.text)])


Key = tuple[int, int]
"""The chunk and the number of a segment: what a line and its segment have in common."""


class Passage(NamedTuple):
    """Text on one line from `start` to `end` in milliseconds, `end > start`."""

    start: int
    end: int
    text: str
    speaker: str | None = None
    gap: bool = False
    key: Key | None = None  # of its segment; None: a gap

    @property
    def name(self) -> str:
        """The name of the speaker on one line."""
        return clean(self.speaker or "")

    @property
    def label(self) -> str:
        """The name as it stands before the text."""
        return f"{self.name}: " if self.name else ""

    def marks(self, layout: Layout) -> list[str]:
        """Return what stands before the text in bold: time and speaker, as far as the layout shows them."""
        when = [hms(self.start)] if layout.times else []
        return [*when, f"{self.name}:"] if self.name and layout.speakers is not False else when


def passages(transcript: Transcript) -> Iterator[Passage]:
    """Yield segments and gaps in the order of time, without segments that have no text."""
    found = [(s.start, s.end, s.text, s.speaker, (s.chunk, s.index)) for s in transcript.segments]
    told: list[tuple[float, float, str, str | None, Key | None]] = [*found]
    told += ((g.start, g.end, _gap(g.start, g.end, g.reason), None, None) for g in transcript.gaps)
    for start, end, text, speaker, key in sorted(told, key=lambda item: item[0]):
        if text := clean(text):
            first = milliseconds(start)
            yield Passage(first, max(milliseconds(end), first + 1), text, speaker, key is None, key)


def _gap(start: float, end: float, reason: str) -> str:
    first, last = (clock(milliseconds(at)) for at in (start, end))
    return f"[{first} - {last} not transcribed: {clean(reason)}]"


PAUSE_MS: Final = 2_000
"""A silence this long ends a paragraph."""
LONG: Final = 600
"""A paragraph with so many characters ends at the next end of a segment."""


def paragraphs(transcript: Transcript) -> Iterator[list[Passage]]:
    """Yield the passages of each paragraph: those of one speaker without a pause, until they are long."""
    held: list[Passage] = []
    for passage in passages(transcript):
        if held and ends_paragraph(held, passage):
            yield held
            held = []
        held.append(passage)
    if held:
        yield held


def ends_paragraph(held: Sequence[Passage], passage: Passage) -> bool:
    """Return whether a passage begins a new paragraph behind the passages `held`. The page has the same rule."""
    return (
        held[-1].gap
        or passage.gap
        or held[-1].speaker != passage.speaker
        or passage.start - max(each.end for each in held) >= PAUSE_MS
        or sum(len(each.text) for each in held) + sum(len(between(*two)) for two in pairwise(held)) >= LONG
    )


def between(before: Passage, passage: Passage) -> str:
    """Return what stands between two passages of a paragraph."""
    return "" if wide_mark(before.text[-1]) else " "


def joined(held: Sequence[Passage]) -> Passage:
    """Return the passages of a paragraph as one."""
    text = held[0].text + "".join(f"{between(*two)}{two[1].text}" for two in pairwise(held))
    return held[0]._replace(end=max(each.end for each in held), text=text)


_LIST: Final = re.compile(r"^(\d*)([-+.)])")  # at the beginning of a paragraph this would make a list
_SYNTAX: Final = re.compile(r"([\\`*_{}\[\]<>&~|#!$])")


def literal(text: str) -> str:
    """Return a text in which nothing is syntax of Markdown."""
    return _SYNTAX.sub(r"\\\1", text)
