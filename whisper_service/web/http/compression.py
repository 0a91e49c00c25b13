"""Compress answers for clients that accept gzip: JSON, text, scripts, styles, SVG. Plain ASGI around the application.

Event streams pass as they are, because their events must not wait for others; so do recordings and archives, which are
compressed already, and parts of files. Large bodies are compressed in threads. The page's own files are compressed once
and kept in memory.

The compressed form of a file has a tag of its own, as RFC 9110 (8.8.3.3) asks: `"abc"` becomes `"abc-gzip"`.
"""

from __future__ import annotations

import gzip
import re
from collections import OrderedDict
from collections.abc import Iterable, MutableSequence
from typing import Any, Final

from anyio import to_thread
from litestar.types import ASGIApp, Message, Receive, Scope, Send

LEAST: Final = 1_024
"""Bytes below which an answer fits into one packet anyway."""
IN_THREAD: Final = 32_768
"""Bytes from which compression takes longer than the change to a thread: about a millisecond."""
LARGEST: Final = 64 * 1024**2
"""Bytes of a file that is gathered to be compressed. Files of the page are smaller by far."""
KEPT: Final = 8 * 1024**2
"""Bytes of compressed files that are kept in memory. The whole page has less than one MiB."""
LEVEL: Final = 5
"""zlib's level for answers that are made anew each time. Measured on a transcript of ten hours: 6 is 50 % slower and
1 % smaller."""
LEVEL_KEPT: Final = 9
"""zlib's level for files that are compressed once."""
SUFFIX: Final = b"-gzip"

_TYPES: Final = re.compile(
    rb"application/(?:json|[\w.-]+\+json|javascript|x-subrip|xml)|image/svg\+xml|text/(?!event-stream)[\w.+-]+"
)
_GZIP: Final = re.compile(r"(?:^|,)\s*(gzip|x-gzip|\*)\s*(?:;\s*q=([\d.]+))?\s*(?=,|$)", re.IGNORECASE)
_OUR_TAG: Final = re.compile(rb'-gzip(?=")')

Headers = MutableSequence[tuple[bytes, bytes]]


class Compression:
    """ASGI around the application that compresses its answers where the client accepts that."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._kept: OrderedDict[tuple[str, bytes], bytes] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = str(scope.get("method"))
        if method not in ("GET", "HEAD", "POST"):
            await self.app(scope, receive, send)
            return
        headers = [(name, value) for name, value in scope["headers"]]
        accepted = _get(headers, b"accept-encoding")
        tags = _get(headers, b"if-none-match")
        answer = _Answer(self, scope["path"], method == "HEAD", send)
        answer.wanted = accepts_gzip(accepted.decode("latin-1")) and not _get(headers, b"range")
        answer.had_our_tag = SUFFIX in tags
        if answer.had_our_tag:  # the application knows its own tags only
            scope["headers"] = [
                (name, _OUR_TAG.sub(b"", value) if name == b"if-none-match" else value) for name, value in headers
            ]
        await self.app(scope, receive, answer.take)

    def kept(self, path: str, tag: bytes) -> bytes | None:
        """Return the compressed form of a file that was sent before. None: it is not kept."""
        found = self._kept.get((path, tag))
        if found is not None:
            self._kept.move_to_end((path, tag))
        return found

    def keep(self, path: str, tag: bytes, body: bytes) -> None:
        """Keep the compressed form of a file, and drop those that were not asked for longest."""
        self._kept[path, tag] = body
        while sum(map(len, self._kept.values())) > KEPT:
            self._kept.popitem(last=False)


class _Answer:
    """One answer on its way to the client."""

    def __init__(self, owner: Compression, path: str, head: bool, send: Send) -> None:
        self.wanted = False
        self.had_our_tag = False
        self._owner = owner
        self._path = path
        self._head = head  # the answer has no body, but the headers of one
        self._send = send
        self._start: Any = None  # held back until the body is known
        self._body = bytearray()
        self._tag = b""
        self._ready: bytes | None = None  # the body, from an earlier answer

    async def take(self, message: Message) -> None:
        """Take a message of the application."""
        if message["type"] == "http.response.start":
            await self._begin(message)
        elif message["type"] != "http.response.body" or self._start is None:
            await self._send(message)
        elif self._ready is not None:
            if not message.get("more_body", False):
                await self._finish(self._ready)
        else:
            self._body += message.get("body", b"")
            if not message.get("more_body", False):
                await self._finish(await self._compressed())

    async def _begin(self, message: Any) -> None:
        headers: Headers = list(message["headers"])
        message["headers"] = headers
        if message["status"] == 304 and self.had_our_tag and self.wanted:
            _replace(headers, b"etag", _with_suffix(_get(headers, b"etag")))
        if not _compressible(message["status"], headers):
            await self._send(message)
            return
        headers.append((b"vary", b"Accept-Encoding"))
        size = _get(headers, b"content-length")
        if not self.wanted or not size.isdigit() or not LEAST <= int(size) <= LARGEST:
            await self._send(message)
            return
        self._tag = _get(headers, b"etag")
        _remove(headers, b"content-length", b"accept-ranges")
        if self._tag:
            _replace(headers, b"etag", _with_suffix(self._tag))
            self._ready = self._owner.kept(self._path, self._tag)
        headers.append((b"content-encoding", b"gzip"))
        if self._head:
            await self._send(message)
        else:
            self._start = message

    async def _compressed(self) -> bytes:
        body, level = bytes(self._body), LEVEL_KEPT if self._tag else LEVEL
        if len(body) < IN_THREAD:
            packed = gzip.compress(body, level, mtime=0)
        else:
            packed = await to_thread.run_sync(lambda: gzip.compress(body, level, mtime=0))
        if self._tag:
            self._owner.keep(self._path, self._tag, packed)
        return packed

    async def _finish(self, body: bytes) -> None:
        self._start["headers"].append((b"content-length", str(len(body)).encode()))
        await self._send(self._start)
        await self._send({"type": "http.response.body", "body": body, "more_body": False})


def accepts_gzip(header: str) -> bool:
    """Return whether a client with this `Accept-Encoding` header accepts gzip (RFC 9110, 12.5.3)."""
    weights = {name.lower(): float(q) if _is_number(q) else 1.0 for name, q in _GZIP.findall(header)}
    return weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0))) > 0


def _is_number(text: str) -> bool:
    return re.fullmatch(r"\d*\.?\d+|\d+\.", text) is not None


def _compressible(status: int, headers: Iterable[tuple[bytes, bytes]]) -> bool:
    kind = _get(headers, b"content-type").partition(b";")[0].strip().lower()
    return status != 206 and _TYPES.fullmatch(kind) is not None and not _get(headers, b"content-encoding")


def _get(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes:
    return b", ".join(value for key, value in headers if key.lower() == name)


def _remove(headers: Headers, *names: bytes) -> None:
    headers[:] = [(key, value) for key, value in headers if key.lower() not in names]


def _replace(headers: Headers, name: bytes, value: bytes) -> None:
    _remove(headers, name)
    headers.append((name, value))


def _with_suffix(tag: bytes) -> bytes:
    return tag[:-1] + SUFFIX + b'"' if tag.endswith(b'"') else tag
