"""Running text of segments: spaces that their script needs, and parts that join to the whole."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisper_service.core.domain import Segment, Word
from whisper_service.core.text import clean
from whisper_service.export.plain_text import next_part, plain_text


def said(*texts: str, spaced: bool | None = None) -> list[Segment]:
    """Return segments with these texts. With `spaced`, their words say whether a space stands before the first."""
    words = {
        None: lambda text: (),
        True: lambda text: (Word(0, 1, f" {text}", 1.0),),
        False: lambda text: (Word(0, 1, text, 1.0),),
    }
    return [Segment(0, n, float(n), n + 1.0, text, words[spaced](text)) for n, text in enumerate(texts)]


@pytest.mark.parametrize(
    ("segments", "text"),
    [
        (said("Hello there.", "How are you?"), "Hello there. How are you?"),
        (said("你好。", "世界"), "你好。世界"),
        (said("頭髮", "軟體", spaced=False), "頭髮軟體"),
        (said("สวัสดี", "ครับ"), "สวัสดีครับ"),
        (said("안녕하세요.", "반갑습니다."), "안녕하세요. 반갑습니다."),
        (said("你好", "hello", spaced=True), "你好 hello"),
        (said("one", "  ", "two"), "one two"),
        (said(" padded ", "\ntext "), "padded text"),
        (said(), ""),
        (said(" "), ""),
    ],
)
def test_segments_are_joined_as_their_script_wants_it(segments: list[Segment], text: str) -> None:
    assert plain_text(segments) == text


@given(st.lists(st.text(max_size=8), max_size=6), st.sampled_from([None, True, False]))
def test_nothing_is_lost_and_pieces_are_the_whole(texts: list[str], spaced: bool | None) -> None:
    segments = said(*texts, spaced=spaced)
    whole = plain_text(segments)
    assert "".join(whole.split()) == "".join("".join(clean(text) for text in texts).split())
    parts: list[str] = []
    for segment in segments:
        if part := next_part(parts[-1] if parts else "", segment):
            parts.append(part)
    assert "".join(parts) == whole
