"""Send the drafts of live sessions as server-sent events. They have no `id`: a stream goes on as if there were none.

As in `events`, the generators hold no cancel scope and no lock across a `yield`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from litestar import Router, get
from litestar.response import Stream

from whisper_service.app.draft_followers import DraftFollower
from whisper_service.app.service import Service
from whisper_service.core.domain import Change
from whisper_service.core.errors import NotFound
from whisper_service.storage.change_feed import Cursor
from whisper_service.web.http.errors import problems
from whisper_service.web.http.event_stream import END, HEADERS, MEDIA_TYPE, PING, frame
from whisper_service.web.http.parameters import JobId, Served

DRAFT: Final = "draft"
"""The name of the event."""


class ChangesAndDrafts:
    """The changes of a job and, for a live session, its drafts: whichever come first."""

    def __init__(self, cursor: Cursor, follower: DraftFollower | None) -> None:
        self._cursor = cursor
        self._follower = follower
        self._changes: asyncio.Task[Sequence[Change]] | None = None
        self._draft: asyncio.Task[bytes | None] | None = None

    async def next(self) -> tuple[Sequence[Change], bytes | None]:
        """Wait for changes or a newer draft. Changes go first. Neither: a heartbeat. Raises as `Cursor.listen`."""
        if self._follower is None:
            return await self._cursor.listen(), None
        while True:
            self._changes = self._changes or asyncio.ensure_future(self._cursor.listen())
            self._draft = self._draft or asyncio.ensure_future(self._follower.draft())
            await asyncio.wait({self._changes, self._draft}, return_when=asyncio.FIRST_COMPLETED)
            if self._changes.done():
                changes, self._changes = self._changes, None
                return changes.result(), None
            draft, self._draft = self._draft, None
            if (payload := draft.result()) is not None:
                return (), payload
            self._follower = None  # the session is over: only changes are left
            changes, self._changes = self._changes, None
            return await changes, None

    def close(self) -> None:
        """Give up what is waited for."""
        for task in (self._changes, self._draft):
            if task is not None and not task.cancel() and not task.cancelled():
                task.exception()  # nobody wants to know


@contextmanager
def follower_of(service: Service, job_id: str, *, wanted: bool) -> Iterator[DraftFollower | None]:
    """Give a follower of a live session inside the block. None: drafts are not wanted."""
    if not wanted:
        yield None
        return
    with service.live.follow(job_id) as follower:
        yield follower


async def stream_drafts(service: Service, job_id: str) -> AsyncIterator[bytes]:
    """Yield the drafts of a session, then `end` when it is over."""
    yield b": %b\n" % job_id.encode()
    upcoming: asyncio.Task[bytes | None] | None = None
    try:
        with service.live.follow(job_id) as follower:
            while True:
                upcoming = upcoming or asyncio.ensure_future(follower.draft())
                await asyncio.wait({upcoming}, timeout=service.config.server.heartbeat_s)
                if not upcoming.done():
                    yield PING
                    continue
                payload, upcoming = upcoming.result(), None
                if payload is None:
                    break
                yield frame(DRAFT, payload)
    finally:
        if upcoming is not None:
            upcoming.cancel()
    yield END


@get(
    "/api/live/{job_id:str}/drafts",
    operation_id="streamDrafts",
    summary="The draft of a live session, live",
    description=(
        "Events: `draft` (the words behind the last segment; each replaces the one before), from the newest one on. "
        "A reader that is slow gets the newest only. When the session is over and all of it is text, `end` "
        "with the data `done` follows, and the stream closes. The segments are in the events of the job."
    ),
    media_type=MEDIA_TYPE,
    responses=problems(404),
)
async def session_drafts(service: Served, job_id: JobId) -> Stream:
    if (await service.jobs.get(job_id)).live is None:
        raise NotFound("This job is no live session.", hint="POST /api/live begins one.")
    return Stream(stream_drafts(service, job_id), media_type=MEDIA_TYPE, headers=HEADERS)


router = Router("/", tags=["Live"], route_handlers=[session_drafts])
