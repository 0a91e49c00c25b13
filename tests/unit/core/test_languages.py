"""The list of languages, and the answer to everything that is not in it."""

from __future__ import annotations

import pytest

from whisper_service.core import languages
from whisper_service.core.errors import InvalidRequest


def test_the_list_is_the_models() -> None:
    from faster_whisper import tokenizer

    assert set(languages.LANGUAGES) == set(tokenizer._LANGUAGE_CODES)


@pytest.mark.parametrize(
    ("written", "code"), [("zh", "zh"), (" EN ", "en"), ("yue", "yue"), ("", None), ("auto", None), ("Auto", None)]
)
def test_codes_are_accepted(written: str, code: str | None) -> None:
    assert languages.check_code(written) == code


@pytest.mark.parametrize(
    ("written", "nearest"),
    [
        ("Chinese", "zh"),
        ("chineese", "zh"),
        ("zh-CN", "zh"),
        ("pt_BR", "pt"),
        ("jv", "jw"),
        ("中文", "zh"),
        ("eng", "en"),
        ("q" * 10_000, None),
    ],
)
def test_anything_else_is_refused_with_the_code_that_was_probably_meant(written: str, nearest: str | None) -> None:
    with pytest.raises(InvalidRequest) as caught:
        languages.check_code(written)
    assert caught.value.params["nearest"] == nearest
    assert nearest is None or f"Did you mean {nearest} " in caught.value.advice
    assert len(caught.value.message) < 200


def test_every_alias_leads_to_a_language() -> None:
    assert set(languages._ALIASES.values()) <= set(languages.LANGUAGES)
