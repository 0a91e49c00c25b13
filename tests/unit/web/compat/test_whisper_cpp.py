"""The fields of whisper.cpp's form."""

from __future__ import annotations

import pytest

from whisper_service.core.domain import Preset, Segment, Task, Transcript
from whisper_service.core.errors import InvalidRequest
from whisper_service.export.captions.style import Style
from whisper_service.export.render import Format, render
from whisper_service.web.compat.whisper_cpp import CppCall, CppFormat, layout, parse


def asked(**fields: str) -> CppCall:
    return parse({name: [value] for name, value in fields.items()}, preset=Preset.FAST)


def test_nothing_said_is_json_in_any_language() -> None:
    found = asked()
    assert (found.reply, found.options.language, found.options.task, found.options.preset) == (
        CppFormat.JSON,
        None,
        Task.TRANSCRIBE,
        Preset.FAST,
    )


@pytest.mark.parametrize(
    ("fields", "task"),
    [
        ({"translate": "yes"}, Task.TRANSLATE),
        ({"translate": "0"}, Task.TRANSCRIBE),
        ({"detect_language": "y"}, Task.DETECT),
    ],
)
def test_booleans_are_what_whisper_cpp_takes_for_them(fields: dict[str, str], task: Task) -> None:
    assert asked(**fields).options.task is task


@pytest.mark.parametrize("field", ["offset_t", "offset_n", "duration"])
def test_parts_are_refused_and_the_whole_is_not(field: str) -> None:
    assert asked(**{field: "0"}) == asked()
    with pytest.raises(InvalidRequest) as refused:
        asked(**{field: "1500"})
    assert refused.value.params == {"field": field, "reason": "unsupported_value"}


def test_max_len_is_the_width_of_a_caption() -> None:
    transcript = Transcript("a", 9.0, "en", "base", (Segment(0, 0, 0.0, 9.0, "one two three four five six seven"),))
    narrow = render(transcript, Format.SRT, layout(asked(max_len="12"), Style())).decode()
    texts = [line for line in narrow.splitlines() if line and not line.isdigit() and "-->" not in line]
    assert " ".join(texts) == "one two three four five six seven"
    assert max(map(len, texts)) <= 12
    assert len(texts) > 2
    assert layout(asked(max_len="3"), Style()).style.line_columns == 8
    assert layout(asked(max_len="100000"), Style()).style.line_columns == 500
