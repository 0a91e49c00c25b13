"""The waveform of a recording."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from testkit.sounds import babble
from whisper_service.actors.media.waveform import BIN, FINE_PER_SECOND, PER_SECOND, Waveform, WaveformFiles


@pytest.mark.parametrize("portion", [100, BIN, 8_000, 12_345])
def test_pairs_of_lowest_and_highest_sample(portion: int) -> None:
    sound = babble(2.003)
    peaks = Waveform()
    data = b"".join(peaks.feed(sound[begin : begin + portion]) for begin in range(0, len(sound), portion))
    pairs = np.frombuffer(data + peaks.finish(), dtype=np.int8).reshape(-1, 2)
    bins = [sound[begin : begin + BIN] for begin in range(0, len(sound), BIN)]
    assert pairs.tolist() == [[int(part.min()) >> 8, int(part.max()) >> 8] for part in bins]


@pytest.mark.parametrize("per_second", [PER_SECOND, FINE_PER_SECOND])
def test_pairs_per_second(per_second: int) -> None:
    assert len(Waveform(per_second).feed(np.zeros(16_000, dtype=np.int16))) == 2 * per_second


def test_both_levels_tell_the_same_sound(tmp_path: Path) -> None:
    coarse, fine = tmp_path / "coarse", tmp_path / "fine"
    for path in (coarse, fine):
        path.write_bytes(b"\x07" * 10_000)  # of an attempt that was longer
    sound = babble(2.003)
    with WaveformFiles(str(coarse), str(fine)) as files:
        for begin in range(0, len(sound), 8_000):
            files.feed(sound[begin : begin + 8_000])
            files.flush()
        assert fine.stat().st_size == 10_000, "readers may have been promised these bytes"
        files.finish()
        files.seal()
    whole = np.frombuffer(coarse.read_bytes(), dtype=np.int8).reshape(-1, 2)
    parts = np.frombuffer(fine.read_bytes(), dtype=np.int8).reshape(-1, 2)
    assert (len(whole), len(parts)) == (101, 401)
    assert len(set(parts[:, 1])) > 20
    grouped = [parts[begin : begin + 4] for begin in range(0, 401, 4)]
    assert whole.tolist() == [[int(group[:, 0].min()), int(group[:, 1].max())] for group in grouped]


def test_without_a_path_there_is_no_fine_level_and_a_missing_file_is_not_made(tmp_path: Path) -> None:
    coarse = tmp_path / "coarse"
    coarse.touch()
    with WaveformFiles(str(coarse), "") as files:
        files.feed(np.zeros(16_000, dtype=np.int16))
        files.seal()
    assert coarse.stat().st_size == 100
    with pytest.raises(FileNotFoundError):
        WaveformFiles(str(coarse), str(tmp_path / "gone"))
    assert [path.name for path in tmp_path.iterdir()] == ["coarse"]


def test_full_scale_fits() -> None:
    assert Waveform().feed(np.array([-32768, 32767] * (BIN // 2), dtype=np.int16)) == b"\x80\x7f"
