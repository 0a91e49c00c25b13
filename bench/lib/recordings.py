"""Recordings to measure with: Debian's asterisk prompts one after the other, or any file repeated to a length.

The prompts come with what they say, so there is a reference to score against. Long files are made by copying the
packets of an encoded piece, which takes no time and no memory.
"""

from __future__ import annotations

import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np

from testkit.prompts import prompts, sentences
from testkit.sounds import Samples
from whisper_service.actors.media.decoder import Recording
from whisper_service.core.domain import SAMPLE_RATE

PIECE_S = 600.0
"""What is encoded; longer files repeat it."""
BIT_RATE = 64_000


class Made(NamedTuple):
    """A file with speech, its length in seconds, and its words where they are known."""

    path: Path
    seconds: float
    text: str | None


def speech(seconds: float, target: Path, source: Path | None = None) -> Made:
    """Make an MP3 of `seconds` of `source`.

    Without a source the prompts are used, and the file ends with a whole prompt.

    The text is known for the prompts, as long as none is repeated.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    piece = target.with_suffix(".piece.mp3")
    if source is not None:
        text = None
        length = _encode(piece, _decoded(source, min(seconds, PIECE_S)))
    else:
        sounds, text = prompts(min(seconds, PIECE_S))
        length = _encode(piece, iter([sounds]))
    if length >= seconds - 1 or (source is None and seconds <= PIECE_S):
        piece.rename(target)
        return Made(target, length, text)
    made = Made(target, _repeat(piece, seconds, target), None)
    piece.unlink()
    return made


def length(path: Path) -> float:
    """Return the seconds of sound in a file, counted by decoding it."""
    with Recording(path) as recording:
        for _ in recording.blocks():
            pass
        return recording.samples / SAMPLE_RATE


def clips(count: int, shortest_s: float, longest_s: float, folder: Path) -> list[Made]:
    """Write short WAV files of whole prompts, no two alike. Their lengths lie evenly between the two."""
    made: list[Made] = []
    spoken = sentences()
    while len(made) < count:
        wanted = shortest_s + (longest_s - shortest_s) * (len(made) % 8) / 7
        parts: list[Samples] = []
        said: list[str] = []
        while not parts or sum(map(len, parts)) < wanted * 0.8 * SAMPLE_RATE:
            piece, text = next(spoken, (None, ""))
            if piece is None:
                raise SystemExit(f"The prompts suffice for {len(made)} clips.")
            if sum(map(len, parts)) + len(piece) > longest_s * SAMPLE_RATE:
                continue
            parts.append(piece)
            said.append(text)
        sound = np.concatenate(parts)
        path = folder / f"clip-{len(made):03}.wav"
        with wave.open(str(path), "wb") as wav:
            wav.setnchannels(1)
            wav.setsampwidth(2)
            wav.setframerate(SAMPLE_RATE)
            wav.writeframes(sound.astype("<i2").tobytes())
        made.append(Made(path, len(sound) / SAMPLE_RATE, " ".join(said)))
    return made


def _decoded(source: Path, seconds: float) -> Iterator[Samples]:
    left = int(seconds * SAMPLE_RATE)
    with Recording(source) as recording:
        for block in recording.blocks():
            yield block[:left]
            left -= len(block)
            if left <= 0:
                return


def _encode(path: Path, blocks: Iterator[Samples]) -> float:
    """Write an MP3. Return its length in seconds."""
    samples = 0
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libmp3lame", rate=SAMPLE_RATE, layout="mono")
        stream.bit_rate = BIT_RATE
        resampler: Any = av.AudioResampler(stream.format.name, "mono", SAMPLE_RATE)
        for block in blocks:
            for begin in range(0, len(block), SAMPLE_RATE):
                part = np.ascontiguousarray(block[begin : begin + SAMPLE_RATE]).reshape(1, -1)
                frame = av.AudioFrame.from_ndarray(part, format="s16", layout="mono")
                frame.sample_rate, frame.pts = SAMPLE_RATE, samples
                samples += part.shape[1]
                for ready in resampler.resample(frame):
                    container.mux(stream.encode(ready))
        container.mux(stream.encode(None))
    return samples / SAMPLE_RATE


def _repeat(piece: Path, seconds: float, target: Path) -> float:
    """Copy the packets of an MP3 into another until that is `seconds` long. Return its length."""
    with av.open(str(target), "w") as container:
        written: Any = None
        at = 0
        while True:
            with av.open(str(piece)) as source:
                stream: Any = source.streams.audio[0]
                written = written or container.add_stream_from_template(stream)
                for packet in source.demux(stream):
                    if not packet.size:
                        continue
                    packet.pts = packet.dts = at
                    at += packet.duration
                    packet.stream = written
                    container.mux(packet)
                    if float(at * stream.time_base) >= seconds:
                        return float(at * stream.time_base)
