"""Damaged recordings. All damage follows from a seed, so that a file can be made again."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Final

from testkit.media_files import encode, write_wav
from testkit.sounds import babble, join, silence


def whole(directory: Path) -> list[bytes]:
    """Small recordings in the containers and codecs that people have."""
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
    return [file.read_bytes() for file in files]


def damaged(recordings: list[bytes], seed: int) -> bytes:
    """One of them, harmed in one to three ways."""
    dice = random.Random(seed)
    data = bytearray(dice.choice(recordings))
    for _ in range(dice.randint(1, 3)):
        dice.choice(WAYS)(data, recordings, dice)
    return bytes(data)


def _place(data: bytearray, dice: random.Random, most: int = 4096) -> slice:
    """Somewhere, more often in the head, where the structure is."""
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
    """A size, a rate or a count that cannot be."""
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
    """The head of one file with the body of another."""
    at = dice.randrange(len(data) + 1)
    data[at:] = dice.choice(recordings)[at:]


def _prefix(data: bytearray, _: list[bytes], dice: random.Random) -> None:
    data[:0] = dice.randbytes(dice.randint(1, 2000))


WAYS: Final[tuple[Callable[[bytearray, list[bytes], random.Random], None], ...]] = (
    *(_flip, _garble, _extreme),
    *(_cut_off, _cut_out, _wipe),
    *(_repeat, _graft, _prefix),
)
