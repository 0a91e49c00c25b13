"""The composition root and the facade: everything the web and the command line may ask for.

`Service.open` builds the parts, in order, and takes them down in reverse. Requests that change anything go through the
dispatcher's loop; reads go to the store.
"""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import time
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from typing import Any

import anyio
import msgspec
from anyio import to_thread
from anyio.lowlevel import checkpoint

from whisper_service import __version__
from whisper_service.children.breaker import Intensity
from whisper_service.children.roll import Roll
from whisper_service.children.supervisor import Death, State, Supervisor
from whisper_service.config import Config, Source, Storage
from whisper_service.desk import ModelDesk
from whisper_service.domain import Job, Options, Origin, Problem, Status, Transcript, Value
from whisper_service.errors import InvalidRequest, NotFound, ServiceError
from whisper_service.fetcher import Fetcher, name_of
from whisper_service.lifecycle import OPEN, TERMINAL, Cause
from whisper_service.logs import Tail
from whisper_service.loop.connections import Connections
from whisper_service.loop.decoders import Decoders
from whisper_service.loop.dispatch import Dispatcher
from whisper_service.loop.endings import Endings
from whisper_service.loop.ledger import Ledger
from whisper_service.loop.mailbox import Mailbox
from whisper_service.loop.recognizer import Recognizer
from whisper_service.loop.shelf import Shelf
from whisper_service.metrics import Metrics
from whisper_service.models import hubs, machine
from whisper_service.models.catalog import Catalog
from whisper_service.models.imports import Limits
from whisper_service.models.inventory import Inventory
from whisper_service.settings import Setting
from whisper_service.storage.broadcast import Broadcast, Closed
from whisper_service.storage.datadir import DataDir
from whisper_service.storage.intake import Intake, Received, clean_name, identifier
from whisper_service.storage.resumable import Resumable
from whisper_service.storage.retention import DAY_S, Retention, Rules
from whisper_service.storage.store import Store
from whisper_service.storage.trash import Trash
from whisper_service.storage.wall import Wall
from whisper_service.tuning import Tuning
from whisper_service.webhooks import Webhooks

logger = logging.getLogger(__name__)

SPEECH = "whisper_service.actor.speech:run"
MEDIA = "whisper_service.actor.media:run"
DOWNLOAD = "whisper_service.actor.download:run"
FAILING = 3
"""Deaths in a row, with nothing useful between, after which an actor counts as broken."""


class ActorInfo(Value, frozen=True):
    """A child process as operators see it."""

    name: str
    state: State
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
    cpus: int
    subscribers: int  # event streams that are open


class Readiness(Value, frozen=True):
    """Whether new recordings would be transcribed now, and if not, why."""

    ready: bool
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()  # why it would be done otherwise than configured, e.g. without the GPU


