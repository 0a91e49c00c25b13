"""Server-sent events: the change log on the wire. The `id` of an event is the `seq` of its row, so every stream can be resumed.

Frames are raw bytes, because a comment must end in one newline: some clients take two for an empty event. Generators here hold
no cancel scope and no lock across a `yield`, and stop by themselves when the broadcast is closed.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any, Final

import msgspec
from litestar import Router, get
from litestar.params import HeaderParameter, QueryParameter
from litestar.response import Stream

from whisper_service import __version__
from whisper_service.app.service import Service
from whisper_service.core.domain import Change, Status
from whisper_service.core.errors import NotFound
from whisper_service.core.job_states import TERMINAL
from whisper_service.storage.change_feed import Closed, Pruned
from whisper_service.web import page
from whisper_service.web.api.jobs import JobId, Served
from whisper_service.web.http.errors import problems

BOOT: Final = secrets.token_hex(8)
"""Tells clients whether they still talk to the same process."""

PING: Final = b": ping\n"
"""For clients of one job, who know its events only; the stream of everything has an event `ping`, which scripts can see."""
END: Final = b"event: end\ndata: done\n\n"
RETRY_MS: Final = 2_000
MEDIA_TYPE: Final = "text/event-stream"
_HEADERS: Final = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}

LastEventId = Annotated[str | None, HeaderParameter(name="Last-Event-ID", description="Go on after this event.")]
Since = Annotated[str | None, QueryParameter(description="The same for a first request; the header wins.")]


def frame(kind: str, payload: bytes, seq: int | None = None) -> bytes:
    """One event. The payload is JSON without line breaks."""
    head = b"" if seq is None else b"id: %d\n" % seq
    return b"%bevent: %b\ndata: %b\n\n" % (head, kind.encode(), payload)


async def everything(service: Service, since: int | None) -> AsyncIterator[bytes]:
    """`hello`, then every change after `since` (None: from now on); `reset` where the log does not reach back that far."""
    log = service.events
    with log.subscribe(log.head if since is None else since) as cursor:
        hello = {"seq": log.head, "version": __version__, "boot": BOOT, "ui_version": page.ui_version()}
        yield b"retry: %d\n" % RETRY_MS + frame("hello", msgspec.json.encode(hello))
        while True:
            try:
                if cursor.seq > log.head:  # the client remembers another database
                    raise Pruned
                changes = await cursor.listen()
            except Closed:
                return
            except Pruned:
                cursor.seq = log.head
                yield frame("reset", msgspec.json.encode({"seq": cursor.seq}), cursor.seq)
            else:
                yield _wire(changes) or frame("ping", msgspec.json.encode({"seq": log.head}))


async def one(service: Service, job_id: str, since: int) -> AsyncIterator[bytes]:
    """The changes of one job after `since`, then `end` once it is over and everything was said."""
    log = service.events
    yield b": %b\n" % job_id.encode()
    with log.subscribe(since, job_id) as cursor:
        try:
            oldest, _ = await service.events.history.bounds()
            pruned, over = not oldest <= since <= log.head, False
            if not pruned:
                try:
                    over = await _over(service, job_id, since)
                except Pruned:
                    pruned = True
            while not over:
                try:
                    if pruned:
                        block, cursor.seq, over = await _snapshot(service, job_id)
                        pruned = False
                    else:
                        changes = await cursor.listen()
                        block = _wire(changes) or PING
                        over = _final(changes) and await _over(service, job_id, cursor.seq)
                except Pruned:
                    pruned = True
                else:
                    yield block
        except NotFound:
            pass  # deleted before there was anything to tell
        except Closed:
            return
    yield END


class _EventEncoder:
    """Changes as they are sent. Nearly everybody is sent the same, and the broadcast then gives the same object."""

    def __init__(self) -> None:
        self._last: Sequence[Change] = ()
        self._bytes = b""

    def __call__(self, changes: Sequence[Change]) -> bytes:
        if changes is not self._last:
            self._last, self._bytes = changes, b"".join([change.wire for change in changes])
        return self._bytes


_wire: Final = _EventEncoder()


class _Brief(msgspec.Struct):
    status: Status


def _final(changes: Sequence[Change]) -> bool:
    """Whether the last of these looks like the last there will be."""
    if not changes or changes[-1].kind == "segment":
        return False
    return changes[-1].kind == "deleted" or msgspec.json.decode(changes[-1].payload, type=_Brief).status in TERMINAL


async def _over(service: Service, job_id: str, seq: int) -> bool:
    """Whether nothing follows `seq`: the job may have ended, been retried and be in work again, or be deleted."""
    if await service.events.history.changes(seq, job_id=job_id, limit=1):
        return False
    try:
        over = (await service.jobs.get(job_id)).status in TERMINAL
    except NotFound:
        over = True
    pruned, _ = await service.events.history.bounds()
    if seq < pruned:  # something may have followed that is gone by now
        raise Pruned
    return over


async def _snapshot(service: Service, job_id: str) -> tuple[bytes, int, bool]:
    """The job and its segments as events, the `seq` they stand for, and whether the job is over.

    Only the last event carries an id: a client that loses the connection before it starts again.
    """
    while True:
        seq = service.events.head
        job, segments = await service.jobs.get(job_id), await service.jobs.segments(job_id)
        if not await service.events.history.changes(seq, job_id=job_id, limit=1):
            break  # nothing happened to it between the reads
    events: list[tuple[str, Any]] = [("update", job)]
    events += [("segment", {"job_id": job_id, "segment": segment}) for segment in segments]
    frames = [frame(kind, msgspec.json.encode(value)) for kind, value in events]
    return b"".join([*frames[:-1], b"id: %d\n" % seq, frames[-1]]), seq, job.status in TERMINAL


def _number(text: str) -> int:
    """What a client gives as its place; anything odd means the beginning."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 18 else 0


