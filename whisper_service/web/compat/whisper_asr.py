"""The interface of whisper-asr-webservice, for Bazarr and whoever else speaks it. Every request is an ordinary job.

Its answers are plain text whatever their format, and its callers take the body of any answer for the transcript: errors are JSON,
which no subtitle player takes for subtitles.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any, Final

import msgspec
from anyio import to_thread
from litestar import Response, Router, get, post
from litestar.openapi.spec import (
    OpenAPIFormat,
    OpenAPIMediaType,
    OpenAPIType,
    Operation,
    Parameter,
    RequestBody,
    Schema,
)

from whisper_service import __version__
from whisper_service.app import calls
from whisper_service.app.service import Service
from whisper_service.core import languages
from whisper_service.core.domain import DETECT_S, Job, Options, Segment, Task, Transcript, Value
from whisper_service.export import render
from whisper_service.export.captions.style import Style
from whisper_service.export.layout import Layout
from whisper_service.export.plain_text import plain_text
from whisper_service.export.render import Format
from whisper_service.models.catalog import AUTO
from whisper_service.storage.uploads import Receiver
from whisper_service.web.api.jobs import Served, attachment
from whisper_service.web.compat import form_values, openai_reply
from whisper_service.web.compat.form_values import Given, one, wrong
from whisper_service.web.compat.raw_pcm import WavWriter
from whisper_service.web.http.errors import Incoming, problems
from whisper_service.web.http.multipart import Fields, Form, Sink

MAX_PARTS: Final = 64
FILES: Final = ("audio_file", "file")
KNOWN: Final = frozenset({"task", "language", "initial_prompt", "output", "word_timestamps", "preset"})
"""Fields that are looked at, in the query or in the form."""


class AsrFormat(StrEnum):
    """What an answer can be."""

    TXT = "txt"
    VTT = "vtt"
    SRT = "srt"
    TSV = "tsv"
    JSON = "json"


class AsrRequest(Value, frozen=True):
    """A request, understood."""

    options: Options
    output: AsrFormat = AsrFormat.TXT
    words: bool = False  # in json


class Language(Value, frozen=True):
    """The language of a recording: its English name and Whisper's code; "und" where nobody speaks."""

    detected_language: str
    language_code: str
    confidence: float


class AsrStatus(Value, frozen=True):
    """What Bazarr asks for to test a connection."""

    version: str
    name: str = "whisper_service"


def understand(given: Given, *, task: Task | None = None, service: Service) -> AsrRequest:
    """The request in these fields; `task` is for addresses that have one of their own. Raises `InvalidRequest`."""
    output = one(given, "output").lower() or AsrFormat.TXT
    if output not in list(AsrFormat):
        raise wrong("output", f"{output[:40]!r} is no output.", f"Use one of {', '.join(AsrFormat)}.")
    wanted = one(given, "task").lower() or Task.TRANSCRIBE
    if wanted not in (Task.TRANSCRIBE, Task.TRANSLATE):
        raise wrong("task", f"{wanted[:40]!r} is no task.", "Use transcribe or translate.")
    options = Options(
        language=None if task is Task.DETECT else languages.find_code(one(given, "language")),
        task=task or Task(wanted),
        preset=form_values.preset(given, service.config.speech.preset),
        prompt=None if task is Task.DETECT else form_values.prompt(one(given, "initial_prompt")),
    )
    return AsrRequest(options, AsrFormat(output), words=form_values.boolean(given, "word_timestamps"))


async def place(request: Incoming, service: Service, task: Task | None = None) -> tuple[AsrRequest, Job]:
    """Take the form and make a job of it."""
    query: Fields = {name: request.query_params.getall(name) for name in request.query_params}
    wishes = partial(understand, task=task, service=service)
    wishes(query)
    await service.models.resolve(AUTO)  # without one, nothing need be sent
    encoded = form_values.boolean(query, "encode", default=True)
    limit_s = DETECT_S if task is Task.DETECT else None

    def through(receiver: Receiver) -> Sink:
        return receiver if encoded else WavWriter(receiver, limit_s)

    async def check(said: Fields) -> None:
        wishes({**query, **said})

    form = Form(
        service.uploads,
        check,
        files=FILES,
        known=KNOWN,
        max_parts=MAX_PARTS,
        through=through,
        name=one(query, "video_file"),
    )
    received = await form.read(request)
    asked = wishes({**query, **form.fields})
    return asked, await calls.submit(service, received, asked.options)


