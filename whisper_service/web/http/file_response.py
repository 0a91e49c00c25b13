"""Send files with HEAD, ETag, `If-None-Match` and byte ranges (RFC 9110, sections 13 and 14), one block at a time.

The framework has none of these for files. Without ranges, no browser can jump within a recording.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

import msgspec
from anyio import CancelScope, create_task_group, to_thread
from litestar.types import Receive, Scope, Send

from whisper_service.core.domain import Problem

BLOCK: Final = 256 * 1024
"""Bytes per read: few switches to a thread, and little is read in vain when a player jumps."""
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


@dataclass
class FileResponse:
    """A file as the ASGI answer to a GET or HEAD. A handler returns it.

    `etag` includes its quotes. Only a strong tag allows `If-Range`. Small content may be `bytes` instead of a file.
    """

    source: Path | bytes
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
        opened = await to_thread.run_sync(self._open)
        try:
            size = await to_thread.run_sync(opened.seek, 0, 2)
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
                await _start(send, status, headers)
                await _stream(opened, span, receive, send)
        finally:
            with CancelScope(shield=True):
                await to_thread.run_sync(opened.close)

    def _open(self) -> BinaryIO:
        return BytesIO(self.source) if isinstance(self.source, bytes) else self.source.open("rb")

    def _may_be_partial(self, if_range: str | None) -> bool:
        """Return whether a range means this version of the file. `If-Range` must have its tag, or be missing."""
        return if_range is None or (if_range.strip() == self.etag and not self.etag.startswith("W/"))


async def _stream(file: BinaryIO, span: ByteRange, receive: Receive, send: Send) -> None:
    """Send a part of the file as the body until the client disconnects. After that, `send` would return at once."""

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        tasks.cancel_scope.cancel()

    async with create_task_group() as tasks:
        tasks.start_soon(watch)
        at, end = span
        while at < end and (block := await to_thread.run_sync(_read, file, at, min(BLOCK, end - at))):
            await send({"type": "http.response.body", "body": block, "more_body": True})
            at += len(block)
        await send({"type": "http.response.body", "body": b"", "more_body": False})
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


def _read(file: BinaryIO, at: int, length: int) -> bytes:
    file.seek(at)
    return file.read(length)
