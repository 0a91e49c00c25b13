"""Rules that hold for the plan of every view."""

from __future__ import annotations

from hypothesis import given

from testkit.strategies import shares
from tests.unit.scheduler.planner_views import (
    views,
)
from whisper_service.scheduler.planner import plan
from whisper_service.scheduler.views import (
    Decoding,
    GiveBatch,
    LoadModel,
    StartDecode,
    View,
)


def test_the_views_that_are_tried_have_plans_of_every_kind() -> None:
    """Else the properties of plans say nothing."""
    found = shares(views, lambda view: (type(step).__name__ for step in plan(view, 0.0)))
    assert found["GiveBatch"] > 0.1, found
    for kind in ("ClaimJob", "StartDecode", "FinishJob", "LoadModel"):
        assert found[kind] > 0.005, found


@given(views)
def test_every_plan_can_be_carried_out(view: View) -> None:
    steps = plan(view, 0.0)
    by_name = {w.job_id: w for w in view.jobs}
    given_chunks = [chunk for step in steps if isinstance(step, GiveBatch) for chunk in step.chunks]
    assert len(given_chunks) == len(set(given_chunks))
    for step in steps:
        if isinstance(step, GiveBatch):
            assert 1 <= len(step.chunks) <= view.seats[0].batch_size
            assert len({by_name[job].batch_key for job, _ in step.chunks}) == 1
            assert {by_name[job].model for job, _ in step.chunks} == {view.seats[0].model}
            for job, index in step.chunks:
                assert index in {chunk.index for chunk in by_name[job].ready}
        if isinstance(step, StartDecode):
            assert by_name[step.job_id].decoding is Decoding.WAITING
    ordinary = [step for step in steps if isinstance(step, GiveBatch) and not step.express]
    assert len(ordinary) <= max(0, view.seats[0].slots - view.seats[0].batches)
    express = [step for step in steps if isinstance(step, GiveBatch) and step.express]
    assert len(express) <= max(0, view.seats[0].express_slots - view.seats[0].express_batches)
    assert all(len(step.chunks) == 1 for step in express)
    in_flight = view.seats[0].batches + view.seats[0].express_batches
    assert not (in_flight and any(isinstance(s, LoadModel) or (isinstance(s, GiveBatch) and s.suspect) for s in steps))
    decodes = [step for step in steps if isinstance(step, StartDecode)]
    assert len({d.media_actor for d in decodes}) == len(decodes) <= sum(w.idle for w in view.media)
    if view.seats[0].suspect or view.seats[0].loading or not view.seats[0].ready:
        assert not given_chunks


@given(views)
def test_ready_work_never_waits_for_an_idle_actor(view: View) -> None:
    speech = view.seats[0]
    idle = not speech.batches and not speech.express_batches
    if speech.ready and not speech.loading and not speech.suspect and idle:
        able = any(
            w.ready and w.model and not w.model_missing and (w.language_known or not w.in_flight) for w in view.jobs
        )
        steps = plan(view, 0.0)
        if able:
            assert any(isinstance(s, GiveBatch | LoadModel) for s in steps)
        else:
            assert not any(isinstance(s, GiveBatch) for s in steps)
            assert speech.model is None or not any(isinstance(s, LoadModel) for s in steps)


@given(views)
def test_chunks_of_a_job_with_unknown_language_are_never_in_work_together(view: View) -> None:
    for w in view.jobs:
        if not w.language_known:
            batch = [
                chunk
                for step in plan(view, 0.0)
                if isinstance(step, GiveBatch)
                for chunk in step.chunks
                if chunk[0] == w.job_id
            ]
            assert len(batch) + w.in_flight <= max(1, w.in_flight)
