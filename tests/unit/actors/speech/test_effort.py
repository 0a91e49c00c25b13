"""The work for a chunk has a bound where its language is in doubt."""

from __future__ import annotations

import pytest

from whisper_service.actors.speech.effort import BOUND, Effort, greedy_s, most_tokens
from whisper_service.actors.speech.engine import MAX_TOKENS, WINDOW_S


@pytest.mark.parametrize(("tokens", "seconds"), [(70, 11.34), (138, 27.2), (8, 1.8), (51, 10.5)])
def test_no_speech_that_was_measured_is_cut_off(tokens: int, seconds: float) -> None:
    assert tokens < most_tokens(seconds)
    assert tokens < most_tokens(seconds, beam_size=5)


def test_a_text_has_room_in_proportion_to_its_sound_and_never_more_than_the_decoder_has() -> None:
    limits = [most_tokens(seconds) for seconds in (0.5, 3.0, 8.0, 20.0, WINDOW_S)]
    assert limits == sorted(set(limits))
    assert limits[1] == 42
    assert most_tokens(100.0) == MAX_TOKENS


def test_windows_of_one_width_have_one_limit_for_a_beam() -> None:
    assert {most_tokens(seconds, beam_size=5) for seconds in (1.0, 4.0, 8.0)} == {96}
    assert most_tokens(8.1, beam_size=5) > 96


def test_only_doubt_limits_the_work() -> None:
    effort = Effort.of(10.0, wide=False, beam_size=1)
    assert effort.allows(1000.0)
    effort.in_doubt = True
    assert not effort.allows(1000.0)
    assert effort.allows(BOUND * effort.least)
    effort.done = effort.least
    assert not effort.allows(BOUND * effort.least)


@pytest.mark.parametrize("seconds", [0.5, 2.0, 3.3, 8.0, 13.0, 21.0, 29.5])
def test_the_first_search_of_any_chunk_is_within_the_bound(seconds: float) -> None:
    effort = Effort.of(seconds, wide=False, beam_size=1)
    assert greedy_s(seconds) <= BOUND * effort.least
