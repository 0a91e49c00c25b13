"""Which speaker is who after a new count: IDs, names and colours stay with their voices. Pure.

Where a voice is no longer stored, or is of other networks, the text decides: who says most of what a speaker said
before is that speaker.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from msgspec.structs import replace

from whisper_service.editing.speakers import COLOURS, Speaker, Timeline
from whisper_service.storage.voice_matching import best_pairs, same_people

SAME_TEXT: Final = 0.5
"""Share of the time of two speakers, the one who speaks less, above which they may be one person."""
_NUMBERED: Final = "s"


class FoundSpeaker(NamedTuple):
    """A speaker as the actor found it: a name of its own, seconds of speech, and the direction of the voice."""

    name: str
    seconds: float
    centroid: bytes


class SpeakerRow(NamedTuple):
    """What is stored of a speaker."""

    speaker: Speaker
    centroid: bytes | None  # None: a person made it, or the voices were deleted


class Count(NamedTuple):
    """The speakers of a job after a count, and the ID of each found one by its name."""

    rows: list[SpeakerRow]
    ids: dict[str, str]


def identified(
    found: Sequence[FoundSpeaker],
    known: Sequence[SpeakerRow],
    touched: Collection[str],
    shared: Mapping[tuple[str, str], float] | None = None,
) -> Count:
    """Return the speakers after a count. `found` is in order of first word.

    `touched` are the IDs that people did something with. Without any, the result depends on `found` alone. Otherwise a
    voice that is known keeps its ID, and speakers that people touched stay even if nobody has their voice now. `shared`
    is what `shared_time` returns.
    """
    kept = [row for row in known if touched]
    same = _same(found, kept, shared or {})
    taken = {row.speaker.id for row in kept}
    rows: list[SpeakerRow] = []
    new: list[int] = []
    for position, each in enumerate(found):
        if position in same:
            speaker = same[position]
        else:
            speaker = Speaker(free_id(taken))
            taken.add(speaker.id)
            new.append(position)
        rows.append(SpeakerRow(_as_found(speaker, position, each), each.centroid))
    ids = {each.name: row.speaker.id for each, row in zip(found, rows, strict=True)}
    rest = [row for row in kept if row.speaker.id in touched and row.speaker.id not in ids.values()]
    for row in sorted(rest, key=lambda row: row.speaker.position):
        rows.append(row._replace(speaker=replace(row.speaker, position=len(rows), seconds=0.0)))
    for position in new:
        others = [row.speaker for place, row in enumerate(rows) if place not in new or place < position]
        speaker = rows[position].speaker
        rows[position] = rows[position]._replace(speaker=replace(speaker, colour=free_colour(others)))
    return Count(rows, ids)


def shared_time(one: Timeline, other: Timeline, end: float) -> dict[tuple[str, str], float]:
    """Return how much of the time of two speakers is the same, from 0 to 1, of the one who speaks less.

    The keys are a speaker of `one` and one of `other`. Both timelines end at `end` seconds.
    """
    times = sorted({start for start, _ in (*one, *other)} | {end})
    shared: dict[tuple[str, str], float] = defaultdict(float)
    alone: dict[tuple[int, str], float] = defaultdict(float)
    for (start, after), first, second in zip(pairwise(times), _who(one, times), _who(other, times), strict=False):
        for side, speaker in enumerate((first, second)):
            if speaker is not None:
                alone[side, speaker] += after - start
        if first is not None and second is not None:
            shared[first, second] += after - start
    return {(a, b): seconds / min(alone[0, a], alone[1, b]) for (a, b), seconds in shared.items()}


def named(rows: Sequence[SpeakerRow], others: Sequence[SpeakerRow]) -> list[SpeakerRow]:
    """Return the speakers with the names that the same voices have in another job."""
    voiced = [(place, row.centroid) for place, row in enumerate(rows) if row.centroid is not None]
    known = [(row.speaker.name, row.centroid) for row in others if row.speaker.name and row.centroid is not None]
    same = same_people([centroid for _, centroid in voiced], [centroid for _, centroid in known])
    result = list(rows)
    for at, other in same.items():
        place = voiced[at][0]
        result[place] = result[place]._replace(speaker=replace(result[place].speaker, name=known[other][0]))
    return result


def free_id(taken: Collection[str]) -> str:
    """Return s1, s2, s3 ...: the first number above those that are taken."""
    numbers = (each.removeprefix(_NUMBERED) for each in taken if each.startswith(_NUMBERED))
    return f"{_NUMBERED}{max((int(n) for n in numbers if n.isascii() and n.isdigit()), default=0) + 1}"


def free_colour(speakers: Collection[Speaker]) -> int:
    """Return the colour that the fewest speakers have."""
    uses = Counter(speaker.colour for speaker in speakers)
    return min(range(COLOURS), key=lambda colour: (uses[colour], colour))


def _same(
    found: Sequence[FoundSpeaker], known: Sequence[SpeakerRow], shared: Mapping[tuple[str, str], float]
) -> dict[int, Speaker]:
    """Return the known speakers that found ones are, by place."""
    size = {len(each.centroid) for each in found}
    voiced = [(row.speaker, row.centroid) for row in known if row.centroid is not None and {len(row.centroid)} == size]
    places = same_people([each.centroid for each in found], [centroid for _, centroid in voiced])
    same = {place: voiced[other][0] for place, other in places.items()}
    left = [place for place in range(len(found)) if place not in same]
    voices = {speaker.id for speaker, _ in voiced}
    silent = [row.speaker for row in known if row.speaker.found and row.speaker.id not in voices]
    gains = [[shared.get((found[place].name, speaker.id), 0.0) for speaker in silent] for place in left]
    pairs = best_pairs([[share if share > SAME_TEXT else 0.0 for share in row] for row in gains])
    return same | {left[row]: silent[column] for row, column in pairs.items()}


def _who(timeline: Timeline, times: Sequence[float]) -> Iterator[str | None]:
    """Yield who speaks at each of the times, which are ascending and have those of the timeline."""
    speaker, entries = None, dict(timeline)
    for time in times:
        speaker = entries.get(time, speaker)
        yield speaker


def _as_found(speaker: Speaker, position: int, found: FoundSpeaker) -> Speaker:
    return replace(speaker, position=position, seconds=found.seconds, found=True)
