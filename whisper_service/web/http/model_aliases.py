"""Translate the names that other programs have for models. Pure."""

from __future__ import annotations

from typing import Final

from whisper_service.models.catalog import AUTO
from whisper_service.models.known import KNOWN

OPENAI_MODELS: Final = (
    "whisper-1",
    "gpt-transcribe",
    "gpt-4o-transcribe",
    "gpt-4o-mini-transcribe",
    "gpt-4o-mini-transcribe-2025-12-15",
    "gpt-4o-transcribe-diarize",
)
"""Names that are built into programs. Here they mean the configured model."""

_DEFAULT: Final = frozenset({"", AUTO, "default", "whisper", *OPENAI_MODELS})
_NAMES: Final = {model.name: model.name for model in KNOWN} | {model.repo.lower(): model.name for model in KNOWN}


def configured_model(wanted: str) -> str:
    """Return "auto" for OpenAI's names. Every other name means exactly that model, as the own API promises."""
    return AUTO if wanted.strip().lower() in OPENAI_MODELS else wanted


def model_of(wanted: str) -> str:
    """Return this service's name for a model: of OpenAI's names, of repositories and of their usual short forms.

    An unknown name stays as it is: a model of this machine may have it.
    """
    name = wanted.strip()
    plain = name.lower()
    if plain in _DEFAULT:
        return AUTO
    short = plain.rpartition("/")[2].removeprefix("faster-").removeprefix("whisper-")
    return _NAMES.get(plain) or _NAMES.get(short) or name
