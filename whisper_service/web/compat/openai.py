"""OpenAI's transcription interface, for the programs that speak it. Every request is an ordinary job (see `calls`).

Errors below these paths are told in OpenAI's form (`dialects`). A stream is OpenAI's own: unnamed events without ids, and a
comment ends in one newline, because its clients take anything else for an empty event.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Final, assert_never

import msgspec
from anyio import to_thread
from litestar import Response, Router, get, post
from litestar.openapi.spec import (
    OpenAPIFormat,
    OpenAPIMediaType,
    OpenAPIResponse,
    OpenAPIType,
    Operation,
    RequestBody,
    Schema,
)
from litestar.params import PathParameter
from litestar.response import Stream

from whisper_service.app import calls
from whisper_service.app.service import Service
from whisper_service.core.domain import Segment, Task, Transcript, Value
from whisper_service.core.errors import ServiceError
from whisper_service.export import render
from whisper_service.export.captions.style import Style
from whisper_service.export.layout import Layout
from whisper_service.export.plain_text import next_part, plain_text
from whisper_service.export.render import Format
from whisper_service.storage.uploads import Received
from whisper_service.web.api.jobs import Served
from whisper_service.web.compat import openai_json, openai_reply
from whisper_service.web.compat.model_aliases import OPENAI_MODELS, model_of
from whisper_service.web.compat.openai_form import KNOWN, OpenAIFormat, OpenAIRequest, understand
from whisper_service.web.http import error_dialects, errors
from whisper_service.web.http.errors import Incoming
from whisper_service.web.http.multipart import Fields, Form

MAX_PARTS: Final = 128
EVENTS: Final = "text/event-stream"
PING: Final = b": ping\n"
REFUSALS: Final = error_dialects.refusals(400, 403, 404, 409, 413, 415, 421, 500, 503, 507)


class OpenAIModel(Value, frozen=True):
    """A model that requests may name."""

    id: str
    created: int
    object: str = "model"
    owned_by: str = "whisper_service"


class OpenAIModelList(Value, frozen=True):
    """All of them."""

    data: list[OpenAIModel]
    object: str = "list"


class Events(Stream):
    """A stream of events, whatever the other answers of its handler are."""

    def to_asgi_response(self, app: Any, request: Any, **keywords: Any) -> Any:
        return super().to_asgi_response(app, request, **(keywords | {"media_type": EVENTS}))


async def serve(request: Incoming, service: Service, task: Task) -> Response[Any]:
    """Take the form, wait for the text, answer as was asked for."""
    wishes = partial(understand, task=task, preset=service.config.speech.preset)

    async def check(said: Fields) -> None:
        asked = wishes(said)
        if "model" in said:
            await service.models.resolve(asked.options.model)

    received, said = await _received(request, service, check)
    asked = wishes(said)
    job = await calls.submit(service, received, asked.options)
    headers = {"X-Request-Id": job.id}
    if asked.stream:
        segments = calls.segments(service, job.id, service.config.server.heartbeat_s)
        first = await anext(segments, None)  # what goes wrong before the first text has a status of its own
        more = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        return Events(events(first, segments), headers=headers | more)
    await calls.finished(service, job.id)
    return await answer(await service.jobs.transcript(job.id), asked, service.config.captions, headers)


async def _received(
    request: Incoming, service: Service, check: Callable[[Fields], Awaitable[None]]
) -> tuple[Received, Fields]:
    """The recording and what is said of it, in a form or in JSON."""
    if request.content_type[0] != "application/json":
        form = Form(service.uploads, check, known=KNOWN, max_parts=MAX_PARTS)
        return await form.read(request), form.fields
    said, sound, name = await openai_json.fields_of(request)
    await check(said)
    return await openai_json.keep(service.uploads, sound, name), said


async def answer(transcript: Transcript, asked: OpenAIRequest, style: Style, headers: dict[str, str]) -> Response[Any]:
    """The whole text in one of OpenAI's forms."""
    match asked.reply:
        case OpenAIFormat.JSON:
            content: Any = openai_reply.json(transcript, logprobs=asked.logprobs)
        case OpenAIFormat.VERBOSE_JSON:
            task = asked.options.task.value
            content = openai_reply.verbose_json(transcript, task=task, segments=asked.segments, words=asked.words)
        case OpenAIFormat.TEXT:
            return Response(f"{plain_text(transcript.segments)}\n", media_type="text/plain", headers=headers)
        case OpenAIFormat.SRT | OpenAIFormat.VTT:
            kind = Format(asked.reply.value)
            file = await to_thread.run_sync(render.render, transcript, kind, Layout(style))
            return Response(file, media_type=kind.exporter.media_type, headers=headers)
        case _:
            assert_never(asked.reply)
    return Response(content, media_type="application/json", headers=headers)


