"""The voices of one chunk: what the networks heard in it, and the bytes that are stored of it.

A *window* has up to three voices, each with its times and its embedding. A *unit* is a stretch of text by one speaker
with its place and its embedding. The bytes are all that is needed to tell speakers apart later, without the recording.

    byte 1, the version | msgpack: [[window], ...], [[unit], ...]
    window: first sample, [[run lengths, embedding], ...]     run lengths in frames: silent, speaking, silent ...
    unit:   segment, first word, first sample, samples, embedding

Samples count from the beginning of the chunk. An embedding is 192 float16, little-endian, or empty. Rounding to float16
moves a cosine by less than 0.001, and halves what is stored: up to 1 MB for an hour of talk.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from whisper_service.actors.speakers.embedding import WIDTH
from whisper_service.actors.speakers.segmentation import STEP, WINDOW, Flags

Vector = npt.NDArray[np.float32]

VERSION: Final = 1
_EMBEDDING: Final = np.dtype("<f2")


class BadVoices(ValueError):
    """These bytes are not the voices of a chunk, or they are of a later version."""


class Voice(NamedTuple):
    """One voice of a window: a flag for each frame, and an embedding of length 1. None: it says too little for one."""

    activity: Flags
    embedding: Vector | None


class VoiceWindow(NamedTuple):
    """A window with its voices. `start`: its first sample."""

    start: int
    voices: tuple[Voice, ...]


class Unit(NamedTuple):
    """A stretch of text by one speaker: from `word` of `segment` on, up to the next unit."""

    segment: int
    word: int
    start: int  # sample
    samples: int
    embedding: Vector | None = None


class ChunkVoices(NamedTuple):
    """What was heard in one chunk, in order of time."""

    windows: tuple[VoiceWindow, ...]
    units: tuple[Unit, ...]


class _StoredVoice(msgspec.Struct, array_like=True, frozen=True):
    runs: list[int]
    embedding: bytes


class _StoredWindow(msgspec.Struct, array_like=True, frozen=True):
    start: int
    voices: list[_StoredVoice]


class _StoredUnit(msgspec.Struct, array_like=True, frozen=True):
    segment: int
    word: int
    start: int
    samples: int
    embedding: bytes


class _Stored(msgspec.Struct, array_like=True, frozen=True):
    windows: list[_StoredWindow]
    units: list[_StoredUnit]


_decoder = msgspec.msgpack.Decoder(_Stored)


def encode(voices: ChunkVoices) -> bytes:
    """Return the bytes to store. Equal voices give equal bytes."""
    stored = _Stored(
        [
            _StoredWindow(
                window.start, [_StoredVoice(_runs(voice.activity), _packed(voice.embedding)) for voice in window.voices]
            )
            for window in voices.windows
        ],
        [_StoredUnit(*unit[:4], _packed(unit.embedding)) for unit in voices.units],
    )
    return bytes([VERSION]) + msgspec.msgpack.encode(stored)


def decode(data: bytes) -> ChunkVoices:
    """Return the voices in these bytes. Raises `BadVoices`."""
    if data[:1] != bytes([VERSION]):
        raise BadVoices(f"version {data[0]} is not known" if data else "there are no bytes")
    try:
        stored = _decoder.decode(data[1:])
    except msgspec.MsgspecError as error:
        raise BadVoices(str(error)) from error
    windows = tuple(
        VoiceWindow(window.start, tuple(Voice(_flags(v.runs), _unpacked(v.embedding)) for v in window.voices))
        for window in stored.windows
    )
    if any(len({len(voice.activity) for voice in window.voices}) > 1 for window in windows):
        raise BadVoices("the voices of a window have different numbers of frames")
    units = tuple(Unit(u.segment, u.word, u.start, u.samples, _unpacked(u.embedding)) for u in stored.units)
    return ChunkVoices(windows, units)


def _runs(activity: Flags) -> list[int]:
    edges = [0, *(np.flatnonzero(np.diff(activity)) + 1).tolist(), len(activity)]
    runs = [after - before for before, after in pairwise(edges)]
    return [0, *runs] if len(activity) and activity[0] else runs


def _flags(runs: list[int]) -> Flags:
    if any(run < 0 for run in runs) or sum(runs) > WINDOW // STEP:
        raise BadVoices("the run lengths are not those of a window")
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs)


def _packed(embedding: Vector | None) -> bytes:
    return b"" if embedding is None else embedding.astype(_EMBEDDING).tobytes()


def _unpacked(data: bytes) -> Vector | None:
    if not data:
        return None
    if len(data) != WIDTH * _EMBEDDING.itemsize:
        raise BadVoices(f"an embedding has {len(data)} bytes")
    vector = np.frombuffer(data, dtype=_EMBEDDING).astype(np.float32)
    length = np.float32(np.linalg.norm(vector))
    if not np.isfinite(length) or not length:
        raise BadVoices("an embedding has no length")
    return vector / length
