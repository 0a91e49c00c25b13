"""Simplified and traditional Chinese: every character in its place, every time as it was."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisper_service.core import chinese as script
from whisper_service.core.domain import Script, Segment, Transcript, Word

TRADITIONAL = "皇后後來把頭髮剪了,這個軟體很乾淨。"
SIMPLIFIED = "皇后后来把头发剪了,这个软体很干净。"


def segment(text: str, language: str | None = None) -> Segment:
    words = tuple(Word(float(at), at + 1.0, character, 0.5) for at, character in enumerate(text))
    return Segment(0, 0, 0.0, float(len(text)), text, words, language=language)


def transcript(*segments: Segment, language: str | None = "zh") -> Transcript:
    return Transcript(name="a.wav", duration_s=10.0, language=language, model="base", segments=segments)


@pytest.mark.parametrize(
    ("wanted", "before", "after"),
    [
        (Script.SIMPLIFIED, TRADITIONAL, SIMPLIFIED),
        (Script.TRADITIONAL, SIMPLIFIED, TRADITIONAL),
        (Script.SIMPLIFIED, SIMPLIFIED, SIMPLIFIED),
        (Script.RECOGNIZED, TRADITIONAL, TRADITIONAL),
        (Script.RECOGNIZED, SIMPLIFIED, SIMPLIFIED),
    ],
)
def test_text_and_words_are_converted_together(wanted: Script, before: str, after: str) -> None:
    (found,) = script.convert(transcript(segment(before)), wanted).segments
    assert found.text == "".join(word.word for word in found.words) == after
    assert [(word.start, word.end) for word in found.words] == [
        (word.start, word.end) for word in segment(before).words
    ]


def test_a_phrase_is_known_across_words() -> None:
    """干 alone is 幹 or 乾 or 干; only 干净 says which."""
    (found,) = script.convert(transcript(segment("干净")), Script.TRADITIONAL).segments
    assert [word.word for word in found.words] == ["乾", "淨"]


def test_japanese_is_left_alone() -> None:
    mixed = transcript(segment("実験の結論", language="ja"), segment("結論"))
    found = script.convert(mixed, Script.SIMPLIFIED)
    assert [s.text for s in found.segments] == ["実験の結論", "结论"]
    assert script.convert(transcript(segment("結論"), language=None), Script.SIMPLIFIED).segments[0].text == "結論"


def test_an_edited_text_is_converted_by_itself() -> None:
    edited = msgspec.structs.replace(segment("後來"), text=" 頭髮 ")
    (found,) = script.convert(transcript(edited), Script.SIMPLIFIED).segments
    assert (found.text, "".join(word.word for word in found.words)) == (" 头发 ", "后来")


chinese = st.text(st.sampled_from("皇后後來頭髮发干乾净淨只隻里裡 a,。😀\u0301"), max_size=4)


@given(st.lists(st.one_of(chinese, st.text(max_size=3)), max_size=8), st.sampled_from(Script))
def test_words_and_text_stay_the_same_text(parts: list[str], wanted: Script) -> None:
    words = tuple(Word(float(at), at + 0.5, part, 0.5) for at, part in enumerate(parts))
    before = Segment(0, 0, 0.0, 9.0, "".join(parts).strip(), words, language="zh")
    (found,) = script.convert(transcript(before), wanted).segments
    assert found.text == "".join(word.word for word in found.words).strip()
    assert [(w.start, w.end, w.probability) for w in found.words] == [(w.start, w.end, w.probability) for w in words]
    assert (
        script.convert_segment(found, wanted).text
        == script.convert_segment(script.convert_segment(found, wanted), wanted).text
    )


@pytest.mark.parametrize(
    ("tag", "wanted"),
    [
        ("zh", None),
        ("zh-CN", Script.SIMPLIFIED),
        ("zh_Hans", Script.SIMPLIFIED),
        ("zh-SG", Script.SIMPLIFIED),
        ("zh-Hans-HK", Script.SIMPLIFIED),
        ("zh-TW", Script.TRADITIONAL),
        ("ZH-hk", Script.TRADITIONAL),
        ("zh-Hant", Script.TRADITIONAL),
        ("cmn-Hant-TW", Script.TRADITIONAL),
        ("yue-HK", Script.TRADITIONAL),
        ("ja-TW", None),
        ("en", None),
        ("", None),
    ],
)
def test_a_language_tag_may_say_the_script(tag: str, wanted: Script | None) -> None:
    assert script.script_of(tag) is wanted


@pytest.mark.parametrize(
    ("language", "wanted", "after"),
    [
        ("zh", None, SIMPLIFIED),
        ("zh", Script.TRADITIONAL, TRADITIONAL),
        ("zh", Script.RECOGNIZED, TRADITIONAL),
        ("yue", None, TRADITIONAL),
        ("yue", Script.SIMPLIFIED, SIMPLIFIED),
        ("ja", Script.SIMPLIFIED, TRADITIONAL),
        (None, None, TRADITIONAL),
    ],
)
def test_mandarin_is_in_one_script_also_where_none_was_asked_for(
    language: str | None, wanted: Script | None, after: str
) -> None:
    (found,) = script.written([segment(TRADITIONAL, language)], wanted)
    assert found.text == after


def test_no_space_stands_between_han_characters_and_others_stay() -> None:
    (found,) = script.written([segment("中国 对手 and 3 个\u3000人 , 好 的", "zh")], None)
    assert found.text == "中国对手 and 3 个人 , 好的"
    assert "".join(word.word for word in found.words) == found.text


def test_a_segment_without_words_loses_its_spaces_too() -> None:
    bare = msgspec.structs.replace(segment("中国 对手", "zh"), words=())
    assert [s.text for s in script.written([bare], None)] == ["中国对手"]
