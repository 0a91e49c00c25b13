"""The resampler: decoded frames of any channels, rate and sample format as blocks of 16 kHz, mixed and by channel.

PyAV 18 has two traps, and both kill the process:

- `AudioFrame.planes`, and `to_ndarray` with it, read past the end of an array when a frame has a plane for each of
  eight or more channels. So frames are touched only after they became packed, with one plane for all channels.
- A layout that names its channels in an order of its own is freed twice. `tracks` replaces such layouts before
  anything is decoded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Final, NamedTuple

import av
import numpy as np
import numpy.typing as npt

from whisper_service.actors.media.downmix import BLOCK as MIX_BLOCK
from whisper_service.actors.media.downmix import Downmix, MixState
from whisper_service.actors.media.tracks import DecodeFailed
from whisper_service.actors.media.wide_frames import MAX_CHANNELS, split
from whisper_service.core.domain import SAMPLE_RATE

BLOCK: Final = 5 * MIX_BLOCK
"""Samples in a block of the result, 0.5 s."""
GATHERED_S: Final = 0.25
"""Seconds that are resampled at once. A frame has about 20 ms; a call of the resampler costs as much as its work."""
RATES: Final = range(1_000, 3_000_001)
"""Samples per second of a recording: beyond telephones and studios on either side. Of others, FFmpeg makes hours."""


class SoundBlock(NamedTuple):
    """Some samples of a recording, 16 kHz."""

    mono: npt.NDArray[np.int16]  # shape (samples,)
    channels: npt.NDArray[np.int16]  # before they were mixed, shape (channels, samples); the first `MAX_CHANNELS`


class MonoResampler:
    """Resampling and mixing of frames that have one format, layout and rate."""

    def __init__(self, frame: av.AudioFrame) -> None:
        if frame.sample_rate not in RATES:
            message = f"The recording states {frame.sample_rate} samples per second, which is no rate of sound."
            raise DecodeFailed(message, rate=frame.sample_rate)
        self._kind = _kind(frame)
        self._strands = [_Strand(part) for part in split(frame)]
        self._mix = Downmix(("",) * len(self._strands))

    def fits(self, frame: av.AudioFrame) -> bool:
        """Return whether the frame has the format, layout and rate of those before."""
        return _kind(frame) == self._kind

    def feed(self, frame: av.AudioFrame | None) -> Iterator[SoundBlock]:
        """Take the next frame, or None at the end, and yield the blocks that are complete."""
        parts = [None] * len(self._strands) if frame is None else split(frame)
        resampled = (strand.feed(part) for strand, part in zip(self._strands, parts, strict=True))
        for blocks in zip(*resampled, strict=True):
            yield SoundBlock(self._mix.feed(np.stack([block.mono for block in blocks])), blocks[0].channels)

    def mixes(self) -> list[MixState]:
        """Return where the mixes are, behind the last block that was yielded."""
        return [strand.mix.state() for strand in self._strands]

    def restore_mixes(self, states: Sequence[MixState]) -> None:
        """Go on with the mixes of a resampler of equal frames."""
        for strand, state in zip(self._strands, states, strict=True):
            strand.mix.restore(state)


class _Strand:
    """Some channels of a recording that are resampled and mixed together: at most as many as the resampler takes."""

    def __init__(self, frame: av.AudioFrame) -> None:
        self._channels = frame.layout.nb_channels
        self._resampler = av.AudioResampler("s16", frame.layout, SAMPLE_RATE, frame_size=BLOCK)
        self._gathered = av.AudioFifo()
        self._wanted = int(GATHERED_S * frame.sample_rate)
        self.mix = Downmix(tuple(channel.name for channel in frame.layout.channels))

    def feed(self, frame: av.AudioFrame | None) -> Iterator[SoundBlock]:
        """Take the next frame, or None at the end, and yield the blocks that are complete."""
        if frame is not None:
            # The clock has used the time stamp; the resampler must not add silence again. Parts differ in their ticks.
            frame.pts, frame.time_base = None, Fraction(1, frame.sample_rate)
            self._gathered.write(frame)
        if self._gathered.samples and (frame is None or self._gathered.samples >= self._wanted):
            yield from self._resampled(self._gathered.read())
        if frame is None:
            yield from self._resampled(None)

    def _resampled(self, frame: av.AudioFrame | None) -> Iterator[SoundBlock]:
        for ready in self._resampler.resample(frame):
            planes = ready.to_ndarray().astype(np.int16, copy=False).reshape(-1, self._channels).T
            yield SoundBlock(self.mix.feed(planes), planes)


def silence(like: av.AudioFrame, seconds: float) -> Iterator[av.AudioFrame]:
    """Yield frames of silence, of one second at most. They have the format of `like`, unless it is a wide frame."""
    wide = like.layout.nb_channels > MAX_CHANNELS
    converter = None if wide else av.AudioResampler(like.format.name, like.layout, like.sample_rate)
    left = round(seconds * like.sample_rate)
    while left > 0:
        frame = av.AudioFrame("s16", like.layout.name, min(left, like.sample_rate))
        frame.sample_rate = like.sample_rate
        frame.planes[0].update(bytes(frame.planes[0].buffer_size))
        left -= frame.samples
        for ready in [frame] if converter is None else converter.resample(frame):
            ready.pts, ready.time_base = None, like.time_base
            yield ready


def _kind(frame: av.AudioFrame) -> tuple[str, str, int]:
    return frame.format.name, frame.layout.name, frame.sample_rate
