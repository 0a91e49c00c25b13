"""Recordings that a browser plays, with a script for the scripted actors behind the sound or the pictures."""

from __future__ import annotations

import io
import wave
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from testkit.scripted_actors import BEHIND, script


def sound(seconds: int, /, **play: Any) -> bytes:
    """Return silence as WAV, with a script behind it."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(1)
        writer.setframerate(8_000)
        writer.writeframes(b"\x80" * 8_000 * seconds)
    return file.getvalue() + BEHIND + script(**play)


def film(path: Path, seconds: int, /, **play: Any) -> bytes:
    """Return pictures without sound as WebM, with a script behind them."""
    with av.open(str(path), "w", format="webm") as container:
        stream: Any = container.add_stream("libvpx", rate=5)
        stream.width, stream.height, stream.pix_fmt = 160, 90, "yuv420p"
        for number in range(seconds * 5):
            frame = av.VideoFrame.from_ndarray(np.full((90, 160, 3), number * 3 % 256, dtype=np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 5)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path.read_bytes() + BEHIND + script(**play)
