"""Times that are written down keep their order."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from whisper_service.core.wall_clock import BEHIND_S, TICK_S, WallClock


@given(st.lists(st.floats(0, BEHIND_S / 2), min_size=2))
def test_a_clock_that_is_set_to_and_fro_still_tells_what_came_first(shown: list[float]) -> None:
    times = iter(shown)
    wall = WallClock(clock=lambda: 1e9 + next(times))
    told = [wall() for _ in shown]
    assert all(earlier < later for earlier, later in pairwise(told))
    assert all(time >= 1e9 + real for time, real in zip(told, shown, strict=True))


def test_it_goes_on_behind_what_was_written_before() -> None:
    assert WallClock(2_000.0, lambda: 1_000.0)() == 2_000.0 + TICK_S
    assert WallClock(2_000.0, lambda: 3_000.0)() == 3_000.0


def test_a_clock_that_was_far_ahead_is_not_followed() -> None:
    assert WallClock(1_000_000.0, lambda: 1_000.0)() == 1_000.0
