"""Recordings made on the spot: something that Silero takes for speech, silence, noise, and files of every kind of them.

And speech with words in it, put together from the prompts of a telephone exchange where Debian's package with them is there.
"""

from __future__ import annotations

import functools
import wave
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

RATE = 16_000
Samples = npt.NDArray[np.int16]

_VOWELS = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (570, 840, 2410))
"""First three formants in Hz of a, i, u, e, o."""

PROMPTS = Path("/usr/share/asterisk/sounds/en_US_f_Allison")
NO_PROMPTS = "Debian's asterisk-core-sounds-en-wav is not installed"
TALK = ("demo-congrats", "dir-intro", "demo-moreinfo", "vm-options", "demo-abouttotry", "conf-usermenu", "demo-nogo")
"""Prompts that make a recording of 130 seconds and 8 chunks."""


@functools.cache
def babble(seconds: float, seed: int = 0) -> Samples:
    """Syllables without sense: a consonant of noise, a vowel of 29 harmonics shaped by three formants; 4 to 5 a second."""
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
    """Quiet white noise."""
    return np.random.default_rng(seed).normal(scale=100, size=round(seconds * RATE)).astype(np.int16)


def join(*parts: Samples) -> Samples:
    return np.concatenate(parts)


def prompt(name: str) -> Samples:
    """A sentence or more of clear English; for tests that skip without `PROMPTS`."""
    with wave.open(str(PROMPTS / f"{name}.wav")) as file:
        narrow = np.frombuffer(file.readframes(file.getnframes()), dtype=np.int16)
        step = file.getframerate() / RATE
    return np.interp(np.arange(0, len(narrow) - 1, step), np.arange(len(narrow)), narrow).astype(np.int16)


def talk(*names: str, pause_s: float = 3.0) -> Samples:
    """Prompts with silence behind each, long enough that every one begins a chunk of its own."""
    return join(*(part for name in names for part in (prompt(name), silence(pause_s))))


def write_wav(path: Path, samples: Samples, rate: int = RATE) -> Path:
    """`samples` has the shape (n,) or (n, channels)."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1 if samples.ndim == 1 else samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return path


def encode(
    path: Path,
    samples: Samples | None,
    codec: str = "aac",
    *,
    layout: str = "mono",
    rate: int = RATE,
    late_s: float = 0.0,
    hole: tuple[float, float] | None = None,
    video_s: float = 0.0,
    format: str | None = None,
) -> Path:
    """Encode with FFmpeg. `samples` is (n,) or (n, channels), at `RATE`.

    `late_s` is when the audio track begins; `hole` is (at, seconds): time stamps jump there though no sound is left out;
    `video_s` adds a track of pictures from 0 on.
    """
    with av.open(str(path), "w", format=format) as container:
        pictures: Any = container.add_stream("mpeg4", rate=10) if video_s else None
        track: Any = container.add_stream(codec, rate=rate, layout=layout) if samples is not None else None
        if track is not None:
            track.bit_rate = 64_000
        if pictures is not None:
            _draw(container, pictures, video_s)
        if track is not None and samples is not None:
            _speak(container, track, samples, late_s, hole)
    return path


def _draw(container: Any, stream: Any, seconds: float) -> None:
    stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
    for number in range(round(seconds * 10)):
        frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), number % 256, dtype=np.uint8), format="rgb24")
        frame.pts, frame.time_base = number, Fraction(1, 10)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def _speak(container: Any, stream: Any, samples: Samples, late_s: float, hole: tuple[float, float] | None) -> None:
    layout, rate = stream.layout.name, stream.rate
    interleaved = np.ascontiguousarray(samples).reshape(1, -1)
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    resampler: Any = av.AudioResampler(stream.format.name, layout, rate)
    step = RATE // 10
    at = round(late_s * RATE)
    for begin in range(0, len(samples), step):
        piece = interleaved[:, begin * channels : (begin + step) * channels]
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(piece), format="s16", layout=layout)
        frame.sample_rate = RATE
        frame.time_base = Fraction(1, RATE)
        jump = round(hole[1] * RATE) if hole is not None and begin >= round(hole[0] * RATE) else 0
        frame.pts = at + begin + jump
        for ready in resampler.resample(frame):
            container.mux(stream.encode(ready))
    if not resampler.is_passthrough:
        for ready in resampler.resample(None):
            container.mux(stream.encode(ready))
    container.mux(stream.encode(None))
