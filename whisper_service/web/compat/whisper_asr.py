"""Serve the interface of whisper-asr-webservice, for Bazarr and others. Every request is an ordinary job.

Answers are plain text in every format, and clients take the body of any answer for the transcript. So errors are JSON,
which no player takes for subtitles.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

import msgspec
from anyio import to_thread
from litestar import Response, Router, get, post

from whisper_service import __version__
from whisper_service.app import calls
from whisper_service.app.edits import Version
from whisper_service.app.service import Service
from whisper_service.core import languages
from whisper_service.core.chinese import script_of
from whisper_service.core.domain import DETECT_S, Job, Options, Segment, Task, Transcript, Value
from whisper_service.core.speaker_count import OFF
from whisper_service.core.text import quoted
from whisper_service.export import render
from whisper_service.export.captions.style import Style
from whisper_service.export.layout import Layout
from whisper_service.export.plain_text import plain_text
from whisper_service.export.render import Format
from whisper_service.models.catalog import AUTO
from whisper_service.storage.uploads import Receiver
from whisper_service.web.compat import form_values, openai_reply
from whisper_service.web.compat.form_values import Given, invalid, one
from whisper_service.web.compat.raw_pcm import WavWriter
from whisper_service.web.compat.speaker_numbers import numbered_speakers
from whisper_service.web.http.content_disposition import transcript_disposition
from whisper_service.web.http.dialects import Dialect
from whisper_service.web.http.errors import Incoming, problems
from whisper_service.web.http.multipart import Fields, Form, Sink
from whisper_service.web.http.operations import OPTIONS, RECORDING, choice, flag, form, operation, text
from whisper_service.web.http.parameters import Served, name_in_query

MAX_PARTS: Final = 64
FILES: Final = ("audio_file", "file")
TASKS: Final = (Task.TRANSCRIBE, Task.TRANSLATE)
KNOWN: Final = frozenset(
    {
        *("task", "language", "initial_prompt", "output", "word_timestamps", "preset"),
        *("diarize", "min_speakers", "max_speakers"),
    }
)
"""Fields that are read, in the query or in the form."""


class AsrFormat(StrEnum):
    """A form of the answers."""

    TXT = "txt"
    VTT = "vtt"
    SRT = "srt"
    TSV = "tsv"
    JSON = "json"


class AsrCall(Value, frozen=True):
    """A request of a client."""

    options: Options
    output: AsrFormat = AsrFormat.TXT
    words: bool = False  # in json
    diarize: bool = False  # say who speaks


class Language(Value, frozen=True):
    """The language of a recording: its English name and Whisper's code. Without speech the code is "und"."""

    detected_language: str
    language_code: str
    confidence: float


class AsrStatus(Value, frozen=True):
    """What Bazarr asks for to test a connection."""

    version: str
    name: str = "whisper_service"


def parse(given: Given, *, task: Task | None = None, service: Service) -> AsrCall:
    """Return the request in these fields. `task`: the address says it, not a field. Raises `InvalidRequest`."""
    output = form_values.chosen(one(given, "output").lower(), AsrFormat.TXT, "output", "an output format")
    wanted = one(given, "task").lower() or Task.TRANSCRIBE
    if wanted not in TASKS:
        raise invalid("task", f"{quoted(wanted, 40)} is not a task.", f"Use {' or '.join(TASKS)}.")
    options = Options(
        language=None if task is Task.DETECT else languages.find_code(one(given, "language")),
        script=None if task is Task.DETECT else script_of(one(given, "language")),
        task=task or Task(wanted),
        preset=form_values.preset(given, service.config.speech.preset),
        prompt=None if task is Task.DETECT else form_values.prompt(one(given, "initial_prompt")),
        speakers=OFF,
    )
    diarize = form_values.boolean(given, "diarize") and task is not Task.DETECT
    options = form_values.with_speakers(given, options) if diarize else options
    return AsrCall(options, output, words=form_values.boolean(given, "word_timestamps"), diarize=diarize)


