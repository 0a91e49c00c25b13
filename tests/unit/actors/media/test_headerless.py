"""Telephone sound without a header, known by the name of its file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from testkit.media_files import write_wav
from testkit.sounds import RATE, babble
from whisper_service.actors.media.decoder import Recording
from whisper_service.actors.media.headerless import headerless
from whisper_service.actors.media.open_part import NotMedia

VOICE = babble(5)


def headless(path: Path, codec: str, rate: int) -> Path:
    """The packets of an encoder, and nothing else."""
    context: Any = av.CodecContext.create(codec, "w")
    context.sample_rate, context.layout, context.format = rate, "mono", "s16"
    resampler: Any = av.AudioResampler("s16", "mono", rate, frame_size=240 if codec == "g723_1" else 320)
    frame = av.AudioFrame.from_ndarray(VOICE[None, :], format="s16", layout="mono")
    frame.sample_rate = RATE
    if codec == "g723_1":
        context.bit_rate = 6_300
    frames = [*resampler.resample(frame), *resampler.resample(None)]
    path.write_bytes(b"".join(bytes(packet) for ready in (*frames, None) for packet in context.encode(ready)))
    return path


FORMATS = [
    ("call.ulaw", "pcm_mulaw", 8_000),
    ("CALL.UL", "pcm_mulaw", 8_000),
    ("call.alaw", "pcm_alaw", 8_000),
    ("call.sln", "pcm_s16le", 8_000),
    ("call.sln16", "pcm_s16le", 16_000),
    ("call.sln44", "pcm_s16le", 44_100),
    ("call.g722", "g722", 16_000),
    ("call.g723_1", "g723_1", 8_000),
]


@pytest.mark.parametrize(("name", "codec", "rate"), FORMATS)
def test_telephone_sound_has_its_right_rate(tmp_path: Path, name: str, codec: str, rate: int) -> None:
    path = headless(tmp_path / "upload", codec, rate)
    with Recording(path, name=name) as recording:
        sound = np.concatenate(list(recording.blocks()))
        assert recording.missing_s == 0
        assert recording.unread == 0
    assert len(sound) == pytest.approx(len(VOICE), abs=0.1 * RATE)
    spectra = [np.abs(np.fft.rfft(each[: 4 * RATE].astype(float)))[: 4 * 3_000] for each in (VOICE, sound)]
    bands = [spectrum.reshape(60, -1).sum(axis=1) for spectrum in spectra]  # of 50 Hz: not shifted, not noise
    assert np.corrcoef(*bands)[0, 1] > 0.8


def test_a_header_counts_more_than_a_name(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "upload", VOICE)
    with Recording(path, name="call.ulaw") as recording:
        assert (recording.format, sum(map(len, recording.blocks()))) == ("wav", len(VOICE))


def test_text_is_no_telephone_sound(tmp_path: Path) -> None:
    (tmp_path / "upload").write_bytes(b"Nothing was said. " * 100)
    with pytest.raises(NotMedia):
        Recording(tmp_path / "upload", name="call.ulaw")


def test_other_names_say_nothing() -> None:
    assert all(headerless(name, b"\xff" * 512) is None for name in ("call", "call.raw", "ulaw", "a.wav", ""))
