"""The decoder: a media file as a stream of 16 kHz mono PCM. No other module uses FFmpeg.

This module opens a file safely, chooses its audio track, decodes it as tolerantly as players do, and keeps its clock. A
file is never held in memory. References out of a file are not followed: playlists and session descriptions are refused,
and nothing but the local file itself can be opened.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Final, Self

import av
import numpy as np
import numpy.typing as npt

from whisper_service.actors.media import stated_length
from whisper_service.actors.media.downmix import BLOCK as MIX_BLOCK
from whisper_service.actors.media.downmix import Downmix
from whisper_service.core.domain import SAMPLE_RATE
from whisper_service.core.errors import NotFound, ServiceError

logger = logging.getLogger(__name__)

DEMUXERS: Final = (
    "3gp,aa,aac,aax,ac3,ac4,aea,aiff,amr,amrnb,amrwb,ape,asf,au,avi,avr,bonk,caf,dhav,dsf,dss,dts,dtshd,dv,eac3,flac,flv,g722,"
    "g723_1,g729,gsm,gxf,iamf,iff,ilbc,ircam,kux,lc3,live_flv,loas,matroska,mlp,mmf,mov,mp3,mp4,mpc,mpc8,mpeg,mpegts,mxf,"
    "nistsphere,nsv,nut,nuv,ogg,oma,osq,paf,pva,qcp,qoa,rka,rm,rso,shn,sln,sox,spdif,tak,truehd,tta,ty,voc,vqf,w64,wav,"
    "wavarc,webm,wsd,wtv,wv,xa,xwma"
)
"""FFmpeg's names of the allowed formats: containers that hold sound. Not allowed are playlists and descriptions (hls,
dash, concat, sdp, imf, ...), devices, image sequences, subtitles, and raw PCM (s16le, ...), for which every file is
sound."""

GUESSED: Final = frozenset(
    {"aac", "ac3", "eac3", "amr", "amrnb", "amrwb", "dts", "g722", "gsm", "loas", "mlp", "mpeg", "mpegts", "truehd"}
)
"""Formats that do not state their length. FFmpeg extrapolates one."""

BLOCK: Final = 5 * MIX_BLOCK
"""Samples in a block of the result, 0.5 s."""
GATHERED_S: Final = 0.25
"""Seconds that are resampled at once. A frame has about 20 ms; a call of the resampler costs as much as its work."""
JUMP_S: Final = 0.1
"""If a time stamp differs from the count of samples by more seconds than this, sound is missing. Less is rounding."""
UNSTATED_SILENCE_S: Final = 60.0
"""The longest missing piece that becomes silence in a file that does not state its length."""


class NotMedia(ServiceError):
    """The file is not a recording, or is damaged from its start."""

    code: ClassVar[str] = "not_media"
    hint: ClassVar[str] = (
        "Check that the file plays in a media player. An MP4 or MOV file that was cut off has no index: repair it, or"
        " send the original."
    )


class NoAudio(ServiceError):
    """The file has no sound."""

    code: ClassVar[str] = "no_audio"
    hint: ClassVar[str] = "Check that the recording has an audio track, and that the track is not empty."


class DecodeFailed(ServiceError):
    """The sound of the file could not be decoded."""

    code: ClassVar[str] = "decode_failed"
    hint: ClassVar[str] = "Convert the file with a media player or editor to WAV, FLAC or MP3 and send the result."


class Recording:
    """An open media file, as a context manager. `blocks` may be read once.

    `start_s` is the time of the first sample on the file's own clock. That clock begins with the earliest track of the
    file, as in players.
    """

    def __init__(self, path: str | Path) -> None:
        """Open the file.

        Raises `NotFound`, `NotMedia`, `NoAudio` or `DecodeFailed`.
        """
        self._container = _open(Path(path))
        try:
            self._stream = _best_track(self._container)
        except ServiceError:
            self._container.close()
            raise
        self.format: str = self._container.format.name
        self.codec: str = self._stream.codec_context.name
        self.samples = 0  # of 16 kHz mono, so far
        self._packets = 0  # read so far
        self.damaged = 0  # packets that could not be read or decoded, so far
        origin = self._container.start_time
        self._first_s = _seconds(self._stream, self._stream.start_time)
        late_s = 0.0 if self._first_s is None or origin is None else self._first_s - origin / av.time_base
        self.start_s = max(0.0, late_s)
        self.duration_s = self._container.duration / av.time_base if self._container.duration else None
        self._stated_s, self._most_s = self._stated_lengths(Path(path))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._container.close()

    @property
    def position_s(self) -> float:
        """The end of the last block, in seconds on the file's own clock."""
        return self.start_s + self.samples / SAMPLE_RATE

    @property
    def missing_s(self) -> float:
        """Seconds that the sound is shorter than the file states. 0: nothing is stated. Valid after the last block."""
        return max(0.0, self._stated_s - self.samples / SAMPLE_RATE) if self._stated_s is not None else 0.0

    def blocks(self) -> Iterator[npt.NDArray[np.int16]]:
        """Decode the file and yield blocks of `BLOCK` samples, 16 kHz mono; the last blocks may be shorter.

        Missing sound becomes silence, so that the samples follow the file's own clock. Raises `NoAudio` or
        `DecodeFailed` if there is not one sample.
        """
        mono: _MonoResampler | None = None
        for frame in self._on_clock(self._frames()):
            if mono is not None and not mono.fits(frame):  # broadcasts change their channels in the middle
                yield from self._counted(mono.feed(None))
                mono = None
            mono = mono or _MonoResampler(frame)
            yield from self._counted(mono.feed(frame))
        if mono is not None:
            yield from self._counted(mono.feed(None))
        if not self.samples:
            raise DecodeFailed(at_s=self.start_s, codec=self.codec) if self._packets else NoAudio

    def _counted(self, blocks: Iterator[npt.NDArray[np.int16]]) -> Iterator[npt.NDArray[np.int16]]:
        for block in blocks:
            self.samples += len(block)
            yield block

    def _on_clock(self, frames: Iterator[av.AudioFrame]) -> Iterator[av.AudioFrame]:
        """Yield the frames, with silence where time stamps say that sound is missing.

        Time stamps that go back, or beyond the end of the file, are wrong: they are ignored.
        """
        clock = self._first_s or 0.0
        for frame in frames:
            at = clock if frame.time is None else frame.time
            if abs(at - clock) > JUMP_S:
                room = UNSTATED_SILENCE_S if self._most_s is None else self._most_s - self.samples / SAMPLE_RATE
                if 0 < at - clock < room:
                    yield from _silence(frame, at - clock)
                clock = at
            clock += frame.samples / frame.sample_rate
            yield frame

    def _frames(self) -> Iterator[av.AudioFrame]:
        """Yield every frame that can be decoded. Damaged packets are skipped, and reading goes on after them."""
        while True:
            before = self._packets
            try:
                for packet in self._container.demux(self._stream):
                    self._packets += bool(packet.size)  # empty packets flush the decoder at the end
                    yield from self._decode(packet)
                return
            except IndexError:  # a track that begins later: PyAV does not know the track, and skips it the next time
                continue
            except av.FFmpegError as error:
                self._count_damage(error)
                if self._packets == before:
                    return

    def _decode(self, packet: av.Packet[av.AudioStream]) -> list[av.AudioFrame]:
        try:
            return list(packet.decode())
        except av.FFmpegError as error:
            self._count_damage(error)
            return []

    def _count_damage(self, error: av.FFmpegError) -> None:
        self.damaged += 1
        if self.damaged == 1:
            facts = {"action": "damaged_packet", "at_s": self.position_s}
            logger.info("the recording is damaged, damaged packets are skipped: %s", error, extra=facts)

    def _stated_lengths(self, path: Path) -> tuple[float | None, float | None]:
        """Return how many seconds of sound the file states, and how many it has at most. None: FFmpeg only guesses.

        Some containers state one length for all tracks; the sound may be shorter.
        """
        if self.format in GUESSED or (self.format == "mp3" and not stated_length.mp3_has_length(path)):
            return None, None
        is_wav = self.format == "wav" and self.codec.startswith("pcm_")
        if (seconds := stated_length.wav_seconds(path) if is_wav else None) is not None:
            return seconds, seconds  # FFmpeg only tells the length of what is left of the file
        if (of_track := _seconds(self._stream, self._stream.duration)) is not None:
            return of_track, of_track
        of_file = None if self.duration_s is None else self.duration_s - self.start_s
        return of_file if len(self._container.streams) == 1 else None, of_file


