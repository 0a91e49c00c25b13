"""What the speakers actor does next, and that no text waits for it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from testkit.strategies import shares
from whisper_service.core.domain import CALL_RANK
from whisper_service.scheduler import admission
from whisper_service.scheduler.planner import plan
from whisper_service.scheduler.views import (
    AssignSpeakers,
    ClaimJob,
    Decoding,
    FinishJob,
    GiveBatch,
    HearChunk,
    JobView,
    ReadyChunk,
    RestSpeakers,
    SeatView,
    SpeakersView,
    Step,
    View,
    WaitingJob,
)

FREE = SpeakersView(ready=True, rest_at=100.0)
SPEECH = SeatView(ready=True, model="base")


def work(name: str, **fields: object) -> JobView:
    return JobView(**({"job_id": name, "model": "base", "batch_key": "base", "unassigned": True} | fields))  # type: ignore[arg-type]


def steps(*jobs: JobView, speakers: SpeakersView = FREE, now: float = 0.0) -> list[Step]:
    return plan(View(jobs=jobs, seats=(SPEECH,), speakers=speakers), now)


def test_a_job_is_heard_then_named_then_finished() -> None:
    assert steps(work("a", unheard=3)) == [HearChunk("a", 3)]
    assert steps(work("a")) == [AssignSpeakers("a")]
    assert steps(work("a", unassigned=False)) == [FinishJob("a")]


def test_a_job_that_is_still_read_or_recognised_is_heard_and_not_named() -> None:
    more = ReadyChunk(9)
    assert HearChunk("a", 0) in steps(work("a", unheard=0, decoding=Decoding.RUNNING))
    assert HearChunk("a", 0) in steps(work("a", unheard=0, ready=(more,)))
    for job in (work("a", decoding=Decoding.RUNNING), work("a", ready=(more,)), work("a", in_flight=1)):
        assert not {type(step) for step in steps(job)} & {HearChunk, AssignSpeakers, FinishJob}


def test_the_actor_does_one_thing_at_a_time() -> None:
    assert steps(work("a", unheard=0), work("b"), speakers=replace(FREE, busy=True)) == []


def test_an_actor_that_died_too_often_keeps_no_job_from_its_end() -> None:
    broken = replace(FREE, ready=False, broken=True)
    assert steps(work("a", unheard=0), work("b"), speakers=broken) == [FinishJob("a"), FinishJob("b")]


def test_while_the_networks_come_nothing_is_heard_but_jobs_are_named() -> None:
    fetching = replace(FREE, fetching=True)
    assert steps(work("a", unheard=0), speakers=fetching) == []
    assert steps(work("a", unheard=0), work("b"), speakers=fetching) == [AssignSpeakers("b")]


def test_a_client_that_waits_for_a_count_comes_first() -> None:
    asked = replace(FREE, recounts=("old", "older"))
    assert steps(work("a", unheard=0), work("b"), speakers=asked) == [AssignSpeakers("old")]


def test_jobs_take_turns_and_calls_and_the_front_go_first() -> None:
    film, talk = work("film", unheard=40, heard_last=9), work("talk", unheard=2, heard_last=7)
    call, front = work("call", unheard=0, rank=CALL_RANK, heard_last=10), work("front", unheard=0, rank=-5.0)
    assert steps(film, talk) == [HearChunk("talk", 2)]
    assert steps(film, talk, call) == [HearChunk("call", 0)]
    assert steps(film, talk, call, front) == [HearChunk("front", 0)]


def test_ten_jobs_are_heard_in_turns() -> None:
    jobs = {f"{n}": work(f"{n}", unheard=0, order=n) for n in range(10)}
    heard = []
    for number in range(1, 31):
        (step,) = steps(*jobs.values())
        assert isinstance(step, HearChunk)
        heard.append(step.job_id)
        jobs[step.job_id] = replace(jobs[step.job_id], unheard=step.index + 1, heard_last=number)
    assert heard == [f"{n % 10}" for n in range(30)]


def test_an_idle_actor_rests_after_a_while() -> None:
    assert steps(speakers=FREE, now=99.0) == []
    assert steps(speakers=FREE, now=100.0) == [RestSpeakers()]
    assert steps(speakers=replace(FREE, ready=False), now=100.0) == []
    assert steps(work("a", decoding=Decoding.RUNNING), speakers=FREE, now=100.0) == []


def test_jobs_that_wait_for_speakers_alone_keep_no_other_from_its_place() -> None:
    """Their text is complete. Only so many of them are left out of the count: their spools fill the disk."""
    long = 2 * admission.LONG_S
    queue = tuple(WaitingJob(f"new{n}", 1, long) for n in range(10))

    def claims(count: int) -> int:
        jobs = tuple(work(f"{n}", unheard=0, duration_s=long) for n in range(count))
        view = View(jobs=jobs, queue=queue, seats=(SPEECH,), speakers=replace(FREE, busy=True))
        return sum(isinstance(step, ClaimJob) for step in plan(view, 0.0))

    assert claims(admission.MAX_LONG) == admission.MAX_LONG
    assert claims(admission.MAX_WITHOUT_MODEL + admission.MAX_LONG) == 0


JOBS = st.lists(
    st.builds(
        JobView,
        job_id=st.uuids().map(str),
        model=st.just("base"),
        batch_key=st.just("base"),
        decoding=st.sampled_from(Decoding),
        ready=st.lists(st.builds(ReadyChunk, st.integers(0, 9)), max_size=2, unique_by=lambda c: c.index).map(tuple),
        unheard=st.none() | st.integers(0, 9),
        unassigned=st.booleans(),
        heard_last=st.integers(0, 5),
    ),
    max_size=6,
    unique_by=lambda job: job.job_id,
)
ACTORS = st.builds(SpeakersView, ready=st.booleans(), busy=st.booleans(), broken=st.booleans(), fetching=st.booleans())
VIEWS = st.builds(lambda jobs, actor: View(jobs=tuple(jobs), seats=(SPEECH,), speakers=actor), JOBS, ACTORS)
OF_SPEAKERS = (HearChunk, AssignSpeakers, RestSpeakers, FinishJob)


def of_text(view: View) -> list[Step]:
    return [step for step in plan(view, 0.0) if not isinstance(step, OF_SPEAKERS)]


@given(VIEWS)
def test_text_is_planned_as_if_there_were_no_speakers(view: View) -> None:
    """Whatever the speakers actor does: the same chunks are given, and the same recordings are read."""
    jobs = tuple(replace(job, unheard=None, unassigned=False) for job in view.jobs)
    assert of_text(view) == of_text(replace(view, jobs=jobs))


@given(VIEWS)
def test_at_most_one_step_is_for_the_actor_and_none_while_it_works(view: View) -> None:
    steps = [step for step in plan(view, 0.0) if isinstance(step, HearChunk | AssignSpeakers)]
    assert len(steps) <= (0 if view.speakers.busy or view.speakers.broken else 1)


def test_the_drawn_views_have_text_and_speakers() -> None:
    def labels(view: View) -> list[str]:
        steps = plan(view, 0.0)
        return [
            name
            for name, kind in (("text", GiveBatch), ("hear", HearChunk), ("name", AssignSpeakers))
            if any(isinstance(step, kind) for step in steps)
        ]

    found = shares(VIEWS, labels)
    assert min(found["text"], found["hear"], found["name"]) > 0.02, found
