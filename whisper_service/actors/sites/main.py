"""The sites actor: fetches the recording behind a web page with yt-dlp, one page in the life of a process.

`library` is yt-dlp, `confinement` limits what this process may do, `site_problems` explains failures.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from importlib import metadata
from ipaddress import ip_network
from pathlib import Path
from typing import Final

from whisper_service.actors.sites import site_problems
from whisper_service.actors.sites.confinement import Confinement
from whisper_service.actors.sites.library import Found, ManyFound, SiteLibrary, describe, is_live
from whisper_service.actors.sites.site_problems import explain
from whisper_service.core.domain import Problem
from whisper_service.core.errors import DiskFull, LinkFailed
from whisper_service.core.files import is_disk_full, sync_file
from whisper_service.supervision.boot import Emit, Inbox
from whisper_service.supervision.messages.base import Ready, Shutdown
from whisper_service.supervision.messages.sites import FetchSite, SiteFailed, SiteFetched, SiteFound, SiteProgress
from whisper_service.supervision.protocol import Report

FILE: Final = "recording"
REPORT_S: Final = 0.5
"""How often the progress is reported."""


class Refused(Exception):
    """The recording is not accepted."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(problem.message)


def run(inbox: Inbox, emit: Emit) -> None:
    """Answer one command, then wait for `Shutdown`. This function is the entry of the process."""
    emit(Ready(pid=os.getpid(), facts={"yt_dlp": metadata.version("yt-dlp")}))
    while not isinstance(command := inbox.get(), Shutdown):
        if isinstance(command, FetchSite):
            emit(fetch(command, emit))


def fetch(command: FetchSite, emit: Emit) -> Report:
    """Fetch the recording of a web page, emit what is found and the progress, and return the last report.

    Confines this process to the folder of the command. Raises nothing.
    """
    confinement = Confinement(Path(command.folder), tuple(map(ip_network, command.allowed_networks)))
    confinement.begin()
    try:
        return _fetch(command, emit)
    except Refused as error:
        return SiteFailed(error.problem)
    except ManyFound as error:
        return SiteFailed(site_problems.problem("site_playlist", count=error.count))
    except Exception as error:
        if confinement.refused:
            return SiteFailed(_refused_address(confinement.refused[-1]))
        if isinstance(error, OSError) and is_disk_full(error):
            return SiteFailed(DiskFull().problem)
        problem, shown = explain(describe(error))
        again = LinkFailed(f"The link could not be fetched: {shown}.", reason=shown).problem
        return SiteFailed(problem or again, again=problem is None)


def _fetch(command: FetchSite, emit: Emit) -> SiteFetched:
    library = SiteLibrary(Path(command.folder), command.timeout_s)
    found = library.find(command.url)
    duration_s = _number(found, "duration")
    total = _number(found, "filesize")
    _check(command, found, duration_s)
    _check_size(command, int(total or 0))
    emit(SiteFound(str(found.get("title") or ""), duration_s, None if total is None else int(total)))
    path = Path(command.folder) / FILE
    library.fetch(found, path, _reporter(command, emit))
    with path.open("r+b") as file:
        sync_file(file)
    size = path.stat().st_size
    _check_size(command, size)
    return SiteFetched(str(path), size)


def _reporter(command: FetchSite, emit: Emit) -> Callable[[int, int | None], None]:
    """Return a function that takes the bytes so far, checks them, and emits them now and then."""
    reported = -REPORT_S

    def report(done: int, total: int | None) -> None:
        nonlocal reported
        _check_size(command, done)
        now = time.monotonic()
        if now - reported >= REPORT_S:
            reported = now
            emit(SiteProgress(done, total))

    return report


def _check(command: FetchSite, found: Found, duration_s: float | None) -> None:
    """Raise `Refused` for a live stream and for a recording that is too long."""
    if is_live(found):
        raise Refused(site_problems.problem("site_live"))
    if command.max_duration_s and duration_s is not None and duration_s > command.max_duration_s:
        facts = {"minutes": round(duration_s / 60), "limit": round(command.max_duration_s / 60)}
        raise Refused(site_problems.problem("site_too_long", **facts))


def _check_size(command: FetchSite, size: int) -> None:
    """Raise `Refused` for more bytes than are accepted."""
    if command.max_bytes and size > command.max_bytes:
        raise Refused(site_problems.problem("site_too_large", limit=command.max_bytes >> 20))


def _number(found: Found, key: str) -> float | None:
    """Return a number that a site gives, None if it gives none that makes sense."""
    value = found.get(key)
    return float(value) if isinstance(value, (int, float)) and 0 < value < float("inf") else None


def _refused_address(address: str) -> Problem:
    hint = "If the address is in your own network, add that to links.allowed_networks."
    message = f"The link could not be fetched: the web page leads to {address}, which must not get requests."
    return LinkFailed(message, hint=hint).problem
