"""Serve `/metrics` for Prometheus: what was counted since the start, and the present state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from litestar import Response, Router, get
from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from whisper_service.app.metrics import PREFIX
from whisper_service.app.system import Readiness, System
from whisper_service.core.domain import ActorState
from whisper_service.web.http.errors import Incoming, problems
from whisper_service.web.http.parameters import Served

MEDIA_TYPE: Final = "text/plain"
Labelled = Mapping[tuple[str, ...], float]


@get(
    "/metrics", operation_id="getMetrics", summary="Figures for Prometheus", media_type=MEDIA_TYPE, responses=problems()
)
async def metrics(request: Incoming, service: Served) -> Response[bytes]:
    state = gauges(await service.system(), service.readiness(), service.events.head, service.uploads.open_count)
    queue = work(await service.wishes.waiting_s(), service.wishes.wanted)
    content, kind = service.metrics.text(request.headers.get("accept", ""), [*state, *queue])
    return Response(content, media_type=kind)


def gauges(system: System, readiness: Readiness, seq: int, uploads: int) -> Iterator[Metric]:
    """Yield the metrics of the present state."""
    yield _labelled("info", "The version that runs.", ("version",), {(system.version,): 1})
    yield _single("start_time_seconds", "When the service was started, in Unix seconds.", system.started_at)
    yield _single("ready", "Whether a recording would be transcribed now.", readiness.ready)
    reasons: Labelled = {(problem.code,): 1 for problem in readiness.problems}
    yield _labelled("problems", "Why no recording would be transcribed, by code.", ("code",), reasons)
    jobs: Labelled = {(status,): number for status, number in system.jobs.items()}
    yield _labelled("jobs", "Jobs by status. The pending ones are the queue.", ("status",), jobs)
    states: Labelled = {
        (actor.name, state.value): actor.state is state for actor in system.actors for state in ActorState
    }
    yield _labelled("actor_state", "1 for the state of an actor.", ("actor", "state"), states)
    models: Labelled = {
        (seat.model, seat.device or "", seat.compute_type or ""): 1 for seat in system.devices if seat.model
    }
    yield _labelled("model_info", "The model that is loaded on a device.", ("model", "device", "compute_type"), models)
    seats = {(seat.seat, seat.device or ""): seat for seat in system.devices}
    numbers = Counter(seat.state for seat in system.devices)
    by_state: Labelled = {(state.value,): numbers[state] for state in ActorState}
    yield _labelled("seats", "Devices by the state of their actor.", ("state",), by_state)
    labels = ("actor", "device")
    in_service: Labelled = {key: seat.in_service for key, seat in seats.items()}
    yield _labelled("device_in_service", "Whether a device does work, or could.", labels, in_service)
    speeds: Labelled = {key: seat.speed for key, seat in seats.items() if seat.speed}
    yield _labelled("device_speed", "Seconds of sound that a device recognises a second.", labels, speeds)
    yield _single("subscribers", "Open event streams.", system.subscribers)
    yield _single("uploads", "Recordings that are arriving.", uploads)
    yield _single("disk_free_bytes", "Free space on the disk with the data directory.", system.disk_free_bytes)
    yield _single("changes", "The number of the last change in the log.", seq)


def work(waiting_s: float, wanted: int | None) -> Iterator[Metric]:
    """Yield the metrics that tell how many seats the work needs."""
    yield _single("queue_audio_seconds", "Sound without text, of all jobs that wait or are in work.", waiting_s)
    if wanted is not None:
        yield _single("seats_wanted", "Speech actors on machines of the cluster that the work is worth.", wanted)


def _single(name: str, help: str, value: float) -> Metric:
    return GaugeMetricFamily(f"{PREFIX}_{name}", help, value=float(value))


def _labelled(name: str, help: str, labels: tuple[str, ...], values: Labelled) -> Metric:
    family = GaugeMetricFamily(f"{PREFIX}_{name}", help, labels=labels)
    for given, value in values.items():
        family.add_metric(given, float(value))
    return family


router = Router("/", tags=["System"], route_handlers=[metrics])
