"""One snapshot for a user interface to start from; the event stream goes on from there."""

from __future__ import annotations

from typing import Annotated

from litestar import Router, get
from litestar.params import QueryParameter

from whisper_service.app.models import ModelsInfo
from whisper_service.app.system import System
from whisper_service.core.domain import Value
from whisper_service.web import page
from whisper_service.web.api.events import BOOT
from whisper_service.web.api.jobs import JobList, Served, page_of
from whisper_service.web.http.errors import problems


class Snapshot(Value, frozen=True):
    """Everything a user interface starts from; changes after `seq` come from `/api/events?since=<seq>`.

    `boot` is another one after a restart of the service, `ui_version` after an update of the page.
    """

    seq: int
    boot: str
    ui_version: str | None
    jobs: JobList
    models: ModelsInfo
    system: System


@get("/api/state", operation_id="getState", summary="One snapshot to start from", responses=problems(422))
async def state(service: Served, limit: Annotated[int, QueryParameter(ge=1, le=200)] = 50) -> Snapshot:
    seen = await service.jobs.snapshot(limit + 1)
    # What is written but not published yet is in the jobs and comes again as an event, which does no harm.
    seq = min(seen.seq, service.events.head)
    return Snapshot(
        seq, BOOT, page.ui_version(), page_of(seen.listing, limit), await service.models.list(), await service.system()
    )


router = Router("/", tags=["System"], route_handlers=[state])
