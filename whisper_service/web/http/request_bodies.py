"""Read the bodies of requests, and stop waiting for them when the service stops."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import AsyncIterator
from dataclasses import dataclass

from anyio import CancelScope
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, ReceiveMessage, Scope, Send

from whisper_service.core.errors import TooLarge, Unavailable, UnsupportedMedia, UploadBroken
from whisper_service.web.http.errors import Incoming


@dataclass
class Body:
    """The bytes of a request as they arrive. Raises `UploadBroken` when the client disconnects."""

    source: Receive
    complete: bool = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while not self.complete:
            message = await self.source()
            if message["type"] != "http.request":
                self.complete = True
                raise UploadBroken()
            self.complete = not message["more_body"]
            if message["body"]:
                yield message["body"]


async def read_at_most(request: Incoming, limit: int, refusal: TooLarge) -> bytes:
    """Return the whole body. Raises `refusal` once the body is known to have more than `limit` bytes."""
    if (expected_length(request) or 0) > limit:
        raise refusal
    data = bytearray()
    async for block in Body(request.receive):
        data += block
        if len(data) > limit:
            raise refusal
    return bytes(data)


def expected_length(request: Incoming) -> int | None:
    """Return the length of the body in bytes that the client states. None: it states none."""
    length = request.headers.get("content-length", "")
    return int(length) if length.isdecimal() else None


def refuse_compressed(request: Incoming) -> None:
    """Raise `UnsupportedMedia` for a body with a content encoding, because its real size is not known in advance."""
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        hint = "Send the file as it is; audio and video files are compressed already."
        raise UnsupportedMedia("Compressed bodies are not accepted.", hint=hint)


class RequestBodies:
    """ASGI around the application. Until `close`, every message passes through unchanged."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.closed = False
        self._waits: set[CancelScope] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.WEBSOCKET:  # has no body; the server closes it
            await self.app(scope, receive, send)
            return
        complete = False

        async def next_message() -> ReceiveMessage:
            nonlocal complete
            if complete:  # only a disconnect can follow
                return await receive()
            message = await self._wait(receive)
            complete = message["type"] != "http.request" or not message["more_body"]
            return message

        try:
            await self.app(scope, next_message, send)
        except CancelledError:
            if not self.closed:
                raise  # else the server cancelled the request after it cut the connection: nothing to report

    def close(self) -> None:
        """Raise `Unavailable` in every request that waits for more of its body, now or later."""
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
