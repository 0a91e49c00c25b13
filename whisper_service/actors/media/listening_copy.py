"""The listening copy: what browsers play in place of a recording that they cannot play. Opus in WebM, mono.

The copy is made of the samples in the spool, which are those that are transcribed: so the times of both agree, and
nothing is decoded twice. A thread of its own follows the spool with low priority, from the first chunk on, because the
text comes first. Whatever goes wrong with the copy ends the copy alone.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

import av
import numpy as np
import numpy.typing as npt
from msgspec.structs import replace

from whisper_service.actors.media.decoder import Recording
from whisper_service.actors.media.playback import AS_SENT, Playback, playback_of
from whisper_service.core.domain import SAMPLE_RATE, Playable, Problem
from whisper_service.core.errors import DiskFull
from whisper_service.core.files import draft_of, is_disk_full, sync_directory, sync_file
from whisper_service.supervision.messages.media import Decode, no_listening_copy

logger = logging.getLogger(__name__)

BIT_RATE: Final = 44_000
"""Bits per second of the sound. With the container it is 47 kbit/s, 21 MB an hour (docs/performance.md)."""
ENCODER: Final = {"vbr": "constrained", "compression_level": "3"}
"""With a free rate, some voices take 1.6 times the bits. Level 10 of the effort takes five times as long as 3."""
PIECE: Final = SAMPLE_RATE
"""Samples that are read at once. Between two pieces the copy can be given up."""
LOOK: Final = 60 * PIECE
"""Samples between two looks at the free space of the disk: 0.3 MB of the copy."""
RESERVE_BYTES: Final = 64 << 20
"""Bytes that a copy leaves free in any case, for the text and for the sound that is still to be transcribed."""
NICE: Final = 5
"""What the copy is lowered by, below the thread that starts it."""


class Copied(NamedTuple):
    """What a player gets. `bytes` of the copy; 0: there is none. `playable` None: there is nothing that plays."""

    playable: Playable | None
    bytes: int = 0
    remark: Problem | None = None  # why there is no copy although one is needed


class ListeningCopy:
    """The copy of a recording in work, as a context manager. A copy that is not complete at the end is deleted.

    The service creates the file `draft_of(command.copy)`, and the actor never does: a file that was deleted with its
    job must not come back. The copy gets its name when it is complete. One from an earlier decode is kept. With
    `command.copy_in_place` the file of the copy has no name to get: it is empty until the copy begins, and again when
    the copy is given up.
    """

    def __init__(self, command: Decode, recording: Recording) -> None:
        self._recording = recording
        self._source, self._spool = Path(command.source), Path(command.spool)
        self._target = Path(command.copy) if command.copy else None
        self._in_place = command.copy_in_place
        self._spare_bytes = max(RESERVE_BYTES, command.spare_bytes)
        self._thread = ThreadPoolExecutor(1, "listening copy", initializer=_lower_priority)
        self._steps: list[Future[None]] = []
        self._encoder: _Encoder | None = None
        self._late = round(recording.start_s * SAMPLE_RATE)  # samples of silence before the first of the spool
        self._done = 0  # samples of the spool in the copy
        self._look_at = 0  # samples in the copy, at the next look at the disk
        self._needed: bool | None = None  # None: not decided yet
        self._stopped = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped = True
        self._thread.shutdown(cancel_futures=True)
        if self._encoder is not None:
            self._encoder.abandon()
        if self._target is not None and not self._in_place:
            with suppress(OSError):
                draft_of(self._target).unlink(missing_ok=True)

    def follow(self, samples: int, *, last: bool = False) -> None:
        """Take note that the spool has so many samples, and whether these are all."""
        if self._target is None:
            return
        if self._needed is None or last:  # the last block tells of damage
            self._needed = self._playback().needs_copy
        if self._needed:
            self._steps.append(self._thread.submit(self._step, self._target, samples, last))

    def ended(self, within_s: float) -> bool:
        """Wait for the copy, and return whether all that was asked for is done."""
        return not wait(self._steps, within_s).not_done

    def result(self) -> Copied:
        """Return what a player gets. The copy must have ended."""
        first, needs_copy = self._playback()
        found = _size(self._target) if needs_copy and self._target is not None else 0
        remark = next((_remark(error) for step in self._steps if (error := step.exception()) is not None), None)
        return Copied(None if first is Playable.COPY and not found else first, found, None if found else remark)

    def _playback(self) -> Playback:
        try:
            return playback_of(self._recording, self._source)
        except OSError:  # the recording was deleted while it was read: its text does not need the file any more
            return AS_SENT

    def _step(self, target: Path, samples: int, last: bool) -> None:
        """Bring the copy to this number of samples. Raises what the disk and the encoder raise, once."""
        if self._stopped or (self._encoder is None and _size(target)):
            return
        try:
            draft = target if self._in_place else draft_of(target)
            self._encoder = self._encoder or _Encoder(draft, in_place=self._in_place)
            while self._late and not self._stopped:
                piece = min(PIECE, self._late)
                self._write(self._encoder, np.zeros(piece, dtype=np.int16))
                self._late -= piece
            with self._spool.open("rb") as spool:
                spool.seek(2 * self._done)
                while self._done < samples and not self._stopped:
                    block = np.frombuffer(spool.read(2 * min(PIECE, samples - self._done)), dtype=np.int16)
                    if not len(block):
                        raise EOFError(f"the spool ends after {self._done} of {samples} samples")
                    self._write(self._encoder, block)
                    self._done += len(block)
            if last and not self._stopped:
                self._encoder.finish(target)
        except FileNotFoundError:  # deleted with its job
            self._stopped = True
        except BaseException:
            self._stopped = True
            if self._encoder is not None:  # at once: the text may need the room
                self._encoder.abandon()
            raise

    def _write(self, encoder: _Encoder, samples: npt.NDArray[np.int16]) -> None:
        if encoder.samples >= self._look_at:
            self._look_at = encoder.samples + LOOK
            disk = shutil.disk_usage(self._spool)
            if disk.total and disk.free < self._spare_bytes:  # files of memory are on no disk
                raise DiskFull
        encoder.write(samples)


class _Encoder:
    """An open copy without its name. Samples go in with `write`; `finish` or `abandon` ends the encoder."""

    def __init__(self, part: Path, *, in_place: bool) -> None:
        """Open the file, which must exist, and empty it. Raises `OSError`."""
        self._part = part
        self._in_place = in_place
        self._file = part.open("r+b")
        self._file.truncate(0)
        self._container = av.open(self._file, "w", format="webm")
        self._stream = self._container.add_stream("libopus", rate=SAMPLE_RATE, layout="mono", options=dict(ENCODER))
        self._stream.bit_rate = BIT_RATE
        self.samples = 0  # in the copy so far
        self._open = True

    def write(self, samples: npt.NDArray[np.int16]) -> None:
        """Encode the next samples. Raises `OSError` or `av.FFmpegError`."""
        frame = av.AudioFrame.from_ndarray(samples[None, :], format="s16", layout="mono")
        frame.sample_rate, frame.pts = SAMPLE_RATE, self.samples
        self.samples += len(samples)
        self._container.mux(self._stream.encode(frame))

    def finish(self, target: Path) -> None:
        """Write the end with the index, bring the file to stable storage, and give it its name if it has another one.

        Raises `FileNotFoundError` if the file was deleted with its job.
        """
        self._container.mux(self._stream.encode(None))
        self._container.close()
        sync_file(self._file)
        self._file.close()
        self._open = False
        if self._part != target:
            self._part.replace(target)
            sync_directory(target.parent)

    def abandon(self) -> None:
        """Delete the file, unless it is finished. One that is in place is emptied."""
        if not self._open:
            return
        self._open = False
        if not self._in_place:
            self._part.unlink(missing_ok=True)
        for close in (self._container.close, self._file.close):
            with suppress(OSError, av.FFmpegError):  # the disk may be full
                close()
        if self._in_place:
            with suppress(OSError):
                os.truncate(self._part, 0)


def _size(target: Path) -> int:
    try:
        return target.stat().st_size
    except FileNotFoundError:
        return 0


def _remark(error: BaseException) -> Problem:
    full = is_disk_full(error) or isinstance(error, DiskFull)
    if not full:
        logger.warning("the listening copy failed", exc_info=error, extra={"action": "listening_copy_failed"})
    return replace(no_listening_copy(full=full), params={"detail": f"{type(error).__name__}: {error}"})


def _lower_priority() -> None:
    """Lower the priority of this thread. Elsewhere than on Linux, the whole process would get it."""
    if sys.platform == "linux":
        os.nice(NICE)