async def events(first: Segment | None, segments: AsyncIterator[Segment | None]) -> AsyncGenerator[bytes, None]:
    """A delta per segment, then `transcript.text.done` with all of the text; the deltas joined are that text."""
    parts: list[str] = []
    segment = first
    try:
        while True:
            if segment is None:
                yield PING
            elif text := next_part(parts[-1] if parts else "", segment):
                parts.append(text)
                yield _event({"type": "transcript.text.delta", "delta": text})
            segment = await anext(segments)
    except StopAsyncIteration:
        yield _event({"type": "transcript.text.done", "text": "".join(parts)})
    except ServiceError as error:
        _, _, content = error_dialects.translate("/v1", errors.status_of(error), error.problem)
        yield _event(msgspec.to_builtins(content))


def _event(data: dict[str, Any]) -> bytes:
    return b"data: %b\n\n" % msgspec.json.encode(data)


@dataclass
class CallOperation(Operation):
    """The form and the many kinds of answers in the OpenAPI document."""

    def __post_init__(self) -> None:
        text = Schema(type=OpenAPIType.STRING)
        form = Schema(type=OpenAPIType.OBJECT, required=["file"], properties={**FIELDS})
        audio = Schema(
            type=OpenAPIType.OBJECT, required=["data"], properties={"data": text, "format": text}, description="base64."
        )
        inline = Schema(type=OpenAPIType.OBJECT, required=["input_audio"], properties={**FIELDS, "input_audio": audio})
        del inline.properties["file"]  # type: ignore[union-attr]
        bodies = {"multipart/form-data": form, "application/json": inline}
        self.request_body = RequestBody(
            required=True, content={kind: OpenAPIMediaType(schema=shape) for kind, shape in bodies.items()}
        )
        done = (self.responses or {})["200"]
        if isinstance(done, OpenAPIResponse):
            kinds = ("text/plain", "application/x-subrip", "text/vtt", EVENTS)
            json = Schema(type=OpenAPIType.OBJECT, required=["text"], properties={"text": text})
            done.content = {"application/json": OpenAPIMediaType(schema=json)} | dict.fromkeys(
                kinds, OpenAPIMediaType(schema=text)
            )


FIELDS: Final = {
    "file": Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY, description="Any audio or video file."),
    "model": Schema(
        type=OpenAPIType.STRING,
        description="A model on this machine; whisper-1 and OpenAI's others mean the configured one.",
    ),
    "language": Schema(
        type=OpenAPIType.STRING, description="Like en, zh or yue; without it, the language is detected."
    ),
    "prompt": Schema(type=OpenAPIType.STRING, description="Names and spellings to expect."),
    "response_format": Schema(type=OpenAPIType.STRING, enum=[*OpenAIFormat], default=OpenAIFormat.JSON),
    "temperature": Schema(
        type=OpenAPIType.NUMBER, minimum=0, maximum=1, description="Taken, and not used: the search is deterministic."
    ),
    "timestamp_granularities[]": Schema(
        type=OpenAPIType.ARRAY,
        items=Schema(type=OpenAPIType.STRING, enum=["word", "segment"]),
        description="For verbose_json.",
    ),
    "stream": Schema(type=OpenAPIType.BOOLEAN, default=False, description="Text as it comes, as events."),
}
_ROUTE: Final[dict[str, Any]] = {
    "operation_class": CallOperation,
    "status_code": 200,
    "request_max_body_size": None,
    "responses": REFUSALS,
}


@post("/audio/transcriptions", operation_id="openaiTranscribe", summary="OpenAI: text of a recording", **_ROUTE)
async def transcriptions(request: Incoming, service: Served) -> Response[Any]:
    return await serve(request, service, Task.TRANSCRIBE)


@post("/audio/translations", operation_id="openaiTranslate", summary="OpenAI: English text of a recording", **_ROUTE)
async def translations(request: Incoming, service: Served) -> Response[Any]:
    return await serve(request, service, Task.TRANSLATE)


@get(
    "/models",
    operation_id="openaiModels",
    summary="OpenAI: which models there are",
    responses=error_dialects.refusals(400, 421, 500),
)
async def models(service: Served) -> OpenAIModelList:
    created = int(service.started_at)
    names = await service.models.installed()
    return OpenAIModelList([OpenAIModel(name, created) for name in [*names, *OPENAI_MODELS]])


@get(
    "/models/{model_id:path}",
    operation_id="openaiModel",
    summary="OpenAI: one model",
    responses=error_dialects.refusals(400, 404, 421, 500),
)
async def model(
    service: Served, model_id: Annotated[str, PathParameter(description="Its name.", max_length=300)]
) -> OpenAIModel:
    name = model_id.strip("/")
    await service.models.resolve(model_of(name))
    return OpenAIModel(name, int(service.started_at))


_HANDLERS: Final = [transcriptions, translations, models, model]
router = Router("/v1", tags=["OpenAI"], route_handlers=_HANDLERS)
groq = Router("/openai/v1", route_handlers=_HANDLERS, include_in_schema=False)
"""The same where Groq has it."""
