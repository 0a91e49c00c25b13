"""An open part of a media file: the frames of one of its audio tracks on the part's own clock.

What FFmpeg gets to open is bounded here: the local file itself, and no playlists.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, ClassVar, Final

import av

from whisper_service.actors.media import stated_length
from whisper_service.actors.media.file_part import FilePart
from whisper_service.actors.media.patched_file import PatchedFile
from whisper_service.actors.media.resampler import silence
from whisper_service.actors.media.tracks import (
    DecodeFailed,
    TrackChoice,
    audio_streams,
    candidates,
    describe,
    is_plain,
    make_plain,
    passed_over,
    picture_codec,
)
from whisper_service.actors.media.unread_bytes import UnreadBytes
from whisper_service.core.errors import NotFound, ServiceError, WebPage
from whisper_service.core.web_page import HEAD_BYTES, is_web_page

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
JUMP_S: Final = 0.1
"""If a time stamp differs from the count of samples by more seconds than this, sound is missing. Less is rounding."""
UNSTATED_SILENCE_S: Final = 900.0
"""The longest missing piece that becomes silence in a file that does not state its length. Cameras and broadcasts lose
minutes; a jump of hours is another clock."""
STREAMS: Final = frozenset({"aac", "ac3", "adts", "aiff", "amr", "au", "caf", "eac3", "flac", "mp3", "w64", "wv"})
"""Formats with nothing but tags behind their sound. What else FFmpeg leaves there unread was not heard."""

_CLUSTER: Final = b"\x1f\x43\xb6\x75"
"""The first bytes of a Matroska cluster, with which every piece of a browser's recording but the first begins."""
_FRAGMENTS: Final = (b"moof", b"styp")
"""Boxes with which the later pieces of a fragmented MP4 begin."""

_kept: list[av.AudioFrame] = []
"""Frames that must never be freed: freeing them would kill the process. Only refused files put some here."""


class NotMedia(ServiceError):
    """The file is not a recording, or is damaged from its start."""

    hint: ClassVar[str] = (
        "Check that the file plays in a media player. An MP4 or MOV file that was cut off has no index: repair it, or"
        " send the original."
    )


