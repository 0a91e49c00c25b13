"""The state of the service and of the machine, for operators."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from whisper_service import __version__
from whisper_service.app.disk_use import DiskUse
from whisper_service.core.domain import ActorState, Death, Problem, Status, Value
from whisper_service.host import memory
from whisper_service.integrations.site_support import SiteSupport
from whisper_service.scheduler.context import Context

FAILING: Final = 3
"""Deaths in a row, with nothing useful between, after which an actor counts as broken."""


class ActorInfo(Value, frozen=True):
    """An actor as operators see it."""

    name: str
    state: ActorState
    generation: int
    pid: int | None
    problem: Problem | None = None
    facts: dict[str, Any] = msgspec.field(default_factory=dict)
    deaths: tuple[Death, ...] = ()  # the last ones that were not wanted, the newest last


class System(Value, frozen=True):
    """The state of the service and of the machine."""

    version: str
    started_at: float
    actors: tuple[ActorInfo, ...]
    model: str | None
    device: str | None
    compute_type: str | None
    batch_size: int  # chunks in a batch: fewer than configured after memory ran out
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
) -> System:
    """Return the state of now. `models` are the installed ones, `jobs` their number by status."""
    speech, loaded = context.speech, context.speech.loaded
    return System(
        version=__version__,
        started_at=started_at,
        actors=tuple(
            ActorInfo(
                actor.name, actor.state, actor.generation, actor.pid, actor.problem, actor.facts, tuple(actor.deaths)
            )
            for actor in context.actors
        ),
        model=loaded.model if loaded else None,
        device=loaded.device if loaded else None,
        compute_type=loaded.compute_type if loaded else None,
        batch_size=speech.rung.batch,
        warnings=speech.warnings,
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
    )


def readiness(context: Context) -> Readiness:
    """Return whether the service works. An actor that died once and is being replaced does not count as broken."""
    problems = [
        actor.problem
        for actor in context.transcribing_actors
        if actor.problem and (actor.broken or actor.failures >= FAILING)
    ]
    if context.speech.problem is not None:
        problems.append(context.speech.problem)
    return Readiness(ready=not problems, problems=tuple(problems), warnings=context.speech.warnings)
