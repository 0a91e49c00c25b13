"""The waveform for the player: the lowest and highest sample of every 20 ms, as pairs of int8. 360 KB per hour."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from whisper_service.core.domain import SAMPLE_RATE

PER_SECOND: Final = 50
BIN: Final = SAMPLE_RATE // PER_SECOND


class Waveform:
    """The lowest and highest samples of one recording, in order."""

    def __init__(self) -> None:
        self._left = np.empty(0, dtype=np.int16)  # samples that do not fill a bin yet

    def feed(self, samples: npt.NDArray[np.int16]) -> bytes:
        """Take the next samples (16 kHz mono) and return min, max, min, max, ... of the bins that are now full.

        Full scale is -128..127.
        """
        if len(self._left):
            samples = np.concatenate((self._left, samples))
        whole = len(samples) // BIN * BIN
        self._left = samples[whole:].copy()
        return _pairs(samples[:whole].reshape(-1, BIN)) if whole else b""

    def finish(self) -> bytes:
        """Return the pair of the last, shorter bin; nothing if there is none."""
        left, self._left = self._left, self._left[:0]
        return _pairs(left.reshape(1, -1)) if len(left) else b""


def _pairs(bins: npt.NDArray[np.int16]) -> bytes:
    return (np.stack((bins.min(axis=1), bins.max(axis=1)), axis=1) >> 8).astype(np.int8).tobytes()
