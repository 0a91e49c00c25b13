"""Fetches the recordings of web pages, each with an actor of its own that ends with the fetch.

A fetch that broke off begins anew: a site need not give the same bytes a second time.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

import anyio
from anyio import CancelScope, to_thread

from whisper_service.config import schema
from whisper_service.core.domain import Problem
from whisper_service.core.errors import WebPage
from whisper_service.integrations.link_answers import LinkUnavailable
from whisper_service.integrations.site_support import SiteSupport, site_support
from whisper_service.storage.data_dir import DataDir
from whisper_service.storage.uploads import Uploads
from whisper_service.supervision.conversation import Conversation, conversation
from whisper_service.supervision.messages.base import Ready
from whisper_service.supervision.messages.sites import FetchSite, SiteFailed, SiteFetched, SiteFound, SiteProgress
from whisper_service.supervision.orphans import OrphanList
from whisper_service.supervision.protocol import Report

SITES: Final = "whisper_service.actors.sites.main:run"
NAME: Final = "sites"
STALL_FACTOR: Final = 6
"""So many of `links.timeout_s` may pass without a byte: yt-dlp connects four times before it gives up."""
DELETIONS: Final = 3
"""An actor that was just killed may still finish a write, so that its folder is not empty when it is deleted."""

TakeNews = Callable[[SiteFound | SiteProgress], Awaitable[bool]]
"""Takes a report. False: the recording is not wanted any more."""


class SiteRefused(Exception):
    """The recording of a web page cannot be fetched, and another attempt does not help."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(problem.message)


class SiteFetcher:
    """Fetches recordings from web pages, if yt-dlp is installed. `entry` names the function of the actors."""

    def __init__(
        self,
        settings: schema.LinkSettings,
        uploads: Uploads,
        data: DataDir,
        orphans: OrphanList,
        limits: schema.SupervisionSettings,
        *,
        entry: str = SITES,
    ) -> None:
        self._settings = settings
        self._uploads = uploads
        self._data = data
        self._orphans = orphans
        self._limits = limits
        self._entry = entry

    @property
    def support(self) -> SiteSupport:
        return site_support(self._settings.enabled and self._settings.sites)

    def refusal(self) -> WebPage:
        """Return the error for a link to a web page while `support` is not usable."""
        hint = self.support.hint
        return WebPage(hint=f"{WebPage.hint} {hint}" if hint else None)

    @asynccontextmanager
    async def fetched(self, job_id: str, url: str, take: TakeNews) -> AsyncIterator[SiteFetched | None]:
        """Fetch the recording of a web page. The file is deleted after the block, unless the block moved it.

        None: `take` did not want it. Raises `SiteRefused`, `LinkUnavailable`, `TooLarge`, `DiskFull` and what `take`
        raises.
        """
        folder = self._data.site_of(job_id)
        await to_thread.run_sync(_delete, folder)
        await to_thread.run_sync(partial(folder.mkdir, parents=True))
        try:
            yield await self._fetch(folder, url, take)
        finally:
            with CancelScope(shield=True):
                for _ in range(DELETIONS):
                    await to_thread.run_sync(_delete, folder)
                    if not folder.exists():
                        break
                    await anyio.sleep(0.05)

    async def _fetch(self, folder: Path, url: str, take: TakeNews) -> SiteFetched | None:
        settings = self._settings
        command = FetchSite(
            url=url,
            folder=str(folder),
            allowed_networks=settings.allowed_networks,
            max_bytes=min(settings.site_max_bytes, self._uploads.limits.max_bytes),
            max_duration_s=settings.site_max_duration_s,
            timeout_s=settings.timeout_s,
        )
        last: Report | Problem | None = None
        failure: Exception | None = None
        async with conversation(
            NAME,
            self._entry,
            command,
            logs=self._data.logs,
            limits=self._limits,
            within_s=settings.site_look_s,
            orphans=self._orphans,
        ) as actor:
            try:
                last = await self._listen(actor, take)
            except Exception as error:  # raised below, where no task group puts it into a group
                failure = error
        if failure is not None:
            raise failure
        match last:
            case SiteFailed(problem=problem, again=False):
                raise SiteRefused(problem)
            case SiteFailed(problem=problem) | (Problem() as problem):
                raise LinkUnavailable(problem.params.get("reason", problem.message))
            case SiteFetched():
                return last
            case _:
                return None

    async def _listen(self, actor: Conversation, take: TakeNews) -> Report | Problem | None:
        """Return the last report of the actor, or the problem of which it died. None: `take` did not want more."""
        while True:
            report = await actor.report()
            match report:
                case Ready():
                    continue
                case SiteFound(total=total):
                    actor.within_s = STALL_FACTOR * self._settings.timeout_s
                    self._uploads.check_room(total or 0)
                case SiteProgress(bytes=size):
                    self._uploads.check_room(size, held=size)
                case _:
                    return report
            if not await take(report):
                return None


def _delete(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
