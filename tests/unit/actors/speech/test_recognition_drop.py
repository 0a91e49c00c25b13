"""The recogniser drops what was not said, and keeps what was."""

from __future__ import annotations

import pytest

from tests.unit.actors.speech.scripted_engine import FIRST, SPEECH, FakeEngine, Text, hear, sound, words
from whisper_service.actors.speech.coverage import Interval
from whisper_service.actors.speech.engine import Search
from whisper_service.actors.speech.recognition import GARBAGE_LOGPROB, NO_SPEECH_PROB, UNLIKELY_LOGPROB
from whisper_service.actors.speech.windows import AudioChunk


def test_what_is_really_said_twice_is_kept_twice() -> None:
    again = words(4.0, "one", "two", "three.")

    def script(begin: float, end: float, search: Search, wide: bool) -> Text:
        return Text(FIRST if begin < 1 else again)

    assert hear(FakeEngine(script), SPEECH, AudioChunk(sound(6), "en")) == {0: ["one two three."] * 2}


@pytest.mark.parametrize(
    ("speech", "text"),
    [
        ([], Text(words(0.0, "you"), no_speech_prob=0.9)),
        (
            [(0.0, 1.5)],
            Text(words(0.0, "you"), avg_logprob=UNLIKELY_LOGPROB - 0.01, no_speech_prob=NO_SPEECH_PROB + 0.01),
        ),
        ([(0.0, 1.5)], Text(words(0.0, "mumble"), avg_logprob=GARBAGE_LOGPROB - 0.01)),
        ([(0.0, 1.5)], Text([])),
    ],
)
def test_what_was_made_of_silence_or_noise_is_dropped(speech: list[Interval], text: Text) -> None:
    assert hear(FakeEngine(lambda *_: text), speech, AudioChunk(sound(2), "en")) == {0: []}


@pytest.mark.parametrize(
    ("speech", "text"),
    [
        ([], Text(words(0.0, "you"), no_speech_prob=NO_SPEECH_PROB)),
        ([(0.0, 0.5)], Text(words(0.0, "you"), no_speech_prob=NO_SPEECH_PROB + 0.1)),
        ([(0.0, 0.5)], Text(words(0.0, "you"), avg_logprob=UNLIKELY_LOGPROB - 0.01, no_speech_prob=NO_SPEECH_PROB)),
        ([(0.0, 0.5)], Text(words(0.0, "you"), avg_logprob=GARBAGE_LOGPROB, no_speech_prob=0.0)),
    ],
)
def test_one_doubt_alone_does_not_drop_a_text(speech: list[Interval], text: Text) -> None:
    assert hear(FakeEngine(lambda *_: text), speech, AudioChunk(sound(2), "en")) == {0: ["you"]}
