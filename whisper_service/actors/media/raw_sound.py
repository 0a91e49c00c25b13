"""Raw sound in pieces of any size as blocks of 16 kHz. Gives the samples that a WAV file with this sound gives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import av

from whisper_service.actors.media.resampler import MonoResampler, SoundBlock
from whisper_service.core.sound_format import SoundFormat

LAYOUTS = {1: "mono", 2: "stereo"}
"""FFmpeg's names for the channels of a live session."""


class RawSound:
    """The sound of one session, in order."""

    def __init__(self, form: SoundFormat) -> None:
        codec = av.CodecContext.create(f"pcm_{form.encoding}", "r")
        self._codec = cast("av.AudioCodecContext", codec)
        self._codec.sample_rate = form.rate
        self._codec.layout = LAYOUTS[form.channels]
        self._resampler: MonoResampler | None = None

    def feed(self, data: bytes) -> Iterator[SoundBlock]:
        """Take whole samples of all channels and yield the blocks that are complete."""
        if not data:
            return
        for frame in self._codec.decode(av.Packet(data)):
            frame.sample_rate = self._codec.sample_rate
            self._resampler = self._resampler or MonoResampler(frame)
            yield from self._resampler.feed(frame)

    def finish(self) -> Iterator[SoundBlock]:
        """Yield the last blocks."""
        if self._resampler is not None:
            yield from self._resampler.feed(None)
