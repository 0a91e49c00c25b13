"""Fetches the recordings of jobs that were submitted as a link.

Such a job is pending and waits for its turn while its recording is fetched. The progress is stored every second, after
the bytes are on stable storage. So after a pause, a broken connection or a restart the fetch continues there, if the
server still has the same recording. Only pending jobs are fetched.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import anyio
from anyio import CancelScope, to_thread
from msgspec.structs import replace

from whisper_service.config import schema
from whisper_service.core.address_policy import NotAllowed, Unreachable, check_url, parse_networks, to_ascii
from whisper_service.core.domain import Job, Problem
from whisper_service.core.errors import (
    EmptyFile,
    InvalidRequest,
    NotFound,
    ServiceError,
    StoreBusy,
    Unavailable,
    WebPage,
)
from whisper_service.core.files import sha256_of
from whisper_service.core.wakeup import Wakeup
from whisper_service.core.web_page import is_list, is_web_page
from whisper_service.integrations.link_answers import (
    RANGE_NOT_SATISFIABLE,
    LinkUnavailable,
    check_answer,
    link_failed,
    mark_in,
    name_from_title,
    name_from_url,
    name_in,
    request_headers,
    start_of,
)
from whisper_service.integrations.partial_file import PartialFile, stored_bytes
from whisper_service.integrations.site_fetcher import SiteFetcher, SiteRefused
from whisper_service.storage.data_dir import DataDir
from whisper_service.storage.store import Store
from whisper_service.storage.uploads import BLOCK, Uploads
from whisper_service.supervision.messages.sites import SiteFound, SiteProgress

logger = logging.getLogger(__name__)

BACK_OFF_S: Final = (1.0, 5.0, 15.0, 30.0, 60.0)
"""Pauses between attempts without a new byte. After the last attempt the job fails."""
PROGRESS_S: Final = 1.0
"""How often the progress is stored."""
REST_S: Final = 5.0
"""Pause after an unexpected error."""
_NETWORKS: Final = "links.allowed_networks"

UpdateLink = Callable[..., Awaitable[Job | None]]
"""Stores fields of a pending job and makes sure that its file exists. None: the job is not pending any more."""
FailLink = Callable[[str, Problem], Awaitable[None]]
"""Fails a pending job."""


class LinkFetcher:
    """Fetches recordings, some at a time. `update` and `fail` store the results, on the scheduler's loop."""

    def __init__(
        self,
        settings: schema.LinkSettings,
        store: Store,
        uploads: Uploads,
        data: DataDir,
        update: UpdateLink,
        fail: FailLink,
        sites: SiteFetcher,
    ) -> None:
        """Raise `InvalidConfig` if a network in the settings is wrong."""
        self._settings = settings
        self._allowed = parse_networks(settings.allowed_networks, _NETWORKS)
        self._store = store
        self._uploads = uploads
        self._data = data
        self._update = update
        self._fail = fail
        self.sites = sites
        self._fetching: dict[str, CancelScope] = {}  # by job
        self.news = Wakeup()  # jobs came, went or changed

    def check(self, url: str) -> str:
        """Return the address as it will be requested. Raises `InvalidRequest`."""
        if not self._settings.enabled:
            hint = "Download the file and send it, or set links.enabled in the configuration."
            raise InvalidRequest("This service does not fetch recordings from links.", hint=hint, field="url")
        url = to_ascii(url)
        check_url(url, self._allowed, field="url", setting=_NETWORKS)
        return url

    async def run(self) -> None:
        """Fetch the recordings of pending jobs until `news` is closed. The next service continues the rest."""
        async with anyio.create_task_group() as tasks:
            while not self.news.closed:
                try:
                    wanted = await self._store.to_fetch()
                except (sqlite3.Error, ServiceError):
                    logger.exception("The jobs with links could not be read.", extra={"action": "fetch_failed"})
                    await self.news.wait(REST_S)
                    continue
                ids = {job.id for job in wanted}
                for job_id in self._fetching.keys() - ids:
                    self._fetching[job_id].cancel()
                for job in wanted:
                    if job.id not in self._fetching and len(self._fetching) < self._settings.at_once:
                        self._fetching[job.id] = CancelScope()
                        tasks.start_soon(self._fetch, job.id, self._fetching[job.id])
                await self.news.wait()
            tasks.cancel_scope.cancel()

    async def _fetch(self, job_id: str, scope: CancelScope) -> None:
        """Fetch one recording. An error here never stops the other recordings."""
        try:
            with scope:
                await self._attempt_repeatedly(job_id)
        except Unavailable:  # the service is about to end
            pass
        except Exception:
            logger.exception("The fetch of a recording failed.", extra={"action": "fetch_failed", "job": job_id})
            await anyio.sleep(REST_S)
        finally:
            del self._fetching[job_id]
            self.news.notify()

    async def _attempt_repeatedly(self, job_id: str) -> None:
        """Try until the recording is complete, the job is not pending any more, or another attempt is of no use."""
        attempts, known = 0, -1
        while True:
            try:
                job = await self._store.job(job_id)
            except NotFound:
                return
            if job.bytes > known and job.origin is not None and job.origin.mark:  # without a mark no attempt continues
                attempts, known = 0, job.bytes
            try:
                await self._attempt(job)
                return
            except StoreBusy:
                raise
            except (LinkUnavailable, Unreachable) as error:
                reason = str(error).rstrip(".")
                facts = {"action": "fetch_cut", "job": job_id, "cause": reason, "attempt": attempts + 1}
                logger.warning("An attempt to fetch a recording failed.", extra=facts)
                if attempts == len(BACK_OFF_S):
                    await self._fail(job_id, link_failed(reason).problem)
                    return
                await anyio.sleep(BACK_OFF_S[attempts])
                attempts += 1
            except NotAllowed as error:
                hint = (
                    f"Give the address of the recording itself. If it is in your own network, add that to {_NETWORKS}."
                )
                await self._fail(job_id, link_failed(str(error).rstrip("."), hint).problem)
                return
            except (ServiceError, SiteRefused) as error:
                await self._fail(job_id, error.problem)
                return

    async def _attempt(self, job: Job) -> None:
        """Fetch the recording, from the link or from the web page behind it.

        Raises `LinkUnavailable`, what `outbound_http.get` raises, and errors after which another attempt is of no use.
        """
        try:
            await self._fetch_file(job)
        except WebPage:
            if not self.sites.support.usable:
                raise self.sites.refusal() from None
            await self._fetch_from_site(job)

    async def _fetch_from_site(self, job: Job) -> None:
        """Have an actor fetch the recording of a web page. Raises what `SiteFetcher.fetched` raises."""
        assert job.origin is not None
        origin, stored_at, duration_s = job.origin, 0.0, job.duration_s

        async def take(report: SiteFound | SiteProgress) -> bool:
            nonlocal stored_at, origin, duration_s
            if isinstance(report, SiteProgress):
                if time.monotonic() - stored_at < PROGRESS_S:
                    return True
                stored_at = time.monotonic()
                fields: dict[str, Any] = {"bytes": report.bytes}
            else:
                duration_s = report.duration_s
                fields = {"bytes": 0, "duration_s": duration_s}
                if report.title and (await self._store.job(job.id)).name == name_from_url(origin.url):
                    fields["name"] = name_from_title(report.title)
            origin = replace(origin, total=report.total or origin.total, mark="")
            message = "Fetching the recording."
            return await self._update(job.id, message=message, origin=origin, **fields) is not None

        async with self.sites.fetched(job.id, origin.url, take) as done:
            if done is None:
                return
            digest = await to_thread.run_sync(sha256_of, Path(done.path))
            source = self._data.source_of(job.id)
            with CancelScope(shield=True):  # a file that is moved has its job, or is deleted
                origin = replace(origin, total=done.bytes)
                if await self._update(job.id, origin=origin, bytes=done.bytes) is None:
                    return
                await to_thread.run_sync(Path(done.path).replace, source)
                stored = await self._store_end(job, done.bytes, digest, duration_s)
                if not stored and not await self._exists(job.id):
                    source.unlink(missing_ok=True)

    async def _exists(self, job_id: str) -> bool:
        try:
            await self._store.job(job_id)
        except NotFound:
            return False
        return True

    async def _fetch_file(self, job: Job) -> None:
        """Send one request and receive the recording. Raises as `_attempt`, and `WebPage`."""
        # Imports an HTTP client: a service that fetches nothing starts without one.
        from whisper_service.integrations.outbound_http import get

        origin = job.origin
        assert origin is not None
        have = await to_thread.run_sync(stored_bytes, self._data.source_of(job.id), job.bytes) if origin.mark else 0
        headers = request_headers(origin, have)
        async with get(origin.url, headers, allowed=self._allowed, timeout_s=self._settings.timeout_s) as answer:
            check_answer(answer.status, answer.headers, sites=self.sites.support.usable)
            start = start_of(answer.status, answer.headers, have)
            if start is None:
                await self._update(job.id, origin=replace(origin, total=None, mark=""))
                raise LinkUnavailable("the server has another recording now")
            if answer.status == RANGE_NOT_SATISFIABLE:
                await self._finish(job, have)
                return
            length = answer.headers.get("content-length", "")
            total = start + int(length) if length.isdecimal() else None
            self._uploads.check_room(total or 0, held=start)
            fields: dict[str, Any] = {
                "origin": replace(origin, total=total, mark=mark_in(answer.headers)),
                "bytes": start,
            }
            if job.name == name_from_url(origin.url) and (name := name_in(answer.headers)):
                fields["name"] = name
            if await self._update(job.id, message="Fetching the recording.", **fields) is None:
                return
            size = await self._receive(job, answer.blocks(), start)
            if size is not None:
                await self._finish(job, size)

    async def _receive(self, job: Job, blocks: AsyncIterator[bytes], start: int) -> int | None:
        """Write the recording from `start` on, and return its size. None: the job is not pending any more."""
        file = PartialFile(self._data.source_of(job.id), start)
        held, stored_at, size = bytearray(), time.monotonic(), start
        try:
            async for block in blocks:
                if size == 0 and (is_web_page(block) or (is_list(block) and self.sites.support.usable)):
                    raise WebPage
                held += block
                size += len(block)
                due = time.monotonic() - stored_at >= PROGRESS_S
                if len(held) >= BLOCK or due:
                    self._uploads.check_room(size, held=size - len(held))
                    data, held = bytes(held), bytearray()
                    await to_thread.run_sync(file.write, data, due)
                if due:
                    stored_at = time.monotonic()
                    if await self._update(job.id, bytes=size) is None:
                        return None
            await to_thread.run_sync(file.write, bytes(held), True)
        except Unreachable:  # the received bytes are kept
            with CancelScope(shield=True):
                await to_thread.run_sync(file.write, bytes(held), True)
                await self._update(job.id, bytes=size)
            raise
        finally:
            with CancelScope(shield=True):
                await to_thread.run_sync(file.close)
        return size

    async def _finish(self, job: Job, size: int) -> None:
        """Store that the recording is complete. From now on the job is like any other."""
        if not size:
            raise EmptyFile
        digest = await to_thread.run_sync(sha256_of, self._data.source_of(job.id))
        await self._store_end(job, size, digest)

    async def _store_end(self, job: Job, size: int, digest: str, duration_s: float | None = None) -> bool:
        """Store that the recording is complete. False: the job is not pending any more."""
        fields = {"bytes": size, "sha256": digest, "duration_s": duration_s, "message": "Waiting for its turn."}
        if await self._update(job.id, **fields) is None:
            return False
        logger.info("A recording was fetched.", extra={"action": "fetched", "job": job.id, "bytes": size})
        return True
