"""Frames with more channels than FFmpeg's resampler takes: split into several frames that it takes.

FFmpeg decodes up to 512 channels. Its resampler and its mixer stop at 64, so that such frames are taken apart here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import av
import numpy as np
import numpy.typing as npt
from av.audio.plane import AudioPlane

MAX_CHANNELS: Final = 64
"""The most channels that FFmpeg's resampler takes."""
MAX_DECODED: Final = 512
"""The most channels that FFmpeg decodes."""
TYPES: Final[dict[str, Any]] = {"u8": np.uint8, "s16": np.int16, "s32": np.int32, "flt": np.float32, "dbl": np.float64}
"""numpy's types of FFmpeg's samples."""
Samples = npt.NDArray[np.int16]
"""16-bit samples, shape (samples, channels)."""


def split(frame: av.AudioFrame) -> list[av.AudioFrame]:
    """Return the channels of a frame as frames of at most `MAX_CHANNELS`. Most frames are returned as they are.

    Raises `ValueError` for samples of 64-bit integers.
    """
    if frame.layout.nb_channels <= MAX_CHANNELS:
        return [frame]
    return list(_frames(_samples(frame), frame.sample_rate))


def _frames(samples: Samples, rate: int) -> Iterator[av.AudioFrame]:
    for first in range(0, samples.shape[1], MAX_CHANNELS):
        some = samples[:, first : first + MAX_CHANNELS]
        packed = np.ascontiguousarray(some).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(packed, format="s16", layout=f"{some.shape[1]} channels")
        frame.sample_rate = rate
        yield frame


def _samples(frame: av.AudioFrame) -> Samples:
    kind = frame.format.name.removesuffix("p")
    if kind not in TYPES:
        raise ValueError(f"samples of the type {kind} in {frame.layout.nb_channels} channels")
    # `frame.planes` counts the planes wrongly, see `resampler`
    planes: list[npt.NDArray[Any]] = [
        np.frombuffer(memoryview(AudioPlane(frame, number)), TYPES[kind]) for number in range(_planes(frame))
    ]
    if frame.format.is_planar:
        sound = np.stack([plane[: frame.samples] for plane in planes], axis=1)
    else:
        sound = planes[0][: frame.samples * frame.layout.nb_channels].reshape(frame.samples, -1)
    if kind in ("flt", "dbl"):
        sound = np.clip(np.rint(np.nan_to_num(sound) * 32_768), -32_768, 32_767)
    elif kind == "s32":
        sound = sound >> 16
    elif kind == "u8":
        sound = (sound.astype(np.int16) - 128) << 8
    return sound.astype(np.int16, copy=False)


def _planes(frame: av.AudioFrame) -> int:
    return frame.layout.nb_channels if frame.format.is_planar else 1
