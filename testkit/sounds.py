"""Sounds made on the spot: syllables that the speech detector takes for speech, silence and noise."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

RATE = 16_000
"""Samples a second."""
Samples = npt.NDArray[np.int16]

_VOWELS = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (570, 840, 2410))
"""First three formants in Hz of a, i, u, e, o."""


@functools.cache
def babble(seconds: float, seed: int = 0) -> Samples:
    """Return syllables without sense, 4 to 5 a second.

    Each is a consonant of noise and a vowel of 29 harmonics shaped by three formants.
    """
    dice = np.random.default_rng(seed)
    harmonics = np.arange(1, 30)[:, None]
    pieces: list[npt.NDArray[np.float64]] = []
    length = 0
    while length < seconds * RATE:
        consonant = dice.normal(size=int(RATE * dice.uniform(0.03, 0.08)))
        pieces.append(np.diff(consonant, prepend=0) * np.hanning(len(consonant)) * 0.05)
        formants = np.array(_VOWELS[dice.integers(len(_VOWELS))])
        samples = int(RATE * dice.uniform(0.12, 0.25))
        pitch = dice.uniform(110, 150) * np.linspace(1.05, 0.95, samples)
        phase = 2 * np.pi * np.cumsum(pitch / RATE)
        distances = (harmonics * pitch.mean() - formants) / (60 + 0.05 * formants)
        levels = (np.array([1, 0.5, 0.25]) / (1 + distances**2)).sum(axis=1)
        pieces.append(levels @ np.sin(harmonics * phase) * np.sqrt(np.hanning(samples)))
        length += len(consonant) + samples
    sound = np.concatenate(pieces)[: round(seconds * RATE)]
    result: Samples = (sound / np.abs(sound).max() * 12_000).astype(np.int16)
    return result


def silence(seconds: float) -> Samples:
    return np.zeros(round(seconds * RATE), dtype=np.int16)


def hiss(seconds: float, seed: int = 0) -> Samples:
    """Return quiet white noise."""
    return np.random.default_rng(seed).normal(scale=100, size=round(seconds * RATE)).astype(np.int16)


def gusts(seconds: float, seed: int = 0) -> Samples:
    """Return loud low noise that swells and falls, as of wind or of a road."""
    dice = np.random.default_rng(seed)
    samples = round(seconds * RATE)
    low = np.fft.rfft(dice.normal(size=samples))
    low /= np.maximum(np.arange(len(low)) / seconds, 20.0)  # the higher, the softer
    marks = np.arange(0, samples + RATE, RATE)  # a second apart
    swell = np.interp(np.arange(samples), marks, dice.uniform(0.2, 1, len(marks)))
    sound = np.fft.irfft(low, samples) * swell
    result: Samples = (sound / np.abs(sound).max() * 10_000).astype(np.int16)
    return result


def chords(seconds: float, seed: int = 0) -> Samples:
    """Return music: a chord of three plucked strings and a beat of a drum, twice a second."""
    dice = np.random.default_rng(seed)
    beat = np.arange(RATE // 2) / RATE
    pieces: list[npt.NDArray[np.float64]] = []
    for _ in range(round(2 * seconds)):
        root = 110 * 2 ** (dice.integers(0, 12) / 12)
        strings = sum(
            np.sin(2 * np.pi * root * step * n * beat) / n**1.5 for step in (1, 1.26, 1.5) for n in range(1, 9)
        )
        drum = dice.normal(size=len(beat)) * np.exp(-40 * beat)
        pieces.append(strings * np.exp(-3 * beat) * np.minimum(1, beat * 200) + drum)
    sound = np.concatenate(pieces)
    result: Samples = (sound / np.abs(sound).max() * 10_000).astype(np.int16)
    return result


def speechless(seconds: float, seed: int = 0) -> Samples:
    """Return noise, wind, music and silence in turn, half a minute each, in which nobody speaks."""
    kinds = (hiss, gusts, chords, lambda length, _: silence(length))
    parts = [kinds[n % len(kinds)](30.0, seed + n) for n in range(max(1, round(seconds / 30)))]
    return join(*parts)


def join(*parts: Samples) -> Samples:
    return np.concatenate(parts)
