"""Serve the interface of whisper.cpp's server. Every request is an ordinary job. Errors are `{"error": "..."}`.

Options of whisper.cpp's decoder are ignored. A request for a part of a recording is refused.
"""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from functools import partial
from typing import Any, Final, assert_never

from anyio import to_thread
from litestar import Response, Router, get, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import OpenAPIType, Schema
from msgspec import structs

from whisper_service.app import calls
from whisper_service.app.edits import Version
from whisper_service.core import languages
from whisper_service.core.chinese import script_of
from whisper_service.core.domain import Options, Preset, Problem, Segment, Task, Transcript, Value
from whisper_service.core.errors import InvalidRequest
from whisper_service.core.speaker_count import OFF
from whisper_service.core.text import clean
from whisper_service.export import render
from whisper_service.export.captions.style import Style
from whisper_service.export.layout import Layout
from whisper_service.export.render import Format
from whisper_service.models.catalog import AUTO
from whisper_service.web.compat import form_values, openai_reply
from whisper_service.web.compat.form_values import Given, invalid, one
from whisper_service.web.compat.openai_errors import openai_status
from whisper_service.web.compat.speaker_numbers import numbered_speakers
from whisper_service.web.http.content_disposition import without_charset
from whisper_service.web.http.dialects import Dialect, ErrorAnswer, sentence
from whisper_service.web.http.errors import Incoming, problems
from whisper_service.web.http.multipart import Fields, Form
from whisper_service.web.http.operations import (
    OPTIONS,
    RECORDING,
    TEXT,
    TEXT_OBJECT,
    choice,
    flag,
    form,
    operation,
    schemas_of,
)
from whisper_service.web.http.parameters import Served

MAX_PARTS: Final = 128
SPEAKER: Final = "Speaker"
"""What the number of a speaker follows, in vtt and srt."""
_CUT: Final = (
    "A part of a recording cannot be transcribed.",
    "Send the part as a file of its own: ffmpeg -ss SECONDS -t SECONDS -i FILE PART.wav.",
)
PARTS: Final = {
    "offset_t": _CUT,
    "duration": _CUT,
    "offset_n": ("Captions are always numbered from 1.", "Leave offset_n out."),
}
"""Fields that would need another answer than the service can give: why, and what to do."""
_WIDTH: Final = schemas_of(Style)["line_columns"]


class CppFormat(StrEnum):
    """A form of the answers."""

    JSON = "json"
    TEXT = "text"
    SRT = "srt"
    VTT = "vtt"
    VERBOSE_JSON = "verbose_json"


class CppCall(Value, frozen=True):
    """A request of a client."""

    options: Options
    reply: CppFormat = CppFormat.JSON
    max_len: int = 0  # characters of a caption; 0: as the settings of captions say
    diarize: bool = False  # say who speaks


class Health(Value, frozen=True):
    """Whether recordings are transcribed now: "ok", or why not."""

    status: str


class CppError(Value, frozen=True):
    """What went wrong."""

    error: str


FIELDS: Final = {
    "file": RECORDING,
    "response_format": choice(CppFormat, CppFormat.JSON),
    "language": replace(form_values.LANGUAGE, default="auto"),
    "translate": flag("English text."),
    "detect_language": flag("Only the language. In text it is the whole answer, in json the field language."),
    "prompt": form_values.PROMPT,
    "temperature": form_values.TEMPERATURE,
    "max_len": Schema(
        type=OpenAPIType.INTEGER, minimum=0, default=0, description="Characters of a caption, in srt and vtt."
    ),
    "diarize": flag("Say who speaks, by the voices: the recording need not have two channels."),
    "min_speakers": OPTIONS["min_speakers"],
    "max_speakers": OPTIONS["max_speakers"],
}
"""The documented fields."""
KNOWN: Final = FIELDS.keys() | {*PARTS, "preset"}
"""All fields that are read."""


def refusal(status: int, problem: Problem) -> ErrorAnswer:
    """Return an error as clients of whisper.cpp expect it."""
    return ErrorAnswer(openai_status(status, problem), {}, CppError(sentence(problem)))


def parse(given: Given, *, preset: Preset) -> CppCall:
    """Return the request in these fields. Raises `InvalidRequest` that names the field."""
    reply = form_values.chosen(one(given, "response_format"), CppFormat.JSON, "response_format", "a response format")
    for name in PARTS:
        if form_values.number(given, name, 0, 1e12):
            raise invalid(name, *PARTS[name], "unsupported_value")
    form_values.check_temperature(given)
    task = Task.TRANSLATE if form_values.boolean(given, "translate") else Task.TRANSCRIBE
    options = Options(
        language=languages.find_code(one(given, "language")),
        script=script_of(one(given, "language")),
        task=Task.DETECT if form_values.boolean(given, "detect_language") else task,
        preset=form_values.preset(given, preset),
        prompt=form_values.prompt(one(given, "prompt")),
        speakers=OFF,
    )
    diarize = form_values.boolean(given, "diarize") and options.task is not Task.DETECT
    options = form_values.with_speakers(given, options) if diarize else options
    return CppCall(options, reply, int(form_values.number(given, "max_len", 0, 1e6)), diarize)


def plain(transcript: Transcript, call: CppCall) -> str:
    """Return the text with one line for each segment. With `diarize` it begins with its speaker, or with "?"."""
    lines = (
        f"(speaker {_number(segment)}) {clean(segment.text)}\n" if call.diarize else f"{clean(segment.text)}\n"
        for segment in transcript.segments
    )
    return "".join(lines)


