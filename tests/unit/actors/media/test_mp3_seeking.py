"""Which MP3 files players find their way in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from testkit.sounds import RATE, babble, silence
from whisper_service.actors.media.mp3_seeking import frame_at, seeks_exactly

CHANGING = np.concatenate([silence(20), babble(20), silence(20), babble(10)])
"""With a free bit rate, silence has a fraction of the bytes of speech."""


def mp3(path: Path, samples: Any, *, vbr: bool, header: bool = True, tag: bytes = b"", rate: int = 44_100) -> Path:
    """Encode an MP3 file. `header`: the first frame says how long the file is, with a table if `vbr`."""
    options = {"write_xing": str(int(header)), "id3v2_version": "0"}
    with av.open(str(path), "w", format="mp3", options=options) as container:
        stream: Any = container.add_stream("libmp3lame", rate=rate, layout="mono")
        if vbr:
            stream.codec_context.flags |= av.codec.context.Flags.qscale
            stream.codec_context.global_quality = 4 * 118
        else:
            stream.bit_rate = 64_000
        frame = av.AudioFrame.from_ndarray(samples[None, :], format="s16", layout="mono")
        frame.sample_rate, frame.pts = RATE, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    path.write_bytes(tag + path.read_bytes())
    return path


def test_the_header_of_a_frame() -> None:
    assert frame_at(bytes.fromhex("fffb9064")) == (3, 44_100, 128, 417)
    assert frame_at(bytes.fromhex("fffb9264")) == (3, 44_100, 128, 418)
    assert frame_at(bytes.fromhex("fff38064")) == (2, 22_050, 64, 208)
    for wrong in ("fffa00", "fffdf0a0", "fffb9c64", "fffb0064", "fffbf064", "ffeb9064", "00fb9064"):
        assert frame_at(bytes.fromhex(wrong)) is None


@pytest.mark.parametrize("rate", [16_000, 44_100])
@pytest.mark.parametrize("header", [True, False])
def test_one_bit_rate_is_enough(tmp_path: Path, rate: int, header: bool) -> None:
    assert seeks_exactly(mp3(tmp_path / "a", CHANGING, vbr=False, header=header, rate=rate))


def test_changing_bit_rates_need_a_table(tmp_path: Path) -> None:
    assert not seeks_exactly(mp3(tmp_path / "a", CHANGING, vbr=True, header=False))
    assert seeks_exactly(mp3(tmp_path / "b", CHANGING[10 * RATE : 30 * RATE], vbr=True))


def test_the_table_of_a_long_file_is_too_coarse(tmp_path: Path) -> None:
    assert not seeks_exactly(mp3(tmp_path / "a", CHANGING[: 50 * RATE], vbr=True))


def test_a_tag_with_a_picture_is_skipped(tmp_path: Path) -> None:
    picture = b"\xff\xfb" * 50_000  # looks like frames at first sight
    size = bytes(len(picture) >> shift & 127 for shift in (21, 14, 7, 0))
    assert seeks_exactly(mp3(tmp_path / "a", CHANGING, vbr=False, tag=b"ID3\x04\0\0" + size + picture))


def test_a_file_without_frames_is_not_exact(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\xff\xfb\x90\x64" + bytes(5_000))
    assert not seeks_exactly(tmp_path / "a")
