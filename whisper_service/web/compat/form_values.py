"""Read the values of form fields and query parameters as programs write them. Pure. Raises `InvalidRequest`.

`params.field` of an error names the field; `params.reason` is OpenAI's word for what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final, TypeVar

from litestar.openapi.spec import OpenAPIType, Schema
from msgspec.structs import replace

from whisper_service.core.domain import Options, Preset
from whisper_service.core.errors import InvalidRequest
from whisper_service.core.speaker_count import AUTO, decided
from whisper_service.core.text import quoted
from whisper_service.web.http.operations import OPTIONS, text

E = TypeVar("E", bound=StrEnum)
Given = Mapping[str, Sequence[str]]
"""Every value of every field. A missing field has none."""

LANGUAGE: Final = text("A code, a name or a region, like de, german or de-AT. Without it, the language is detected.")
PROMPT: Final = text(OPTIONS["prompt"].description or "")
MAX_TEMPERATURE: Final = 1
TEMPERATURE: Final = Schema(
    type=OpenAPIType.NUMBER,
    minimum=0,
    maximum=MAX_TEMPERATURE,
    description="Checked and ignored: the search is deterministic.",
)

_TRUE: Final = frozenset({"true", "1", "yes", "y", "on"})
_FALSE: Final = frozenset({"", "false", "0", "no", "n", "off"})


def one(given: Given, name: str) -> str:
    """Return the value of a field, the last of several. "": the field is missing."""
    return (given.get(name) or ("",))[-1].strip()


def many(given: Given, name: str) -> list[str]:
    """Return the values of a list, however the client writes it: `name[]` or `name`, repeated or with commas."""
    return [part.strip() for value in each(given, name) for part in value.split(",") if part.strip()]


def each(given: Given, name: str) -> list[str]:
    """Return the values of a list whose values may have commas: `name[]` or `name`, repeated."""
    return [*given.get(f"{name}[]", ()), *given.get(name, ())]


def boolean(given: Given, name: str, *, default: bool = False) -> bool:
    value = one(given, name).lower()
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False if value else default
    raise invalid(name, f"{quoted(value, 40)} is neither true nor false.", "Send true or false.")


def number(given: Given, name: str, least: float, most: float) -> float:
    value = one(given, name)
    try:
        found = float(value or 0)
    except ValueError:
        found = float("nan")
    if not least <= found <= most:
        hint = f"Send a number from {least:g} to {most:g}, or leave it out."
        raise invalid(name, f"{quoted(value, 40)} is not a valid {name}.", hint)
    return found


def with_speakers(given: Given, options: Options) -> Options:
    """Return the options of a job that tells speakers apart, `min_speakers` to `max_speakers` of them.

    0 counts as not given, as some clients write it. Raises `InvalidRequest` that names the field.
    """
    bounds = OPTIONS["max_speakers"]
    least, most = (
        int(number(given, name, 0, bounds.maximum or 0)) or None for name in ("min_speakers", "max_speakers")
    )
    wanted = replace(options, speakers=AUTO, min_speakers=least, max_speakers=most)
    return decided(wanted, AUTO)


def check_temperature(given: Given) -> None:
    number(given, "temperature", 0, MAX_TEMPERATURE)


def preset(given: Given, default: Preset) -> Preset:
    """Return the preset, a field that this service adds to every interface."""
    return chosen(one(given, "preset"), default, "preset", "a preset")


def chosen(value: str, default: E, name: str, kind: str) -> E:
    """Return the value as one of the enum of `default`. `kind` says with its article what it should be."""
    choices = type(default)
    try:
        return choices(value or default)
    except ValueError:
        raise invalid(name, f"{quoted(value, 40)} is not {kind}.", f"Use one of {', '.join(choices)}.") from None


def prompt(sentence: str, keywords: Sequence[str] = ()) -> str | None:
    """Return the prompt that a sentence and keywords make: Whisper sees no difference. None: both are empty.

    A longer prompt than jobs have is cut to its end. Whisper itself reads the last 224 tokens.
    """
    parts = (", ".join(word.strip() for word in keywords), sentence.strip())
    return " ".join(part for part in parts if part)[-(OPTIONS["prompt"].max_length or 0) :] or None


def invalid(name: str, message: str, hint: str, reason: str = "invalid_value") -> InvalidRequest:
    return InvalidRequest(message, hint=hint, field=name, reason=reason)