async def submit(request: Incoming, service: Service, task: Task | None = None) -> tuple[AsrCall, Job]:
    """Read the form and make a job of it."""
    query: Fields = {name: request.query_params.getall(name) for name in request.query_params}

    def parse_fields(fields: Fields) -> AsrCall:
        return parse({**query, **fields}, task=task, service=service)

    async def check(fields: Fields) -> None:
        if parse_fields(fields).diarize:
            await calls.check_speakers(service, "diarize")

    await check({})
    await service.models.resolve(AUTO)  # without a model, the client need not send the recording
    encoded = form_values.boolean(query, "encode", default=True)
    limit_s = DETECT_S if task is Task.DETECT else None

    def through(receiver: Receiver) -> Sink:
        return receiver if encoded else WavWriter(receiver, limit_s)

    recording = Form(
        service.uploads,
        check,
        files=FILES,
        known=KNOWN,
        max_parts=MAX_PARTS,
        through=through,
        name=name_in_query(request, "video_file"),
    )
    received = await recording.read(request)
    call = parse_fields(recording.fields)
    return call, await calls.submit(service, received, call.options)


def write(transcript: Transcript, call: AsrCall, style: Style) -> bytes:
    """Return the transcript in the form that the client wants."""
    if call.output is AsrFormat.JSON:
        segments = [_segment(number, each, call) for number, each in enumerate(transcript.segments)]
        content = {"text": plain_text(transcript.segments), "segments": segments, "language": transcript.language or ""}
        return msgspec.json.encode(content)
    return render.render(transcript, Format(call.output.value), Layout(style))


def _segment(number: int, segment: Segment, call: AsrCall) -> dict[str, Any]:
    """Return a segment with the fields of faster-whisper, and those of WhisperX for speakers where one is known."""
    fields = openai_reply.segment(number, segment) | {"words": segment.words if call.words else None}
    if not segment.speaker:
        return fields
    speaker = {"speaker": segment.speaker}
    words = [msgspec.to_builtins(word) | speaker for word in segment.words] if call.words else None
    return fields | speaker | {"words": words}


async def _text(service: Service, job_id: str, call: AsrCall) -> Transcript:
    """Return the text of a job that is complete, with WhisperX's names of speakers if they are wanted."""
    if call.diarize:
        return numbered_speakers(await calls.told_apart(service, job_id), "SPEAKER_{:02}")
    return await service.jobs.transcript(job_id, Version.MACHINE)


_ROUTE: Final[dict[str, Any]] = {
    "operation_class": operation(
        bodies={"multipart/form-data": form({"audio_file": RECORDING}, "audio_file")},
        query={
            "encode": flag("false: the file is raw 16-bit little-endian mono sound at 16 kHz.", default=True),
            "task": choice(TASKS, Task.TRANSCRIBE),
            "language": form_values.LANGUAGE,
            "initial_prompt": form_values.PROMPT,
            "word_timestamps": flag("Words with their times, in json."),
            "diarize": flag("Say who speaks: in json for each segment, in srt, vtt and txt where the speaker changes."),
            "min_speakers": OPTIONS["min_speakers"],
            "max_speakers": OPTIONS["max_speakers"],
            "output": choice(AsrFormat, AsrFormat.TXT),
            "video_file": text("The name of the job."),
        },
    ),
    "status_code": 200,
    "request_max_body_size": None,
    "responses": problems(403, 404, 409, 413, 415, 422, 503, 507),
}


@post(
    "/asr", operation_id="asrTranscribe", summary="Whisper ASR: text of a recording", media_type="text/plain", **_ROUTE
)
async def transcribe(request: Incoming, service: Served) -> Response[bytes]:
    call, job = await submit(request, service)
    await calls.finished(service, job.id)
    content = await to_thread.run_sync(write, await _text(service, job.id, call), call, service.config.captions)
    disposition = transcript_disposition(job.name, call.output.value)
    headers = {"Asr-Engine": "whisper_service", "X-Request-Id": job.id, "Content-Disposition": disposition}
    return Response(content, media_type="text/plain", headers=headers)


@post("/detect-language", operation_id="asrDetectLanguage", summary="Whisper ASR: language of a recording", **_ROUTE)
async def detect_language(request: Incoming, service: Served) -> Response[Language]:
    _, job = await submit(request, service, Task.DETECT)
    found = await calls.language(service, job.id)
    name = openai_reply.language_name(found.language) or "undetermined"
    answer = Language(name, found.language or "und", round(found.probability, 4))
    return Response(answer, headers={"X-Request-Id": job.id})


@get("/status", operation_id="asrStatus", summary="Whisper ASR: does the service answer?", responses=problems())
async def status() -> AsrStatus:
    return AsrStatus(__version__)


DIALECT: Final = Dialect([Router("/", tags=["Whisper ASR"], route_handlers=[transcribe, detect_language, status])])
