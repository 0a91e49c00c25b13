"""What operators look at when something is wrong: the log, the last words of the children, and all of it as one file to send.

Nothing secret leaves here: known secrets and what looks like one are taken out of everything. Jobs are told without their names
and texts.
"""

from __future__ import annotations

import io
import os
import platform
import sqlite3
import zipfile
from collections.abc import Collection
from importlib.metadata import distributions
from pathlib import Path
from time import strftime
from typing import Annotated, Any, Final, Literal

import msgspec
from anyio import to_thread
from litestar import Response, Router, get
from litestar.params import QueryParameter

from whisper_service.app.service import Service
from whisper_service.config import runtime
from whisper_service.config.tokens import read_tokens
from whisper_service.core.domain import Value
from whisper_service.core.logs import LogEntry
from whisper_service.core.redaction import redact
from whisper_service.supervision import actor_logs
from whisper_service.web.api.jobs import Served, disposition
from whisper_service.web.http.errors import problems

Level = Literal["debug", "info", "warning", "error"]
WORDS: Final = 64 * 1024
"""Bytes of each child's log that go into the diagnostics."""
JOBS: Final = 50
ENVIRONMENT: Final = (
    "HF_",
    "HTTP",
    "NO_PROXY",
    "CUDA_",
    "NVIDIA_",
    "OMP_",
    "CT2_",
    "LD_LIBRARY_PATH",
    "WHISPER_SERVICE_",
    "LANG",
    "TZ",
)


class LogLines(Value, frozen=True):
    """Lines of the log, in order; the `seq` of the last is the `since` of the next request."""

    entries: list[LogEntry]


class ActorLog(Value, frozen=True):
    """What a child and the libraries in it wrote, its last part."""

    file: str
    bytes: int
    modified_at: float
    tail: str


class ActorLogs(Value, frozen=True):
    """The newest first; the last few of every child are kept."""

    logs: list[ActorLog]


@get("/logs", operation_id="getLogs", summary="The last lines of the service's log", responses=problems(422))
async def logs(
    service: Served,
    since: Annotated[int, QueryParameter(ge=0, description="Only lines after this one.")] = 0,
    level: Annotated[Level, QueryParameter(description="Only lines of this weight or more.")] = "info",
    limit: Annotated[int, QueryParameter(ge=1, le=2_000)] = 500,
) -> LogLines:
    return LogLines(_clean(service.log.entries(since, level, limit), secrets(service)))


@get("/logs/children", operation_id="getChildLogs", summary="The last words of the children", responses=problems())
async def children(service: Served) -> ActorLogs:
    return ActorLogs(await to_thread.run_sync(_children, service.logs, actor_logs.TAIL_BYTES, secrets(service)))


@get(
    "/diagnostics",
    operation_id="getDiagnostics",
    summary="All that helps to find a fault, as a zip to send, without secrets",
    media_type="application/zip",
    responses=problems(),
)
async def diagnostics(service: Served) -> Response[bytes]:
    hidden = secrets(service)
    parts = {
        "system.json": await service.system(),
        "readiness.json": service.readiness(),
        "settings.json": service.settings.list(),
        "jobs.json": [_plain(job) for job in await service.jobs.newest(JOBS)],
        "log.json": service.log.entries(limit=2_000),
    }
    content = await to_thread.run_sync(_pack, parts, service.logs, hidden)
    name = f"whisper_service-diagnostics-{strftime('%Y%m%d-%H%M%S')}.zip"
    return Response(
        content,
        media_type="application/zip",
        headers={"Content-Disposition": disposition("attachment", name), "Cache-Control": "no-store"},
    )


def secrets(service: Service) -> list[str]:
    """Every secret that this process knows."""
    named = [
        value
        for name, value in os.environ.items()
        if any(word in name for word in ("TOKEN", "SECRET", "PASSWORD", "API_KEY"))
    ]
    return [*runtime.secrets_of(service.config), *read_tokens(service.config.security), *named]


def _clean(entries: list[LogEntry], hidden: Collection[str]) -> list[LogEntry]:
    return [
        msgspec.structs.replace(
            entry,
            message=redact(entry.message, hidden),
            facts={key: redact(value, hidden) for key, value in entry.facts.items()},
            traceback=entry.traceback and redact(entry.traceback, hidden),
        )
        for entry in entries
    ]


def _children(directory: Path, most: int, hidden: Collection[str]) -> list[ActorLog]:
    found = []
    for path in directory.glob("*.log"):
        try:
            stat = path.stat()
        except FileNotFoundError:  # one of the oldest, which has just gone
            continue
        found.append(
            ActorLog(path.name, stat.st_size, round(stat.st_mtime, 3), redact(actor_logs.tail(path, most), hidden))
        )
    return sorted(found, key=lambda log: log.modified_at, reverse=True)


def _plain(job: Any) -> dict[str, Any]:
    """A job without what is its owner's own."""
    plain: dict[str, Any] = msgspec.to_builtins(job)
    return plain | {
        "name": Path(job.name).suffix,
        "sha256": "",
        "origin": None,
        "options": {k: v for k, v in plain["options"].items() if k not in ("prompt", "webhook")},
    }


def _pack(parts: dict[str, Any], directory: Path, hidden: Collection[str]) -> bytes:
    parts["machine.json"] = {
        "platform": platform.platform(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "cpus": os.cpu_count(),
        "environment": {
            name: value for name, value in sorted(os.environ.items()) if name.upper().startswith(ENVIRONMENT)
        },
        "packages": sorted({f"{found.name}=={found.version}" for found in distributions()}),
    }
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in parts.items():
            text = msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=2).decode()
            archive.writestr(name, redact(text, hidden))
        for log in _children(directory, WORDS, hidden):
            archive.writestr(f"children/{log.file}", log.tail)
    return target.getvalue()


router = Router("/api", tags=["System"], route_handlers=[logs, children, diagnostics])
