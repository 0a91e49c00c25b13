"""A transcript in the shapes of OpenAI's interface. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from math import log
from typing import Any, Final

from whisper_service.core.domain import Segment, Transcript
from whisper_service.core.languages import LANGUAGES
from whisper_service.export.plain_text import plain_text

LEAST: Final = 1e-10
"""Probability below which a logarithm says nothing more."""


def json(transcript: Transcript, *, logprobs: bool = False) -> dict[str, Any]:
    """`{text, usage}`, with `logprobs` of every word if they are wanted (words are what this service knows; not tokens)."""
    answer: dict[str, Any] = {"text": plain_text(transcript.segments), "usage": usage(transcript)}
    if logprobs:
        answer["logprobs"] = _logprobs(transcript.segments)
    return answer


def verbose_json(transcript: Transcript, *, task: str, segments: bool, words: bool) -> dict[str, Any]:
    """Everything with times. The language is an English name, in small letters."""
    answer: dict[str, Any] = {
        "task": task,
        "language": language_name(transcript.language),
        "duration": transcript.duration_s or 0.0,
        "text": plain_text(transcript.segments),
        "usage": usage(transcript),
    }
    if segments:
        answer["segments"] = [segment(number, said) for number, said in enumerate(transcript.segments)]
    if words:
        answer["words"] = [
            {"word": word.word.strip(), "start": word.start, "end": word.end}
            for said in transcript.segments
            for word in said.words
        ]
    return answer


def segment(number: int, said: Segment) -> dict[str, Any]:
    """One segment, with all ten fields. Tokens and the temperature are not kept, so they are empty and 0."""
    return {
        "id": number,
        "seek": round(said.start * 100),
        "start": said.start,
        "end": said.end,
        "text": said.text,
        "tokens": [],
        "temperature": 0.0,
        "avg_logprob": said.avg_logprob or 0.0,
        "compression_ratio": said.compression_ratio or 0.0,
        "no_speech_prob": said.no_speech_prob or 0.0,
    }


def language_name(code: str | None) -> str:
    """`english` for `en`; "" where nothing was said in any language."""
    return LANGUAGES.get(code or "", "").lower()


def usage(transcript: Transcript) -> dict[str, Any]:
    """What OpenAI would charge for."""
    return {"type": "duration", "seconds": transcript.duration_s or 0.0}


def _logprobs(segments: Iterable[Segment]) -> list[dict[str, Any]]:
    return [
        {"token": word.word, "logprob": log(max(LEAST, word.probability)), "bytes": list(word.word.encode())}
        for said in segments
        for word in said.words
    ]
