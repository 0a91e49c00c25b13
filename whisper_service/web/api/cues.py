"""Give the captions of a job as data."""

from __future__ import annotations

from typing import Final

from anyio import to_thread
from litestar import Router, get

from whisper_service.export.cue_list import CueList, cue_list
from whisper_service.export.layout import STYLE, Layout, layout_of
from whisper_service.export.render import Format
from whisper_service.web.http.errors import Incoming, problems
from whisper_service.web.http.operations import operation, schemas_of
from whisper_service.web.http.parameters import JobId, Served

_OPTIONS: Final = {
    name: schema
    for name, schema in schemas_of(Layout, set_elsewhere=STYLE).items()
    if name in Format.SRT.exporter.options and name != "bom"
}


@get(
    "/{job_id:str}/cues",
    operation_id="listCues",
    operation_class=operation(query=_OPTIONS),
    summary="The captions of a job as data",
    description=(
        "Exactly the captions of `export?format=srt` with the same options, with the lines that they are made of, how "
        "fast they are to read, and what is wrong with them."
    ),
    responses=problems(404, 422),
)
async def listed(request: Incoming, service: Served, job_id: JobId) -> CueList:
    given = {name: value for name, value in request.query_params.items() if value}
    layout = layout_of(service.config.captions, given)
    job = await service.jobs.get(job_id)  # first: what is read next is never older than the edit that it counts
    text = await service.jobs.transcript(job_id)
    lines = await service.edits.lines(job_id)
    # In a thread: captions of ten hours take seconds.
    return await to_thread.run_sync(cue_list, text, layout, lines, job.edits)


router = Router("/api/jobs", tags=["Jobs"], route_handlers=[listed])
