"""Files that came from the service, on the disk of another machine. The receiving end of `file_push`.

    ROOT/KEY            the files, complete and checked
    ROOT/.KEY.part      the same on their way: each file has the bytes that have come
    ROOT/.KEY.lock      held by the process that stores the files, shared by those that use them

The kernel frees a lock with the process that held it, so the draft of a dead process has a successor at once. All
methods block, and may be called again with the same arguments at any time.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from whisper_service.cluster.file_push import FileOffer, NotStored, OfferedFile, StoredFiles
from whisper_service.core.files import is_disk_full, sha256_of, sync_directory, sync_file
from whisper_service.core.text import reason

SPARE_BYTES: Final = 1024 * 1024 * 1024
"""Bytes that stay free on the disk: other programs of the machine need some, such as Ray for its logs."""
UNUSED_S: Final = 30 * 86_400.0
"""Seconds after which files that no process used are deleted, when others come."""
DRAFT_S: Final = 86_400.0
"""The same for a draft that got no byte."""
_KEY: Final = re.compile(r"[0-9a-f]{16,64}")

Lock = int
"""A descriptor of a lock file."""


class FileCache:
    """The folders below one root, as one process of the machine sees them."""

    def __init__(self, root: Path, spare_bytes: int = SPARE_BYTES) -> None:
        self.root = root
        self._spare_bytes = spare_bytes
        self._locks: dict[str, Lock] = {}  # by key: of the files that this process stores or uses
        self._checked: set[tuple[str, str]] = set()  # key and name of the files in drafts whose content is right
        self._found: set[tuple[str, str]] = set()  # those that were begun by another process

    def offer(self, offer: FileOffer) -> StoredFiles:
        """Return what is here of an offer."""
        return self._guarded(offer, lambda: self._offer(offer))

    def store(self, offer: FileOffer, file: int, at: int, data: bytes | memoryview) -> StoredFiles:
        """Store a piece if it is the wanted one, and return what is here then."""
        return self._guarded(offer, lambda: self._store(offer, file, at, data))

    def has(self, offer: FileOffer) -> bool:
        """Return whether all files of an offer are here. Another process may delete them now."""
        return bool(_KEY.fullmatch(offer.key)) and _is_complete(self.root / offer.key, offer)

    def release(self, *, but: str = "") -> None:
        """Let others delete what this process used or stored; all but the files of one key."""
        for key in [key for key in self._locks if key != but]:
            self._unlock(key)

    def drop(self, key: str) -> None:
        """Delete files, complete or not, and let them go."""
        shutil.rmtree(self.root / key, ignore_errors=True)
        shutil.rmtree(self._draft(key), ignore_errors=True)
        self._forget(key)
        self._unlock(key)

    # -- one offer ----------------------------------------------------------------------------------------------------

    def _guarded(self, offer: FileOffer, act: Callable[[], StoredFiles]) -> StoredFiles:
        """Do something with the disk. A disk that is full gets its room back."""
        if not _KEY.fullmatch(offer.key) or not all(_is_plain(file.name) for file in offer.files):
            return StoredFiles(refusal=NotStored.FAILED, why="Files of these names cannot be stored.")
        try:
            return act()
        except OSError as error:
            if is_disk_full(error):
                if offer.key in self._locks:
                    self.drop(offer.key)
                return StoredFiles(refusal=NotStored.FULL, why=f"The disk of {self.root} is full.")
            return StoredFiles(refusal=NotStored.FAILED, why=f"{self.root} cannot be used: {reason(error)}.")

    def _offer(self, offer: FileOffer) -> StoredFiles:
        final, draft = self.root / offer.key, self._draft(offer.key)
        is_new = offer.key not in self._locks
        if is_new:
            self.root.mkdir(parents=True, exist_ok=True)
            if not self._lock(offer.key, shared=_is_complete(final, offer)):
                return StoredFiles(bytes=self._have(offer), busy=True)
        complete = _is_complete(final, offer)
        if not self._lock(offer.key, shared=complete):  # others use what is left of it, or are about to delete it
            return StoredFiles(bytes=self._have(offer), busy=True)
        if complete:
            shutil.rmtree(draft, ignore_errors=True)
            os.utime(final)
            return StoredFiles(path=str(final), bytes=offer.size)
        draft.mkdir(exist_ok=True)
        if is_new:
            self._forget(offer.key)
            self._found |= {(offer.key, file.name) for file in offer.files if (draft / file.name).exists()}
        missing = offer.size - self._have(offer)
        if missing and not self._make_room(missing):
            free = _megabytes(max(0, self._free() + self._spare_bytes))
            needed = f"{_megabytes(missing)} MB are needed, and {_megabytes(self._spare_bytes)} MB must stay free"
            self.drop(offer.key)
            return StoredFiles(refusal=NotStored.FULL, why=f"The disk of {self.root} has {free} MB left: {needed}.")
        return self._wanted(offer)

    def _store(self, offer: FileOffer, file: int, at: int, data: bytes | memoryview) -> StoredFiles:
        draft = self._draft(offer.key)
        known = offer.key in self._locks and draft.is_dir()
        stored = self._wanted(offer) if known else self._offer(offer)
        if stored.path or stored.busy or stored.refusal or (stored.file, stored.at) != (file, at):
            return stored
        wanted = offer.files[file]
        with (draft / wanted.name).open("ab") as sink:
            sink.write(memoryview(data)[: wanted.size - at])
        os.utime(draft)
        return self._wanted(offer)

    def _wanted(self, offer: FileOffer) -> StoredFiles:
        """Return the place of the first byte that is missing, or finish. Every file is checked when it is whole."""
        draft = self._draft(offer.key)
        for index, file in enumerate(offer.files):
            mark, path = (offer.key, file.name), draft / file.name
            if file.size == 0:
                path.touch()
            have = _size(path)
            if have == file.size:
                if mark in self._checked or _has_content(path, file):
                    self._checked.add(mark)
                    continue
                if mark not in self._found:
                    self.drop(offer.key)
                    return StoredFiles(refusal=NotStored.CONTENT, why=f"{file.name} did not arrive as it was sent.")
            if have >= file.size:  # what another process left is not what it should be: the file comes again
                self._found.discard(mark)
                path.unlink(missing_ok=True)
                have = 0
            return StoredFiles(file=index, at=have, bytes=self._have(offer))
        return self._finish(offer)

    def _finish(self, offer: FileOffer) -> StoredFiles:
        """Give the folder its name. One that has the name already is not complete: it was damaged."""
        draft, final = self._draft(offer.key), self.root / offer.key
        shutil.rmtree(final, ignore_errors=True)
        sync_directory(draft)
        draft.rename(final)
        sync_directory(self.root)
        self._forget(offer.key)
        return self._offer(offer)

    def _have(self, offer: FileOffer) -> int:
        draft = self._draft(offer.key)
        return sum(min(_size(draft / file.name), file.size) for file in offer.files)

    def _draft(self, key: str) -> Path:
        return self.root / f".{key}.part"

    def _forget(self, key: str) -> None:
        """Forget what is known of a draft."""
        self._checked = {mark for mark in self._checked if mark[0] != key}
        self._found = {mark for mark in self._found if mark[0] != key}

    # -- room and locks -----------------------------------------------------------------------------------------------

    def _make_room(self, needed: int) -> bool:
        """Delete what has not been used for long, then as much as is needed, the oldest first. False: too little."""
        folders = []
        for path in self.root.iterdir():
            key = path.name.removeprefix(".").removesuffix(".part")
            if path.is_dir() and _KEY.fullmatch(key) and key not in self._locks:
                folders.append((_modified(path), path, key))
        for modified, path, key in sorted(folders):
            kept_s = DRAFT_S if path.name.startswith(".") else UNUSED_S
            is_old = time.time() - modified >= kept_s
            if (is_old or self._free() < needed) and self._lock(key, shared=False):
                shutil.rmtree(path, ignore_errors=True)
                self._unlock(key)
        return self._free() >= needed

    def _free(self) -> int:
        return shutil.disk_usage(self.root).free - self._spare_bytes

    def _lock(self, key: str, *, shared: bool) -> bool:
        """Lock the files of a key, or change the lock. False: another process has them, and this one has no lock."""
        import fcntl  # only on Linux, like all nodes

        descriptor = self._locks.pop(key, None)
        if descriptor is None:
            descriptor = os.open(self.root / f".{key}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if isinstance(error, BlockingIOError):
                return False
            raise
        self._locks[key] = descriptor
        return True

    def _unlock(self, key: str) -> None:
        if (descriptor := self._locks.pop(key, None)) is not None:
            os.close(descriptor)


def _is_complete(folder: Path, offer: FileOffer) -> bool:
    """Return whether every file is there in its full size. Contents were checked before the folder got its name."""
    return all(_size(folder / file.name) == file.size for file in offer.files) and folder.is_dir()


def _has_content(path: Path, file: OfferedFile) -> bool:
    """Bring a file to stable storage and compare it with its digest."""
    with path.open("rb+") as written:
        sync_file(written)
    return sha256_of(path) == file.sha256


def _is_plain(name: str) -> bool:
    return bool(name) and name == Path(name).name and not name.startswith(".") and "\0" not in name


def _size(path: Path) -> int:
    """Return the bytes in a file. 0: there is no such file."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _megabytes(count: int) -> int:
    return -(-count // 1_000_000)
