"""Options as clients send them: a tag of Chinese names the language and its script."""

from __future__ import annotations

import pytest

from whisper_service.core.domain import Preset, Script
from whisper_service.web.api.job_body import parse_options


@pytest.mark.parametrize(
    ("tag", "script"),
    [
        ("zh", None),
        ("zh-CN", Script.SIMPLIFIED),
        ("zh-Hans", Script.SIMPLIFIED),
        ("zh-TW", Script.TRADITIONAL),
        ("zh_HK", Script.TRADITIONAL),
        ("zh-Hant", Script.TRADITIONAL),
        ("zh-Hans-HK", Script.SIMPLIFIED),
        ("en-US", None),
    ],
)
def test_a_tag_says_the_language_and_the_script(tag: str, script: Script | None) -> None:
    options = parse_options({"language": tag}, Preset.BALANCED)
    assert (options.language, options.script) == (tag[:2], script)


def test_a_script_that_is_asked_for_wins_over_the_tag() -> None:
    options = parse_options({"language": "zh-TW", "script": "simplified"}, Preset.BALANCED)
    assert options.script is Script.SIMPLIFIED


@pytest.mark.parametrize(
    ("wanted", "model"),
    [
        ("whisper-1", "auto"),
        ("GPT-4o-transcribe", "auto"),
        ("acme/whisper-base", "acme/whisper-base"),
        ("tiny", "tiny"),
    ],
)
def test_openai_names_mean_the_configured_model_and_all_others_themselves(wanted: str, model: str) -> None:
    assert parse_options({"model": wanted}, Preset.BALANCED).model == model
