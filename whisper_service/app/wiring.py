"""The composition root: builds the parts of a service, in order, runs them, and takes them down in reverse."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import anyio
from anyio import to_thread
from anyio.lowlevel import checkpoint

from whisper_service.app.metrics import Metrics
from whisper_service.app.retention import DAY_S, Retention, Rules
from whisper_service.app.trash import Trash
from whisper_service.config.active import Tuning
from whisper_service.config.schema import Config, Source, Storage
from whisper_service.core.domain import Job, Problem
from whisper_service.core.errors import ServiceError
from whisper_service.core.job_states import OPEN
from whisper_service.core.logs import Tail
from whisper_service.core.wall_clock import Wall
from whisper_service.host import machine
from whisper_service.integrations.link_fetcher import Fetcher
from whisper_service.integrations.webhooks import Webhooks
from whisper_service.models import hubs
from whisper_service.models.catalog import Catalog
from whisper_service.models.inventory import Inventory
from whisper_service.scheduler.aborts import Endings
from whisper_service.scheduler.hub_tests import Connections
from whisper_service.scheduler.ledger import Ledger
from whisper_service.scheduler.loop import Dispatcher
from whisper_service.scheduler.mailbox import Mailbox
from whisper_service.scheduler.media_actors import Decoders
from whisper_service.scheduler.model_actions import Shelf
from whisper_service.scheduler.speech_actor import Recognizer
from whisper_service.storage.change_feed import Broadcast, Closed
from whisper_service.storage.data_dir import DataDir
from whisper_service.storage.resumable_uploads import Resumable
from whisper_service.storage.store import Store
from whisper_service.storage.uploads import Intake
from whisper_service.supervision.orphans import Roll
from whisper_service.supervision.restart_limit import Intensity
from whisper_service.supervision.supervisor import Supervisor

logger = logging.getLogger(__name__)

SPEECH: Final = "whisper_service.actors.speech.main:run"
MEDIA: Final = "whisper_service.actors.media.main:run"
DOWNLOAD: Final = "whisper_service.actors.download.main:run"


@dataclass(frozen=True)
class Parts:
    """What a running service is made of."""

    config: Config
    data: DataDir
    store: Store
    broadcast: Broadcast
    intake: Intake
    uploads: Resumable
    catalog: Catalog
    metrics: Metrics
    webhooks: Webhooks
    fetcher: Fetcher
    mailbox: Mailbox
    loop: Dispatcher
    trash: Trash
    tuning: Tuning
    log: Tail


@asynccontextmanager
async def assembled(
    config: Config, *, sources: Mapping[str, Source], speech_entry: str, media_entry: str
) -> AsyncIterator[Parts]:
    """A service at work on `config.data_dir`. Raises `DataDirectoryInUse` and whatever the store says about its file.

    The entries name the functions that run in the children.
    """
    data = DataDir(config.data_dir)
    async with AsyncExitStack() as stack:
        stack.enter_context(data.hold())
        log = Tail()
        stack.enter_context(log.listening())
        roll = Roll(data.children)
        roll.clear()
        store = await stack.enter_async_context(Store.open(data.database))
        tuning = Tuning(config, sources, await store.remembered.settings())
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
                yield Parts(
                    config,
                    data,
                    store,
                    broadcast,
                    intake,
                    uploads,
                    catalog,
                    metrics,
                    webhooks,
                    fetcher,
                    mailbox,
                    loop,
                    trash,
                    tuning,
                    log,
                )
            finally:
                broadcast.close()
                uploads.close()
                fetcher.close()
                trash.close()
                mailbox.close()
                for actor in loop.actors:
                    actor.stop()


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
