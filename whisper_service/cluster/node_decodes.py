"""Decodes on a node: the files that a media actor reads and writes there. The outpost's end.

The recording comes in pieces before its `Decode`, and what the actor makes of it goes to the service in pieces, before
the report that tells of it. All files are without a name, and the actor opens them below /proc. So they are gone with
the outpost and its actor, however these end.

A job may be decoded twice, so a decode is known by the number of its command. The actor gets an id for the job that has
this number in it; reports come back with the id of the service. `far_decodes` is the other end.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from typing import IO, Final

from msgspec.structs import replace

from whisper_service.cluster.sound import memory_file
from whisper_service.core.domain import Value
from whisper_service.supervision.messages.base import Cancel, Fault
from whisper_service.supervision.messages.media import ChunkFound, Decode, Decoded, DecodeProgress, MediaInfo
from whisper_service.supervision.protocol import Command, Report

SOURCE: Final[str] = "source"
COPY: Final[str] = "copy"
GROWING: Final[tuple[str, ...]] = ("spool", "peaks", "fine_peaks", "apart")
"""The files that an actor writes from their beginning to their end. All names are those of the fields of `Decode`."""
GONE: Final = "/proc/self/fd/none"
"""The path of a file that the service does not have any more. No machine has it."""


class FileStretch(Value, frozen=True):
    """A part of a file of a decode, in bytes."""

    file: str
    at: int
    length: int


class Grown(Value, frozen=True):
    """What the files of a decode have at one of its reports. The service takes the report in when it has that too."""

    decode: int  # the number of its command
    sizes: dict[str, int]  # in bytes, by file
    ends: bool = False  # the report is the last of the decode


class NodeDecodes:
    """The decodes of one actor, by the numbers of their commands."""

    def __init__(self) -> None:
        self._decodes: dict[int, _NodeDecode] = {}
        self._numbers: dict[str, int] = {}  # by the id that the actor knows

    def write(self, number: int, file: str, at: int, data: bytes | memoryview) -> None:
        """Store a piece of a file that the service has, before the command that names it. Raises `OSError`."""
        self._decodes.setdefault(number, _NodeDecode()).write(file, at, data)

    def put(self, number: int, command: Decode) -> Decode:
        """Return a command as the actor gets it: with files of this machine. Raises `OSError`."""
        decode = self._decodes.setdefault(number, _NodeDecode())
        decode.job_id = command.job_id
        local_id = f"{command.job_id}-{number}"
        self._numbers[local_id] = number
        wanted = ((name, getattr(command, name)) for name in (SOURCE, *GROWING, COPY))
        paths = {name: decode.path(name) for name, path in wanted if path not in ("", GONE)}
        return replace(command, job_id=local_id, copy_in_place=True, **paths)

    def cancel(self, number: int, job_id: str) -> list[Command]:
        """Give up the decodes of a job. Return what the actor gets as the command with this number."""
        if (unsent := self._decodes.pop(number, None)) is not None:  # cancelled while its recording came
            unsent.close()
        told: list[Command] = []
        for local_id, other in self._numbers.items():
            decode = self._decodes[other]
            if decode.job_id == job_id and not decode.cancelled:
                decode.cancel()
                told.append(Cancel(job_id=local_id))
        return told or [Cancel(job_id=job_id)]

    def take_in(self, report: Report) -> tuple[Report | None, Grown | None]:
        """Return a report as the service gets it, and what the service must have before it. None: nothing."""
        if not isinstance(report, MediaInfo | ChunkFound | DecodeProgress | Decoded | Fault):
            return report, None
        number = self._numbers.get(report.job_id or "")
        if number is None:
            return report, None
        for earlier in [other for other, decode in self._decodes.items() if other < number and decode.cancelled]:
            self.release(earlier)  # the actor opens none of its files any more
        decode = self._decodes[number]
        if decode.cancelled:
            return None, None
        ended = isinstance(report, Decoded | Fault)
        return replace(report, job_id=decode.job_id), Grown(number, decode.sizes(report), ended)

    def read(self, number: int, stretches: Sequence[FileStretch]) -> list[bytes]:
        """Return parts of the files of a decode. Nothing, if its last report was taken before."""
        decode = self._decodes.get(number)
        return [] if decode is None else [decode.read(stretch) for stretch in stretches]

    def release(self, number: int) -> None:
        """Free the files of a decode."""
        self._numbers = {local_id: other for local_id, other in self._numbers.items() if other != number}
        if (decode := self._decodes.pop(number, None)) is not None:
            decode.close()

    def release_all(self) -> None:
        """Free everything."""
        for number in list(self._decodes):
            self.release(number)


class _NodeDecode:
    """The files of one decode."""

    def __init__(self) -> None:
        self.job_id = ""  # as the service knows it
        self.cancelled = False
        self._files: dict[str, IO[bytes]] = {}
        self._came: set[str] = set()  # files that the service has

    def write(self, file: str, at: int, data: bytes | memoryview) -> None:
        self._came.add(file)
        rest, descriptor = memoryview(data), self._file(file).fileno()
        while rest:
            written = os.pwrite(descriptor, rest, at)
            rest, at = rest[written:], at + written

    def path(self, file: str) -> str:
        """Return the path of a file for the actor, and make the file unless it came."""
        return f"/proc/{os.getpid()}/fd/{self._file(file).fileno()}"

    def sizes(self, report: Report) -> dict[str, int]:
        made = [file for file in GROWING if file in self._files]
        if isinstance(report, Decoded) and report.copy_bytes and COPY not in self._came:
            made.append(COPY)  # before it is complete, its beginning may still change
        return {file: os.fstat(self._files[file].fileno()).st_size for file in made}

    def read(self, stretch: FileStretch) -> bytes:
        file = self._files.get(stretch.file)
        return b"" if file is None else os.pread(file.fileno(), stretch.length, stretch.at)

    def cancel(self) -> None:
        """Free the files, but keep their numbers: the actor may be about to open them, and must not find others."""
        self.cancelled = True
        nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        for file in self._files.values():
            os.dup2(nothing, file.fileno(), inheritable=False)
        os.close(nothing)

    def close(self) -> None:
        for file in self._files.values():
            file.close()

    def _file(self, file: str) -> IO[bytes]:
        if file not in self._files:
            self._files[file] = _unnamed_file()
        return self._files[file]


def _unnamed_file() -> IO[bytes]:
    """Make a file without a name, on the disk for temporary files; in memory if there is none. Raises `OSError`."""
    try:
        return tempfile.TemporaryFile(buffering=0)
    except FileNotFoundError:  # no directory for temporary files can be written
        return os.fdopen(memory_file("decode")[0], "r+b", buffering=0)
