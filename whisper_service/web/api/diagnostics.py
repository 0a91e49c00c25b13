"""Show operators what helps to find a fault: the log of the service, the logs of the actors, and all of it as one zip.

Known secrets, and text that looks like one, are removed from everything. Jobs are shown without their names and texts.
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
from whisper_service.config.active import secrets_of
from whisper_service.config.tokens import read_tokens
from whisper_service.core.domain import Value
from whisper_service.core.logs import LogEntry
from whisper_service.core.redaction import redact
from whisper_service.supervision import actor_logs
from whisper_service.web.http.content_disposition import content_disposition
from whisper_service.web.http.errors import problems
from whisper_service.web.http.parameters import Served

Level = Literal["debug", "info", "warning", "error"]
TAIL: Final = 64 * 1024
"""Bytes of each actor's log that go into the diagnostics."""
JOBS: Final = 50
LINES: Final = 2_000
ENVIRONMENT: Final = (
    "HF_", "HTTP", "NO_PROXY", "CUDA_", "NVIDIA_", "OMP_", "CT2_", "LD_LIBRARY_PATH", "WHISPER_SERVICE_", "LANG", "TZ",
)  # fmt: skip
"""Beginnings of the environment variables that go into the diagnostics."""
SECRET_WORDS: Final = ("TOKEN", "SECRET", "PASSWORD", "API_KEY")
"""An environment variable with one of these in its name holds a secret."""


class LogLines(Value, frozen=True):
    """Lines of the log, in order. The `seq` of the last is the `since` of the next request."""

    entries: list[LogEntry]


class ActorLog(Value, frozen=True):
    """The end of what an actor and its libraries wrote."""

    file: str
    bytes: int
    modified_at: float
    tail: str


class ActorLogs(Value, frozen=True):
    """The newest logs of every actor, newest first."""

    logs: list[ActorLog]


@get("/logs", operation_id="getLogs", summary="The last lines of the service's log", responses=problems(422))
async def logs(
    service: Served,
    since: Annotated[int, QueryParameter(ge=0, description="Only lines after this one.")] = 0,
    level: Annotated[Level, QueryParameter(description="Only lines of this level and above.")] = "info",
    limit: Annotated[int, QueryParameter(ge=1, le=LINES)] = 500,
) -> LogLines:
    return LogLines(_redacted(service.log.entries(since, level, limit), secrets(service)))


@get("/logs/children", operation_id="getChildLogs", summary="The end of each actor's log", responses=problems())
async def actors(service: Served) -> ActorLogs:
    return ActorLogs(await to_thread.run_sync(_actor_logs, service.logs, actor_logs.TAIL_BYTES, secrets(service)))


@get(
    "/diagnostics",
    operation_id="getDiagnostics",
    summary="All that helps to find a fault, as a zip to send, without secrets",
    media_type="application/zip",
    responses=problems(),
)
async def diagnostics(service: Served) -> Response[bytes]:
    parts = {
        "system.json": await service.system(),
        "readiness.json": service.readiness(),
        "settings.json": service.settings(),
        "jobs.json": [_anonymous(job) for job in await service.jobs.newest(JOBS)],
        "log.json": service.log.entries(limit=LINES),
    }
    content = await to_thread.run_sync(_pack, parts, service.logs, secrets(service))
    name = f"whisper_service-diagnostics-{strftime('%Y%m%d-%H%M%S')}.zip"
    headers = {"Content-Disposition": content_disposition("attachment", name), "Cache-Control": "no-store"}
    return Response(content, media_type="application/zip", headers=headers)


def secrets(service: Service) -> list[str]:
    """Return every secret that the process knows."""
    from_environment = [value for name, value in os.environ.items() if any(word in name for word in SECRET_WORDS)]
    return [*secrets_of(service.config), *read_tokens(service.config.security), *from_environment]


def _redacted(entries: list[LogEntry], hidden: Collection[str]) -> list[LogEntry]:
    return [
        msgspec.structs.replace(
            entry,
            message=redact(entry.message, hidden),
            facts={key: redact(value, hidden) for key, value in entry.facts.items()},
            traceback=entry.traceback and redact(entry.traceback, hidden),
        )
        for entry in entries
    ]


def _actor_logs(directory: Path, most: int, hidden: Collection[str]) -> list[ActorLog]:
    found = []
    for path in directory.glob("*.log"):
        try:
            stat = path.stat()
        except FileNotFoundError:  # one of the oldest, deleted just now
            continue
        tail = redact(actor_logs.tail(path, most), hidden)
        found.append(ActorLog(path.name, stat.st_size, round(stat.st_mtime, 3), tail))
    return sorted(found, key=lambda log: log.modified_at, reverse=True)


def _anonymous(job: Any) -> dict[str, Any]:
    """Return a job without what its owner may want to keep private."""
    fields: dict[str, Any] = msgspec.to_builtins(job)
    return fields | {
        "name": Path(job.name).suffix,
        "sha256": "",
        "origin": None,
        "tracks": [track | {"title": ""} for track in fields["tracks"]],
        "options": {k: v for k, v in fields["options"].items() if k not in ("prompt", "webhook")},
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
        for log in _actor_logs(directory, TAIL, hidden):
            archive.writestr(f"children/{log.file}", log.tail)
    return target.getvalue()


router = Router("/api", tags=["System"], route_handlers=[logs, actors, diagnostics])