@get(
    "/api/events",
    operation_id="streamEvents",
    summary="Everything that happens, live",
    description=(
        "Events: `hello` (first, without id), `update` (a job), `segment`, `deleted`, `model` (one of `/api/models`), `ping` (when "
        "nothing happened for a while), and `reset` when the log does not reach back to where the client was: fetch /api/state "
        "again. Without `since` and Last-Event-ID the stream begins now."
    ),
    media_type=MEDIA_TYPE,
    responses=problems(422),
)
async def all_events(service: Served, last_event_id: LastEventId = None, since: Since = None) -> Stream:
    place = last_event_id if last_event_id is not None else since
    stream = everything(service, None if place is None else _number(place))
    return Stream(stream, media_type=MEDIA_TYPE, headers=_HEADERS)


_JOB_EVENTS: Final[dict[str, Any]] = {
    "summary": "One job, live",
    "description": (
        "Events: `update` (the job) and `segment` (its text) from the beginning or after Last-Event-ID, then `end` with the data "
        "`done` when the job is over; then the stream closes."
    ),
    "media_type": MEDIA_TYPE,
    "responses": problems(404, 422),
}


@get("/api/jobs/{job_id:str}/events", operation_id="streamJob", **_JOB_EVENTS)
async def job_events(service: Served, job_id: JobId, last_event_id: LastEventId = None) -> Stream:
    await service.jobs.get(job_id)
    return Stream(one(service, job_id, _number(last_event_id or "")), media_type=MEDIA_TYPE, headers=_HEADERS)


@get("/api/stream/{job_id:str}", operation_id="streamJobAlias", **_JOB_EVENTS)
async def job_stream(service: Served, job_id: JobId, last_event_id: LastEventId = None) -> Stream:
    await service.jobs.get(job_id)
    return Stream(one(service, job_id, _number(last_event_id or "")), media_type=MEDIA_TYPE, headers=_HEADERS)


router = Router("/", tags=["Events"], route_handlers=[all_events, job_events, job_stream])
