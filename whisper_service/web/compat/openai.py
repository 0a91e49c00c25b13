"""Serve OpenAI's transcription interface. Every request is an ordinary job (see `app.calls`).

A stream has OpenAI's form: events without names and ids. A comment ends in one newline, because OpenAI's clients take
two for an empty event.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import Annotated, Any, Final, assert_never

import msgspec
from anyio import to_thread
from litestar import Response, Router, get, post
from litestar.params import PathParameter
from litestar.response import Stream

from whisper_service.app import calls
from whisper_service.app.edits import Version
from whisper_service.app.known_speakers import Clip
from whisper_service.app.service import Service
from whisper_service.core.domain import Segment, Task, Transcript, Value
from whisper_service.core.errors import ServiceError
from whisper_service.export import render
from whisper_service.export.captions.style import Style
from whisper_service.export.layout import Layout
from whisper_service.export.plain_text import next_part, plain_text
from whisper_service.export.render import Format
from whisper_service.storage.uploads import Received
from whisper_service.web.compat import openai_json, openai_reply, openai_speakers
from whisper_service.web.compat.openai_errors import OpenAIRefusal, refusal
from whisper_service.web.compat.openai_form import FIELDS, KNOWN, MAX_REFERENCE, OpenAICall, OpenAIFormat, parse
from whisper_service.web.http import errors
from whisper_service.web.http.content_disposition import without_charset
from whisper_service.web.http.dialects import Dialect
from whisper_service.web.http.errors import Incoming, problems
from whisper_service.web.http.model_aliases import OPENAI_MODELS, model_of
from whisper_service.web.http.multipart import Fields, Form
from whisper_service.web.http.operations import TEXT, TEXT_OBJECT, form, operation
from whisper_service.web.http.parameters import Served

MAX_PARTS: Final = 128
EVENTS: Final = "text/event-stream"
PING: Final = b": ping\n"


class OpenAIModel(Value, frozen=True):
    """A model that requests may name."""

    id: str
    created: int
    object: str = "model"
    owned_by: str = "whisper_service"


class OpenAIModelList(Value, frozen=True):
    """All models that requests may name."""

    data: list[OpenAIModel]
    object: str = "list"


class Events(Stream):
    """A stream of events, from a handler whose other answers have other types."""

    def to_asgi_response(self, app: Any, request: Any, **keywords: Any) -> Any:
        return super().to_asgi_response(app, request, **(keywords | {"media_type": EVENTS}))


async def transcribe(request: Incoming, service: Served, task: Task) -> Response[Any]:
    """Read the form, wait for the text, and answer in the form that the client wants."""
    parse_fields = partial(parse, task=task, preset=service.config.speech.preset)

    async def check(fields: Fields) -> None:
        call = parse_fields(fields)
        if "model" in fields:
            await service.models.resolve(call.options.model)
        if call.diarized:
            await calls.check_speakers(service, "response_format")

    received, fields = await _receive(request, service, check)
    call = parse_fields(fields)
    with calls.deleted_on_error(received):
        clips = await _known_speakers(service, fields) if call.diarized else []
    job = await calls.submit(service, received, call.options)
    headers = {"X-Request-Id": job.id}
    if call.stream:
        heartbeat_s = service.config.server.heartbeat_s
        if call.diarized:
            segments = _spoken(service, job.id, clips, heartbeat_s)
        else:
            segments = calls.segments(service, job.id, heartbeat_s)
        first = await anext(segments, None)  # an error before the first text still gets its own status
        more = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        return Events(events(first, segments, diarized=call.diarized), headers=headers | more)
    await calls.finished(service, job.id)
    if call.diarized:
        transcript = await _told_apart(service, job.id, clips)
    else:
        transcript = await service.jobs.transcript(job.id, Version.MACHINE)
    return await answer(transcript, call, service.config.captions, headers)


async def _known_speakers(service: Service, fields: Fields) -> list[Clip]:
    """Return the decoded references in a form. Raises `InvalidRequest`."""
    return await service.known_speakers.decode(await to_thread.run_sync(openai_speakers.references, fields))


async def _told_apart(service: Service, job_id: str, clips: Sequence[Clip]) -> Transcript:
    """Return the text of a job that is complete, with OpenAI's names for its speakers.

    Raises `SpeakersMissing`, and `InvalidRequest` for a clip without a voice.
    """
    transcript = await calls.told_apart(service, job_id)
    return openai_speakers.labelled(transcript, await service.known_speakers.recognise(job_id, clips))


async def _spoken(
    service: Service, job_id: str, clips: Sequence[Clip], heartbeat_s: float
) -> AsyncGenerator[Segment | None, None]:
    """Yield the text with its speakers once the job is complete, and None after every heartbeat before.

    Who speaks is known at the end only: a label that was sent cannot be taken back.
    """
    async for _ in calls.heartbeats(service, job_id, heartbeat_s):
        yield None
    for segment in (await _told_apart(service, job_id, clips)).segments:
        yield segment


async def _receive(
    request: Incoming, service: Service, check: Callable[[Fields], Awaitable[None]]
) -> tuple[Received, Fields]:
    """Return the recording and the fields of a form or of JSON."""
    if request.content_type[0] != "application/json":
        longer = dict.fromkeys((openai_speakers.REFERENCES, f"{openai_speakers.REFERENCES}[]"), MAX_REFERENCE)
        recording = Form(service.uploads, check, known=KNOWN, longer=longer, max_parts=MAX_PARTS)
        return await recording.read(request), recording.fields
    fields, sound, name = await openai_json.read(request)
    await check(fields)
    return await openai_json.store(service.uploads, sound, name), fields


async def answer(transcript: Transcript, call: OpenAICall, style: Style, headers: dict[str, str]) -> Response[Any]:
    """Return the whole text in one of OpenAI's forms."""
    match call.reply:
        case OpenAIFormat.JSON:
            content: Any = openai_reply.json(transcript, logprobs=call.logprobs)
        case OpenAIFormat.VERBOSE_JSON:
            task = call.options.task.value
            content = openai_reply.verbose_json(transcript, task=task, segments=call.segments, words=call.words)
        case OpenAIFormat.TEXT:
            return Response(f"{plain_text(transcript.segments)}\n", media_type="text/plain", headers=headers)
        case OpenAIFormat.SRT | OpenAIFormat.VTT:
            kind = Format(call.reply.value)
            file = await to_thread.run_sync(render.render, transcript, kind, Layout(style))
            return Response(file, media_type=without_charset(kind.exporter.media_type), headers=headers)
        case OpenAIFormat.DIARIZED_JSON:
            content = openai_speakers.diarized_json(transcript)
        case _:
            assert_never(call.reply)
    return Response(content, media_type="application/json", headers=headers)


