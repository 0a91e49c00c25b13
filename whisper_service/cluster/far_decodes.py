"""The gateway's end of decodes on a node: sends the recording, and brings home what was made of it.

Everything that a report tells of is in the service's files before the service gets the report. So the service works on
as if the actor were at home. `node_decodes` is the other end; `HomeFiles` writes the files.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final, Protocol

from anyio import to_thread

from whisper_service.cluster.home_files import HomeFiles, without_copy
from whisper_service.cluster.node_decodes import COPY, SOURCE, FileStretch, Grown
from whisper_service.core.errors import DiskFull
from whisper_service.core.files import is_disk_full
from whisper_service.supervision import faults
from whisper_service.supervision.faults import FaultKind
from whisper_service.supervision.messages.base import Cancel, Fault
from whisper_service.supervision.messages.media import Decode, Decoded, DecodeProgress
from whisper_service.supervision.protocol import Command, Report, decode_report, encode

PROGRESS_S: Final = 1.0
"""Seconds between two reports of progress while files travel."""


class DecodeCalls(Protocol):
    """The calls to an outpost for its decodes. They may be repeated."""

    async def write(self, number: int, file: str, at: int, data: bytes) -> None:
        """Store a piece of a file of the decode whose command has this number."""

    async def read(self, number: int, stretches: Sequence[FileStretch]) -> list[bytes]:
        """Return parts of its files."""


class FarDecodes:
    """The decodes of one far actor, by the numbers of their commands.

    `ask` makes a call until it is answered. `report` takes progress, and `give_up` tells the actor to cancel a job.
    """

    def __init__(
        self,
        calls: DecodeCalls,
        *,
        ask: Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]],
        report: Callable[[Report], None],
        give_up: Callable[[str], None],
    ) -> None:
        self._calls = calls
        self._ask = ask
        self._report = report
        self._give_up = give_up
        self._decodes: dict[int, HomeFiles] = {}
        self._ended: list[HomeFiles] = []  # not closed yet
        self._told_at = 0.0  # `time.monotonic` of the last progress that was told

    def take_note(self, number: int, command: Command) -> None:
        """Take note of a command to the actor, when it is given. Nothing of a decode is told after its `Cancel`."""
        if isinstance(command, Decode):
            self._decodes[number] = HomeFiles(command)
        elif isinstance(command, Cancel):
            self._forget(*(other for other, files in self._decodes.items() if files.job_id == command.job_id))

    def forget_all(self) -> None:
        """Let nothing be told any more, because the actor ends."""
        self._forget(*self._decodes)

    async def close(self) -> None:
        """Close the files of the decodes that have ended. Nothing is written into them after that."""
        while self._ended:
            await to_thread.run_sync(self._ended.pop().close)

    async def send(self, number: int, command: Decode) -> Command:
        """Send the recording of a decode. Return the command that the node gets: to cancel, if that was asked for."""
        cancelled = Cancel(job_id=command.job_id)
        if (files := self._decodes.get(number)) is None:
            return cancelled
        sent, at = await to_thread.run_sync(files.open), 0
        while data := await to_thread.run_sync(files.recording, at):
            if number not in self._decodes:
                return cancelled
            await self._ask(partial(self._calls.write, number, SOURCE, at, data))
            at += len(data)
            self._tell_progress(command.job_id)
        if files.copy_bytes:  # the actor only asks how long it is
            await self._ask(partial(self._calls.write, number, COPY, files.copy_bytes - 1, b"\0"))
        return sent if number in self._decodes else cancelled

    async def bring(self, grown: Grown, data: bytes) -> bytes | None:
        """Bring home what a report tells of. Return the report for the service. None: nobody waits for it."""
        if (files := self._decodes.get(grown.decode)) is None:
            return None
        try:
            report: Report = decode_report(data)
            await self._fetch(files, grown.decode, {name: n for name, n in grown.sizes.items() if name != COPY})
            if isinstance(report, Decoded):
                await to_thread.run_sync(files.seal)
                if COPY in grown.sizes:
                    report = await self._bring_copy(files, grown, report)
        except OSError as error:
            if grown.decode in self._decodes:
                self._give_up(files.job_id)  # forgets the decode, too
                return encode(_fault(files.job_id, error))
        if grown.decode not in self._decodes:
            return None
        if grown.ends:
            self._forget(grown.decode)
            await self.close()
        return encode(report)

    async def _bring_copy(self, files: HomeFiles, grown: Grown, report: Decoded) -> Decoded:
        size = grown.sizes[COPY]
        if not await to_thread.run_sync(files.begin_copy, size):
            return without_copy(report)
        try:
            await self._fetch(files, grown.decode, {COPY: size})
            await to_thread.run_sync(files.finish_copy)
        except OSError as error:  # the text does not need the copy
            return without_copy(report, error)
        return report

    async def _fetch(self, files: HomeFiles, number: int, sizes: dict[str, int]) -> None:
        while stretches := files.missing(sizes):
            pieces = await self._ask(partial(self._calls.read, number, stretches))
            if [len(piece) for piece in pieces] != [stretch.length for stretch in stretches]:
                if number not in self._decodes:  # cancelled meanwhile, here and there
                    return
                raise RuntimeError("a node has less of a decode than it said")
            await to_thread.run_sync(files.write, stretches, pieces)
            self._tell_progress(files.job_id)

    def _tell_progress(self, job_id: str) -> None:
        """Tell that the decode is not stuck, at most once a second."""
        if (now := time.monotonic()) - self._told_at >= PROGRESS_S:
            self._told_at = now
            self._report(DecodeProgress(job_id=job_id, position_s=0.0))

    def _forget(self, *numbers: int) -> None:
        self._ended += [self._decodes.pop(number) for number in numbers]


def _fault(job_id: str, error: OSError) -> Fault:
    """Return what the actor would say if it could not write at home."""
    diagnosis = faults.classify(f"{type(error).__name__}: {error}")
    kind, problem = diagnosis.kind, diagnosis.problem
    if is_disk_full(error):
        kind, problem = FaultKind.DISK_FULL, DiskFull().problem
    return Fault(scope="media", kind=kind.value, problem=problem, job_id=job_id)