class OpenPart:
    """One open part of a file, and the track that is read.

    `tried` are the numbers of tracks that gave no sound before. Raises `NotFound`, `NotMedia`, `WebPage`,
    `NoAudio`, `NoSuchTrack` or `DecodeFailed`.
    """

    def __init__(self, path: Path, place: FilePart, choice: TrackChoice, tried: tuple[int, ...] = ()) -> None:
        self.place = place
        self._patched = PatchedFile(path, place) if place.lengths else None
        self._container = _open(path, place, self._patched)
        try:
            streams = audio_streams(self._container)
            for stream in streams:
                make_plain(stream)
            self.tracks, self.track_count = describe(streams), len(streams)
            order = [track for track in candidates(self._container, choice) if track not in tried]
            if not order:
                raise DecodeFailed("No audio track of the file can be decoded.")
            self.track = order[0]  # its number among the audio tracks
            self.has_more = len(order) > 1
            self.passed_over = tuple(dict.fromkeys((*passed_over(self._container, choice, self.track), *tried)))
            self._stream = streams[self.track]
            self._discard_others()
        except ServiceError:
            self.close()
            raise
        self.format: str = self._container.format.name
        self.codec: str = self._stream.codec_context.name
        self.rate: int = self._stream.codec_context.sample_rate
        self.picture = picture_codec(self._container)
        self.packets = 0  # read so far
        self.damaged = 0  # packets that could not be read or decoded, so far
        self.jumps: list[tuple[float, float]] = []  # places and lengths in seconds of holes that were not filled
        self._unread = UnreadBytes() if self.format in STREAMS and len(self._container.streams) == 1 else None
        origin = self._container.start_time
        self._first_s = _seconds(self._stream, self._stream.start_time)
        late_s = 0.0 if self._first_s is None or origin is None else self._first_s - origin / av.time_base
        self.start_s = max(0.0, late_s)
        self.duration_s = self._container.duration / av.time_base if self._container.duration else None
        if self.duration_s is not None and self.format.startswith("matroska") and origin is not None:
            elapsed_s = self.duration_s - origin / av.time_base  # Matroska states when the sound ends
            self.duration_s = elapsed_s if elapsed_s > 0 else self.duration_s
        self._stated_s, self._most_s = self._stated_lengths(path)

    @property
    def channels(self) -> int:
        """The channels of the track. 0: unknown so far, or more than FFmpeg decodes."""
        return self._stream.codec_context.layout.nb_channels

    @property
    def tried(self) -> tuple[int, ...]:
        """The tracks that give no sound, this one included."""
        return (*self.passed_over, self.track)

    def close(self) -> None:
        """Close the file."""
        self._container.close()
        if self._patched is not None:
            self._patched.close()

    def missing_s(self, seconds: float) -> float:
        """Return how many seconds the sound is shorter than the part states. 0: nothing is stated."""
        return max(0.0, round(self._stated_s - seconds, 6)) if self._stated_s is not None else 0.0

    @property
    def unread(self) -> tuple[int, int]:
        """The first byte that FFmpeg left unread, and how many. Valid after the last frame."""
        if self._unread is None:
            return 0, 0
        first, count = self._unread.up_to(self.place.end - self.place.begin)
        return self.place.begin + first, count

    def frames(self) -> Iterator[av.AudioFrame]:
        """Yield the frames, with silence where time stamps say that sound is missing.

        Wrong time stamps are ignored: those that go back, those beyond the end of the file, and one that goes on before
        the frame behind it.
        """
        clock = self._first_s or 0.0
        given_s = 0.0
        for frame, following in pairwise(chain(self._decoded(), (None,))):
            if frame is None:
                return
            at = clock if frame.time is None else frame.time
            lost_s = at - clock
            if abs(lost_s) > JUMP_S:
                if lost_s > 0 and following is not None and following.time is not None and following.time < at:
                    at = clock
                elif lost_s > 0:
                    if lost_s < (UNSTATED_SILENCE_S if self._most_s is None else self._most_s - given_s):
                        yield from silence(frame, lost_s)
                        given_s += lost_s
                    else:
                        self.jumps.append((given_s, lost_s))
            length_s = frame.samples / frame.sample_rate
            clock = at + length_s
            given_s += length_s
            yield frame

    def _decoded(self) -> Iterator[av.AudioFrame]:
        """Yield every frame that can be decoded. Damaged packets are skipped, and reading goes on after them."""
        while True:
            before = self.packets
            try:
                for packet in self._container.demux(self._stream):
                    self.packets += bool(packet.size)  # empty packets flush the decoder at the end
                    if self._unread is not None:
                        self._unread.count(packet)
                    yield from self._decode(packet)
                return
            except IndexError:  # a track that begins later: PyAV does not know the track, and skips it the next time
                continue
            except av.FFmpegError as error:
                self._count_damage(error)
                if self.packets == before:
                    return

    def _decode(self, packet: av.Packet[av.AudioStream]) -> list[av.AudioFrame]:
        try:
            frames = list(packet.decode())
        except av.FFmpegError as error:
            self._count_damage(error)
            return []
        if any(not is_plain(frame.layout) for frame in frames):
            _kept.extend(frames)
            raise DecodeFailed("The channels of the file are in an order that cannot be read.", codec=self.codec)
        if self._unread is not None:
            self._unread.count_surplus(packet, frames)
        return [frame for frame in frames if frame.samples and frame.sample_rate]

    def _count_damage(self, error: av.FFmpegError) -> None:
        self.damaged += 1
        if self.damaged == 1:
            facts = {"action": "damaged_packet", "packet": self.packets}
            logger.info("the recording is damaged, damaged packets are skipped: %s", error, extra=facts)

    def _discard_others(self) -> None:
        """Let only the chosen track be read. With an index in the container, pictures are not even read."""
        self._stream.codec_context.thread_count = 1
        for other in self._container.streams:
            if other is not self._stream:
                other.discard = av.stream.Discard.all

    def _stated_lengths(self, path: Path) -> tuple[float | None, float | None]:
        """Return how many seconds of sound the part states, and how many it has at most. None: FFmpeg only guesses.

        Some containers state one length for all tracks; the sound may be shorter.
        """
        if self.format in GUESSED or self.place.endless:
            return None, None
        if self.format == "mp3" and not stated_length.mp3_has_length(path, self.place.begin):
            return None, None
        is_wav = self.format == "wav" and self.codec.startswith("pcm_")
        if (seconds := stated_length.wav_seconds(path, self.place.begin) if is_wav else None) is not None:
            return seconds, seconds  # FFmpeg only tells the length of what is left of the file
        if (of_track := _seconds(self._stream, self._stream.duration)) is not None:
            return of_track, of_track
        of_file = None if self.duration_s is None else self.duration_s - self.start_s
        return of_file if len(self._container.streams) == 1 else None, of_file


def _hint(path: Path) -> str | None:
    """Return what to do about a file that cannot be opened. None: no more than for every such file."""
    with path.open("rb") as file:
        head = file.read(8)
    kind = "WebM" if head.startswith(_CLUSTER) else "MP4" if head[4:] in _FRAGMENTS else None
    if kind is None:
        return None
    return (
        f"This is a later piece of a {kind} recording. Only the first piece says how to play the others: join all"
        " pieces, the first one first, and send them as one file."
    )


def _is_web_page(path: Path) -> bool:
    with path.open("rb") as file:
        return is_web_page(file.read(HEAD_BYTES))


def _open(path: Path, place: FilePart, patched: PatchedFile | None) -> av.container.InputContainer:
    """Open a part so that its content cannot make FFmpeg open anything else."""
    options = {"protocol_whitelist": "file,subfile", "format_whitelist": DEMUXERS}
    address = f"file:{path}"
    if not place.whole:
        address = f"subfile,,start,{place.begin},end,{place.end},,:{address}"
    if place.endless:
        options["ignore_length"] = "1"
    format = None
    if place.headerless is not None:
        format = place.headerless.format
        options |= place.headerless.options | {"format_whitelist": format}
    try:
        if place.begin == 0 and _is_web_page(path):  # FFmpeg takes long ones for damaged sound
            raise WebPage
        source: Any = patched or address
        container: av.container.InputContainer = av.open(
            source, "r", format=format, options=options, metadata_errors="replace"
        )
        return container
    except FileNotFoundError:
        raise NotFound("The recording is not on the disk any more.", hint="Send the file again.") from None
    except av.FFmpegError as error:
        raise NotMedia(hint=_hint(path), detail=error.strerror) from error


def _seconds(stream: av.AudioStream, ticks: int | None) -> float | None:
    return float(ticks * stream.time_base) if ticks is not None and stream.time_base is not None else None
