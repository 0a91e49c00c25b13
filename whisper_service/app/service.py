"""The facade: everything that the web and the command line may ask of a running service. `wiring` builds its parts."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

from whisper_service.app import system
from whisper_service.app.disk_use import DiskMeter
from whisper_service.app.edits import EditService
from whisper_service.app.jobs import JobService
from whisper_service.app.models import ModelService
from whisper_service.app.replace import ReplaceService
from whisper_service.app.reviews import ReviewService
from whisper_service.app.speakers import SpeakerService
from whisper_service.app.system import Readiness, System
from whisper_service.app.vocabulary import VocabularyService
from whisper_service.app.wiring import GATEWAY, MEDIA, SPEAKERS_ENTRY, SPEECH, Parts, assembled
from whisper_service.config.active import Setting
from whisper_service.config.schema import Config, SettingSource
from whisper_service.core.domain import Delivery
from whisper_service.scheduler import requests
from whisper_service.storage.object_store import ObjectStore


class Service:
    """A running service.

    `parts` is for this folder and for tests. The web and the command line use the other attributes and methods.
    """

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.jobs = JobService(parts)
        self.edits = EditService(parts)
        self.speakers = SpeakerService(parts, self.edits)
        self.replacements = ReplaceService(parts, self.edits)
        self.vocabulary = VocabularyService(parts)
        self.reviews = ReviewService(parts, self.jobs)
        self.models = ModelService(parts)
        self.known_speakers = parts.known_speakers
        self.uploads = parts.uploads
        self.resumable = parts.resumable
        self.live = parts.live
        self.events = parts.feed
        self.metrics = parts.metrics
        self.wishes = parts.wishes
        self.log = parts.log
        self.started_at = time.time()
        self._disk = DiskMeter(parts.data, self.models)

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        config: Config,
        *,
        sources: Mapping[str, SettingSource] | None = None,
        speech_entry: str = SPEECH,
        media_entry: str = MEDIA,
        speakers_entry: str = SPEAKERS_ENTRY,
        gateway_entry: str = GATEWAY,
        objects: ObjectStore | None = None,
    ) -> AsyncIterator[Service]:
        """Run a service on `config.data_dir`. Raises `DataDirectoryInUse`, `StoreBroken` and `StoreBusy`.

        The entries name the functions that run in the actors, `objects` the object storage; tests put others there.
        """
        async with assembled(
            config,
            sources=sources or {},
            speech_entry=speech_entry,
            media_entry=media_entry,
            speakers_entry=speakers_entry,
            gateway_entry=gateway_entry,
            objects=objects,
        ) as parts:
            yield cls(parts)

    @property
    def config(self) -> Config:
        """The settings in force."""
        return self.parts.active.config

    def settings(self) -> list[Setting]:
        """Return every setting, where its value comes from, and whether it can be changed here."""
        return self.parts.active.describe()

    async def change_settings(self, changes: Mapping[str, Any]) -> None:
        """Change settings, all or none. None takes a change back. Raises `InvalidRequest`."""
        await self.parts.context.mailbox.ask(self._change_settings, changes)

    async def _change_settings(self, changes: Mapping[str, Any]) -> None:
        stored = self.parts.active.check(changes)
        self.parts.feed.publish([await self.parts.store.service_state.set_settings(stored)])
        self.parts.active.replace_stored(stored)

    @property
    def device(self) -> str | None:
        """The device that does the work, the first GPU where there are several. None: not known yet."""
        return self.parts.context.fleet.main.device.name

    @property
    def logs(self) -> Path:
        """The folder with the logs of the actors."""
        return self.parts.data.logs

    def advertise(self, address: str) -> AbstractContextManager[None]:
        """Write the address where commands on this machine find the service."""
        return self.parts.data.advertise(address)

    async def reset(self) -> None:
        """Start the actors that died too often, load what could not be loaded, and try the GPU again."""
        await self.parts.context.ask(requests.reset)
        self.parts.mover.news.notify()

    async def system(self) -> System:
        """Return the state of the service and of the machine."""
        return system.system(
            self.parts.context,
            started_at=self.started_at,
            models=await self.models.installed(),
            jobs=await self.parts.store.count(),
            subscribers=self.events.subscribers,
            title=self.config.page.title,
            storage=await self._disk.read(),
            sites=self.parts.links.sites.support,
            object_storage=await self.parts.mover.state(),
        )

    def readiness(self) -> Readiness:
        """Return whether new recordings would be transcribed now."""
        return system.readiness(self.parts.context, self.parts.mover.problem)

    async def deliveries(self, limit: int) -> list[Delivery]:
        """Return the newest webhook deliveries."""
        return await self.parts.store.webhook_queue.newest(limit)
