"""Send the change log as server-sent events. The `id` of an event is the `seq` of its change: streams can be resumed.

The generators here hold no cancel scope and no lock across a `yield`. They stop when the change feed is closed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Annotated, Any, Final

import msgspec
from litestar import Response, Router, get
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import HeaderParameter, QueryParameter
from litestar.response import Stream

from whisper_service import __version__
from whisper_service.app.service import Service
from whisper_service.core.domain import Change, Status
from whisper_service.core.errors import NotFound
from whisper_service.core.job_states import TERMINAL
from whisper_service.storage.change_feed import Closed, Pruned
from whisper_service.web import page
from whisper_service.web.api.draft_events import DRAFT, ChangesAndDrafts, follower_of
from whisper_service.web.http.errors import problems
from whisper_service.web.http.event_stream import END, HEADERS, MEDIA_TYPE, PING, frame
from whisper_service.web.http.parameters import BOOT, JobId, Served

RETRY_MS: Final = 2_000
LastEventId = Annotated[str | None, HeaderParameter(name="Last-Event-ID", description="Continue after this event.")]
Since = Annotated[str | None, QueryParameter(description="Like Last-Event-ID, which wins, for a first request.")]
Drafts = Annotated[bool, QueryParameter(description="With the drafts of a live session.")]


async def stream_all(service: Service, since: int | None) -> AsyncIterator[bytes]:
    """Yield `hello`, then every change after `since`. None: from now on.

    Many changes come together: of the updates of a job among them, only the newest is sent.
    `reset` says that the log does not reach back to `since`.
    """
    log = service.events
    with log.subscribe(log.head if since is None else since, in_beats=True) as cursor:
        hello = {
            "seq": log.head,
            "version": __version__,
            "boot": BOOT,
            "ui_version": page.ui_version(),
            "heartbeat_s": service.config.server.heartbeat_s,
        }
        yield b"retry: %d\n" % RETRY_MS + frame("hello", msgspec.json.encode(hello))
        while True:
            try:
                if cursor.seq > log.head:  # `since` is from another database
                    raise Pruned
                changes = await cursor.listen()
            except Closed:
                return
            except Pruned:
                cursor.seq = log.head
                yield frame("reset", msgspec.json.encode({"seq": cursor.seq}), cursor.seq)
            else:
                yield _encode_newest(changes) or frame("ping", msgspec.json.encode({"seq": log.head}))


async def stream_job(service: Service, job_id: str, since: int, *, drafts: bool = False) -> AsyncIterator[bytes]:
    """Yield the changes of one job after `since`, then `end` once the job has ended and every change was sent.

    With `drafts`, those of a live session come between them.
    """
    log = service.events
    yield b": %b\n" % job_id.encode()
    with log.subscribe(since, job_id) as cursor, follower_of(service, job_id, wanted=drafts) as follower:
        news = ChangesAndDrafts(cursor, follower)
        try:
            oldest, _ = await log.history.bounds()
            pruned, over = not oldest <= since <= log.head, False
            if not pruned:
                try:
                    over = await _is_over(service, job_id, since)
                except Pruned:
                    pruned = True
            while not over:
                try:
                    if pruned:
                        block, cursor.seq, over = await _snapshot(service, job_id)
                        pruned = False
                    else:
                        changes, draft = await news.next()
                        if draft is not None:
                            yield frame(DRAFT, draft)
                            continue
                        block = _encode(changes) or PING
                        over = _may_be_last(changes) and await _is_over(service, job_id, cursor.seq)
                except Pruned:
                    pruned = True
                else:
                    yield block
        except NotFound:
            pass  # the job was deleted before its first event was sent
        except Closed:
            return
        finally:
            news.close()
    yield END


class _EventEncoder:
    """Encodes changes. Remembers the last answer, because the feed gives most subscribers the same list of changes."""

    def __init__(self, choose: Callable[[Sequence[Change]], Iterable[Change]]) -> None:
        self._choose = choose
        self._last: Sequence[Change] = ()
        self._bytes = b""

    def __call__(self, changes: Sequence[Change]) -> bytes:
        if changes is not self._last:
            self._last, self._bytes = changes, b"".join([change.wire for change in self._choose(changes)])
        return self._bytes


def newest_updates(changes: Sequence[Change]) -> list[Change]:
    """Return the changes without the updates of a job that a newer one of them replaces.

    The last change always stays, so that a client whose last event it is has missed nothing.
    """
    newest = {change.job_id: change.seq for change in changes if change.kind == "update"}
    return [change for change in changes if change.kind != "update" or newest[change.job_id] == change.seq]


_encode: Final = _EventEncoder(iter)
_encode_newest: Final = _EventEncoder(newest_updates)


class _Brief(msgspec.Struct):
    status: Status


def _may_be_last(changes: Sequence[Change]) -> bool:
    """Return whether the job may have ended with the last of these changes."""
    match changes[-1].kind if changes else "segment":
        case "segment":
            return False
        case "update":
            return msgspec.json.decode(changes[-1].payload, type=_Brief).status in TERMINAL
        case _:  # deleted, or edited, also after the end
            return True


async def _is_over(service: Service, job_id: str, seq: int) -> bool:
    """Return whether the job has ended and no change follows `seq`. The job may have been retried or deleted meanwhile.

    Raises `Pruned` if changes after `seq` may be missing from the log.
    """
    if await service.events.history.changes(seq, job_id=job_id, limit=1):
        return False
    try:
        over = (await service.jobs.get(job_id)).status in TERMINAL
    except NotFound:
        over = True
    oldest, _ = await service.events.history.bounds()
    if seq < oldest:
        raise Pruned
    return over


async def _has_all(service: Service, job_id: str, seq: int) -> bool:
    """Return whether a client whose last event is `seq` has every event of the job, and no more can come."""
    if seq > service.events.head:  # of another database
        return False
    try:
        return await _is_over(service, job_id, seq)
    except Pruned:
        return False


async def _snapshot(service: Service, job_id: str) -> tuple[bytes, int, bool]:
    """Return the job and its segments as events, the `seq` of this state, and whether the job has ended.

    Only the last event has an id: a client that loses the connection before it starts again.
    """
    while True:
        seq = service.events.head
        job, segments = await service.jobs.get(job_id), await service.jobs.segments(job_id)
        if not await service.events.history.changes(seq, job_id=job_id, limit=1):
            break  # the job did not change between the reads
    events: list[tuple[str, Any]] = [("update", job)]
    events += [("segment", {"job_id": job_id, "segment": segment}) for segment in segments]
    frames = [frame(kind, msgspec.json.encode(value)) for kind, value in events]
    return b"".join([*frames[:-1], b"id: %d\n" % seq, frames[-1]]), seq, job.status in TERMINAL


def _number(text: str) -> int:
    """Return the `seq` that a client sends. Anything but a number means the beginning."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 18 else 0


