"""The body of `POST /api/jobs`: a form or a raw stream, read as it comes, gone to the disk as it comes.

Owns what the options are and how they are said; how a form is read is in `forms`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final, NamedTuple

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

from whisper_service.core import languages
from whisper_service.core.domain import Options, Preset, Script, Task
from whisper_service.core.errors import InvalidRequest, UnsupportedMedia
from whisper_service.integrations.address_policy import MAX_URL_LENGTH
from whisper_service.storage.uploads import Received, Uploads
from whisper_service.web.http.errors import Incoming
from whisper_service.web.http.multipart import Body, Fields, Form, expected_length, refuse_compressed

RAW: Final = frozenset({"application/octet-stream", "application/ogg", "application/mp4", "application/mxf"})
"""Content types of a raw body, besides none at all, `audio/*` and `video/*`."""


async def receive(request: Incoming, intake: Uploads, preset: Preset) -> tuple[Received, Options]:
    """The recording, on stable storage, and what to do with it. `preset` is for requests that do not name one.

    Raises `InvalidRequest`, `UnsupportedMedia`, `TooLarge`, `DiskFull`, `EmptyFile` or `UploadBroken`; then nothing is left.
    """
    query = {name: value for name, value in request.query_params.items() if name != "filename"}
    options = parse_options(query, preset)
    kind, _ = request.content_type
    if kind == "multipart/form-data":

        def wishes(fields: Fields) -> Options:
            return parse_options({**query, **single(fields)}, preset)

        async def check(fields: Fields) -> None:
            wishes(fields)

        form = Form(intake, check)
        return await form.read(request), wishes(form.fields)
    refuse_compressed(request)
    if kind and kind not in RAW and kind.partition("/")[0] not in ("audio", "video"):
        raise UnsupportedMedia(
            f"A body of the type {kind[:80]!r} is not accepted.",
            hint="Send a form (multipart/form-data) with a part named file, or the file itself as application/octet-stream.",
        )
    async with intake.receive(request.query_params.get("filename", ""), expected=expected_length(request)) as receiver:
        async for data in Body(request.receive):
            await receiver.write(data)
        return await receiver.finish(), options


class JobSource(NamedTuple):
    """What a JSON body names instead of bringing it: an upload that came in pieces, or an address to get it from."""

    upload: str | None
    url: str | None
    options: Options


class _JobFields(msgspec.Struct):
    upload: str | None = None
    url: str | None = None


def claimed(body: bytes, preset: Preset) -> JobSource:
    """What a JSON body names, with the options beside it. Raises `InvalidRequest`."""
    hint = 'Send {"upload": ID} or {"url": ADDRESS} and options, or the recording itself.'
    try:
        said = msgspec.json.decode(body, type=dict[str, Any])
        named = msgspec.convert(said, _JobFields)
    except msgspec.MsgspecError as error:
        raise InvalidRequest(f"The JSON cannot be read: {error}.", hint=hint, field="upload") from error
    if (named.upload is None) is (named.url is None):
        raise InvalidRequest("The JSON must name one recording, as upload or as url.", hint=hint, field="upload")
    given = {name: value for name, value in said.items() if name not in ("upload", "url") and value is not None}
    return JobSource(
        named.upload, named.url, parse_options({name: _text(value) for name, value in given.items()}, preset)
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def single(fields: Fields) -> dict[str, str]:
    """Fields of which each has one value; one that comes twice raises `InvalidRequest`."""
    for name, values in fields.items():
        if len(values) > 1:
            raise InvalidRequest(f"The field {name!r} comes twice.", field=name)
    return {name: value for name, (value,) in fields.items() if value}


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
        fields["language"] = languages.check_code(fields["language"])
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
    "model": Schema(
        type=OpenAPIType.STRING,
        max_length=300,
        default="auto",
        description="A model on this machine; auto: the best one.",
    ),
    "language": Schema(
        type=OpenAPIType.STRING, description="Whisper's code, like en, zh or yue. Without it, the language is detected."
    ),
    "task": Schema(
        type=OpenAPIType.STRING,
        enum=[*Task],
        default=Task.TRANSCRIBE,
        description="translate: English text; detect: the language alone.",
    ),
    "preset": Schema(type=OpenAPIType.STRING, enum=[*Preset], description="How hard to look for the best text."),
    "prompt": Schema(type=OpenAPIType.STRING, max_length=2_000, description="Names and spellings to expect."),
    "script": Schema(
        type=OpenAPIType.STRING, enum=[*Script], description="How Chinese is written; without it, as the model does."
    ),
    "word_timestamps": Schema(type=OpenAPIType.BOOLEAN, default=True, description="Keep the time of every word."),
    "webhook": Schema(type=OpenAPIType.STRING, max_length=2_000, description="A URL that is told when the job ends."),
}
_FILE: Final = Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY, description="Any audio or video file.")
_NAME: Final = Schema(type=OpenAPIType.STRING, max_length=300, description="The name of a raw body.")


@dataclass
class UploadOperation(Operation):
    """`POST /api/jobs` in the OpenAPI document."""

    def __post_init__(self) -> None:
        form = Schema(type=OpenAPIType.OBJECT, required=["file"], properties={"file": _FILE, **OPTIONS})
        upload = Schema(type=OpenAPIType.STRING, description="The identifier of an upload that came in pieces.")
        url = Schema(
            type=OpenAPIType.STRING,
            max_length=MAX_URL_LENGTH,
            description="An http or https address to get the recording from.",
        )
        claim = Schema(
            one_of=[
                Schema(type=OpenAPIType.OBJECT, required=[name], properties={name: schema, **OPTIONS})
                for name, schema in {"upload": upload, "url": url}.items()
            ]
        )
        raw = dict.fromkeys(("application/octet-stream", "audio/*", "video/*"), OpenAPIMediaType(schema=_FILE))
        self.request_body = RequestBody(
            required=True,
            content={
                "multipart/form-data": OpenAPIMediaType(schema=form),
                "application/json": OpenAPIMediaType(schema=claim),
                **raw,
            },
        )
        self.parameters = [
            Parameter(name=name, param_in="query", required=False, schema=schema)
            for name, schema in {"filename": _NAME, **OPTIONS}.items()
        ]
