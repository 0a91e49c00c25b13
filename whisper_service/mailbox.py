"""The one queue before the service loop: requests of users and events of actors, in the order they came."""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import anyio

from whisper_service.errors import ServiceError, Unavailable
from whisper_service.supervisor import ActorEvent

logger = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass
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
        finally:
            self.done.set()


class Mailbox:
    """Never full: actors are bounded by the work they were given, requests by the connections that wait for them."""

    def __init__(self) -> None:
        self._send, self._receive = anyio.create_memory_object_stream[Request | ActorEvent](math.inf)

    def deliver(self, event: ActorEvent) -> None:
        """Called by the supervisors, on the event loop."""
        try:
            self._send.send_nowait(event)
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            logger.debug("an event came after the end", extra={"action": "late_event"})

    async def ask(self, act: Callable[[], Awaitable[T]]) -> T:
        """Have `act` done on the loop and wait for it. It is done even if the caller goes away. Raises what it raises."""
        request = Request(act)
        try:
            self._send.send_nowait(request)
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            raise Unavailable from None
        await request.done.wait()
        if request.error is not None:
            raise request.error
        result: T = request.result
        return result

    def close(self) -> None:
        """Take nothing more; what is already here is still handed out."""
        self._send.close()

    async def batches(self) -> AsyncIterator[list[Request | ActorEvent]]:
        """What has come, all of it at once, until `close`."""
        with self._receive:
            async for first in self._receive:
                waiting = self._receive.statistics().current_buffer_used
                yield [first, *(self._receive.receive_nowait() for _ in range(waiting))]