class Service:
    """See the module."""

    def __init__(
        self,
        config: Config,
        data: DataDir,
        store: Store,
        broadcast: Broadcast,
        intake: Intake,
        uploads: Resumable,
        catalog: Catalog,
        metrics: Metrics,
        webhooks: Webhooks,
        fetcher: Fetcher,
        mailbox: Mailbox,
        loop: Dispatcher,
        trash: Trash,
        tuning: Tuning,
        log: Tail,
    ) -> None:
        self.config = config
        self.store = store
        self.broadcast = broadcast
        self.intake = intake
        self.uploads = uploads
        self.catalog = catalog
        self.metrics = metrics
        self.models = ModelDesk(
            mailbox,
            loop.shelf,
            loop.connections,
            import_dirs=config.models.import_dirs,
            limits=Limits(config.models.max_import_bytes, config.storage.min_free_bytes),
        )
        self.webhooks = webhooks
        self.fetcher = fetcher
        self.started_at = time.time()
        self.data = data
        self._mailbox = mailbox
        self._loop = loop
        self._trash = trash
        self._tuning = tuning
        self.log = log

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        config: Config,
        *,
        sources: Mapping[str, Source] | None = None,
        speech_entry: str = SPEECH,
        media_entry: str = MEDIA,
    ) -> AsyncIterator[Service]:
        """Run a service on `config.data_dir`. Raises `DataDirectoryInUse` and whatever the store says about its file.

        The entries name the functions that run in the children, so that tests can put others there.
        """
        data = DataDir(config.data_dir)
        async with AsyncExitStack() as stack:
            stack.enter_context(data.hold())
            log = Tail()
            stack.enter_context(log.listening())
            roll = Roll(data.children)
            roll.clear()
            store = await stack.enter_async_context(Store.open(data.database))
            tuning = Tuning(config, sources or {}, await store.remembered.settings())
            config = tuning.config
            await _recover(store, data)
            wall = Wall(await store.newest())
            intake = Intake(
                data.media,
                max_bytes=config.server.max_upload_bytes,
                min_free=config.storage.min_free_bytes,
                at_once=config.server.max_uploads,
                wall=wall,
            )
            uploads = Resumable(data.uploads, intake, keep_s=config.storage.keep_uploads_s)
            with_media, open_jobs = await store.with_media(), await store.ids(OPEN)
            await to_thread.run_sync(_sweep, data, intake, with_media, open_jobs)
            _, head = await store.log.bounds()
            broadcast = Broadcast(store.log, head)
            stack.callback(broadcast.close)
            webhooks = Webhooks(config.webhooks, store, broadcast)
            catalog = Catalog(data.models, default=config.speech.model)
            await to_thread.run_sync(catalog.sweep)
            mailbox, metrics = Mailbox(), Metrics()
            supervise = partial(
                Supervisor,
                logs=data.logs,
                roll=roll,
                deliver=metrics.watching(mailbox.deliver),
                ready_timeout_s=config.supervision.ready_timeout_s,
                intensity=Intensity(
                    config.supervision.max_restarts, config.supervision.restart_window_s, config.supervision.probe_s
                ),
            )
            speech = supervise("speech", speech_entry, ready_is_useful=False)  # it has yet to load a model
            recognizer = Recognizer(speech, config.speech, config.supervision)
            decoders = Decoders(
                [supervise(f"media-{n + 1}", media_entry) for n in range(config.media.workers)],
                data,
                stall_s=config.supervision.decode_stall_s,
                max_duration_s=config.media.max_duration_s,
                max_expansion=config.media.max_expansion,
            )
            ledger = Ledger(store, broadcast, data, wall=wall)
            endings = Endings(ledger, recognizer, decoders)
            shelf = Shelf(
                store,
                broadcast,
                Inventory(catalog, machine.look()),
                ledger,
                recognizer,
                endings,
                supervise("download", DOWNLOAD),
                hubs.resolve(config.models, os.environ),
                spare_bytes=config.storage.min_free_bytes,
            )
            connections = Connections(supervise("connection", DOWNLOAD))
            loop = Dispatcher(
                mailbox, ledger, endings, shelf, connections, recognizer, decoders, preload=config.speech.preload
            )

            async def note(job_id: str, **fields: Any) -> Job | None:
                return await mailbox.ask(partial(loop.fetching, job_id, **fields))

            async def unfetched(job_id: str, problem: Problem) -> None:
                await mailbox.ask(partial(loop.unfetched, job_id, problem))

            fetcher = Fetcher(config.links, store, intake, data, note, unfetched)
            retention = Retention(
                _rules(config.storage),
                store,
                broadcast,
                lambda job_id: mailbox.ask(partial(loop.remove_media, job_id)),
                lambda job_id: mailbox.ask(partial(loop.expire, job_id)),
            )

            async def purge(job_id: str) -> None:
                await mailbox.ask(partial(loop.delete, job_id))

            trash = Trash(store, purge, keep_s=config.storage.undo_s)
            async with anyio.create_task_group() as tasks:
                for actor in loop.actors:
                    tasks.start_soon(actor.run, name=actor.name)
                tasks.start_soon(loop.run, name="dispatcher")
                tasks.start_soon(_keep_short, store, broadcast, config.storage.keep_changes, name="retention of changes")
                tasks.start_soon(broadcast.beat, config.server.heartbeat_s, name="heartbeat")
                tasks.start_soon(webhooks.run, name="webhooks")
                tasks.start_soon(uploads.run, name="uploads")
                tasks.start_soon(fetcher.run, name="fetcher")
                tasks.start_soon(retention.run, name="retention of media and jobs")
                tasks.start_soon(trash.run, name="trash")
                try:
                    yield cls(config, data, store, broadcast, intake, uploads, catalog, metrics, webhooks, fetcher, mailbox, loop, trash, tuning, log)
                finally:
                    broadcast.close()
                    uploads.close()
                    fetcher.close()
                    trash.close()
                    mailbox.close()
                    for actor in loop.actors:
                        actor.stop()

    # -- jobs --------------------------------------------------------------------------------------------------------

    async def submit(
        self, received: Received, options: Options, *, reuse: bool = False, reuse_finished: bool = True, rank: float = 0.0
    ) -> Job:
        """Make a job of an upload, with its place in the queue. Raises `InvalidRequest` for a webhook that cannot be. With `reuse`, a job with the same bytes and options goes on
        instead; without `reuse_finished` only one that has not ended."""

        if options.webhook:
            self.webhooks.check(options.webhook)

        async def add() -> Job:
            same = await self.store.same(received.sha256, options) if reuse else None
            if same is not None and (reuse_finished or same.status not in TERMINAL):
                await to_thread.run_sync(partial(received.path.unlink, missing_ok=True))
                cause = {Status.PAUSED: Cause.RESUME, Status.FAILED: Cause.RETRY, Status.CANCELLED: Cause.RETRY}.get(same.status)
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
            origin=Origin(url),
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

    async def retry(self, job_id: str) -> Job:
        """Try again what is missing; what is done stays. Raises `MediaRemoved` where there is nothing to hear it from."""
        return await self._change(job_id, Cause.RETRY)

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

    async def _change(self, job_id: str, cause: Cause) -> Job:
        job = await self._mailbox.ask(partial(self._loop.change, job_id, cause))
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
                ActorInfo(actor.name, actor.state, actor.generation, actor.pid, actor.problem, actor.facts, tuple(actor.deaths))
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
            cpus=os.cpu_count() or 1,
            subscribers=self.broadcast.subscribers,
        )

    def readiness(self) -> Readiness:
        """Whether work would be done now. An actor that died once and is being replaced does not make it unready."""
        problems = [
            actor.problem for actor in self._loop.workers if actor.problem and (actor.broken or actor.failures >= FAILING)
        ]
        if self._loop.recognizer.problem is not None:
            problems.append(self._loop.recognizer.problem)
        return Readiness(ready=not problems, problems=tuple(problems), warnings=self._loop.recognizer.warnings)


