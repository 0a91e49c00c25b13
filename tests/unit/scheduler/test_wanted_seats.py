"""How many seats are wanted while a queue grows, swings and empties."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisper_service.scheduler.wanted_seats import AT_MOST, CLEARLY_LESS, DOWN_AFTER_S, WantedSeats

EVERY_S = 10.0


def wanted_for(needs: list[float], most: int = 0) -> list[int]:
    """Return what is wanted while so many seats are needed, one every `EVERY_S` seconds."""
    wishes = WantedSeats(target_s=60.0, most=most)
    return [wishes.update(number * EVERY_S, need * 60.0 * 20.0, 20.0) for number, need in enumerate(needs)]


@pytest.mark.parametrize(("need", "wanted"), [(0, 0), (0.01, 1), (1, 1), (1.2, 2), (40, 40), (1e9, AT_MOST)])
def test_what_waits_is_to_be_done_within_the_target(need: float, wanted: int) -> None:
    assert wanted_for([need]) == [wanted]


def test_more_are_wanted_at_once_and_fewer_after_some_minutes() -> None:
    minutes = round(DOWN_AFTER_S / EVERY_S)
    wanted = wanted_for([2, 10, 3, 3, *[3] * minutes, *[0] * (minutes + 1)])
    assert wanted[:4] == [2, 10, 10, 10]
    assert wanted[minutes] == 10
    assert wanted[minutes + 1] == 3, "five minutes after the last time that ten were needed"
    assert wanted[-1] == 0


@given(st.floats(0.5, 200), st.lists(st.floats(0, 1), min_size=1, max_size=200))
def test_a_queue_that_swings_by_a_fifth_changes_nothing(top: float, drops: list[float]) -> None:
    needs = [top, *(top * (1 - 0.2 * drop) for drop in drops)]
    assert set(wanted_for(needs)) == {math.ceil(top * 60.0 * 20.0 / (60.0 * 20.0))}


@pytest.mark.parametrize("period", [2, 7, 61, 200])
def test_slow_swings_start_and_stop_nothing_either(period: int) -> None:
    wanted = wanted_for([10 + math.cos(2 * math.pi * number / period) for number in range(1000)])
    assert len(set(wanted[period:])) == 1


@given(st.lists(st.floats(0, 300), min_size=1, max_size=120), st.integers(0, 50))
def test_what_is_wanted_is_never_less_than_needed_nor_more_than_was_needed_lately(
    needs: list[float], most: int
) -> None:
    window = round(DOWN_AFTER_S / EVERY_S)
    for number, wanted in enumerate(wanted_for(needs, most)):
        lately = max(needs[max(0, number - window + 1) : number + 1])
        assert wanted >= min(most or AT_MOST, math.floor(needs[number]))
        assert wanted <= min(most or AT_MOST, math.ceil(lately / CLEARLY_LESS + 1e-6))


def test_without_any_measure_one_seat_is_wanted_and_the_last_speed_is_remembered() -> None:
    wishes = WantedSeats(target_s=60.0, most=0)
    assert wishes.update(0, 0.0, 0.0) == 0
    assert wishes.update(1, 1e6, 0.0) == 1
    assert wishes.update(2, 12_000.0, 20.0) == 10
    assert wishes.update(3, 24_000.0, 0.0) == 20, "all seats are gone; the next ones will be like the last ones"