@get(
    "/api/events",
    operation_id="streamEvents",
    summary="Everything that happens, live",
    description=(
        "Events: `hello` (first, without id), `update` (a job), `segment`, `edit` (lines that a person changed), "
        "`deleted`, `model` (one of `/api/models`), "
        "`ping` (when nothing happened for the `heartbeat_s` seconds of `hello`), and `reset` when the log does not "
        "reach back to where the client was: fetch /api/state again. Without `since` and Last-Event-ID the stream "
        "begins now. While much happens, events come four times a second, and of the updates of a job only the newest."
    ),
    media_type=MEDIA_TYPE,
    responses=problems(422),
)
async def all_events(service: Served, last_event_id: LastEventId = None, since: Since = None) -> Stream:
    place = last_event_id if last_event_id is not None else since
    stream = stream_all(service, None if place is None else _number(place))
    return Stream(stream, media_type=MEDIA_TYPE, headers=HEADERS)


def _job_route(path: str, operation_id: str) -> HTTPRouteHandler:
    async def job_events(
        service: Served, job_id: JobId, last_event_id: LastEventId = None, drafts: Drafts = True
    ) -> Response[None] | Stream:
        job = await service.jobs.get(job_id)
        since = _number(last_event_id or "")
        if since and await _has_all(service, job_id, since):
            return Response(None, status_code=204)
        stream = stream_job(service, job_id, since, drafts=drafts and job.live is not None)
        return Stream(stream, media_type=MEDIA_TYPE, headers=HEADERS)

    return get(
        path,
        operation_id=operation_id,
        summary="One job, live",
        description=(
            "Events: `update` (the job), `segment` (its text) and `edit` (lines that a person changed), from the "
            "beginning or after Last-Event-ID. A live session has `draft` as well: the words behind its last segment, "
            "without an id; each replaces the one before. When the job has ended, `end` with the data `done` follows, "
            "and the stream closes. A client that has all of it gets 204, so that a browser does not come back."
        ),
        media_type=MEDIA_TYPE,
        responses={
            204: ResponseSpec(None, description="The client has every event", generate_examples=False),
            **problems(404, 422),
        },
    )(job_events)


router = Router(
    "/",
    tags=["Events"],
    route_handlers=[
        all_events,
        _job_route("/api/jobs/{job_id:str}/events", "streamJob"),
        _job_route("/api/stream/{job_id:str}", "streamJobAlias"),
    ],
)
