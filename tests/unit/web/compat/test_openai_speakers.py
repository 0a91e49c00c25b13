"""Known speakers in OpenAI's form, and the form of its answers that say who speaks."""

from __future__ import annotations

import base64
from itertools import islice

import pytest

from whisper_service.core.domain import Options, Preset, Segment, Task, Transcript, Word
from whisper_service.core.errors import InvalidRequest
from whisper_service.web.compat import openai_form, openai_speakers
from whisper_service.web.compat.openai_form import MAX_NAME, OpenAICall
from whisper_service.web.compat.openai_speakers import NAMES, REFERENCES, references

SOUND = b"RIFF\x00\xff"
URL = f"data:audio/wav;base64,{base64.b64encode(SOUND).decode()}"


def parsed(*, task: Task = Task.TRANSCRIBE, **fields: str) -> OpenAICall:
    return openai_form.parse({name: [value] for name, value in fields.items()}, task=task, preset=Preset.BALANCED)


def said(start: float, text: str, speaker: str | None, language: str = "en") -> Segment:
    return Segment(
        0,
        0,
        start,
        start + 1.0,
        text,
        (Word(start, start + 1.0, f" {text}", 0.9),),
        language,
        None,
        None,
        None,
        speaker,
    )


def transcript(*segments: Segment) -> Transcript:
    return Transcript("call.wav", 12.5, "en", "base", segments)


# -- the request ------------------------------------------------------------------------------------------------------


def test_speakers_are_told_apart_for_diarized_json_alone() -> None:
    for reply in ("json", "text", "srt", "vtt", "verbose_json"):
        call = parsed(model="gpt-4o-transcribe-diarize", response_format=reply)
        assert (call.diarized, call.options.speakers, call.options.model) == (False, "off", "auto")
    call = parsed(model="gpt-4o-transcribe-diarize", response_format="diarized_json", chunking_strategy="auto")
    assert (call.diarized, call.options.speakers) == (True, "auto")
    assert parsed(response_format="diarized_json").options.speakers == "auto"


def test_a_client_may_say_how_many_speak() -> None:
    options = parsed(response_format="diarized_json", min_speakers="2", max_speakers="3").options
    assert (options.min_speakers, options.max_speakers) == (2, 3)
    options = parsed(response_format="diarized_json", min_speakers="0", max_speakers="").options
    assert (options.min_speakers, options.max_speakers) == (None, None)
    assert parsed(min_speakers="2").options == Options(preset=Preset.BALANCED, speakers="off")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"min_speakers": "3", "max_speakers": "2"}, "min_speakers"),
        ({"max_speakers": "21"}, "max_speakers"),
        ({"min_speakers": "two"}, "min_speakers"),
        ({"min_speakers": "-1"}, "min_speakers"),
    ],
)
def test_a_number_of_speakers_that_cannot_be_is_refused(fields: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parsed(response_format="diarized_json", **fields)
    assert refused.value.params["field"] == field


def test_translations_do_not_tell_speakers_apart() -> None:
    with pytest.raises(InvalidRequest) as refused:
        parsed(response_format="diarized_json", task=Task.TRANSLATE)
    assert (refused.value.params["field"], refused.value.params["reason"]) == ("response_format", "unsupported_value")


def test_references_come_with_their_names_in_order() -> None:
    other = f"data:audio/mp4;codecs=opus;base64,{base64.b64encode(b'other').decode()}"
    for suffix in ("", "[]"):
        given = {f"{NAMES}{suffix}": ["Li, Anna", " agent "], f"{REFERENCES}{suffix}": [URL, other]}
        assert references(given) == [("Li, Anna", SOUND), ("agent", b"other")]
    assert references({}) == []


@pytest.mark.parametrize(
    ("names", "urls", "field"),
    [
        (["a"], [], REFERENCES),
        ([], [URL], NAMES),
        (["a", "b"], [URL], REFERENCES),
        (list("abcde"), [URL] * 5, NAMES),
        (["a", "a"], [URL] * 2, NAMES),
        ([" "], [URL], NAMES),
        (["a" * (MAX_NAME + 1)], [URL], NAMES),
        (["a"], ["https://example.com/a.wav"], REFERENCES),
        (["a"], ["data:audio/wav,abc"], REFERENCES),
        (["a"], ["data:audio/wav;base64,%%"], REFERENCES),
        (["a"], ["data:audio/wav;base64,"], REFERENCES),
        (["a"], [""], REFERENCES),
    ],
)
def test_what_is_no_reference_is_named(names: list[str], urls: list[str], field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        references({f"{NAMES}[]": names, f"{REFERENCES}[]": urls})
    assert refused.value.params["field"] == field
    assert refused.value.advice


# -- the answer -------------------------------------------------------------------------------------------------------


def test_speakers_are_letters_in_order_of_their_first_words() -> None:
    value = transcript(*(said(n, "x.", speaker) for n, speaker in enumerate(["s3", "s1", None, "s3", "s2"])))
    named = openai_speakers.labelled(value, {})
    assert [segment.speaker for segment in named.segments] == ["A", "B", "unknown", "A", "C"]


def test_known_speakers_have_their_names_and_no_letter_is_theirs() -> None:
    value = transcript(*(said(n, "x.", speaker) for n, speaker in enumerate(["s1", "s2", "s3", "s4"])))
    named = openai_speakers.labelled(value, {"s3": "agent", "s2": "B"})
    assert [segment.speaker for segment in named.segments] == ["A", "B", "agent", "C"]


def test_there_are_letters_for_everybody() -> None:
    letters = list(islice(openai_speakers._letters(), 28))
    assert (letters[:2], letters[25:]) == (["A", "B"], ["Z", "AA", "AB"])


def test_the_texts_of_the_segments_are_the_text() -> None:
    value = transcript(
        said(0.0, " One.", "A"), said(2.0, " ", "A"), said(4.0, "Two.", "agent"), said(6.0, "Three.", None)
    )
    assert openai_speakers.diarized_json(value) == {
        "task": "transcribe",
        "duration": 12.5,
        "text": "One. Two. Three.",
        "segments": [
            {
                "type": "transcript.text.segment",
                "id": "seg_0",
                "start": 0.0,
                "end": 1.0,
                "speaker": "A",
                "text": "One.",
            },
            {
                "type": "transcript.text.segment",
                "id": "seg_1",
                "start": 4.0,
                "end": 5.0,
                "speaker": "agent",
                "text": " Two.",
            },
            {
                "type": "transcript.text.segment",
                "id": "seg_2",
                "start": 6.0,
                "end": 7.0,
                "speaker": "unknown",
                "text": " Three.",
            },
        ],
        "usage": {"type": "duration", "seconds": 12.5},
    }


def test_nothing_said_is_no_segment() -> None:
    empty = openai_speakers.diarized_json(transcript())
    assert (empty["text"], empty["segments"]) == ("", [])
