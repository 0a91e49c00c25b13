"""The bytes that are stored of a chunk."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from testkit.voices import chunk, people
from whisper_service.actors.speakers.chunk_voices import (
    BadVoices,
    ChunkVoices,
    Unit,
    Voice,
    VoiceWindow,
    decode,
    encode,
)
from whisper_service.actors.speakers.embedding import WIDTH

EVEN = np.full(WIDTH, WIDTH**-0.5, dtype=np.float32)
KEPT = ChunkVoices(
    (VoiceWindow(270, (Voice(np.array([0, 1, 1, 0, 1], dtype=np.bool_), EVEN),)), VoiceWindow(540, ())),
    (Unit(0, 0, 100, 16_000, EVEN), Unit(1, 4, 16_100, 200, None)),
)
BYTES = (
    b"\x01\x92\x92\x92\xcd\x01\x0e\x91\x92\x94\x01\x02\x01\x01\xc5\x01\x80" + b"\x9e\x2c" * WIDTH
    + b"\x92\xcd\x02\x1c\x90\x92\x95\x00\x00\x64\xcd\x3e\x80\xc5\x01\x80" + b"\x9e\x2c" * WIDTH
    + b"\x95\x01\x04\xcd\x3e\xe4\xcc\xc8\xc4\x00"
)  # fmt: skip
"""What version 1 stores. Bytes like these lie in databases: they must be read for ever."""


def same(one: ChunkVoices, other: ChunkVoices) -> bool:
    """Whether two chunks are equal, embeddings to what float16 can hold."""

    def close(a: Unit | Voice, b: Unit | Voice) -> bool:
        if a.embedding is None or b.embedding is None:
            return a.embedding is b.embedding
        return bool(a.embedding @ b.embedding > 0.9999)

    if [(w.start, len(w.voices)) for w in one.windows] != [(w.start, len(w.voices)) for w in other.windows]:
        return False
    pairs = [pair for a, b in zip(one.windows, other.windows, strict=True) for pair in zip(a.voices, b.voices)]  # noqa: B905
    return (
        all(np.array_equal(a.activity, b.activity) and close(a, b) for a, b in pairs)
        and [unit[:4] for unit in one.units] == [unit[:4] for unit in other.units]
        and all(close(a, b) for a, b in zip(one.units, other.units, strict=True))
    )


def test_version_1_is_written_and_read_byte_by_byte() -> None:
    assert encode(KEPT) == BYTES
    assert same(decode(BYTES), KEPT)


@given(st.lists(st.lists(st.booleans(), max_size=590), max_size=4))
def test_every_activity_comes_back(rows: list[list[bool]]) -> None:
    windows = tuple(VoiceWindow(270 * n, (Voice(np.array(row, dtype=np.bool_), None),)) for n, row in enumerate(rows))
    voices = ChunkVoices(windows, ())
    assert same(decode(encode(voices)), voices)


def test_what_was_read_is_written_again_as_the_same_bytes() -> None:
    data = encode(chunk(people(3), [(0, 2.0), (1, 3.0), (2, 1.5)], seed=5))
    assert encode(decode(data)) == data


def test_embeddings_keep_their_directions_and_have_length_1() -> None:
    heard = chunk(people(2), [(0, 2.0), (1, 3.0)], seed=5)
    for before, after in zip(heard.units, decode(encode(heard)).units, strict=True):
        assert before.embedding is not None
        assert after.embedding is not None
        assert float(before.embedding @ after.embedding) > 0.9999
        assert float(np.linalg.norm(after.embedding)) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x02" + BYTES[1:], id="a later version"),
        pytest.param(BYTES + b"\x00", id="more than there should be"),
        pytest.param(BYTES.replace(b"\xc5\x01\x80" + b"\x9e\x2c" * WIDTH, b"\xc4\x02\x9e\x2c"), id="short embedding"),
        pytest.param(BYTES.replace(b"\x9e\x2c", b"\x00\x00"), id="embedding of zeros"),
        pytest.param(BYTES.replace(b"\x9e\x2c", b"\x00\x7c"), id="infinite embedding"),
        pytest.param(BYTES.replace(b"\x94\x01\x02\x01\x01", b"\x94\x01\xff\x01\x01"), id="negative run"),
        pytest.param(
            BYTES.replace(b"\x94\x01\x02\x01\x01", b"\x92\x01\xce\x7f\xff\xff\xff"), id="run of two thousand million"
        ),
        pytest.param(b"\x01\x92\x91\x92\x00\x92\x92\x91\x01\xc4\x00\x92\x91\x02\xc4\x00\x90", id="unequal voices"),
    ],
)
def test_other_bytes_are_refused(data: bytes) -> None:
    assert data != BYTES
    with pytest.raises(BadVoices):
        decode(data)


def test_bytes_that_end_early_are_refused() -> None:
    for length in range(len(BYTES)):
        with pytest.raises(BadVoices):
            decode(BYTES[:length])
