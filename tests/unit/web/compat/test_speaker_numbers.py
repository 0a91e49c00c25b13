"""Speakers as whisper.cpp's server and whisper-asr-webservice name them."""

from __future__ import annotations

import msgspec
import pytest

from whisper_service.app import calls
from whisper_service.core.domain import Preset, Segment, Transcript, Word
from whisper_service.core.errors import InvalidRequest
from whisper_service.export.captions.style import Style
from whisper_service.web.compat import whisper_asr, whisper_cpp
from whisper_service.web.compat.speaker_numbers import numbered_speakers
from whisper_service.web.compat.whisper_asr import AsrCall, AsrFormat
from whisper_service.web.compat.whisper_cpp import CppCall


def said(start: float, text: str, speaker: str | None) -> Segment:
    words = (Word(start, start + 1.0, f" {text}", 0.9),)
    return Segment(0, 0, start, start + 1.0, text, words, "en", speaker=speaker)


CALL = Transcript(
    "call.wav",
    12.0,
    "en",
    "base",
    (said(0.0, "One.", "s2"), said(2.0, "Two.", "s1"), said(4.0, "Three.", "s2"), said(6.0, "Four.", None)),
)
FOUND = calls.Detected("en", 0.9)


def of_cpp(**fields: str) -> CppCall:
    return whisper_cpp.parse({name: [value] for name, value in fields.items()}, preset=Preset.FAST)


def test_numbers_go_by_first_words() -> None:
    named = numbered_speakers(CALL, "SPEAKER_{:02}")
    assert [each.speaker for each in named.segments] == ["SPEAKER_00", "SPEAKER_01", "SPEAKER_00", None]


def test_whisper_asr_has_the_fields_of_whisperx() -> None:
    named = numbered_speakers(CALL, "SPEAKER_{:02}")
    call = AsrCall(of_cpp().options, AsrFormat.JSON, words=True, diarize=True)
    segments = msgspec.json.decode(whisper_asr.write(named, call, Style()))["segments"]
    assert [segment.get("speaker") for segment in segments] == ["SPEAKER_00", "SPEAKER_01", "SPEAKER_00", None]
    assert segments[1]["words"] == [
        {"start": 2.0, "end": 3.0, "word": " Two.", "probability": 0.9, "speaker": "SPEAKER_01"}
    ]
    assert "speaker" not in segments[3]["words"][0]
    without = msgspec.json.decode(whisper_asr.write(named, msgspec.structs.replace(call, words=False), Style()))
    assert {segment["words"] for segment in without["segments"]} == {None}


def test_whisper_asr_says_who_speaks_in_captions_and_text() -> None:
    named = numbered_speakers(CALL, "SPEAKER_{:02}")
    call = AsrCall(of_cpp().options, AsrFormat.TXT, diarize=True)
    lines = whisper_asr.write(named, call, Style()).decode().splitlines()
    assert lines == ["SPEAKER_00: One.", "SPEAKER_01: Two.", "SPEAKER_00: Three.", "Four."]
    vtt = whisper_asr.write(named, msgspec.structs.replace(call, output=AsrFormat.VTT), Style()).decode()
    assert "<v SPEAKER_01>Two." in vtt


def test_whisper_cpp_numbers_every_line() -> None:
    named, call = numbered_speakers(CALL, "Speaker{}"), of_cpp(diarize="true")
    assert whisper_cpp.plain(named, call).splitlines() == [
        "(speaker 0) One.",
        "(speaker 1) Two.",
        "(speaker 0) Three.",
        "(speaker ?) Four.",
    ]
    verbose = whisper_cpp.verbose_json(named, call, FOUND)
    assert [segment["speaker"] for segment in verbose["segments"]] == ["0", "1", "0", "?"]
    plain = whisper_cpp.verbose_json(CALL, of_cpp(), FOUND)
    assert plain["text"].splitlines()[0] == "One."
    assert all("speaker" not in segment for segment in plain["segments"])


def test_speakers_are_told_apart_on_request_alone() -> None:
    assert (of_cpp().options.speakers, of_cpp(diarize="false").options.speakers) == ("off", "off")
    asked = of_cpp(diarize="yes", min_speakers="2", max_speakers="2")
    assert (asked.diarize, asked.options.speakers) == (True, "auto")
    assert (asked.options.min_speakers, asked.options.max_speakers) == (2, 2)
    assert of_cpp(min_speakers="2").options.min_speakers is None
    language = of_cpp(diarize="true", detect_language="true")
    assert (language.diarize, language.options.speakers) == (False, "off")
    with pytest.raises(InvalidRequest):
        of_cpp(diarize="both")
