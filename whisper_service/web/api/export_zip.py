"""Export many transcripts as one zip, which is sent while it is made. One transcript is in memory at a time."""

from __future__ import annotations

import zipfile
from collections.abc import AsyncIterator, Sequence
from time import gmtime
from typing import Annotated, Any, Final

import msgspec
from anyio import to_thread
from litestar import Router, post
from litestar.datastructures import ResponseHeader
from litestar.params import JSONBody
from litestar.response import Stream

from whisper_service.app.service import Service
from whisper_service.core.domain import Job, Value
from whisper_service.core.errors import NotFound
from whisper_service.core.file_names import MAX_BYTES, portable_name, stem_of
from whisper_service.export import render
from whisper_service.export.layout import Layout, layout_of
from whisper_service.export.render import Format
from whisper_service.web.http.content_disposition import content_disposition
from whisper_service.web.http.errors import problems
from whisper_service.web.http.parameters import MAX_ID, Served

ZIP: Final = "application/zip"
MAX_JOBS: Final = 1_000


class ZipRequest(Value, frozen=True, forbid_unknown_fields=True):
    """The jobs, and how their text looks. `layout` has the options that the export of one job has."""

    ids: Annotated[
        list[Annotated[str, msgspec.Meta(max_length=MAX_ID)]], msgspec.Meta(min_length=1, max_length=MAX_JOBS)
    ]
    format: Format = Format.TXT
    layout: dict[str, Any] = msgspec.field(default_factory=dict)


class _ZipBuffer:
    """A file that `zipfile` writes to, and that gives away what was written. `zipfile` works without `seek`."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def flush(self) -> None: ...

    def close(self) -> None: ...

    def take(self) -> bytes:
        """Return what was written since the last call."""
        taken, self._parts = b"".join(self._parts), []
        return taken


@post(
    "/api/export",
    operation_id="exportMany",
    summary="The text of many jobs as one zip",
    status_code=200,
    media_type=ZIP,
    response_headers=[ResponseHeader(name="Content-Disposition", description="The name.", documentation_only=True)],
    responses=problems(403, 404, 422),
)
async def export_many(service: Served, data: JSONBody[ZipRequest]) -> Stream:
    layout = layout_of(service.config.captions, {"author": service.config.page.title, **data.layout})
    jobs = [await service.jobs.get(job_id) for job_id in dict.fromkeys(data.ids)]
    headers = {"Content-Disposition": content_disposition("attachment", f"transcripts-{data.format.value}.zip")}
    return Stream(pack(service, jobs, data.format, layout), media_type=ZIP, headers=headers)


async def pack(service: Service, jobs: Sequence[Job], kind: Format, layout: Layout) -> AsyncIterator[bytes]:
    """Yield the zip in pieces. A job that is deleted meanwhile is left out."""
    buffer, names = _ZipBuffer(), set[str]()
    archive = zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED)
    for job in jobs:
        try:
            transcript = await service.jobs.transcript(job.id)
        except NotFound:
            continue
        review = await service.reviews.review(job.id, transcript, layout)
        content = await to_thread.run_sync(render.render, transcript, kind, layout, review)
        entry = zipfile.ZipInfo(free_name(job.name, kind.value, names), gmtime(job.created_at)[:6])
        await to_thread.run_sync(archive.writestr, entry, content, zipfile.ZIP_DEFLATED)
        yield buffer.take()
    archive.close()
    yield buffer.take()


def free_name(name: str, extension: str, taken: set[str]) -> str:
    """Return a file name for the transcript of the recording `name`, and add it to `taken`.

    Every common disk takes the name. No other name in the zip is equal, not even in another case.
    """
    stem, number, counter = stem_of(name), 1, ""
    while True:
        room = MAX_BYTES - len(counter) - len(extension) - 1
        free = f"{portable_name(stem, room=room)}{counter}.{extension}"
        if free.casefold() not in taken:
            taken.add(free.casefold())
            return free
        number += 1
        counter = f" ({number})"


router = Router("/", tags=["Jobs"], route_handlers=[export_many])
