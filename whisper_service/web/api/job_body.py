"""Read the body of `POST /api/jobs`: a form, a raw recording, or JSON that names one; and the options of the job.

A recording goes to the disk as its bytes arrive. `multipart` reads the form.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Final

import msgspec
from litestar.openapi.spec import OpenAPIType, Schema

from whisper_service.core import languages
from whisper_service.core.address_policy import MAX_URL_LENGTH
from whisper_service.core.chinese import script_of
from whisper_service.core.domain import Options, Preset
from whisper_service.core.errors import InvalidRequest, UnsupportedMedia
from whisper_service.core.text import quoted
from whisper_service.storage.uploads import Received, Uploads
from whisper_service.web.http.errors import Incoming, in_words
from whisper_service.web.http.model_aliases import configured_model
from whisper_service.web.http.multipart import Fields, Form
from whisper_service.web.http.operations import OPTIONS, RECORDING, form, operation, text
from whisper_service.web.http.parameters import MAX_ID, name_in_query
from whisper_service.web.http.request_bodies import Body, expected_length, refuse_compressed

RAW: Final = frozenset({"application/octet-stream", "application/ogg", "application/mp4", "application/mxf"})
"""Content types of a raw recording, beside `audio/*`, `video/*` and none at all."""


async def receive(request: Incoming, uploads: Uploads, preset: Preset) -> tuple[Received, Options]:
    """Return the recording, on stable storage, and the options. `preset` is for requests that name none.

    Raises `InvalidRequest`, `UnsupportedMedia`, `TooLarge`, `DiskFull`, `EmptyFile` or `UploadBroken`. No file is left
    then.
    """
    query = {name: value for name, value in request.query_params.items() if name != "filename"}
    options = parse_options(query, preset)
    kind, _ = request.content_type
    if kind == "multipart/form-data":

        def parse(fields: Fields) -> Options:
            return parse_options({**query, **single(fields)}, preset)

        recording = Form(uploads, parse)
        return await recording.read(request), parse(recording.fields)
    refuse_compressed(request)
    if kind and kind not in RAW and kind.partition("/")[0] not in ("audio", "video"):
        hint = (
            "Send a form (multipart/form-data) with a part named file, or the file itself as application/octet-stream."
        )
        raise UnsupportedMedia(f"A body of the type {quoted(kind)} is not accepted.", hint=hint)
    async with uploads.receive(name_in_query(request, "filename"), expected=expected_length(request)) as receiver:
        async for data in Body(request.receive):
            await receiver.write(data)
        return await receiver.finish(), options


class JobSource(msgspec.Struct):
    """What a JSON body names instead of a recording: a complete resumable upload, a link, or a job that has it.

    Two of the three are None.
    """

    upload: str | None = None
    url: str | None = None
    job: str | None = None


def parse_source(body: bytes, preset: Preset) -> tuple[JobSource, Options]:
    """Return what a JSON body names, and the options beside it. Raises `InvalidRequest`."""
    hint = 'Send {"upload": ID}, {"url": ADDRESS} or {"job": ID} and options, or the recording itself.'
    try:
        content = msgspec.json.decode(body, type=dict[str, Any])
        named = msgspec.convert(content, JobSource)
    except msgspec.MsgspecError as error:
        raise InvalidRequest(f"The JSON cannot be read: {in_words(str(error))}.", hint=hint, field="upload") from error
    if [named.upload, named.url, named.job].count(None) != 2:
        raise InvalidRequest("The JSON must name one recording, as upload, url or job.", hint=hint, field="upload")
    given = {
        name: value if isinstance(value, str) else msgspec.json.encode(value).decode()
        for name, value in content.items()
        if name not in JobSource.__struct_fields__ and value is not None
    }
    return named, parse_options(given, preset)


def single(fields: Fields) -> dict[str, str]:
    """Return fields that have one value each. Raises `InvalidRequest` for a field with several."""
    for name, values in fields.items():
        if len(values) > 1:
            raise InvalidRequest(f"The field {quoted(name)} comes twice.", field=name)
    return {name: value for name, (value,) in fields.items() if value}


def parse_options(given: Mapping[str, str], preset: Preset) -> Options:
    """Return the options that form fields or query parameters say. An empty value counts as not given."""
    fields: dict[str, Any] = {name: value for name, value in given.items() if value}
    for name in fields:
        if name not in OPTIONS:
            near = get_close_matches(name[:40], OPTIONS, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(OPTIONS)}."
            raise InvalidRequest(f"There is no option {quoted(name)}.", hint=hint, field=name[:80])
    if "model" in fields:
        fields["model"] = configured_model(fields["model"])
    if "language" in fields:
        if (script := script_of(fields["language"])) is not None:
            fields.setdefault("script", script.value)
        fields["language"] = languages.check_code(fields["language"])
    try:
        return msgspec.convert({"preset": preset.value, **fields}, Options, strict=False)
    except msgspec.ValidationError as error:
        name = str(error).partition(" - at `$.")[2].rstrip("`")
        hint = _expected(OPTIONS[name]) if name in OPTIONS else ""
        raise InvalidRequest(f"The value of the option {name} is not valid.", hint=hint, field=name) from error


def _expected(option: Schema) -> str:
    """Return in words what an option can be."""
    if option.enum:
        return f"It can be {' or '.join(map(str, option.enum))}."
    if option.type is OpenAPIType.BOOLEAN:
        return "It can be true or false."
    if option.type is OpenAPIType.STRING and option.max_length is None:
        return str(option.description)
    if option.type is OpenAPIType.STRING:
        return f"It is a text of at most {option.max_length} characters."
    return f"It is a whole number from {option.minimum:g} to {option.maximum:g}."


_UPLOAD: Final = text("The identifier of a complete upload in pieces.")
_URL: Final = text("The http or https address of the recording.", max_length=MAX_URL_LENGTH)
_JOB: Final = text("The identifier of a job whose recording is transcribed again.", max_length=MAX_ID)
_NAME: Final = text("The name of a raw recording.", max_length=300)
CreateOperation: Final = operation(
    bodies={
        "multipart/form-data": form({"file": RECORDING, **OPTIONS}, "file"),
        "application/json": Schema(
            one_of=[
                form({name: source, **OPTIONS}, name)
                for name, source in {"upload": _UPLOAD, "url": _URL, "job": _JOB}.items()
            ]
        ),
        **dict.fromkeys(("application/octet-stream", "audio/*", "video/*"), RECORDING),
    },
    query={"filename": _NAME, **OPTIONS},
)
