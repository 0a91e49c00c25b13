"""In which language a window, and each of its pieces, is decoded."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisper_service.actors.speech.language_choice import (
    HEARD,
    PAUSE_S,
    PIECE_SURE,
    SURE,
    Stretch,
    pieces,
    second,
    spoken,
    stretches,
)


def heard(**probabilities: float) -> dict[str, float]:
    return dict(sorted(probabilities.items(), key=lambda pair: -pair[1]))


@pytest.mark.parametrize(
    ("probabilities", "language"),
    [
        (heard(en=0.99, la=0.002), "en"),
        (heard(zh=0.98, en=0.01), "zh"),  # the change is sure
        (heard(zh=SURE - 0.01, en=0.05), None),  # hardly English, and not surely Chinese: look closer
        (heard(en=0.71, zh=0.28), None),  # both are spoken
        (heard(en=0.95, zh=HEARD - 0.01), "en"),
        (heard(nn=0.09, ja=0.05, en=0.03), "en"),  # noise: the model is sure of nothing
    ],
)
def test_a_window_leaves_the_expected_language_only_where_the_model_is_sure(
    probabilities: dict[str, float], language: str | None
) -> None:
    assert spoken(probabilities, "en") == language


def test_the_second_language_is_one_that_was_heard() -> None:
    assert second(heard(en=0.7, zh=0.2), "en") == "zh"
    assert second(heard(zh=0.95, en=0.1), "zh") == "en"
    assert second(heard(en=0.95, la=0.03), "en") is None


def test_speech_is_cut_at_pauses_and_no_piece_is_too_short_to_tell_its_language() -> None:
    speech = [(0.0, 2.0), (2.1, 3.0), (4.0, 4.5), (5.0, 7.0), (8.0, 8.4)]
    assert pieces(speech) == [(0.0, 3.0), (4.0, 8.4)]
    assert pieces([(1.0, 1.5)]) == [(1.0, 1.5)]
    assert pieces([]) == []


def test_neighbours_in_one_language_stay_together_and_cuts_are_in_the_pauses() -> None:
    found = [(1.0, 3.0), (4.0, 6.0), (8.0, 9.0), (10.0, 12.0)]
    of_pieces = [heard(en=0.99), heard(en=0.95), heard(zh=0.99), heard(en=0.9)]
    assert stretches(found, of_pieces, heard(en=0.7, zh=0.2), "en", 13.0) == [
        Stretch(0.0, 7.0, "en"),
        Stretch(7.0, 9.5, "zh"),
        Stretch(9.5, 13.0, "en"),
    ]


@pytest.mark.parametrize(
    ("piece", "language"),
    [
        (heard(it=PIECE_SURE - 0.01, es=0.15), "es"),  # relatives are confused: stay
        (heard(it=PIECE_SURE, es=0.15), "it"),
        (heard(zh=0.6, ja=0.3, es=0.001), "zh"),  # heard in the window, and surely not what is expected
        (heard(ja=0.6, zh=0.3, es=0.001), "es"),  # not heard in the window
    ],
)
def test_a_piece_leaves_the_expected_language_only_where_the_model_is_sure(
    piece: dict[str, float], language: str
) -> None:
    (stretch,) = stretches([(0.0, 2.0)], [piece], heard(es=0.5, it=0.2, zh=0.2), "es", 2.0)
    assert stretch.language == language


@given(
    st.lists(st.floats(0.3, 4.0), min_size=2, max_size=20).filter(lambda steps: len(steps) % 2 == 0),
    st.lists(st.sampled_from(["en", "zh", "de"]), min_size=10, max_size=10),
)
def test_stretches_have_no_gaps_and_begin_and_end_with_the_window(steps: list[float], spoken_there: list[str]) -> None:
    edges, at = [], 0.0
    for step in steps:
        at += step
        edges.append(at)
    speech = list(zip(edges[::2], edges[1::2], strict=True))
    found = pieces(speech)
    assert all(after[0] - before[1] >= PAUSE_S for before, after in pairwise(found))
    whole = heard(en=0.4, zh=0.3, de=0.3)
    of_pieces = [heard(**{spoken_there[n]: 0.99}) for n in range(len(found))]
    made = stretches(found, of_pieces, whole, "en", at + 1.0)
    assert (made[0].begin, made[-1].end) == (0.0, at + 1.0)
    assert all(a.end == b.begin and a.language != b.language for a, b in pairwise(made))
    assert not any(begin < stretch.begin < end for stretch in made for begin, end in found)
