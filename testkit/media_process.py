"""A media actor in a process of its own, which reads one file after the other and must have an answer to each."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Final

import psutil

from whisper_service.supervision import boot
from whisper_service.supervision.protocol import Decode, Decoded, Fault, Ready, Shutdown, decode_report, encode

MAX_S: Final = 120.0
"""Of sound that a file may claim to hold: it bounds what one costs."""
CODES: Final = {"not_media", "no_audio", "decode_failed", "too_long", "inflated"}
"""What may be said of a file that cannot be read."""
WARNINGS: Final = {"truncated", "damaged", "unread", "unheard", "time_jump", "other_tracks", "track_undecodable"}


class MediaProcess:
    """A media actor in a process of its own, one file after the other."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._context = multiprocessing.get_context("spawn")
        self._commands, self._reports, self.process = self._start()

    def say(self, source: Path, within_s: float) -> str:
        """Return `decoded`, a warning or a code; or `died -11`, `hung`, `untyped ...`, which must never happen.

        An actor that died or hung is replaced.
        """
        for kind in ("pcm", "peaks"):
            (self._directory / f"job.{kind}").write_bytes(b"")
        spool, peaks = str(self._directory / "job.pcm"), str(self._directory / "job.peaks")
        order = Decode(
            job_id="job", source=str(source), spool=spool, peaks=peaks, max_duration_s=MAX_S, max_expansion=2_000.0
        )
        self._commands.send_bytes(encode(order))
        until = time.monotonic() + within_s
        try:
            while self._reports.poll(max(0.0, until - time.monotonic())):
                match decode_report(self._reports.recv_bytes()):
                    case Decoded(warnings=warnings):
                        return warnings[-1].code if warnings else "decoded"
                    case Fault(problem=problem):
                        typed = problem.code in CODES and problem.message and problem.hint
                        return problem.code if typed else f"untyped {problem}"
        except EOFError:
            self.process.join()
            said = f"died {self.process.exitcode}"
        else:
            self.process.kill()
            self.process.join()
            said = "hung"
        self._commands, self._reports, self.process = self._start()
        return said

    @property
    def holds(self) -> tuple[int, int]:
        """Open files and bytes of memory of the actor."""
        actor = psutil.Process(self.process.pid)
        return actor.num_fds() if os.name == "posix" else 0, actor.memory_info().rss

    def close(self) -> None:
        self._commands.send_bytes(encode(Shutdown()))
        self.process.join()
        self._commands.close()
        self._reports.close()

    def _start(self) -> tuple[Connection, Connection, SpawnProcess]:
        theirs, commands = self._context.Pipe(duplex=False)
        reports, outlet = self._context.Pipe(duplex=False)
        log = str(self._directory / "actor.log")
        process = self._context.Process(
            target=boot.run_actor, args=("whisper_service.actors.media.main:run", theirs, outlet, log)
        )
        process.start()
        theirs.close()
        outlet.close()
        assert isinstance(decode_report(reports.recv_bytes()), Ready)
        return commands, reports, process


@contextmanager
def media_process(directory: Path) -> Iterator[MediaProcess]:
    """A media actor with its files in `directory`."""
    process = MediaProcess(directory)
    try:
        yield process
    finally:
        process.close()
