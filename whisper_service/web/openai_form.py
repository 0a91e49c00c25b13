"""What the fields of OpenAI's transcription form mean here. Pure: fields in, `Asked` out.

Fields that only other models understand are passed over, and so are those that clients add on their own. What would give another
answer than the one that was asked for is refused, with the field named.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final

from whisper_service import languages
from whisper_service.domain import Options, Preset, Task, Value
from whisper_service.errors import InvalidRequest
from whisper_service.web.names import model_of

MAX_PROMPT: Final = 2_000
"""Characters of a prompt that are used: the last ones. Whisper itself looks at the last 224 tokens."""

KNOWN: Final = frozenset({
    "model", "language", "languages", "languages[]", "prompt", "keywords", "keywords[]", "hotwords", "response_format",
    "temperature", "timestamp_granularities", "timestamp_granularities[]", "stream", "include", "include[]", "preset",
})  # fmt: skip
"""Fields that are looked at."""

_TRUE: Final = frozenset({"true", "1", "yes", "y", "on"})
_FALSE: Final = frozenset({"", "false", "0", "no", "n", "off"})


class Reply(StrEnum):
    """Forms in which OpenAI's interface answers."""

    JSON = "json"
    TEXT = "text"
    SRT = "srt"
    VERBOSE_JSON = "verbose_json"
    VTT = "vtt"


class Asked(Value, frozen=True):
    """A request, understood."""

    options: Options
    reply: Reply = Reply.JSON
    words: bool = False  # in verbose_json
    segments: bool = True
    logprobs: bool = False  # in json
    stream: bool = False


def understand(fields: Mapping[str, Sequence[str]], *, task: Task, preset: Preset) -> Asked:
    """The request in these fields. Raises `InvalidRequest` naming the field; `params.reason` is OpenAI's word for it."""
    reply = _reply(_one(fields, "response_format"), task)
    wanted = _granularities(_many(fields, "timestamp_granularities"))
    _temperature(_one(fields, "temperature"))
    include = _many(fields, "include")
    spoken = _one(fields, "language") or (codes[0] if len(codes := _many(fields, "languages")) == 1 else "")
    options = Options(
        model=model_of(_limited("model", _one(fields, "model"), 300)),
        language=languages.understand(spoken),
        task=task,
        preset=_preset(_one(fields, "preset"), preset),
        prompt=prompt(_one(fields, "prompt"), [*_many(fields, "keywords"), *_many(fields, "hotwords")]),
    )
    return Asked(
        options=options,
        reply=reply,
        words="word" in wanted,
        segments=not wanted or "segment" in wanted,
        logprobs="logprobs" in include,
        stream=boolean("stream", _one(fields, "stream")),
    )


def prompt(text: str, keywords: Sequence[str]) -> str | None:
    """Names and spellings to expect: both are the same to Whisper. None if there are none."""
    said = " ".join(part for part in (", ".join(word.strip() for word in keywords), text.strip()) if part)
    return said[-MAX_PROMPT:] or None


def boolean(field: str, text: str) -> bool:
    """Yes or no, as programs write it."""
    plain = text.strip().lower()
    if plain in _TRUE:
        return True
    if plain in _FALSE:
        return False
    raise _wrong(field, f"{text[:40]!r} is neither true nor false.", "Send true or false.")


def _one(fields: Mapping[str, Sequence[str]], name: str) -> str:
    """The value of a field that is said once; "" if it is not there. Said again, the last one counts."""
    return fields.get(name, ("",))[-1].strip()


def _many(fields: Mapping[str, Sequence[str]], name: str) -> list[str]:
    """The values of a list, however it is written: `name[]` or `name`, repeated or with commas."""
    said = [*fields.get(f"{name}[]", ()), *fields.get(name, ())]
    return [part.strip() for value in said for part in value.split(",") if part.strip()]


def _reply(text: str, task: Task) -> Reply:
    try:
        return Reply(text or Reply.JSON)
    except ValueError:
        hint = f"Use one of {', '.join(Reply)}."
        if text == "diarized_json":
            raise _wrong("response_format", "Who speaks is not told apart here.", hint, "unsupported_value") from None
        raise _wrong("response_format", f"{text[:40]!r} is no response format.", hint) from None


def _granularities(wanted: Sequence[str]) -> frozenset[str]:
    for name in wanted:
        if name not in ("word", "segment"):
            raise _wrong("timestamp_granularities", f"{name[:40]!r} is no granularity.", "Use word, segment or both.")
    return frozenset(wanted)


def _temperature(text: str) -> None:
    """It is checked and not used: the search for the best text is deterministic, and looks again where a text is doubtful."""
    try:
        fits = 0.0 <= float(text or "0") <= 1.0
    except ValueError:
        fits = False
    if not fits:
        raise _wrong("temperature", f"{text[:40]!r} is no temperature.", "Send a number from 0 to 1, or leave it out.")


def _preset(text: str, default: Preset) -> Preset:
    try:
        return Preset(text or default)
    except ValueError:
        raise _wrong("preset", f"{text[:40]!r} is no preset.", f"Use one of {', '.join(Preset)}.") from None


def _limited(field: str, text: str, length: int) -> str:
    if len(text) > length:
        raise _wrong(field, f"The field {field} is too long.", f"It may have {length} characters.")
    return text


def _wrong(field: str, message: str, hint: str, reason: str = "invalid_value") -> InvalidRequest:
    return InvalidRequest(message, hint=hint, field=field, reason=reason)
