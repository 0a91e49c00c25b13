"""Recordings that the service gets itself, from an address that somebody gave it.

The job is there at once and waits for its turn; its recording comes meanwhile. How far it is, is written down every second,
after the bytes are on stable storage: after a pause, a broken connection or a restart it goes on from there, if the other side
still has the same. What is not pending any more is not fetched.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from email.message import Message
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import unquote, urlsplit

import anyio
from anyio import CancelScope, to_thread
from msgspec.structs import replace

from whisper_service import __version__
from whisper_service.config import schema
from whisper_service.core.domain import Job, Problem
from whisper_service.core.errors import (
    EmptyFile,
    InvalidRequest,
    LinkFailed,
    NotFound,
    ServiceError,
    StoreBusy,
    Unavailable,
)
from whisper_service.core.files import full_disk_as_error, sha256_of, sync_file, write_all
from whisper_service.core.identifiers import clean_name
from whisper_service.core.wakeup import Wakeup
from whisper_service.integrations.address_policy import NotAllowed, Unreachable, check, networks, plain
from whisper_service.storage.data_dir import DataDir
from whisper_service.storage.store import Store
from whisper_service.storage.uploads import BLOCK, Uploads

logger = logging.getLogger(__name__)

BACK_OFF_S: Final = (1.0, 5.0, 15.0, 30.0, 60.0)
"""Between one try and the next without a new byte; after the last it is given up."""
NOTE_S: Final = 1.0
"""How often is written down how far it is."""
REST_S: Final = 5.0
NOTHING_MORE: Final = 416
"""The range that was asked for begins at the end."""
_NETWORKS: Final = "links.allowed_networks"
_PAGES: Final = ("text/html", "application/xhtml+xml")

Note = Callable[..., Awaitable[Job | None]]
"""Write these fields of a pending job and make sure that there is a file for it; None: it is not pending any more."""
Fail = Callable[[str, Problem], Awaitable[None]]


class LinkUnavailable(Exception):
    """It did not work this time; the words say why."""


class LinkFetcher:
    """See the module. What it finds out is written by `note` and `fail`, on the service loop."""

    def __init__(
        self, settings: schema.LinkSettings, store: Store, intake: Uploads, data: DataDir, note: Note, fail: Fail
    ) -> None:
        """Raises `InvalidConfig`."""
        self._settings = settings
        self._allowed = networks(settings.allowed_networks, _NETWORKS)
        self._store = store
        self._intake = intake
        self._data = data
        self._note = note
        self._fail = fail
        self._at: dict[str, CancelScope] = {}  # the jobs whose recordings are on their way
        self._news = Wakeup()
        self._closed = False

    def check(self, url: str) -> str:
        """The address as it will be asked for. Raises `InvalidRequest`."""
        if not self._settings.enabled:
            hint = "Download the file and send it, or set links.enabled in the configuration."
            raise InvalidRequest("This service fetches nothing from other addresses.", hint=hint, field="url")
        url = plain(url)
        check(url, self._allowed, field="url", setting=_NETWORKS)
        return url

    def tell(self) -> None:
        """Jobs came, went or changed."""
        self._news.notify()

    def close(self) -> None:
        """Let `run` end; what is on its way goes on with the next service."""
        self._closed = True
        self.tell()

    async def run(self) -> None:
        """Fetch what there is to fetch, some at a time, until `close`."""
        async with anyio.create_task_group() as tasks:
            while not self._closed:
                try:
                    wanted = await self._store.to_fetch()
                except (sqlite3.Error, ServiceError):
                    logger.exception("it is not known what to fetch", extra={"action": "fetch_failed"})
                    await self._news.wait(REST_S)
                    continue
                ids = {job.id for job in wanted}
                for job_id in self._at.keys() - ids:
                    self._at[job_id].cancel()
                for job in wanted:
                    if job.id not in self._at and len(self._at) < self._settings.at_once:
                        self._at[job.id] = CancelScope()
                        tasks.start_soon(self._attend, job.id, self._at[job.id])
                await self._news.wait()
            tasks.cancel_scope.cancel()

    async def _attend(self, job_id: str, scope: CancelScope) -> None:
        """The border: whatever goes wrong with one recording, the others come."""
        try:
            with scope:
                await self._persist(job_id)
        except Unavailable:  # the service is about to end
            pass
        except Exception:
            logger.exception("a recording could not be fetched", extra={"action": "fetch_failed", "job": job_id})
            await anyio.sleep(REST_S)
        finally:
            del self._at[job_id]
            self.tell()

    async def _persist(self, job_id: str) -> None:
        """Try until all of it is here, nobody wants it any more, or it is of no use to go on."""
        tries, known = 0, -1
        while True:
            try:
                job = await self._store.job(job_id)
            except NotFound:
                return
            if job.bytes > known and job.origin is not None and job.origin.mark:  # without a mark each try begins anew
                tries, known = 0, job.bytes
            try:
                await self._try(job)
                return
            except StoreBusy:
                raise
            except (LinkUnavailable, Unreachable) as error:
                reason = str(error).rstrip(".")
                facts = {"action": "fetch_cut", "job": job_id, "cause": reason, "attempt": tries + 1}
                logger.warning("a recording did not come", extra=facts)
                if tries == len(BACK_OFF_S):
                    await self._fail(job_id, LinkFailed(f"The link could not be fetched: {reason}.").problem)
                    return
                await anyio.sleep(BACK_OFF_S[tries])
                tries += 1
            except NotAllowed as error:
                hint = f"Give the address of the recording itself; if it is in a network of your own, add that to {_NETWORKS}."
                await self._fail(
                    job_id, LinkFailed(f"The link could not be fetched: {str(error).rstrip('.')}.", hint=hint).problem
                )
                return
            except ServiceError as error:
                await self._fail(job_id, error.problem)
                return

    async def _try(self, job: Job) -> None:
        """One request. Raises `LinkUnavailable`, what `outgoing.get` raises, and errors for which another try is of no use."""
        from whisper_service.integrations.outbound_http import (
            get,  # an HTTP client: a service that fetches nothing starts without it
        )

        origin = job.origin
        assert origin is not None
        have = await to_thread.run_sync(_on_disk, self._data.source_of(job.id), job.bytes) if origin.mark else 0
        headers = {
            "user-agent": f"whisper_service/{__version__}",
            "accept": "audio/*, video/*, */*;q=0.5",
            "accept-encoding": "identity",
        }
        if have:
            headers |= {"range": f"bytes={have}-", "if-range": origin.mark}
        async with get(origin.url, headers, allowed=self._allowed, timeout_s=self._settings.timeout_s) as answer:
            _refused(answer.status, answer.headers)
            start = _start(answer.status, answer.headers, have)
            if start is None:
                await self._note(job.id, origin=replace(origin, total=None, mark=""))
                raise LinkUnavailable("the other side has another recording now")
            if answer.status == NOTHING_MORE:
                await self._finish(job, have)
                return
            length = answer.headers.get("content-length", "")
            total = start + int(length) if length.isdecimal() else None
            self._intake.admit(total or 0, held=start)
            name = _name_in(answer.headers) if job.name == name_of(origin.url) else ""
            origin = replace(origin, total=total, mark=_mark(answer.headers))
            fields = {"name": name} if name else {}
            if (
                await self._note(job.id, origin=origin, bytes=start, message="Fetching the recording.", **fields)
                is None
            ):
                return
            size = await self._receive(job, answer.blocks(), start)
            if size is not None:
                await self._finish(job, size)

    async def _receive(self, job: Job, blocks: AsyncIterator[bytes], start: int) -> int | None:
        """The size once all is on the disk; None if nobody wants it any more."""
        file = _PartialFile(self._data.source_of(job.id), start)
        held, noted, size = bytearray(), time.monotonic(), start
        try:
            async for block in blocks:
                held += block
                size += len(block)
                due = time.monotonic() - noted >= NOTE_S
                if len(held) >= BLOCK or due:
                    self._intake.admit(size, held=size - len(held))
                    data, held = bytes(held), bytearray()
                    await to_thread.run_sync(file.write, data, due)
                if due:
                    noted = time.monotonic()
                    if await self._note(job.id, bytes=size) is None:
                        return None
            await to_thread.run_sync(file.write, bytes(held), True)
        except Unreachable:  # what came is kept
            with CancelScope(shield=True):
                await to_thread.run_sync(file.write, bytes(held), True)
                await self._note(job.id, bytes=size)
            raise
        finally:
            with CancelScope(shield=True):
                await to_thread.run_sync(file.close)
        return size

    async def _finish(self, job: Job, size: int) -> None:
        """All of it is here: from now on it is a job like any other."""
        if not size:
            raise EmptyFile
        digest = await to_thread.run_sync(sha256_of, self._data.source_of(job.id))
        if await self._note(job.id, bytes=size, sha256=digest, message="Waiting for its turn.") is not None:
            logger.info("a recording is here", extra={"action": "fetched", "job": job.id, "bytes": size})


class _PartialFile:
    """A recording as it comes, from `start` on; it must be there."""

    def __init__(self, path: Path, start: int) -> None:
        self._file: BinaryIO = path.open("r+b", buffering=0)
        self._file.truncate(start)
        self._file.seek(start)

    def write(self, data: bytes, safe: bool) -> None:
        """Add this; `safe`: and wait until all is on stable storage."""
        with full_disk_as_error():
            write_all(self._file, data)
            if safe:
                sync_file(self._file)

    def close(self) -> None:
        self._file.close()


def name_of(url: str) -> str:
    """What a recording is called by its address."""
    parts = urlsplit(url)
    return clean_name(unquote(parts.path.rstrip("/").rpartition("/")[2]) or parts.hostname or "")


def _refused(status: int, headers: dict[str, str]) -> None:
    """Raise `LinkUnavailable` or `LinkFailed` unless the answer is a recording, or about one."""
    match status:
        case 200 if headers.get("content-type", "").partition(";")[0].strip().lower() in _PAGES:
            hint = "Give the address of the audio or video file itself, or download it and send it."
            raise LinkFailed("The link could not be fetched: it leads to a web page, not to a recording.", hint=hint)
        case 200 | 206 | 416:
            return
        case 401 | 403:
            hint = "It may want a login: download the file yourself and send it."
            raise LinkFailed(f"The link could not be fetched: the other side refuses it ({status}).", hint=hint)
        case 404 | 410:
            raise LinkFailed(f"The link could not be fetched: there is nothing at this address ({status}).")
        case 408 | 425 | 429 | 500 | 502 | 503 | 504:
            raise LinkUnavailable(f"the other side cannot answer now ({status})")
        case _:
            raise LinkFailed(f"The link could not be fetched: the other side answers {status}.")


def _start(status: int, headers: dict[str, str], have: int) -> int | None:
    """Where in the recording the answer begins, of which `have` bytes are here; None: that does not fit together any more."""
    told = headers.get("content-range", "")
    match status:
        case 200:
            return 0
        case 206:
            return have if told.startswith(f"bytes {have}-") else None
        case _:
            return have if have and told == f"bytes */{have}" else None


def _on_disk(path: Path, known: int) -> int:
    """How much of what is written down is there."""
    try:
        return known if path.stat().st_size >= known else 0
    except OSError:
        return 0


def _mark(headers: dict[str, str]) -> str:
    """What `If-Range` may say: a strong tag, or a date (RFC 9110, 13.1.5)."""
    tag = headers.get("etag", "")
    return tag if tag.startswith('"') else headers.get("last-modified", "")


def _name_in(headers: dict[str, str]) -> str:
    """The name in a Content-Disposition header (RFC 6266), if there is one."""
    said = Message()
    said["content-disposition"] = headers.get("content-disposition", "")
    try:
        name = said.get_filename("")
    except (LookupError, UnicodeError):
        return ""
    return clean_name(name) if name else ""
