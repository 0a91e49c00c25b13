"""The queue before the scheduler's loop: requests of clients and events of actors, in the order in which they come."""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ParamSpec, TypeVar

import anyio

from whisper_service.core.errors import ServiceError, Unavailable
from whisper_service.supervision.supervisor import ActorEvent

logger = logging.getLogger(__name__)
T = TypeVar("T")
P = ParamSpec("P")


@dataclass(eq=False)
class Request:
    """A function to run on the loop, and its result."""

    act: Callable[[], Awaitable[Any]]
    result: Any = None
    error: Exception | None = None
    done: anyio.Event = field(default_factory=anyio.Event)

    async def carry_out(self) -> None:
        """Run the function. Its error is for the caller; the loop goes on."""
        try:
            self.result = await self.act()
        except Exception as error:
            if not isinstance(error, ServiceError):
                logger.exception("A request failed.", extra={"action": "request_failed"})
            self.error = error
        except BaseException:  # the loop was cancelled meanwhile: how far the function came is unknown
            self.error = Unavailable()
            raise
        finally:
            self.done.set()

    def refuse(self) -> None:
        """Answer with `Unavailable`, unless there is an answer."""
        if not self.done.is_set():
            self.error = Unavailable()
            self.done.set()


class Mailbox:
    """A queue without a limit: the work of the actors bounds the events, open connections bound the requests."""

    def __init__(self) -> None:
        self._send, self._receive = anyio.create_memory_object_stream[Request | ActorEvent](math.inf)
        self.closed = False
        self._unanswered: set[Request] = set()

    def deliver(self, event: Request | ActorEvent) -> None:
        """Add an event. Supervisors call this on the event loop."""
        try:
            self._send.send_nowait(event)
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            logger.debug("An event came after the end.", extra={"action": "late_event"})

    async def ask(self, act: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `act` on the loop and return its result. It runs even if the caller goes away.

        Raises what `act` raises, and `Unavailable` if the loop ends before.
        """
        request = Request(partial(act, *args, **kwargs))
        try:
            self._send.send_nowait(request)
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            raise Unavailable from None
        self._unanswered.add(request)
        try:
            await request.done.wait()
        finally:
            self._unanswered.discard(request)
        if request.error is not None:
            raise request.error
        result: T = request.result
        return result

    def nudge(self) -> None:
        """Wake the loop, so that it makes a new plan."""
        self.deliver(Request(_nothing))

    def close(self) -> None:
        """Take nothing more. What is in the queue is still handed out."""
        self.closed = True
        self._send.close()

    @contextmanager
    def attended(self) -> Iterator[None]:
        """Allow `batches` inside the block. After it, every request without an answer is refused."""
        try:
            yield
        finally:
            self.close()
            self._receive.close()
            for request in list(self._unanswered):
                request.refuse()

    async def batches(self) -> AsyncIterator[list[Request | ActorEvent]]:
        """Yield everything that is in the queue, again and again, until `close`."""
        async for first in self._receive:
            waiting = self._receive.statistics().current_buffer_used
            yield [first, *(self._receive.receive_nowait() for _ in range(waiting))]


async def _nothing() -> None:
    pass
