"""The download child: fetches models from hubs, whole and checked or not at all.

Owns the order of a download: what is here already, which endpoint, what is missing, the checks, the place at the end; and
that something is reported every second. How a hub is asked is in `hub`, what its failures mean in `network`. One command
at a time, and no way to stop one: its parent kills the process, and the same command goes on where it stopped.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import msgspec

from whisper_service.actors.download import network_errors
from whisper_service.actors.download.network_errors import HubError, problem
from whisper_service.core.domain import Problem
from whisper_service.core.files import sync_directory, sync_file
from whisper_service.models.files import ORIGIN, ModelOrigin, missing_files, read_origin
from whisper_service.supervision.boot import Emit, Inbox
from whisper_service.supervision.faults import FaultKind
from whisper_service.supervision.protocol import (
    ConnectionTested,
    Download,
    Downloaded,
    DownloadProgress,
    EndpointResult,
    Fault,
    Ready,
    Report,
    Shutdown,
    TestConnection,
    partial_of,
)

if TYPE_CHECKING:
    from whisper_service.actors.download import hub

logger = logging.getLogger(__name__)

PROGRESS_S: Final = 1.0
"""Seconds between two reports."""
WINDOW_S: Final = 5.0
"""The speed is that of the last seconds."""
HOPELESS: Final = frozenset(
    {"offline", "disk_full", "not_writable", "target_occupied", "proxy_invalid", "repo_invalid"}
)
"""Cases that no other endpoint will help with."""


def run(inbox: Inbox, emit: Emit) -> None:
    """The entry of the process: do what is asked for until `Shutdown`."""
    from whisper_service.actors.download import hub

    emit(Ready(pid=os.getpid(), facts={"huggingface_hub": hub.VERSION}))
    while not isinstance(command := inbox.get(), Shutdown):
        if isinstance(command, Download):
            download(command, emit)
        elif isinstance(command, TestConnection):
            emit(check(command))


def download(command: Download, emit: Emit) -> None:
    """Fetch a model and report, whatever happens: one of the three borders where nothing may pass."""
    report: Report
    try:
        here = _here(command)
        if here is not None:
            report = here
        elif command.offline:
            report = _fault(command, problem("offline", repo=command.repo, model=command.model))
        else:
            with ProgressReporter(command, emit) as progress:
                report = _obtain(command, progress)
    except Exception as error:
        report = _fault(command, _explain(error, command, command.endpoints[0] if command.endpoints else ""))
    emit(report)


def check(command: TestConnection) -> ConnectionTested:
    """Ask each endpoint for the list of files and for one byte. Raises nothing."""
    results = []
    for endpoint in command.endpoints:
        found: Problem | None = None
        try:
            if command.offline:
                raise HubError(problem("offline", repo=command.repo, host=network_errors.host_of(endpoint)))
            hub, source = _open(command, endpoint)
            hub.touch(source, hub.look(source))
        except Exception as error:
            found = _explain(error, command, endpoint)
        results.append(EndpointResult(network_errors.public(endpoint), found))
    return ConnectionTested(repo=command.repo, results=tuple(results))


def _obtain(command: Download, progress: ProgressReporter) -> Report:
    """Go through the endpoints, and once more as long as that brings something."""
    while True:
        before = progress.on_disk()
        failed: list[EndpointResult] = []
        for endpoint in command.endpoints:
            progress.at(endpoint, tuple(failed))
            try:
                return _from(command, endpoint, progress)
            except Exception as error:
                found = _explain(error, command, endpoint, progress)
            facts = {"action": "endpoint_failed", "model": command.model, "code": found.code}
            logger.warning("%s: %s", network_errors.public(endpoint), found.message, extra=facts)
            if found.code in HOPELESS:
                return _fault(command, found)
            failed.append(EndpointResult(network_errors.public(endpoint), found))
        if progress.on_disk() <= before:
            return _fault(command, *(result.problem for result in failed if result.problem))


def _from(command: Download, endpoint: str, progress: ProgressReporter) -> Downloaded:
    """Get the model from this endpoint. Raises what `hub` raises, `HubError`, and `OSError`."""
    target, partial = Path(command.target), Path(partial_of(command.target))
    hub, source = _open(command, endpoint)
    listing = hub.look(source, command.patterns)
    partial.mkdir(parents=True, exist_ok=True)
    large = [file for file in listing.files if file.sha256 is not None]
    _sweep(partial, {hub.part_of(file, partial).name for file in large})
    progress.expect(listing.files, {file.name: hub.part_of(file, partial) for file in large})
    needed, have = progress.missing() + command.spare_bytes, shutil.disk_usage(partial).free
    if have < needed:
        raise HubError(problem("disk_full", **source.about, needed=needed, have=have))
    for file in large:
        hub.fetch(source, listing.commit, file, partial)
    hub.complete(source, listing, partial)
    progress.tell()
    shutil.rmtree(partial / ".cache", ignore_errors=True)
    sizes = {file.name: (partial / file.name).stat().st_size for file in listing.files}
    hashes = {file.name: file.sha256 for file in large if file.sha256}
    about = ModelOrigin(command.repo, listing.commit, network_errors.public(endpoint), sizes, hashes)
    (partial / ORIGIN).write_bytes(msgspec.json.encode(about))
    _put(partial, target)
    return Downloaded(
        model=command.model, path=str(target), bytes=_size(target), endpoint=network_errors.public(endpoint),
        revision=listing.commit, failed=progress.failed,
    )  # fmt: skip


def _open(command: Download | TestConnection, endpoint: str) -> tuple[Any, hub.Repo]:
    """The library, set up for this command. Returns the module, because only a child that downloads ever loads it."""
    from whisper_service.actors.download import hub

    hub.configure(command.proxy, command.connect_timeout_s, command.read_timeout_s)
    return hub, hub.Repo(endpoint, command.repo, command.revision, command.token)


def _here(command: Download) -> Downloaded | None:
    """The report for a model that is complete already; asks nobody. Raises `HubError` if something else is in its place."""
    target = Path(command.target)
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return None
    sizes = {path.name: _length(path) for path in target.iterdir() if path.is_file()} if target.is_dir() else {}
    known = read_origin(target)
    if missing_files([name for name, size in sizes.items() if size]) or any(
        sizes.get(name) != size for name, size in known.files.items()
    ):
        raise HubError(problem("target_occupied", path=str(target), repo=command.repo))
    return Downloaded(model=command.model, path=str(target), bytes=_size(target), revision=known.revision)


def _sweep(partial: Path, parts: set[str]) -> None:
    """Remove what belongs to another revision, or was left behind by a process that was killed."""
    for path in partial.glob("*.part"):
        if path.name not in parts:
            path.unlink()
    for path in (partial / ".cache").rglob("*.incomplete"):
        path.unlink()


def _put(partial: Path, target: Path) -> None:
    """Bring everything to stable storage, then give it its name: others see all of it or nothing."""
    for path in partial.iterdir():
        if path.is_file():
            with path.open("rb") as file:
                sync_file(file)
    if target.is_dir():
        target.rmdir()  # an empty one, which some systems do not replace
    partial.replace(target)
    for directory in (target, target.parent):
        sync_directory(directory)


def _size(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.iterdir() if path.is_file() and path.name != ORIGIN)


def _explain(
    error: BaseException, command: Download | TestConnection, endpoint: str, progress: ProgressReporter | None = None
) -> Problem:
    if isinstance(command, Download) and network_errors.disk_is_full(error):
        have = shutil.disk_usage(Path(partial_of(command.target)).parent).free
        needed = (progress.missing() if progress else 0) + command.spare_bytes
        return problem("disk_full", repo=command.repo, needed=needed, have=have)
    found = network_errors.explain(
        error,
        endpoint=endpoint,
        proxy=network_errors.proxy_for(endpoint, command.proxy),
        repo=command.repo,
        revision=command.revision,
        secrets=network_errors.secrets_of(command.token, command.proxy, *command.endpoints),
    )
    if found.code == "download_failed":
        logger.warning("unexpected: %s", type(error).__name__, extra={"action": "download_failed"})
    return found


def _fault(command: Download, *problems: Problem) -> Fault:
    """The report for a download that failed; of several endpoints, what the one says that got furthest."""
    order = list(network_errors.CASES)
    worst = max(problems, key=lambda found: order.index(found.code))
    if len(problems) > 1:
        each = [{"endpoint": found.params.get("endpoint"), "code": found.code} for found in problems]
        worst = Problem(worst.code, worst.message, worst.hint, {**worst.params, "endpoints": each})
    kind = FaultKind.DISK_FULL if worst.code == "disk_full" else FaultKind.MODEL_UNAVAILABLE
    return Fault(scope="download", kind=kind.value, problem=worst, model=command.model)


class ProgressReporter:
    """Reports what has come, every second, for as long as it is open.

    It looks at the disk and at nothing else: no retry and no restart can fool it.
    """

    def __init__(self, command: Download, emit: Emit, clock: Callable[[], float] = time.monotonic) -> None:
        self.failed: tuple[EndpointResult, ...] = ()
        self._model = command.model
        self._partial = Path(partial_of(command.target))
        self._emit = emit
        self._clock = clock
        self._endpoint = ""
        self._sizes: dict[str, int | None] = {}
        self._parts: dict[str, Path] = {}
        self._seen: deque[tuple[float, int]] = deque()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()  # nothing may come after the last word

    def at(self, endpoint: str, failed: tuple[EndpointResult, ...]) -> None:
        """From now on it is this endpoint, after these."""
        self._endpoint, self.failed = network_errors.public(endpoint), failed

    def expect(self, files: tuple[hub.RepoFile, ...], parts: dict[str, Path]) -> None:
        """These are the files; `parts` is where the large ones of them grow."""
        with self._lock:
            self._parts, self._sizes = parts, {file.name: file.size for file in files}
            self._seen.clear()  # what is here from earlier did not come now
        self.tell()

    def tell(self) -> None:
        """Report now."""
        with self._lock:
            self._emit(self._report())

    def on_disk(self) -> int:
        """Bytes of the wanted files that have come."""
        return sum(_length(self._parts.get(name)) or _length(self._partial / name) for name in self._sizes)

    def missing(self) -> int:
        """Bytes that have not come yet, as far as it is known."""
        return max(0, sum(size or 0 for size in self._sizes.values()) - self.on_disk())

    def _run(self) -> None:
        while True:
            self.tell()
            if self._stop.wait(PROGRESS_S):
                return

    def _report(self) -> DownloadProgress:
        now, have = self._clock(), self.on_disk()
        self._seen.append((now, have))
        while len(self._seen) > 2 and now - self._seen[1][0] >= WINDOW_S:
            self._seen.popleft()
        since, before = self._seen[0]
        speed = max(0.0, (have - before) / (now - since)) if now > since else 0.0
        sizes = list(self._sizes.values())
        total = sum(size or 0 for size in sizes) if sizes and None not in sizes else None
        left = None if total is None or not speed else max(0, total - have) / speed
        return DownloadProgress(
            model=self._model,
            bytes=have,
            total=total,
            speed_bps=speed,
            eta_s=left,
            endpoint=self._endpoint,
            failed=self.failed,
        )


def _length(path: Path | None) -> int:
    try:
        return path.stat().st_size if path else 0
    except FileNotFoundError:  # it has not begun, or was given its final name just now
        return 0
