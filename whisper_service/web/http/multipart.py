"""Read a form with one recording and some fields, and write the recording to the disk as its bytes arrive.

Fields may come before or after the file. They are checked as soon as they are read, so that a wrong field is refused
before gigabytes arrive. The caller knows what the fields mean.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from inspect import isawaitable
from typing import Final, Protocol

from multipart import MultipartError, MultipartSegment, ParserLimitReached, PushMultipartParser  # type: ignore[import-untyped]

from whisper_service.core.errors import InvalidRequest, ServiceError, TooLarge, UploadBroken
from whisper_service.core.file_names import disposition_parameters
from whisper_service.core.text import quoted
from whisper_service.storage.uploads import Received, Receiver, Uploads
from whisper_service.web.http.errors import Incoming
from whisper_service.web.http.request_bodies import Body, expected_length, refuse_compressed

MAX_FIELD: Final = 16 * 1024
"""Bytes of a field. The longest, a prompt of 2,000 characters, takes at most 8,000."""
MAX_PARTS: Final = 32
FORM_OVERHEAD: Final = MAX_PARTS * MAX_FIELD
"""Bytes by which a form is longer than its file, at most in practice."""
_LIST_ITEM: Final = re.compile(r"\[\d+\]$")
"""The end of the name of an item in a list, as PHP and others write it: `languages[0]`. It counts as `languages[]`."""

Fields = dict[str, list[str]]
"""The fields of a form beside its file. A field may have several values."""


class Sink(Protocol):
    """Where the bytes of a recording go, like `storage.uploads.Receiver`."""

    async def write(self, data: bytes) -> None: ...

    async def finish(self) -> Received: ...


def _unchanged(receiver: Receiver) -> Sink:
    return receiver


@dataclass
class Form:
    """A multipart form with one recording.

    `check` gets all fields so far after each new field. It raises what is wrong with them, at once or when awaited.
    """

    uploads: Uploads
    check: Callable[[Fields], object]
    files: Collection[str] = ("file",)  # the part with the recording has one of these names
    known: Collection[str] | None = None  # other fields are skipped; None: all fields are kept
    longer: Mapping[str, int] = field(default_factory=dict)  # bytes of fields that may be longer than `MAX_FIELD`
    max_parts: int = MAX_PARTS
    through: Callable[[Receiver], Sink] = _unchanged  # what the recording is written through
    name: str = ""  # of the recording; empty: the file name of its part
    fields: Fields = field(default_factory=dict)
    _part: str = ""  # the name of the part that is being read
    _value: bytearray = field(default_factory=bytearray)
    _sink: Sink | None = None
    _expected: int | None = None

    async def read(self, request: Incoming) -> Received:
        """Read the whole form and return the recording, which is then on stable storage.

        Raises `InvalidRequest`, `TooLarge`, `DiskFull`, `EmptyFile`, `UnsupportedMedia` or `UploadBroken`. No file is
        left then.
        """
        refuse_compressed(request)
        length = expected_length(request)
        self._expected = None if length is None else max(0, length - FORM_OVERHEAD)
        body = Body(request.receive)
        _, parameters = request.content_type
        try:
            async with AsyncExitStack() as stack:
                with PushMultipartParser(
                    parameters.get("boundary", ""), max_segment_count=self.max_parts, header_charset="latin-1"
                ) as parser:
                    async for data in body:
                        for event in parser.parse(data):
                            await self._take(event, stack)
                return await self._finish()
        except ParserLimitReached as error:
            hint = f"A form may have {self.max_parts} parts."
            raise TooLarge(f"The form is too large: {error}.", hint=hint) from error
        except MultipartError as error:
            if body.complete and self._part:
                raise UploadBroken("The form ends in the middle of a part.") from error
            raise InvalidRequest(f"The form cannot be read: {error}.") from error

    async def _take(self, event: MultipartSegment | bytes | None, stack: AsyncExitStack) -> None:
        if isinstance(event, MultipartSegment):
            await self._begin_part(event, stack)
        elif event is None:
            await self._end_part()
        elif self._part in self.files and self._sink is not None:
            await self._sink.write(event)
        elif self._is_known():
            self._value += event
            if len(self._value) > (limit := self.longer.get(self._part, MAX_FIELD)):
                raise TooLarge(f"The field {quoted(self._part)} is too long.", limit=limit)

    async def _begin_part(self, part: MultipartSegment, stack: AsyncExitStack) -> None:
        given = next((value for name, value in part.headerlist if name == "Content-Disposition"), "")
        parameters = disposition_parameters(given.encode("latin-1"))
        self._part = _LIST_ITEM.sub("[]", parameters.get("name", ""))
        self._value.clear()
        if self._part not in self.files:
            return
        if self._sink is not None:
            hint = "Send one request for each recording."
            raise InvalidRequest("There is more than one file in the form.", hint=hint, field=self._part)
        name = self.name or parameters.get("filename", "")
        self._sink = self.through(await stack.enter_async_context(self.uploads.receive(name, expected=self._expected)))

    async def _end_part(self) -> None:
        if self._part not in self.files and self._is_known():
            try:
                self.fields.setdefault(self._part, []).append(self._value.decode())
            except UnicodeDecodeError as error:
                raise InvalidRequest(f"The field {quoted(self._part)} is not UTF-8.", field=self._part[:80]) from error
            await self._check()
        self._part = ""

    async def _finish(self) -> Received:
        if self._sink is None:
            hint = f"Put the recording into a part named {' or '.join(self.files)}."
            missing = {"field": next(iter(self.files)), "reason": "missing_required_parameter"}
            raise InvalidRequest("There is no file in the form.", hint=hint, **missing)
        received = await self._sink.finish()
        try:
            await self._check()
        except ServiceError:
            received.path.unlink(missing_ok=True)
            raise
        return received

    async def _check(self) -> None:
        result = self.check(self.fields)
        if isawaitable(result):
            await result

    def _is_known(self) -> bool:
        return self.known is None or self._part in self.known
