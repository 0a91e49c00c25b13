"""Frames of sound without a container."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from testkit.media_files import encode
from testkit.sounds import babble
from whisper_service.actors.media import frames, headers
from whisper_service.actors.media.headers import Kind, kind_at, next_header


@contextmanager
def mapped(path: Path, data: bytes) -> Iterator[mmap.mmap]:
    path.write_bytes(data)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        yield view


KINDS = [("a.mp3", "libmp3lame", frames.mp3_size, Kind.MP3), ("a.aac", "aac", frames.adts_size, Kind.ADTS)]


@pytest.mark.parametrize(("name", "codec", "size_of", "kind"), KINDS)
def test_frames_fill_a_file_or_end_in_it(
    tmp_path: Path, name: str, codec: str, size_of: frames.SizeOf, kind: Kind
) -> None:
    whole = encode(tmp_path / name, babble(60), codec, rate=44_100).read_bytes()
    other = encode(tmp_path / "a.wav", babble(5), "pcm_s16le").read_bytes()
    with mapped(tmp_path / "x", whole) as data:
        begin = frames.behind_tags(data, 0)
        assert kind_at(data, 0) is kind
        assert frames.fill(data, begin, size_of)
        assert frames.end_of(data, begin, size_of) == len(whole)
    with mapped(tmp_path / "x", whole[:-100]) as data:
        assert frames.fill(data, begin, size_of), "the last frame is cut off"
    for glued in (whole + other, whole + other + whole):
        with mapped(tmp_path / "x", glued) as data:
            assert not frames.fill(data, begin, size_of)
            assert frames.end_of(data, begin, size_of) == len(whole)
            assert next_header(data, begin, but=frozenset({kind})) == len(whole)


def test_frames_of_flac_fill_a_file(tmp_path: Path) -> None:
    whole = encode(tmp_path / "a.flac", babble(60), "flac").read_bytes()
    most, begin = int.from_bytes(whole[15:18], "big"), whole.index(b"\xff\xf8")
    assert 1_000 < most < 20_000
    with mapped(tmp_path / "x", whole) as data:
        assert frames.fill_flac(data, begin, most)
    with mapped(tmp_path / "x", whole + babble(2).tobytes() + whole) as data:
        assert not frames.fill_flac(data, begin, most)


def test_marks_without_end_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = encode(tmp_path / "a.aiff", babble(1), "pcm_s16be").read_bytes()
    with mapped(tmp_path / "x", b"ID3" * 50 + other) as data:
        assert next_header(data, 0) == 150
        monkeypatch.setattr(headers, "MAX_LOOKS", 20)
        assert next_header(data, 0) is None