async def events(
    first: Segment | None, segments: AsyncIterator[Segment | None], *, diarized: bool = False
) -> AsyncGenerator[bytes, None]:
    """Yield a delta for each segment, then `transcript.text.done` with the whole text: all deltas joined.

    With `diarized` a segment is told with its speaker and its times.
    """
    parts: list[str] = []
    segment = first
    try:
        while True:
            if segment is None:
                yield PING
            elif text := next_part(parts[-1] if parts else "", segment):
                told = openai_speakers.segment_event(len(parts), segment, text)
                parts.append(text)
                yield _event(told if diarized else {"type": "transcript.text.delta", "delta": text})
            segment = await anext(segments)
    except StopAsyncIteration:
        yield _event({"type": "transcript.text.done", "text": "".join(parts)})
    except ServiceError as error:
        yield _event(msgspec.to_builtins(refusal(errors.status_of(error), error.problem).content))


def _event(data: dict[str, Any]) -> bytes:
    return b"data: %b\n\n" % msgspec.json.encode(data)


_INPUT_AUDIO: Final = form({"data": TEXT, "format": TEXT}, "data")
_INPUT_AUDIO.description = "The recording as base64."
_JSON_FIELDS: Final = {name: field for name, field in FIELDS.items() if name != "file"} | {"input_audio": _INPUT_AUDIO}
_ROUTE: Final[dict[str, Any]] = {
    "operation_class": operation(
        bodies={"multipart/form-data": form(FIELDS, "file"), "application/json": form(_JSON_FIELDS, "input_audio")},
        answers={
            "application/json": TEXT_OBJECT,
            **dict.fromkeys(("text/plain", "application/x-subrip", "text/vtt", EVENTS), TEXT),
        },
    ),
    "status_code": 200,
    "request_max_body_size": None,
    "responses": problems(403, 404, 409, 413, 415, 503, 507, form=OpenAIRefusal),
}


@post("/audio/transcriptions", operation_id="openaiTranscribe", summary="OpenAI: text of a recording", **_ROUTE)
async def transcriptions(request: Incoming, service: Served) -> Response[Any]:
    return await transcribe(request, service, Task.TRANSCRIBE)


@post("/audio/translations", operation_id="openaiTranslate", summary="OpenAI: English text of a recording", **_ROUTE)
async def translations(request: Incoming, service: Served) -> Response[Any]:
    return await transcribe(request, service, Task.TRANSLATE)


@get("/models", operation_id="openaiModels", summary="OpenAI: all models", responses=problems(form=OpenAIRefusal))
async def models(service: Served) -> OpenAIModelList:
    created = int(service.started_at)
    names = await service.models.installed()
    return OpenAIModelList([OpenAIModel(name, created) for name in [*names, *OPENAI_MODELS]])


@get(
    "/models/{model_id:path}",
    operation_id="openaiModel",
    summary="OpenAI: one model",
    responses=problems(404, form=OpenAIRefusal),
)
async def model(
    service: Served, model_id: Annotated[str, PathParameter(description="The name of the model.", max_length=300)]
) -> OpenAIModel:
    name = model_id.strip("/")
    await service.models.resolve(model_of(name))
    return OpenAIModel(name, int(service.started_at))


_HANDLERS: Final = [transcriptions, translations, models, model]
_ROUTER: Final = Router("/v1", tags=["OpenAI"], route_handlers=_HANDLERS)
_GROQ: Final = Router("/openai/v1", route_handlers=_HANDLERS, include_in_schema=False)  # where clients of Groq look
DIALECT: Final = Dialect((_ROUTER, _GROQ), refusal, (_ROUTER.path, _GROQ.path))
