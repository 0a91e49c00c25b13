"""Write a transcript in the forms of OpenAI's interface. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from math import log
from typing import Any, Final

from whisper_service.core.domain import Segment, Transcript
from whisper_service.core.languages import LANGUAGES
from whisper_service.export.plain_text import plain_text

LEAST: Final = 1e-10
"""Smaller probabilities count as this one, so that 0 has a logarithm."""


def json(transcript: Transcript, *, logprobs: bool = False) -> dict[str, Any]:
    """Return `{text, usage}`, and `logprobs` if wanted: of words, because the service does not keep tokens."""
    answer: dict[str, Any] = {"text": plain_text(transcript.segments), "usage": usage(transcript)}
    if logprobs:
        answer["logprobs"] = _logprobs(transcript.segments)
    return answer


def verbose_json(transcript: Transcript, *, task: str, segments: bool, words: bool) -> dict[str, Any]:
    """Return the text with all times."""
    answer: dict[str, Any] = {
        "task": task,
        "language": language_name(transcript.language),
        "duration": transcript.duration_s or 0.0,
        "text": plain_text(transcript.segments),
        "usage": usage(transcript),
    }
    if segments:
        answer["segments"] = [segment(number, each) for number, each in enumerate(transcript.segments)]
    if words:
        answer["words"] = [
            {"word": word.word.strip(), "start": word.start, "end": word.end}
            for each in transcript.segments
            for word in each.words
        ]
    return answer


def segment(number: int, segment: Segment) -> dict[str, Any]:
    """Return a segment with all ten fields. Tokens and the temperature are not kept: `tokens` is empty, the other 0."""
    return {
        "id": number,
        "seek": round(segment.start * 100),
        "start": segment.start,
        "end": segment.end,
        "text": segment.text,
        "tokens": [],
        "temperature": 0.0,
        "avg_logprob": segment.avg_logprob or 0.0,
        "compression_ratio": segment.compression_ratio or 0.0,
        "no_speech_prob": segment.no_speech_prob or 0.0,
    }


def language_name(code: str | None) -> str:
    """Return the English name of a language in small letters: `english` for `en`. "": no language was detected."""
    return LANGUAGES.get(code or "", "").lower()


def usage(transcript: Transcript) -> dict[str, Any]:
    """Return what OpenAI would charge for."""
    return {"type": "duration", "seconds": transcript.duration_s or 0.0}


def _logprobs(segments: Iterable[Segment]) -> list[dict[str, Any]]:
    return [
        {"token": word.word, "logprob": log(max(LEAST, word.probability)), "bytes": list(word.word.encode())}
        for segment in segments
        for word in segment.words
    ]
