"""Jobs: take a recording, show, steer and export. Every handler is one call to the service."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import PurePath
from typing import Annotated, Final
from urllib.parse import quote

import msgspec
from anyio import to_thread
from litestar import Response, Router, delete, get, patch, post
from litestar.datastructures import ResponseHeader
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.spec import (
    OpenAPIMediaType,
    OpenAPIResponse,
    OpenAPIType,
    Operation,
    Parameter,
    Reference,
    Schema,
)
from litestar.params import FromQuery, JSONBody, PathParameter, QueryParameter, SkipValidation

from whisper_service.app.service import Service
from whisper_service.core.domain import Job, Script, Status, Transcript, Value
from whisper_service.core.errors import ServiceError
from whisper_service.core.job_states import Cause
from whisper_service.export import render
from whisper_service.export.layout import layout_of
from whisper_service.export.render import Format
from whisper_service.storage.browse import Found, JobPage
from whisper_service.web.api import uploads
from whisper_service.web.http.errors import Incoming, problems

Served = NamedDependency[SkipValidation[Service]]
JobId = Annotated[str, PathParameter(description="The identifier of a job.", max_length=64)]


class JobList(Value, frozen=True):
    """A stretch of the list of jobs, newest first. `next` is the `before` of the following page, None on the last.

    `counts` is how many there are of every status whatever the page shows: of all jobs, or of all that a search finds (of the
    newest five hundred if `complete` is false). `found` tells where the search found something, by the id of the job.
    """

    jobs: list[Job]
    next: str | None
    counts: dict[str, int]
    found: dict[str, Found] = msgspec.field(default_factory=dict)
    complete: bool = True


def page_of(listing: JobPage, limit: int) -> JobList:
    """A page of at most `limit`; one job more than wanted was read to know whether there is another page."""
    jobs = listing.jobs[:limit]
    following = jobs[-1].id if len(listing.jobs) > limit else None
    counts = {status.value: number for status, number in listing.counts.items()}
    found = {job.id: listing.found[job.id] for job in jobs if job.id in listing.found}
    return JobList(jobs, following, counts, found, listing.complete)


@post(
    "/",
    operation_id="createJob",
    operation_class=uploads.UploadOperation,
    summary="Transcribe a recording",
    description=(
        "Send a form with a part `file`, or the file itself as the body; the answer comes when it is safely on disk. Or send"
        ' `{"upload": ID}` with options as JSON, for what came in pieces to /api/uploads; sent again, that gives the same job.'
        ' Or `{"url": ADDRESS}` with options: the job is there at once, and the service gets its recording while it waits.'
    ),
    status_code=202,
    request_max_body_size=None,
    response_headers=[ResponseHeader(name="Location", description="The address of the job.", documentation_only=True)],
    responses=problems(403, 404, 409, 413, 415, 422, 503, 507),
)
async def create(request: Incoming, service: Served) -> Response[Job]:
    preset = service.config.speech.preset
    if request.content_type[0] == "application/json":
        claim = uploads.claimed(await request.body(), preset)
        if claim.url is not None:
            job = await service.jobs.submit_link(claim.url, claim.options)
        else:
            job = await service.jobs.submit_upload(claim.upload or "", claim.options)
    else:
        received, options = await uploads.receive(request, service.uploads, preset)
        try:
            job = await service.jobs.submit(received, options)
        except ServiceError:
            received.path.unlink(missing_ok=True)
            raise
    return Response(job, status_code=202, headers={"Location": f"/api/jobs/{job.id}"})


@get("/", operation_id="listJobs", summary="Find jobs, newest first", responses=problems(422))
async def find(
    service: Served,
    status: Annotated[list[Status] | None, QueryParameter(description="Only jobs in one of these.")] = None,
    q: Annotated[
        str | None, QueryParameter(description="Terms that all are in its name or its text.", max_length=300)
    ] = None,
    before: Annotated[str | None, QueryParameter(description="Only jobs older than this one.", max_length=64)] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=200)] = 50,
) -> JobList:
    return page_of(await service.jobs.browse(status=status or (), query=q or "", before=before, limit=limit + 1), limit)


@get("/{job_id:str}", operation_id="getJob", summary="One job", responses=problems(404, 422))
async def show(service: Served, job_id: JobId) -> Job:
    return await service.jobs.get(job_id)


class JobEdit(Value, frozen=True, forbid_unknown_fields=True):
    """What can be changed about a job."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=1_000)]


