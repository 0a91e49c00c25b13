"""The decoder: a media file as a stream of 16 kHz mono PCM.

This module reads all parts of a file, one after the other, mixes and resamples the frames, and knows in the end
what was not read. A file is never held in memory.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import av
import numpy as np
import numpy.typing as npt
from msgspec.structs import replace

from whisper_service.actors.media.file_part import FilePart
from whisper_service.actors.media.open_part import JUMP_S, OpenPart
from whisper_service.actors.media.parts import find_parts
from whisper_service.actors.media.resampler import MonoResampler, SoundBlock, silence
from whisper_service.actors.media.tracks import DecodeFailed, NoAudio, TrackChoice
from whisper_service.actors.media.unread_bytes import STRAY_BYTES
from whisper_service.actors.media.wide_frames import MAX_DECODED
from whisper_service.core.domain import SAMPLE_RATE, AudioTrack
from whisper_service.core.errors import NotFound, ServiceError

logger = logging.getLogger(__name__)

ASKED_PARTS: Final = 16
"""Parts that are opened in advance, some milliseconds each, to know how long a file is."""


class Recording:
    """An open media file, as a context manager. `blocks` may be read once.

    `start_s` is the time of the first sample on the file's own clock. That clock begins with the earliest track of the
    file, as in players. `track` is the number of the audio track to read; None: the best one for `language`.
    `name` is what the user calls the file: it may have no extension on the disk.
    """

    def __init__(
        self, path: str | Path, *, track: int | None = None, language: str | None = None, name: str = ""
    ) -> None:
        """Open the file.

        Raises `NotFound`, `NotMedia`, `NoAudio`, `NoSuchTrack` or `DecodeFailed`.
        """
        self._path, self._choice = Path(path), TrackChoice(track, language)
        try:
            self._parts = find_parts(self._path, name)
        except FileNotFoundError:
            raise NotFound("The recording is not on the disk any more.", hint="Send the file again.") from None
        first = self._open = OpenPart(self._path, self._parts.parts[0], self._choice)
        self.format, self.codec, self.start_s = first.format, first.codec, first.start_s
        self.rate, self.picture = first.rate, first.picture  # samples per second; codec of the pictures, None: none
        self._tracks, self.track_count, self.track = first.tracks, first.track_count, first.track
        self.passed_over = first.passed_over  # tracks that come before `track`, but cannot be decoded
        self.duration_s = self._duration()
        self.samples = 0  # of 16 kHz mono, so far
        self.damaged = 0  # packets that could not be read or decoded, so far
        self.missing_s = 0.0  # how much shorter the sound is than the file states; valid after the last block
        self.unread, self.unread_at = 0, 0  # bytes that nothing reads, and the first of them
        self.jumps: list[tuple[float, float]] = []  # places and lengths in seconds of holes that were not filled
        self._count_unread(self._parts.stray_at, self._parts.stray)
        self._packets = 0  # read so far
        self._silent = False  # no track gave any sound

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    @property
    def tracks(self) -> tuple[AudioTrack, ...]:
        """The first audio tracks, as far as they are known by now: which one is read, and which cannot be decoded."""
        broken = (*self.passed_over, *((self.track,) if self._silent and self._packets else ()))
        return tuple(
            replace(
                track,
                used=track.index == self.track and not self._silent,
                decodable=track.decodable and track.index not in broken,
            )
            for track in self._tracks
        )

    @property
    def position_s(self) -> float:
        """The end of the last block, in seconds on the file's own clock."""
        return self.start_s + self.samples / SAMPLE_RATE

    @property
    def whole(self) -> bool:
        """Whether the recording is one part and ends where it states: as far as players read."""
        return len(self._parts.parts) == 1 and not self._parts.parts[0].endless

    def blocks(self) -> Iterator[npt.NDArray[np.int16]]:
        """Yield the mixed samples of `blocks_by_channel`. Raises as it does."""
        return (block.mono for block in self.blocks_by_channel())

    def blocks_by_channel(self) -> Iterator[SoundBlock]:
        """Decode the file and yield blocks of `BLOCK` samples, 16 kHz; the last blocks may be shorter.

        Missing sound becomes silence, so that the samples follow the file's own clock. Raises `NoAudio` or
        `DecodeFailed` if there is not one sample.
        """
        mono: MonoResampler | None = None
        try:
            for frame in self._frames():
                if mono is not None and not mono.fits(frame):  # broadcasts change their channels in the middle
                    yield from self._counted(mono.feed(None))
                    mono = None
                mono = mono or MonoResampler(frame)
                yield from self._counted(mono.feed(frame))
            if mono is not None:
                yield from self._counted(mono.feed(None))
        except (av.FFmpegError, ValueError) as error:  # FFmpeg's resampler does not take these frames
            raise DecodeFailed(at_s=self.position_s, codec=self.codec, detail=str(error)) from error
        if not self.samples:
            self._silent = True
            raise self._no_sound()

    def _no_sound(self) -> ServiceError:
        """Return why there is not one sample."""
        if not self._packets:
            return NoAudio()
        uncountable = not self._open.channels
        message = f"The recording does not say how many channels it has, or has more than {MAX_DECODED}."
        return DecodeFailed(message if uncountable else None, at_s=self.start_s, codec=self.codec)

    def _duration(self) -> float | None:
        """Return how long the file says that it is. None: the length is unknown, or there are too many parts to ask."""
        total = self._open.duration_s
        others = self._parts.parts[1:]
        if total is None or len(others) >= ASKED_PARTS:
            return total if not others else None
        for place in others:
            try:
                part = OpenPart(self._path, place, self._choice)
            except ServiceError:  # counted as unread when its turn comes
                continue
            part.close()
            if part.duration_s is None:
                return None
            total += part.duration_s
        return total

    def _counted(self, blocks: Iterator[SoundBlock]) -> Iterator[SoundBlock]:
        for block in blocks:
            self.samples += len(block.mono)
            yield block

    def _frames(self) -> Iterator[av.AudioFrame]:
        """Yield the frames of all parts. A part behind the first that cannot be opened counts as unread."""
        yield from self._frames_of_part()
        for place in self._parts.parts[1:]:
            self._open.close()
            try:
                self._open = OpenPart(self._path, place, self._choice)
            except ServiceError as error:
                self._give_up(place, error)
                continue
            yield from self._frames_of_part()

    def _frames_of_part(self) -> Iterator[av.AudioFrame]:
        """Yield the frames of the open part. A track that gives no sound at all is exchanged for the next one."""
        while True:
            part, seconds = self._open, 0.0
            for frame in part.frames():
                if not seconds and part.place.begin == 0 and part.start_s - self.start_s > JUMP_S:
                    yield from silence(frame, part.start_s - self.start_s)  # after another track was tried
                seconds += frame.samples / frame.sample_rate
                yield frame
            self._packets += part.packets
            if seconds or not part.packets or not part.has_more:
                break
            part.close()
            self._open = OpenPart(self._path, part.place, self._choice, part.tried)
            self.track, self.codec = self._open.track, self._open.codec
            self.passed_over = self._open.passed_over
        self.damaged += part.damaged
        self.missing_s += part.missing_s(seconds)
        self.jumps += part.jumps
        self._count_unread(*part.unread)

    def _give_up(self, part: FilePart, error: ServiceError) -> None:
        facts = {"action": "part_unread", "at_byte": part.begin, "cause": error.code}
        logger.info("a part of the recording cannot be read: %s", error, extra=facts)
        self._count_unread(part.begin, part.end - part.begin)

    def _count_unread(self, at: int, size: int) -> None:
        if size > STRAY_BYTES:
            self.unread_at = min(self.unread_at, at) if self.unread else at
            self.unread += size
