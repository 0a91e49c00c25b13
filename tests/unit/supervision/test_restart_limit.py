"""The breaker opens for many deaths in a short time, and for nothing else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from whisper_service.supervision.restart_limit import RestartLimit, RestartPolicy

FOUR = RestartPolicy(max_restarts=4, window_s=10.0)


def test_many_deaths_in_a_short_time_open_it() -> None:
    breaker = RestartLimit(FOUR)
    seen = []
    for now in (0.0, 1.0, 2.0, 3.0):
        breaker.died(now)
        seen.append(breaker.open)
    assert seen == [False, False, False, True]


def test_something_useful_between_them_begins_the_count_anew() -> None:
    breaker = RestartLimit(FOUR)
    for now in range(30):
        breaker.died(float(now))
        if now % 3 == 2:
            breaker.close()
        assert not breaker.open


def test_an_attempt_that_fails_leaves_it_open_and_one_that_does_not_closes_it() -> None:
    breaker = RestartLimit(FOUR)
    for now in (0.0, 1.0, 2.0, 3.0, 500.0):
        breaker.died(now)
    assert breaker.open
    breaker.close()
    breaker.died(501.0)
    assert not breaker.open


@given(st.lists(st.floats(3.4, 100.0), max_size=50))
def test_deaths_that_are_far_apart_never_open_it(pauses: list[float]) -> None:
    breaker, now = RestartLimit(FOUR), 0.0
    for pause in pauses:
        now += pause
        breaker.died(now)
        assert not breaker.open
