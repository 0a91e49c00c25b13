"""Name the speakers of a transcript by number, as other programs do. Pure."""

from __future__ import annotations

from msgspec.structs import replace

from whisper_service.core.domain import Transcript


def numbered_speakers(transcript: Transcript, form: str) -> Transcript:
    """Return the transcript with a name for each speaker's ID: `form` with 0, 1 ... in order of their first words.

    Text of nobody stays so.
    """
    names: dict[str, str] = {}
    for segment in transcript.segments:
        if segment.speaker is not None:
            names.setdefault(segment.speaker, form.format(len(names)))
    segments = (replace(each, speaker=each.speaker and names[each.speaker]) for each in transcript.segments)
    return replace(transcript, segments=tuple(segments))
