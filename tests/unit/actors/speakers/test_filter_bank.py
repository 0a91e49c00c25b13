"""Features, against those of kaldi-native-fbank 1.23 (80 bins, no dither) for the same samples."""

from __future__ import annotations

import math

import numpy as np
import pytest

from whisper_service.actors.speakers.filter_bank import BANDS, FRAME, HOP, features

KALDI = {
    0: [-9.28, -7.29, -15.33, -15.94, -15.94, -15.94, -15.94],
    20: [-13.09, -12.36, -1.08, -14.8, -15.94, -15.94, -15.94],
    70: [-11.22, -15.94, -15.43, -10.37, -10.13, -15.94, -15.94],
    97: [-12.8, -15.94, -15.94, -14.52, 0.92, -14.34, -15.94],
}
"""By frame: every 13th band, beginning with the lowest."""


def chirp() -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """A tone that rises from 200 to 3200 Hz in a second, with silence in its middle."""
    t = np.arange(16_000) / 16_000
    samples = (0.3 * np.sin(2 * np.pi * (200 * t + 1500 * t * t))).astype(np.float32)
    samples[6000:9000] = 0
    return samples


@pytest.mark.parametrize("frame", KALDI)
def test_features_are_those_of_kaldi(frame: int) -> None:
    assert features(chirp())[frame, ::13] == pytest.approx(KALDI[frame], abs=0.006)


def test_silence_is_the_logarithm_of_the_smallest_energy() -> None:
    assert np.unique(features(chirp())[40]).tolist() == [pytest.approx(math.log(2**-23))]


@pytest.mark.parametrize(("samples", "frames"), [(0, 0), (FRAME - 1, 0), (FRAME, 1), (FRAME + HOP, 2), (16_000, 98)])
def test_only_whole_frames_count(samples: int, frames: int) -> None:
    assert features(np.zeros(samples, dtype=np.float32)).shape == (frames, BANDS)
