"""Names of speakers, from made up voices."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from testkit.voices import FRAMES, chunk, people, spoken
from whisper_service.actors.speakers.chunk_voices import ChunkVoices, Unit, Voice, VoiceWindow, decode, encode
from whisper_service.actors.speakers.clustering import HowMany
from whisper_service.actors.speakers.labels import LabelledSegment, Labels, label

SIX = people(6)
CONVERSATION = {
    0: [(0, 2.0), (1, 3.0), (0, 2.0)],
    1: [(1, 4.0), (2, 3.0)],
    2: [(0, 9.0)],
    4: [(2, 1.0), (3, 4.0), (1, 2.0)],
}
"""By chunk: who speaks, and how many seconds. Chunk 3 is a gap."""
WHO = [person for turns in CONVERSATION.values() for person, _ in turns]


def conversation(seed: int = 0) -> dict[int, ChunkVoices]:
    return {number: chunk(SIX, turns, seed * 100 + number) for number, turns in CONVERSATION.items()}


def names(labels: Labels) -> list[str]:
    """The first speaker of each segment."""
    return [segment.turns[0][1] for segment in labels.segments]


def shuffled(heard: ChunkVoices, dice: np.random.Generator) -> ChunkVoices:
    """The same chunk, where the voices of each window have other numbers."""
    return heard._replace(
        windows=tuple(
            VoiceWindow(window.start, tuple(window.voices[n] for n in dice.permutation(len(window.voices))))
            for window in heard.windows
        )
    )


def test_speakers_are_named_by_their_first_word() -> None:
    labels = label(conversation())
    assert names(labels) == ["ABCD"[person] for person in WHO]
    assert [speaker.name for speaker in labels.speakers] == ["A", "B", "C", "D"]
    assert [round(speaker.seconds, 1) for speaker in labels.speakers] == [13.0, 9.0, 4.0, 4.0]
    assert np.argmax(SIX @ np.array([speaker.centroid for speaker in labels.speakers]).T, axis=0).tolist() == [
        0,
        1,
        2,
        3,
    ]
    assert labels.segments[3] == LabelledSegment(1, 0, ((0, "B"),))


@given(st.permutations(list(CONVERSATION)), st.integers(0, 50))
def test_the_order_in_which_chunks_were_heard_is_of_no_matter(order: list[int], seed: int) -> None:
    heard = conversation(seed)
    straight, mixed = label(heard), label({number: heard[number] for number in order})
    assert straight.segments == mixed.segments
    assert [(s.name, s.seconds, s.centroid.tobytes()) for s in straight.speakers] == [
        (s.name, s.seconds, s.centroid.tobytes()) for s in mixed.speakers
    ]


@given(st.integers(0, 1_000))
def test_the_numbers_of_voices_in_a_window_are_of_no_matter(seed: int) -> None:
    heard, dice = conversation(seed), np.random.default_rng(seed)
    other = {number: shuffled(voices, dice) for number, voices in heard.items()}
    assert label(heard).segments == label(other).segments


def test_what_is_stored_gives_the_same_labels_again_and_again() -> None:
    stored = {number: encode(heard) for number, heard in conversation().items()}
    first, second = (label({number: decode(data) for number, data in stored.items()}) for _ in range(2))
    assert first.segments == second.segments == label(conversation()).segments
    assert [s.centroid.tobytes() for s in first.speakers] == [s.centroid.tobytes() for s in second.speakers]


@given(k=st.integers(1, 4), seed=st.integers(0, 50))
def test_told_how_many_people_there_are_so_many_are_named(k: int, seed: int) -> None:
    labels = label(conversation(seed), HowMany(k, k))
    assert len(labels.speakers) == k
    assert {name for segment in labels.segments for _, name in segment.turns} == {s.name for s in labels.speakers}
    assert sum(speaker.seconds for speaker in labels.speakers) == pytest.approx(30.0)


def test_a_person_that_is_asked_for_gets_the_unit_that_fits_best() -> None:
    dice = np.random.default_rng(5)
    late = np.arange(FRAMES) >= 520  # where there is no text
    window = VoiceWindow(0, (Voice(~late, spoken(SIX[0], dice)), Voice(late, spoken(SIX[4], dice))))
    mixed = spoken(SIX[0] + 0.4 * SIX[4], dice)
    units = (Unit(0, 0, 0, 60_000, spoken(SIX[0], dice)), Unit(1, 0, 60_000, 60_000, mixed))
    heard = {0: ChunkVoices((window,), units), 1: chunk(SIX, [(1, 4.0)], 1)}
    assert names(label(heard)) == ["A", "A", "B"]
    assert names(label(heard, HowMany(3, 3))) == ["A", "B", "C"]
    assert np.argmax(SIX @ label(heard, HowMany(3, 3)).speakers[1].centroid) == 4


def test_a_longer_recording_does_not_change_who_was_who() -> None:
    heard = conversation()
    for last, following in pairwise(sorted(heard)):
        before = label({number: heard[number] for number in heard if number <= last})
        after = label({number: heard[number] for number in heard if number <= following})
        assert after.segments[: len(before.segments)] == before.segments


def test_turns_inside_a_segment_are_told_by_their_first_word() -> None:
    heard = chunk(SIX, [(0, 2.0), (0, 1.0), (1, 2.0), (0, 2.0)], 1)
    units = [unit._replace(segment=place // 3, word=(0, 3, 5, 0)[place]) for place, unit in enumerate(heard.units)]
    labels = label({7: heard._replace(units=tuple(units))})
    assert labels.segments == (LabelledSegment(7, 0, ((0, "A"), (5, "B"))), LabelledSegment(7, 1, ((0, "A"),)))


def test_a_unit_belongs_to_the_voice_that_it_sounds_like_if_that_is_clear() -> None:
    heard, dice = chunk(SIX, [(0, 4.0), (1, 4.0)], 1), np.random.default_rng(2)
    for embedding, expected in (
        (spoken(SIX[1], dice), "B"),  # the windows say the first person
        (spoken(SIX[0] + 0.98 * SIX[1], dice, 0.1), "A"),  # as near to both
        (None, "A"),
    ):
        first = heard.units[0]._replace(embedding=embedding)
        extra = Unit(2, 0, 16_000, 16_000, embedding)
        labels = label({0: heard._replace(units=(heard.units[0], heard.units[1], extra))})
        assert names(labels)[2] == expected, expected
        assert first.start == 0


def test_a_unit_in_which_nobody_is_heard_goes_to_the_speaker_before() -> None:
    silent = Unit(0, 0, 158_000, 1_000)
    heard = {number: chunk(SIX, turns, number) for number, turns in enumerate(([(0, 3.0)], [(1, 3.0)]))}
    heard[0] = heard[0]._replace(units=(silent, *(unit._replace(segment=1) for unit in heard[0].units)))
    heard[1] = heard[1]._replace(units=(*heard[1].units, silent._replace(segment=1)))
    assert names(label(heard)) == ["A", "A", "B", "B"]


def test_two_at_once_in_a_window_are_two_people() -> None:
    dice = np.random.default_rng(0)
    sure = chunk(SIX, [(0, 4.0), (1, 4.0)], 1)
    near = (spoken(SIX[0], dice), spoken(SIX[0] + 0.9 * SIX[1], dice, 0.1))  # both are nearest to the first person
    both = np.ones(FRAMES, dtype=np.bool_)
    part = np.arange(FRAMES) < FRAMES // 2
    window = VoiceWindow(0, (Voice(both & part, near[0]), Voice(both & ~part, near[1])))
    units = (Unit(0, 0, 0, 70_000), Unit(1, 0, 85_000, 70_000))
    labels = label({0: sure, 1: ChunkVoices((window,), units)}, HowMany(2, 2))
    assert names(labels) == ["A", "B", "A", "B"]


def test_chunks_too_short_for_a_window_are_told_apart_by_their_units() -> None:
    dice = np.random.default_rng(0)
    heard = {n: ChunkVoices((), (Unit(0, 0, 0, 7_000, spoken(SIX[n % 2], dice)),)) for n in range(12)}
    assert names(label(heard)) == ["A", "B"] * 6


@pytest.mark.parametrize("heard", [{}, {0: ChunkVoices((), ())}, {0: ChunkVoices((), (Unit(0, 0, 0, 100),))}])
def test_where_nobody_is_heard_there_are_no_speakers(heard: dict[int, ChunkVoices]) -> None:
    assert label(heard) == Labels((), ())


def test_there_are_names_for_more_people_than_letters() -> None:
    crowd = people(28)
    heard = {person: chunk(crowd, [(person, 5.0)], person) for person in range(28)}
    assert [s.name for s in label(heard).speakers][24:] == ["Y", "Z", "AA", "AB"]
