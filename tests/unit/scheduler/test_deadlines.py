"""Deadlines follow the speed that was measured, with room to spare."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisper_service.core.fallback import Rung
from whisper_service.scheduler.deadlines import MAX_EXTENSION, Deadlines

RUNG = Rung("cpu", "auto", 8, 2)
LOWER = Rung("cpu", "auto", 1, 1)


def test_the_first_window_stands_for_what_is_not_known_yet() -> None:
    deadlines = Deadlines(60.0, 10.0)
    assert deadlines.limit_s("base", RUNG, 30.0) == 60.0
    deadlines.add_first("base", RUNG, window_s=3.0)
    assert deadlines.limit_s("base", RUNG, 30.0) == 60.0 + 10.0 * 3.0
    assert deadlines.limit_s("base", LOWER, 30.0) == 60.0


def test_it_follows_what_is_measured_and_a_second_load_changes_nothing() -> None:
    deadlines = Deadlines(0.0, 1.0)
    deadlines.add_first("base", RUNG, window_s=30.0)
    for _ in range(40):
        deadlines.add("base", RUNG, seconds=5.0, audio_s=50.0)
    deadlines.add_first("base", RUNG, window_s=30.0)
    assert deadlines.limit_s("base", RUNG, 100.0) == pytest.approx(10.0, rel=0.01)
    deadlines.add("base", RUNG, seconds=50.0, audio_s=50.0)
    assert 10.0 < deadlines.limit_s("base", RUNG, 100.0) < 50.0


def test_a_machine_that_is_only_slow_gets_more_time_until_it_makes_it() -> None:
    deadlines = Deadlines(10.0, 1.0)
    limits = []
    for _ in range(5):
        limits.append(deadlines.limit_s("base", RUNG, 1.0))
        deadlines.extend()
    assert limits == [10.0, 20.0, 40.0, 80.0, 80.0]
    deadlines.add(
        "base", RUNG, seconds=0.0, audio_s=0.0
    )  # all its chunks were cancelled: nothing to measure, but the actor lives
    assert deadlines.limit_s("base", RUNG, 1.0) == 10.0


@given(st.lists(st.tuples(st.floats(0, 1e4), st.floats(0.01, 1e4))), st.integers(0, 20), st.floats(0, 1e4))
def test_there_is_always_at_least_the_floor(batches: list[tuple[float, float]], misses: int, audio_s: float) -> None:
    deadlines = Deadlines(60.0, 10.0)
    for seconds, audio in batches:
        deadlines.add("base", RUNG, seconds, audio)
    for _ in range(misses):
        deadlines.extend()
    assert deadlines.limit_s("base", RUNG, audio_s) >= 60.0
    assert deadlines.limit_s("base", RUNG, 0.0) <= MAX_EXTENSION * 60.0
