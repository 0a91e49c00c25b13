"""A media file as a stream of 16 kHz mono PCM: the only module that knows FFmpeg.

Owns opening a file safely, choosing its audio track, decoding it as tolerantly as players do, and its clock. A file is
never held in memory. It follows no reference out of the file: playlists, session descriptions and the like are refused,
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
"""FFmpeg's names of those that may open a file: containers that hold sound themselves. No playlist or description (hls, dash,
concat, sdp, imf, ...), no device, no image sequence, no subtitles, no raw PCM (s16le, ...) that would take any file for sound."""

GUESSED: Final = frozenset(
    {"aac", "ac3", "eac3", "amr", "amrnb", "amrwb", "dts", "g722", "gsm", "loas", "mlp", "mpeg", "mpegts", "truehd"}
)
"""Formats that do not state their length; FFmpeg extrapolates it."""

BLOCK: Final = 5 * MIX_BLOCK
"""Samples per block that comes out, 0.5 s."""
GATHERED_S: Final = 0.25
"""Sound that is handed to the resampler at once: frames are of 20 ms or so, and a call costs as much as its work."""
JUMP_S: Final = 0.1
"""Time stamps that disagree with the samples by more than this are a hole in the recording, not rounding."""
UNSTATED_HOLE_S: Final = 60.0
"""The longest hole that is filled with silence in a file that does not state its length."""


class NotMedia(ServiceError):
    """This file is not a recording, or it is damaged from the start."""

    code: ClassVar[str] = "not_media"
    hint: ClassVar[str] = (
        "Check that it plays in a media player. An MP4 or MOV whose recording was cut off lacks its index: repair it, or"
        " send the original."
    )


class NoAudio(ServiceError):
    """There is no sound in this file."""

    code: ClassVar[str] = "no_audio"
    hint: ClassVar[str] = "Check that the recording has an audio track and that it is not empty."


class DecodeFailed(ServiceError):
    """The sound in this file could not be decoded."""

    code: ClassVar[str] = "decode_failed"
    hint: ClassVar[str] = "Convert it with a media player or editor to WAV, FLAC or MP3 and send that."


class Recording:
    """An open media file. A context manager; `blocks` may be read once.

    `start_s` is where its audio begins on the file's own clock: seconds after the earliest track of the file, which
    players show as 0:00.
    """

    def __init__(self, path: str | Path) -> None:
        """Open the file. Raises `NotFound`, `NotMedia`, `NoAudio` or `DecodeFailed`."""
        self._container = _open(Path(path))
        try:
            self._stream = _best_track(self._container)
        except ServiceError:
            self._container.close()
            raise
        self.format: str = self._container.format.name
        self.codec: str = self._stream.codec_context.name
        self.samples = 0  # of 16 kHz mono, given so far
        self._packets = 0  # read so far
        self.damaged = 0  # packets that could not be read or decoded, so far
        origin = self._container.start_time
        self._first_s = _seconds(self._stream, self._stream.start_time)
        behind_s = 0.0 if self._first_s is None or origin is None else self._first_s - origin / av.time_base
        self.start_s = max(0.0, behind_s)
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
        """How much earlier the sound ended than the file states; 0 if it states nothing. For use after the last block."""
        return max(0.0, self._stated_s - self.samples / SAMPLE_RATE) if self._stated_s is not None else 0.0

    def blocks(self) -> Iterator[npt.NDArray[np.int16]]:
        """Decode: 16 kHz mono, `BLOCK` samples at a time (fewer at the end), without gaps on the file's own clock.

        Raises `NoAudio` or `DecodeFailed` if there is nothing at all.
        """
        mono: _MonoResampler | None = None
        for frame in self._on_clock(self._frames()):
            if mono is not None and not mono.fits(frame):  # broadcasts change their channels in mid-stream
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
        """The frames, with silence where time stamps say that sound is missing.

        A hole that reaches beyond the end of the file is a broken time stamp, and so is one that goes back: they are
        passed over.
        """
        clock = self._first_s or 0.0
        for frame in frames:
            at = clock if frame.time is None else frame.time
            if abs(at - clock) > JUMP_S:
                room = UNSTATED_HOLE_S if self._most_s is None else self._most_s - self.samples / SAMPLE_RATE
                if 0 < at - clock < room:
                    yield from _silence(frame, at - clock)
                clock = at
            clock += frame.samples / frame.sample_rate
            yield frame

    def _frames(self) -> Iterator[av.AudioFrame]:
        """Every frame that can be decoded. Damaged packets are skipped; what is behind a broken place is looked for."""
        while True:
            before = self._packets
            try:
                for packet in self._container.demux(self._stream):
                    self._packets += bool(packet.size)  # empty ones flush the decoder at the end
                    yield from self._decode(packet)
                return
            except (
                IndexError
            ):  # a track that begins in mid-file: PyAV does not know it, and passes it over when asked again
                continue
            except av.FFmpegError as error:
                self._note(error)
                if self._packets == before:
                    return

    def _decode(self, packet: av.Packet[av.AudioStream]) -> list[av.AudioFrame]:
        try:
            return list(packet.decode())
        except av.FFmpegError as error:
            self._note(error)
            return []

    def _note(self, error: av.FFmpegError) -> None:
        self.damaged += 1
        if self.damaged == 1:
            logger.info("skipping damage: %s", error, extra={"action": "damaged_packet", "at_s": self.position_s})

    def _stated_lengths(self, path: Path) -> tuple[float | None, float | None]:
        """How many seconds of sound the file says it holds, and how many at most; None where FFmpeg only guesses.

        Some containers state one length for all their tracks: that of the sound may be less.
        """
        if self.format in GUESSED or (self.format == "mp3" and not stated_length.mp3_has_length(path)):
            return None, None
        if (
            self.format == "wav"
            and self.codec.startswith("pcm_")
            and (seconds := stated_length.wav_seconds(path)) is not None
        ):
            return seconds, seconds  # FFmpeg tells no more than what is left of the file
        if (of_track := _seconds(self._stream, self._stream.duration)) is not None:
            return of_track, of_track
        of_file = None if self.duration_s is None else self.duration_s - self.start_s
        return of_file if len(self._container.streams) == 1 else None, of_file


class _MonoResampler:
    """Resampler and mix for one kind of frames."""

    def __init__(self, frame: av.AudioFrame) -> None:
        self._kind = _kind(frame)
        self._resampler = av.AudioResampler("s16p", frame.layout, SAMPLE_RATE, frame_size=BLOCK)
        self._gathered = av.AudioFifo()
        self._wanted = int(GATHERED_S * frame.sample_rate)
        self._mix = Downmix(tuple(channel.name for channel in frame.layout.channels))

    def fits(self, frame: av.AudioFrame) -> bool:
        return _kind(frame) == self._kind

    def feed(self, frame: av.AudioFrame | None) -> Iterator[npt.NDArray[np.int16]]:
        """Take the next frame, or None for the end; give the blocks that are complete."""
        if frame is not None:
            frame.pts = None  # its time has been seen to; here samples follow samples
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
    """Open `path` so that nothing else can be opened through it."""
    options = {"protocol_whitelist": "file", "format_whitelist": DEMUXERS}
    try:
        return av.open(f"file:{path}", options=options, metadata_errors="replace")
    except FileNotFoundError:
        raise NotFound("The recording is no longer on the disk.", hint="Send the file again.") from None
    except av.FFmpegError as error:
        raise NotMedia(detail=error.strerror) from error


def _best_track(container: av.container.InputContainer) -> av.AudioStream:
    """The default audio track, else the richest, else the first, ready to decode alone."""
    stream = container.streams.best("audio")
    if not isinstance(stream, av.AudioStream) or stream.codec_context is None:
        if any(other.type == "audio" for other in container.streams):
            raise DecodeFailed("The sound in this file is in a format that cannot be decoded.")
        raise NoAudio
    stream.codec_context.thread_count = 1
    for other in container.streams:
        if other is not stream:
            other.discard = av.stream.Discard.all  # pictures are not even read where the container has an index
    return stream


def _seconds(stream: av.AudioStream, ticks: int | None) -> float | None:
    return float(ticks * stream.time_base) if ticks is not None and stream.time_base is not None else None


def _silence(like: av.AudioFrame, seconds: float) -> Iterator[av.AudioFrame]:
    """Frames of silence of the kind of `like`, at most a second each."""
    left = round(seconds * like.sample_rate)
    zero = b"\x80" if like.format.name.startswith("u8") else b"\0"
    while left > 0:
        frame = av.AudioFrame(like.format.name, like.layout.name, min(left, like.sample_rate))
        frame.sample_rate = like.sample_rate
        for plane in frame.planes:
            plane.update(zero * plane.buffer_size)
        left -= frame.samples
        yield frame