def written(transcript: Transcript, asked: AsrRequest, style: Style) -> bytes:
    """The transcript as it was asked for."""
    if asked.output is AsrFormat.JSON:
        said = transcript.segments
        segments = [segment(number, one, words=asked.words) for number, one in enumerate(said)]
        return msgspec.json.encode({"text": plain_text(said), "segments": segments, "language": transcript.language or ""})
    return render.render(transcript, Format(asked.output.value), Layout(style))


def segment(number: int, said: Segment, *, words: bool) -> dict[str, Any]:
    """One segment with the fields of faster-whisper."""
    return openai_reply.segment(number, said) | {"words": said.words if words else None}


@dataclass
class AsrOperation(Operation):
    """Query and form in the OpenAPI document."""

    def __post_init__(self) -> None:
        file = Schema(
            type=OpenAPIType.STRING,
            format=OpenAPIFormat.BINARY,
            description="Audio or video; raw samples if encode is false.",
        )
        form = Schema(type=OpenAPIType.OBJECT, required=["audio_file"], properties={"audio_file": file})
        self.request_body = RequestBody(required=True, content={"multipart/form-data": OpenAPIMediaType(schema=form)})
        self.parameters = [
            Parameter(name=name, param_in="query", required=False, schema=schema) for name, schema in QUERY.items()
        ]


_ENCODE: Final = Schema(
    type=OpenAPIType.BOOLEAN,
    default=True,
    description="false: the file is raw 16-bit little-endian mono sound at 16 kHz.",
)
_NAME: Final = Schema(type=OpenAPIType.STRING, description="What to call the recording.")
QUERY: Final = {
    "encode": _ENCODE,
    "task": Schema(type=OpenAPIType.STRING, enum=["transcribe", "translate"], default="transcribe"),
    "language": Schema(
        type=OpenAPIType.STRING, description="Like en, zh or yue; without it, the language is detected."
    ),
    "initial_prompt": Schema(type=OpenAPIType.STRING, description="Names and spellings to expect."),
    "word_timestamps": Schema(type=OpenAPIType.BOOLEAN, default=False, description="Words with their times, in json."),
    "output": Schema(type=OpenAPIType.STRING, enum=[*AsrFormat], default="txt"),
    "video_file": _NAME,
}
_ROUTE: Final[dict[str, Any]] = {
    "operation_class": AsrOperation,
    "status_code": 200,
    "request_max_body_size": None,
    "responses": problems(403, 404, 409, 413, 415, 422, 503, 507),
}


@post(
    "/asr", operation_id="asrTranscribe", summary="Whisper ASR: text of a recording", media_type="text/plain", **_ROUTE
)
async def transcribe(request: Incoming, service: Served) -> Response[bytes]:
    asked, job = await place(request, service)
    await calls.finished(service, job.id)
    content = await to_thread.run_sync(written, await service.jobs.transcript(job.id), asked, service.config.captions)
    disposition = attachment(job.name, asked.output.value)
    headers = {"Asr-Engine": "whisper_service", "X-Request-Id": job.id, "Content-Disposition": disposition}
    return Response(content, media_type="text/plain", headers=headers)


@post("/detect-language", operation_id="asrDetectLanguage", summary="Whisper ASR: language of a recording", **_ROUTE)
async def detect_language(request: Incoming, service: Served) -> Response[Language]:
    _, job = await place(request, service, Task.DETECT)
    found = await calls.language(service, job.id)
    name = openai_reply.language_name(found.language) or "undetermined"
    answer = Language(name, found.language or "und", round(found.probability, 4))
    return Response(answer, headers={"X-Request-Id": job.id})


@get("/status", operation_id="asrStatus", summary="Whisper ASR: does it answer?", responses=problems())
async def status() -> AsrStatus:
    return AsrStatus(__version__)


router = Router("/", tags=["Whisper ASR"], route_handlers=[transcribe, detect_language, status])
