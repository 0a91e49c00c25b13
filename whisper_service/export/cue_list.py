"""Give the captions of a transcript as data: the same as its SubRip file, with their lines and what is wrong. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated

from msgspec import Meta

from whisper_service.core.chinese import convert
from whisper_service.core.domain import Transcript, Value
from whisper_service.editing.lines import Line
from whisper_service.export.captions.pieces import Key
from whisper_service.export.captions.problems import CueProblem, characters_per_s, problems
from whisper_service.export.captions.style import Style
from whisper_service.export.captions.timing import Cue, cues
from whisper_service.export.layout import Layout
from whisper_service.export.speaker_names import names_shown


class CuePart(Value, frozen=True):
    """A stretch of a line that is in a cue."""

    line: Annotated[str, Meta(description="The ID of the line.")]
    version: Annotated[int, Meta(description="The version of the line that the cue was made of.")]
    begin: Annotated[int, Meta(description="Characters of its text, without spaces at its ends.")]
    end: int


class ShownCue(Value, frozen=True):
    """A caption as the SubRip file has it. Times are seconds."""

    start: float
    end: float
    rows: Annotated[tuple[str, ...], Meta(description="Its text as it is broken.")]
    parts: Annotated[tuple[CuePart, ...], Meta(description="Whose text it is. A gap has none.")]
    speaker: str | None
    held: Annotated[bool, Meta(description="People set its times: it is a line of its own.")]
    gap: Annotated[bool, Meta(description="It says that a stretch was not transcribed.")]
    speed: Annotated[float, Meta(description="Characters per second; a wide character is one.")]
    problems: tuple[CueProblem, ...]


class CueList(Value, frozen=True):
    """The captions of a transcript, in order of time."""

    edits: Annotated[int, Meta(description="The newest edit that is surely in them.")]
    style: Annotated[Style, Meta(description="How they were made.")]
    cues: tuple[ShownCue, ...]


def cue_list(transcript: Transcript, layout: Layout, lines: Iterable[Line], edits: int) -> CueList:
    """Return the captions of a transcript with the IDs of their `lines`."""
    if layout.script is not None:
        transcript = convert(transcript, layout.script)
    known = {(line.chunk, line.index): line for line in lines}
    found = cues(transcript, layout.style, named=names_shown(transcript, layout))
    shown = [
        _shown(cue, None if after is None else after.start, known, layout)
        for cue, after in zip(found, [*found[1:], None], strict=False)
    ]
    return CueList(edits, layout.style, tuple(shown))


def _shown(cue: Cue, after: int | None, lines: Mapping[Key, Line], layout: Layout) -> ShownCue:
    rows = cue.lines
    wrong = () if cue.gap else tuple(problems(rows, cue.start, cue.end, after, layout.style))
    return ShownCue(
        start=cue.start / 1000,
        end=cue.end / 1000,
        rows=rows,
        parts=tuple(_parts(cue, lines)),
        speaker=None if layout.speakers is False else cue.speaker,
        held=cue.held,
        gap=cue.gap,
        speed=round(characters_per_s(rows, cue.start, cue.end), 2),
        problems=wrong,
    )


def _parts(cue: Cue, lines: Mapping[Key, Line]) -> Iterator[CuePart]:
    """Yield the lines of a cue. One that was edited away meanwhile is left out."""
    reach: dict[Key, tuple[int, int]] = {}
    for place in (place for row in cue.rows for piece in row for place in piece.places):
        begin, _ = reach.get((place.chunk, place.segment), (place.begin, 0))
        reach[place.chunk, place.segment] = (begin, place.end)
    for key, (begin, end) in reach.items():
        if (line := lines.get(key)) is not None:
            yield CuePart(line.id, line.version, begin, end)
