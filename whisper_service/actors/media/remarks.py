"""The remarks on a recording: what was not read or not heard, and why, in words for its user."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from whisper_service.actors.media.decoder import Recording
from whisper_service.core.domain import AudioTrack, Problem
from whisper_service.core.languages import LANGUAGES, known_code

CUT_OFF_S: Final = 1.0
CUT_OFF_SHARE: Final = 0.02
"""A file that lacks more than this, in seconds and as a share of its stated length, was cut off."""


def on_recording(recording: Recording) -> Iterator[Problem]:
    """Yield the remarks on a recording that was read to its end."""
    yield from on_tracks(recording)
    end = recording.position_s
    if recording.jumps:
        at, length = recording.jumps[0]
        yield Problem(
            code="time_jump",
            message=f"The clock of the recording jumps by {length:.0f} seconds, {at:.0f} seconds after the beginning.",
            hint="All sound is transcribed. Times behind the jump are counted as if the clock had not jumped.",
            params={"at_s": round(at, 3), "seconds": round(length, 3), "jumps": len(recording.jumps)},
        )
    if recording.unread:
        yield Problem(
            code="unread",
            message=f"{recording.unread} bytes of the file, from byte {recording.unread_at} on, could not be read.",
            hint="Everything else is transcribed. If those bytes hold sound, convert the file and send the result.",
            params={"bytes": recording.unread, "at_byte": recording.unread_at, "at_s": round(end, 3)},
        )
    if recording.missing_s > max(CUT_OFF_S, CUT_OFF_SHARE * (end + recording.missing_s)):
        yield Problem(
            code="truncated",
            message=f"The file ends {recording.missing_s:.0f} seconds before the length that it states.",
            hint="Everything up to its end is transcribed. If the original is longer, send the original.",
            params={"at_s": round(end, 3), "missing_s": round(recording.missing_s, 3)},
        )
    elif recording.damaged:
        yield Problem(
            code="damaged",
            message=f"Parts of the file are damaged; {recording.damaged} packets were skipped.",
            hint="The rest is transcribed. If you have an undamaged copy, send that copy.",
            params={"packets": recording.damaged},
        )


def on_tracks(recording: Recording) -> Iterator[Problem]:
    """Yield the remarks on the audio tracks that are not transcribed."""
    if len(recording.tracks) < 2:
        return
    track = recording.track
    if recording.passed_over:
        first = recording.passed_over[0]
        yield Problem(
            code="track_undecodable",
            message=f"Audio track {first} cannot be decoded. Track {track} is transcribed in its place.",
            hint="To have the other track transcribed, convert it with the program that made it.",
            params={"tracks": list(recording.passed_over), "track": track},
        )
    used = _called(recording.tracks[track]) if track < len(recording.tracks) else f"Track {track}"
    yield Problem(
        code="other_tracks",
        message=f"The recording has {recording.track_count} audio tracks. {used} is transcribed; the others are not.",
        hint="To have another one transcribed, send the recording again with the option track.",
        params={"track": track, "tracks": recording.track_count},
    )


def _called(track: AudioTrack) -> str:
    """Return a track with its number and, if it is tagged, its language."""
    code = known_code(track.language)
    return f"Track {track.index}" + (f" ({LANGUAGES[code]})" if code else "")
