"""Add the headers that keep browsers strict to every answer. A header that the answer has already stays."""

from __future__ import annotations

from typing import Final

from litestar.types import Message, Send

STRICT: Final = {
    b"content-security-policy": (
        b"default-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
    ),
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
}


def with_strict_headers(send: Send, root_path: str = "") -> Send:
    """Return a `send` that adds these headers, and `root_path` to addresses of this service in `Location`."""

    async def send_strict(message: Message) -> None:
        if message["type"] in ("http.response.start", "websocket.http.response.start"):
            headers = [(name.lower(), value) for name, value in message["headers"]]
            given = {name for name, _ in headers}
            message["headers"] = [
                *((name, _below(root_path, value) if name == b"location" else value) for name, value in headers),
                *((name, value) for name, value in STRICT.items() if name not in given),
            ]
        await send(message)

    return send_strict


def _below(root_path: str, location: bytes) -> bytes:
    return root_path.encode() + location if location.startswith(b"/") else location
