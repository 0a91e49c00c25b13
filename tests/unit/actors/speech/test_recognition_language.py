"""The recogniser and languages, translations and prompts."""

from __future__ import annotations

import pytest

from tests.unit.actors.speech.scripted_engine import (
    FIRST,
    SECOND,
    SPEECH,
    SURE,
    FakeEngine,
    Text,
    hear,
    listening,
    sound,
)
from whisper_service.actors.speech.engine import Search
from whisper_service.actors.speech.recognition import UNLIKELY_LOGPROB, AudioChunk, Recognition, Recognizer
from whisper_service.core.domain import Preset, Task


def test_a_translation_is_not_held_against_the_speech() -> None:
    engine = FakeEngine(lambda *_: Text(FIRST))
    assert hear(engine, SPEECH, AudioChunk(sound(6), "de", Task.TRANSLATE)) == {0: ["one two three."]}
    assert engine.tasks == [Task.TRANSLATE]
    assert engine.worded == [("de", Task.TRANSLATE, 6.0)]


def test_a_translation_keeps_the_times_it_was_aligned_to() -> None:
    stretched = [(0.0, 3.9, " one")]
    ((_, heard),) = listening(
        FakeEngine(lambda *_: Text(stretched)), [(3.5, 3.9)], AudioChunk(sound(6), "de", Task.TRANSLATE)
    )
    assert [(w.start, w.end) for s in heard.sentences for w in s.words] == [(0.0, pytest.approx(3.9))]


def test_the_language_is_detected_once_for_an_utterance_and_kept_for_all_of_it() -> None:
    def script(begin: float, end: float, search: Search, wide: bool) -> Text:
        return Text(FIRST if begin < 1 else SECOND)

    engine = FakeEngine(script, spoken="de")
    hear(engine, SPEECH, AudioChunk(sound(6)))
    assert engine.detections == 1
    assert set(engine.languages) == {"de"}


def test_the_language_that_was_wanted_is_passed_on_and_one_the_model_does_not_know_is_detected() -> None:
    engine = FakeEngine(lambda *_: Text(FIRST), spoken="zh")
    wanted = [AudioChunk(sound(2), language) for language in ("de", None, "tlh", "en")]
    found = dict(listening(engine, SPEECH[:1], *wanted))
    assert engine.languages == ["de", "zh", "zh", "en"]
    assert [language for language, *_ in engine.worded] == engine.languages
    assert [found[i].language for i in range(4)] == engine.languages
    assert [found[i].language_probability for i in range(4)] == [None, 0.9, 0.9, None]
    assert engine.detections == 2


def test_a_second_search_is_made_in_the_language_and_task_of_its_row() -> None:
    engine = FakeEngine(lambda begin, end, *_: Text(FIRST, SURE if end < 3 else UNLIKELY_LOGPROB - 0.1))
    hear(
        engine,
        SPEECH[:1],
        AudioChunk(sound(2), "en"),
        AudioChunk(sound(4), "de", Task.TRANSLATE),
        AudioChunk(sound(2), "zh"),
    )
    assert engine.languages == ["en", "de", "zh", "de"]
    assert engine.tasks == [Task.TRANSCRIBE, Task.TRANSLATE, Task.TRANSCRIBE, Task.TRANSLATE]


def test_every_search_is_told_the_prompt() -> None:
    engine = FakeEngine(lambda begin, *_: Text(FIRST, complete=False) if begin < 1 else Text(SECOND))
    list(listening(engine, SPEECH, AudioChunk(sound(6), "en"), prompt="numbers"))
    assert engine.prompts == ["numbers"] * 4


def test_a_language_is_found_without_a_text() -> None:
    engine = FakeEngine(lambda *_: Text([(0.0, 1.0, " Ja.")]), spoken="de")
    rows = [AudioChunk(sound(5.0), task=Task.DETECT), AudioChunk(sound(5.0), language="en", task=Task.DETECT)]
    heard = dict(Recognizer(engine, lambda _: []).recognise(rows, Preset.BALANCED))
    assert heard == {0: Recognition((), "de", 0.9), 1: Recognition((), "en", None)}
    assert engine.searches == []
    assert engine.detections == 1, "what is known is not sought"
