"""Recordings with something wrong in them, and a media actor in a process of its own that has to say what.

Everything follows from a seed, so that a file that was found can be made again.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psutil

from testkit.media_files import encode, write_wav
from testkit.sounds import babble, join, silence
from whisper_service.supervision import boot
from whisper_service.supervision.protocol import Decode, Decoded, Fault, Ready, Shutdown, decode_report
from whisper_service.supervision.protocol import encode as message

MAX_S: Final = 120.0
"""Of sound that a file may claim to hold: it bounds what one costs."""
CODES: Final = {"not_media", "no_audio", "decode_failed", "too_long", "inflated"}
"""What may be said of a file that cannot be read."""
WARNINGS: Final = {"truncated", "damaged"}


def whole(directory: Path) -> list[bytes]:
    """Small recordings in the containers and codecs that people have."""
    talk = join(silence(0.3), babble(2.0), silence(0.3), babble(1.0, seed=1))
    files = [
        write_wav(directory / "a.wav", talk),
        encode(directory / "a.mp3", talk, "libmp3lame"),
        encode(directory / "a.mp4", talk, "aac"),
        encode(directory / "film.mp4", talk, "aac", video_s=3.0),
        encode(directory / "a.ogg", talk, "libopus", rate=48_000),
        encode(directory / "a.flac", talk, "flac"),
        encode(directory / "a.webm", talk, "libopus", rate=48_000),
        encode(directory / "a.ts", talk, "aac", format="mpegts"),
    ]
    return [file.read_bytes() for file in files]


def damaged(recordings: list[bytes], seed: int) -> bytes:
    """One of them, harmed in one to three ways."""
    dice = random.Random(seed)
    data = bytearray(dice.choice(recordings))
    for _ in range(dice.randint(1, 3)):
        dice.choice(WAYS)(data, recordings, dice)
    return bytes(data)


def _place(data: bytearray, dice: random.Random, most: int = 4096) -> slice:
    """Somewhere, more often in the head, where the structure is."""
    at = dice.randrange(max(1, min(len(data), 512) if dice.random() < 0.5 else len(data)))
    return slice(at, at + dice.randint(1, most))


def _flip(data: bytearray, _: list[bytes], dice: random.Random) -> None:
    for _ in range(dice.choice((1, 8, 200))):
        if data:
            data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)


def _garble(data: bytearray, _: list[bytes], dice: random.Random) -> None:
    place = _place(data, dice, 64)
    data[place] = dice.randbytes(len(data[place]))


def _extreme(data: bytearray, _: list[bytes], dice: random.Random) -> None:
    """A size, a rate or a count that cannot be."""
    at = _place(data, dice).start
    value = dice.choice((0, 1, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0xFFFF_FFFE))
    data[at : at + 4] = value.to_bytes(4, dice.choice(("little", "big")))


def _cut_off(data: bytearray, _: list[bytes], dice: random.Random) -> None:
    del data[dice.randrange(len(data) + 1) :]


def _cut_out(data: bytearray, _: list[bytes], dice: random.Random) -> None:
    del data[_place(data, dice)]


def _wipe(data: bytearray, _: list[bytes], dice: random.Random) -> None:
    place = _place(data, dice)
    data[place] = dice.choice((b"\0", b"\xff")) * len(data[place])


def _repeat(data: bytearray, _: list[bytes], dice: random.Random) -> None:
    place = _place(data, dice)
    data[place.start : place.start] = data[place] * dice.randint(1, 5)


def _graft(data: bytearray, recordings: list[bytes], dice: random.Random) -> None:
    """The head of one file with the body of another."""
    at = dice.randrange(len(data) + 1)
    data[at:] = dice.choice(recordings)[at:]


def _prefix(data: bytearray, _: list[bytes], dice: random.Random) -> None:
    data[:0] = dice.randbytes(dice.randint(1, 2000))


WAYS: Final[tuple[Callable[[bytearray, list[bytes], random.Random], None], ...]] = (
    _flip, _garble, _extreme, _cut_off, _cut_out, _wipe, _repeat, _graft, _prefix,
)  # fmt: skip


class Actor:
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
        self._commands.send_bytes(message(order))
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
        """Open files and bytes of memory of the child."""
        child = psutil.Process(self.process.pid)
        return child.num_fds() if os.name == "posix" else 0, child.memory_info().rss

    def close(self) -> None:
        self._commands.send_bytes(message(Shutdown()))
        self.process.join()

    def _start(self):  # type: ignore[no-untyped-def]
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
def actor(directory: Path) -> Iterator[Actor]:
    child = Actor(directory)
    try:
        yield child
    finally:
        child.close()
        child._commands.close()
        child._reports.close()
