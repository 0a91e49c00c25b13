"""Create, list, show, change and export jobs. Almost every handler is one call to the service."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from anyio import to_thread
from litestar import Response, Router, delete, get, patch, post
from litestar.datastructures import ResponseHeader
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Reference
from litestar.params import FromQuery, JSONBody, QueryParameter

from whisper_service.app.edits import Version
from whisper_service.core.domain import Job, Status, Value
from whisper_service.core.errors import ServiceError
from whisper_service.core.job_states import Cause
from whisper_service.export import render
from whisper_service.export.layout import STYLE, Layout, layout_of
from whisper_service.export.render import Format
from whisper_service.export.speaker_names import WholeTranscript
from whisper_service.web.api import job_body
from whisper_service.web.api.job_list import JobList, job_list
from whisper_service.web.http.content_disposition import transcript_disposition, without_charset
from whisper_service.web.http.errors import Incoming, problems
from whisper_service.web.http.model_aliases import configured_model
from whisper_service.web.http.operations import TEXT, operation, schemas_of
from whisper_service.web.http.parameters import MAX_ID, JobId, Served


@post(
    "/",
    operation_id="createJob",
    operation_class=job_body.CreateOperation,
    summary="Transcribe a recording",
    description=(
        "Send a form with a part `file`, or the file itself as the body. The answer comes when the file is safely on "
        'disk. Or send `{"upload": ID}` and options as JSON, for an upload in pieces to /api/uploads; sent again, it '
        'gives the same job. Or send `{"url": ADDRESS}` and options: the job exists at once, and the service fetches '
        'its recording while the job waits. Or send `{"job": ID}` and options: a new job with the stored recording of '
        "that job, which stays as it is."
    ),
    status_code=202,
    request_max_body_size=None,
    response_headers=[ResponseHeader(name="Location", description="The address of the job.", documentation_only=True)],
    responses=problems(403, 404, 409, 413, 415, 422, 503, 507),
)
async def create(request: Incoming, service: Served) -> Response[Job]:
    preset = service.config.speech.preset
    if request.content_type[0] == "application/json":
        source, options = job_body.parse_source(await request.body(), preset)
        if source.job is not None:
            job = await service.jobs.submit_again(source.job, options)
        elif source.url is not None:
            job = await service.jobs.submit_link(source.url, options)
        else:
            job = await service.jobs.submit_upload(source.upload or "", options)
    else:
        received, options = await job_body.receive(request, service.uploads, preset)
        try:
            job = await service.jobs.submit(received, options)
        except ServiceError:
            received.path.unlink(missing_ok=True)
            raise
    return Response(job, status_code=202, headers={"Location": f"/api/jobs/{job.id}"})


@get("/", operation_id="listJobs", summary="Find jobs, newest first", responses=problems(422))
async def browse(
    service: Served,
    status: Annotated[list[Status] | None, QueryParameter(description="Only jobs in one of these states.")] = None,
    q: Annotated[
        str | None, QueryParameter(description="Terms that the name or the text must all contain.", max_length=300)
    ] = None,
    of: Annotated[
        str | None,
        QueryParameter(
            description="Only this job and all others that transcribed its recording again, or a part of it.",
            max_length=MAX_ID,
        ),
    ] = None,
    before: Annotated[
        str | None, QueryParameter(description="Only jobs older than this one.", max_length=MAX_ID)
    ] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=200)] = 50,
) -> JobList:
    page = await service.jobs.browse(status=status or (), query=q or "", of=of, before=before, limit=limit + 1)
    return job_list(page, limit)


@get("/{job_id:str}", operation_id="getJob", summary="One job", responses=problems(404, 422))
async def show(service: Served, job_id: JobId) -> Job:
    return await service.jobs.get(job_id)


class JobEdit(Value, frozen=True, forbid_unknown_fields=True):
    """What can be changed about a job."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=1_000)]


@patch("/{job_id:str}", operation_id="editJob", summary="Rename a job", responses=problems(403, 404, 422, 503))
async def edit(service: Served, job_id: JobId, data: JSONBody[JobEdit]) -> Job:
    return await service.jobs.rename(job_id, data.name)


@delete(
    "/{job_id:str}",
    operation_id="deleteJob",
    summary="Delete a job, its text and its recording",
    description="For `storage.undo_s` seconds `restore` brings all of it back. `for_good` deletes it at once.",
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
    summary="Restore a deleted job",
    status_code=200,
    responses=problems(403, 404, 409, 422, 503),
)
async def restore(service: Served, job_id: JobId) -> Job:
    return await service.jobs.restore(job_id)


class RetryRequest(Value, frozen=True, forbid_unknown_fields=True):
    """How to retry a job."""

    model: Annotated[str, msgspec.Meta(min_length=1, max_length=300)] | None = None  # None: no other model


@post(
    "/{job_id:str}/retry",
    operation_id="retryJob",
    summary="Retry what failed or is missing",
    description="A body may name another model. What is done stays.",
    status_code=200,
    responses=problems(403, 404, 409, 422, 503),
)
async def retry(service: Served, job_id: JobId, data: JSONBody[RetryRequest] = RetryRequest()) -> Job:  # noqa: B008 - frozen
    return await service.jobs.change(job_id, Cause.RETRY, model=configured_model(data.model) if data.model else None)


@get(
    "/{job_id:str}/export",
    operation_id="exportTranscript",
    operation_class=operation(
        query=schemas_of(Layout, set_elsewhere=(*STYLE, "author")),
        answers={
            **{kind.exporter.media_type: TEXT for kind in Format},
            Format.JSON.exporter.media_type: Reference("#/components/schemas/WholeTranscript"),
        },
    ),
    response_headers=[ResponseHeader(name="Content-Disposition", description="The name.", documentation_only=True)],
    summary="The text so far as a file",
    media_type="text/plain",
    responses={
        200: ResponseSpec(WholeTranscript, description="The file", generate_examples=False),
        **problems(404, 422),
    },
)
async def export(
    request: Incoming,
    service: Served,
    job_id: JobId,
    format: FromQuery[Format] = Format.TXT,
    version: FromQuery[Version] = Version.CURRENT,
) -> Response[bytes]:
    given = {name: value for name, value in request.query_params.items() if name not in _NO_LAYOUT and value}
    layout = layout_of(service.config.captions, {"author": service.config.page.title, **given})
    text = await service.jobs.transcript(job_id, version)
    review = await service.reviews.review(job_id, text, layout)
    # In a thread: captions of ten hours take seconds.
    content = await to_thread.run_sync(render.render, text, format, layout, review)
    headers = {"Content-Disposition": transcript_disposition(text.name, format.value)}
    return Response(content, media_type=without_charset(format.exporter.media_type), headers=headers)


_NO_LAYOUT: Final = frozenset({"format", "version"})
_CHANGES: Final[tuple[tuple[Cause, str], ...]] = (
    (Cause.PAUSE, "Pause a job"),
    (Cause.RESUME, "Continue a paused job"),
    (Cause.CANCEL, "Stop a job for good; its text so far is kept"),
    (Cause.FRONT, "Move a job to the front of the queue"),
    (Cause.SOONER, "Move a job one place forward in the queue"),
    (Cause.LATER, "Move a job one place back in the queue"),
)

router = Router(
    "/api/jobs",
    tags=["Jobs"],
    route_handlers=[
        *(create, browse, show, edit, remove, retry, export, restore),
        *(_change(*change) for change in _CHANGES),
    ],
)