class _MonoResampler:
    """Resampling and mixing of frames that have one format, layout and rate."""

    def __init__(self, frame: av.AudioFrame) -> None:
        self._kind = _kind(frame)
        self._resampler = av.AudioResampler("s16p", frame.layout, SAMPLE_RATE, frame_size=BLOCK)
        self._gathered = av.AudioFifo()
        self._wanted = int(GATHERED_S * frame.sample_rate)
        self._mix = Downmix(tuple(channel.name for channel in frame.layout.channels))

    def fits(self, frame: av.AudioFrame) -> bool:
        return _kind(frame) == self._kind

    def feed(self, frame: av.AudioFrame | None) -> Iterator[npt.NDArray[np.int16]]:
        """Take the next frame, or None at the end, and yield the blocks that are complete."""
        if frame is not None:
            frame.pts = None  # `_on_clock` has used the time stamp; the resampler must not add silence again
            self._gathered.write(frame)
        if self._gathered.samples and (frame is None or self._gathered.samples >= self._wanted):
            yield from self._resampled(self._gathered.read())
        if frame is None:
            yield from self._resampled(None)

    def _resampled(self, frame: av.AudioFrame | None) -> Iterator[npt.NDArray[np.int16]]:
        for ready in self._resampler.resample(frame):
            yield self._mix.feed(ready.to_ndarray().astype(np.int16, copy=False))


