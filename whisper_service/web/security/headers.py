"""Headers that keep browsers strict, on every answer. A response that brings its own keeps that."""

from __future__ import annotations

from typing import Final

from litestar.types import Message, Send

STRICT: Final = {
    b"content-security-policy": b"default-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
}


def strict(send: Send, root_path: str = "") -> Send:
    """`send`, with these headers, and with `root_path` before addresses of our own that the client should go to."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [(name.lower(), value) for name, value in message["headers"]]
            given = {name for name, _ in headers}
            message["headers"] = [
                *((name, _moved(value, root_path) if name == b"location" else value) for name, value in headers),
                *((name, value) for name, value in STRICT.items() if name not in given),
            ]
        await send(message)

    return sending


def _moved(location: bytes, root_path: str) -> bytes:
    return root_path.encode() + location if location.startswith(b"/") else location
