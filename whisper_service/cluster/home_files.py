"""The service's own files of a decode on a node: written from what comes from there as the actor would write them.

Nothing here is asynchronous, and nothing knows how the bytes travel: `far_decodes` does.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

from msgspec.structs import replace

from whisper_service.cluster.node_decodes import COPY, GONE, GROWING, SOURCE, FileStretch
from whisper_service.core.domain import Playable
from whisper_service.core.files import draft_of, is_disk_full, sync_directory, sync_file
from whisper_service.supervision.messages.media import Decode, Decoded, no_listening_copy

PIECE_BYTES: Final = 4 * 1024 * 1024
"""Bytes in one call. A call costs about a millisecond, and so many take 3 s on a network of 10 Mbit/s."""
RESERVE_BYTES: Final = 64 * 1024 * 1024
"""Bytes that a listening copy leaves free in any case, as at home."""


class HomeFiles:
    """The files of one decode. Methods block; `close` waits for the one that runs, and then all do nothing.

    Files are opened and never made: one that was deleted with its job must not come back.
    """

    def __init__(self, command: Decode) -> None:
        self.job_id = command.job_id
        self.copy_bytes = 0  # of a listening copy from an earlier decode, which is kept
        self._command = command
        self._source: IO[bytes] | None = None
        self._files: dict[str, IO[bytes]] = {}
        self._have: dict[str, int] = {}  # bytes that came, by file
        self._lock = threading.Lock()
        self._closed = False

    def open(self) -> Decode:
        """Open the files. Return the command as the node gets it: without a copy that is there or has no draft.

        A file that is missing is missing there too, so that the actor says what follows.
        """
        command = self._command
        with self._lock:
            if self._closed:
                return command
            paths = {}
            for name in GROWING:
                if path := getattr(command, name):
                    try:
                        self._files[name] = _open(Path(path))
                    except FileNotFoundError:
                        paths[name] = GONE
            try:
                self._source = open_recording(command.source)
            except FileNotFoundError:
                paths[SOURCE] = GONE
            if command.copy:
                self.copy_bytes = _size(Path(command.copy))
                if not self.copy_bytes and not draft_of(Path(command.copy)).exists():
                    paths[COPY] = ""
            return replace(command, spare_bytes=0, **paths)

    def recording(self, at: int) -> bytes:
        """Return the piece of the recording that begins at this byte. Empty: that is its end."""
        with self._lock:
            return b"" if self._source is None else os.pread(self._source.fileno(), PIECE_BYTES, at)

    def missing(self, sizes: dict[str, int]) -> list[FileStretch]:
        """Return what to bring next so that the files have these sizes. Nothing: they have, or are closed."""
        wanted: list[FileStretch] = []
        room = 0 if self._closed else PIECE_BYTES
        for file, size in sizes.items():
            have = self._have.get(file, 0)
            if file in self._files and have < size and room:
                wanted.append(FileStretch(file, have, min(size - have, room)))
                room -= wanted[-1].length
        return wanted

    def write(self, stretches: Sequence[FileStretch], pieces: Sequence[bytes | memoryview]) -> None:
        """Write what came. Raises `OSError`."""
        with self._lock:
            if self._closed:
                return
            for stretch, piece in zip(stretches, pieces, strict=True):
                rest, at, descriptor = memoryview(piece), stretch.at, self._files[stretch.file].fileno()
                while rest:
                    written = os.pwrite(descriptor, rest, at)
                    rest, at = rest[written:], at + written
                self._have[stretch.file] = at

    def seal(self) -> None:
        """Cut the files behind what came, and bring them to stable storage. Raises `OSError`."""
        with self._lock:
            for name in reversed(GROWING):  # the spool last: a complete one says that everything was written
                if (file := self._files.get(name)) is not None:
                    file.truncate(self._have.get(name, 0))
                    sync_file(file)
                    sync_directory(Path(getattr(self._command, name)).parent)

    def begin_copy(self, size: int) -> bool:
        """Open the draft of the listening copy. False: the disk has no room for it, or it was deleted with its job."""
        draft = draft_of(Path(self._command.copy))
        spare = max(RESERVE_BYTES, self._command.spare_bytes)
        with self._lock, suppress(FileNotFoundError):
            if self._closed or shutil.disk_usage(draft.parent).free - size < spare:
                return False
            self._files[COPY] = _open(draft)
            self._files[COPY].truncate(0)
            return True
        return False

    def finish_copy(self) -> None:
        """Give the listening copy its name. Raises `OSError`."""
        target = Path(self._command.copy)
        with self._lock:
            if not self._closed:
                sync_file(self._files[COPY])
                draft_of(target).replace(target)
                sync_directory(target.parent)

    def close(self) -> None:
        """Close the files. A copy that is not complete is deleted."""
        with self._lock:
            self._closed = True
            for file in (*self._files.values(), *((self._source,) if self._source is not None else ())):
                file.close()
            self._files, self._source = {}, None
            if self._command.copy:
                with suppress(OSError):
                    draft_of(Path(self._command.copy)).unlink(missing_ok=True)


def open_recording(source: str) -> IO[bytes]:
    """Open the recording that a `Decode` names. The one place that knows where recordings are. Raises `OSError`."""
    return Path(source).open("rb", buffering=0)


def without_copy(report: Decoded, error: OSError | None = None) -> Decoded:
    """Return the report of a decode whose listening copy could not be stored. None: the disk has no room for it."""
    remark = no_listening_copy(full=error is None or is_disk_full(error))
    playable = None if report.playable is Playable.COPY else report.playable
    return replace(report, copy_bytes=0, playable=playable, warnings=(*report.warnings, remark))


def _open(path: Path) -> IO[bytes]:
    return path.open("r+b", buffering=0)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
