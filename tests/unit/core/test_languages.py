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
    ("codes", "code"),
    [
        ("deu ger", "de"),
        ("fra fre", "fr"),
        ("zho chi cmn", "zh"),
        ("jpn", "ja"),
        ("spa", "es"),
        ("ita", "it"),
        ("rus", "ru"),
        ("nld dut", "nl"),
        ("ces cze", "cs"),
        ("slk slo", "sk"),
        ("ell gre", "el"),
        ("fas per", "fa"),
        ("ron rum", "ro"),
        ("sqi alb", "sq"),
        ("hye arm", "hy"),
        ("kat geo", "ka"),
        ("eus baq", "eu"),
        ("isl ice", "is"),
        ("mkd mac", "mk"),
        ("msa may", "ms"),
        ("mya bur", "my"),
        ("mri mao", "mi"),
        ("cym wel", "cy"),
        ("bod tib", "bo"),
        ("jav jv", "jw"),
        ("nor nob nb", "no"),
        ("nno", "nn"),
        ("haw", "haw"),
        ("DEU", "de"),
    ],
)
def test_codes_of_three_letters_are_accepted_in_both_kinds(codes: str, code: str) -> None:
    assert [languages.check_code(written) for written in codes.split()] == [code] * len(codes.split())


def test_every_language_has_a_code_of_three_letters() -> None:
    long = {code for written, code in languages._CODES.items() if len(written) == 3}
    assert long | {"haw", "yue"} == set(languages.LANGUAGES)


@pytest.mark.parametrize(
    ("tag", "code"),
    [
        ("en-US", "en"),
        ("pt-BR", "pt"),
        ("pt_BR", "pt"),
        ("zh-CN", "zh"),
        ("zh-Hant-TW", "zh"),
        ("zh-yue", "yue"),
        ("zh-yue-HK", "yue"),
        ("yue-HK", "yue"),
        ("deu-AT", "de"),
        ("nb-NO", "no"),
        ("es-419", "es"),
        ("sl-rozaj-biske-1994", "sl"),
        ("en_US.UTF-8", "en"),
        ("de_DE@euro", "de"),
    ],
)
def test_a_tag_means_its_language(tag: str, code: str) -> None:
    assert languages.check_code(tag) == code


@pytest.mark.parametrize(
    ("written", "nearest"),
    [
        ("Chinese", "zh"),
        ("chineese", "zh"),
        ("portugese", "pt"),
        ("中文", "zh"),
        ("gle", None),  # Irish: no code of another language is near
        ("epo", None),
        ("xx", None),
        ("xx-US", None),
        ("en-", None),
        ("en--US", None),
        ("q" * 10_000, None),
    ],
)
def test_anything_else_is_refused_with_the_code_that_was_probably_meant(written: str, nearest: str | None) -> None:
    with pytest.raises(InvalidRequest) as caught:
        languages.check_code(written)
    assert caught.value.params["nearest"] == nearest
    assert nearest is None or f"Did you mean {nearest} " in caught.value.advice
    assert nearest or "Did you mean" not in caught.value.advice
    assert len(caught.value.message) < 200


def test_every_alias_leads_to_a_language() -> None:
    assert {*languages._CODES.values(), *languages._NAMES.values()} <= set(languages.LANGUAGES)
    assert not languages._CODES.keys() & languages.LANGUAGES.keys()


def test_a_tag_of_a_file_is_known_or_it_is_not() -> None:
    assert [languages.known_code(tag) for tag in ("ger", "German", "de-AT", "", "tlh", "no such tag")] == [
        "de",
        "de",
        "de",
        None,
        None,
        None,
    ]
