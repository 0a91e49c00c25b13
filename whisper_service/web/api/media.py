"""The recording itself, for a player that jumps about in it, and its waveform."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from anyio import to_thread
from litestar import Router
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.types import ASGIApp

from whisper_service.core.errors import NotFound
from whisper_service.web.api.jobs import JobId, Served, disposition
from whisper_service.web.http.errors import problems
from whisper_service.web.http.file_response import FileResponse

UNKNOWN: Final = "application/octet-stream"
HEAD: Final = 64
"""Bytes at the beginning of a file that tell its kind."""
_AUDIO_BRANDS: Final = frozenset({b"M4A ", b"M4B ", b"F4A ", b"F4B "})
_KINDS: Final = (
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
"""(place, bytes that stand there, media type). From the content, because the name is whatever a client said."""
_CACHE: Final = {
    "Cache-Control": "private, no-cache",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
}
"""A client's bytes are never a page of ours, not even when they are opened by their address."""


def media_type(head: bytes) -> str:
    """The kind of a recording by its first bytes; always audio, video or unknown, so that no browser takes it for a page."""
    for place, mark, kind in _KINDS:
        if head[place : place + len(mark)] == mark:
            return _ogg(head) if mark == b"OggS" else kind
    if head[4:8] == b"ftyp":
        return (
            "audio/mp4" if head[8:12] in _AUDIO_BRANDS else "video/quicktime" if head[8:12] == b"qt  " else "video/mp4"
        )
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return "video/webm" if b"webm" in head else "video/x-matroska"
    if len(head) >= 2 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0:  # a frame header: AAC has no layer, MP3 has
        return "audio/aac" if head[1] & 0x06 == 0 else "audio/mpeg"
    return UNKNOWN


def _ogg(head: bytes) -> str:
    return "video/ogg" if b"theora" in head else "audio/ogg"


async def media(service: Served, job_id: JobId) -> ASGIApp:
    job = await service.jobs.get(job_id)
    if job.media_removed:
        raise NotFound(
            "The recording was removed, as configured; the text is kept.",
            hint="It cannot be heard any more; export the text.",
        )
    if not job.sha256:
        raise NotFound("The recording is not here yet.", hint="It is being fetched; ask again when the job is in work.")
    path = await _there(service.jobs.recording(job.id), "The recording of this job is not on the disk any more.")
    kind = media_type(await to_thread.run_sync(_head, path))
    headers = {**_CACHE, "Content-Disposition": disposition("inline", job.name)}
    return FileResponse(path, kind, f'"{job.sha256[:32]}"', headers)


async def peaks(service: Served, job_id: JobId) -> ASGIApp:
    job = await service.jobs.get(job_id)
    path = await _there(service.jobs.waveform(job.id), "There is no waveform of this job yet.")
    stat = await to_thread.run_sync(path.stat)
    return FileResponse(path, UNKNOWN, f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"', _CACHE)


async def _there(path: Path, otherwise: str) -> Path:
    if not await to_thread.run_sync(path.is_file):
        raise NotFound(
            otherwise,
            hint="The waveform is written while the recording is decoded; the text can be exported in any case.",
        )
    return path


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD)


_MEANT: Final = {
    200: ResponseSpec(bytes, description="All of it", media_type=UNKNOWN, generate_examples=False),
    206: ResponseSpec(bytes, description="The range that was asked for", media_type=UNKNOWN, generate_examples=False),
    304: ResponseSpec(None, description="The client has it", generate_examples=False),
    **problems(404, 416, 422),
}
_GET: Final = {
    "/api/jobs/{job_id:str}/media": (
        media,
        "getMedia",
        "The recording as it was sent",
        "Takes `Range`, `If-Range` and `If-None-Match`; more than one range is answered with the whole file.",
    ),
    "/api/jobs/{job_id:str}/peaks": (
        peaks,
        "getPeaks",
        "The waveform",
        "Pairs of int8, the lowest and the highest sample of every 20 ms. It grows while the recording is decoded: "
        "`Range: bytes=<what is known>-` gets the rest.",
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
                responses=_MEANT,
            )(act),
            HTTPRouteHandler(path, http_method="HEAD", include_in_schema=False)(act),
        )
    ],
)
