"""Requests to a hub through `huggingface_hub`: what a repo holds, its files, and whether they can be downloaded.

This module owns the settings of the library in this process. The library is imported after `ENVIRONMENT` is set,
because it reads the environment once. Exceptions of the library and of those below it pass; `network_errors.explain`
names them.

The library resumes a file only within one call: it deletes what has come when the call fails, and never finds again
what a killed process left. So large files are downloaded one by one here. `snapshot_download` then checks their
hashes, keeps them, and downloads the small files.
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
    "HF_HUB_DISABLE_XET": "1",  # many mirrors and proxies speak plain HTTP only
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",
    "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",  # only the token of the settings is sent
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_DEBUG": "0",  # 1 would write whole requests into the log
}
os.environ |= ENVIRONMENT
os.environ.pop("HF_ENDPOINT", None)  # the command names the endpoints; the library would send the token to this one too

import huggingface_hub  # noqa: E402
from huggingface_hub import hf_hub_url, snapshot_download  # noqa: E402
from huggingface_hub.errors import HfHubHTTPError  # noqa: E402
from huggingface_hub.utils import logging as hub_logging  # noqa: E402

from whisper_service.actors.download import huggingface_private  # noqa: E402
from whisper_service.actors.download.hub_problems import HubError, problem  # noqa: E402
from whisper_service.actors.download.network_errors import host_of, public  # noqa: E402
from whisper_service.core.files import sha256_of, sync_file  # noqa: E402
from whisper_service.models.files import PATTERNS, missing_files  # noqa: E402
from whisper_service.supervision.messages.download import Hub  # noqa: E402

BLOCK: Final = 256 * 1024
"""Bytes that a kill may lose. The library's own 10 MB are many seconds on a slow connection."""
VERSION: Final = huggingface_hub.__version__
_CLIENT: Final = "whisper_service"  # as hubs see it
_PROXIES: Final = {
    name: os.environ.get(name)
    for base in ("http", "https", "all")
    for name in (f"{base}_proxy", f"{base}_PROXY".upper())
}

huggingface_private.set_block_size(BLOCK)
hub_logging.set_verbosity(logging.ERROR)  # warnings contain signed addresses


class RepoFile(NamedTuple):
    """A file of a repo: its size in bytes, and its SHA-256 if the hub stores it as a large file, else its git hash."""

    name: str
    size: int | None
    sha256: str | None
    git_hash: str | None


class RepoFiles(NamedTuple):
    """The files of one commit."""

    commit: str
    files: tuple[RepoFile, ...]


class Repo(NamedTuple):
    """A repo on one endpoint."""

    endpoint: str
    repo: str
    token: str | None

    @property
    def about(self) -> dict[str, Any]:
        """The params that every problem of this repo has."""
        return {"host": host_of(self.endpoint), "endpoint": public(self.endpoint), "repo": self.repo}

    def headers(self) -> dict[str, str]:
        """Return the headers of a request, with the token if there is one."""
        headers: dict[str, str] = huggingface_private.build_hf_headers(token=self.token or False, library_name=_CLIENT)
        return headers

    def url(self, file: str, commit: str) -> str:
        """Return the address of a file."""
        return str(hf_hub_url(self.repo, file, revision=commit, endpoint=self.endpoint.rstrip("/")))


def configure(settings: Hub) -> None:
    """Make every request of the library use this proxy (None: that of the environment) and these timeouts."""
    for name, original in _PROXIES.items():
        if (value := settings.proxy or original) is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    limits = dict.fromkeys(("read", "write", "pool"), settings.read_timeout_s) | {"connect": settings.connect_timeout_s}

    def limit(request: Any) -> None:
        request.extensions["timeout"] = limits  # some requests of the library have no timeout

    def create_client() -> Any:
        client = huggingface_private.default_client_factory()
        hooks = client.event_hooks
        client.event_hooks = {**hooks, "request": [*hooks["request"], limit]}
        return client

    huggingface_hub.set_client_factory(create_client)


def list_files(source: Repo) -> RepoFiles:
    """Return the files in the top folder of the repo that match.

    Raises `HubError` if the repo is no model in CTranslate2's format, or the endpoint no hub.
    """
    listing = _listing(source)
    files = tuple(file for file in listing.files if _matches(file.name))
    if missing := missing_files([file.name for file in files]):
        raise HubError(problem("not_a_model", **source.about, missing=", ".join(missing)))
    return RepoFiles(listing.commit, files)


def find_file(source: Repo, path: str) -> RepoFiles:
    """Return a file in any folder of the repo. Raises `HubError` if the repo lacks it, or the endpoint is no hub."""
    listing = _listing(source)
    files = tuple(file for file in listing.files if file.name == path)
    if not files:
        raise HubError(problem("file_missing", **source.about, missing=path))
    return RepoFiles(listing.commit, files)


