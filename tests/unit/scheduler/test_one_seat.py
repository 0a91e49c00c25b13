"""The planner with one seat: step for step what it was before there could be several."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from testkit.one_seat_planner import plan_speech
from testkit.strategies import shares
from tests.unit.scheduler.random_views import NOW, kinds, random_view
from whisper_service.scheduler.planner import plan
from whisper_service.scheduler.views import GiveBatch, LoadModel, UnloadModel

seeds = st.integers(0, 2**63)


def test_the_views_that_are_compared_have_plans_of_every_kind() -> None:
    found = shares(seeds, lambda seed: kinds(plan_speech(random_view(seed), NOW)), examples=1000)
    least = {"GiveBatch": 0.1, "several": 0.05, "urgent": 0.03, "LoadModel": 0.05, "express": 0.003, "suspect": 0.005}
    for kind, share in {**least, "UnloadModel": 0.002}.items():
        assert found[kind] > share, found


@settings(max_examples=3000, deadline=None)
@given(seeds)
def test_with_one_seat_the_plan_is_what_it_always_was(seed: int) -> None:
    view = random_view(seed)
    steps = [step for step in plan(view, NOW) if isinstance(step, LoadModel | GiveBatch | UnloadModel)]
    assert steps == plan_speech(view, NOW)
