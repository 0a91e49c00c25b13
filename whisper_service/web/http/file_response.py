"""Send files with HEAD, ETag, `If-None-Match` and byte ranges (RFC 9110, sections 13 and 14), one block at a time.

The framework has none of these for files. Without ranges, no browser can jump within a recording.
"""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

import msgspec
from anyio import CancelScope, create_task_group, to_thread
from litestar.types import Receive, Scope, Send

from whisper_service.core.domain import Problem
from whisper_service.core.errors import ServiceError

logger = logging.getLogger(__name__)

BLOCK: Final = 256 * 1024
"""Bytes per read: few switches to a thread, and little is read in vain when a player jumps."""
FAR_BLOCK: Final = 1024 * 1024
"""Bytes per read of what is somewhere else: a request there takes some 20 ms besides its bytes."""
Read = Callable[[int, int], Awaitable[bytes]]
_RANGE: Final = re.compile(r"bytes=[ \t]*(\d*)-(\d*)[ \t]*", re.ASCII | re.IGNORECASE)
_TAGS: Final = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')
_DIGITS: Final = 19  # of an offset; a larger one is beyond every file


class ByteRange(NamedTuple):
    """Bytes of a file: from `start` up to, not including, `end`."""

    start: int
    end: int


class Unsatisfiable(Exception):
    """The file has no byte in the range of the request."""


def parse_range(value: str | None, size: int) -> ByteRange | None:
    """Return the part of a file of `size` bytes that a `Range` header asks for. None: the whole file.

    A header that is not one valid range of bytes is ignored, as the RFC allows. Raises `Unsatisfiable`.
    """
    found = _RANGE.fullmatch(value or "")
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:  # the last bytes, found[2] of them
        length = _offset(found[2])
        if length == 0 or size == 0:
            raise Unsatisfiable
        return ByteRange(max(0, size - length), size)
    start = _offset(found[1])
    last = _offset(found[2]) if found[2] else size - 1
    if found[2] and last < start:
        return None
    if start >= size:
        raise Unsatisfiable
    return ByteRange(start, min(last + 1, size))


def matches(value: str | None, etag: str) -> bool:
    """Return whether `If-None-Match` names this tag. The comparison is weak, as the RFC asks for that header."""
    if value is None:
        return False
    return value.strip() == "*" or etag.removeprefix("W/") in (tag.removeprefix("W/") for tag in _TAGS.findall(value))


class RangedSource(NamedTuple):
    """Bytes that are somewhere else: how many there are, and how to read those from one offset up to another."""

    size: int
    read: Callable[[int, int], Awaitable[bytes]]


@dataclass
class FileResponse:
    """A file as the ASGI answer to a GET or HEAD. A handler returns it.

    `etag` includes its quotes. Only a strong tag allows `If-Range`. Small content may be `bytes` instead of a file. The
    first block of a `RangedSource` is read before the answer begins: what is raised then is the answer.
    """

    source: Path | bytes | RangedSource
    media_type: str
    etag: str
    headers: Mapping[str, str] = field(default_factory=dict)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        headers = {"ETag": self.etag, "Accept-Ranges": "bytes", **self.headers}
        method = scope.get("method", "GET")
        if matches(request.get("if-none-match"), self.etag):
            await _send(send, 304, headers, b"")
            return
        async with self._opened() as (size, read, block):
            headers["Content-Type"] = self.media_type
            status, span = 200, ByteRange(0, size)
            if method == "GET" and self._may_be_partial(request.get("if-range")):
                try:
                    wanted = parse_range(request.get("range"), size)
                except Unsatisfiable:
                    await _send(send, *_unsatisfiable(headers, size))
                    return
                if wanted is not None:
                    status, span = 206, wanted
                    headers["Content-Range"] = f"bytes {span.start}-{span.end - 1}/{size}"
            headers["Content-Length"] = str(span.end - span.start)
            if method == "HEAD":
                await _send(send, status, headers, b"")
            else:
                first = await read(span.start, min(span.end, span.start + block))
                await _start(send, status, headers)
                await _stream(read, first, span, block, receive, send)

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[tuple[int, Read, int]]:
        """Give the number of bytes, a function that reads some of them, and how many it should read at once."""
        if isinstance(self.source, RangedSource):
            yield (*self.source, FAR_BLOCK)
            return
        source = self.source
        file: BinaryIO = BytesIO(source) if isinstance(source, bytes) else await to_thread.run_sync(source.open, "rb")

        async def read(start: int, end: int) -> bytes:
            return await to_thread.run_sync(_read, file, start, end)

        try:
            yield await to_thread.run_sync(file.seek, 0, 2), read, BLOCK
        finally:
            with CancelScope(shield=True):
                await to_thread.run_sync(file.close)

    def _may_be_partial(self, if_range: str | None) -> bool:
        """Return whether a range means this version of the file. `If-Range` must have its tag, or be missing."""
        return if_range is None or (if_range.strip() == self.etag and not self.etag.startswith("W/"))


async def _stream(read: Read, first: bytes, span: ByteRange, block: int, receive: Receive, send: Send) -> None:
    """Send a part of the file as the body until the client disconnects. After that, `send` would return at once.

    `first`: its first block. A source that fails in the middle ends the answer early, which the client sees by its
    length.
    """

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        tasks.cancel_scope.cancel()

    async with create_task_group() as tasks:
        tasks.start_soon(watch)
        at, data = span.start, first
        try:
            while data:
                await send({"type": "http.response.body", "body": data, "more_body": True})
                at += len(data)
                data = await read(at, min(span.end, at + block)) if at < span.end else b""
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except ServiceError as error:
            logger.warning(
                "An answer ends early: %s", error.message, extra={"action": "answer_cut", "code": error.code}
            )
        tasks.cancel_scope.cancel()


def _unsatisfiable(headers: Mapping[str, str], size: int) -> tuple[int, dict[str, str], bytes]:
    problem = Problem(
        code="range_not_satisfiable",
        message="The file has no bytes in this range.",
        hint=f"The file has {size} bytes. Leave out the header Range to get all of them.",
        params={"size": size},
    )
    body = msgspec.json.encode(problem)
    own = {"Content-Range": f"bytes */{size}", "Content-Type": "application/json", "Content-Length": str(len(body))}
    return 416, {**headers, **own}, body


async def _start(send: Send, status: int, headers: Mapping[str, str]) -> None:
    encoded = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": encoded})


async def _send(send: Send, status: int, headers: Mapping[str, str], body: bytes) -> None:
    await _start(send, status, headers)
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _offset(digits: str) -> int:
    digits = digits.lstrip("0")
    return int(digits or 0) if len(digits) < _DIGITS else 10**_DIGITS


def _read(file: BinaryIO, start: int, end: int) -> bytes:
    file.seek(start)
    return file.read(end - start)
