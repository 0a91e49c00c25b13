"""Values of form fields and query parameters, as programs write them. Pure; what is wrong raises `InvalidRequest`.

`params.field` names the field, `params.reason` is OpenAI's word for what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from whisper_service.core.domain import Preset
from whisper_service.core.errors import InvalidRequest

Given = Mapping[str, Sequence[str]]
"""Every value of every field; one that is not there has none."""

MAX_PROMPT: Final = 2_000
"""Characters of a prompt that are used: the last ones. Whisper itself looks at the last 224 tokens."""

_TRUE: Final = frozenset({"true", "1", "yes", "y", "on"})
_FALSE: Final = frozenset({"", "false", "0", "no", "n", "off"})


def one(given: Given, name: str) -> str:
    """The value of a field that is said once; "" if it is not there. Said again, the last one counts."""
    return (given.get(name) or ("",))[-1].strip()


def many(given: Given, name: str) -> list[str]:
    """The values of a list, however it is written: `name[]` or `name`, repeated or with commas."""
    said = [*given.get(f"{name}[]", ()), *given.get(name, ())]
    return [part.strip() for value in said for part in value.split(",") if part.strip()]


def boolean(given: Given, name: str, *, default: bool = False) -> bool:
    """Yes or no."""
    text = one(given, name).lower()
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False if text else default
    raise wrong(name, f"{text[:40]!r} is neither true nor false.", "Send true or false.")


def number(given: Given, name: str, least: float, most: float, default: float = 0.0) -> float:
    """A number in these bounds."""
    text = one(given, name)
    try:
        value = float(text) if text else default
    except ValueError:
        value = float("nan")
    if not least <= value <= most:
        raise wrong(name, f"{text[:40]!r} is no {name}.", f"Send a number from {least:g} to {most:g}, or leave it out.")
    return value


def preset(given: Given, default: Preset) -> Preset:
    """How hard to look; a field of our own that works everywhere."""
    text = one(given, "preset")
    try:
        return Preset(text or default)
    except ValueError:
        raise wrong("preset", f"{text[:40]!r} is no preset.", f"Use one of {', '.join(Preset)}.") from None


def prompt(text: str, keywords: Sequence[str] = ()) -> str | None:
    """Names and spellings to expect: both are the same to Whisper. None if there are none."""
    said = " ".join(part for part in (", ".join(word.strip() for word in keywords), text.strip()) if part)
    return said[-MAX_PROMPT:] or None


def limited(name: str, text: str, length: int) -> str:
    """The text, unless it is too long."""
    if len(text) > length:
        raise wrong(name, f"The field {name} is too long.", f"It may have {length} characters.")
    return text


def wrong(name: str, message: str, hint: str, reason: str = "invalid_value") -> InvalidRequest:
    """The error."""
    return InvalidRequest(message, hint=hint, field=name, reason=reason)
