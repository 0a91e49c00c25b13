"""The one queue before the service loop: requests of users and events of actors, in the order they came."""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import anyio

from whisper_service.core.errors import ServiceError, Unavailable
from whisper_service.supervision.supervisor import ActorEvent

logger = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(eq=False)
class Request:
    """Something a user wants done on the loop."""

    act: Callable[[], Awaitable[Any]]
    result: Any = None
    error: Exception | None = None
    done: anyio.Event = field(default_factory=anyio.Event)

    async def carry_out(self) -> None:
        """Do it; what goes wrong is for the one who asked to hear, the loop goes on."""
        try:
            self.result = await self.act()
        except Exception as error:
            if not isinstance(error, ServiceError):
                logger.exception("a request failed", extra={"action": "request_failed"})
            self.error = error
        except BaseException:  # the loop is cancelled in the middle of it; whether it was done is not known
            self.error = Unavailable()
            raise
        finally:
            self.done.set()

    def refuse(self) -> None:
        """Nobody is left to do it."""
        if not self.done.is_set():
            self.error = Unavailable()
            self.done.set()


class Mailbox:
    """Never full: actors are bounded by the work they were given, requests by the connections that wait for them."""

    def __init__(self) -> None:
        self._send, self._receive = anyio.create_memory_object_stream[Request | ActorEvent](math.inf)
        self.closed = False
        self._asked: set[Request] = set()  # and not answered yet

    def deliver(self, event: ActorEvent) -> None:
        """Called by the supervisors, on the event loop."""
        try:
            self._send.send_nowait(event)
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            logger.debug("an event came after the end", extra={"action": "late_event"})

    async def ask(self, act: Callable[[], Awaitable[T]]) -> T:
        """Have `act` done on the loop and wait for it. It is done even if the caller goes away. Raises what it raises, and
        `Unavailable` if the loop has ended or ends before."""
        request = Request(act)
        try:
            self._send.send_nowait(request)
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            raise Unavailable from None
        self._asked.add(request)
        try:
            await request.done.wait()
        finally:
            self._asked.discard(request)
        if request.error is not None:
            raise request.error
        result: T = request.result
        return result

    def nudge(self) -> None:
        """Wake the loop without wanting anything."""
        try:
            self._send.send_nowait(Request(_nothing))
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            logger.debug("a nudge came after the end", extra={"action": "late_event"})

    def close(self) -> None:
        """Take nothing more; what is already here is still handed out."""
        self.closed = True
        self._send.close()

    @contextmanager
    def attended(self) -> Iterator[None]:
        """Inside the block somebody takes the `batches`. However it is left, nobody is kept waiting for an answer."""
        try:
            yield
        finally:
            self.close()
            self._receive.close()
            for request in list(self._asked):
                request.refuse()

    async def batches(self) -> AsyncIterator[list[Request | ActorEvent]]:
        """What has come, all of it at once, until `close`."""
        async for first in self._receive:
            waiting = self._receive.statistics().current_buffer_used
            yield [first, *(self._receive.receive_nowait() for _ in range(waiting))]


async def _nothing() -> None:
    pass
