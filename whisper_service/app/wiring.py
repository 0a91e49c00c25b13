"""The composition root: builds the parts of a service, in order, runs them, and takes them down in reverse."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import anyio
from anyio import to_thread

from whisper_service.app.maintenance import keep_short, recover, sweep
from whisper_service.app.metrics import Metrics
from whisper_service.app.retention import DAY_S, Retention, RetentionRules
from whisper_service.app.trash import Trash
from whisper_service.config.active import ActiveSettings
from whisper_service.config.schema import Config, SettingSource, StorageSettings
from whisper_service.core.domain import Job, Problem
from whisper_service.core.job_states import OPEN
from whisper_service.core.logs import LogTail
from whisper_service.core.wall_clock import WallClock
from whisper_service.host import machine
from whisper_service.integrations.link_fetcher import LinkFetcher
from whisper_service.integrations.webhooks import WebhookSender
from whisper_service.models import hubs
from whisper_service.models.catalog import Catalog
from whisper_service.models.inventory import Inventory
from whisper_service.scheduler.aborts import Aborts
from whisper_service.scheduler.hub_tests import HubTests
from whisper_service.scheduler.ledger import Ledger
from whisper_service.scheduler.loop import Loop
from whisper_service.scheduler.mailbox import Mailbox
from whisper_service.scheduler.media_actors import MediaActors
from whisper_service.scheduler.model_actions import ModelActions
from whisper_service.scheduler.speech_actor import SpeechActor
from whisper_service.storage.change_feed import ChangeFeed
from whisper_service.storage.data_dir import DataDir
from whisper_service.storage.resumable_uploads import ResumableUploads
from whisper_service.storage.store import Store
from whisper_service.storage.uploads import Uploads
from whisper_service.supervision.orphans import OrphanList
from whisper_service.supervision.restart_limit import RestartPolicy
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
    broadcast: ChangeFeed
    intake: Uploads
    uploads: ResumableUploads
    catalog: Catalog
    metrics: Metrics
    webhooks: WebhookSender
    fetcher: LinkFetcher
    mailbox: Mailbox
    loop: Loop
    trash: Trash
    tuning: ActiveSettings
    log: LogTail


@asynccontextmanager
async def assembled(
    config: Config, *, sources: Mapping[str, SettingSource], speech_entry: str, media_entry: str
) -> AsyncIterator[Parts]:
    """A service at work on `config.data_dir`. Raises `DataDirectoryInUse` and whatever the store says about its file.

    The entries name the functions that run in the children.
    """
    data = DataDir(config.data_dir)
    async with AsyncExitStack() as stack:
        stack.enter_context(data.hold())
        log = LogTail()
        stack.enter_context(log.listening())
        roll = OrphanList(data.children)
        roll.clear()
        store = await stack.enter_async_context(Store.open(data.database))
        tuning = ActiveSettings(config, sources, await store.remembered.settings())
        config = tuning.config
        await recover(store, data)
        wall = WallClock(await store.newest())
        intake = Uploads(
            data.media,
            max_bytes=config.server.max_upload_bytes,
            min_free=config.storage.min_free_bytes,
            at_once=config.server.max_uploads,
            wall=wall,
        )
        uploads = ResumableUploads(data.uploads, intake, keep_s=config.storage.keep_uploads_s)
        with_media, open_jobs = await store.with_media(), await store.ids(OPEN)
        await to_thread.run_sync(sweep, data, intake, with_media, open_jobs)
        _, head = await store.log.bounds()
        broadcast = ChangeFeed(store.log, head)
        stack.callback(broadcast.close)
        webhooks = WebhookSender(config.webhooks, store, broadcast)
        catalog = Catalog(data.models, default=config.speech.model)
        await to_thread.run_sync(catalog.sweep)
        mailbox, metrics = Mailbox(), Metrics()
        supervise = partial(
            Supervisor,
            logs=data.logs,
            roll=roll,
            deliver=metrics.watching(mailbox.deliver),
            ready_timeout_s=config.supervision.ready_timeout_s,
            intensity=RestartPolicy(
                config.supervision.max_restarts, config.supervision.restart_window_s, config.supervision.probe_s
            ),
        )
        speech = supervise("speech", speech_entry, ready_is_useful=False)  # it has yet to load a model
        recognizer = SpeechActor(speech, config.speech, config.supervision)
        decoders = MediaActors(
            [supervise(f"media-{n + 1}", media_entry) for n in range(config.media.workers)],
            data,
            stall_s=config.supervision.decode_stall_s,
            max_duration_s=config.media.max_duration_s,
            max_expansion=config.media.max_expansion,
        )
        ledger = Ledger(store, broadcast, data, wall=wall)
        endings = Aborts(ledger, recognizer, decoders)
        shelf = ModelActions(
            store,
            broadcast,
            Inventory(catalog, machine.inspect()),
            ledger,
            recognizer,
            endings,
            supervise("download", DOWNLOAD),
            hubs.resolve(config.models, os.environ),
            spare_bytes=config.storage.min_free_bytes,
        )
        connections = HubTests(supervise("connection", DOWNLOAD))
        loop = Loop(mailbox, ledger, endings, shelf, connections, recognizer, decoders, preload=config.speech.preload)

        async def note(job_id: str, **fields: Any) -> Job | None:
            return await mailbox.ask(partial(loop.fetching, job_id, **fields))

        async def unfetched(job_id: str, problem: Problem) -> None:
            await mailbox.ask(partial(loop.unfetched, job_id, problem))

        fetcher = LinkFetcher(config.links, store, intake, data, note, unfetched)
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
            tasks.start_soon(keep_short, store, broadcast, config.storage.keep_changes, name="retention of changes")
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


def _rules(storage: StorageSettings) -> RetentionRules:
    return RetentionRules(storage.keep_media_days * DAY_S, storage.keep_jobs_days * DAY_S, storage.max_media_bytes)