async def _recover(store: Store, data: DataDir) -> None:
    """What the last service had in work waits for its turn again. Nobody listens yet: the changes are in the log."""
    await store.recover(phase=None, speed=None, eta_s=None, problem=None, message="Goes on after a restart.")


async def _keep_short(store: Store, broadcast: Broadcast, keep: int) -> None:
    """Prune the log now, and whenever it is a tenth longer than it should be; ends with the broadcast."""
    while True:
        try:
            while await store.log.prune(keep):
                await checkpoint()  # between two pages others have their turn at the database
        except (sqlite3.Error, ServiceError):
            logger.exception("the change log could not be pruned", extra={"action": "prune_failed"})
        try:
            await broadcast.reached(broadcast.head + max(1, keep // 10))
        except Closed:
            return


def _rules(storage: Storage) -> Rules:
    return Rules(storage.keep_media_days * DAY_S, storage.keep_jobs_days * DAY_S, storage.max_media_bytes)


def _sweep(data: DataDir, intake: Intake, with_media: Collection[str], open_jobs: Collection[str]) -> None:
    """Remove files that no job has: uploads that broke off, recordings and waveforms that were to be removed when the last
    service ended, spools of jobs that are over."""
    intake.sweep(with_media)
    for directory, owners in ((data.spool, open_jobs), (data.peaks, with_media)):
        for path in directory.iterdir():
            if path.name.partition(".")[0] not in owners and not path.is_dir():
                path.unlink(missing_ok=True)
