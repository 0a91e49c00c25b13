"""What we ask of a hub, through `huggingface_hub`: what a repo holds, its files, and whether they can be had.

Owns the settings of that library in this process. It is imported only after `ENVIRONMENT` is set, because the library reads
it once. Every exception of the library, and of those below it, goes through as it is: `network_errors.explain` names it.

Large files are fetched one by one, because the library resumes a file only within one call: it throws away what has come
when the call fails, and never finds again what a killed process left. `snapshot_download` then checks their hashes, takes
them as they are and fetches the rest.
"""

from __future__ import annotations

import fnmatch
import glob
import hashlib
import logging
import os
from pathlib import Path, PurePath
from typing import Any, Final, NamedTuple

ENVIRONMENT: Final = {
    "HF_HUB_DISABLE_XET": "1",  # mirrors and proxies speak plain HTTP
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",
    "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",  # what is sent is what the settings say
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_DEBUG": "0",  # it would write whole requests into the log
}
os.environ |= ENVIRONMENT
os.environ.pop("HF_ENDPOINT", None)  # endpoints come with the command; the token would be forwarded to this one

import huggingface_hub  # noqa: E402
from huggingface_hub import hf_hub_url, snapshot_download  # noqa: E402
from huggingface_hub.errors import HfHubHTTPError  # noqa: E402
from huggingface_hub.utils import logging as hub_logging  # noqa: E402

from whisper_service.actors.download import huggingface_private, network_errors  # noqa: E402
from whisper_service.actors.download.network_errors import HubError, problem  # noqa: E402
from whisper_service.core.files import sha256_of, sync_file  # noqa: E402
from whisper_service.models.files import missing_files  # noqa: E402

CHUNK: Final = 256 * 1024
"""Bytes that may be lost at a kill. The library's own 10 MB are many seconds on a slow line."""
VERSION: Final = huggingface_hub.__version__
_PROXIES: Final = {
    name: os.environ.get(name)
    for base in ("http", "https", "all")
    for name in (f"{base}_proxy", f"{base}_PROXY".upper())
}

huggingface_private.set_block_size(CHUNK)
hub_logging.set_verbosity(logging.ERROR)  # its warnings hold signed addresses; what matters is told by `network`


class RepoFile(NamedTuple):
    """A file of a repo. `size` in bytes, `sha256` if it is stored as a large file, `blob` its git hash otherwise."""

    name: str
    size: int | None
    sha256: str | None
    blob: str | None


class RepoFiles(NamedTuple):
    """The files of one commit."""

    commit: str
    files: tuple[RepoFile, ...]


class Repo(NamedTuple):
    """A repo on one endpoint, and how to get there."""

    endpoint: str
    repo: str
    revision: str | None
    token: str | None

    @property
    def about(self) -> dict[str, Any]:
        """What every problem says about it."""
        return {
            "host": network_errors.host_of(self.endpoint),
            "endpoint": network_errors.public(self.endpoint),
            "repo": self.repo,
        }

    def headers(self) -> dict[str, str]:
        headers: dict[str, str] = huggingface_private.build_hf_headers(
            token=self.token or False, library_name="whisper_service"
        )
        return headers

    def url(self, file: str, commit: str) -> str:
        return str(hf_hub_url(self.repo, file, revision=commit, endpoint=self.endpoint.rstrip("/")))


def configure(proxy: str | None, connect_timeout_s: float, read_timeout_s: float) -> None:
    """Make the library use this proxy (None: the environment's) and these timeouts, for every request it makes."""
    for name, original in _PROXIES.items():
        if (value := proxy or original) is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    limits = {"connect": connect_timeout_s, "read": read_timeout_s, "write": read_timeout_s, "pool": read_timeout_s}

    def limit(request: Any) -> None:
        request.extensions["timeout"] = limits  # the library has calls that would wait for ever

    def client() -> Any:
        made = huggingface_private.default_client_factory()
        hooks = made.event_hooks
        made.event_hooks = {**hooks, "request": [*hooks["request"], limit]}
        return made

    huggingface_hub.set_client_factory(client)