@patch("/{job_id:str}", operation_id="editJob", summary="Rename it", responses=problems(403, 404, 422, 503))
async def edit(service: Served, job_id: JobId, data: JSONBody[JobEdit]) -> Job:
    return await service.jobs.rename(job_id, data.name)


@delete(
    "/{job_id:str}",
    operation_id="deleteJob",
    summary="Remove a job, its text and its recording",
    description="For `storage.undo_s` seconds `restore` brings all of it back; with `for_good` it goes at once.",
    responses=problems(403, 404, 422, 503),
)
async def remove(service: Served, job_id: JobId, for_good: FromQuery[bool] = False) -> None:
    await service.jobs.delete(job_id, for_good=for_good)


def _change(cause: Cause, summary: str) -> HTTPRouteHandler:
    async def change(service: Served, job_id: JobId) -> Job:
        return await service.jobs.change(job_id, cause)

    return post(
        f"/{{job_id:str}}/{cause.value}",
        operation_id=f"{cause.value}Job",
        summary=summary,
        status_code=200,
        responses=problems(403, 404, 409, 422, 503),
    )(change)


@post(
    "/{job_id:str}/restore",
    operation_id="restoreJob",
    summary="Have it back after it was deleted",
    status_code=200,
    responses=problems(403, 404, 409, 422, 503),
)
async def restore(service: Served, job_id: JobId) -> Job:
    return await service.jobs.restore(job_id)


class RetryRequest(Value, frozen=True, forbid_unknown_fields=True):
    """How to try again."""

    model: Annotated[str, msgspec.Meta(min_length=1, max_length=300)] | None = None  # None: the same


@post(
    "/{job_id:str}/retry",
    operation_id="retryJob",
    summary="Try again what failed or is missing",
    description="Without a body as before; with one, perhaps with another model. What is done stays.",
    status_code=200,
    responses=problems(403, 404, 409, 422, 503),
)
async def retry(service: Served, job_id: JobId, data: JSONBody[RetryRequest] = RetryRequest()) -> Job:  # noqa: B008 - it is frozen
    return await service.jobs.change(job_id, Cause.RETRY, model=data.model)


@get(
    "/{job_id:str}/transcript",
    operation_id="getTranscript",
    summary="The text so far, with times",
    responses=problems(404, 422),
)
async def transcript(service: Served, job_id: JobId) -> Transcript:
    return await service.jobs.transcript(job_id)


@dataclass
class ExportOperation(Operation):
    """The formats in the OpenAPI document."""

    def __post_init__(self) -> None:
        text = OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING))
        answer = (self.responses or {})["200"]
        if isinstance(answer, OpenAPIResponse):
            answer.content = dict.fromkeys((kind.exporter.media_type for kind in Format), text)
            answer.content[Format.JSON.exporter.media_type] = OpenAPIMediaType(
                schema=Reference("#/components/schemas/Transcript")
            )
        self.parameters = [
            *(self.parameters or ()),
            *(Parameter(name=name, param_in="query", required=False, schema=schema) for name, schema in LAYOUT.items()),
        ]


def _limited(kind: OpenAPIType, least: float, most: float, description: str) -> Schema:
    return Schema(type=kind, minimum=least, maximum=most, description=description)


