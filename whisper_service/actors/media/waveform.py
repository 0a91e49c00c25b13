"""The waveform for the player: the lowest and highest sample of equal stretches of sound, as pairs of int8.

There are two levels. The coarse one, a pair per 20 ms and 360 kB per hour, is what the player shows of a whole
recording. The fine one, a pair per 5 ms and 1.44 MB per hour, is what it shows of some seconds: the page fetches parts.
"""

from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from whisper_service.actors.media.spool import SpoolFile
from whisper_service.core.domain import SAMPLE_RATE

PER_SECOND: Final = 50
BIN: Final = SAMPLE_RATE // PER_SECOND
FINE_PER_SECOND: Final = 200
"""10 s on a window of 2000 pixels have a pair for each pixel."""


class Waveform:
    """The lowest and highest samples of one recording, in order."""

    def __init__(self, per_second: int = PER_SECOND) -> None:
        self._bin = SAMPLE_RATE // per_second
        self._left = np.empty(0, dtype=np.int16)  # samples that do not fill a bin yet

    def feed(self, samples: npt.NDArray[np.int16]) -> bytes:
        """Take the next samples (16 kHz mono) and return min, max, min, max, ... of the bins that are now full.

        Full scale is -128..127.
        """
        if len(self._left):
            samples = np.concatenate((self._left, samples))
        whole = len(samples) // self._bin * self._bin
        self._left = samples[whole:].copy()
        return _pairs(samples[:whole].reshape(-1, self._bin)) if whole else b""

    def finish(self) -> bytes:
        """Return the pair of the last, shorter bin; nothing if there is none."""
        left, self._left = self._left, self._left[:0]
        return _pairs(left.reshape(1, -1)) if len(left) else b""


class WaveformFiles:
    """The waveforms of one recording on the disk, as a context manager. Readers see them grow."""

    def __init__(self, coarse: str, fine: str, begin_s: int = 0) -> None:
        """Open the files to write from a second of the recording on. Raises `FileNotFoundError`.

        Without a path for the fine one there is only the coarse one.
        """
        levels = [(PER_SECOND, coarse), *([(FINE_PER_SECOND, fine)] if fine else [])]
        with ExitStack() as files:
            self._levels = [
                (Waveform(rate), files.enter_context(SpoolFile(path, 2 * rate * begin_s))) for rate, path in levels
            ]
            self._files = files.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._files.__exit__(kind, error, trace)

    def feed(self, samples: npt.NDArray[np.int16]) -> None:
        """Take the next samples: 16 kHz, mono."""
        for waveform, file in self._levels:
            file.write(waveform.feed(samples))

    def flush(self) -> None:
        """Make all pairs so far visible to readers."""
        for _, file in self._levels:
            file.flush()

    def finish(self) -> None:
        """Take the end of the recording."""
        for waveform, file in self._levels:
            file.write(waveform.finish())

    def seal(self) -> None:
        """Bring the files to stable storage."""
        for _, file in self._levels:
            file.seal()


def _pairs(bins: npt.NDArray[np.int16]) -> bytes:
    return (np.stack((bins.min(axis=1), bins.max(axis=1)), axis=1) >> 8).astype(np.int8).tobytes()
