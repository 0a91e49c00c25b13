"""When drafts of live sessions are made, and where."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from tests.unit.scheduler.planner_views import work
from whisper_service.core.domain import CALL_RANK
from whisper_service.scheduler.draft_plan import ALONE_SHARE, next_draft_at
from whisper_service.scheduler.planner import plan
from whisper_service.scheduler.views import (
    Decoding,
    DraftsView,
    DraftView,
    GiveBatch,
    GiveDraft,
    JobView,
    LoadModel,
    ReadyChunk,
    SeatView,
    View,
)

SEAT = SeatView(ready=True, model="base", slots=2, express_slots=1, batch_size=4)


def session(job_id: str = "a", chunks: int = 0, **fields: Any) -> JobView:
    live = work(job_id, chunks, decoding=Decoding.RUNNING, **fields)
    return replace(live, live=True, rank=CALL_RANK)


def wanted(*job_ids: str, **fields: Any) -> DraftsView:
    """Sessions with sound that was not drafted, the one first that waits longest."""
    views = tuple(DraftView(job_id, "base", float(number)) for number, job_id in enumerate(job_ids))
    return DraftsView(views, began_at=0.0, **fields)


def drafts(view: View, now: float = 100.0) -> list[GiveDraft]:
    return [step for step in plan(view, now) if isinstance(step, GiveDraft)]


def view_of(*jobs: JobView, seat: SeatView = SEAT, sessions: DraftsView | None = None) -> View:
    return View(jobs=jobs or (session(),), seats=(seat,), drafts=sessions or wanted("a"))


def test_all_sessions_are_drafted_together_the_one_that_waits_longest_first() -> None:
    jobs = [session(name) for name in "abc"]
    assert drafts(view_of(*jobs, sessions=wanted("c", "a", "b"))) == [GiveDraft(("c", "a", "b"), "speech")]
    many = wanted(*"fedcba")
    assert drafts(view_of(*map(session, "abcdef"), sessions=many)) == [GiveDraft(("f", "e", "d", "c"), "speech")]


def test_one_batch_is_under_way_at_a_time_and_none_where_nobody_reads() -> None:
    assert drafts(view_of(sessions=wanted("a", under_way=True))) == []
    assert drafts(view_of(sessions=DraftsView())) == []


def test_the_pace_is_that_of_the_setting_or_as_slow_as_the_share_demands() -> None:
    quick = view_of(sessions=wanted("a", took_s=0.3, cadence_s=1.0))
    assert (drafts(quick, 0.99), len(drafts(quick, 1.0))) == ([], 1)
    slow = view_of(sessions=wanted("a", took_s=1.8, cadence_s=1.0, share=0.5))
    assert (drafts(slow, 1.99), len(drafts(slow, 1.8 / ALONE_SHARE))) == ([], 1)
    beside = replace(slow, jobs=(session(), work("long", 3, given=9)))
    assert (drafts(beside, 3.59), len(drafts(beside, 3.6))) == ([], 1)


def test_at_a_pause_a_draft_comes_at_once_within_the_share() -> None:
    sessions = DraftsView((DraftView("a", "base", settles=True), DraftView("b", "base")), began_at=0.0, took_s=0.45)
    view = view_of(session("a"), session("b"), sessions=sessions)
    assert drafts(view, 0.49) == []
    assert drafts(view, 0.5) == [GiveDraft(("a",), "speech")]
    assert next_draft_at(sessions, 0.1) == pytest.approx(0.5)
    assert next_draft_at(sessions, 0.95) == 1.0
    assert next_draft_at(sessions, 1.0) is None


def test_chunks_of_sessions_and_calls_come_before_drafts() -> None:
    busy = replace(SEAT, batches=2, urgent=2)
    waiting = view_of(session(chunks=1), seat=busy)
    assert drafts(waiting) == []
    free = plan(view_of(session(chunks=1)), 100.0)
    assert [type(step) for step in free] == [GiveBatch, GiveDraft]  # the chunk has a slot, and one is left
    call = view_of(session(), work("call", 2, rank=CALL_RANK), seat=replace(SEAT, batches=2))
    assert [step.chunks for step in plan(call, 100.0) if isinstance(step, GiveBatch)] == [(("call", 0),)]
    assert drafts(call) == []  # its first chunk came beside the slots


def test_drafts_come_beside_full_slots_of_which_one_pauses_unless_all_are_urgent() -> None:
    assert drafts(view_of(seat=replace(SEAT, batches=1)))[0].express is False
    assert drafts(view_of(seat=replace(SEAT, batches=2)))[0].express is True
    assert drafts(view_of(seat=replace(SEAT, batches=2, urgent=2))) == []
    assert drafts(view_of(seat=replace(SEAT, batches=2, express_batches=1))) == []
    assert drafts(view_of(seat=replace(SEAT, batches=2, express_slots=0))) == []


def test_drafts_go_to_a_seat_that_has_the_model() -> None:
    other = replace(SEAT, name="speech-2", model="small")
    small = DraftsView((DraftView("a", "small"),))
    view = View(jobs=(session(model="small", batch_key="small"),), seats=(SEAT, other), drafts=small)
    assert drafts(view) == [GiveDraft(("a",), "speech-2")]
    for seat in (replace(other, loading=True), replace(other, ready=False), replace(other, suspect=True)):
        assert drafts(replace(view, seats=(SEAT, seat))) == []


def test_a_session_whose_draft_may_have_killed_an_actor_is_drafted_alone() -> None:
    sessions = DraftsView((DraftView("bad", "base", 0.0, suspect=True), DraftView("a", "base", 1.0)))
    assert drafts(view_of(session("a"), session("bad"), sessions=sessions)) == [GiveDraft(("bad",), "speech")]
    later = DraftsView((DraftView("bad", "base", 5.0, suspect=True), DraftView("a", "base", 1.0)))
    assert drafts(view_of(session("a"), session("bad"), sessions=later)) == [GiveDraft(("a",), "speech")]


def test_a_chunk_that_may_kill_its_actor_has_it_alone() -> None:
    deadly = replace(work("long"), ready=(ReadyChunk(0, attempts=2),))
    steps = plan(view_of(session(), deadly), 100.0)
    assert [type(step) for step in steps] == [GiveBatch]


def test_the_model_of_a_session_is_loaded_before_its_first_chunk_so_that_drafts_come_early() -> None:
    assert plan(view_of(seat=SeatView(ready=True, slots=2)), 100.0) == [LoadModel("base", "speech")]
