"""Plans for many seats and jobs are those of the plain planner, which counts everything anew for each batch."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from testkit.strategies import shares
from tests.unit.scheduler.plain_planner import plan_batches
from tests.unit.scheduler.random_views import NOW, kinds, random_view
from whisper_service.scheduler.planner import plan
from whisper_service.scheduler.views import GiveBatch, JobView, LoadModel, ReadyChunk, View

seeds = st.integers(0, 2**63)


def drawn(seed: int) -> View:
    """Return a view with one to seven seats. In half of them all seats have one model, and more jobs wait for it."""
    random = Random(seed)
    view = random_view(seed, random.randint(1, 7))
    if random.random() < 0.5:
        return view
    jobs = tuple(
        replace(
            job,
            job_id=f"{job.job_id}-{copy}",
            model="base",
            order=random.randint(0, 99),
            batch_key=random.choice(["k1", "k1", "k2"]),
        )
        for copy in range(random.randint(1, 5))
        for job in view.jobs
    )
    seats = tuple(
        replace(
            seat,
            ready=True,
            loading=False,
            model="base",
            suspect=random.random() < 0.03,
            batches=random.randint(0, 3),
            slots=random.randint(1, 6),
        )
        for seat in view.seats
    )
    return replace(view, jobs=jobs, seats=seats)


def test_the_views_that_are_compared_have_plans_of_every_kind() -> None:
    found = shares(seeds, lambda seed: kinds(plan_batches(drawn(seed), NOW)), examples=600)
    least = {"GiveBatch": 0.2, "several": 0.15, "urgent": 0.05, "LoadModel": 0.05, "suspect": 0.02, "call": 0.05}
    for kind, share in {**least, "express": 0.0, "instead_of": 0.0}.items():
        assert found[kind] > share, found


@settings(max_examples=2000, deadline=None)
@given(seeds)
def test_counting_only_what_a_batch_changes_changes_no_plan(seed: int) -> None:
    view = drawn(seed)
    steps = [step for step in plan(view, NOW) if isinstance(step, LoadModel | GiveBatch)]
    assert steps == list(plan_batches(view, NOW))


def test_a_job_knows_whether_actors_died_over_its_chunks() -> None:
    fine, dead, killed = ReadyChunk(0), ReadyChunk(1, attempts=1), ReadyChunk(2, kills=1)
    assert not JobView("a", "base", "k", ready=(fine,)).troubled
    assert JobView("a", "base", "k", ready=(fine, dead)).troubled
    troubled = JobView("a", "base", "k", ready=(fine, killed))
    assert troubled.troubled
    assert not replace(troubled, ready=(fine,)).troubled