def _listing(source: Repo) -> RepoFiles:
    """Return all files of the repo. Raises `HubError` if the endpoint is no hub."""
    api = huggingface_hub.HfApi(endpoint=source.endpoint.rstrip("/"), token=source.token or False, library_name=_CLIENT)
    try:
        info = api.model_info(source.repo, files_metadata=True)
        if not info.sha or info.siblings is None:
            raise TypeError("the answer names no commit or no files")
    except (TypeError, KeyError, AttributeError) as error:  # the answer is JSON, but not that of a hub
        raise HubError(problem("not_a_hub", **source.about, detail=str(error))) from error
    files = tuple(
        RepoFile(
            entry.rfilename, entry.size, entry.lfs.sha256 if entry.lfs else None, None if entry.lfs else entry.blob_id
        )
        for entry in info.siblings
    )
    return RepoFiles(info.sha, files)


def request_one_byte(source: Repo, listing: RepoFiles) -> None:
    """Request the first byte of the largest file: hubs keep large files on other hosts, which may be blocked."""
    largest = max(listing.files, key=lambda file: file.size or 0)
    headers = {**source.headers(), "Range": "bytes=0-0"}
    url = source.url(largest.name, listing.commit)
    with huggingface_hub.get_session().stream("GET", url, headers=headers) as response:
        huggingface_private.hf_raise_for_status(response)


def download_large(source: Repo, commit: str, file: RepoFile, directory: Path, path: str | None = None) -> None:
    """Download one large file into `directory` and check it. A part that is there already is continued.

    `path`: where the file is in the repo; None: at the top, with its own name.
    """
    final, part = directory / file.name, part_path(file, directory)
    if final.exists():
        if _is_right(final, file):
            return
        final.unlink()
    if part.exists() and part.stat().st_size > (file.size or 0):
        part.unlink()
    with part.open("ab") as sink:
        try:
            huggingface_private.http_get(
                source.url(path or file.name, commit),
                sink,
                resume_size=sink.tell(),
                headers=source.headers(),
                expected_size=file.size,
                displayed_filename=file.name,
            )
        except HfHubHTTPError as error:
            if error.response.status_code != 416:
                raise
            sink.truncate(0)  # the file is shorter than the hub stated
            raise HubError(problem("hash_mismatch", **source.about, file=file.name)) from error
        sync_file(sink)
    if not _is_right(part, file):
        part.unlink()
        raise HubError(problem("hash_mismatch", **source.about, file=file.name))
    part.replace(final)


def download_rest(source: Repo, listing: RepoFiles, directory: Path) -> None:
    """Download the files that are not in `directory` yet, then check all of them."""
    checked = {file.name: _stamp(directory / file.name) for file in listing.files if file.sha256 is not None}
    snapshot_download(
        source.repo,
        revision=listing.commit,
        local_dir=directory,
        cache_dir=directory / ".cache" / "hub",  # not the cache of the user
        endpoint=source.endpoint.rstrip("/"),
        token=source.token or False,
        library_name=_CLIENT,
        allow_patterns=[glob.escape(file.name) for file in listing.files],
        max_workers=2,
    )
    for file in listing.files:
        path = directory / file.name
        if not path.is_file():  # the library does not raise if there are some files and no connection
            list_files(source)  # raises the reason
            raise HubError(problem("cut_off", **source.about, detail=f"{file.name} is missing"))
        if _stamp(path) != checked.get(file.name) and not _is_right(path, file):
            path.unlink()
            raise HubError(problem("hash_mismatch", **source.about, file=file.name))


def part_path(file: RepoFile, directory: Path) -> Path:
    """Return where a large file is while it is incomplete.

    The name is its hash, so that any endpoint can continue the part, and no part is continued with another content.
    """
    return directory / f"{file.sha256 or file.git_hash or file.name}.part"


def _matches(name: str) -> bool:
    plain = PurePath(name).name == name and "\\" not in name and not name.startswith(".")
    return plain and any(fnmatch.fnmatch(name, pattern) for pattern in PATTERNS)


def _stamp(path: Path) -> tuple[int, int, int]:
    """Return what differs after a file was written."""
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def _is_right(path: Path, file: RepoFile) -> bool:
    """Return whether a file has the size and the hash that the hub stated, if it stated any."""
    size = path.stat().st_size
    if file.size is not None and size != file.size:
        return False
    if file.sha256 is not None:
        return sha256_of(path) == file.sha256
    if file.git_hash is not None and len(file.git_hash) == 40:
        content = b"blob %d\0" % size + path.read_bytes()
        return hashlib.sha1(content, usedforsecurity=False).hexdigest() == file.git_hash
    return True
