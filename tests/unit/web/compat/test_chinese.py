"""A tag of Chinese names its script in the interfaces of other programs, too."""

from __future__ import annotations

import pytest

from whisper_service.core.domain import Options, Preset, Script, Task
from whisper_service.web.compat import openai_form, whisper_cpp


def of_openai(tag: str) -> Options:
    return openai_form.parse({"language": [tag]}, task=Task.TRANSCRIBE, preset=Preset.BALANCED).options


def of_whisper_cpp(tag: str) -> Options:
    return whisper_cpp.parse({"language": [tag]}, preset=Preset.BALANCED).options


@pytest.mark.parametrize("options_of", [of_openai, of_whisper_cpp])
@pytest.mark.parametrize(("tag", "script"), [("zh-TW", Script.TRADITIONAL), ("zh-CN", Script.SIMPLIFIED), ("zh", None)])
def test_a_tag_of_chinese_says_the_script(options_of: object, tag: str, script: Script | None) -> None:
    assert callable(options_of)
    options = options_of(tag)
    assert (options.language, options.script) == ("zh", script)
