"""The bodies of requests while the service leaves: nobody waits for bytes that may never come. Plain ASGI around the app."""

from __future__ import annotations

from asyncio import CancelledError

from anyio import CancelScope
from litestar.types import ASGIApp, Receive, ReceiveMessage, Scope, Send

from whisper_service.core.errors import Unavailable


class RequestBodies:
    """Until `close`, nothing but a layer that passes everything on."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.closed = False
        self._waits: set[CancelScope] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        complete = False

        async def next_message() -> ReceiveMessage:
            nonlocal complete
            if complete:  # what may still come says only that the client is gone
                return await receive()
            message = await self._wait(receive)
            complete = message["type"] != "http.request" or not message["more_body"]
            return message

        try:
            await self.app(scope, next_message, send)
        except CancelledError:
            if not self.closed:
                raise  # else the server ended it, and has cut the connection before: there is nothing to report

    def close(self) -> None:
        """Whoever waits for more of a body, now or later, gets `Unavailable` raised instead."""
        self.closed = True
        for wait in self._waits:
            wait.cancel()

    async def _wait(self, receive: Receive) -> ReceiveMessage:
        with CancelScope() as scope:
            self._waits.add(scope)
            try:
                if not self.closed:
                    return await receive()
            finally:
                self._waits.discard(scope)
        raise Unavailable
