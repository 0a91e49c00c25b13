"""Live sessions: a job is begun before its recording exists, and sound is appended while it is transcribed.

Plain HTTP: the answer to a piece of sound comes when the piece is on stable storage, and says how many bytes are there.
A client that keeps what was not answered yet loses nothing, whatever breaks. The text comes as events of the job.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Final

import msgspec
from litestar import Response, Router, post
from litestar.datastructures import ResponseHeader
from litestar.handlers import HTTPRouteHandler
from litestar.params import HeaderParameter

from whisper_service.core.domain import Encoding, Job, LiveEnd, LiveSession, Value
from whisper_service.core.errors import InvalidRequest, ServiceError, TooLarge
from whisper_service.storage.session_keys import SessionKey
from whisper_service.web.api.job_body import parse_options
from whisper_service.web.http.errors import Incoming, in_words, on_service_error, problems
from whisper_service.web.http.operations import OPTIONS, form, operation, schemas_of
from whisper_service.web.http.parameters import JobId, Served
from whisper_service.web.http.request_bodies import Body, refuse_compressed

MAX_DIGITS: Final = 18
"""Digits of an offset. A longer one is beyond every disk."""
RATES: Final = (4_000, 384_000)
"""Samples per second, from below telephones to above studios."""
NOT_LIVE: Final = ("begin_s", "end_s", "track", "channels")
"""Options of a job that mean nothing while a recording grows. `channels` is how many are sent."""


MAX_KEY: Final = 128
"""Characters of an Idempotency-Key. Clients send a UUID."""

IdempotencyKey = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        description="Any text that the client uses for this session alone, like a UUID. A repeated request with the "
        "same key and body begins no second session.",
    ),
]


class LiveRequest(Value, frozen=True):
    """What a client says of the sound that it will send."""

    name: Annotated[
        str, msgspec.Meta(max_length=300, description="The name of the recording. Without it, the time.")
    ] = ""
    rate: Annotated[int, msgspec.Meta(ge=RATES[0], le=RATES[1], description="Samples per second.")] = 16_000
    encoding: Annotated[Encoding, msgspec.Meta(description="How a sample is written.")] = Encoding.S16LE
    channels: Annotated[int, msgspec.Meta(ge=1, le=2, description="Channels, interleaved. They are mixed.")] = 1
    source: Annotated[str, msgspec.Meta(max_length=100, description="Where the sound is from, for people.")] = ""


_CreateLive = operation(
    bodies={
        "application/json": form(
            {**schemas_of(LiveRequest), **{name: each for name, each in OPTIONS.items() if name not in NOT_LIVE}}
        )
    }
)
_ONE: Final = "/{job_id:str}"
_OFFSET: Final = [
    ResponseHeader(
        name="Upload-Offset", documentation_only=True, description="Bytes of sound that are on stable storage."
    )
]


@post(
    "/",
    operation_id="beginLive",
    operation_class=_CreateLive,
    summary="Begin a live session",
    description=(
        "A job whose recording grows. Send its sound with `PATCH` or `PUT` to the address in `Location`, read its text "
        "from the events of the job. The body is JSON with the format of the sound and the options of a job; all have "
        "defaults. A request with `Idempotency-Key` may be repeated: it returns the session that the first one began."
    ),
    status_code=201,
    response_headers=[
        ResponseHeader(name="Location", description="The address of the session.", documentation_only=True)
    ],
    responses=problems(403, 413, 422, 429, 503, 507),
)
async def begin(request: Incoming, service: Served, key: IdempotencyKey = None) -> Response[Job]:
    body = await request.body()
    wanted, options = _parse(body)
    live = LiveSession(wanted.source, wanted.rate, wanted.encoding, wanted.channels)
    parsed = parse_options(options, service.config.speech.preset)
    job = await service.jobs.begin_live(live, wanted.name, parsed, _session_key(key, body))
    return Response(job, status_code=201, headers={"Location": f"/api/live/{job.id}"})


async def append(request: Incoming, service: Served, job_id: JobId) -> Response[None]:
    """Store a piece of sound. With `Upload-Complete: ?1` it was the last."""
    refuse_compressed(request)
    stored = await service.live.append(job_id, _offset(request), Body(request.receive).__aiter__())
    if request.headers.get("upload-complete") == "?1":
        await service.live.end(job_id)
    return Response(None, status_code=204, headers=_headers(stored))


async def stream(request: Incoming, service: Served, job_id: JobId) -> Response[None]:
    """Store a body without end while it comes."""
    refuse_compressed(request)
    offset = None if request.headers.get("upload-offset") is None else _offset(request)
    stored = await service.live.append(job_id, offset, Body(request.receive).__aiter__())
    return Response(None, status_code=204, headers=_headers(stored))


async def head(service: Served, job_id: JobId) -> Response[None]:
    status = await service.live.status(job_id)
    gone = status.ended not in (None, LiveEnd.CLIENT)
    headers = {**_headers(status.offset), "Upload-Complete": "?0" if status.ended is None else "?1"}
    return Response(None, status_code=410 if gone else 200, headers=headers)


async def cut(service: Served, job_id: JobId) -> Job:
    return await service.live.cut(job_id)


async def end(service: Served, job_id: JobId) -> Job:
    return await service.live.end(job_id)


async def resume(service: Served, job_id: JobId) -> Job:
    return await service.live.resume(job_id)


def _parse(body: bytes) -> tuple[LiveRequest, dict[str, str]]:
    """Return what the body says of the sound, and the options beside it. Raises `InvalidRequest`."""
    hint = 'Send JSON like {"rate": 16000, "encoding": "s16le", "channels": 1} and options, or nothing.'
    try:
        content = msgspec.json.decode(body or b"{}", type=dict[str, Any])
        own = {name: value for name, value in content.items() if name in LiveRequest.__struct_fields__}
        wanted = msgspec.convert(own, LiveRequest)
    except msgspec.MsgspecError as error:
        field = str(error).partition(" - at `$.")[2].rstrip("`")
        raise InvalidRequest(f"The JSON cannot be read: {in_words(str(error))}.", hint=hint, field=field) from error
    for name in NOT_LIVE:
        if name in content and name not in own:
            raise InvalidRequest(f"A live session has no option {name}.", hint=hint, field=name)
    given = {
        name: value if isinstance(value, str) else msgspec.json.encode(value).decode()
        for name, value in content.items()
        if name not in own and value is not None
    }
    return wanted, given


def _session_key(key: str | None, body: bytes) -> SessionKey | None:
    """Return the key of a request with the hash of what the request asks for. Raises `InvalidRequest`."""
    if key is None:
        return None
    if not (key.isascii() and key.isprintable() and 0 < len(key) <= MAX_KEY):
        hint = f"Send up to {MAX_KEY} visible ASCII characters, like a UUID."
        raise InvalidRequest("The Idempotency-Key cannot be used.", hint=hint, field="Idempotency-Key")
    return SessionKey(key, hashlib.sha256(body).hexdigest())


def _offset(request: Incoming) -> int:
    text, field = request.headers.get("upload-offset", ""), "Upload-Offset"
    if not (text.isascii() and text.isdigit()):
        hint = "Send the number of bytes of sound that come before this piece."
        raise InvalidRequest("Upload-Offset is not a number.", hint=hint, field=field)
    if len(text.lstrip("0")) > MAX_DIGITS:
        raise TooLarge()
    return int(text)


def _headers(offset: int) -> dict[str, str]:
    return {"Upload-Offset": str(offset), "Cache-Control": "no-store"}


def _on_error(request: Incoming, error: ServiceError) -> Response[Any]:
    """Answer an error. Where it is known, the client is told where the sound on the disk ends."""
    answer = on_service_error((), request, error)
    if "offset" in error.params:
        answer.headers.update(_headers(error.params["offset"]))
    return answer


def _route(
    method: str, path: str, act: Any, operation_id: str, summary: str, status: int, *errors: int, about: str = ""
) -> HTTPRouteHandler:
    return HTTPRouteHandler(
        path,
        http_method=method,  # type: ignore[arg-type]
        operation_id=operation_id,
        summary=summary,
        description=about or None,
        status_code=status,
        response_headers=_OFFSET if status == 204 else None,
        request_max_body_size=None,
        responses=problems(403, 404, *errors),
    )(act)


router = Router(
    "/api/live",
    tags=["Live"],
    exception_handlers={ServiceError: _on_error},
    route_handlers=[
        begin,
        _route(
            "PATCH", _ONE, append, "appendLive", "Send a piece of sound", 204, 409, 413, 415, 422, 503, 507,
            about="The header `Upload-Offset` says how many bytes come before the piece. What is there already is "
            "passed over. The answer comes when the piece is on stable storage; its `Upload-Offset` says where to go "
            "on. A sample that is not complete is left out and has to be sent again. `Upload-Complete: ?1`: the last.",
        ),
        _route(
            "PUT", _ONE, stream, "streamLive", "Send sound without end", 204, 409, 413, 415, 422, 503, 507,
            about="The body goes on for as long as the sound does, and is stored every half second. It begins at "
            "`Upload-Offset`, or without that header behind what is there. The session stays open afterwards.",
        ),
        HTTPRouteHandler(_ONE, http_method="HEAD", status_code=200, include_in_schema=False)(head),
        _route("POST", f"{_ONE}/cut", cut, "cutLive", "Make text of what is heard so far", 200, 409),
        _route("POST", f"{_ONE}/end", end, "endLive", "End a session", 200, 503, 507),
        _route(
            "POST", f"{_ONE}/resume", resume, "resumeLive", "Go on with a session that ended", 200, 409, 503, 507,
            about="Only of one that ended because nothing was sent. More sound goes on with the same job.",
        ),
    ],
)  # fmt: skip
