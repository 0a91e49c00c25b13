"""Voices made up of seeded numbers: people as directions, and what is heard of them in a chunk."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from whisper_service.actors.speakers.chunk_voices import ChunkVoices, Unit, Vector, Voice, VoiceWindow
from whisper_service.actors.speakers.embedding import WIDTH
from whisper_service.actors.speakers.segmentation import STEP

FRAMES = 589
"""Frames of a whole window, 10 s."""


def unit_vectors(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    scaled: npt.NDArray[np.float64] = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return scaled


def people(count: int, seed: int = 0) -> npt.NDArray[np.float64]:
    """Return the directions of so many people, (count, 192). Any two have a cosine near 0."""
    return unit_vectors(np.random.default_rng(seed).normal(size=(count, WIDTH)))


def spoken(person: npt.NDArray[np.float64], dice: np.random.Generator, spread: float = 0.5) -> Vector:
    """Return an embedding of speech of a person: two of one person have a cosine of 1 / (1 + spread ** 2)."""
    noise = unit_vectors(dice.normal(size=WIDTH)) * spread
    return unit_vectors(person + noise).astype(np.float32)


def chunk(everybody: npt.NDArray[np.float64], turns: Sequence[tuple[int, float]], seed: int) -> ChunkVoices:
    """Return a chunk of one window in which people speak one after the other: pairs of a person and seconds.

    The turns last 10 s at most, and there are at most three people. Each turn is a segment and a unit.
    """
    dice = np.random.default_rng(seed)
    order = list(dict.fromkeys(person for person, _ in turns))
    assert len(order) <= 3
    activity = np.zeros((FRAMES, len(order)), dtype=np.bool_)
    units: list[Unit] = []
    at = 0
    for place, (person, seconds) in enumerate(turns):
        samples = round(seconds * 16_000)
        activity[at // STEP : (at + samples) // STEP, order.index(person)] = True
        units.append(Unit(place, 0, at, samples, spoken(everybody[person], dice)))
        at += samples
    assert at <= FRAMES * STEP + STEP
    voices = tuple(Voice(flags, spoken(everybody[who], dice)) for who, flags in zip(order, activity.T, strict=True))
    return ChunkVoices((VoiceWindow(0, voices),), tuple(units))
