"""A media actor in a process of its own, which reads one file after the other and must have an answer to each."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psutil

from testkit.actor_process import ActorProcess
from whisper_service.supervision.messages.base import Fault, Ready, Shutdown
from whisper_service.supervision.messages.media import Decode, Decoded

ENTRY: Final = "whisper_service.actors.media.main:run"
MAX_S: Final = 120.0
"""Of sound that a file may claim to hold: it bounds what one costs."""
CODES: Final = {"not_media", "no_audio", "decode_failed", "too_long", "inflated"}
"""What may be said of a file that cannot be read."""
WARNINGS: Final = {"truncated", "damaged", "unread", "unheard", "time_jump", "other_tracks", "track_undecodable"}


class MediaProcess:
    """A media actor for one file after the other."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._actor = self._start()

    @property
    def pid(self) -> int | None:
        return self._actor.process.pid

    def say(self, source: Path, within_s: float) -> str:
        """Return `decoded`, a warning or a code; or `died -11`, `hung`, `untyped ...`, which must never happen.

        An actor that died or hung is replaced.
        """
        for kind in ("pcm", "peaks"):
            (self._directory / f"job.{kind}").write_bytes(b"")
        spool, peaks = str(self._directory / "job.pcm"), str(self._directory / "job.peaks")
        self._actor.send(
            Decode(
                job_id="job", source=str(source), spool=spool, peaks=peaks, max_duration_s=MAX_S, max_expansion=2_000.0
            )
        )
        until = time.monotonic() + within_s
        try:
            while True:
                match self._actor.next(max(0.0, until - time.monotonic())):
                    case Decoded(warnings=warnings):
                        return warnings[-1].code if warnings else "decoded"
                    case Fault(problem=problem):
                        typed = problem.code in CODES and problem.message and problem.hint
                        return problem.code if typed else f"untyped {problem}"
        except EOFError:
            self._actor.process.join()
            said = f"died {self._actor.process.exitcode}"
        except TimeoutError:
            said = "hung"
        self._actor.kill()
        self._actor = self._start()
        return said

    @property
    def holds(self) -> tuple[int, int]:
        """Return the open files and the bytes of memory of the actor."""
        actor = psutil.Process(self.pid)
        return actor.num_fds() if os.name == "posix" else 0, actor.memory_info().rss

    def close(self) -> None:
        self._actor.send(Shutdown())
        self._actor.process.join()
        self._actor.kill()

    def _start(self) -> ActorProcess:
        actor = ActorProcess(ENTRY, self._directory / "actor.log")
        actor.expect(Ready)
        return actor


@contextmanager
def media_process(directory: Path) -> Iterator[MediaProcess]:
    """A media actor with its files in `directory`."""
    process = MediaProcess(directory)
    try:
        yield process
    finally:
        process.close()