def look(source: Repo, patterns: tuple[str, ...] = ()) -> RepoFiles:
    """The files of the repo that match, in its top folder. Raises `HubError` if together they are no CTranslate2 model."""
    api = huggingface_hub.HfApi(
        endpoint=source.endpoint.rstrip("/"), token=source.token or False, library_name="whisper_service"
    )
    try:
        info = api.model_info(source.repo, revision=source.revision, files_metadata=True)
        if not info.sha or info.siblings is None:
            raise TypeError("it names no commit or no files")
    except (TypeError, KeyError, AttributeError) as error:  # JSON, but of something else
        raise HubError(problem("not_a_hub", **source.about, detail=str(error))) from error
    files = tuple(
        RepoFile(
            entry.rfilename, entry.size, entry.lfs.sha256 if entry.lfs else None, None if entry.lfs else entry.blob_id
        )
        for entry in info.siblings
        if _wanted(entry.rfilename, patterns)
    )
    if missing := missing_files([file.name for file in files]):
        raise HubError(problem("not_a_model", **source.about, missing=", ".join(missing)))
    return RepoFiles(info.sha, files)


def touch(source: Repo, listing: RepoFiles) -> None:
    """Ask for the first byte of the largest file: large files lie elsewhere, and that place may be closed to us."""
    largest = max(listing.files, key=lambda file: file.size or 0)
    headers = {**source.headers(), "Range": "bytes=0-0"}
    with huggingface_hub.get_session().stream(
        "GET", source.url(largest.name, listing.commit), headers=headers
    ) as response:
        huggingface_private.hf_raise_for_status(response)


def fetch(source: Repo, commit: str, file: RepoFile, directory: Path) -> None:
    """Get one large file into `directory`, from the byte on that is there already, and check it."""
    final, part = directory / file.name, part_of(file, directory)
    if final.exists():
        if _is_true(final, file):
            return
        final.unlink()
    if part.exists() and part.stat().st_size > (file.size or 0):
        part.unlink()
    with part.open("ab") as sink:
        try:
            huggingface_private.http_get(
                source.url(file.name, commit), sink, resume_size=sink.tell(), headers=source.headers(),
                expected_size=file.size, displayed_filename=file.name,
            )  # fmt: skip
        except HfHubHTTPError as error:
            if error.response.status_code != 416:
                raise
            sink.truncate(0)  # there is less than was announced
            raise HubError(problem("hash_mismatch", **source.about, file=file.name)) from error
        sync_file(sink)
    if not _is_true(part, file):
        part.unlink()
        raise HubError(problem("hash_mismatch", **source.about, file=file.name))
    part.replace(final)


def complete(source: Repo, listing: RepoFiles, directory: Path) -> None:
    """Have `snapshot_download` get everything that is not in `directory` yet, then check what is there."""
    checked = {file.name: _mark(directory / file.name) for file in listing.files if file.sha256 is not None}
    snapshot_download(
        source.repo,
        revision=listing.commit,
        local_dir=directory,
        cache_dir=directory / ".cache" / "hub",  # not the one of the user
        endpoint=source.endpoint.rstrip("/"),
        token=source.token or False,
        library_name="whisper_service",
        allow_patterns=[glob.escape(file.name) for file in listing.files],
        max_workers=2,
    )
    for file in listing.files:
        path = directory / file.name
        if not path.is_file():  # the library is content with what is there when the hub cannot be reached
            look(source)  # says why
            raise HubError(problem("cut_off", **source.about, detail=f"{file.name} is missing"))
        if _mark(path) != checked.get(file.name) and not _is_true(path, file):
            path.unlink()
            raise HubError(problem("hash_mismatch", **source.about, file=file.name))


def part_of(file: RepoFile, directory: Path) -> Path:
    """Where a large file grows. Its name is its content: it is gone on with whoever sends it, and never mixed up."""
    return directory / f"{file.sha256}.part"


def _wanted(name: str, patterns: tuple[str, ...]) -> bool:
    plain = PurePath(name).name == name and "\\" not in name and not name.startswith(".")
    return plain and (not patterns or any(fnmatch.fnmatch(name, pattern) for pattern in patterns))


def _mark(path: Path) -> tuple[int, int, int]:
    """What changes when a file does."""
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def _is_true(path: Path, file: RepoFile) -> bool:
    """Whether a file is what the hub said it would be, as far as it said anything."""
    size = path.stat().st_size
    if file.size is not None and size != file.size:
        return False
    if file.sha256 is not None:
        return sha256_of(path) == file.sha256
    if file.blob is not None and len(file.blob) == 40:
        return hashlib.sha1(b"blob %d\0" % size + path.read_bytes(), usedforsecurity=False).hexdigest() == file.blob
    return True
