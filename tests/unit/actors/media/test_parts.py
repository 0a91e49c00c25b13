"""Where a file is several recordings, or longer than it states."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from testkit.media_files import encode, write_wav
from testkit.sounds import babble
from whisper_service.actors.media import parts
from whisper_service.actors.media.file_part import FilePart
from whisper_service.actors.media.parts import FileParts, find_parts

ONE, TWO = babble(2), babble(3, seed=1)


def bytes_of(directory: Path, name: str, codec: str, seed: int = 0, **how: object) -> bytes:
    return encode(directory / f"{seed}{name}", babble(2, seed=seed), codec, **how).read_bytes()  # type: ignore[arg-type]


def written(directory: Path, data: bytes) -> Path:
    path = directory / "upload"
    path.write_bytes(data)
    return path


KINDS = [
    ("a.wav", "pcm_s16le", 16_000),
    ("a.aiff", "pcm_s16be", 16_000),
    ("a.flac", "flac", 16_000),
    ("a.mp4", "aac", 16_000),
    ("a.mkv", "aac", 16_000),
    ("a.webm", "libopus", 48_000),
    ("a.ogg", "libopus", 48_000),
]


@pytest.mark.parametrize(("name", "codec", "rate"), KINDS)
def test_glued_files_are_told_apart(tmp_path: Path, name: str, codec: str, rate: int) -> None:
    one, two = (bytes_of(tmp_path, name, codec, seed, rate=rate) for seed in (0, 1))
    alone = find_parts(written(tmp_path, one))
    assert alone == FileParts((FilePart(0, len(one), whole=True),), alone.stray_at)
    glued = find_parts(written(tmp_path, one + two + one))
    ends = [len(one), len(one + two), len(one + two + one)]
    assert [(part.begin, part.end) for part in glued.parts] == list(zip([0, *ends], ends, strict=False))
    assert glued.stray == 0


@pytest.mark.parametrize(("name", "codec"), [("b.aac", "aac"), ("b.mp3", "libmp3lame"), ("b.ts", "aac")])
@pytest.mark.parametrize("seconds", [2, 200])
def test_frames_without_a_header_behind_flac_are_a_part(tmp_path: Path, name: str, codec: str, seconds: int) -> None:
    format = "mpegts" if name.endswith("ts") else None  # FFmpeg's name of it
    flac = bytes_of(tmp_path, "a.flac", "flac")
    behind = encode(tmp_path / name, babble(seconds), codec, format=format).read_bytes()
    found = find_parts(written(tmp_path, flac + behind))
    assert [(part.begin, part.end) for part in found.parts] == [
        (0, len(flac)), (len(flac), len(flac + behind)),
    ]  # fmt: skip
    assert found.stray == 0
    again = find_parts(written(tmp_path, behind + flac + behind))
    assert again.parts[-1].begin == len(behind + flac)
    between = find_parts(written(tmp_path, flac + behind + flac))
    assert [part.begin for part in between.parts] == [0, len(flac), len(flac + behind)]


def test_other_files_are_one_part(tmp_path: Path) -> None:
    for data in (b"", b"OggS", bytes(100), bytes_of(tmp_path, "a.mp3", "libmp3lame")):
        assert find_parts(written(tmp_path, data)).parts == (FilePart(0, len(data), whole=True),)


def test_sound_behind_the_stated_end_belongs_to_it(tmp_path: Path) -> None:
    data = bytearray(write_wav(tmp_path / "a.wav", TWO).read_bytes())
    data[40:44] = (len(ONE) * 2).to_bytes(4, "little")
    assert find_parts(written(tmp_path, bytes(data))).parts == (FilePart(0, len(data), endless=True, whole=True),)


@pytest.mark.parametrize("stated", [0, 0xFFFF_FFFF, 0x7FFF_FFFF])
def test_an_unknown_length_is_no_wrong_length(tmp_path: Path, stated: int) -> None:
    data = bytearray(write_wav(tmp_path / "a.wav", TWO).read_bytes())
    data[40:44] = stated.to_bytes(4, "little")
    assert find_parts(written(tmp_path, bytes(data))).parts == (FilePart(0, len(data), whole=True),)


def test_tags_behind_the_sound_are_no_sound(tmp_path: Path) -> None:
    tags = b"LIST" + struct.pack("<I", 4_001) + bytes(4_002) + b"id3 " + struct.pack("<I", 3_000) + b"\xff" * 3_000
    data = write_wav(tmp_path / "a.wav", ONE).read_bytes() + tags
    assert find_parts(written(tmp_path, data)).parts == (FilePart(0, len(data), whole=True),)


def test_what_belongs_to_nothing_is_counted(tmp_path: Path) -> None:
    whole = bytes_of(tmp_path, "a.mp4", "aac")
    found = find_parts(written(tmp_path, whole + b"\xff" * 5_000))
    assert (found.stray_at, found.stray) == (len(whole), 5_000)


def test_parts_without_end_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "MAX_PARTS", 3)
    for name, codec, rate in KINDS[:1] + KINDS[-1:]:
        one = bytes_of(tmp_path, name, codec, rate=rate)
        found = find_parts(written(tmp_path, one * 5))
        assert (len(found.parts), found.stray_at, found.stray) == (3, 3 * len(one), 2 * len(one))
