"""The models of the machine of an outpost. They stay there for other outposts and later ones.

A model is looked for in the cache of this machine, then under the path that it has on the service's machine, then in
the packages of the built-in model. What is not there is sent by the service into the cache.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from anyio import to_thread

from whisper_service.cluster.file_cache import FileCache
from whisper_service.cluster.file_push import FileOffer, NotStored, StoredFiles
from whisper_service.cluster.model_files import ModelDigests
from whisper_service.core.errors import DiskFull, ModelUnavailable
from whisper_service.models import bundled

IDLE_S: Final = 60.0
"""Seconds without a piece after which another outpost of the machine may go on with a draft."""


class NodeModels:
    """The models as one outpost uses them. Methods are called on one event loop; their disk work is done in threads."""

    def __init__(self, cache: FileCache | None = None) -> None:
        self._cache = cache
        self._digests = ModelDigests()
        self._lock = asyncio.Lock()  # a call that is repeated may find the first one still at work
        self._idle: asyncio.TimerHandle | None = None

    async def offer(self, offer: FileOffer) -> StoredFiles:
        """Return where a model is on this machine, or which piece is wanted."""
        return await self._act(lambda cache: self._find(cache, offer))

    async def store(self, offer: FileOffer, file: int, at: int, data: bytes | memoryview) -> StoredFiles:
        """Store a piece if it is the wanted one."""
        return await self._act(lambda cache: cache.store(offer, file, at, data))

    async def _act(self, act: Callable[[FileCache], StoredFiles]) -> StoredFiles:
        async with self._lock:
            if self._idle is not None:
                self._idle.cancel()
            try:
                self._cache = self._cache or FileCache(cache_folder())
            except RuntimeError:
                return StoredFiles(refusal=NotStored.FAILED, why="The user of the cluster there has no home folder.")
            stored = await to_thread.run_sync(act, self._cache)
            if not stored.path:
                self._idle = asyncio.get_running_loop().call_later(IDLE_S, self._cache.release)
            return stored

    def _find(self, cache: FileCache, offer: FileOffer) -> StoredFiles:
        """Look for a model in every place. The one before is not in use any more."""
        cache.release(but=offer.key)
        if not cache.has(offer) and self._is_at_its_path(offer):
            return StoredFiles(path=offer.path, bytes=offer.size)
        stored = cache.offer(offer)
        files = _built_in(offer)
        if stored.path or stored.busy or stored.refusal is not None or files is None:
            return stored
        try:
            bundled.join(cache.root, offer.key, files)
        except DiskFull as error:
            cache.drop(offer.key)
            return StoredFiles(refusal=NotStored.FULL, why=error.problem.message)
        except ModelUnavailable:
            return stored  # the packages are damaged here: the service sends the files
        return cache.offer(offer)

    def _is_at_its_path(self, offer: FileOffer) -> bool:
        """Return whether the folder that the service has can be read here, with the same files."""
        try:
            return bool(offer.path) and self._digests.offer_of(Path(offer.path)).key == offer.key
        except OSError:
            return False


def cache_folder() -> Path:
    """Return the folder of models in the cache of this user. Raises `RuntimeError` when the user has no home folder."""
    above = os.environ.get("XDG_CACHE_HOME")
    return (Path(above) if above else Path.home() / ".cache") / "whisper_service" / "models"


def _built_in(offer: FileOffer) -> tuple[bundled.BundledFile, ...] | None:
    """Return the parts of the built-in model that is offered, if its packages are installed here."""
    offered = {(file.name, file.sha256) for file in offer.files}
    for files in bundled.BUNDLED.values():
        if {(file.name, file.sha256) for file in files} == offered and not bundled.missing_packages(files):
            return tuple(files)
    return None
