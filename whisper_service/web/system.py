"""The service about itself: one snapshot for a user interface, and health for whoever watches it."""

from __future__ import annotations

from typing import Annotated

from litestar import Response, Router, get
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import QueryParameter

from whisper_service import __version__
from whisper_service.domain import Value
from whisper_service.service import Readiness, System
from whisper_service.web.errors import problems
from whisper_service.web.events import BOOT
from whisper_service.web.jobs import Page, Served, page


class Snapshot(Value, frozen=True):
    """Everything a user interface starts from; changes after `seq` come from `/api/events?since=<seq>`."""

    seq: int
    boot: str
    jobs: Page
    system: System


class Live(Value, frozen=True):
    """The process answers."""

    version: str


@get("/state", operation_id="getState", summary="One snapshot to start from", responses=problems(422))
async def state(service: Served, limit: Annotated[int, QueryParameter(ge=1, le=200)] = 50) -> Snapshot:
    seq = service.broadcast.head  # before the jobs are read: a change that is seen twice is harmless, one that is missed is not
    return Snapshot(seq, BOOT, await page(service, limit=limit), await service.system())


@get("/system", operation_id="getSystem", summary="Versions, actors, devices, disk", responses=problems())
async def system(service: Served) -> System:
    return await service.system()


@get("/health/live", operation_id="getLive", summary="Does the process answer?", responses=problems())
async def live() -> Live:
    return Live(__version__)


@get(
    "/health/ready",
    operation_id="getReady",
    summary="Would a recording be transcribed now?",
    responses=problems() | {503: ResponseSpec(Readiness, description="No; problems says why", generate_examples=False)},
)
async def ready(service: Served) -> Response[Readiness]:
    readiness = service.readiness()
    return Response(readiness, status_code=200 if readiness.ready else 503)


router = Router("/api", tags=["System"], route_handlers=[state, system, live, ready])
