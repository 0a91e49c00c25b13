"""Hear the voices of a recording in a process that loads no more than the speakers actor does."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from bench.lib.usage import high_water
from whisper_service.actors.speakers.chunk_voices import ChunkVoices
from whisper_service.actors.speakers.clustering import HowMany
from whisper_service.actors.speakers.labels import Labels, label
from whisper_service.actors.speakers.listener import Listener
from whisper_service.core.domain import Segment, Span


class Chunk(msgspec.Struct):
    """A chunk with its text."""

    span: Span
    segments: tuple[Segment, ...]


class Hearing(NamedTuple):
    """The voices of the chunks, who says what, and what that took: CPU seconds, and bytes of memory at most."""

    voices: dict[int, ChunkVoices]
    labels: Labels
    cpu_s: float
    peak: int


def hear(networks: Path, spool: Path, chunks: Sequence[Chunk], how_many: HowMany) -> Hearing:
    """Hear these chunks in this order, then name the speakers. The loading of the networks is not counted as CPU."""
    listener = Listener(networks)
    began = time.process_time()
    voices: dict[int, ChunkVoices] = {}
    for span, segments in ((chunk.span, chunk.segments) for chunk in chunks):
        samples = np.fromfile(spool, dtype="<i2", count=span.samples, offset=2 * span.start_sample)
        voices[span.index] = listener.hear(samples.astype(np.float32) / np.float32(32768), span, segments)
    labels = label(voices, how_many)
    return Hearing(voices, labels, time.process_time() - began, high_water(os.getpid()))
