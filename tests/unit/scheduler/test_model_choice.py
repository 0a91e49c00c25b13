"""The planner: which model is loaded, and when."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.unit.scheduler.planner_views import (
    IDLE,
    batches,
    work,
)
from whisper_service.core.domain import CALL_RANK
from whisper_service.scheduler import model_choice
from whisper_service.scheduler.planner import plan
from whisper_service.scheduler.views import (
    Decoding,
    GiveBatch,
    LoadModel,
    MediaActorView,
    SeatView,
    UnloadModel,
    View,
    WaitingJob,
)


def test_another_model_is_loaded_when_the_loaded_one_has_no_work() -> None:
    other = work("a", 1, model="large", batch_key="large")
    assert plan(View(jobs=(other,), seats=(IDLE,)), 0.0) == [LoadModel("large")]
    assert plan(View(jobs=(other,), seats=(SeatView(ready=True, model="base", slots=2, batches=1),)), 0.0) == []
    assert plan(View(jobs=(other,), seats=(SeatView(ready=True, loading=True, slots=2),)), 0.0) == []


def test_the_loaded_model_keeps_its_work_until_a_job_waited_too_long() -> None:
    mine = work("mine", 5, last_batch=3, waiting_since=100.0)
    other = work("other", 1, model="large", batch_key="large", waiting_since=100.0)
    assert isinstance(plan(View(jobs=(mine, other), seats=(IDLE,)), 101.0)[0], GiveBatch)
    assert plan(View(jobs=(mine, other), seats=(IDLE,)), 101.0 + model_choice.SWITCH_AFTER_S) == [LoadModel("large")]


def serve(jobs: list[tuple[str, int]], load_s: float, batch_s: float) -> tuple[int, float, float]:
    """Do all the work in one slot.

    Return the number of loaded models, the longest wait of a job for a batch, and the seconds that all of it took.
    """
    left = {f"job{n}": count for n, (_, count) in enumerate(jobs)}
    wanted = {f"job{n}": model for n, (model, _) in enumerate(jobs)}
    since, last_batches = dict.fromkeys(left, 0.0), dict.fromkeys(left, 0)
    speech, now, loads, longest, turn = SeatView(ready=True, slots=1, batch_size=4), 0.0, 0, 0.0, 0
    while any(left.values()):
        view = View(
            jobs=tuple(
                work(
                    job,
                    count,
                    model=wanted[job],
                    batch_key=wanted[job],
                    order=n,
                    given=100,
                    waiting_since=since[job],
                    last_batch=last_batches[job],
                )
                for n, (job, count) in enumerate(left.items())
                if count
            ),
            seats=(speech,),
        )
        (step,) = plan(view, now)
        if isinstance(step, LoadModel):
            loads, now = loads + 1, now + load_s
            assert loads <= 1000, "it only loads"
            speech = SeatView(ready=True, slots=1, batch_size=4, model=step.model, load_s=load_s, loaded_at=now)
            continue
        assert isinstance(step, GiveBatch)
        turn += 1
        for job in {job for job, _ in step.chunks}:
            longest = max(longest, now - since[job])
            since[job], last_batches[job] = now, turn
        for job, _ in step.chunks:
            left[job] -= 1
        now += batch_s
    return loads, longest, now


@settings(max_examples=60)
@given(
    jobs=st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 200)), min_size=1, max_size=8),
    load_s=st.sampled_from([0.0, 0.5, 5.0, 40.0]),
    batch_s=st.sampled_from([0.5, 3.0]),
)
def test_several_models_take_turns_without_thrashing_and_nobody_waits_for_ever(
    jobs: list[tuple[str, int]], load_s: float, batch_s: float
) -> None:
    loads, longest, took = serve(jobs, load_s, batch_s)
    models = len({model for model, _ in jobs})
    held_s = max(model_choice.KEEP_S, model_choice.KEEP_LOADS * load_s)
    assert loads <= len(jobs) + models + took / held_s
    assert loads * load_s <= (len(jobs) + models) * load_s + took / model_choice.KEEP_LOADS, (
        "loading is most of the work"
    )
    turn_s = max(model_choice.SWITCH_AFTER_S, model_choice.KEEP_LOADS * load_s) + load_s + 3 * batch_s
    assert longest <= models * turn_s + len(jobs) * batch_s


def test_a_model_has_to_be_worth_its_loading() -> None:
    mine = work("mine", 5, last_batch=3, waiting_since=100.0)
    other = work("other", 1, model="large", batch_key="large", waiting_since=0.0)
    fresh = SeatView(ready=True, model="base", load_s=60.0, loaded_at=90.0)
    assert isinstance(plan(View(jobs=(mine, other), seats=(fresh,)), 100.0)[0], GiveBatch)
    assert plan(View(jobs=(mine, other), seats=(fresh,)), 90.0 + model_choice.KEEP_LOADS * 60.0) == [LoadModel("large")]


def test_a_job_whose_model_is_on_its_way_is_neither_read_nor_worked_on() -> None:
    waits = work("a", 3, model="large", decoding=Decoding.WAITING, model_missing=True)
    view = View(jobs=(waits,), media=(MediaActorView("m", True),), seats=(SeatView(ready=True),))
    assert plan(view, 0.0) == []


def test_a_model_is_loaded_while_the_recording_is_read() -> None:
    reads = work("a", model="base", decoding=Decoding.RUNNING)
    assert plan(View(jobs=(reads,), seats=(SeatView(ready=True),)), 0.0) == [LoadModel("base")]
    assert plan(View(jobs=(reads,), seats=(SeatView(ready=True, batches=1),)), 0.0) == []
    assert plan(View(jobs=(reads,), seats=(SeatView(ready=True, model="large"),)), 0.0) == []


def test_an_idle_model_goes_after_its_time_and_never_before() -> None:
    idle = SeatView(ready=True, model="base", used_at=100.0, unload_after_s=60.0)
    assert plan(View(seats=(idle,)), 159.9) == []
    assert plan(View(seats=(idle,)), 160.0) == [UnloadModel()]
    busy = SeatView(ready=True, model="base", used_at=100.0, unload_after_s=60.0, express_batches=1)
    assert UnloadModel() not in plan(View(seats=(busy,)), 1e6)
    assert UnloadModel() not in plan(View(seats=(idle,), jobs=(work("a", decoding=Decoding.RUNNING),)), 1e6)
    assert UnloadModel() not in plan(View(seats=(idle,), queue=(WaitingJob("a", 1),)), 1e6)
    never = SeatView(ready=True, model="base", used_at=100.0)
    assert plan(View(seats=(never,)), 1e6) == []


def test_calls_of_another_model_let_a_job_have_a_batch_that_waited_too_long() -> None:
    call = work("call", 3, rank=CALL_RANK, model="large", batch_key="large", waiting_since=99.0)
    film = work("film", 40, given=8, waiting_since=0.0)
    loaded = SeatView(ready=True, model="large", load_s=2.0, loaded_at=50.0)
    assert plan(View(jobs=(call, film), seats=(loaded,)), 100.0) == [LoadModel("base")]
    fresh = replace(loaded, loaded_at=95.0)
    (step,) = plan(View(jobs=(call, film), seats=(fresh,)), 100.0)
    assert isinstance(step, GiveBatch), "a model has to be worth its loading"
    (step,) = plan(View(jobs=(call, film), seats=(replace(loaded, model="base", loaded_at=102.0),)), 102.0)
    assert isinstance(step, GiveBatch)
    assert step.chunks[0][0] == "film", "its model was loaded for this batch"
    served = replace(film, waiting_since=102.0)
    assert plan(View(jobs=(call, served), seats=(replace(loaded, model="base", loaded_at=102.0),)), 103.0) == [
        LoadModel("large")
    ]


def test_a_job_whose_model_is_not_decided_waits_and_others_do_not() -> None:
    undecided, other = work("a", 3, model=None), work("b", 1, order=1)
    assert batches(View(jobs=(undecided, other), seats=(IDLE,))) == [(("b", 0),)]
    assert plan(View(jobs=(undecided,), seats=(IDLE,)), 0.0) == []
