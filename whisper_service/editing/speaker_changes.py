"""What operations do with the speakers of a job, and their inverses. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from msgspec.structs import replace

from whisper_service.core.errors import BadEdit
from whisper_service.core.text import clean
from whisper_service.editing.lines import Line
from whisper_service.editing.operations import (
    JoinSpeakers,
    NameSpeaker,
    Operation,
    PutLines,
    PutSpeakers,
    RemoveSpeaker,
    SetSpeaker,
)
from whisper_service.editing.speakers import COLOURS, Speaker

MAX_LISTED: Final = 200
"""Speakers of a job. Far more than a person can tell apart, and few enough for any list."""
CONCERNED: Final = (SetSpeaker, NameSpeaker, JoinSpeakers, RemoveSpeaker, PutSpeakers, PutLines)
"""Operations that may change who speaks."""


class SpeakerOutcome(NamedTuple):
    """What an edit does with speakers."""

    speakers: dict[str, Speaker]  # as they are then, by ID
    operations: tuple[Operation, ...]  # those for the lines: without speakers that are not there
    unused: frozenset[str]  # to be taken away if no line has them


def speaker_changes(
    speakers: Collection[Speaker], operations: Sequence[Operation], *, strict: bool = True
) -> SpeakerOutcome:
    """Do the operations on speakers. Raises `BadEdit`.

    Without `strict`, for inverses, what cannot be done any more is left out: a line whose speaker is gone has none.
    """
    now = {speaker.id: speaker for speaker in speakers}
    done: list[Operation] = []
    unused: set[str] = set()
    for operation in operations:
        match operation:
            case NameSpeaker():
                if operation.id in now or strict:
                    now[operation.id] = _named(now, operation)
            case JoinSpeakers():
                if strict or _may_join(now, operation):
                    now[operation.id] = _joined(now, operation)
            case RemoveSpeaker():
                _remove(now, operation.id, strict=strict)
            case PutSpeakers():
                now |= {speaker.id: _put(now.get(speaker.id), speaker) for speaker in operation.speakers}
                unused.update(operation.unused)
            case SetSpeaker() if operation.speaker is not None and operation.speaker not in now:
                if strict:
                    raise _unknown(operation.speaker)
                operation = replace(operation, speaker=None)
            case PutLines():
                operation = replace(operation, lines=tuple(_with_known(now, line) for line in operation.lines))
        done.append(operation)
    return SpeakerOutcome(now, tuple(done), frozenset(unused & now.keys()))


def without_unused(
    speakers: Mapping[str, Speaker], unused: Collection[str], used: Collection[str]
) -> dict[str, Speaker]:
    """Return the speakers without those of `unused` that no line has, `used`, and no other one was joined with."""
    needed = {*used, *(speaker.merged_into for speaker in speakers.values())}
    return {
        each: speaker for each, speaker in speakers.items() if each not in unused or each in needed or speaker.found
    }


def speakers_back(before: Mapping[str, Speaker], after: Mapping[str, Speaker]) -> Iterator[Operation]:
    """Yield the operations that lead back to the speakers `before`. They stand in front of those for the lines."""
    gone = tuple(was for each, was in before.items() if _place(was) != _place(after.get(each)))
    made = tuple(each for each in after if each not in before)
    if gone or made:
        yield PutSpeakers(gone, made)
    both = [(speaker, after[each]) for each, speaker in before.items() if each in after]
    for was, now in both:
        if was.name != now.name:
            yield NameSpeaker(was.id, was.name)
    joined = [was for was, now in both if was.merged_into != now.merged_into]
    for was in joined:  # first all are apart: no order of the others then makes a circle
        yield JoinSpeakers(was.id, None)
    for was in joined:
        if was.merged_into is not None:
            yield JoinSpeakers(was.id, was.merged_into)


def _place(speaker: Speaker | None) -> tuple[int, int] | None:
    return None if speaker is None else (speaker.position, speaker.colour)


def _put(now: Speaker | None, was: Speaker) -> Speaker:
    """Return a speaker that comes back. If somebody made the same one anew, only its place and colour come back."""
    return was if now is None else replace(now, position=was.position, colour=was.colour)


def _named(now: Mapping[str, Speaker], operation: NameSpeaker) -> Speaker:
    name = clean(operation.name)
    if (speaker := now.get(operation.id)) is not None:
        return replace(speaker, name=name)
    if len(now) >= MAX_LISTED:
        raise BadEdit(f"A transcript has at most {MAX_LISTED} speakers.", reason="no_room", id=operation.id)
    position = 1 + max((speaker.position for speaker in now.values()), default=-1)
    return Speaker(operation.id, name, position, position % COLOURS)


def _may_join(now: Mapping[str, Speaker], operation: JoinSpeakers) -> bool:
    """Return whether both speakers are there, and the merges do not go round."""
    if operation.id not in now or (operation.into is not None and operation.into not in now):
        return False
    chain: str | None = operation.into
    while chain is not None and chain != operation.id:
        chain = now[chain].merged_into
    return chain is None


def _joined(now: Mapping[str, Speaker], operation: JoinSpeakers) -> Speaker:
    for speaker in (operation.id, operation.into):
        if speaker is not None and speaker not in now:
            raise _unknown(speaker)
    if not _may_join(now, operation):
        raise BadEdit("These two speakers are joined already.", reason="joined", id=operation.id)
    return replace(now[operation.id], merged_into=operation.into)


def _remove(now: dict[str, Speaker], speaker_id: str, *, strict: bool) -> None:
    speaker = now.get(speaker_id)
    if speaker is None or speaker.found:
        if not strict:
            return
        if speaker is None:
            raise _unknown(speaker_id)
        hint = "Join the speaker with another one. Nothing was changed."
        raise BadEdit("A speaker whose voice was heard cannot be removed.", hint=hint, reason="heard", id=speaker_id)
    del now[speaker_id]
    for each, other in now.items():
        if other.merged_into == speaker_id:
            now[each] = replace(other, merged_into=None)


def _with_known(now: Mapping[str, Speaker], line: Line) -> Line:
    return line if line.speaker is None or line.speaker in now else replace(line, speaker=None)


def _unknown(speaker_id: str) -> BadEdit:
    hint = "Make the speaker first, with name_speaker in the same edit. Nothing was changed."
    return BadEdit("This transcript has no such speaker.", hint=hint, reason="no_speaker", id=speaker_id)