def _kind(frame: av.AudioFrame) -> tuple[str, str, int]:
    return frame.format.name, frame.layout.name, frame.sample_rate


def _open(path: Path) -> av.container.InputContainer:
    """Open `path` so that its content cannot make FFmpeg open anything else."""
    options = {"protocol_whitelist": "file", "format_whitelist": DEMUXERS}
    try:
        return av.open(f"file:{path}", options=options, metadata_errors="replace")
    except FileNotFoundError:
        raise NotFound("The recording is not on the disk any more.", hint="Send the file again.") from None
    except av.FFmpegError as error:
        raise NotMedia(detail=error.strerror) from error


def _best_track(container: av.container.InputContainer) -> av.AudioStream:
    """Return the default audio track, else the richest, else the first. Discard the others.

    Raises `NoAudio`, or `DecodeFailed` if no audio track can be decoded.
    """
    stream = container.streams.best("audio")
    if not isinstance(stream, av.AudioStream) or stream.codec_context is None:
        if any(stream.type == "audio" for stream in container.streams):
            raise DecodeFailed("The sound of the file has a format that cannot be decoded.")
        raise NoAudio
    stream.codec_context.thread_count = 1
    for other in container.streams:
        if other is not stream:
            other.discard = av.stream.Discard.all  # with an index in the container, pictures are not even read
    return stream


def _seconds(stream: av.AudioStream, ticks: int | None) -> float | None:
    return float(ticks * stream.time_base) if ticks is not None and stream.time_base is not None else None


def _silence(like: av.AudioFrame, seconds: float) -> Iterator[av.AudioFrame]:
    """Yield frames of silence with the format of `like`, of one second at most."""
    left = round(seconds * like.sample_rate)
    zero = b"\x80" if like.format.name.startswith("u8") else b"\0"
    while left > 0:
        frame = av.AudioFrame(like.format.name, like.layout.name, min(left, like.sample_rate))
        frame.sample_rate = like.sample_rate
        for plane in frame.planes:
            plane.update(zero * plane.buffer_size)
        left -= frame.samples
        yield frame
