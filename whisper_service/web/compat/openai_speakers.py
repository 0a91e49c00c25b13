"""Read known speakers from the fields of OpenAI's form, and tell who speaks in the form of its answers. Pure."""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from string import ascii_uppercase
from typing import Any, Final

from msgspec.structs import replace

from whisper_service.app.known_speakers import FIELD, Reference
from whisper_service.core.domain import Segment, Transcript
from whisper_service.core.errors import InvalidRequest
from whisper_service.core.text import quoted
from whisper_service.export.plain_text import next_part
from whisper_service.web.compat.form_values import Given, each, invalid
from whisper_service.web.compat.openai_form import MAX_NAME, MOST_KNOWN
from whisper_service.web.compat.openai_reply import usage

NAMES: Final = "known_speaker_names"
REFERENCES: Final = FIELD
UNKNOWN: Final = "unknown"
"""The speaker of text whose sound could not be heard."""


def references(given: Given) -> list[Reference]:
    """Return the references of known speakers. Raises `InvalidRequest` that names the field."""
    names, urls = [name.strip() for name in each(given, NAMES)], each(given, REFERENCES)
    if len(names) != len(urls):
        message = f"There are {len(names)} names of known speakers and {len(urls)} references."
        raise invalid(NAMES if len(names) < len(urls) else REFERENCES, message, "Send one reference for each name.")
    if len(names) > MOST_KNOWN:
        raise invalid(NAMES, f"There are {len(names)} known speakers.", f"Send at most {MOST_KNOWN}.")
    if any(not 0 < len(name) <= MAX_NAME for name in names):
        raise invalid(NAMES, "The name of a known speaker is empty or too long.", f"It may have {MAX_NAME} characters.")
    if len({*names}) < len(names):
        raise invalid(NAMES, "Two known speakers have one name.", "Give each of them another name.")
    return [Reference(name, _sound(name, url)) for name, url in zip(names, urls, strict=True)]


def _sound(name: str, url: str) -> bytes:
    head, comma, data = url.strip().partition(",")
    if not comma or not head.lower().startswith("data:") or not head.lower().endswith(";base64"):
        raise _no_data_url(name)
    try:
        sound = b64decode("".join(data.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise _no_data_url(name) from error
    if not sound:
        raise _no_data_url(name)
    return sound


def _no_data_url(name: str) -> InvalidRequest:
    hint = "Send data:audio/wav;base64, and the bytes of the recording as base64."
    return invalid(REFERENCES, f"The reference of {quoted(name)} is no data URL.", hint)


def labelled(transcript: Transcript, known: Mapping[str, str]) -> Transcript:
    """Return the text with labels for the IDs of its speakers: the names of known ones, else A, B ... in order.

    No letter is the name of a known speaker.
    """
    letters = (letter for letter in _letters() if letter not in known.values())
    labels: dict[str | None, str] = {None: UNKNOWN}
    labels.update(known)
    for segment in transcript.segments:
        if segment.speaker not in labels:
            labels[segment.speaker] = next(letters)
    segments = (replace(segment, speaker=labels[segment.speaker]) for segment in transcript.segments)
    return replace(transcript, segments=tuple(segments))


def _letters() -> Iterator[str]:
    """Yield A, B ... Z, AA, AB ..."""
    length = 1
    while True:
        yield from map("".join, product(ascii_uppercase, repeat=length))
        length += 1


def diarized_json(transcript: Transcript) -> dict[str, Any]:
    """Return the text and who says what of it. The texts of the segments are the whole text when they are joined."""
    segments = list(segment_events(transcript.segments))
    return {
        "task": "transcribe",
        "duration": transcript.duration_s or 0.0,
        "text": "".join(segment["text"] for segment in segments),
        "segments": segments,
        "usage": usage(transcript),
    }


def segment_events(segments: Iterable[Segment]) -> Iterator[dict[str, Any]]:
    """Yield each segment that has text, which is an event of a stream too."""
    last, number = "", 0
    for segment in segments:
        if text := next_part(last, segment):
            yield segment_event(number, segment, text)
            last, number = text, number + 1


def segment_event(number: int, segment: Segment, text: str) -> dict[str, Any]:
    """Return one segment. `text` has the space before it that its script needs."""
    return {
        "type": "transcript.text.segment",
        "id": f"seg_{number}",
        "start": segment.start,
        "end": segment.end,
        "speaker": segment.speaker or UNKNOWN,
        "text": text,
    }