_SECONDS: Final = partial(_limited, OpenAPIType.NUMBER, 0, 60)
_COLUMNS: Final = partial(_limited, OpenAPIType.INTEGER, 8, 500)
_SPEED: Final = partial(_limited, OpenAPIType.NUMBER, 1, 100)
LAYOUT: Final = {
    "line_columns": _COLUMNS("Captions: width of a line; wide characters take two columns."),
    "cjk_line_columns": _COLUMNS("The same for text that is mostly Chinese, Japanese or Korean."),
    "lines": _limited(OpenAPIType.INTEGER, 1, 2, "Lines of a caption."),
    "chars_per_s": _SPEED("Reading speed."),
    "cjk_chars_per_s": _SPEED("The same for Chinese, Japanese and Korean."),
    "min_s": _SECONDS("How long a caption is shown at least, where there is room."),
    "max_s": _limited(OpenAPIType.NUMBER, 0.5, 60, "And at most."),
    "gap_s": _SECONDS("Dark between two captions."),
    "pause_s": _SECONDS("A silence this long is never inside one."),
    "linger_s": _SECONDS("How long one may stay after its last word."),
    "word_times": Schema(type=OpenAPIType.BOOLEAN, default=False, description="vtt: the time of every word."),
    "times": Schema(type=OpenAPIType.BOOLEAN, default=True, description="md, docx: when every paragraph begins."),
    "script": Schema(
        type=OpenAPIType.STRING, enum=[*Script], description="Chinese in this script, whatever is stored."
    ),
    "bom": Schema(
        type=OpenAPIType.BOOLEAN,
        default=False,
        description="A byte order mark before text, for old players on Windows.",
    ),
}


@get(
    "/{job_id:str}/export",
    operation_id="exportTranscript",
    operation_class=ExportOperation,
    response_headers=[ResponseHeader(name="Content-Disposition", description="The name.", documentation_only=True)],
    summary="The text so far as a file",
    media_type="text/plain",
    responses=problems(404, 422),
)
async def export(
    request: Incoming, service: Served, job_id: JobId, format: FromQuery[Format] = Format.TXT
) -> Response[bytes]:
    given = {name: value for name, value in request.query_params.items() if name != "format" and value}
    layout = layout_of(service.config.captions, given)
    said = await service.jobs.transcript(job_id)
    kind = format.exporter.media_type
    content = await to_thread.run_sync(
        render.render, said, format, layout
    )  # cutting the captions of ten hours takes seconds
    return Response(
        content,
        media_type=kind.partition(";")[0]
        if kind.startswith("text/")
        else kind,  # the framework adds the charset to text/
        headers={"Content-Disposition": attachment(said.name, format.value)},
    )


def attachment(name: str, extension: str) -> str:
    """The value of a Content-Disposition header for a transcript of the recording with this name."""
    return disposition("attachment", f"{PurePath(name).stem or 'transcript'}.{extension}")


def disposition(kind: str, name: str) -> str:
    """A Content-Disposition header (RFC 6266): the name in ASCII for old clients, and in full for the others."""
    ascii = "".join(c if " " <= c <= "~" and c not in '"\\%;' else "_" for c in name)
    return f"{kind}; filename=\"{ascii}\"; filename*=UTF-8''{quote(name, safe='')}"


_VERBS: Final[tuple[tuple[Cause, str], ...]] = (
    (Cause.PAUSE, "Work on it no further for now"),
    (Cause.RESUME, "Go on with a paused job"),
    (Cause.CANCEL, "Stop for good; the text so far stays"),
    (Cause.FRONT, "Put it at the head of the queue"),
    (Cause.SOONER, "One place up in the queue"),
    (Cause.LATER, "One place down in the queue"),
)

router = Router(
    "/api/jobs",
    tags=["Jobs"],
    route_handlers=[
        create,
        find,
        show,
        edit,
        remove,
        retry,
        transcript,
        export,
        restore,
        *(_change(*verb) for verb in _VERBS),
    ],
)
