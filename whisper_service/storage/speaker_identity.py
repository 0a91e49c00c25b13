"""Which speaker is who after a new count: IDs, names and colours stay with their voices. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

from msgspec.structs import replace

from whisper_service.editing.speakers import COLOURS, Speaker
from whisper_service.storage.voice_matching import same_people

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


def identified(found: Sequence[FoundSpeaker], known: Sequence[SpeakerRow], touched: Collection[str]) -> Count:
    """Return the speakers after a count. `found` is in order of first word.

    `touched` are the IDs that people did something with. Without any, the result depends on `found` alone. Otherwise a
    voice that is known keeps its ID, and speakers that people touched stay even if nobody has their voice now.
    """
    kept = [row for row in known if touched]
    voiced = [(row, row.centroid) for row in kept if row.centroid is not None]
    same = same_people([each.centroid for each in found], [centroid for _, centroid in voiced])
    taken = {row.speaker.id for row in kept}
    rows: list[SpeakerRow] = []
    new: list[int] = []
    for position, each in enumerate(found):
        if position in same:
            speaker = voiced[same[position]][0].speaker
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


def _as_found(speaker: Speaker, position: int, found: FoundSpeaker) -> Speaker:
    return replace(speaker, position=position, seconds=found.seconds, found=True)