def _number(segment: Segment) -> str:
    return (segment.speaker or "?").removeprefix(SPEAKER)


def verbose_json(transcript: Transcript, call: CppCall, found: calls.Detected) -> dict[str, Any]:
    """Return the text with all times, also of words. Tokens and other hypotheses are not kept."""
    return {
        "task": call.options.task.value,
        "duration": transcript.duration_s or 0.0,
        "text": plain(transcript, call),
        "segments": [_segment(number, each, call) for number, each in enumerate(transcript.segments)],
        **language_fields(transcript, found),
    }


def language_fields(transcript: Transcript, found: calls.Detected) -> dict[str, Any]:
    """Return what an answer says about the language. Without speech, the names are empty."""
    return {
        "language": openai_reply.language_name(transcript.language),
        "detected_language": openai_reply.language_name(found.language),
        "detected_language_probability": found.probability,
        "language_probabilities": {found.language: found.probability} if found.language else {},
    }


def _segment(number: int, segment: Segment, call: CppCall) -> dict[str, Any]:
    words = [
        {"word": word.word, "start": word.start, "end": word.end, "t_dtw": -1, "probability": word.probability}
        for word in segment.words
    ]
    fields = openai_reply.segment(number, segment) | {"words": words}
    if call.diarize:
        fields["speaker"] = _number(segment)
    return {name: value for name, value in fields.items() if name not in ("seek", "compression_ratio")}


def layout(call: CppCall, style: Style) -> Layout:
    """Return the layout of captions of at most `max_len` characters, as far as captions can be that narrow or wide."""
    if not call.max_len:
        return Layout(style)
    least, most = int(_WIDTH.minimum or 0), int(_WIDTH.maximum or 0)
    width = min(most, max(least, call.max_len))
    return Layout(structs.replace(style, line_columns=width, cjk_line_columns=min(most, 2 * width), lines=1))


@post(
    "/inference",
    operation_id="whisperCppInference",
    operation_class=operation(
        bodies={"multipart/form-data": form(FIELDS, "file")},
        answers={
            "application/json": TEXT_OBJECT,
            **dict.fromkeys(("text/plain", "application/x-subrip", "text/vtt"), TEXT),
        },
    ),
    summary="whisper.cpp: text of a recording",
    status_code=200,
    request_max_body_size=None,
    responses=problems(403, 404, 409, 413, 415, 503, 507, form=CppError),
)
async def inference(request: Incoming, service: Served) -> Response[Any]:
    parse_fields = partial(parse, preset=service.config.speech.preset)

    async def check(fields: Fields) -> None:
        if parse_fields(fields).diarize:
            await calls.check_speakers(service, "diarize")

    await service.models.resolve(AUTO)  # without a model, the client need not send the recording
    recording = Form(service.uploads, check, known=KNOWN, max_parts=MAX_PARTS)
    received = await recording.read(request)
    call = parse_fields(recording.fields)
    job = await calls.submit(service, received, call.options)
    await calls.finished(service, job.id)
    if call.diarize:
        transcript = numbered_speakers(await calls.told_apart(service, job.id), f"{SPEAKER}{{}}")
    else:
        transcript = await service.jobs.transcript(job.id, Version.MACHINE)
    headers = {"X-Request-Id": job.id}
    detected = call.options.task is Task.DETECT
    match call.reply:
        case CppFormat.JSON:
            content: dict[str, Any] = {"text": plain(transcript, call)}
            if detected:
                content |= language_fields(transcript, await calls.language(service, job.id))
            return Response(content, media_type="application/json", headers=headers)
        case CppFormat.VERBOSE_JSON:
            content = verbose_json(transcript, call, await calls.language(service, job.id))
            return Response(content, media_type="application/json", headers=headers)
        case CppFormat.TEXT:
            text = f"{openai_reply.language_name(transcript.language) or 'undetermined'}\n"
            return Response(text if detected else plain(transcript, call), media_type="text/plain", headers=headers)
        case CppFormat.SRT | CppFormat.VTT:
            kind = Format(call.reply.value)
            file = await to_thread.run_sync(render.render, transcript, kind, layout(call, service.config.captions))
            return Response(file, media_type=without_charset(kind.exporter.media_type), headers=headers)
        case _:
            assert_never(call.reply)


@post("/load", include_in_schema=False)
async def load() -> None:
    """Tell clients that want to change the model of whisper.cpp's server how it is done here."""
    raise InvalidRequest(
        "This address does not change the model.",
        hint=(
            "Set speech.model on the page or in the configuration. "
            "/v1/audio/transcriptions accepts a model with every request."
        ),
    )


@get(
    "/health",
    operation_id="whisperCppHealth",
    summary="whisper.cpp: would a recording be transcribed now?",
    responses=problems() | {503: ResponseSpec(Health, description="No", generate_examples=False)},
)
async def health(service: Served) -> Response[Health]:
    readiness = service.readiness()
    status = "ok" if readiness.ready else " ".join(problem.message for problem in readiness.problems)
    return Response(Health(status), status_code=200 if readiness.ready else 503)


_ROUTER: Final = Router("/", tags=["whisper.cpp"], route_handlers=[inference, load, health])
DIALECT: Final = Dialect([_ROUTER], refusal, ("/inference", "/load"))
