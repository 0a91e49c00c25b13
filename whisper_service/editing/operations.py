"""Define the operations on the lines of a transcript that edits are made of. Pure.

An edit is one act of a person: operations that are done as a whole or not at all. Every operation names the version of
each line it changes, so that an edit never overwrites another one that was made meanwhile.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from whisper_service.core.domain import Value, Word
from whisper_service.editing.lines import Line
from whisper_service.editing.marks import COLOURS, Mark, MarkKind
from whisper_service.editing.speakers import Speaker

MAX_CHARACTERS: Final = 2_000

LineId = Annotated[str, Meta(pattern=r"^[0-9A-Za-z._-]{1,40}$")]
Version = Annotated[int, Meta(ge=0, lt=2**53)]
Seconds = Annotated[float, Meta(ge=0, le=1e7)]
SpeakerId = Annotated[str, Meta(min_length=1, max_length=60)]
SpeakerName = Annotated[str, Meta(max_length=60)]


class _Operation(Value, frozen=True, forbid_unknown_fields=True, tag_field="op"):
    """What all operations share: their JSON names the operation in `op`."""


class ChangeText(_Operation, frozen=True, tag="text"):
    """Give a line another text. An empty text deletes the line."""

    id: LineId
    v: Version
    text: str


class SplitLine(_Operation, frozen=True, tag="split"):
    """Cut a line in two. `at` counts characters of the text; spaces at the cut go. `new` is the ID of the second."""

    id: LineId
    v: Version
    at: Annotated[int, Meta(gt=0, le=MAX_CHARACTERS)]
    new: LineId


class MergeLines(_Operation, frozen=True, tag="merge"):
    """Join neighbouring lines. The first keeps its ID and its speaker."""

    ids: Annotated[tuple[LineId, ...], Meta(min_length=2)]
    v: tuple[Version, ...]


class DeleteLine(_Operation, frozen=True, tag="delete"):
    """Delete a line."""

    id: LineId
    v: Version


class InsertLine(_Operation, frozen=True, tag="insert"):
    """Write a new line behind another one. `after` None: before every other line of the transcript."""

    after: LineId | None
    new: LineId
    start: Seconds
    end: Seconds
    text: str


class SetTimes(_Operation, frozen=True, tag="time"):
    """Set the times of a line by hand, in seconds."""

    id: LineId
    v: Version
    start: Seconds
    end: Seconds


class SetSpeaker(_Operation, frozen=True, tag="speaker"):
    """Give lines a speaker, or none. The last one wins, so no version is needed."""

    ids: Annotated[tuple[LineId, ...], Meta(min_length=1)]
    speaker: SpeakerId | None


class NameSpeaker(_Operation, frozen=True, tag="name_speaker"):
    """Give a speaker a name; "" takes it away. A speaker that is new is made. The last one wins, so no version."""

    id: SpeakerId
    name: SpeakerName


class JoinSpeakers(_Operation, frozen=True, tag="join_speakers"):
    """Say that two speakers are one: what `id` says counts as said by `into`. None takes that back."""

    id: SpeakerId
    into: SpeakerId | None


class RemoveSpeaker(_Operation, frozen=True, tag="remove_speaker"):
    """Take away a speaker that a person made. Lines of that speaker have none then."""

    id: SpeakerId


class HeardLine(Value, frozen=True, forbid_unknown_fields=True):
    """What was recognised again, as a new line. Times in seconds from the beginning of the recording."""

    id: LineId
    start: Seconds
    end: Seconds
    text: str
    words: tuple[Word, ...] = ()
    language: str | None = None


class UseHeard(_Operation, frozen=True, tag="heard"):
    """Put what was recognised again in the place of lines that follow each other. `model` is the one that heard it."""

    ids: Annotated[tuple[LineId, ...], Meta(min_length=1)]
    v: tuple[Version, ...]
    lines: Annotated[tuple[HeardLine, ...], Meta(min_length=1)]
    model: Annotated[str, Meta(min_length=1, max_length=300)]


class SetChecked(_Operation, frozen=True, tag="check"):
    """Mark lines as checked by a person, or not."""

    ids: Annotated[tuple[LineId, ...], Meta(min_length=1)]
    on: bool


class Place(Value, frozen=True, forbid_unknown_fields=True):
    """A place in the text: behind `at` characters of a line."""

    line: LineId
    at: Annotated[int, Meta(ge=0, le=MAX_CHARACTERS)]


Colour = Annotated[int, Meta(ge=1, le=COLOURS)]
NoteText = Annotated[str, Meta(max_length=MAX_CHARACTERS)]


class MakeMark(_Operation, frozen=True, tag="mark"):
    """Mark words, or a line: `first` and `last` of a bookmark are one place. Marks need no version of a line.

    The operations on marks of an edit are done behind all others of it.
    """

    id: LineId
    kind: MarkKind
    first: Place
    last: Place
    colour: Colour = 1
    text: NoteText = ""


class ChangeMark(_Operation, frozen=True, tag="change_mark"):
    """Give a mark another colour or text. None: as it is. The last one wins."""

    id: LineId
    colour: Colour | None = None
    text: NoteText | None = None


class RemoveMarks(_Operation, frozen=True, tag="unmark"):
    """Take marks away. Those that are gone already do no harm."""

    ids: Annotated[tuple[LineId, ...], Meta(min_length=1)]


class PutMarks(_Operation, frozen=True, tag="put_marks"):
    """Set marks to what they were, `then`, where they still are as the edit left them, `now`."""

    then: tuple[Mark, ...] = ()
    now: tuple[Mark, ...] = ()


class PutSpeakers(_Operation, frozen=True, tag="put_speakers"):
    """Bring back speakers that were taken away, and take away those of `unused` that no line has."""

    speakers: tuple[Speaker, ...] = ()
    unused: tuple[SpeakerId, ...] = ()


class PutLines(_Operation, frozen=True, tag="put"):
    """Set lines to what they were and take others away: the inverse of every other operation.

    `v` says what the lines are now, by ID: the `content` of each. A line that is not there has none.
    """

    v: dict[str, Version]
    lines: tuple[Line, ...] = ()
    gone: tuple[LineId, ...] = ()


class TimeWords(_Operation, frozen=True, tag="align"):
    """Give the words of a line from `first` on the times at which the model found them, start and end in seconds.

    The text stays, so the version and the content of the line do too, and nothing has to be undone.
    """

    id: LineId
    v: Version
    first: Annotated[int, Meta(ge=0, le=MAX_CHARACTERS)]
    times: Annotated[tuple[tuple[Seconds, Seconds], ...], Meta(min_length=1)]


ClientOperation = (
    ChangeText | SplitLine | MergeLines | DeleteLine | InsertLine | SetTimes | SetSpeaker | SetChecked | UseHeard
    | MakeMark | ChangeMark | RemoveMarks | NameSpeaker | JoinSpeakers | RemoveSpeaker
)  # fmt: skip
"""What clients may send. `PutLines`, `PutMarks`, `PutSpeakers` and `TimeWords` are only made by the service."""
Operation = ClientOperation | PutLines | PutMarks | PutSpeakers | TimeWords


def ids_of(operation: Operation) -> tuple[str, ...]:
    """Return the lines that an operation names, and not those that it makes."""
    match operation:
        case MergeLines() | SetSpeaker() | SetChecked() | UseHeard():
            return operation.ids
        case InsertLine():
            return (operation.after,) if operation.after is not None else ()
        case PutLines():
            return (*(line.id for line in operation.lines), *operation.gone)
        case MakeMark():
            return operation.first.line, operation.last.line
        case PutMarks():
            return tuple(anchor.line for mark in operation.then for anchor in (mark.first, mark.last))
        case ChangeMark() | RemoveMarks() | NameSpeaker() | JoinSpeakers() | RemoveSpeaker() | PutSpeakers():
            return ()
        case _:
            return (operation.id,)
