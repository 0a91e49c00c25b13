"""The download actor: downloads models from hubs, each one whole and checked or not at all.

This module decides the order of a download: what is on the disk already, which endpoint, what is missing, the checks,
and the rename at the end. `hub` makes the requests and `network_errors` explains their failures.

The actor does one command at a time and cannot be asked to stop: the supervisor kills the process, and a later
process with the same command goes on where this one stopped.
"""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from whisper_service.actors.download import hub
from whisper_service.actors.download.hub_problems import CASES, HubError, problem
from whisper_service.actors.download.network_errors import (
    disk_is_full,
    explain,
    host_of,
    proxy_for,
    public,
    secrets_of,
)
from whisper_service.actors.download.progress import ProgressReporter
from whisper_service.core.domain import Problem
from whisper_service.core.files import sync_directory, sync_file
from whisper_service.models.files import ORIGIN, ModelOrigin, file_size, missing_files, read_origin
from whisper_service.supervision.boot import Emit, Inbox
from whisper_service.supervision.faults import FaultKind
from whisper_service.supervision.messages.base import Fault, Ready, Shutdown
from whisper_service.supervision.messages.download import (
    ConnectionTested,
    Download,
    Downloaded,
    EndpointState,
    RemoteFile,
    TestConnection,
    partial_of,
)
from whisper_service.supervision.protocol import Report

logger = logging.getLogger(__name__)

LOCAL_CODES: Final = frozenset(
    {"offline", "disk_full", "not_writable", "target_occupied", "proxy_invalid", "repo_invalid"}
)
"""Problems that every endpoint has in common, so no other endpoint is tried."""


def run(inbox: Inbox, emit: Emit) -> None:
    """Answer commands until `Shutdown`. This function is the entry of the process."""
    emit(Ready(pid=os.getpid(), facts={"huggingface_hub": hub.VERSION}))
    while not isinstance(command := inbox.get(), Shutdown):
        if isinstance(command, Download):
            emit(download(command, emit))
        elif isinstance(command, TestConnection):
            emit(test_connection(command))


def download(command: Download, emit: Emit) -> Report:
    """Download a model, emit its progress, and return the last report. Raises nothing."""
    try:
        if (installed := _installed(command)) is not None:
            return installed
        if command.hub.offline:
            return _fault(command, problem("offline", repo=command.repo, model=command.model))
        with ProgressReporter(command, emit) as progress:
            return _try_endpoints(command, progress)
    except Exception as error:
        return _fault(command, _explain(error, command, next(iter(command.hub.endpoints), "")))


def test_connection(command: TestConnection) -> ConnectionTested:
    """Request the list of files and one byte from each endpoint. Raises nothing."""
    results = []
    for endpoint in command.hub.endpoints:
        found: Problem | None = None
        try:
            if command.hub.offline:
                raise HubError(problem("offline", repo=command.repo, host=host_of(endpoint)))
            source = _repo(command, endpoint)
            listing = hub.find_file(source, command.path) if command.path else hub.list_files(source)
            hub.request_one_byte(source, listing)
        except Exception as error:
            found = _explain(error, command, endpoint)
        results.append(EndpointState(public(endpoint), found))
    return ConnectionTested(tuple(results))


def _try_endpoints(command: Download, progress: ProgressReporter) -> Report:
    """Try the endpoints in order. If all fail and some bytes came, try all of them again."""
    while True:
        before = progress.on_disk()
        failed: list[EndpointState] = []
        for endpoint in command.hub.endpoints:
            address = public(endpoint)
            progress.use_endpoint(address, tuple(failed))
            try:
                return _download_from(command, endpoint, progress)
            except Exception as error:
                found = _explain(error, command, endpoint, progress)
            facts = {"action": "endpoint_failed", "model": command.model, "code": found.code}
            logger.warning("endpoint %s failed: %s", address, found.message, extra=facts)
            if found.code in LOCAL_CODES:
                return _fault(command, found)
            failed.append(EndpointState(address, found))
        if progress.on_disk() <= before:
            return _fault(command, *(result.problem for result in failed if result.problem))


def _download_from(command: Download, endpoint: str, progress: ProgressReporter) -> Downloaded:
    """Download the model from this endpoint. Raises `HubError`, `OSError` and every exception of the library."""
    partial = Path(partial_of(command.target))
    if command.files:
        origin = _download_files(command, endpoint, progress, partial)
        return _complete(command, endpoint, origin)
    source = _repo(command, endpoint)
    listing = hub.list_files(source)
    partial.mkdir(parents=True, exist_ok=True)
    large = [file for file in listing.files if file.sha256 is not None]
    parts = {file.name: hub.part_path(file, partial) for file in large}
    _delete_leftovers(partial, set(parts.values()))
    progress.expect(listing.files, parts)
    _check_room(command, source, progress, partial)
    for file in large:
        hub.download_large(source, listing.commit, file, partial)
    hub.download_rest(source, listing, partial)
    progress.report()
    sizes = {file.name: (partial / file.name).stat().st_size for file in listing.files}
    hashes = {file.name: file.sha256 for file in large if file.sha256}
    return _complete(command, endpoint, ModelOrigin(command.repo, listing.commit, public(endpoint), sizes, hashes))


def _download_files(command: Download, endpoint: str, progress: ProgressReporter, partial: Path) -> ModelOrigin:
    """Download the files of a model from the repos that have them, and return their origin. Raises as its caller."""
    found = [_find(command, endpoint, wanted) for wanted in command.files]
    partial.mkdir(parents=True, exist_ok=True)
    files = tuple(each.file for each in found)
    parts = {file.name: hub.part_path(file, partial) for file in files}
    _delete_leftovers(partial, set(parts.values()))
    progress.expect(files, parts)
    _check_room(command, found[0].source, progress, partial)
    for each in found:
        hub.download_large(each.source, each.commit, each.file, partial, each.path)
    progress.report()
    sizes = {file.name: (partial / file.name).stat().st_size for file in files}
    hashes = {file.name: file.sha256 for file in files if file.sha256}
    return ModelOrigin(command.repo, None, public(endpoint), sizes, hashes)


