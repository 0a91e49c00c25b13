"""The planner: calls, short recordings, and the share of the others."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.unit.scheduler.planner_views import (
    BUSY,
    FILM,
    IDLE,
    batches,
    busy,
    clip,
    work,
)
from whisper_service.core.domain import CALL_RANK
from whisper_service.scheduler import admission, lanes
from whisper_service.scheduler import batches as batching
from whisper_service.scheduler.planner import plan
from whisper_service.scheduler.views import (
    GiveBatch,
    JobView,
    ReadyChunk,
    SeatView,
    View,
)


def test_a_call_does_not_wait_for_the_end_of_a_batch() -> None:
    film = work("film", 40, given=100, last_batch=9)
    call = work("call", 3, rank=CALL_RANK, order=1)
    (step,) = plan(View(jobs=(film, call), seats=(BUSY,)), 0.0)
    assert step == GiveBatch((("call", 0),), urgent=True, call=True, express=True)
    occupied = SeatView(ready=True, model="base", slots=2, batches=2, express_slots=1, express_batches=1)
    assert plan(View(jobs=(film, call), seats=(occupied,)), 0.0) == []
    assert plan(View(jobs=(film,), seats=(BUSY,)), 0.0) == [], "no client waits for the film"


def test_a_call_waits_for_the_end_of_a_batch_where_every_slot_has_one_of_calls() -> None:
    call = work("call", 3, rank=CALL_RANK, order=1)
    for urgent, beside in ((0, 1), (1, 1), (2, 0)):
        speech = SeatView(ready=True, model="base", slots=2, batches=2, urgent=urgent, express_slots=1)
        assert len(plan(View(jobs=(call,), seats=(speech,)), 0.0)) == beside
    (step,) = plan(
        View(jobs=(call,), seats=(SeatView(ready=True, model="base", slots=2, batches=1, urgent=1, express_slots=1),)),
        0.0,
    )
    assert isinstance(step, GiveBatch)
    assert (step.urgent, step.express) == (True, False)


def test_a_chunk_that_was_with_a_dying_actor_goes_beside_nothing() -> None:
    failed = work("call", rank=CALL_RANK, ready=(ReadyChunk(0, attempts=1),))
    assert plan(View(jobs=(failed,), seats=(BUSY,)), 0.0) == []


def test_a_call_has_no_company_but_other_calls() -> None:
    film = work("film", 40, given=100, last_batch=9)
    calls = [work(f"call{n}", 2, rank=CALL_RANK, order=n) for n in range(2)]
    (batch,) = batches(View(jobs=(film, *calls), seats=(IDLE,)))
    assert batch == (("call0", 0), ("call1", 0))


def test_a_call_has_priority_for_its_first_chunks_only() -> None:
    film = work("film", 40, given=100, last_batch=3)
    long = work("long", 40, rank=CALL_RANK, given=lanes.CALL_CHUNKS, last_batch=5)
    (batch,) = batches(View(jobs=(film, long), seats=(IDLE,)))
    assert [job for job, _ in batch] == ["film", "long"] * 4
    assert plan(View(jobs=(film, long), seats=(BUSY,)), 0.0) == []


def test_what_a_user_put_at_the_front_goes_before_calls() -> None:
    first, call = work("first", 1, rank=-1.7e9, given=100), work("call", 1, rank=CALL_RANK)
    (batch,) = batches(View(jobs=(call, first), seats=(IDLE,)))
    assert batch[0] == ("first", 0)


def test_a_call_comes_beside_a_long_recording_that_was_put_at_the_front() -> None:
    film = work("film", 40, rank=-1.7e9, given=100)
    call = work("call", 1, rank=CALL_RANK, order=1)
    (step,) = plan(View(jobs=(film, call), seats=(BUSY,)), 0.0)
    assert step == GiveBatch((("call", 0),), urgent=True, call=True, express=True)
    assert plan(View(jobs=(film,), seats=(BUSY,)), 0.0) == [], "the film itself has the slots"
    (batch,) = batches(View(jobs=(film, call), seats=(IDLE,)))
    assert {job for job, _ in batch} == {"film"}, "and is no company for it"


def test_a_short_recording_does_not_wait_for_the_end_of_a_batch() -> None:
    beside = [GiveBatch((("clip", 0),), urgent=True, express=True)]
    for slots in range(1, 5):
        assert plan(View(jobs=(FILM, clip()), seats=(busy(slots),)), 0.0) == beside
    assert plan(View(jobs=(FILM, clip(duration_s=59.9)), seats=(BUSY,)), 0.0) == beside
    for length in (None, lanes.SHORT_S, 600.0):
        assert plan(View(jobs=(FILM, clip(duration_s=length)), seats=(BUSY,)), 0.0) == [], "not known to be short"
    many = clip(chunks=9, given=lanes.CALL_CHUNKS)
    assert plan(View(jobs=(FILM, many), seats=(BUSY,)), 0.0) == [], "its file does not tell the truth"


def test_a_short_recording_gets_the_next_slot_and_no_company_but_its_like() -> None:
    call = work("call", 1, rank=CALL_RANK)
    assert batches(View(jobs=(FILM, clip("a"), clip("b")), seats=(busy(batches=1),))) == [(("a", 0), ("b", 0))]
    assert batches(View(jobs=(clip(), call), seats=(IDLE,))) == [(("call", 0),)]


def test_a_slot_that_is_filled_does_not_keep_a_short_recording_waiting() -> None:
    one = SeatView(ready=True, model="base", slots=1, express_slots=1)
    film, short = GiveBatch(tuple(("film", n) for n in range(8))), GiveBatch((("clip", 0),), urgent=True, express=True)
    waited = work("film", 40, given=100, waiting_since=-60.0)
    assert plan(View(jobs=(waited, clip()), seats=(one,)), 0.0) == [film, short]


def test_calls_go_before_short_recordings_and_what_users_put_at_the_front_before_both() -> None:
    call = work("call", 1, rank=CALL_RANK, order=2)
    first = work("first", 1, rank=-1.7e9, given=100)
    (step,) = plan(View(jobs=(FILM, clip(), call), seats=(BUSY,)), 0.0)
    assert step == GiveBatch((("call", 0),), urgent=True, call=True, express=True)
    (batch,) = batches(View(jobs=(clip(), call, first), seats=(IDLE,)))
    assert batch == (("first", 0),)
    front = clip("front", rank=-1.7e9)
    for urgent in (0, 1):
        (step,) = plan(View(jobs=(FILM, clip(), call, front), seats=(busy(urgent=urgent),)), 0.0)
        assert step == GiveBatch((("front", 0),), urgent=True, express=True), "a short one at the front has the lane"


def test_short_recordings_have_one_batch_of_two_slots_while_others_wait() -> None:
    works = clip("works", in_flight=1, ready=())
    (step,) = plan(View(jobs=(FILM, works, clip()), seats=(busy(batches=1, urgent=1),)), 0.0)
    assert isinstance(step, GiveBatch)
    assert {job for job, _ in step.chunks} == {"film"}
    assert plan(View(jobs=(FILM, works, clip()), seats=(busy(urgent=1),)), 0.0) == [], "nothing beside the slots"
    assert batches(View(jobs=(works, clip()), seats=(busy(batches=1, urgent=1),))) == [(("clip", 0),)], "nobody waits"
    call = work("call", 1, rank=CALL_RANK)
    (step,) = plan(View(jobs=(FILM, works, call), seats=(busy(urgent=1),)), 0.0)
    assert step == GiveBatch((("call", 0),), urgent=True, call=True, express=True), "a call needs no share"


def test_a_short_recording_takes_turns_beside_calls_that_use_up_its_share() -> None:
    def next_job(film_since: float) -> str:
        film = work("film", 40, given=100, waiting_since=film_since)
        (batch,) = batches(View(jobs=(film, clip(waiting_since=100.0)), seats=(busy(batches=1, urgent=1),)))
        return batch[0][0]

    assert next_job(100.0 - batching.HEAD_START_S + 1) == "clip"
    assert next_job(100.0 - batching.HEAD_START_S - 1) == "film"


def test_a_second_chunk_of_a_short_recording_is_not_overtaken_by_all_that_come_later() -> None:
    older = clip("older", 1, given=1, last_batch=7, waiting_since=10.0)
    newer = tuple(clip(f"newer{n}", waiting_since=20.0, order=n) for n in range(9))
    (batch,) = batches(View(jobs=(*newer, older), seats=(IDLE,)))
    assert batch[0] == ("older", 0)


def test_a_short_recording_of_another_model_does_not_replace_the_loaded_one() -> None:
    other = clip(model="large", batch_key="large")
    (step,) = plan(View(jobs=(FILM, other), seats=(IDLE,)), 0.0)
    assert isinstance(step, GiveBatch)


class Flood:
    """Keeps so many clips and calls waiting beside a film. Its chunks take a second, those of the others `short_s`."""

    def __init__(self, slots: int, express: int, short_s: float, chunks: int, **waiting: int) -> None:
        self.slots, self.express, self.short_s, self.chunks, self.waiting = slots, express, short_s, chunks, waiting
        self.now, self.turn, self.born = 0.0, 0, 0
        self.since, self.last, self.given = {"film": 0.0}, {"film": 0}, {"film": 8}
        self.left: dict[str, list[int]] = {}
        self.flying: list[tuple[float, GiveBatch]] = []
        self.call_lead = self.urgent_chunks = 0
        self.work_s = dict.fromkeys(("film", *waiting), 0.0)  # seconds of work on each kind
        self.longest_s = dict.fromkeys(("film", *waiting), 0.0)  # of a wait for a batch

    def run(self, seconds: float) -> None:
        """Give batches and let them end, until the time is over."""
        while self.now < seconds:
            self._come()
            for step in plan(self._view(), self.now):
                if isinstance(step, GiveBatch):
                    self._give(step)
            self.flying.sort(key=lambda one: one[0])
            self.now, ended = self.flying.pop(0)
            for job, index in ended.chunks:
                if job != "film":
                    self.left[job].remove(index)
                    if not self.left[job]:
                        del self.left[job]

    def _come(self) -> None:
        for kind, number in self.waiting.items():
            while sum(job.startswith(kind) for job in self.left) < number:
                name, self.born = f"{kind}{self.born}", self.born + 1
                self.left[name] = list(range(self.chunks))
                self.since[name], self.last[name], self.given[name] = self.now, 0, 0

    def _view(self) -> View:
        flying = [chunk for _, batch in self.flying for chunk in batch.chunks]
        jobs = [
            work(
                name,
                ready=tuple(ReadyChunk(n) for n in left if (name, n) not in flying),
                order=int("".join(filter(str.isdigit, name)) or 0),
                given=self.given[name],
                in_flight=sum(job == name for job, _ in flying),
                last_batch=self.last[name],
                waiting_since=self.since[name],
                duration_s=9e4 if name == "film" else 5.0,
                rank=CALL_RANK if name.startswith("call") else 0.0,
            )
            for name, left in {"film": range(64), **self.left}.items()
        ]
        beside = sum(batch.express for _, batch in self.flying)
        speech = SeatView(
            ready=True,
            model="base",
            slots=self.slots,
            batches=len(self.flying) - beside,
            urgent=sum(batch.urgent and not batch.express for _, batch in self.flying),
            call_lead=self.call_lead,
            urgent_chunks=self.urgent_chunks,
            express_slots=self.express,
            express_batches=beside,
        )
        return View(jobs=tuple(jobs), seats=(speech,))

    def _give(self, step: GiveBatch) -> None:
        self.turn += 1
        self.call_lead = batching.lead_after(self.call_lead, step, 8)
        self.urgent_chunks = self.urgent_chunks + len(step.chunks) if step.urgent else 0
        took_s = sum(1.0 if job == "film" else self.short_s for job, _ in step.chunks)
        if step.express:  # a slot pauses for what comes beside it
            paused = next((n for n, (_, batch) in enumerate(self.flying) if not batch.urgent), None)
            if paused is not None:
                self.flying[paused] = (self.flying[paused][0] + took_s, self.flying[paused][1])
        self.flying.append((self.now + took_s, step))
        for job, _ in step.chunks:
            kind = job.rstrip("0123456789")
            self.longest_s[kind] = max(self.longest_s[kind], self.now - self.since[job])
            self.work_s[kind] += 1.0 if job == "film" else self.short_s
            self.given[job] += 1
        for job in {job for job, _ in step.chunks}:
            self.since[job], self.last[job] = self.now, self.turn


@settings(max_examples=50, deadline=None)
@given(
    slots=st.integers(1, 5),
    express=st.integers(0, 1),
    clips=st.sampled_from([1, 3, 20, admission.MAX_SHORT]),
    chunks=st.integers(1, 3),
    clip_s=st.sampled_from([0.2, 0.5, 1.0]),
)
def test_a_flood_of_short_recordings_leaves_a_long_one_its_share(
    slots: int, express: int, clips: int, chunks: int, clip_s: float
) -> None:
    flood = Flood(slots, express, clip_s, chunks, clip=clips)
    flood.run(400.0)
    assert flood.work_s["film"] >= (0.45 if slots > 1 else 0.05) * slots * 400.0
    assert flood.work_s["clip"] >= 400.0 * 0.1, "and the clips have theirs"


@settings(max_examples=50, deadline=None)
@given(
    slots=st.integers(1, 5),
    express=st.integers(0, 1),
    calls=st.sampled_from([1, 3, 20]),
    clips=st.sampled_from([0, 1, 9]),
    chunks=st.integers(1, 3),
    short_s=st.sampled_from([0.2, 0.5, 1.0]),
)
def test_a_stream_of_calls_leaves_the_others_a_share_and_none_of_them_waits_for_ever(
    slots: int, express: int, calls: int, clips: int, chunks: int, short_s: float
) -> None:
    flood = Flood(slots, express, short_s, chunks, call=calls, clip=clips)
    flood.run(300.0)
    total = sum(flood.work_s.values())
    assert flood.work_s["film"] + flood.work_s["clip"] >= 0.15 * total
    assert flood.work_s["film"] >= (0.03 if clips else 0.15) * total, "clips take turns with it"
    assert flood.longest_s["film"] <= 150.0
    assert flood.work_s["call"] >= 0.15 * total, "nor do they starve the calls"
    if calls == 1:
        assert flood.longest_s["call"] <= 20.0, "about one batch, while one of the others pauses"


def test_calls_have_some_batches_and_then_the_others_have_one() -> None:
    call = work("call", 20, rank=CALL_RANK)
    limit = batching.CALL_SHARE * 8

    def next_job(call_lead: int, *others: JobView) -> str:
        speech = replace(busy(batches=1, urgent=1), call_lead=call_lead)
        return batches(View(jobs=(call, *others), seats=(speech,)))[0][0][0]

    assert [next_job(count, FILM) for count in (0, limit - 1, limit)] == ["call", "call", "film"]
    assert next_job(limit, clip()) == "clip", "a short recording is one of the others"
    assert next_job(limit) == "call", "nobody else waits"
    full = replace(BUSY, call_lead=limit)
    assert plan(View(jobs=(call, FILM), seats=(full,)), 0.0) == [], "the slots that pause for calls have to end first"
    assert plan(View(jobs=(call,), seats=(full,)), 0.0) != []


def test_beside_the_only_slot_come_as_many_chunks_of_clips_as_a_batch_has() -> None:
    def beside(urgent_chunks: int, *jobs: JobView) -> int:
        return len(plan(View(jobs=jobs, seats=(replace(busy(1), urgent_chunks=urgent_chunks),)), 0.0))

    at_work = replace(FILM, in_flight=8)
    assert [beside(count, at_work, clip()) for count in (0, 7, 8)] == [1, 1, 0]
    assert beside(8, clip()) == 1, "nobody else is at work"
    two = replace(busy(2), urgent_chunks=8)
    assert len(plan(View(jobs=(at_work, clip()), seats=(two,)), 0.0)) == 1, "one slot goes on"
