"""The composition root: build the parts of a service, run them, and end them in order."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

import anyio
from anyio import to_thread

from whisper_service.app.known_speakers import KnownSpeakers
from whisper_service.app.live_sessions import LiveSessions
from whisper_service.app.maintenance import prune_changes, sweep
from whisper_service.app.metrics import Metrics
from whisper_service.app.recording_mover import RecordingMover
from whisper_service.app.retention import Retention
from whisper_service.app.seat_wishes import SeatWishes
from whisper_service.app.trash import Trash
from whisper_service.app.word_aligner import WordAligner
from whisper_service.cluster.far_links import FarLinks
from whisper_service.config.active import ActiveSettings
from whisper_service.config.schema import Config, SettingSource
from whisper_service.core.job_states import OPEN
from whisper_service.core.logs import LogTail
from whisper_service.core.wall_clock import WallClock
from whisper_service.host import cpu, machine
from whisper_service.integrations.link_fetcher import LinkFetcher
from whisper_service.integrations.site_fetcher import SiteFetcher
from whisper_service.integrations.webhooks import WebhookSender
from whisper_service.models import hubs
from whisper_service.models.catalog import Catalog
from whisper_service.models.inventory import Inventory
from whisper_service.models.speaker_networks import SPEAKERS
from whisper_service.scheduler import requests
from whisper_service.scheduler.context import Context
from whisper_service.scheduler.fleet import Fleet
from whisper_service.scheduler.hub_tests import HubTests
from whisper_service.scheduler.ledger import IDLE_FIELDS, Ledger
from whisper_service.scheduler.live_actor import LiveActor
from whisper_service.scheduler.live_drafts import LiveDrafts
from whisper_service.scheduler.loop import Loop
from whisper_service.scheduler.mailbox import Mailbox
from whisper_service.scheduler.media_actors import FAR_DECODER, MediaActors, workers_for
from whisper_service.scheduler.model_downloads import ModelDownloads
from whisper_service.scheduler.model_states import ModelStates
from whisper_service.scheduler.recordings import Recordings
from whisper_service.scheduler.speakers_actor import SpeakersActor
from whisper_service.storage.change_feed import ChangeFeed
from whisper_service.storage.data_dir import DataDir
from whisper_service.storage.object_store import ObjectStore, S3Store
from whisper_service.storage.resumable_uploads import ResumableUploads
from whisper_service.storage.store import Store
from whisper_service.storage.uploads import UploadLimits, Uploads
from whisper_service.supervision.orphans import OrphanList
from whisper_service.supervision.supervisor import Supervisor

logger = logging.getLogger(__name__)

SPEECH: Final = "whisper_service.actors.speech.main:run"
MEDIA: Final = "whisper_service.actors.media.main:run"
LIVE: Final = "whisper_service.actors.media.live:run"
DOWNLOAD: Final = "whisper_service.actors.download.main:run"
GATEWAY: Final = "whisper_service.cluster.gateway:run"
SPEAKERS_ENTRY: Final = "whisper_service.actors.speakers.main:run"


@dataclass(frozen=True)
class Parts:
    """What a running service is made of."""

    active: ActiveSettings
    data: DataDir
    store: Store
    feed: ChangeFeed
    uploads: Uploads
    resumable: ResumableUploads
    context: Context
    known_speakers: KnownSpeakers
    aligner: WordAligner
    metrics: Metrics
    webhooks: WebhookSender
    links: LinkFetcher
    live: LiveSessions
    retention: Retention
    trash: Trash
    recordings: Recordings
    mover: RecordingMover
    wishes: SeatWishes
    log: LogTail


@asynccontextmanager
async def assembled(
    config: Config,
    *,
    sources: Mapping[str, SettingSource],
    speech_entry: str,
    media_entry: str,
    speakers_entry: str,
    gateway_entry: str,
    objects: ObjectStore | None = None,
) -> AsyncIterator[Parts]:
    """Run the parts of a service on `config.data_dir` inside the block.

    The entries name the functions that run in the actors, `objects` the object storage (None: S3). Raises
    `DataDirectoryInUse`, `StoreBroken` and `StoreBusy`.
    """
    data = DataDir(config.data_dir)
    async with AsyncExitStack() as stack:
        stack.enter_context(data.hold())
        log = LogTail()
        stack.enter_context(log.listening())
        orphans = OrphanList(data.orphans)
        orphans.end_orphans()
        store = await stack.enter_async_context(Store.open(data.database))
        active = ActiveSettings(config, sources, await store.service_state.settings())
        await store.recover(message="Goes on after a restart.", **IDLE_FIELDS)
        _, head = await store.change_log.bounds()
        feed = ChangeFeed(store.change_log, head)
        stack.callback(feed.close)
        wall = WallClock(await store.latest_time())
        mailbox = Mailbox()
        stack.enter_context(mailbox.attended())  # closes it when a part cannot be made
        parts = _build(
            active,
            data,
            store,
            feed,
            mailbox,
            wall,
            log,
            orphans,
            speech_entry=speech_entry,
            media_entry=media_entry,
            speakers_entry=speakers_entry,
            gateway_entry=gateway_entry,
            objects=objects,
        )
        await store.recordings.recover()
        with_media, open_jobs = await store.ids_with_media(), await store.ids(OPEN)
        away = await store.recordings.job_ids()
        await to_thread.run_sync(sweep, data, parts.uploads, with_media, open_jobs, away)
        await to_thread.run_sync(parts.context.models.catalog.delete_leftovers)
        async with _running(parts):
            yield parts


def _build(
    active: ActiveSettings,
    data: DataDir,
    store: Store,
    feed: ChangeFeed,
    mailbox: Mailbox,
    wall: WallClock,
    log: LogTail,
    orphans: OrphanList,
    *,
    speech_entry: str,
    media_entry: str,
    speakers_entry: str,
    gateway_entry: str,
    objects: ObjectStore | None,
) -> Parts:
    """Make every part and connect them. Nothing runs yet."""
    config = active.config
    metrics, limits = Metrics(), config.supervision
    supervise = partial(
        Supervisor,
        logs=data.logs,
        orphans=orphans,
        deliver=metrics.counting(mailbox.deliver),
        limits=limits,
    )
    far = None
    if config.cluster.engine:
        far = FarLinks(
            config.cluster,
            gateway=lambda deliver, link: supervise(
                "gateway", gateway_entry, deliver=metrics.counting(deliver), link=link
            ),
            supervise=lambda name, link: supervise(name, speech_entry, ready_is_useful=False, link=link),
            changed=mailbox.nudge,
        )
    fleet = Fleet(
        lambda name: supervise(name, speech_entry, ready_is_useful=False),
        config.speech,
        limits,
        far=far,
        cluster=config.cluster,
    )
    catalog = Catalog(data.models, default=config.speech.model)
    models = ModelStates(store, feed, Inventory(catalog, machine.inspect()), fleet)
    recordings = Recordings(
        store.recordings, data, objects or S3Store(config.s3), min_free=lambda: active.config.storage.min_free_bytes
    )
    hub, spare_bytes = hubs.resolve(config.models, os.environ), config.storage.min_free_bytes
    context = Context(
        mailbox=mailbox,
        store=store,
        data=data,
        ledger=Ledger(store, feed, data, wall=wall),
        fleet=fleet,
        media=MediaActors(
            [supervise(f"media-{n + 1}", media_entry) for n in range(config.media.workers or workers_for(cpu.cores()))],
            data,
            config.media,
            limits,
            config.storage,
            far_actors=[
                supervise(name, media_entry, link=far.connect_decoder(name))
                for name in (f"{FAR_DECODER}-{n + 1}" for n in range(config.cluster.media_workers))
            ]
            if far is not None
            else (),
            cluster=far,
        ),
        live=LiveActor(supervise("live", LIVE), data, limits),
        speakers=SpeakersActor(
            supervise("speakers", speakers_entry, ready_is_useful=False), catalog.target_of(SPEAKERS)
        ),
        models=models,
        downloads=ModelDownloads(supervise("download", DOWNLOAD), models, hub, spare_bytes=spare_bytes),
        hub_tests=HubTests(supervise("connection", DOWNLOAD)),
        preload=config.speech.preload,
        gateway=far.gateway if far is not None else None,
        drafts=LiveDrafts(lambda: active.config.live),
        recordings=recordings,
    )
    uploads = Uploads(data.media, _upload_limits(config), wall)
    parts = Parts(
        active=active,
        data=data,
        store=store,
        feed=feed,
        uploads=uploads,
        resumable=ResumableUploads(data.uploads, uploads, keep_s=config.storage.keep_uploads_s),
        context=context,
        known_speakers=KnownSpeakers(
            store,
            data,
            limits,
            orphans,
            media_entry=media_entry,
            speakers_entry=speakers_entry,
            networks=context.speakers.networks,
        ),
        aligner=WordAligner(active, context, feed, orphans, media_entry=media_entry, wall=wall),
        metrics=metrics,
        webhooks=WebhookSender(config.webhooks, store, feed),
        links=LinkFetcher(
            config.links,
            store,
            uploads,
            data,
            lambda job_id, **fields: mailbox.ask(context.ledger.update_link, job_id, **fields),
            lambda job_id, problem: context.ask(requests.fail_link, job_id, problem),
            SiteFetcher(config.links, uploads, data, orphans, limits),
        ),
        live=LiveSessions(active, uploads, context),
        retention=Retention(
            config.storage,
            store,
            feed,
            lambda job_id: context.ask(requests.remove_copy, job_id),
            lambda job_id: context.ask(requests.remove_media, job_id),
            lambda job_id: context.ask(requests.expire, job_id),
        ),
        trash=Trash(store, lambda job_id: context.ask(requests.delete, job_id), keep_s=config.storage.undo_s),
        recordings=recordings,
        mover=RecordingMover(config.storage.media, context, recordings, feed),
        wishes=SeatWishes(config.cluster, context, feed, far),
        log=log,
    )
    active.subscribe(partial(_apply, parts))
    return parts


@asynccontextmanager
async def _running(parts: Parts) -> AsyncIterator[None]:
    """Run the parts; end them in order, so that nothing waits for a part that has ended."""
    config, context, feed = parts.active.config, parts.context, parts.feed
    async with anyio.create_task_group() as tasks:
        for actor in context.actors:
            tasks.start_soon(actor.run, name=actor.name)
        context.fleet.run_actor = lambda actor: tasks.start_soon(actor.run, name=actor.name)
        context.run_task = tasks.start_soon
        if context.gateway is not None:
            context.gateway.start()
        tasks.start_soon(Loop(context).run, name="scheduler")
        kept = (config.storage.keep_changes, config.storage.keep_changes_s)
        tasks.start_soon(prune_changes, parts.store, feed, *kept, name="pruning of changes")
        tasks.start_soon(feed.run_heartbeat, config.server.heartbeat_s, name="heartbeat")
        tasks.start_soon(parts.live.run, name="live sessions")
        for part in (
            parts.webhooks,
            parts.resumable,
            parts.links,
            parts.retention,
            parts.trash,
            parts.aligner,
            parts.mover,
            parts.wishes,
        ):
            tasks.start_soon(part.run, name=type(part).__name__)
        try:
            yield
        finally:
            parts.live.news.close()
            context.drafts.feed.close()
            for ended in (feed, parts.resumable.news, parts.links.news, parts.trash.news, context.mailbox):
                ended.close()
            for actor in context.actors:
                actor.stop()


def _upload_limits(config: Config) -> UploadLimits:
    return UploadLimits(config.server.max_upload_bytes, config.storage.min_free_bytes, config.server.max_uploads)


def _apply(parts: Parts, config: Config) -> None:
    """Hand changed settings to the parts that keep a copy. Other settings are read when needed, or after a restart."""
    parts.uploads.limits = _upload_limits(config)
    parts.resumable.keep_s = config.storage.keep_uploads_s
    parts.trash.keep_s = config.storage.undo_s
    parts.trash.news.notify()
    parts.context.downloads.hub = hubs.resolve(config.models, os.environ)
    parts.context.downloads.spare_bytes = config.storage.min_free_bytes
    parts.context.media.storage = config.storage
    logging.getLogger("whisper_service").setLevel(config.log.level.upper())
