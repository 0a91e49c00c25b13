"""The waveform of a recording."""

from __future__ import annotations

import numpy as np
import pytest

from testkit.sounds import babble
from whisper_service.actors.media.waveform import BIN, Waveform


@pytest.mark.parametrize("portion", [100, BIN, 8_000, 12_345])
def test_pairs_of_lowest_and_highest_sample(portion: int) -> None:
    sound = babble(2.003)
    peaks = Waveform()
    data = b"".join(peaks.feed(sound[begin : begin + portion]) for begin in range(0, len(sound), portion))
    pairs = np.frombuffer(data + peaks.finish(), dtype=np.int8).reshape(-1, 2)
    bins = [sound[begin : begin + BIN] for begin in range(0, len(sound), BIN)]
    assert pairs.tolist() == [[int(part.min()) >> 8, int(part.max()) >> 8] for part in bins]


def test_fifty_pairs_a_second() -> None:
    assert len(Waveform().feed(np.zeros(16_000, dtype=np.int16))) == 100


def test_full_scale_fits() -> None:
    assert Waveform().feed(np.array([-32768, 32767] * (BIN // 2), dtype=np.int16)) == b"\x80\x7f"
