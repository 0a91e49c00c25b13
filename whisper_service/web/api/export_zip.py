"""Many transcripts at once: a zip that is sent while it is made, one transcript in memory at a time."""

from __future__ import annotations

import zipfile
from collections.abc import AsyncIterator, Sequence
from pathlib import PurePath
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
from whisper_service.export import render
from whisper_service.export.layout import Layout, layout_of
from whisper_service.export.render import Format
from whisper_service.web.api.jobs import Served, disposition
from whisper_service.web.http.errors import problems

ZIP: Final = "application/zip"
MANY: Final = 1_000


class ZipRequest(Value, frozen=True, forbid_unknown_fields=True):
    """Which jobs, and how their text is to look; `layout` takes what the export of one job takes."""

    ids: Annotated[list[Annotated[str, msgspec.Meta(max_length=64)]], msgspec.Meta(min_length=1, max_length=MANY)]
    format: Format = Format.TXT
    layout: dict[str, Any] = msgspec.field(default_factory=dict)


class _ZipBuffer:
    """What the zip writes, to be taken away; it cannot go back, so the zip does without."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """There is nothing to close."""

    def take(self) -> bytes:
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
    layout = layout_of(service.config.captions, data.layout)
    jobs = [await service.jobs.get(job_id) for job_id in dict.fromkeys(data.ids)]
    headers = {"Content-Disposition": disposition("attachment", f"transcripts-{data.format.value}.zip")}
    return Stream(pack(service, jobs, data.format, layout), media_type=ZIP, headers=headers)


async def pack(service: Service, jobs: Sequence[Job], kind: Format, layout: Layout) -> AsyncIterator[bytes]:
    """The zip, piece by piece. A job that is deleted meanwhile is left out."""
    sink, names = _ZipBuffer(), set[str]()
    archive = zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED)
    for job in jobs:
        try:
            transcript = await service.jobs.transcript(job.id)
        except NotFound:
            continue
        content = await to_thread.run_sync(render.render, transcript, kind, layout)
        entry = zipfile.ZipInfo(free_name(job.name, kind.value, names), gmtime(job.created_at)[:6])
        await to_thread.run_sync(archive.writestr, entry, content, zipfile.ZIP_DEFLATED)
        yield sink.take()
    archive.close()
    yield sink.take()


def free_name(name: str, extension: str, taken: set[str]) -> str:
    """A name for the transcript of the recording `name` that no other has, nor one that differs in case only; it is `taken` then."""
    stem = PurePath(name).stem or "transcript"
    number, free = 1, f"{stem}.{extension}"
    while free.casefold() in taken:
        number += 1
        free = f"{stem} ({number}).{extension}"
    taken.add(free.casefold())
    return free


router = Router("/", tags=["Jobs"], route_handlers=[export_many])
