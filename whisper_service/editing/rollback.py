"""Leads a transcript back to what it was before its last edits. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from whisper_service.editing.applying import apply, way_back
from whisper_service.editing.lines import LineList
from whisper_service.editing.marking import places_before, texts
from whisper_service.editing.marks import Mark, follow
from whisper_service.editing.operations import Operation, PutMarks
from whisper_service.editing.speaker_changes import speaker_changes, speakers_back, without_unused
from whisper_service.editing.speakers import Speaker


def rollback(
    lines: LineList,
    inverses: Iterable[Sequence[Operation]],
    marks: Sequence[Mark] = (),
    speakers: Collection[Speaker] = (),
) -> tuple[Operation, ...]:
    """Return the operations that do in one edit what the inverses, those of the newest edit first, do one by one.

    Marks stay, and go back with their words. `lines` is the whole transcript as it is now. It is then spoilt: do not
    use it again.
    """
    now = {line.id: line for line in lines}
    placed = {mark.id: mark for mark in marks}
    people = spoke = {speaker.id: speaker for speaker in speakers}
    for inverse in inverses:
        if inverse:
            was = texts(lines) if placed else []
            spoken = speaker_changes(spoke.values(), inverse, strict=False)
            apply(lines, spoken.operations)
            spoke = without_unused(spoken.speakers, spoken.unused, {line.speaker for line in lines if line.speaker})
            if placed:
                placed = places_before(placed, inverse, was, texts(lines))
    then = {line.id: line for line in lines}
    changed = [line for line in now.values() if then.get(line.id) != line]
    with_words = {was.id: there for was, there in follow(marks, texts(now.values()), texts(then.values()))}
    apart = [mark for mark in marks if placed[mark.id] != with_words.get(mark.id, mark)]
    back = [PutMarks(then=tuple(placed[mark.id] for mark in apart), now=tuple(apart))] if apart else []
    gone = [line_id for line_id in then if line_id not in now]
    return (*speakers_back(spoke, people), *way_back(then, changed, gone), *back)
