"""The names that other programs have for models and languages."""

from __future__ import annotations

import pytest

from whisper_service.core import languages
from whisper_service.core.errors import InvalidRequest
from whisper_service.web.http.model_aliases import OPENAI_MODELS, model_of


@pytest.mark.parametrize("name", ["", " ", "auto", "Whisper-1", *OPENAI_MODELS])
def test_names_that_programs_have_built_in_are_the_configured_model(name: str) -> None:
    assert model_of(name) == "auto"


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("base", "base"),
        ("Systran/faster-whisper-base", "base"),
        ("openai/whisper-small.en", "small.en"),
        ("whisper-large-v3-turbo", "large-v3-turbo"),
        ("mobiuslabsgmbh/faster-whisper-large-v3-turbo", "large-v3-turbo"),
        ("my-own", "my-own"),
        ("somebody/my-own", "somebody/my-own"),
    ],
)
def test_repos_and_short_forms_are_the_models_they_name(name: str, ours: str) -> None:
    assert model_of(name) == ours


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("en", "en"),
        ("German", "de"),
        ("pt-BR", "pt"),
        ("zh_Hant_TW", "zh"),
        ("jv", "jw"),
        ("jw", "jw"),
        ("iw-IL", "he"),
        ("", None),
        ("auto", None),
    ],
)
def test_languages_however_they_are_written(said: str, code: str | None) -> None:
    assert languages.find_code(said) == code


def test_what_is_no_language_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        languages.find_code("klingon")
