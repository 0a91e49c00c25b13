"""Every pair of status and cause has an answer, and a job leaves a terminal state by a retry only."""

from __future__ import annotations

from itertools import product

import pytest

from whisper_service.core.domain import Status
from whisper_service.core.errors import IllegalTransition
from whisper_service.core.job_states import OPEN, TERMINAL, TRANSITIONS, Cause, advance

EVERYTHING = list(product(Status, Cause))


def reachable(start: Status) -> set[Status]:
    seen, todo = {start}, [start]
    while todo:
        here = todo.pop()
        for (status, _), after in TRANSITIONS.items():
            if status is here and after not in seen:
                seen.add(after)
                todo.append(after)
    return seen


@pytest.mark.parametrize(("status", "cause"), EVERYTHING)
def test_every_pair_has_an_answer(status: Status, cause: Cause) -> None:
    if (status, cause) in TRANSITIONS:
        assert advance(status, cause) is TRANSITIONS[status, cause]
        return
    with pytest.raises(IllegalTransition) as caught:
        advance(status, cause)
    error = caught.value
    allowed = {c.value for s, c in TRANSITIONS if s is status}
    assert set(error.params["allowed"]) == allowed
    assert (error.params["status"], error.params["cause"]) == (status.value, cause.value)
    assert status.value in error.message
    assert cause.value in error.message
    assert all(name in error.problem.hint for name in allowed)


def test_a_new_job_can_come_to_every_status() -> None:
    assert reachable(Status.PENDING) == set(Status)


@pytest.mark.parametrize("status", Status)
def test_every_status_can_come_to_an_end_and_back_to_work(status: Status) -> None:
    assert reachable(status) == set(Status)


def test_a_terminal_status_is_left_by_a_retry_only() -> None:
    assert {c for s, c in TRANSITIONS if s in TERMINAL} == {Cause.RETRY}
    assert {s for s, c in TRANSITIONS if c is Cause.RETRY} == TERMINAL


def test_open_and_terminal_are_all_there_is() -> None:
    assert {*OPEN, *TERMINAL} == set(Status)
    assert not OPEN & TERMINAL


def test_every_cause_is_of_use() -> None:
    assert {cause for _, cause in TRANSITIONS} == set(Cause)


def test_only_a_claim_begins_work_on_a_job() -> None:
    into_work = {(s, c) for (s, c), after in TRANSITIONS.items() if after is Status.PROCESSING and s is not after}
    assert into_work == {(Status.PENDING, Cause.CLAIM)}


def test_another_place_in_the_queue_changes_no_status() -> None:
    places = (Cause.FRONT, Cause.SOONER, Cause.LATER)
    assert all(after is status for (status, cause), after in TRANSITIONS.items() if cause in places)


@pytest.mark.parametrize("status", [Status.PENDING, Status.PROCESSING, Status.PAUSED])
def test_every_open_job_can_be_cancelled(status: Status) -> None:
    assert advance(status, Cause.CANCEL) is Status.CANCELLED
