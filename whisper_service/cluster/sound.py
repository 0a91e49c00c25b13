"""The sound of a command on its way to another machine: read from the spool here, files in memory there.

A command names stretches of spools: the chunks of a `Transcribe`, the rows of a `DraftSound`, the span of an `Align`.
The gateway reads them. The outpost puts each stretch into a file of its own and changes the command so that it names
these files. The actor reads them as it reads a spool. A stretch that is short or missing stays so: the actor reports it
as it does at home.

The files are memory of the outpost, which the actor opens below /proc. So they are gone with the outpost, however it
ends, and neither the disk nor the size of /dev/shm limits them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from whisper_service.supervision.messages.base import Fault
from whisper_service.supervision.messages.drafts import DraftDone, DraftSound
from whisper_service.supervision.messages.speech import Align, Aligned, BatchDone, Transcribe
from whisper_service.supervision.protocol import Command, Report

SAMPLE_BYTES: Final = 2
"""Spools have int16 samples."""

Work = tuple[str, int]
"""What ends with one report: ("batch", its number), ("alignment", its request) or ("draft", its request)."""


def read(command: Command) -> tuple[bytes | None, ...]:
    """Return the sound of a command, little-endian int16, a piece for each stretch that it names.

    A piece ends where its spool ends. None: the spool cannot be read. Most commands name no stretch.
    """
    return tuple(_read(*stretch) for stretch in _stretches(command))


class SoundFiles:
    """The sound of the work that an actor has, in files of memory."""

    def __init__(self) -> None:
        self._files: dict[Work, list[int]] = {}  # descriptors

    def put(self, command: Command, sounds: Sequence[bytes | memoryview | None]) -> Command:
        """Store the sound of a command. Return the command as the actor gets it.

        `sounds` is what `read` gave for the command. Raises `OSError` when there is no memory or no descriptor left.
        """
        if not isinstance(command, (Transcribe, Align, DraftSound)):
            return command
        files: list[int] = []
        try:
            paths = [_store(sound, files) for sound in sounds]
        except OSError:
            _close(files)
            raise
        match command:
            case Align():
                self._files["alignment", command.request] = files
                return replace(command, spool=paths[0], span=replace(command.span, start_sample=0))
            case DraftSound():
                self._files["draft", command.request] = files
                pairs = zip(command.rows, paths, strict=True)
                return replace(command, rows=tuple(replace(row, spool=path, start_sample=0) for row, path in pairs))
        self._files["batch", command.batch] = files
        chunks = (
            replace(chunk, spool=path, span=replace(chunk.span, start_sample=0))
            for chunk, path in zip(command.chunks, paths, strict=True)
        )
        return replace(command, chunks=tuple(chunks))

    def release(self, report: Report) -> None:
        """Free the sound of the work that ends with this report. Other reports change nothing."""
        match report:
            case BatchDone(batch=batch) | Fault(scope="batch", batch=int(batch), index=None):
                _close(self._files.pop(("batch", batch), ()))
            case Aligned(request=request) | Fault(scope="alignment", request=int(request)):
                _close(self._files.pop(("alignment", request), ()))
            case DraftDone(request=request) | Fault(scope="draft", request=int(request)):
                _close(self._files.pop(("draft", request), ()))

    def release_all(self) -> None:
        """Free everything."""
        for files in self._files.values():
            _close(files)
        self._files.clear()


def memory_file(name: str) -> tuple[int, str]:
    """Make an empty file of memory. Return its descriptor, and a path for other processes of this user. Linux only.

    The file is gone when the descriptor is closed and no process has the file open.
    """
    descriptor = os.memfd_create(name)
    return descriptor, f"/proc/{os.getpid()}/fd/{descriptor}"


def _stretches(command: Command) -> Iterator[tuple[str, int, int]]:
    """Yield the spool of each stretch that a command names, its first byte and its length in bytes."""
    match command:
        case Transcribe(chunks=chunks):
            for chunk in chunks:
                width = SAMPLE_BYTES * (chunk.channels or 1)
                yield chunk.spool, chunk.span.start_sample * width, chunk.span.samples * width
        case DraftSound(rows=rows):
            yield from ((row.spool, row.start_sample * SAMPLE_BYTES, row.samples * SAMPLE_BYTES) for row in rows)
        case Align(spool=spool, span=span):
            yield spool, span.start_sample * SAMPLE_BYTES, span.samples * SAMPLE_BYTES


def _read(spool: str, first: int, length: int) -> bytes | None:
    try:
        with Path(spool).open("rb") as file:
            file.seek(first)
            return file.read(length)
    except OSError:
        return None


def _store(sound: bytes | memoryview | None, files: list[int]) -> str:
    """Write one piece into a file and add its descriptor to `files`. Return the path; no piece has no file."""
    if sound is None:
        return f"/proc/{os.getpid()}/fd/none"
    descriptor, path = memory_file("sound")
    files.append(descriptor)
    rest = memoryview(sound)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
    return path


def _close(files: Sequence[int]) -> None:
    for descriptor in files:
        os.close(descriptor)
