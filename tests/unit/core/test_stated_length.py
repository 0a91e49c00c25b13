"""The stated length of a recording, from files that FFmpeg wrote and from damaged ones."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testkit.media_files import encode, write_wav
from testkit.sounds import RATE
from whisper_service.core.stated_length import MAX_S, stated_length

SILENCE = np.zeros(7 * RATE, dtype=np.int16)


@pytest.mark.parametrize(
    ("name", "codec", "container"),
    [
        ("a.wav", "pcm_s16le", None),
        ("deep.wav", "pcm_s24le", None),
        ("a.flac", "flac", None),
        ("a.m4a", "aac", None),
        ("a.mov", "aac", "mov"),
        ("a.3gp", "aac", "3gp"),
    ],
)
def test_the_length_is_that_of_the_sound(tmp_path: Path, name: str, codec: str, container: str | None) -> None:
    found = stated_length(encode(tmp_path / name, SILENCE, codec, format=container))
    assert found == pytest.approx(7.0, abs=0.1)


def test_the_length_of_a_film_is_that_of_its_longest_track(tmp_path: Path) -> None:
    found = stated_length(encode(tmp_path / "film.mp4", SILENCE, "aac", video_s=9.0))
    assert found == pytest.approx(9.0, abs=0.1)


@pytest.mark.parametrize("stated", [0, 0xFFFF_FFFF, 1000])
def test_a_wav_is_as_long_as_its_bytes_whatever_it_states(tmp_path: Path, stated: int) -> None:
    path = write_wav(tmp_path / "a.wav", SILENCE)
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 4
    data[at : at + 4] = struct.pack("<I", stated)
    path.write_bytes(data)
    assert stated_length(path) == pytest.approx(7.0)


def test_what_states_no_length_has_none(tmp_path: Path) -> None:
    wav = write_wav(tmp_path / "a.wav", SILENCE).read_bytes()
    empty = wav.replace(b"fmt ", b"fmtx")
    mp4 = encode(tmp_path / "a.m4a", SILENCE, "aac").read_bytes()
    at = mp4.index(b"mvhd") + 4 + 16
    unknown = mp4[:at] + b"\xff" * 4 + mp4[at + 4 :]
    loop = b"\0\0\0\x10ftypisom\0\0\0\0" + b"\0\0\0\x01free" + bytes(8)  # a box that is shorter than its header
    ogg = encode(tmp_path / "a.opus", SILENCE, "libopus", rate=48_000).read_bytes()
    for number, data in enumerate((b"", b"RIFF", wav[:20], empty, mp4[: at - 20], unknown, loop, ogg, b"text " * 9)):
        path = tmp_path / f"{number}.bin"
        path.write_bytes(data)
        assert stated_length(path) is None, number


@settings(max_examples=300)
@given(
    kind=st.sampled_from([b"RIFF\0\0\0\0WAVE", b"fLaC", b"\0\0\0\x08ftyp", b"\0\0\0\0moov"]),
    blocks=st.lists(
        st.tuples(
            st.sampled_from([b"fmt ", b"data", b"moov", b"mvhd", b"free"]),
            st.integers(0, 2**32 - 1),
            st.binary(max_size=40),
        ),
        max_size=9,
    ),
    big=st.booleans(),
)
def test_no_file_is_too_damaged_to_be_looked_at(
    tmp_path_factory: pytest.TempPathFactory, kind: bytes, blocks: list[tuple[bytes, int, bytes]], big: bool
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "file"
    body = b"".join(
        struct.pack(">I", length) + name + rest if big else name + struct.pack("<I", length) + rest
        for name, length, rest in blocks
    )
    path.write_bytes(kind + body)
    found = stated_length(path)
    assert found is None or 0 < found < MAX_S
