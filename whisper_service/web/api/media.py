"""Send the recording or its listening copy to a player, which may jump within it, and the waveform."""

from __future__ import annotations

from functools import partial
from pathlib import Path, PurePath
from typing import Annotated, Final

from anyio import to_thread
from litestar import Router
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import QueryParameter
from litestar.types import ASGIApp

from whisper_service.core.domain import Playable
from whisper_service.core.errors import NotFound
from whisper_service.web.http.content_disposition import content_disposition
from whisper_service.web.http.errors import problems
from whisper_service.web.http.file_response import FileResponse, RangedSource
from whisper_service.web.http.parameters import JobId, Served

UNKNOWN: Final = "application/octet-stream"
COPY: Final = "audio/webm"
"""The type of a listening copy: Opus in WebM."""
HEAD: Final = 64
"""Bytes at the beginning of a file that tell its type."""
_AUDIO_BRANDS: Final = frozenset({b"M4A ", b"M4B ", b"F4A ", b"F4B "})
_SIGNATURES: Final = (
    (0, b"ID3", "audio/mpeg"),
    (0, b"fLaC", "audio/flac"),
    (0, b"OggS", "audio/ogg"),
    (0, b"#!AMR", "audio/amr"),
    (0, b"caff", "audio/x-caf"),
    (0, b"FLV\x01", "video/x-flv"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "video/x-ms-asf"),
    (0, b"\x00\x00\x01\xba", "video/mpeg"),
    (8, b"WAVE", "audio/wav"),
    (8, b"AVI ", "video/x-msvideo"),
    (8, b"AIFF", "audio/aiff"),
    (8, b"AIFC", "audio/aiff"),
)
"""(offset, bytes at that offset, media type). The content decides, because clients choose the name."""
_HEADERS: Final = {
    "Cache-Control": "private, no-cache",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
}
"""A file of a client never acts as a page of this service, even if a browser opens its address."""


def media_type(head: bytes) -> str:
    """Return the type of a recording by its first bytes: audio, video or unknown, so never a page for a browser."""
    for offset, signature, kind in _SIGNATURES:
        if head[offset : offset + len(signature)] == signature:
            return "video/ogg" if signature == b"OggS" and b"theora" in head else kind
    if head[4:8] == b"ftyp":
        brand = head[8:12]
        return "audio/mp4" if brand in _AUDIO_BRANDS else "video/quicktime" if brand == b"qt  " else "video/mp4"
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return "video/webm" if b"webm" in head else "video/x-matroska"
    if len(head) >= 2 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0:  # a frame header: AAC has no layer, MP3 has
        return "audio/aac" if head[1] & 0x06 == 0 else "audio/mpeg"
    return UNKNOWN


Original = Annotated[
    bool | None,
    QueryParameter(
        description="true: the recording as it was sent. false: its listening copy, if there is one. Without it: what "
        "`playable` of the job says, else the recording."
    ),
]


async def media(service: Served, job_id: JobId, original: Original = None) -> ASGIApp:
    job = await service.jobs.get(job_id)
    if job.media_removed:
        message = "The recording was deleted, as configured. Its text was kept."
        raise NotFound(message, hint="Export the text. To hear the recording here, send it again.")
    if not job.sha256 and job.live is None:
        hint = "The service is fetching it. Try again when the job is in work."
        raise NotFound("The recording is not here yet.", hint=hint)
    wants_copy = job.playable is Playable.COPY if original is None else not original
    if job.copy_bytes and wants_copy:
        copy = await _existing(service.jobs.listening_copy(job.id), "The listening copy is not on the disk any more.")
        name = content_disposition("inline", PurePath(job.name).stem + ".webm")
        return FileResponse(copy, COPY, await _etag_of(copy), {**_HEADERS, "Content-Disposition": name})
    path = service.jobs.recording(job.id)
    headers = {**_HEADERS, "Content-Disposition": content_disposition("inline", job.name)}
    if not await to_thread.run_sync(path.is_file) and (stored := await service.jobs.stored_recording(job.id)):
        read = partial(service.jobs.read_stored, stored)
        kind = media_type(await read(0, min(HEAD, stored.bytes)))
        return FileResponse(RangedSource(stored.bytes, read), kind, f'"{stored.sha256[:32]}"', headers)
    path = await _existing(path, "The recording of this job is not on the disk any more.")
    kind = media_type(await to_thread.run_sync(_head, path))
    etag = f'"{job.sha256[:32]}"' if job.sha256 else await _etag_of(path)
    return FileResponse(path, kind, etag, headers)


Fine = Annotated[
    bool,
    QueryParameter(
        description="true: a pair for every 5 ms. Recordings that an earlier version took have no such waveform: 404."
    ),
]


async def peaks(service: Served, job_id: JobId, fine: Fine = False) -> ASGIApp:
    job = await service.jobs.get(job_id)
    missing = "There is no fine waveform of this job." if fine else "There is no waveform of this job yet."
    path = await _existing(service.jobs.waveform(job.id, fine=fine), missing)
    return FileResponse(path, UNKNOWN, await _etag_of(path), _HEADERS)


async def _existing(path: Path, message: str) -> Path:
    if not await to_thread.run_sync(path.is_file):
        hint = "The waveform is written while the recording is decoded. The text can be exported in any case."
        raise NotFound(message, hint=hint)
    return path


async def _etag_of(path: Path) -> str:
    stat = await to_thread.run_sync(path.stat)
    return f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"'


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD)


_RESPONSES: Final = {
    200: ResponseSpec(bytes, description="The whole file", media_type=UNKNOWN, generate_examples=False),
    206: ResponseSpec(bytes, description="The range of the request", media_type=UNKNOWN, generate_examples=False),
    304: ResponseSpec(None, description="The client has the file", generate_examples=False),
    **problems(404, 416, 422, 503),
}
_GET: Final = {
    "/api/jobs/{job_id:str}/media": (
        media,
        "getMedia",
        "What plays of the recording",
        "The recording as it was sent, or its listening copy (Opus in WebM, mono) where browsers cannot play the "
        "recording, or not at the times of its transcript. Accepts `Range`, `If-Range` and `If-None-Match`. A request "
        "for more than one range gets the whole file.",
    ),
    "/api/jobs/{job_id:str}/peaks": (
        peaks,
        "getPeaks",
        "The waveform",
        "Pairs of int8: the lowest and the highest sample of every 20 ms, or with `fine=true` of every 5 ms. The file "
        "grows while the recording is decoded. `Range: bytes=<bytes so far>-` gets the rest; other ranges get a part.",
    ),
}

router = Router(
    "/",
    tags=["Jobs"],
    route_handlers=[
        handler
        for path, (act, operation, summary, description) in _GET.items()
        for handler in (
            HTTPRouteHandler(
                path,
                http_method="GET",
                operation_id=operation,
                summary=summary,
                description=description,
                responses=_RESPONSES,
            )(act),
            HTTPRouteHandler(path, http_method="HEAD", include_in_schema=False)(act),
        )
    ],
)
