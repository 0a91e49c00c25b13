"""Who says which words: the timeline of a recording, what people chose, and how speakers are shown. Pure.

A timeline says who speaks from when on. A word belongs to the last speaker who began before it or with it. Words that
nobody touched keep their times, so their speakers stay with them when lines are cut, joined or rewritten. What a person
chose for a line wins for the whole line. The page has the same rules in TypeScript.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from msgspec.structs import replace

from whisper_service.core.domain import Segment, Value, Word

COLOURS: Final = 8
"""Colours of speakers that differ in lightness too. A ninth speaker has the colour of the first."""
CHINESE: Final = frozenset({"zh", "yue"})
"""Languages in which a speaker without a name has a Chinese one."""

Timeline = tuple[tuple[float, str | None], ...]
"""From when on (seconds, ascending) which speaker speaks, by ID. None: the text from there on has no known speaker."""
Turns = tuple[tuple[int, str], ...]
"""From which word of a line on which speaker speaks. Words before the first turn have no known speaker."""


class Speaker(Value, frozen=True):
    """A speaker of a job. One without a name is shown as "Speaker N", where N is the position plus 1."""

    id: str
    name: str = ""  # that a person gave
    position: int = 0  # order of first words; speakers that people made come behind
    colour: int = 0  # 0 to 7
    merged_into: str | None = None  # the speaker that a person said is the same one
    seconds: float = 0.0  # of speech
    found: bool = False  # by the voice; else a person made the speaker


class Spoken(Protocol):
    """What is spoken: a line, or a segment. `speaker` is what a person chose."""

    @property
    def start(self) -> float: ...
    @property
    def end(self) -> float: ...
    @property
    def words(self) -> Sequence[Word]: ...
    @property
    def speaker(self) -> str | None: ...


def who_speaks(speakers: Iterable[Speaker]) -> dict[str, str]:
    """Return the speaker that each one counts as: the end of its chain of merges, or itself."""
    into = {speaker.id: speaker.merged_into for speaker in speakers}
    result: dict[str, str] = {}
    for speaker_id in into:
        found, steps = speaker_id, len(into)
        while steps and (following := into[found]) is not None and following in into:
            found, steps = following, steps - 1
        result[speaker_id] = found
    return result


def shown_name(speaker: Speaker, language: str | None) -> str:
    """Return what a speaker is called in a file whose text is in this language."""
    return speaker.name or f"{'发言人' if language in CHINESE else 'Speaker'} {speaker.position + 1}"


class Attribution:
    """Which words of a transcript are whose. Merges are followed to their end."""

    def __init__(self, timeline: Timeline = (), speakers: Iterable[Speaker] = ()) -> None:
        self._speakers = {speaker.id: speaker for speaker in speakers}
        self._who = who_speaks(self._speakers.values())
        self._starts = [start for start, _ in timeline]
        self._owners = [speaker and self._who.get(speaker, speaker) for _, speaker in timeline]

    def turns_of(self, line: Spoken) -> Turns:
        """Return the turns of a line. Empty: nobody is known to speak in it."""
        if line.speaker is not None:
            return ((0, self._who.get(line.speaker, line.speaker)),)
        turns: list[tuple[int, str]] = []
        if self._starts:
            for at, start in enumerate([word.start for word in line.words] or [line.start]):
                speaker = self._speaker_at(start)
                if speaker is not None and (not turns or turns[-1][1] != speaker):
                    turns.append((at, speaker))
        return tuple(turns)

    def pieces_of(self, segment: Segment) -> list[Segment]:
        """Return a segment cut where the speaker changes. The pieces have the IDs of their speakers.

        Each piece keeps `chunk` and `index`. A segment whose words are not its text is not cut: most of it decides.
        """
        turns = self.turns_of(segment)
        starts = [at for at, _ in turns]
        cuts: list[tuple[int, str | None]] = [*turns] if starts[:1] == [0] else [(0, None), *turns]
        if len(cuts) == 1:
            return [replace(segment, speaker=cuts[0][1])]
        if _said(segment.words) != segment.text:
            longest = max(self.seconds([segment]).items(), key=lambda each: each[1])
            return [replace(segment, speaker=longest[0])]
        pieces: list[Segment] = []
        for (first, speaker), after in zip(cuts, [*(at for at, _ in cuts[1:]), len(segment.words)], strict=True):
            words = segment.words[first:after]
            start = words[0].start if pieces else segment.start
            end = max(start, words[-1].end if after < len(segment.words) else segment.end)
            pieces.append(replace(segment, start=start, end=end, text=_said(words), words=words, speaker=speaker))
        return pieces

    def labelled(self, segments: Sequence[Segment], language: str | None) -> tuple[Segment, ...]:
        """Return the segments of a transcript for a file: cut where the speaker changes, with names of speakers.

        With fewer than two different names they are not cut and have no names.
        """
        pieces = [piece for segment in segments for piece in self.pieces_of(segment)]
        names: dict[str | None, str | None] = {
            each: shown_name(self._speakers[each], language) if each in self._speakers else each
            for each in {piece.speaker for piece in pieces}
            if each is not None
        }
        if len({*names.values()}) < 2:
            return tuple(replace(segment, speaker=None) for segment in segments)
        return tuple(replace(piece, speaker=names.get(piece.speaker)) for piece in pieces)

    def seconds(self, lines: Iterable[Spoken]) -> dict[str, float]:
        """Return how long each speaker speaks: the sum of their words, or of lines that have no times of words."""
        found: dict[str, float] = {}
        for line in lines:
            if not (turns := self.turns_of(line)):
                continue
            for (first, speaker), after in zip(turns, [*(at for at, _ in turns[1:]), len(line.words)], strict=True):
                parts: Iterable[Word | Spoken] = line.words[first:after] or (line,)
                found[speaker] = found.get(speaker, 0.0) + sum(max(0.0, part.end - part.start) for part in parts)
        return found

    def _speaker_at(self, time: float) -> str | None:
        at = bisect_right(self._starts, time)
        return self._owners[at - 1] if at else None


def _said(words: Sequence[Word]) -> str:
    return "".join(word.word for word in words).strip()
