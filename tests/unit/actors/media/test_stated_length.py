"""How long a WAV file says it is, whatever is left of it."""

from __future__ import annotations

import struct
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisper_service.actors.media.stated_length import wav_seconds

FORMAT = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 16_000, 32_000, 2, 16)


def wav(size: int, *, head: bytes = b"RIFF", before: bytes = b"") -> bytes:
    return head + b"\0\0\0\0WAVE" + before + FORMAT + struct.pack("<4sI", b"data", size) + bytes(100)


@pytest.mark.parametrize(
    ("data", "seconds"),
    [
        (wav(64_000), 2.0),
        (wav(64_000, before=b"LIST\x03\0\0\0abc\0"), 2.0),  # an odd part is padded
        (wav(0), None),
        (wav(0xFFFFFFFF), None),
        (wav(0x7FFFFFFF), None),
        (wav(0xFFFFFFFF, head=b"RF64", before=struct.pack("<4sIQQQ", b"ds64", 24, 0, 320_000, 0)), 10.0),
        (wav(64_000)[:30], None),
        (b"RIFF\0\0\0\0AVI LIST", None),
        (b"", None),
    ],
)
def test_what_the_header_says(tmp_path: Path, data: bytes, seconds: float | None) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(data)
    assert wav_seconds(path) == seconds


@given(st.binary(max_size=200))
def test_any_bytes_are_read_to_an_end(data: bytes) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"RIFF\0\0\0\0WAVE" + data)
        file.flush()
        found = wav_seconds(Path(file.name))
    assert found is None or found > 0
