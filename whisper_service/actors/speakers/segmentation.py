"""Segmentation: which of up to three voices speak, for every 17 ms of a window of up to 10 s.

The network is pyannote's segmentation-3.0. For each frame it tells the probabilities of seven classes: silence, one of
three voices, or two of them at once. The numbers of the voices mean something inside one window only. Windows lie
inside a chunk, so that they depend on that chunk alone; each second is in two windows, except at the ends of the chunk.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from whisper_service.actors.speakers.network import Network
from whisper_service.core.domain import SAMPLE_RATE

Flags = npt.NDArray[np.bool_]

STEP: Final = 270
"""Samples from one frame to the next: the strides 10, 3, 3 and 3 of the network's convolutions."""
FIELD: Final = 991
"""Samples that a frame sees: 251 of the first filter, and what the later layers add."""
FRAME_S: Final = STEP / SAMPLE_RATE
WINDOW: Final = 10 * SAMPLE_RATE
"""Samples in a window. The network was trained on 10 s."""
HOP: Final = 296 * STEP
"""Samples from one window to the next, 4.995 s. Half of that costs twice as much and confuses a fifth less."""
LEAST: Final = SAMPLE_RATE // 2
"""Samples in the shortest window. Less sound has no room for two voices."""
CLASSES: Final = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1]], dtype=np.bool_)
"""The voices that speak in each class."""


def window_starts(samples: int) -> list[int]:
    """Return where the windows of a chunk begin, in samples from its beginning, all at multiples of `STEP`.

    The last window ends where the chunk ends, to within a frame.
    """
    if samples < LEAST:
        return []
    last = max(0, samples - WINDOW) // STEP * STEP
    return [*range(0, last, HOP), last]


class Segmenter:
    """The loaded network."""

    def __init__(self, path: Path) -> None:
        """Load the network. Raises `ModelUnavailable` and `ModelBroken`."""
        self._network = Network(path)

    def voices(self, samples: npt.NDArray[np.float32]) -> Flags:
        """Return when each voice of a window speaks, (frames, voices), for `LEAST` to `WINDOW` samples in -1..1.

        There are 0 to 3 voices, in order of their first frame.
        """
        activity: Flags = CLASSES[self._network(samples[None, None])[0].argmax(axis=1)]
        activity = activity[:, activity.any(axis=0)]
        order = sorted(range(activity.shape[1]), key=lambda voice: int(activity[:, voice].argmax()))
        ordered: Flags = activity[:, order]
        return ordered


def frame_of(sample: float) -> float:
    """Return which frame of a window sees a sample in its middle. Not rounded."""
    return (sample - FIELD // 2) / STEP


def alone_flags(activity: Flags) -> Flags:
    """Return when each voice speaks alone, for flags of the shape (frames, voices)."""
    alone: Flags = activity & (activity.sum(axis=1, keepdims=True) == 1)
    return alone
