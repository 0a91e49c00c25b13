"""Stored times keep their order."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from whisper_service.core.wall_clock import BEHIND_S, TICK_S, WallClock


@given(st.lists(st.floats(0, BEHIND_S / 2), min_size=2))
def test_times_grow_while_the_clock_of_the_machine_is_set_back_and_forth(shown: list[float]) -> None:
    machine = iter(shown)
    clock = WallClock(clock=lambda: 1e9 + next(machine))
    times = [clock() for _ in shown]
    assert all(earlier < later for earlier, later in pairwise(times))
    assert all(time >= 1e9 + real for time, real in zip(times, shown, strict=True))


def test_it_continues_after_the_newest_stored_time() -> None:
    assert WallClock(2_000.0, lambda: 1_000.0)() == 2_000.0 + TICK_S
    assert WallClock(2_000.0, lambda: 3_000.0)() == 3_000.0


def test_a_clock_that_was_far_ahead_is_not_followed() -> None:
    assert WallClock(1_000_000.0, lambda: 1_000.0)() == 1_000.0
