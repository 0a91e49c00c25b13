"""The recogniser and languages, translations and prompts."""

from __future__ import annotations

import pytest

from tests.unit.actors.speech.scripted_engine import (
    DOUBTFUL,
    FIRST,
    SECOND,
    SPEECH,
    SURE,
    FakeEngine,
    Text,
    complete,
    hear,
    listening,
    sound,
    words,
)
from whisper_service.actors.speech.effort import most_tokens
from whisper_service.actors.speech.engine import MAX_TOKENS, Search
from whisper_service.actors.speech.recognition import GREEDY, UNLIKELY_LOGPROB, Recognizer
from whisper_service.actors.speech.windows import AudioChunk, Recognition
from whisper_service.actors.speech.words import text_of
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
    engine = FakeEngine(lambda begin, end, *_: Text(FIRST, complete=False) if end > 5.9 and begin < 1 else Text(SECOND))
    list(listening(engine, SPEECH, AudioChunk(sound(6), "en"), prompt="numbers"))
    assert len(engine.prompts) > 4
    assert set(engine.prompts) == {"numbers"}


def test_a_language_is_found_without_a_text() -> None:
    engine = FakeEngine(lambda *_: Text([(0.0, 1.0, " Ja.")]), spoken="de")
    rows = [AudioChunk(sound(5.0), task=Task.DETECT), AudioChunk(sound(5.0), language="en", task=Task.DETECT)]
    heard = dict(Recognizer(engine, lambda _: []).recognise(rows, Preset.BALANCED))
    assert heard == {0: Recognition((), "de", 0.9), 1: Recognition((), "en", None)}
    assert engine.searches == []
    assert engine.detections == 1, "what is known is not sought"


def test_a_change_that_is_sure_is_followed_and_the_sentences_say_so() -> None:
    engine = FakeEngine(complete, heard=lambda *_: {"zh": 0.98, "en": 0.01})
    ((_, found),) = listening(engine, SPEECH, AudioChunk(sound(6), "en", follow=True))
    assert set(engine.languages) == {"zh"}
    assert [sentence.language for sentence in found.sentences] == ["zh", "zh"]
    assert (found.language, found.language_probability) == ("zh", None), "the language of the job was known"


def test_a_given_language_is_kept_whatever_is_heard() -> None:
    engine = FakeEngine(complete, heard=lambda *_: {"zh": 0.98, "en": 0.01})
    hear(engine, SPEECH, AudioChunk(sound(6), "en"))
    assert set(engine.languages) == {"en"}
    assert engine.detections == 0


def test_a_change_that_is_not_sure_is_not_followed() -> None:
    engine = FakeEngine(complete, heard=lambda *_: {"de": 0.5, "en": 0.4, "zh": 0.05})
    hear(engine, SPEECH, AudioChunk(sound(6), "en", follow=True))
    assert set(engine.languages) == {"en"}


def two_languages(begin: float, end: float) -> dict[str, float]:
    """English is spoken up to the fourth second, Chinese from then on."""
    if end < 4:
        return {"en": 0.99, "zh": 0.001}
    return {"en": 0.6, "zh": 0.38} if begin < 3 else {"zh": 0.99, "en": 0.001}


@pytest.mark.parametrize("preset", list(Preset))
def test_a_window_in_two_languages_is_decoded_in_both(preset: Preset) -> None:
    engine = FakeEngine(complete, heard=two_languages)
    ((_, found),) = listening(engine, SPEECH, AudioChunk(sound(6), "en", follow=True), preset=preset)
    said = [(sentence.language, text_of(sentence.words)) for sentence in found.sentences]
    assert said == [("en", "one two three."), ("zh", "four five six.")]
    assert engine.languages == ["en", "zh"]


def test_a_window_in_two_languages_is_divided_whoever_is_beside() -> None:
    rows = [AudioChunk(sound(6), "en", follow=True), AudioChunk(sound(2), "en", follow=True)]
    alone = [dict(listening(FakeEngine(complete, heard=two_languages), SPEECH, row))[0].sentences for row in rows]
    together = dict(listening(FakeEngine(complete, heard=two_languages), SPEECH, *rows))
    assert [together[0].sentences, together[1].sentences] == alone


def test_pieces_are_encoded_as_narrow_as_they_are() -> None:
    engine = FakeEngine(complete, heard=two_languages)
    hear(engine, SPEECH, AudioChunk(sound(6), "en", follow=True))
    assert [(round(a, 1), round(b, 1)) for a, b, tight in engine.encoded if tight] == [(0.0, 1.6), (3.9, 5.6)]


def test_an_improbable_text_is_tried_in_the_other_language_and_the_better_one_kept() -> None:
    def says(begin: float, end: float, language: str) -> Text:
        return Text(FIRST, SURE) if language == "zh" else Text(words(0.0, "won", "too", "tree."), -0.9)

    engine = FakeEngine(complete, heard=lambda *_: {"en": 0.7, "zh": 0.25}, says=says)
    ((_, found),) = listening(engine, SPEECH[:1], AudioChunk(sound(2), "en", follow=True))
    assert [(s.language, text_of(s.words)) for s in found.sentences] == [("zh", "one two three.")]


