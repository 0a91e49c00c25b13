"""The body of `POST /api/jobs`: a form or a raw stream, read as it comes, gone to the disk as it comes.

Nothing of the recording stays in memory. Options are checked the moment they are known, so that a wrong one is answered before
gigabytes were sent for nothing; they may also follow the file.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Final

import msgspec
from litestar.openapi.spec import (
    OpenAPIFormat,
    OpenAPIMediaType,
    OpenAPIType,
    Operation,
    Parameter,
    RequestBody,
    Schema,
)
from litestar.types import Receive
from multipart import MultipartError, MultipartSegment, ParserLimitReached, PushMultipartParser  # type: ignore[import-untyped]

from whisper_service import languages
from whisper_service.domain import Options, Preset, Task
from whisper_service.errors import InvalidRequest, TooLarge, UnsupportedMedia, UploadBroken
from whisper_service.intake import Intake, Received, Receiver
from whisper_service.web.errors import Incoming

MAX_FIELD: Final = 16 * 1024
"""Bytes of one option; the longest, a prompt of 2,000 characters, takes at most 8,000."""

MAX_PARTS: Final = 32
FORM_OVERHEAD: Final = MAX_PARTS * MAX_FIELD
"""A form is never longer than its file by more than this."""

RAW: Final = frozenset({"application/octet-stream", "application/ogg", "application/mp4", "application/mxf"})
"""Content types of a raw body, besides none at all, `audio/*` and `video/*`."""


async def receive(request: Incoming, intake: Intake, preset: Preset) -> tuple[Received, Options]:
    """The recording, on stable storage, and what to do with it. `preset` is for requests that do not name one.

    Raises `InvalidRequest`, `UnsupportedMedia`, `TooLarge`, `DiskFull`, `EmptyFile` or `UploadBroken`; then nothing is left.
    """
    query = {name: value for name, value in request.query_params.items() if name != "filename"}
    options = parse_options(query, preset)
    body = Body(request.receive)
    kind, parameters = request.content_type
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedMedia("Compressed bodies are not accepted.", hint="Send the file as it is; media is compressed already.")
    length = request.headers.get("content-length", "")
    expected = int(length) if length.isdecimal() else None
    if kind == "multipart/form-data":
        form = Form(intake, query, preset, None if expected is None else max(0, expected - FORM_OVERHEAD))
        return await form.read(body, parameters.get("boundary", ""))
    if kind and kind not in RAW and kind.partition("/")[0] not in ("audio", "video"):
        raise UnsupportedMedia(
            f"A body of the type {kind[:80]!r} is not accepted.",
            hint="Send a form (multipart/form-data) with a part named file, or the file itself as application/octet-stream.",
        )
    async with intake.receiver(request.query_params.get("filename", ""), expected=expected) as receiver:
        async for data in body:
            await receiver.write(data)
        return await receiver.finish(), options


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


@dataclass
class Form:
    """A multipart form with one `file` and options before or after it."""

    intake: Intake
    query: Mapping[str, str]
    preset: Preset
    expected: int | None
    fields: dict[str, str] = field(default_factory=dict)
    _name: str = ""  # of the part that is being read
    _value: bytearray = field(default_factory=bytearray)
    _receiver: Receiver | None = None

    async def read(self, body: Body, boundary: str) -> tuple[Received, Options]:
        """Everything in it; see `receive`."""
        try:
            async with AsyncExitStack() as stack:
                with PushMultipartParser(boundary, max_segment_count=MAX_PARTS) as parser:
                    async for data in body:
                        for event in parser.parse(data):
                            await self._take(event, stack)
                if self._receiver is None:
                    hint = "Put the recording into a part named file."
                    raise InvalidRequest("There is no file in the form.", hint=hint, field="file")
                return await self._receiver.finish(), self._options()
        except ParserLimitReached as error:
            raise TooLarge(f"The form is too large: {error}.", hint=f"It may have {MAX_PARTS} parts.") from error
        except MultipartError as error:
            if body.complete and self._name:
                raise UploadBroken("The form ends in the middle of a part.") from error
            raise InvalidRequest(f"The form cannot be read: {error}.") from error

    async def _take(self, event: MultipartSegment | bytes | None, stack: AsyncExitStack) -> None:
        if isinstance(event, MultipartSegment):
            await self._begin(event, stack)
        elif event is None:
            self._end()
        elif self._name == "file" and self._receiver is not None:
            await self._receiver.write(event)
        else:
            self._value += event
            if len(self._value) > MAX_FIELD:
                raise TooLarge(f"The field {self._name[:80]!r} is too long.", limit=MAX_FIELD)

    async def _begin(self, part: MultipartSegment, stack: AsyncExitStack) -> None:
        self._name = part.name or ""
        self._value.clear()
        if self._name != "file":
            if self._name in self.fields:
                raise InvalidRequest(f"The field {self._name!r} comes twice.", field=self._name)
        elif self._receiver is not None:
            raise InvalidRequest("There is more than one file in the form.", hint="Send one request per recording.", field="file")
        else:
            opened = self.intake.receiver(part.filename or "", expected=self.expected)
            self._receiver = await stack.enter_async_context(opened)

    def _end(self) -> None:
        if self._name != "file":
            try:
                self.fields[self._name] = self._value.decode()
            except UnicodeDecodeError as error:
                raise InvalidRequest(f"The field {self._name[:80]!r} is not UTF-8.", field=self._name[:80]) from error
            self._options()
        self._name = ""

    def _options(self) -> Options:
        return parse_options({**self.query, **{name: value for name, value in self.fields.items() if value}}, self.preset)


def parse_options(given: Mapping[str, str], preset: Preset) -> Options:
    """Options from the text of form fields or query parameters; empty ones count as not given."""
    fields: dict[str, Any] = {name: value for name, value in given.items() if value}
    for name in fields:
        if name not in Options.__struct_fields__:
            near = get_close_matches(name[:40], Options.__struct_fields__, n=1)
            raise InvalidRequest(
                f"There is no option {name[:80]!r}.",
                hint=f"Did you mean {near[0]}?" if near else f"There are: {', '.join(Options.__struct_fields__)}.",
                field=name[:80],
            )
    if "language" in fields:
        fields["language"] = languages.check(fields["language"])
    try:
        return msgspec.convert({"preset": preset.value, **fields}, Options, strict=False)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$.")
        name = where.rstrip("`")
        choices = OPTIONS[name].enum if name in OPTIONS else None
        hint = f"It can be {' or '.join(map(str, choices))}." if choices else None
        raise InvalidRequest(f"The option {name} is not valid: {what}.", hint=hint, field=name) from error


# -- for the documentation: what no signature says -------------------------------------------------------------------

OPTIONS: Final = {
    "model": Schema(type=OpenAPIType.STRING, max_length=300, default="auto", description="A model on this machine; auto: the best one."),
    "language": Schema(type=OpenAPIType.STRING, description="Whisper's code, like en, zh or yue. Without it, the language is detected."),
    "task": Schema(type=OpenAPIType.STRING, enum=[*Task], default=Task.TRANSCRIBE, description="translate: English text."),
    "preset": Schema(type=OpenAPIType.STRING, enum=[*Preset], description="How hard to look for the best text."),
    "prompt": Schema(type=OpenAPIType.STRING, max_length=2_000, description="Names and spellings to expect."),
    "word_timestamps": Schema(type=OpenAPIType.BOOLEAN, default=True, description="Keep the time of every word."),
}
_FILE: Final = Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY, description="Any audio or video file.")
_NAME: Final = Schema(type=OpenAPIType.STRING, max_length=300, description="The name of a raw body.")


@dataclass
class UploadOperation(Operation):
    """`POST /api/jobs` in the OpenAPI document."""

    def __post_init__(self) -> None:
        form = Schema(type=OpenAPIType.OBJECT, required=["file"], properties={"file": _FILE, **OPTIONS})
        raw = dict.fromkeys(("application/octet-stream", "audio/*", "video/*"), OpenAPIMediaType(schema=_FILE))
        self.request_body = RequestBody(
            required=True, content={"multipart/form-data": OpenAPIMediaType(schema=form), **raw}
        )
        self.parameters = [
            Parameter(name=name, param_in="query", required=False, schema=schema)
            for name, schema in {"filename": _NAME, **OPTIONS}.items()
        ]
