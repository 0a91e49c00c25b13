"""The audio tracks of a file: list them, and choose the one that is transcribed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Final

import av

from whisper_service.core.domain import AudioTrack
from whisper_service.core.errors import ServiceError
from whisper_service.core.languages import known_code

MAX_LISTED: Final = 32
"""Tracks that a job lists. A film has a dozen."""
ORDER: Final = (
    "FL", "FR", "FC", "LFE", "BL", "BR", "FLC", "FRC", "BC", "SL", "SR", "TC", "TFL", "TFC", "TFR", "TBL", "TBC", "TBR",
    "DL", "DR", "WL", "WR", "SDL", "SDR", "LFE2", "TSL", "TSR", "BFC", "BFL", "BFR", "SSL", "SSR", "TTL", "TTR",
)  # fmt: skip
"""FFmpeg's channels in its own order."""


class NoSuchTrack(ServiceError):
    """The recording does not have the audio track that was asked for."""

    hint: ClassVar[str] = (
        "The first audio track is 0. Without the option, the track in the language of the job or the default is read."
    )


class DecodeFailed(ServiceError):
    """The sound of the file could not be decoded."""

    hint: ClassVar[str] = "Convert the file with a media player or editor to WAV, FLAC or MP3 and send the result."


class NoAudio(ServiceError):
    """The file has no sound."""

    hint: ClassVar[str] = "Check that the recording has an audio track, and that the track is not empty."


def audio_streams(container: av.container.InputContainer) -> list[av.AudioStream]:
    """Return the audio streams, in order."""
    return [stream for stream in container.streams if isinstance(stream, av.AudioStream)]


def picture_codec(container: av.container.InputContainer) -> str | None:
    """Return FFmpeg's name of the codec of the pictures, empty if it is unknown. None: no pictures, or a cover only."""
    for stream in container.streams:
        if stream.type == "video" and not stream.disposition & av.stream.Disposition.attached_pic:
            return stream.codec_context.name if stream.codec_context is not None else ""
    return None


def describe(streams: Sequence[av.AudioStream]) -> tuple[AudioTrack, ...]:
    """Return the tracks as a job lists them. Their layouts must be plain: see `make_plain`."""
    return tuple(
        AudioTrack(
            index=index,
            codec=stream.codec_context.name if stream.codec_context is not None else "",
            language=stream.metadata.get("language", "")[:16],
            title=stream.metadata.get("title", "")[:100],
            channels=stream.codec_context.layout.nb_channels if stream.codec_context is not None else 0,
            default=bool(stream.disposition & av.stream.Disposition.default),
            decodable=stream.codec_context is not None,
        )
        for index, stream in enumerate(streams[:MAX_LISTED])
    )


@dataclass(frozen=True, slots=True)
class TrackChoice:
    """Which track is wanted: this number, or the one that suits a language best. None: no wish."""

    track: int | None = None
    language: str | None = None


def candidates(container: av.container.InputContainer, choice: TrackChoice) -> list[int]:
    """Return the numbers of the tracks that can be decoded and are to be tried, best first.

    Raises `NoAudio`, `NoSuchTrack`, or `DecodeFailed` if none of them can be decoded.
    """
    streams = audio_streams(container)
    if not streams:
        raise NoAudio
    order = _ranked(container, choice)
    if not order:
        count = "1 audio track" if len(streams) == 1 else f"{len(streams)} audio tracks"
        raise NoSuchTrack(f"There is no audio track {choice.track}: the recording has {count}.", track=choice.track)
    decodable = [number for number in order if streams[number].codec_context is not None]
    if not decodable:
        raise DecodeFailed("The sound of the file has a format that cannot be decoded.")
    return decodable


def passed_over(container: av.container.InputContainer, choice: TrackChoice, track: int) -> tuple[int, ...]:
    """Return the tracks that come before this one, but cannot be decoded."""
    streams = audio_streams(container)
    before = _ranked(container, choice)
    before = before[: before.index(track)]
    return tuple(number for number in before if streams[number].codec_context is None)


def _ranked(container: av.container.InputContainer, choice: TrackChoice) -> list[int]:
    """Return the numbers of the tracks, best first.

    A track that was asked for is the only one. Else those in the language of the job come first; then FFmpeg's choice,
    which is the default track or else the richest; then the others in order.
    """
    streams = audio_streams(container)
    if choice.track is not None:
        return [choice.track] if choice.track < len(streams) else []
    best = container.streams.best("audio")

    def rank(number: int) -> tuple[bool, bool, int]:
        stream = streams[number]
        spoken = choice.language is not None and known_code(stream.metadata.get("language", "")) == choice.language
        return not spoken, stream is not best, number

    return sorted(range(len(streams)), key=rank)


def make_plain(stream: av.AudioStream) -> None:
    """Replace a layout that has its channels in an order of its own: PyAV frees such layouts twice.

    The channels stay, and lose their names. To be called before anything else asks for the layout.
    """
    context = stream.codec_context
    if context is None:
        return
    layout = context.layout
    if not is_plain(layout):
        context.layout = f"{layout.nb_channels} channels"  # takes the place of the layout without freeing it


def is_plain(layout: av.AudioLayout) -> bool:
    """Return whether the channels of a layout have FFmpeg's own order, or no names."""
    if "(" not in layout.name.partition(" channels")[2]:
        return True
    names = [channel.name for channel in layout.channels]
    known = [ORDER.index(name) for name in names if name in ORDER]
    return len(known) == len(names) and all(a < b for a, b in pairwise(known))
