"""What browsers make of a recording: whether all of them play it, at the times of its transcript.

The container and the codec decide, as FFmpeg sees them; names of files do not count. The lists hold what Chromium,
Firefox and Safari all play: the container and codec guides of MDN, and for Ogg the notes of Safari 18.4. What is not in
a list counts as not playable.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

from whisper_service.actors.media.decoder import Recording
from whisper_service.actors.media.mp3_seeking import seeks_exactly
from whisper_service.core.domain import Playable

MP4: Final = "mov,mp4,m4a,3gp,3g2,mj2"
MATROSKA: Final = "matroska,webm"
CODECS: Final = {
    "wav": {"pcm_u8", "pcm_s16le", "pcm_s24le", "pcm_f32le"},
    "mp3": {"mp3", "mp3float"},
    "flac": {"flac"},
    "ogg": {"opus", "vorbis"},
    MP4: {"aac", "mp3", "mp3float", "flac", "opus"},
    "webm": {"opus", "vorbis"},
}
"""FFmpeg's names of the codecs in each container that every browser plays."""
WITH_PICTURE: Final = {MP4: CODECS[MP4], "matroska": {"aac", "mp3", "mp3float", "flac", "opus", "vorbis"}}
"""Codecs of films whose pictures some browsers show. Others need the copy for the sound."""
PICTURES: Final = {MP4: {"h264", "av1", "vp9"}, "webm": {"vp8", "vp9", "av1"}}
"""Pictures that every browser shows."""
RATES: Final = range(8_000, 96_001)
"""Samples per second that every browser plays."""
MAX_CHANNELS: Final = 8
"""Channels that every browser plays: those of 7.1."""
HEAD: Final = 64
"""Bytes at the beginning of a Matroska file that say whether the file is WebM."""


class Playback(NamedTuple):
    """What a player gets first, and whether it needs a listening copy, at once or in reserve."""

    first: Playable
    needs_copy: bool


AS_SENT: Final = Playback(Playable.RECORDING, needs_copy=False)
COPY_IN_RESERVE: Final = Playback(Playable.RECORDING, needs_copy=True)
"""Some browsers play the recording, perhaps with pictures that a copy lacks."""
COPY: Final = Playback(Playable.COPY, needs_copy=True)
"""Not every browser plays the recording, or its times are not those of the transcript."""


def playback_of(recording: Recording, path: Path) -> Playback:
    """Return what a player should get. More is known after the last block: damage, and jumps of the clock."""
    container = _container(recording, path)
    sounds = recording.codec in CODECS.get(container, ()) and _is_usual(recording)
    if _is_read_otherwise(recording) or not _seeks_exactly(recording, container, path):
        return COPY
    if recording.picture is None:
        if not sounds:
            return COPY
        return COPY_IN_RESERVE if recording.damaged else AS_SENT  # not every decoder goes on behind damage
    shown = recording.picture in PICTURES.get(container, ())
    if sounds and shown and not recording.damaged:
        return AS_SENT
    some = sounds or (recording.codec in WITH_PICTURE.get(container, ()) and _is_usual(recording))
    return COPY_IN_RESERVE if some else COPY


def _container(recording: Recording, path: Path) -> str:
    """Return FFmpeg's name of the container. WebM and Matroska, which FFmpeg does not tell apart, get one each."""
    if recording.format != MATROSKA:
        return recording.format
    with path.open("rb") as file:
        return "webm" if b"webm" in file.read(HEAD) else "matroska"


def _is_usual(recording: Recording) -> bool:
    track = next((track for track in recording.tracks if track.index == recording.track), None)
    return recording.rate in RATES and (track is None or track.channels <= MAX_CHANNELS)


def _is_read_otherwise(recording: Recording) -> bool:
    """Return whether a player hears other sound than was transcribed, or hears that sound at other times.

    A player reads the first part of a file, up to its stated end, and the first or the default track. It follows
    every jump of the clock.
    """
    others = [track for track in recording.tracks if track.index != recording.track]
    wrong_track = bool(others) and (recording.track != 0 or any(track.default for track in others))
    return not recording.whole or wrong_track or bool(recording.jumps)


def _seeks_exactly(recording: Recording, container: str, path: Path) -> bool:
    """Return whether a player that goes to a time gets there.

    A live recording in WebM or Matroska states no length and has no index. Raw AAC has neither: see `CODECS`.
    """
    if container == "mp3":
        return seeks_exactly(path)
    return not (recording.format == MATROSKA and recording.duration_s is None)