@pytest.mark.parametrize(
    ("logprob", "kept"),
    [pytest.param(-1.2, "ja", id="improbable"), pytest.param(-0.9, "zh", id="probable enough")],
)
def test_a_part_with_an_improbable_text_is_heard_again(logprob: float, kept: str) -> None:
    """A short part may have got a wrong language, and then its text would be dropped."""

    def heard(begin: float, end: float) -> dict[str, float]:
        return {"zh": 0.5, "ja": 0.4} if 2 < begin < 3 else two_languages(begin, end)

    def says(begin: float, end: float, language: str) -> Text:
        text = complete(begin, end, GREEDY, False)
        return Text(text.words, logprob if language == "zh" else SURE)

    engine = FakeEngine(complete, heard=heard, says=says)
    ((_, found),) = listening(engine, SPEECH, AudioChunk(sound(6), "en", follow=True))
    said = [(sentence.language, text_of(sentence.words)) for sentence in found.sentences]
    assert said == [("en", "one two three."), (kept, "four five six.")]


def test_languages_hidden_in_an_improbable_text_are_looked_for() -> None:
    def says(begin: float, end: float, language: str) -> Text:
        text = complete(begin, end, GREEDY, False)
        return Text(text.words, SURE if end - begin < 5.5 else -0.9)

    def hidden(begin: float, end: float) -> dict[str, float]:
        return {"en": 0.95, "zh": 0.04} if end - begin > 5.5 else two_languages(begin, end)

    engine = FakeEngine(complete, heard=hidden, says=says)
    ((_, found),) = listening(engine, SPEECH, AudioChunk(sound(6), "en", follow=True))
    assert [sentence.language for sentence in found.sentences] == ["en", "zh"]


def test_a_text_in_a_language_that_is_surely_wrong_costs_one_search() -> None:
    def loop(begin: float, end: float, search: Search, wide: bool) -> Text:
        return Text(words(0.0, *["la"] * 60), complete=False)

    engine = FakeEngine(loop, heard=lambda *_: {"en": 0.99, "zh": 0.001})
    ((_, found),) = listening(engine, SPEECH, AudioChunk(sound(6), "zh"))
    assert [search for search, _ in engine.searches] == [GREEDY]
    assert (found.sentences, found.dropped) == ((), ((0.0, 5.5),))


def test_a_chunk_in_a_doubtful_language_has_an_end_of_its_work() -> None:
    long_ago = [(n * 1.5, n * 1.5 + 1.2) for n in range(18)]

    def lazy(begin: float, end: float, search: Search, wide: bool) -> Text:
        return Text(words(begin, "la"), DOUBTFUL)

    def work(probability: float) -> int:
        engine = FakeEngine(lazy, heard=lambda *_: {"en": 1 - probability, "zh": probability})
        list(listening(engine, long_ago, AudioChunk(sound(28), "zh")))
        return len(engine.searches)

    assert work(0.3) < work(0.9) / 2


def test_a_loop_in_a_doubtful_language_is_dropped_when_its_work_is_done() -> None:
    def loop(begin: float, end: float, search: Search, wide: bool) -> Text:
        return Text(words(begin, *["la"] * 60), complete=False, tokens=most_tokens(end - begin))

    long_ago = [(n * 1.5, n * 1.5 + 1.2) for n in range(18)]
    engine = FakeEngine(loop, heard=lambda *_: {"en": 0.7, "zh": 0.3})
    ((_, found),) = listening(engine, long_ago, AudioChunk(sound(28), "zh"))
    assert [search for search, _ in engine.searches] == [GREEDY]
    assert (found.sentences, found.dropped) == ((), ((0.0, 26.7),))


@pytest.mark.parametrize(("probability", "limit"), [(0.9, MAX_TOKENS), (0.3, most_tokens(6, beam_size=5))])
def test_only_a_text_whose_language_is_not_in_doubt_may_be_as_long_as_the_decoder_can(
    probability: float, limit: int
) -> None:
    engine = FakeEngine(lambda *_: Text(FIRST, DOUBTFUL), heard=lambda *_: {"en": 1 - probability, "zh": probability})
    hear(engine, SPEECH[:1], AudioChunk(sound(6), "zh"))
    assert engine.limits == [most_tokens(6), limit]


@pytest.mark.parametrize(("probability", "shown"), [(0.3, False), (0.9, True)])
def test_one_piece_again_and_again_is_a_text_only_if_its_language_is_not_in_doubt(
    probability: float, shown: bool
) -> None:
    engine = FakeEngine(
        lambda *_: Text(words(0.0, "good", "time,", "good", "time,", "good", "time."), DOUBTFUL),
        heard=lambda *_: {"en": 1 - probability, "zh": probability},
    )
    ((_, found),) = listening(engine, [(0.0, 3.0)], AudioChunk(sound(3.2), "zh"))
    assert bool(found.sentences) is shown
    assert bool(found.dropped) is not shown
