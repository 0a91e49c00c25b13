"""Bodies as they arrive: a form with one recording and some fields, read piece by piece and gone to the disk piece by piece.

Nothing of the recording stays in memory. Fields are checked the moment they are known, so that a wrong one is answered before
gigabytes were sent for nothing; they may also follow the file. What the fields mean is for the caller.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Final, Protocol

from litestar.types import Receive
from multipart import MultipartError, MultipartSegment, ParserLimitReached, PushMultipartParser  # type: ignore[import-untyped]

from whisper_service.core.errors import InvalidRequest, ServiceError, TooLarge, UnsupportedMedia, UploadBroken
from whisper_service.storage.uploads import Received, Receiver, Uploads
from whisper_service.web.http.errors import Incoming

MAX_FIELD: Final = 16 * 1024
"""Bytes of one field; the longest, a prompt of 2,000 characters, takes at most 8,000."""

MAX_PARTS: Final = 32
FORM_OVERHEAD: Final = MAX_PARTS * MAX_FIELD
"""A form is hardly ever longer than its file by more than this."""

Fields = dict[str, list[str]]
"""What a form says beside its file; a field may come several times."""


class Sink(Protocol):
    """Where the bytes of the recording go; `intake.Receiver` is one."""

    async def write(self, data: bytes) -> None: ...

    async def finish(self) -> Received: ...


@dataclass
class Body:
    """The bytes of a request as they arrive. Raises `UploadBroken` when the client goes away."""

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


def _itself(receiver: Receiver) -> Sink:
    return receiver


@dataclass
class Form:
    """A multipart form with one recording, in a part called one of `files`, and fields before or after it.

    `check` is awaited with all fields so far whenever there is one more, and raises what is wrong with them. Fields that are not
    `known` are passed over unread (None: all are kept). The recording is written through what `through` makes of its receiver.
    """

    intake: Uploads
    check: Callable[[Fields], Awaitable[object]]
    files: Collection[str] = ("file",)
    known: Collection[str] | None = None
    max_parts: int = MAX_PARTS
    through: Callable[[Receiver], Sink] = _itself
    name: str = ""  # of the recording; empty: as its part says
    fields: Fields = field(default_factory=dict)
    _part: str = ""  # the name of the part that is being read
    _value: bytearray = field(default_factory=bytearray)
    _sink: Sink | None = None
    _expected: int | None = None

    async def read(self, request: Incoming) -> Received:
        """Everything in it; the recording is on stable storage then.

        Raises `InvalidRequest`, `TooLarge`, `DiskFull`, `EmptyFile`, `UnsupportedMedia` or `UploadBroken`; then nothing is left.
        """
        refuse_compressed(request)
        length = expected_length(request)
        self._expected = None if length is None else max(0, length - FORM_OVERHEAD)
        body = Body(request.receive)
        _, parameters = request.content_type
        try:
            async with AsyncExitStack() as stack:
                with PushMultipartParser(parameters.get("boundary", ""), max_segment_count=self.max_parts) as parser:
                    async for data in body:
                        for event in parser.parse(data):
                            await self._take(event, stack)
                if self._sink is None:
                    names = " or ".join(self.files)
                    hint = f"Put the recording into a part named {names}."
                    raise InvalidRequest(
                        "There is no file in the form.",
                        hint=hint,
                        field=next(iter(self.files)),
                        reason="missing_required_parameter",
                    )
                received = await self._sink.finish()
                try:
                    await self.check(self.fields)
                except ServiceError:
                    received.path.unlink(missing_ok=True)
                    raise
                return received
        except ParserLimitReached as error:
            raise TooLarge(f"The form is too large: {error}.", hint=f"It may have {self.max_parts} parts.") from error
        except MultipartError as error:
            if body.complete and self._part:
                raise UploadBroken("The form ends in the middle of a part.") from error
            raise InvalidRequest(f"The form cannot be read: {error}.") from error

    async def _take(self, event: MultipartSegment | bytes | None, stack: AsyncExitStack) -> None:
        if isinstance(event, MultipartSegment):
            await self._begin(event, stack)
        elif event is None:
            await self._end()
        elif self._part in self.files and self._sink is not None:
            await self._sink.write(event)
        elif self._wanted():
            self._value += event
            if len(self._value) > MAX_FIELD:
                raise TooLarge(f"The field {self._part[:80]!r} is too long.", limit=MAX_FIELD)

    async def _begin(self, part: MultipartSegment, stack: AsyncExitStack) -> None:
        self._part = part.name or ""
        self._value.clear()
        if self._part not in self.files:
            return
        if self._sink is not None:
            hint = "Send one request per recording."
            raise InvalidRequest("There is more than one file in the form.", hint=hint, field=self._part)
        name = self.name or part.filename or ""
        receiver = await stack.enter_async_context(self.intake.receive(name, expected=self._expected))
        self._sink = self.through(receiver)

    async def _end(self) -> None:
        if self._part not in self.files and self._wanted():
            try:
                self.fields.setdefault(self._part, []).append(self._value.decode())
            except UnicodeDecodeError as error:
                raise InvalidRequest(f"The field {self._part[:80]!r} is not UTF-8.", field=self._part[:80]) from error
            await self.check(self.fields)
        self._part = ""

    def _wanted(self) -> bool:
        return self.known is None or self._part in self.known


def refuse_compressed(request: Incoming) -> None:
    """Raise `UnsupportedMedia` for a body with a content encoding: nobody can say how large it becomes."""
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedMedia(
            "Compressed bodies are not accepted.", hint="Send the file as it is; media is compressed already."
        )


def expected_length(request: Incoming) -> int | None:
    """The length that the client states, if it does."""
    length = request.headers.get("content-length", "")
    return int(length) if length.isdecimal() else None
