"""Hears the voices of a chunk: windows, units, and an embedding of each. A function of samples and text alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from whisper_service.actors.speakers.chunk_voices import ChunkVoices, Unit, Voice, VoiceWindow
from whisper_service.actors.speakers.embedding import Embedder
from whisper_service.actors.speakers.filter_bank import FRAME, HOP, features
from whisper_service.actors.speakers.segmentation import (
    FIELD,
    FRAME_S,
    STEP,
    WINDOW,
    Segmenter,
    alone_flags,
    window_starts,
)
from whisper_service.actors.speakers.units import cut
from whisper_service.core.domain import Segment, Span
from whisper_service.models.speaker_networks import EMBEDDING, SEGMENTATION

ALONE_S: Final = 0.5
"""With so much speech of its own, a voice is heard without the frames in which others speak too."""

Floats = npt.NDArray[np.float32]


class Listener:
    """The two loaded networks, about 110 MB of memory."""

    def __init__(self, networks: Path) -> None:
        """Load the networks in a folder, in 0.1 s. Raises `ModelUnavailable` and `ModelBroken`."""
        self._segmenter = Segmenter(networks / SEGMENTATION.file)
        self._embedder = Embedder(networks / EMBEDDING.file)

    def hear(self, samples: Floats, span: Span, segments: Sequence[Segment]) -> ChunkVoices:
        """Return the voices of a chunk with these samples, in -1..1, and this text."""
        rows = features(samples)
        windows = tuple(
            self._window(start, samples[start : start + WINDOW], rows) for start in window_starts(len(samples))
        )
        units = tuple(self._heard(unit, rows) for unit in cut(segments, span, windows))
        return ChunkVoices(windows, units)

    def _window(self, start: int, samples: Floats, rows: Floats) -> VoiceWindow:
        """Return a window with the embeddings of its voices. `rows` are the features of the chunk."""
        activity = self._segmenter.voices(samples)
        if not activity.shape[1]:
            return VoiceWindow(start, ())
        first = -(-start // HOP)  # the features that begin in the window
        middles = np.arange(first, min(len(rows), (start + len(samples) - FRAME) // HOP + 1)) * HOP + FRAME // 2 - start
        frames = np.clip(np.rint((middles - FIELD // 2) / STEP).astype(int), 0, len(activity) - 1)
        voices = []
        for flags, alone in zip(activity.T, alone_flags(activity).T, strict=True):
            wanted = alone if np.count_nonzero(alone) * FRAME_S >= ALONE_S else flags
            own = rows[first : first + len(frames)][wanted[frames]] if len(frames) else rows[:0]
            voices.append(Voice(np.ascontiguousarray(flags), self._embedder.embed(own)))
        return VoiceWindow(start, tuple(voices))

    def _heard(self, unit: Unit, rows: Floats) -> Unit:
        """Return the unit with its embedding: that of the features whose middles are inside."""
        first, after = (-(-(sample - FRAME // 2) // HOP) for sample in (unit.start, unit.start + unit.samples))
        return unit._replace(embedding=self._embedder.embed(rows[max(0, first) : max(0, after)]))
