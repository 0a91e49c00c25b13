"""The interface of whisper.cpp's server. Every request is an ordinary job; errors are `{"error": "..."}` (`dialects`).

Options that only its decoder has are passed over. A part of a recording cannot be asked for, and that is said.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any, Final, assert_never

from anyio import to_thread
from litestar import Response, Router, get, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import (
    OpenAPIFormat,
    OpenAPIMediaType,
    OpenAPIResponse,
    OpenAPIType,
    Operation,
    RequestBody,
    Schema,
)
from msgspec.structs import replace

from whisper_service.app import calls
from whisper_service.core import languages
from whisper_service.core.domain import Options, Preset, Segment, Task, Transcript, Value
from whisper_service.core.errors import InvalidRequest
from whisper_service.core.text import clean
from whisper_service.export import render
from whisper_service.export.captions.style import Style
from whisper_service.export.layout import Layout
from whisper_service.export.render import Format
from whisper_service.models.catalog import AUTO
from whisper_service.web.api.jobs import Served
from whisper_service.web.compat import form_values, openai_reply
from whisper_service.web.compat.form_values import Given, one, wrong
from whisper_service.web.http import error_dialects
from whisper_service.web.http.errors import Incoming, problems
from whisper_service.web.http.multipart import Fields, Form

MAX_PARTS: Final = 128
KNOWN: Final = frozenset({
    "response_format", "language", "translate", "detect_language", "prompt", "temperature", "max_len", "offset_t", "duration",
    "offset_n", "preset",
})  # fmt: skip
"""Fields that are looked at."""
PARTS: Final = ("offset_t", "offset_n", "duration")
WIDEST: Final = 500


class CppFormat(StrEnum):
    """Forms in which it answers."""

    JSON = "json"
    TEXT = "text"
    SRT = "srt"
    VTT = "vtt"
    VERBOSE_JSON = "verbose_json"


class CppRequest(Value, frozen=True):
    """A request, understood."""

    options: Options
    reply: CppFormat = CppFormat.JSON
    max_len: int = 0  # characters of a caption; 0: as the guides for readable captions say


class Health(Value, frozen=True):
    """Whether recordings are transcribed now: "ok" or why not."""

    status: str


def understand(given: Given, *, preset: Preset) -> CppRequest:
    """The request in these fields. Raises `InvalidRequest` naming the field."""
    reply = one(given, "response_format") or CppFormat.JSON
    if reply not in list(CppFormat):
        raise wrong("response_format", f"{reply[:40]!r} is no response format.", f"Use one of {', '.join(CppFormat)}.")
    for name in PARTS:
        if form_values.number(given, name, 0, 1e12):
            raise wrong(
                name,
                "A part of a recording cannot be asked for.",
                "Send that part as a file of its own.",
                "unsupported_value",
            )
    form_values.number(given, "temperature", 0.0, 1.0)  # checked and not used: the search is deterministic
    task = Task.TRANSLATE if form_values.boolean(given, "translate") else Task.TRANSCRIBE
    options = Options(
        language=languages.find_code(one(given, "language")),
        task=Task.DETECT if form_values.boolean(given, "detect_language") else task,
        preset=form_values.preset(given, preset),
        prompt=form_values.prompt(one(given, "prompt")),
    )
    return CppRequest(options, CppFormat(reply), max_len=int(form_values.number(given, "max_len", 0, 1e6)))


def text(transcript: Transcript) -> str:
    """A line per segment."""
    return "".join(f"{clean(segment.text)}\n" for segment in transcript.segments)


def verbose_json(transcript: Transcript, asked: CppRequest, found: calls.Detected) -> dict[str, Any]:
    """Everything with times, words too. Tokens and alternatives are not kept."""
    probabilities = {found.language: found.probability} if found.language else {}
    return {
        "task": asked.options.task.value,
        "language": openai_reply.language_name(transcript.language),
        "duration": transcript.duration_s or 0.0,
        "text": text(transcript),
        "segments": [_segment(number, said) for number, said in enumerate(transcript.segments)],
        "detected_language": openai_reply.language_name(found.language),
        "detected_language_probability": found.probability,
        "language_probabilities": probabilities,
    }


def _segment(number: int, said: Segment) -> dict[str, Any]:
    words = [
        {"word": word.word, "start": word.start, "end": word.end, "t_dtw": -1, "probability": word.probability}
        for word in said.words
    ]
    shown = openai_reply.segment(number, said) | {"words": words}
    return {name: value for name, value in shown.items() if name not in ("seek", "compression_ratio")}


def _layout(asked: CppRequest, style: Style) -> Layout:
    if not asked.max_len:
        return Layout(style)
    width = min(WIDEST, max(8, asked.max_len))
    return Layout(replace(style, line_columns=width, cjk_line_columns=min(WIDEST, 2 * width), lines=1))


@dataclass
class InferenceOperation(Operation):
    """The form and the kinds of answers in the OpenAPI document."""

    def __post_init__(self) -> None:
        plain = Schema(type=OpenAPIType.STRING)
        form = Schema(type=OpenAPIType.OBJECT, required=["file"], properties={**FIELDS})
        self.request_body = RequestBody(required=True, content={"multipart/form-data": OpenAPIMediaType(schema=form)})
        done = (self.responses or {})["200"]
        if isinstance(done, OpenAPIResponse):
            kinds = ("text/plain", "application/x-subrip", "text/vtt")
            json = Schema(type=OpenAPIType.OBJECT, required=["text"], properties={"text": plain})
            done.content = {"application/json": OpenAPIMediaType(schema=json)} | dict.fromkeys(
                kinds, OpenAPIMediaType(schema=plain)
            )


FIELDS: Final = {
    "file": Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY, description="Any audio or video file."),
    "response_format": Schema(type=OpenAPIType.STRING, enum=[*CppFormat], default=CppFormat.JSON),
    "language": Schema(type=OpenAPIType.STRING, default="auto"),
    "translate": Schema(type=OpenAPIType.BOOLEAN, default=False, description="English text."),
    "detect_language": Schema(
        type=OpenAPIType.BOOLEAN, default=False, description="Only the language, for verbose_json."
    ),
    "prompt": Schema(type=OpenAPIType.STRING, description="Names and spellings to expect."),
    "temperature": Schema(
        type=OpenAPIType.NUMBER, minimum=0, maximum=1, description="Taken, and not used: the search is deterministic."
    ),
    "max_len": Schema(
        type=OpenAPIType.INTEGER, minimum=0, default=0, description="Characters of a caption, in srt and vtt."
    ),
}


@post(
    "/inference",
    operation_id="whisperCppInference",
    operation_class=InferenceOperation,
    summary="whisper.cpp: text of a recording",
    status_code=200,
    request_max_body_size=None,
    responses=error_dialects.refusals(400, 403, 404, 409, 413, 415, 421, 500, 503, 507, said=error_dialects.CppError),
)
async def inference(request: Incoming, service: Served) -> Response[Any]:
    wishes = partial(understand, preset=service.config.speech.preset)
    await service.models.resolve(AUTO)  # without one, nothing need be sent

    async def check(said: Fields) -> None:
        wishes(said)

    form = Form(service.uploads, check, known=KNOWN, max_parts=MAX_PARTS)
    received = await form.read(request)
    asked = wishes(form.fields)
    job = await calls.submit(service, received, asked.options)
    await calls.finished(service, job.id)
    transcript = await service.jobs.transcript(job.id)
    headers = {"X-Request-Id": job.id}
    match asked.reply:
        case CppFormat.JSON:
            return Response({"text": text(transcript)}, media_type="application/json", headers=headers)
        case CppFormat.VERBOSE_JSON:
            content = verbose_json(transcript, asked, await calls.language(service, job.id))
            return Response(content, media_type="application/json", headers=headers)
        case CppFormat.TEXT:
            return Response(text(transcript), media_type="text/plain", headers=headers)
        case CppFormat.SRT | CppFormat.VTT:
            kind = Format(asked.reply.value)
            file = await to_thread.run_sync(render.render, transcript, kind, _layout(asked, service.config.captions))
            return Response(file, media_type=kind.exporter.media_type, headers=headers)
        case _:
            assert_never(asked.reply)


@post("/load", include_in_schema=False)
async def load() -> None:
    """Callers that change the model of whisper.cpp's server hear how it is done here."""
    raise InvalidRequest(
        "The model is not changed through this address.",
        hint="Set speech.model on the page or in the configuration; /v1/audio/transcriptions takes a model with every request.",
    )


@get(
    "/health",
    operation_id="whisperCppHealth",
    summary="whisper.cpp: would a recording be transcribed now?",
    responses=problems() | {503: ResponseSpec(Health, description="No", generate_examples=False)},
)
async def health(service: Served) -> Response[Health]:
    readiness = service.readiness()
    said = "ok" if readiness.ready else " ".join(problem.message for problem in readiness.problems)
    return Response(Health(said), status_code=200 if readiness.ready else 503)


router = Router("/", tags=["whisper.cpp"], route_handlers=[inference, load, health])
