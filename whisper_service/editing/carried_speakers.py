"""Takes over who speaks, as people chose it line by line, into another transcript of the same recording. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Sequence

from whisper_service.editing.lines import Line
from whisper_service.editing.operations import NameSpeaker, Operation, SetSpeaker
from whisper_service.editing.speakers import Attribution, Speaker, who_speaks


def chosen(lines: Sequence[Line], speakers: Collection[Speaker]) -> list[tuple[Line, str]]:
    """Return the lines whose speaker a person chose, each with the name. Speakers without a name are left out."""
    into, known = who_speaks(speakers), {speaker.id: speaker for speaker in speakers}
    named = [(line, known.get(into.get(line.speaker or "", ""))) for line in lines]
    return [(line, speaker.name) for line, speaker in named if speaker is not None and speaker.name]


def carried(
    lines: Sequence[Line], attribution: Attribution, speakers: Collection[Speaker], choices: Sequence[tuple[Line, str]]
) -> tuple[Operation, ...]:
    """Return the operations that give lines the speakers of `choices`, which are lines of the other transcript.

    A line gets the speaker of the line that was said in its middle. Lines with a choice of their own keep it. A name
    that nobody has here becomes a speaker.
    """
    ordered = sorted(choices, key=lambda choice: choice[0].start)
    starts = [line.start for line, _ in ordered]
    ids = {speaker.name: speaker.id for speaker in speakers if speaker.name and speaker.merged_into is None}
    made: list[Operation] = []
    taken: dict[str, list[str]] = defaultdict(list)
    for line in lines:
        middle = (line.start + line.end) / 2
        at = bisect_right(starts, middle) - 1
        if line.speaker is not None or at < 0 or ordered[at][0].end < middle:
            continue
        name = ordered[at][1]
        if name not in ids:
            ids[name] = f"carried{len(made) + 1}"
            made.append(NameSpeaker(ids[name], name))
        if attribution.turns_of(line) != ((0, ids[name]),):
            taken[ids[name]].append(line.id)
    return (*made, *(SetSpeaker(tuple(line_ids), speaker) for speaker, line_ids in taken.items()))
