"""Many deaths in a short time reach the limit, and nothing else does."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from whisper_service.config.schema import SupervisionSettings
from whisper_service.supervision.restart_limit import RestartLimit

FOUR = SupervisionSettings(max_restarts=4, restart_window_s=10.0)


def test_many_deaths_in_a_short_time_reach_the_limit() -> None:
    limit = RestartLimit(FOUR)
    seen = []
    for now in (0.0, 1.0, 2.0, 3.0):
        limit.count_death(now)
        seen.append(limit.reached)
    assert seen == [False, False, False, True]


def test_a_useful_result_resets_the_limit() -> None:
    limit = RestartLimit(FOUR)
    for now in range(30):
        limit.count_death(float(now))
        if now % 3 == 2:
            limit.reset()
        assert not limit.reached


def test_a_later_death_keeps_the_limit_reached_until_a_reset() -> None:
    limit = RestartLimit(FOUR)
    for now in (0.0, 1.0, 2.0, 3.0, 500.0):
        limit.count_death(now)
    assert limit.reached
    limit.reset()
    limit.count_death(501.0)
    assert not limit.reached


@given(st.lists(st.floats(3.4, 100.0), max_size=50))
def test_deaths_that_are_far_apart_never_reach_the_limit(pauses: list[float]) -> None:
    limit, now = RestartLimit(FOUR), 0.0
    for pause in pauses:
        now += pause
        limit.count_death(now)
        assert not limit.reached
