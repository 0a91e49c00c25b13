"""The facade: everything the web and the command line may ask for.

Requests that change anything go through the dispatcher's loop; reads go to the store. What it is made of: `assembly`.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import msgspec
from anyio import to_thread

from whisper_service import __version__
from whisper_service.app.models import ModelService
from whisper_service.app.wiring import MEDIA, SPEECH, Parts, assembled
from whisper_service.config.runtime import Setting
from whisper_service.config.schema import Config, SettingSource
from whisper_service.core.domain import ActorState, Death, Job, LinkOrigin, Options, Problem, Status, Transcript, Value
from whisper_service.core.errors import InvalidRequest, NotFound, ServiceError
from whisper_service.core.identifiers import clean_name, identifier
from whisper_service.core.job_states import TERMINAL, Cause
from whisper_service.host import memory
from whisper_service.integrations.link_fetcher import name_of
from whisper_service.models import hubs
from whisper_service.models.importing import ImportLimits
from whisper_service.storage.uploads import Received

logger = logging.getLogger(__name__)

FAILING = 3
"""Deaths in a row, with nothing useful between, after which an actor counts as broken."""


class ActorInfo(Value, frozen=True):
    """A child process as operators see it."""

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
    memory_bytes: int  # of the machine or the container; 0: not known
    memory_free_bytes: int | None  # None: not known
    cpus: int
    subscribers: int  # event streams that are open


class Readiness(Value, frozen=True):
    """Whether new recordings would be transcribed now, and if not, why."""

    ready: bool
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()  # why it would be done otherwise than configured, e.g. without the GPU


class Service:
    """See the module."""

    def __init__(self, parts: Parts) -> None:
        self.config = config = parts.config
        self.data = parts.data
        self.store = parts.store
        self.broadcast = parts.broadcast
        self.intake = parts.intake
        self.uploads = parts.uploads
        self.catalog = parts.catalog
        self.metrics = parts.metrics
        self.webhooks = parts.webhooks
        self.fetcher = parts.fetcher
        self.log = parts.log
        self.models = ModelService(
            parts.mailbox,
            parts.loop.shelf,
            parts.loop.connections,
            import_dirs=config.models.import_dirs,
            limits=ImportLimits(config.models.max_import_bytes, config.storage.min_free_bytes),
        )
        self.started_at = time.time()
        self._mailbox = parts.mailbox
        self._loop = parts.loop
        self._trash = parts.trash
        self._tuning = parts.tuning

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        config: Config,
        *,
        sources: Mapping[str, SettingSource] | None = None,
        speech_entry: str = SPEECH,
        media_entry: str = MEDIA,
    ) -> AsyncIterator[Service]:
        """Run a service on `config.data_dir`. Raises `DataDirectoryInUse` and whatever the store says about its file.

        The entries name the functions that run in the children, so that tests can put others there.
        """
        async with assembled(
            config, sources=sources or {}, speech_entry=speech_entry, media_entry=media_entry
        ) as parts:
            yield cls(parts)

    # -- jobs --------------------------------------------------------------------------------------------------------

    async def submit(
        self,
        received: Received,
        options: Options,
        *,
        reuse: bool = False,
        reuse_finished: bool = True,
        rank: float = 0.0,
    ) -> Job:
        """Make a job of an upload, with its place in the queue. Raises `InvalidRequest` for a webhook that cannot be. With `reuse`, a job with the same bytes and options goes on
        instead; without `reuse_finished` only one that has not ended."""

        if options.webhook:
            self.webhooks.check(options.webhook)

        async def add() -> Job:
            same = await self.store.same(received.sha256, options) if reuse else None
            if same is not None and (reuse_finished or same.status not in TERMINAL):
                await to_thread.run_sync(partial(received.path.unlink, missing_ok=True))
                cause = {Status.PAUSED: Cause.RESUME, Status.FAILED: Cause.RETRY, Status.CANCELLED: Cause.RETRY}.get(
                    same.status
                )
                return await self._loop.change(same.id, cause) if cause else same
            return await self._loop.add(
                Job(
                    id=received.path.name,
                    name=received.name,
                    status=Status.PENDING,
                    options=options,
                    created_at=self.intake.wall(),
                    bytes=received.bytes,
                    sha256=received.sha256,
                    language=options.language,
                    message="Waiting for its turn.",
                    rank=rank,
                )
            )

        return await self._mailbox.ask(add)

    async def submit_upload(self, upload_id: str, options: Options) -> Job:
        """The same of an upload that came in pieces; asked again, it gives the job that there is. Raises what `claim` raises."""
        with suppress(NotFound):
            return await self.store.job(upload_id)
        received = await self.uploads.claim(upload_id)
        try:
            job = await self.submit(received, options)
        except ServiceError:
            await self.uploads.release(received)
            raise
        await self.uploads.forget(upload_id)
        return job

    async def submit_link(self, url: str, options: Options) -> Job:
        """Make a job of an address; its recording comes while it waits for its turn. Raises `InvalidRequest`."""
        if options.webhook:
            self.webhooks.check(options.webhook)
        url, now = self.fetcher.check(url), self.intake.wall()
        job = Job(
            id=identifier(now),
            name=name_of(url),
            status=Status.PENDING,
            options=options,
            created_at=now,
            bytes=0,
            sha256="",
            language=options.language,
            message="Fetching the recording.",
            origin=LinkOrigin(url),
        )
        added = await self._mailbox.ask(partial(self._loop.add, job))
        self.fetcher.tell()
        return added

    async def pause(self, job_id: str) -> Job:
        """Give the job no more chunks; what is in work is kept."""
        return await self._change(job_id, Cause.PAUSE)

    async def resume(self, job_id: str) -> Job:
        """Let a paused job wait for its turn again."""
        return await self._change(job_id, Cause.RESUME)

    async def cancel(self, job_id: str) -> Job:
        """Stop the job; the text so far is kept."""
        return await self._change(job_id, Cause.CANCEL)

    async def retry(self, job_id: str, *, model: str | None = None) -> Job:
        """Try again what is missing, perhaps with another model; what is done stays. Raises `MediaRemoved` where there is
        nothing to hear it from."""
        return await self._change(job_id, Cause.RETRY, model=model)

    async def reset(self) -> None:
        """The cause of what does not work is gone: start what died too often, load what could not be, try the GPU again."""
        await self._mailbox.ask(self._loop.reset)

    async def front(self, job_id: str) -> Job:
        """Put the job at the head of the queue."""
        return await self._change(job_id, Cause.FRONT)

    async def sooner(self, job_id: str) -> Job:
        """Let a waiting job change places with the one before it in the queue; the first one stays where it is."""
        return await self._change(job_id, Cause.SOONER)

    async def later(self, job_id: str) -> Job:
        """Let a waiting job change places with the one behind it; the last one stays where it is."""
        return await self._change(job_id, Cause.LATER)

    async def rename(self, job_id: str, name: str) -> Job:
        """Call the job something else. Raises `InvalidRequest` for a name without anything to see in it."""
        if not name.strip():
            raise InvalidRequest("A job needs a name.", hint="Send some characters.", field="name")
        return await self._mailbox.ask(partial(self._loop.rename, job_id, clean_name(name)))

    async def delete(self, job_id: str, *, for_good: bool = False) -> None:
        """Remove the job, whatever it is doing. Until `storage.undo_s` is over it can be restored, unless it goes `for_good`."""
        for_good = for_good or not self.config.storage.undo_s
        await self._mailbox.ask(partial(self._loop.delete, job_id, for_good=for_good))
        self._trash.tell()
        self.fetcher.tell()

    async def restore(self, job_id: str) -> Job:
        """Have a deleted job back. Raises `NotFound` once it is gone for good, `Conflict` if it is not deleted."""
        job = await self._mailbox.ask(partial(self._loop.restore, job_id))
        self.fetcher.tell()
        return job

    async def transcript(self, job_id: str) -> Transcript:
        """The text so far, in order."""
        job = await self.store.job(job_id)
        return Transcript(
            name=job.name,
            duration_s=job.duration_s,
            language=job.language,
            model=job.model,
            segments=tuple(await self.store.segments(job_id)),
            gaps=job.gaps,
        )

    async def _change(self, job_id: str, cause: Cause, *, model: str | None = None) -> Job:
        job = await self._mailbox.ask(partial(self._loop.change, job_id, cause, model=model))
        self.fetcher.tell()
        return job

    # -- the service itself ------------------------------------------------------------------------------------------

    @property
    def device(self) -> str | None:
        """What is computed on; None until the speech actor has said what there is."""
        return self._loop.recognizer.device

    def settings(self) -> list[Setting]:
        """Every setting, where its value comes from, and whether it can be changed here."""
        return self._tuning.describe()

    async def change_settings(self, changes: Mapping[str, Any]) -> None:
        """Change settings, all or none; None takes one back. Raises `InvalidRequest`."""

        async def change() -> None:
            after = self._tuning.check(changes)
            told = await self.store.remembered.set_settings(after)
            self.broadcast.publish([told])  # before anything else can fail: it is committed
            self._apply(self._tuning.take(after))

        await self._mailbox.ask(change)

    def _apply(self, config: Config) -> None:
        """What can change while the service runs; the rest waits for a restart. Most is read from `config` when it is needed."""
        self.config = config
        self.intake.max_bytes = config.server.max_upload_bytes
        self.intake.min_free = config.storage.min_free_bytes
        self.intake.at_once = config.server.max_uploads
        self.uploads.keep_s = config.storage.keep_uploads_s
        self._trash.keep_s = config.storage.undo_s
        self._trash.tell()
        self._loop.shelf.downloads.hub = hubs.resolve(config.models, os.environ)
        self._loop.shelf.downloads.spare_bytes = config.storage.min_free_bytes
        logging.getLogger("whisper_service").setLevel(config.log.level.upper())

    async def system(self) -> System:
        """A snapshot for operators."""
        loaded = self._loop.recognizer.loaded
        counts = await self.store.count()
        return System(
            version=__version__,
            started_at=self.started_at,
            actors=tuple(
                ActorInfo(
                    actor.name,
                    actor.state,
                    actor.generation,
                    actor.pid,
                    actor.problem,
                    actor.facts,
                    tuple(actor.deaths),
                )
                for actor in self._loop.actors
            ),
            model=loaded.model if loaded else None,
            device=loaded.device if loaded else None,
            compute_type=loaded.compute_type if loaded else None,
            batch_size=self._loop.recognizer.rung.batch,
            warnings=self._loop.recognizer.warnings,
            models=tuple(await to_thread.run_sync(self.catalog.installed)),
            jobs={status.value: counts.get(status, 0) for status in Status},
            disk_free_bytes=shutil.disk_usage(self.data.root).free,
            memory_bytes=self._loop.shelf.inventory.machine.memory_bytes,
            memory_free_bytes=memory.free(),
            cpus=os.cpu_count() or 1,
            subscribers=self.broadcast.subscribers,
        )

    def readiness(self) -> Readiness:
        """Whether work would be done now. An actor that died once and is being replaced does not make it unready."""
        problems = [
            actor.problem
            for actor in self._loop.workers
            if actor.problem and (actor.broken or actor.failures >= FAILING)
        ]
        if self._loop.recognizer.problem is not None:
            problems.append(self._loop.recognizer.problem)
        return Readiness(ready=not problems, problems=tuple(problems), warnings=self._loop.recognizer.warnings)
