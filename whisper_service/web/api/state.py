"""Give a user interface one snapshot to start from. The event stream continues from there."""

from __future__ import annotations

from typing import Annotated

from litestar import Router, get
from litestar.params import QueryParameter

from whisper_service.app.models import ModelsInfo
from whisper_service.app.system import System
from whisper_service.core.domain import Value
from whisper_service.web import page
from whisper_service.web.api.job_list import JobList, job_list
from whisper_service.web.http.errors import problems
from whisper_service.web.http.parameters import BOOT, Served


class Snapshot(Value, frozen=True):
    """Everything that a user interface starts from. Changes after `seq` come from `/api/events?since=<seq>`.

    `boot` differs after each restart of the service, `ui_version` after each update of the page.
    """

    seq: int
    boot: str
    ui_version: str | None
    jobs: JobList
    models: ModelsInfo
    system: System


@get("/api/state", operation_id="getState", summary="One snapshot to start from", responses=problems(422))
async def state(service: Served, limit: Annotated[int, QueryParameter(ge=1, le=200)] = 50) -> Snapshot:
    stored = await service.jobs.snapshot(limit + 1)
    # A change that is written but not published yet is in the jobs, and comes again as an event. That does no harm.
    seq = min(stored.seq, service.events.head)
    jobs = job_list(stored.listing, limit)
    return Snapshot(seq, BOOT, page.ui_version(), jobs, await service.models.list(), await service.system())


router = Router("/", tags=["System"], route_handlers=[state])
