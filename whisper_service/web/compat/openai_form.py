"""What the fields of OpenAI's transcription form mean here. Pure: fields in, `OpenAIRequest` out.

Fields that only other models understand are passed over, and so are those that clients add on their own. What would give another
answer than the one that was asked for is refused, with the field named.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from whisper_service.core import languages
from whisper_service.core.domain import Options, Preset, Task, Value
from whisper_service.web.compat import form_values
from whisper_service.web.compat.form_values import Given, many, one, wrong
from whisper_service.web.compat.model_aliases import model_of

KNOWN: Final = frozenset({
    "model", "language", "languages", "languages[]", "prompt", "keywords", "keywords[]", "hotwords", "response_format",
    "temperature", "timestamp_granularities", "timestamp_granularities[]", "stream", "include", "include[]", "preset",
})  # fmt: skip
"""Fields that are looked at."""


class OpenAIFormat(StrEnum):
    """Forms in which OpenAI's interface answers."""

    JSON = "json"
    TEXT = "text"
    SRT = "srt"
    VERBOSE_JSON = "verbose_json"
    VTT = "vtt"


class OpenAIRequest(Value, frozen=True):
    """A request, understood."""

    options: Options
    reply: OpenAIFormat = OpenAIFormat.JSON
    words: bool = False  # in verbose_json
    segments: bool = True
    logprobs: bool = False  # in json
    stream: bool = False


def understand(given: Given, *, task: Task, preset: Preset) -> OpenAIRequest:
    """The request in these fields. Raises `InvalidRequest` naming the field."""
    wanted = _granularities(many(given, "timestamp_granularities"))
    form_values.number(given, "temperature", 0.0, 1.0)  # checked and not used: the search is deterministic
    codes = many(given, "languages")
    return OpenAIRequest(
        options=Options(
            model=model_of(form_values.limited("model", one(given, "model"), 300)),
            language=languages.find_code(one(given, "language") or (codes[0] if len(codes) == 1 else "")),
            task=task,
            preset=form_values.preset(given, preset),
            prompt=form_values.prompt(one(given, "prompt"), [*many(given, "keywords"), *many(given, "hotwords")]),
        ),
        reply=_reply(one(given, "response_format")),
        words="word" in wanted,
        segments=not wanted or "segment" in wanted,
        logprobs="logprobs" in many(given, "include"),
        stream=form_values.boolean(given, "stream"),
    )


def _reply(text: str) -> OpenAIFormat:
    try:
        return OpenAIFormat(text or OpenAIFormat.JSON)
    except ValueError:
        hint = f"Use one of {', '.join(OpenAIFormat)}."
        if text == "diarized_json":
            raise wrong("response_format", "Who speaks is not told apart here.", hint, "unsupported_value") from None
        raise wrong("response_format", f"{text[:40]!r} is no response format.", hint) from None


def _granularities(wanted: Sequence[str]) -> frozenset[str]:
    for name in wanted:
        if name not in ("word", "segment"):
            raise wrong("timestamp_granularities", f"{name[:40]!r} is no granularity.", "Use word, segment or both.")
    return frozenset(wanted)
