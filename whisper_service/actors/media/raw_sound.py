"""Raw sound in pieces of any size as blocks of 16 kHz. Gives the samples that a WAV file with this sound gives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, cast

import av

from whisper_service.actors.media.downmix import MixState
from whisper_service.actors.media.resampler import BLOCK, MonoResampler, SoundBlock
from whisper_service.core.domain import SAMPLE_RATE
from whisper_service.core.sound_format import SoundFormat

LEAD_S: Final = 1
"""Seconds before the place where sound goes on that the resampler gets again: many times the length of its filter. At
whole seconds the filter is at its first phase, at every rate, so the samples are those of an uninterrupted run."""
LAYOUTS = {1: "mono", 2: "stereo"}
"""FFmpeg's names for the channels of a live session."""


class RawSound:
    """The sound of one session, in order.

    It may begin at any whole second: what is fed then begins `LEAD_S` earlier, and the mixes go on from what they were.
    """

    def __init__(self, form: SoundFormat, mixes: Sequence[MixState] | None = None) -> None:
        """`mixes`: the sound goes on behind a block. None: it begins."""
        codec = av.CodecContext.create(f"pcm_{form.encoding}", "r")
        self._codec = cast("av.AudioCodecContext", codec)
        self._codec.sample_rate = form.rate
        self._codec.layout = LAYOUTS[form.channels]
        self._resampler: MonoResampler | None = None
        self._mixes = mixes
        self._lead = 0 if mixes is None else LEAD_S * SAMPLE_RATE // BLOCK  # blocks that are known already

    @property
    def mixes(self) -> list[MixState]:
        """Where the mixes are, behind the last block that was yielded."""
        return [] if self._resampler is None else self._resampler.mixes()

    def feed(self, data: bytes) -> Iterator[SoundBlock]:
        """Take whole samples of all channels and yield the blocks that are complete."""
        if not data:
            return
        for frame in self._codec.decode(av.Packet(data)):
            frame.sample_rate = self._codec.sample_rate
            self._resampler = self._resampler or MonoResampler(frame)
            yield from self._behind_lead(self._resampler.feed(frame))

    def finish(self) -> Iterator[SoundBlock]:
        """Yield the last blocks."""
        if self._resampler is not None:
            yield from self._behind_lead(self._resampler.feed(None))

    def _behind_lead(self, blocks: Iterator[SoundBlock]) -> Iterator[SoundBlock]:
        for block in blocks:
            if not self._lead:
                yield block
                continue
            self._lead -= 1
            if not self._lead and self._resampler is not None:
                self._resampler.restore_mixes(self._mixes or ())