class _Found(NamedTuple):
    """A file that a repo has under `path`. The name of `file` is that in the directory of the model."""

    source: hub.Repo
    commit: str
    path: str
    file: hub.RepoFile


def _find(command: Download, endpoint: str, wanted: RemoteFile) -> _Found:
    """Return the first source that has a file. Raises what the last source raised."""
    *others, last = wanted.sources
    for repo, path in others:
        try:
            return _find_in(command, endpoint, repo, path, wanted.name)
        except Exception as error:
            facts = {"action": "source_failed", "model": command.model, "repo": repo}
            logger.warning("%s has no %s: %s", repo, path, _explain(error, command, endpoint).message, extra=facts)
    return _find_in(command, endpoint, *last, wanted.name)


def _find_in(command: Download, endpoint: str, repo: str, path: str, name: str) -> _Found:
    source = _repo(command, endpoint)._replace(repo=repo)
    listing = hub.find_file(source, path)
    return _Found(source, listing.commit, path, listing.files[0]._replace(name=name))


def _check_room(command: Download, source: hub.Repo, progress: ProgressReporter, partial: Path) -> None:
    """Raise `HubError` if what is missing does not fit on the disk."""
    needed, have = progress.missing() + command.spare_bytes, shutil.disk_usage(partial).free
    if have < needed:
        raise HubError(problem("disk_full", **source.about, needed=needed, have=have))


def _complete(command: Download, endpoint: str, origin: ModelOrigin) -> Downloaded:
    """Write the origin of a downloaded model, and bring the model to its place."""
    partial = Path(partial_of(command.target))
    shutil.rmtree(partial / ".cache", ignore_errors=True)
    (partial / ORIGIN).write_bytes(msgspec.json.encode(origin))
    _install(partial, Path(command.target))
    return _downloaded(command, public(endpoint))


def _repo(command: Download | TestConnection, endpoint: str) -> hub.Repo:
    """Return the repo of a command, after the library got the settings of that command."""
    hub.configure(command.hub)
    return hub.Repo(endpoint, command.repo, command.hub.token)


def _installed(command: Download) -> Downloaded | None:
    """Return the report for a model that is complete already, without a request.

    Raises `HubError` if the target is no complete model and not an empty folder.
    """
    target = Path(command.target)
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return None
    sizes = {path.name: file_size(path) for path in target.iterdir() if path.is_file()} if target.is_dir() else {}
    origin = read_origin(target)
    names = [name for name, size in sizes.items() if size]
    missing = [file.name for file in command.files if file.name not in names] if command.files else missing_files(names)
    if missing or any(sizes.get(name) != size for name, size in origin.files.items()):
        raise HubError(problem("target_occupied", path=str(target), repo=command.repo))
    return _downloaded(command)


def _downloaded(command: Download, endpoint: str = "") -> Downloaded:
    files = (path for path in Path(command.target).iterdir() if path.is_file() and path.name != ORIGIN)
    return Downloaded(command.model, sum(map(file_size, files)), endpoint)


def _delete_leftovers(partial: Path, parts: set[Path]) -> None:
    """Delete the parts of other revisions, and what the library left when a process was killed."""
    for path in partial.glob("*.part"):
        if path not in parts:
            path.unlink()
    for path in (partial / ".cache").rglob("*.incomplete"):
        path.unlink()


def _install(partial: Path, target: Path) -> None:
    """Bring every file to stable storage, then rename the folder: readers see all of it or nothing."""
    for path in partial.iterdir():
        if path.is_file():
            with path.open("rb") as file:
                sync_file(file)
    if target.is_dir():
        target.rmdir()  # an empty folder, which some systems do not replace
    partial.replace(target)
    for directory in (target, target.parent):
        sync_directory(directory)


def _explain(
    error: BaseException, command: Download | TestConnection, endpoint: str, progress: ProgressReporter | None = None
) -> Problem:
    """Return the problem behind an exception, without the secrets of the command."""
    if isinstance(command, Download) and disk_is_full(error):
        have = shutil.disk_usage(Path(partial_of(command.target)).parent).free
        needed = (progress.missing() if progress else 0) + command.spare_bytes
        return problem("disk_full", repo=command.repo, needed=needed, have=have)
    found = explain(
        error,
        endpoint=endpoint,
        proxy=proxy_for(endpoint, command.hub.proxy),
        repo=command.repo,
        secrets=secrets_of(command.hub.token, command.hub.proxy, *command.hub.endpoints),
    )
    if found.code == "download_failed":
        facts = {"action": "download_failed"}
        logger.warning("the download failed with an unknown error, %s", type(error).__name__, extra=facts)
    return found


def _fault(command: Download, *problems: Problem) -> Fault:
    """Return the report for a failed download, with the problem of the endpoint that got furthest."""
    order = list(CASES)
    furthest = max(problems, key=lambda found: order.index(found.code))
    if len(problems) > 1:
        each = [{"endpoint": found.params.get("endpoint"), "code": found.code} for found in problems]
        furthest = Problem(furthest.code, furthest.message, furthest.hint, {**furthest.params, "endpoints": each})
    kind = FaultKind.DISK_FULL if furthest.code == "disk_full" else FaultKind.MODEL_UNAVAILABLE
    return Fault(scope="download", kind=kind.value, problem=furthest, model=command.model)
