"""Damaged recordings. All damage follows from a seed, so that a file can be made again."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import av
import numpy as np

from testkit.media_files import encode, write_wav
from testkit.sounds import RATE, Samples, babble, join, silence


def whole(directory: Path) -> list[bytes]:
    """Return small recordings in the containers and codecs that people have."""
    talk = join(silence(0.3), babble(2.0), silence(0.3), babble(1.0, seed=1))
    files = [
        write_wav(directory / "a.wav", talk),
        encode(directory / "a.mp3", talk, "libmp3lame"),
        encode(directory / "a.mp4", talk, "aac"),
        encode(directory / "film.mp4", talk, "aac", video_s=3.0),
        encode(directory / "a.ogg", talk, "libopus", rate=48_000),
        encode(directory / "a.flac", talk, "flac"),
        encode(directory / "a.webm", talk, "libopus", rate=48_000),
        encode(directory / "a.ts", talk, "aac", format="mpegts"),
    ]
    wide = np.repeat(talk[:, None], 8, axis=1)
    files += [
        write_wav(directory / "wide.wav", wide),
        encode(directory / "wide.mka", wide, "aac", layout="7.1", rate=48_000),
        encode(directory / "wide.opus", wide, "libopus", layout="7.1", rate=48_000),
        many_tracks(directory / "many.mkv", talk, 40),
    ]
    found = [file.read_bytes() for file in files]
    glued = [
        a + b for a, b in (found[0:5:4], found[2:4], found[4:6], found[5:7], (found[4], found[4]), (found[6],) * 2)
    ]
    return [*found, *glued]


def many_tracks(path: Path, sound: Samples, count: int) -> Path:
    """Write a film with this number of audio tracks."""
    with av.open(str(path), "w") as container:
        streams: list[Any] = [container.add_stream("pcm_s16le", rate=RATE, layout="mono") for _ in range(count)]
        for stream in streams:
            frame = av.AudioFrame.from_ndarray(sound[None, :], format="s16", layout="mono")
            frame.sample_rate = RATE
            container.mux(stream.encode(frame))
    return path


def damaged(recordings: list[bytes], seed: int) -> bytes:
    """Return one of the recordings, damaged in one to three ways."""
    dice = random.Random(seed)
    data = bytearray(dice.choice(recordings))
    for _ in range(dice.randint(1, 3)):
        dice.choice(WAYS)(data, recordings, dice)
    return bytes(data)


def _place(data: bytearray, dice: random.Random, most: int = 4096) -> slice:
    """Choose a stretch, more often in the head, where the structure is."""
    at = dice.randrange(max(1, min(len(data), 512) if dice.random() < 0.5 else len(data)))
    return slice(at, at + dice.randint(1, most))


def _flip(data: bytearray, _: list[bytes], dice: random.Random) -> None:
    for _bit in range(dice.choice((1, 8, 200))):
        if data:
            data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)


def _garble(data: bytearray, _: list[bytes], dice: random.Random) -> None:
    place = _place(data, dice, 64)
    data[place] = dice.randbytes(len(data[place]))


def _extreme(data: bytearray, _: list[bytes], dice: random.Random) -> None:
    """Write a size, a rate or a count that cannot be."""
    at = _place(data, dice).start
    value = dice.choice((0, 1, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0xFFFF_FFFE))
    data[at : at + 4] = value.to_bytes(4, dice.choice(("little", "big")))


def _cut_off(data: bytearray, _: list[bytes], dice: random.Random) -> None:
    del data[dice.randrange(len(data) + 1) :]


def _cut_out(data: bytearray, _: list[bytes], dice: random.Random) -> None:
    del data[_place(data, dice)]


def _wipe(data: bytearray, _: list[bytes], dice: random.Random) -> None:
    place = _place(data, dice)
    data[place] = dice.choice((b"\0", b"\xff")) * len(data[place])


def _repeat(data: bytearray, _: list[bytes], dice: random.Random) -> None:
    place = _place(data, dice)
    data[place.start : place.start] = data[place] * dice.randint(1, 5)


def _graft(data: bytearray, recordings: list[bytes], dice: random.Random) -> None:
    """Join the head of one file with the body of another."""
    at = dice.randrange(len(data) + 1)
    data[at:] = dice.choice(recordings)[at:]


def _prefix(data: bytearray, _: list[bytes], dice: random.Random) -> None:
    data[:0] = dice.randbytes(dice.randint(1, 2000))


WAYS: Final[tuple[Callable[[bytearray, list[bytes], random.Random], None], ...]] = (
    *(_flip, _garble, _extreme),
    *(_cut_off, _cut_out, _wipe),
    *(_repeat, _graft, _prefix),
)
