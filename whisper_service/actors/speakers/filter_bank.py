"""The features of an embedding: logarithms of the energy in 80 mel bands, as Kaldi computes them.

CAM++ was trained on `torchaudio.compliance.kaldi.fbank(samples, num_mel_bins=80, dither=0)` with samples in -1..1. That
function follows `feat/feature-window.cc` and `feat/mel-computations.cc` of Kaldi. For frame i, with x = 400 samples
from sample 160 i on:

    x -= mean(x);  x[n] -= 0.97 x[n-1], where x[-1] is x[0];  x[n] *= (0.5 - 0.5 cos(2 pi n / 399)) ^ 0.85
    p = |FFT of 512 samples|^2 at bins 0..255
    feature[b] = log(max(p . triangle[b], 2^-23))

The triangles are even in mel(f) = 1127 ln(1 + f / 700), from 20 to 8000 Hz. Frames that are not full are left out.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from whisper_service.core.domain import SAMPLE_RATE

Floats = npt.NDArray[np.float32]

FRAME: Final = 400
"""Samples in a frame, 25 ms."""
HOP: Final = 160
"""Samples from one frame to the next, 10 ms."""
BANDS: Final = 80
_FFT: Final = 512
_LOW_HZ, _HIGH_HZ = 20.0, 8000.0
_EMPHASIS: Final = np.float32(0.97)
_FLOOR: Final = np.float32(2**-23)
"""Smallest energy: the step of a float32 at 1, so that silence has a logarithm."""


def _mel(hz: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    mel: npt.NDArray[np.floating] = 1127.0 * np.log(1.0 + hz / 700.0)
    return mel


def _triangles() -> Floats:
    """Return the weight of each bin in each band, (256, 80)."""
    low, high = _mel(np.array([_LOW_HZ, _HIGH_HZ]))
    edges = np.linspace(low, high, BANDS + 2)
    bins = _mel(np.arange(_FFT // 2) * (SAMPLE_RATE / _FFT))[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    triangles: Floats = np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32)
    return triangles


_TRIANGLES: Final = _triangles()
_WINDOW: Final = ((0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / (FRAME - 1))) ** 0.85).astype(np.float32)


def features(samples: Floats) -> Floats:
    """Return the features of samples in -1..1, shape (frames, 80)."""
    if len(samples) < FRAME:
        return np.zeros((0, BANDS), dtype=np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(samples, FRAME)[::HOP]
    frames = frames - frames.mean(axis=1, keepdims=True)
    before = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    spectrum = np.fft.rfft((frames - _EMPHASIS * before) * _WINDOW, _FFT, axis=1)[:, : _FFT // 2]
    energy = (spectrum.real**2 + spectrum.imag**2).astype(np.float32) @ _TRIANGLES
    logarithms: Floats = np.log(np.maximum(energy, _FLOOR))
    return logarithms
