"""Show the state of the service, and its health for monitoring."""

from __future__ import annotations

from litestar import Response, Router, get, post
from litestar.openapi.datastructures import ResponseSpec

from whisper_service import __version__
from whisper_service.app.system import Readiness, System
from whisper_service.core.domain import Value
from whisper_service.web.http.errors import problems
from whisper_service.web.http.parameters import Served


class Live(Value, frozen=True):
    """The answer of a process that runs."""

    version: str


@get("/system", operation_id="getSystem", summary="Versions, actors, devices, disk", responses=problems())
async def system(service: Served) -> System:
    return await service.system()


@post(
    "/system/reset",
    operation_id="resetSystem",
    summary="Try again what failed: actors that died too often, models that could not be loaded, the GPU",
    status_code=200,
    responses=problems(403, 503),
)
async def reset(service: Served) -> System:
    await service.reset()
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


router = Router("/api", tags=["System"], route_handlers=[system, reset, live, ready])
