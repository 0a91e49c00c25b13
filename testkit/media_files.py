"""Recordings as files: WAV, and what FFmpeg can encode."""

from __future__ import annotations

import wave
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from testkit.sounds import RATE, Samples


def write_wav(path: Path, samples: Samples, rate: int = RATE) -> Path:
    """Write samples of the shape (n,) or (n, channels)."""
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
    """Encode with FFmpeg. `samples` has the shape (n,) or (n, channels), at `RATE`.

    `late_s` is when the audio track begins. `hole` is (at, seconds): there the time stamps jump, but no sound is left
    out. `video_s` adds a video track from 0 on.
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
