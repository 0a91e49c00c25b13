"""Show bookmarks, highlights and notes, and give them as a file. Edits make, change and remove them."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from litestar import Response, Router, get
from litestar.datastructures import ResponseHeader
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromQuery, QueryParameter

from whisper_service.core.domain import Value
from whisper_service.core.file_names import portable_name, stem_of
from whisper_service.editing.marks import Mark
from whisper_service.export.notes import notes_as_csv, notes_as_md
from whisper_service.export.review import notes_heading
from whisper_service.web.http.content_disposition import content_disposition
from whisper_service.web.http.errors import problems
from whisper_service.web.http.operations import TEXT, operation
from whisper_service.web.http.parameters import JobId, Served


class NotesFormat(StrEnum):
    """As what notes can be exported. The value is also the extension of the file."""

    CSV = "csv"
    MD = "md"


class MarkList(Value, frozen=True):
    """Bookmarks, highlights and notes, the oldest first."""

    marks: list[Mark]


@get(
    "/{job_id:str}/marks",
    operation_id="listMarks",
    summary="Bookmarks, highlights and notes",
    description=(
        "Each holds on to words: from `first` to `last`, places behind so many characters of a line. Edits move them. "
        "Edits with the operations `mark`, `change_mark` and `unmark` make, change and remove them."
    ),
    responses=problems(404, 422),
)
async def marks(service: Served, job_id: JobId) -> MarkList:
    await service.jobs.get(job_id)
    return MarkList(await service.edits.marks(job_id))


@get(
    "/{job_id:str}/marks/export",
    operation_id="exportMarks",
    operation_class=operation(answers={"text/csv": TEXT, "text/markdown": TEXT}),
    response_headers=[ResponseHeader(name="Content-Disposition", description="The name.", documentation_only=True)],
    summary="Bookmarks, highlights and notes as a file",
    description="In order of time: as a table (csv), or as a list (md) with the name of the recording.",
    media_type="text/csv",
    responses={200: ResponseSpec(str, description="The file", generate_examples=False), **problems(404, 422)},
)
async def export_marks(
    service: Served,
    job_id: JobId,
    format: FromQuery[NotesFormat] = NotesFormat.CSV,
    bom: Annotated[
        bool, QueryParameter(description="A byte order mark before the text, for programs that misread UTF-8 without.")
    ] = False,
) -> Response[bytes]:
    transcript, remarks = await service.reviews.remarks(job_id)
    if format is NotesFormat.CSV:
        text, media_type = notes_as_csv(remarks), "text/csv"
    else:
        title = f"{notes_heading(transcript.language)}: {stem_of(transcript.name)}"
        text, media_type = notes_as_md(remarks, heading=title, level=1), "text/markdown"
    name = content_disposition("attachment", portable_name(f"{stem_of(transcript.name)} - notes", format.value))
    content = text.encode("utf-8-sig" if bom else "utf-8")
    return Response(content, media_type=media_type, headers={"Content-Disposition": name})


router = Router("/api/jobs", tags=["Jobs"], route_handlers=[marks, export_marks])
