"""The state of the service and of the machine, for operators."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from whisper_service import __version__
from whisper_service.app.disk_use import DiskUse
from whisper_service.app.recording_mover import ObjectStorage
from whisper_service.core.domain import ActorState, Death, Problem, Status, Value
from whisper_service.host import memory
from whisper_service.integrations.site_support import SiteSupport
from whisper_service.scheduler.context import Context
from whisper_service.scheduler.speech_actor import SpeechActor
from whisper_service.supervision.supervisor import Supervisor

FAILING: Final = 3
"""Deaths in a row, with nothing useful between, after which an actor counts as broken."""


class ActorInfo(Value, frozen=True):
    """An actor as operators see it."""

    name: str
    state: ActorState
    generation: int
    pid: int | None
    host: str | None = None  # the machine of a cluster on which it is; None: this one, or none yet
    problem: Problem | None = None
    facts: dict[str, Any] = msgspec.field(default_factory=dict)
    deaths: tuple[Death, ...] = ()  # the last ones that were not wanted, the newest last


class SeatInfo(Value, frozen=True):
    """A device with its speech actor, as operators see it."""

    seat: str  # the name of its actor
    host: str | None  # the machine of a cluster on which it is; None: this one, or none yet
    device: str | None  # None: not known yet
    state: ActorState
    in_service: bool  # no: it cannot be used, and the others do the work
    model: str | None  # the loaded one
    loading: str | None  # the model that is being loaded
    arrived_bytes: int | None  # of that model, on the machine of the seat; None: it need not come there
    arriving_bytes: int | None  # of that model in all
    compute_type: str | None
    batch_size: int  # chunks in a batch
    batches: int  # that it has now
    speed: float  # seconds of sound a second, by finished batches of the loaded model; 0: not measured
    memory_bytes: int  # of the graphics card; 0: none, or unknown
    problem: Problem | None = None  # why it does not work, or not as configured


class System(Value, frozen=True):
    """The state of the service and of the machine. `model`, `device` and the like are those of the first device."""

    version: str
    started_at: float
    actors: tuple[ActorInfo, ...]
    model: str | None
    device: str | None
    compute_type: str | None
    batch_size: int  # chunks in a batch: fewer than configured after memory ran out
    devices: tuple[SeatInfo, ...]  # each has its own model
    warnings: tuple[Problem, ...]  # why the work is done otherwise than configured
    models: tuple[str, ...]
    jobs: dict[str, int]
    disk_free_bytes: int
    memory_bytes: int  # of the machine or the container; 0: unknown
    memory_free_bytes: int | None  # None: unknown
    cpus: int
    subscribers: int  # open event streams
    title: str  # what the page is called: the setting page.title
    storage: DiskUse
    sites: SiteSupport
    object_storage: ObjectStorage | None = None  # None: every recording is on the disk


class Readiness(Value, frozen=True):
    """Whether new recordings would be transcribed now, and if not, why."""

    ready: bool
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()  # why the work would be done otherwise than configured


def system(
    context: Context,
    *,
    started_at: float,
    models: tuple[str, ...],
    jobs: Mapping[Status, int],
    subscribers: int,
    title: str,
    storage: DiskUse,
    sites: SiteSupport,
    object_storage: ObjectStorage | None,
) -> System:
    """Return the state of now. `models` are the installed ones, `jobs` their number by status."""
    speech, loaded = context.fleet.first, context.fleet.first.loaded
    return System(
        version=__version__,
        started_at=started_at,
        actors=tuple(
            ActorInfo(
                actor.name,
                actor.state,
                actor.generation,
                actor.pid,
                actor.host,
                actor.problem or actor.obstacle,
                actor.facts,
                tuple(actor.deaths),
            )
            for actor in context.actors
        ),
        model=loaded.model if loaded else None,
        device=loaded.device if loaded else None,
        compute_type=loaded.compute_type if loaded else None,
        batch_size=speech.rung.batch,
        devices=tuple(map(_seat_info, context.fleet.seats)),
        warnings=(*_warnings(context), *_problem_of(object_storage)),
        models=models,
        jobs={status.value: jobs.get(status, 0) for status in Status},
        disk_free_bytes=shutil.disk_usage(context.data.root).free,
        memory_bytes=context.models.inventory.machine.memory_bytes,
        memory_free_bytes=memory.free(),
        cpus=os.cpu_count() or 1,
        subscribers=subscribers,
        title=title,
        storage=storage,
        sites=sites,
        object_storage=object_storage,
    )


def readiness(context: Context, storage_problem: Problem | None = None) -> Readiness:
    """Return whether the service works. An actor that died once and is being replaced does not count as broken.

    Neither does a device while another one works: its problem is a warning, like that of the object storage.
    """
    fleet = context.fleet
    failing = [problem for seat in fleet.in_service() if (problem := _failure(seat.actor)) is not None]
    others_work = len(failing) < len(fleet.in_service())
    problems = [] if others_work else failing
    problems += [problem for actor in context.media.local.values() if (problem := _failure(actor)) is not None]
    if fleet.load_problem is not None:
        problems.append(fleet.load_problem)
    told = (storage_problem,) if storage_problem is not None else ()
    warnings = (*(failing if others_work else ()), *_warnings(context), *told)
    return Readiness(ready=not problems, problems=tuple(problems), warnings=warnings)


def _problem_of(storage: ObjectStorage | None) -> tuple[Problem, ...]:
    return () if storage is None or storage.problem is None else (storage.problem,)


def _warnings(context: Context) -> tuple[Problem, ...]:
    """Return why the work is done otherwise than configured: on devices, or by this machine instead of others."""
    media = context.media
    decoding = (media.far_problem, *(_failure(actor) for actor in media.far.values()))
    found = list(context.fleet.warnings)
    for problem in decoding:
        if problem is not None and problem not in found:
            found.append(problem)
    return tuple(found)


def _failure(actor: Supervisor) -> Problem | None:
    """Return why an actor does not work. None: it does, or it has died only a few times, or waits not for long."""
    return actor.problem if actor.broken or actor.failures >= FAILING else actor.obstacle


def _seat_info(seat: SpeechActor) -> SeatInfo:
    view = seat.view()
    return SeatInfo(
        seat=seat.actor.name,
        host=seat.actor.host,
        device=seat.device.name,
        state=seat.actor.state,
        in_service=not seat.device.out,
        model=seat.model,
        loading=seat.loading,
        arrived_bytes=seat.arriving.bytes if seat.arriving else None,
        arriving_bytes=seat.arriving.total if seat.arriving else None,
        compute_type=seat.loaded.compute_type if seat.loaded else None,
        batch_size=seat.rung.batch,
        batches=view.batches + view.express_batches,
        speed=round(seat.speed.measured(seat.rung.slots), 1),
        memory_bytes=seat.device.vram_bytes,
        problem=seat.trouble,
    )
