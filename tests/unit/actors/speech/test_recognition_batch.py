"""The recogniser with many chunks at once, whatever is beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.actors.speech.scripted_engine import (
    DOUBTFUL,
    SPEECH,
    SURE,
    FakeEngine,
    Text,
    complete,
    hear,
    lazy,
    listening,
    sound,
    words,
)
from whisper_service.actors.speech.engine import Search
from whisper_service.actors.speech.recognition import GARBAGE_LOGPROB, UNLIKELY_LOGPROB
from whisper_service.actors.speech.windows import AudioChunk, Recognition
from whisper_service.core.domain import Preset


def test_nothing_to_hear() -> None:
    engine = FakeEngine(complete)
    assert hear(engine, []) == {}
    assert engine.searches == []


def test_sound_too_short_for_a_word_is_not_even_encoded() -> None:
    engine = FakeEngine(complete)
    assert hear(engine, SPEECH, AudioChunk(sound(0.05), "en"), AudioChunk(sound(0), "en")) == {0: [], 1: []}
    assert engine.searches == []


def test_what_is_known_is_told_before_the_rest_is_heard() -> None:
    engine = FakeEngine(lazy)
    found = listening(
        engine, SPEECH, AudioChunk(sound(6), "en"), AudioChunk(sound(2), "en"), AudioChunk(sound(0.01), "en")
    )
    assert (next(found)[0], len(engine.searches)) == (2, 0)
    assert (next(found)[0], len(engine.searches)) == (1, 1)
    assert (next(found)[0], len(engine.searches)) == (0, 2)
    assert next(found, None) is None


PLACE = 64.0
"""Seconds between the beginnings of utterances on the script's clock: more than any of them lasts."""


@dataclass(frozen=True)
class Scene:
    """Sentences in a sound, and after how many of them the engine gives up at every look."""

    sentences: tuple[tuple[float, int], ...]  # the pause before it, its number of words
    stamina: tuple[int, ...]
    doubts: tuple[float, ...]

    def spoken(self, at: float) -> list[list[tuple[float, float, str]]]:
        said, names = [], iter(f"{chr(97 + n)}{n}{chr(122 - n)}" for n in range(26))
        for pause, count in self.sentences:
            texts = [next(names) for _ in range(count)]
            said.append(words(at + pause, *texts[:-1], f"{texts[-1]}."))
            at = said[-1][-1][1]
        return said

    def seconds(self) -> float:
        return self.spoken(0.0)[-1][-1][1] + 0.5


scene = st.builds(
    Scene,
    st.lists(st.tuples(st.sampled_from([1.0, 1.5, 2.25]), st.integers(2, 4)), min_size=1, max_size=5).map(tuple),
    st.lists(st.integers(1, 3), min_size=1, max_size=4).map(tuple),
    st.lists(st.sampled_from([SURE, DOUBTFUL, UNLIKELY_LOGPROB - 0.1]), min_size=1, max_size=4).map(tuple),
)


def play(scenes: Sequence[Scene], places: Sequence[int], preset: Preset) -> tuple[FakeEngine, dict[int, list[str]]]:
    """Hear scenes together, each at its place on the clock, with an engine whose faults depend on the stretch alone."""
    said = {place: scene.spoken(place * PLACE) for scene, place in zip(scenes, places, strict=True)}
    by_place = dict(zip(places, scenes, strict=True))

    def script(begin: float, end: float, search: Search, wide: bool) -> Text:
        place = int(begin // PLACE)
        scene = by_place[place]
        number = int(begin * 10) + search.beam_size + wide
        heard = [
            sentence for sentence in said[place] if sentence[0][0] >= begin - 0.01 and sentence[-1][1] <= end + 0.01
        ]
        heard = heard[: scene.stamina[number % len(scene.stamina)]]
        return Text([w for sentence in heard for w in sentence], scene.doubts[number % len(scene.doubts)])

    speech = [(sentence[0][0], sentence[-1][1]) for place in sorted(said) for sentence in said[place]]
    engine = FakeEngine(script)
    utterances = [
        AudioChunk(sound(scene.seconds(), place * PLACE), "en") for scene, place in zip(scenes, places, strict=True)
    ]
    return engine, hear(engine, speech, *utterances, preset=preset)


@given(st.lists(scene, min_size=1, max_size=4), st.sampled_from(Preset), st.randoms(use_true_random=False))
def test_nothing_is_lost_or_said_twice_whatever_the_engine_passes_over_and_whoever_is_beside(
    scenes: list[Scene], preset: Preset, random: Any
) -> None:
    places = list(range(len(scenes)))
    random.shuffle(places)
    _, together = play(scenes, places, preset)
    for index, (scene, place) in enumerate(zip(scenes, places, strict=True)):
        assert together[index] == ["".join(w for _, _, w in sentence).strip() for sentence in scene.spoken(0.0)]
        assert play([scene], [place], preset)[1][0] == together[index]


@given(st.lists(st.tuples(scene, st.booleans()), min_size=1, max_size=4), st.sampled_from(Preset))
def test_what_is_heard_of_a_sound_depends_on_it_alone(rows: list[tuple[Scene, bool]], preset: Preset) -> None:
    """Also where text is lost, dropped or goes round in circles."""

    def script(begin: float, end: float, search: Search, wide: bool) -> Text:
        number, odd = rows[int(begin // PLACE)]
        look = int(begin * 10) + search.beam_size + wide
        sentence = number.spoken(begin + 0.2)[0]
        if odd and look % 3 == 0:
            return Text(sentence * 2, GARBAGE_LOGPROB - 0.1 if look % 2 else SURE, 0.9, complete=False)
        return Text(sentence, number.doubts[look % len(number.doubts)], 0.9 if odd else 0.1)

    def heard(*places: int) -> list[Recognition]:
        utterances = [AudioChunk(sound(rows[place][0].seconds(), place * PLACE)) for place in places]
        speech = [
            (place * PLACE + 0.2, place * PLACE + 0.2 + rows[place][0].seconds() / 2) for place in range(len(rows))
        ]
        found = dict(listening(FakeEngine(script), speech, *utterances, preset=preset))
        return [found[index] for index in range(len(places))]

    places = range(len(rows))
    alone = [heard(place)[0] for place in places]
    assert heard(*places) == alone
    assert heard(*reversed(places)) == alone[::-1]
