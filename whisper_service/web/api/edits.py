"""Edit the text of a job, take edits back, and show the log of edits."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Any, Final

import msgspec
from anyio import to_thread
from litestar import Response, Router, get, post
from litestar.exceptions import HTTPException, ValidationException
from litestar.params import FromQuery, JSONBody, PathParameter, QueryParameter

from whisper_service.app.edits import Version
from whisper_service.app.speakers import with_seconds
from whisper_service.app.word_aligner import AlignmentState
from whisper_service.core.domain import Segment, Transcript, Value
from whisper_service.core.errors import VersionMissing
from whisper_service.editing.lines import MACHINE, Line
from whisper_service.editing.marks import Mark
from whisper_service.editing.operations import ClientOperation
from whisper_service.editing.retiming import TimedWord
from whisper_service.editing.speakers import Attribution, Speaker, Turns
from whisper_service.storage.edit_log import EditRecord
from whisper_service.storage.transcript_edits import Edit, EditResult
from whisper_service.web.http.errors import Incoming, handlers, on_service_error, problems
from whisper_service.web.http.parameters import JobId, Served

MAX_BODY: Final = 1_000_000
MAX_OPERATIONS: Final = 5_000
Batch = Annotated[
    str, msgspec.Meta(pattern=r"^[0-9A-Za-z._-]{1,64}$", description="Made by the client. Sent twice, it is one edit.")
]
Client = Annotated[str, msgspec.Meta(max_length=64, description="The browser or program; the events tell it.")]
Author = Annotated[str, msgspec.Meta(max_length=100, description="A name for the log of edits.")]
EditNumber = Annotated[int, PathParameter(description="The number of an edit of the job.", ge=1, lt=2**53)]


class UndoRequest(Value, frozen=True, forbid_unknown_fields=True):
    """Who takes an edit back."""

    batch: Batch
    client: Client = ""
    author: Author = ""


class EditRequest(Value, frozen=True, forbid_unknown_fields=True):
    """One act of a person: it is done as a whole or not at all."""

    batch: Batch
    operations: Annotated[tuple[ClientOperation, ...], msgspec.Meta(min_length=1, max_length=MAX_OPERATIONS)]
    client: Client = ""
    author: Author = ""


class RestoreRequest(Value, frozen=True, forbid_unknown_fields=True):
    """Which text is wanted."""

    batch: Batch
    number: Annotated[
        int, msgspec.Meta(ge=0, lt=2**53, description="As it was after this edit. 0: as the model wrote it.")
    ]
    newest: Annotated[int, msgspec.Meta(ge=0, lt=2**53, description="The newest edit that the client knows.")]
    client: Client = ""
    author: Author = ""


class EditList(Value, frozen=True):
    """Edits, the newest first. `next` is for `before`. None: there are no more."""

    edits: list[EditRecord]
    next: int | None = None
    alignment: AlignmentState | None = None  # as in the transcript


class TranscriptLine(Segment, frozen=True, kw_only=True):
    """A line: a segment of the model, or what people made of it."""

    words: tuple[TimedWord, ...] = ()
    id: str
    version: int  # for the operations on this line; 0: nobody changed it
    position: float  # order within the chunk
    held: bool = False  # its times were set by hand
    checked: bool = False  # a person looked at it
    turns: Turns = ()  # from which word on which speaker speaks; empty: nobody knows. `speaker` is what a person chose
    source: str = MACHINE


class EditableTranscript(Transcript, frozen=True, kw_only=True):
    """The text so far, as lines that can be edited."""

    segments: tuple[TranscriptLine, ...]
    edits: int  # the number of the newest edit
    deleted: tuple[str, ...]  # IDs of lines that people deleted
    speakers: tuple[Speaker, ...] = ()  # in order, with those that were merged into others
    marks: tuple[Mark, ...] = ()  # bookmarks, highlights and notes, the oldest first
    alignment: AlignmentState | None = None  # chunks in which edited words get exact times still; null: none


@get(
    "/{job_id:str}/transcript",
    operation_id="getTranscript",
    summary="The text so far, with times",
    description="As people edited it, or with `version=machine` as the model wrote it.",
    responses=problems(404, 422),
)
async def transcript(
    service: Served, job_id: JobId, version: FromQuery[Version] = Version.CURRENT
) -> EditableTranscript:
    job = await service.jobs.get(job_id)
    lines = await service.edits.lines(job_id, version)
    speakers, attribution = await service.speakers.attribution(job_id)
    return EditableTranscript(
        name=job.name,
        duration_s=job.duration_s,
        language=job.language,
        model=job.model,
        segments=await to_thread.run_sync(_shown, lines, attribution),
        gaps=job.gaps,
        edits=job.edits,
        deleted=tuple(await service.edits.deleted(job_id) if version is Version.CURRENT else ()),
        speakers=await to_thread.run_sync(with_seconds, speakers, attribution, lines),
        marks=tuple(await service.edits.marks(job_id) if version is Version.CURRENT else ()),
        alignment=await service.edits.alignment(job) if version is Version.CURRENT else None,
    )


_SHARED: Final = tuple(field for field in TranscriptLine.__struct_fields__ if field in Line.__struct_fields__)


def _shown(lines: Iterable[Line], attribution: Attribution) -> tuple[TranscriptLine, ...]:
    return tuple(
        TranscriptLine(**{field: getattr(line, field) for field in _SHARED}, turns=attribution.turns_of(line))
        for line in lines
    )


_ANSWERS: Final = handlers(())
_OPERATION: Final = re.compile(r"operations\[(\d+)\]")


def _on_no_edit(request: Incoming, error: ValidationException) -> Response[Any]:
    """Answer a body that is no edit. A missing version has a code of its own: nobody edits a line unseen."""
    for fault in error.extra or ():
        if not isinstance(fault, dict) or "missing required field `v`" not in str(fault.get("message")):
            continue
        if found := _OPERATION.fullmatch(str(fault.get("key"))):
            return on_service_error((), request, VersionMissing(operation=int(found[1])))
    answer: Response[Any] = _ANSWERS[HTTPException](request, error)
    return answer


@post(
    "/{job_id:str}/edits",
    operation_id="editTranscript",
    summary="Edit the text",
    description=(
        "Operations on lines, done as a whole or not at all. Each names the version of its line (`v`), else the answer "
        "is 428; 409 `edit_conflict` with the lines as they are now says that another edit came first. A line's id is "
        "in the transcript. The segments of the model stay as they are."
    ),
    status_code=200,
    request_max_body_size=MAX_BODY,
    responses=problems(403, 404, 409, 413, 422, 428, 503, 507),
    exception_handlers={ValidationException: _on_no_edit},
)
async def edit(service: Served, job_id: JobId, data: JSONBody[EditRequest]) -> EditResult:
    return await service.edits.apply(job_id, Edit(data.batch, data.operations, data.client, data.author))


@get(
    "/{job_id:str}/edits",
    operation_id="listEdits",
    summary="The log of edits, newest first",
    responses=problems(404, 422),
)
async def history(
    service: Served,
    job_id: JobId,
    before: Annotated[int | None, QueryParameter(description="Only edits before this one.", ge=1, lt=2**53)] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=200)] = 50,
) -> EditList:
    job = await service.jobs.get(job_id)
    edits = await service.edits.history(job_id, before=before, limit=limit + 1)
    older = edits[limit - 1].number if len(edits) > limit else None
    return EditList(edits[:limit], older, await service.edits.alignment(job))


@post(
    "/{job_id:str}/edits/{number:int}/undo",
    operation_id="undoEdit",
    summary="Take an edit back",
    description="The undo is an edit itself, so it can be taken back too. 409: its lines were changed since.",
    status_code=200,
    responses=problems(403, 404, 409, 422, 503, 507),
)
async def undo(service: Served, job_id: JobId, number: EditNumber, data: JSONBody[UndoRequest]) -> EditResult:
    return await service.edits.undo(job_id, number, Edit(data.batch, (), data.client, data.author))


@post(
    "/{job_id:str}/transcript/restore",
    operation_id="restoreTranscript",
    summary="Set the text back to an earlier one",
    description="An edit of its own, which can be taken back. 409: there is a newer edit than `newest`.",
    status_code=200,
    responses=problems(403, 404, 409, 422, 503, 507),
)
async def restore(service: Served, job_id: JobId, data: JSONBody[RestoreRequest]) -> EditResult:
    edit = Edit(data.batch, (), data.client, data.author)
    return await service.edits.restore(job_id, data.number, edit, data.newest)


router = Router("/api/jobs", tags=["Jobs"], route_handlers=[transcript, edit, history, undo, restore])
