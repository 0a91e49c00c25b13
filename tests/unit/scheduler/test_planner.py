"""The planner: fairness, batches, claims, and rules that hold for every view."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from testkit.strategies import shares
from whisper_service.core.domain import CALL_RANK
from whisper_service.scheduler import admission, lanes, planner
from whisper_service.scheduler import batches as batching
from whisper_service.scheduler.planner import plan
from whisper_service.scheduler.views import (
    ClaimJob,
    Decoding,
    FinishJob,
    GiveBatch,
    JobView,
    LoadModel,
    MediaActorView,
    ReadyChunk,
    SpeechView,
    StartDecode,
    UnloadModel,
    View,
    WaitingJob,
)

IDLE = SpeechView(ready=True, model="base", slots=1)


def work(name: str, chunks: int = 0, **fields: object) -> JobView:
    defaults: dict[str, object] = {
        "model": "base",
        "batch_key": "base",
        "ready": tuple(ReadyChunk(i) for i in range(chunks)),
        "decoding": Decoding.DONE,
    }
    return JobView(job_id=name, **(defaults | fields))  # type: ignore[arg-type]


def batches(view: View, now: float = 0.0) -> list[tuple[tuple[str, int], ...]]:
    return [step.chunks for step in plan(view, now) if isinstance(step, GiveBatch)]


def test_nothing_to_do_is_no_step() -> None:
    assert plan(View(speech=IDLE), 0.0) == []


def test_a_job_without_anything_left_is_finished() -> None:
    assert plan(View(jobs=(work("a"), work("b", in_flight=1), work("c", decoding=Decoding.RUNNING))), 0.0) == [
        FinishJob("a")
    ]


def test_the_first_batch_of_a_job_is_one_chunk_and_then_they_grow() -> None:
    sizes = []
    served = 0
    while served < 20:
        (batch,) = batches(View(jobs=(work("a", 20 - served, given=served),), speech=IDLE))
        sizes.append(len(batch))
        served += len(batch)
    assert sizes == [1, 2, 6, 8, 3]


def test_a_short_clip_overtakes_a_film_at_the_next_batch() -> None:
    film = work("film", 40, given=100, last_batch=9)
    clip = work("clip", 1, order=1)
    (batch,) = batches(View(jobs=(film, clip), speech=IDLE))
    assert batch[0] == ("clip", 0)
    assert [job for job, _ in batch].count("film") == 7


def test_no_job_starves_while_clips_keep_coming() -> None:
    film = work("film", 40, given=8, last_batch=1)
    clips = tuple(work(f"clip{n}", 1, order=n, last_batch=0) for n in range(20))
    turn, waited = 1, 0
    while not any(job == "film" for batch in batches(View(jobs=(film, *clips), speech=IDLE)) for job, _ in batch):
        waited += 1
        (batch,) = batches(View(jobs=(film, *clips), speech=IDLE))
        turn += 1
        done = {job for job, _ in batch}
        fresh = tuple(work(f"new{turn}-{n}", 1, order=100 * turn + n, last_batch=turn) for n in range(len(done)))
        clips = tuple(c for c in clips if c.job_id not in done) + fresh
        assert waited < 5


def test_chunks_of_other_options_do_not_join_a_batch() -> None:
    a, b = work("a", 4, given=8), work("b", 4, given=8, batch_key="base\nother", order=1)
    (batch,) = batches(View(jobs=(a, b), speech=IDLE))
    assert {job for job, _ in batch} == {"a"}


def test_the_work_is_shared_between_idle_slots() -> None:
    given_chunks = batches(View(jobs=(work("a", 6, given=100),), speech=SpeechView(ready=True, model="base", slots=2)))
    assert given_chunks == [(("a", 0), ("a", 1), ("a", 2)), (("a", 3), ("a", 4), ("a", 5))]


def test_the_last_chunks_are_shared_with_a_slot_that_is_still_busy() -> None:
    busy = SpeechView(ready=True, model="base", slots=2, batches=1)
    sizes = {n: len(batches(View(jobs=(work("a", n, given=100),), speech=busy))[0]) for n in (20, 12, 9, 4, 3)}
    assert sizes == {20: 8, 12: 6, 9: 5, 4: 2, 3: 2}
    several = View(jobs=(work("a", 3, given=100), work("b", 1, given=100)), speech=busy)
    assert [len(batch) for batch in batches(several)] == [4]  # like clips that come and go: more will come
    (batch,) = batches(View(jobs=(work("a", 12, given=100, decoding=Decoding.RUNNING),), speech=busy))
    assert len(batch) == 8  # more will come


def test_a_busy_actor_gets_nothing() -> None:
    assert batches(View(jobs=(work("a", 6),), speech=SpeechView(ready=True, model="base", slots=2, batches=2))) == []


def test_an_unknown_language_gives_one_chunk_at_a_time() -> None:
    wide = SpeechView(ready=True, model="base", slots=4)
    assert batches(View(jobs=(work("a", 6, given=50, language_known=False),), speech=wide)) == [(("a", 0),)]
    assert batches(View(jobs=(work("a", 6, in_flight=1, language_known=False),), speech=wide)) == []


def test_the_front_goes_first() -> None:
    a, b = work("a", 20, given=50), work("b", 1, rank=-5.0, order=7, last_batch=99)
    (batch,) = batches(View(jobs=(a, b), speech=IDLE))
    assert batch[0] == ("b", 0)


def test_chunks_of_a_dead_actor_come_in_smaller_batches_and_then_alone() -> None:
    def size(attempts: int, kills: int = 0) -> int:
        job = work("a", given=100, ready=tuple(ReadyChunk(i, attempts, kills) for i in range(8)))
        (batch,) = batches(View(jobs=(job,), speech=IDLE))
        return len(batch)

    assert [size(n) for n in range(3)] == [8, 4, 1]
    assert [size(0, n) for n in range(4)] == [8, 4, 1, 1]
    assert size(1, 1) == 1


def test_a_suspect_waits_until_it_can_be_alone_and_nothing_is_given_beside_it() -> None:
    job = work("a", given=100, ready=(ReadyChunk(0, batching.ALONE_AFTER), ReadyChunk(1)))
    two = SpeechView(ready=True, model="base", slots=2)
    assert plan(View(jobs=(job,), speech=two), 0.0) == [GiveBatch((("a", 0),), suspect=True)]
    assert batches(View(jobs=(job,), speech=SpeechView(ready=True, model="base", slots=2, batches=1))) == []
    assert (
        batches(View(jobs=(job,), speech=SpeechView(ready=True, model="base", slots=2, batches=1, suspect=True))) == []
    )


def test_another_model_is_loaded_when_the_loaded_one_has_no_work() -> None:
    other = work("a", 1, model="large", batch_key="large")
    assert plan(View(jobs=(other,), speech=IDLE), 0.0) == [LoadModel("large")]
    assert plan(View(jobs=(other,), speech=SpeechView(ready=True, model="base", slots=2, batches=1)), 0.0) == []
    assert plan(View(jobs=(other,), speech=SpeechView(ready=True, loading=True, slots=2)), 0.0) == []


def test_the_loaded_model_keeps_its_work_until_a_job_waited_too_long() -> None:
    mine = work("mine", 5, last_batch=3, waiting_since=100.0)
    other = work("other", 1, model="large", batch_key="large", waiting_since=100.0)
    assert isinstance(plan(View(jobs=(mine, other), speech=IDLE), 101.0)[0], GiveBatch)
    assert plan(View(jobs=(mine, other), speech=IDLE), 101.0 + planner.SWITCH_AFTER_S) == [LoadModel("large")]


def test_long_recordings_leave_a_media_actor_for_short_ones() -> None:
    long = admission.LONG_BYTES + 1
    actors = (MediaActorView("m1", True), MediaActorView("m2", True))
    works = (
        work("x", decoding=Decoding.WAITING, bytes=long),
        work("y", decoding=Decoding.WAITING, bytes=long, order=1),
        work("z", decoding=Decoding.WAITING, order=2),
    )
    assert plan(View(jobs=works, media=actors), 0.0) == [StartDecode("z", "m1"), StartDecode("x", "m2")]
    assert plan(View(jobs=works[:2], media=actors), 0.0) == [StartDecode("x", "m1")]
    assert plan(View(jobs=works[:1], media=(MediaActorView("only", True),)), 0.0) == [StartDecode("x", "only")]


def test_files_of_some_minutes_leave_a_media_actor_for_small_ones() -> None:
    actors = (MediaActorView("m1", False), MediaActorView("m2", True))

    def decodes(at_work: int, *waiting: int) -> list[int]:
        """Return the sizes that are decoded next while one file is decoded."""
        sizes = {f"w{n}": size for n, size in enumerate(waiting)}
        jobs = (
            work("at work", decoding=Decoding.RUNNING, bytes=at_work),
            *(
                work(name, decoding=Decoding.WAITING, bytes=size, order=n)
                for n, (name, size) in enumerate(sizes.items())
            ),
        )
        steps = plan(View(jobs=jobs, media=actors), 0.0)
        return [sizes[step.job_id] for step in steps if isinstance(step, StartDecode)]

    small, middle, long = admission.SMALL_BYTES, admission.SMALL_BYTES + 1, admission.LONG_BYTES + 1
    assert decodes(middle, middle) == decodes(long, long) == []
    assert decodes(middle, middle, middle, small) == decodes(long, long, middle, small) == [small]
    assert decodes(long, middle) == [middle], "minutes of decoding are too long to wait for"
    assert decodes(middle, long) == [long]
    assert decodes(small, middle) == [middle]


def test_only_a_few_long_recordings_are_taken_up_but_short_ones_pass_them() -> None:
    long = admission.LONG_BYTES + 1
    queue = (*(WaitingJob(f"l{n}", long) for n in range(10)), WaitingJob("short", 1))
    assert plan(View(queue=queue), 0.0) == [*(ClaimJob(f"l{n}") for n in range(admission.MAX_LONG)), ClaimJob("short")]


def test_many_recordings_in_work_leave_some_places_for_small_files() -> None:
    middle = admission.SMALL_BYTES + 1
    works = tuple(work(f"w{n}", 1, bytes=middle) for n in range(admission.MAX_SHORT))
    queue = (WaitingJob("middle", middle), *(WaitingJob(f"s{n}", 1) for n in range(admission.MAX_SHORT)))
    claimed = [step.job_id for step in plan(View(jobs=works, queue=queue), 0.0) if isinstance(step, ClaimJob)]
    assert claimed == [f"s{n}" for n in range(admission.MAX_SHORT // 8)]


def test_no_length_of_recordings_takes_all_the_places() -> None:
    def claimed(at_work: str, waiting: str, **fields: float) -> str:
        """Return the lengths of what is claimed, by their first letters."""
        lengths = {"s": 5.0, "m": 600.0, "l": 9_000.0}
        works = tuple(work(f"w{n}", 1, duration_s=lengths[kind]) for n, kind in enumerate(at_work))
        queue = tuple(WaitingJob(f"{kind}{n}", 1, lengths[kind], **fields) for n, kind in enumerate(waiting))
        return "".join(
            step.job_id[0] for step in plan(View(jobs=works, queue=queue), 0.0) if isinstance(step, ClaimJob)
        )

    most, kept = admission.MAX_SHORT, admission.MAX_TOGETHER - admission.MAX_SHORT
    assert claimed("", "s" * 200) == "s" * most
    assert claimed("s" * most, "s" * 9 + "m" * 200) == "m" * kept, "a stream of clips leaves places"
    assert claimed("m" * most, "m" * 9 + "s" * 200) == "s" * kept
    assert claimed("m" * most + "s" * kept, "smsm" + "l" * 9) == "l" * admission.MAX_LONG
    full = "m" * most + "s" * kept + "l" * admission.MAX_LONG
    assert claimed(full, "sml") == ""
    assert claimed(full, "smllll", rank=CALL_RANK) == "smll", "a call does not wait until a recording is complete"


def test_what_a_file_states_counts_more_than_its_bytes() -> None:
    big, small = admission.LONG_BYTES + 1, 1
    queue = (
        *(WaitingJob(f"l{n}", small, admission.LONG_S + 1) for n in range(9)),
        WaitingJob("phone", big, 20.0),
    )
    claimed = [step.job_id for step in plan(View(queue=queue), 0.0) if isinstance(step, ClaimJob)]
    assert claimed == [*(f"l{n}" for n in range(admission.MAX_LONG)), "phone"]
    works = (
        work("talk", decoding=Decoding.WAITING, bytes=small, duration_s=900.0),
        work("phone", decoding=Decoding.WAITING, bytes=big, duration_s=20.0, order=1),
    )
    assert plan(View(jobs=works, media=(MediaActorView("m", True),)), 0.0) == [StartDecode("phone", "m")]


def test_a_job_that_comes_last_is_seen_if_few_are_before_it() -> None:
    queue: tuple[WaitingJob, ...] = ()
    for n in range(admission.HEADS + 9):
        queue = admission.with_last(queue, WaitingJob(f"m{n}", 1, 600.0))
    assert [job.job_id for job in queue] == [f"m{n}" for n in range(admission.HEADS)]
    assert admission.with_last(queue, WaitingJob("clip", 1, 5.0))[-1].job_id == "clip"


def serve(jobs: list[tuple[str, int]], load_s: float, batch_s: float) -> tuple[int, float, float]:
    """Do all the work in one slot.

    Return the number of loaded models, the longest wait of a job for a batch, and the seconds that all of it took.
    """
    left = {f"job{n}": count for n, (_, count) in enumerate(jobs)}
    wanted = {f"job{n}": model for n, (model, _) in enumerate(jobs)}
    since, last_batches = dict.fromkeys(left, 0.0), dict.fromkeys(left, 0)
    speech, now, loads, longest, turn = SpeechView(ready=True, slots=1, batch_size=4), 0.0, 0, 0.0, 0
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
            speech=speech,
        )
        (step,) = plan(view, now)
        if isinstance(step, LoadModel):
            loads, now = loads + 1, now + load_s
            assert loads <= 1000, "it only loads"
            speech = SpeechView(ready=True, slots=1, batch_size=4, model=step.model, load_s=load_s, loaded_at=now)
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
    held_s = max(planner.KEEP_S, planner.KEEP_LOADS * load_s)
    assert loads <= len(jobs) + models + took / held_s
    assert loads * load_s <= (len(jobs) + models) * load_s + took / planner.KEEP_LOADS, "loading is most of the work"
    turn_s = max(planner.SWITCH_AFTER_S, planner.KEEP_LOADS * load_s) + load_s + 3 * batch_s
    assert longest <= models * turn_s + len(jobs) * batch_s


def test_a_model_has_to_be_worth_its_loading() -> None:
    mine = work("mine", 5, last_batch=3, waiting_since=100.0)
    other = work("other", 1, model="large", batch_key="large", waiting_since=0.0)
    fresh = SpeechView(ready=True, model="base", load_s=60.0, loaded_at=90.0)
    assert isinstance(plan(View(jobs=(mine, other), speech=fresh), 100.0)[0], GiveBatch)
    assert plan(View(jobs=(mine, other), speech=fresh), 90.0 + planner.KEEP_LOADS * 60.0) == [LoadModel("large")]


def test_a_job_whose_model_is_on_its_way_is_neither_read_nor_worked_on() -> None:
    waits = work("a", 3, model="large", decoding=Decoding.WAITING, model_missing=True)
    view = View(jobs=(waits,), media=(MediaActorView("m", True),), speech=SpeechView(ready=True))
    assert plan(view, 0.0) == []


def test_jobs_that_wait_for_a_model_take_no_room_from_others_but_are_not_without_number() -> None:
    long = admission.LONG_BYTES + 1
    waits = tuple(
        work(f"w{n}", decoding=Decoding.WAITING, model_missing=True, bytes=long)
        for n in range(admission.MAX_WITHOUT_MODEL)
    )
    queue = tuple(WaitingJob(f"l{n}", long) for n in range(admission.MAX_LONG + 2))
    claimed = [step for step in plan(View(jobs=waits, queue=queue), 0.0) if isinstance(step, ClaimJob)]
    assert len(claimed) == admission.MAX_LONG
    more = (
        *waits,
        *(work(f"m{n}", decoding=Decoding.WAITING, model_missing=True, bytes=long) for n in range(admission.MAX_LONG)),
    )
    assert plan(View(jobs=more, queue=queue), 0.0) == []


def test_a_model_is_loaded_while_the_recording_is_read() -> None:
    reads = work("a", model="base", decoding=Decoding.RUNNING)
    assert plan(View(jobs=(reads,), speech=SpeechView(ready=True)), 0.0) == [LoadModel("base")]
    assert plan(View(jobs=(reads,), speech=SpeechView(ready=True, batches=1)), 0.0) == []
    assert plan(View(jobs=(reads,), speech=SpeechView(ready=True, model="large")), 0.0) == []


def test_an_idle_model_goes_after_its_time_and_never_before() -> None:
    idle = SpeechView(ready=True, model="base", used_at=100.0, unload_after_s=60.0)
    assert plan(View(speech=idle), 159.9) == []
    assert plan(View(speech=idle), 160.0) == [UnloadModel()]
    busy = SpeechView(ready=True, model="base", used_at=100.0, unload_after_s=60.0, express_batches=1)
    assert UnloadModel() not in plan(View(speech=busy), 1e6)
    assert UnloadModel() not in plan(View(speech=idle, jobs=(work("a", decoding=Decoding.RUNNING),)), 1e6)
    assert UnloadModel() not in plan(View(speech=idle, queue=(WaitingJob("a", 1),)), 1e6)
    never = SpeechView(ready=True, model="base", used_at=100.0)
    assert plan(View(speech=never), 1e6) == []


def chunks(least: int) -> st.SearchStrategy[tuple[ReadyChunk, ...]]:
    """Yield chunks 0, 1, 2... with the number of deaths that each has met."""
    deaths = st.lists(st.integers(0, 4), min_size=least, max_size=12)
    return deaths.map(lambda counts: tuple(ReadyChunk(index, count) for index, count in enumerate(counts)))


NAMES = st.integers(0, 9_999).map(str)
works = st.builds(
    JobView,
    job_id=NAMES,
    model=st.sampled_from(["base", "large", None]),
    batch_key=st.sampled_from(["k1", "k2"]),
    rank=st.sampled_from([0.0, CALL_RANK, -1.7e9]),
    order=st.integers(0, 50),
    bytes=st.sampled_from([1, admission.SMALL_BYTES + 1, admission.LONG_BYTES + 1]),
    duration_s=st.sampled_from([None, 5.0, 600.0]),
    decoding=st.sampled_from(Decoding),
    ready=chunks(0),
    in_flight=st.sampled_from([0, 0, 1, 3]),
    given=st.integers(0, 30),
    last_batch=st.integers(0, 30),
    waiting_since=st.sampled_from([-20.0, -5.0, 0.0]),
    language_known=st.booleans(),
    model_missing=st.booleans(),
)
able = st.builds(
    replace, works, model=st.just("base"), ready=chunks(1), in_flight=st.just(0), model_missing=st.just(False)
)
"""Jobs whose chunks can be given. Drawn at random, hardly any can."""
speeches = st.builds(
    SpeechView,
    ready=st.booleans(),
    loading=st.booleans(),
    model=st.sampled_from([None, "base"]),
    slots=st.integers(1, 4),
    batches=st.integers(0, 4),
    urgent=st.integers(0, 4),
    suspect=st.booleans(),
    batch_size=st.integers(1, 8),
    express_slots=st.integers(0, 1),
    express_batches=st.integers(0, 1),
)
free = st.builds(
    replace,
    speeches,
    ready=st.just(True),
    loading=st.just(False),
    model=st.sampled_from(["base", "base", None]),
    slots=st.integers(1, 4),
    batches=st.just(0),
    suspect=st.just(False),
)
"""Speech actors that can take a batch."""
queues = st.lists(
    st.builds(WaitingJob, job_id=NAMES.map("queued{}".format), bytes=st.sampled_from([1, admission.LONG_BYTES + 1])),
    max_size=10,
    unique_by=lambda job: job.job_id,
).map(tuple)
media_actors = st.lists(
    st.builds(MediaActorView, name=NAMES, idle=st.booleans()), max_size=3, unique_by=lambda actor: actor.name
).map(tuple)


def jobs_of(kind: st.SearchStrategy[JobView], least: int = 0) -> st.SearchStrategy[tuple[JobView, ...]]:
    return st.lists(kind, min_size=least, max_size=8, unique_by=lambda w: w.job_id).map(tuple)


views = st.one_of(
    st.builds(View, jobs=jobs_of(works), queue=queues, media=media_actors, speech=speeches),
    st.builds(View, jobs=jobs_of(works | able, least=1), queue=queues, media=media_actors, speech=free),
)


def test_the_views_that_are_tried_have_plans_of_every_kind() -> None:
    """Else the properties of plans say nothing."""
    found = shares(views, lambda view: (type(step).__name__ for step in plan(view, 0.0)))
    assert found["GiveBatch"] > 0.1, found
    for kind in ("ClaimJob", "StartDecode", "FinishJob", "LoadModel"):
        assert found[kind] > 0.005, found


def simulate(
    jobs: list[tuple[int, bool]], culprits: set[tuple[str, int]], slots: int, size: int, order: st.DataObject
) -> dict[tuple[str, int], int]:
    """Let an actor die whenever it works on a culprit, and return the deaths of each chunk. `order` draws batches.

    Every second recording is short.
    """
    left = {f"job{n}": dict.fromkeys(range(count), 0) for n, (count, _) in enumerate(jobs)}
    known = {f"job{n}": language for n, (_, language) in enumerate(jobs)}
    served, last_batches, deaths = (
        dict.fromkeys(left, 0),
        dict.fromkeys(left, 0),
        dict.fromkeys(((job, index) for job, chunks in left.items() for index in chunks), 0),
    )
    flying: list[GiveBatch] = []
    turn = 0
    while any(left.values()):
        given_chunks = [chunk for batch in flying for chunk in batch.chunks]
        view = View(
            jobs=tuple(
                work(
                    job,
                    ready=tuple(ReadyChunk(i, n) for i, n in chunks.items() if (job, i) not in given_chunks),
                    order=number,
                    in_flight=sum(chunk[0] == job for chunk in given_chunks),
                    given=served[job],
                    last_batch=last_batches[job],
                    language_known=known[job],
                    duration_s=5.0 if number % 2 else None,
                )
                for number, (job, chunks) in enumerate(left.items())
            ),
            speech=SpeechView(
                ready=True,
                model="base",
                slots=slots,
                batches=len(flying),
                suspect=any(b.suspect for b in flying),
                batch_size=size,
            ),
        )
        for step in plan(view, 0.0):
            if isinstance(step, GiveBatch):
                flying.append(step)
                turn += 1
                for job, _ in step.chunks:
                    served[job], last_batches[job] = served[job] + 1, turn
        assert flying, "work waits and nothing is given"
        batch = flying.pop(order.draw(st.integers(0, len(flying) - 1)))
        if culprits.isdisjoint(batch.chunks):
            for job, index in batch.chunks:
                del left[job][index]
                known[job] = True
            continue
        lost = [chunk for b in (batch, *flying) for chunk in b.chunks]
        flying = []
        for job, index in lost:
            deaths[job, index] += 1
            left[job][index] += 1
            if left[job][index] == batching.GIVE_UP_AFTER:
                del left[job][index]
    return deaths


@given(
    jobs=st.lists(st.tuples(st.integers(1, 12), st.booleans()), min_size=1, max_size=4),
    poison=st.sets(st.tuples(st.integers(0, 3).map("job{}".format), st.integers(0, 11)), min_size=1, max_size=3),
    slots=st.integers(1, 3),
    size=st.sampled_from([1, 2, 3, 8]),
    order=st.data(),
)
def test_what_kills_actors_costs_three_of_them_and_its_company_is_in_two_at_most(
    jobs: list[tuple[int, bool]], poison: set[tuple[str, int]], slots: int, size: int, order: st.DataObject
) -> None:
    deaths = simulate(jobs, poison, slots, size, order)
    culprits = poison & set(deaths)
    assert all(deaths[chunk] == 3 for chunk in culprits)
    assert all(count <= 2 for chunk, count in deaths.items() if chunk not in culprits)


BUSY = SpeechView(ready=True, model="base", slots=2, batches=2, express_slots=1)


def test_a_call_does_not_wait_for_the_end_of_a_batch() -> None:
    film = work("film", 40, given=100, last_batch=9)
    call = work("call", 3, rank=CALL_RANK, order=1)
    (step,) = plan(View(jobs=(film, call), speech=BUSY), 0.0)
    assert step == GiveBatch((("call", 0),), urgent=True, call=True, express=True)
    occupied = SpeechView(ready=True, model="base", slots=2, batches=2, express_slots=1, express_batches=1)
    assert plan(View(jobs=(film, call), speech=occupied), 0.0) == []
    assert plan(View(jobs=(film,), speech=BUSY), 0.0) == [], "no client waits for the film"


def test_a_call_waits_for_the_end_of_a_batch_where_every_slot_has_one_of_calls() -> None:
    call = work("call", 3, rank=CALL_RANK, order=1)
    for urgent, beside in ((0, 1), (1, 1), (2, 0)):
        speech = SpeechView(ready=True, model="base", slots=2, batches=2, urgent=urgent, express_slots=1)
        assert len(plan(View(jobs=(call,), speech=speech), 0.0)) == beside
    (step,) = plan(
        View(jobs=(call,), speech=SpeechView(ready=True, model="base", slots=2, batches=1, urgent=1, express_slots=1)),
        0.0,
    )
    assert isinstance(step, GiveBatch)
    assert (step.urgent, step.express) == (True, False)


def test_a_chunk_that_was_with_a_dying_actor_goes_beside_nothing() -> None:
    failed = work("call", rank=CALL_RANK, ready=(ReadyChunk(0, attempts=1),))
    assert plan(View(jobs=(failed,), speech=BUSY), 0.0) == []


def test_a_call_has_no_company_but_other_calls() -> None:
    film = work("film", 40, given=100, last_batch=9)
    calls = [work(f"call{n}", 2, rank=CALL_RANK, order=n) for n in range(2)]
    (batch,) = batches(View(jobs=(film, *calls), speech=IDLE))
    assert batch == (("call0", 0), ("call1", 0))


def test_a_call_has_priority_for_its_first_chunks_only() -> None:
    film = work("film", 40, given=100, last_batch=3)
    long = work("long", 40, rank=CALL_RANK, given=lanes.CALL_CHUNKS, last_batch=5)
    (batch,) = batches(View(jobs=(film, long), speech=IDLE))
    assert [job for job, _ in batch] == ["film", "long"] * 4
    assert plan(View(jobs=(film, long), speech=BUSY), 0.0) == []


def test_what_a_user_put_at_the_front_goes_before_calls() -> None:
    first, call = work("first", 1, rank=-1.7e9, given=100), work("call", 1, rank=CALL_RANK)
    (batch,) = batches(View(jobs=(call, first), speech=IDLE))
    assert batch[0] == ("first", 0)


def test_a_call_comes_beside_a_long_recording_that_was_put_at_the_front() -> None:
    film = work("film", 40, rank=-1.7e9, given=100)
    call = work("call", 1, rank=CALL_RANK, order=1)
    (step,) = plan(View(jobs=(film, call), speech=BUSY), 0.0)
    assert step == GiveBatch((("call", 0),), urgent=True, call=True, express=True)
    assert plan(View(jobs=(film,), speech=BUSY), 0.0) == [], "the film itself has the slots"
    (batch,) = batches(View(jobs=(film, call), speech=IDLE))
    assert {job for job, _ in batch} == {"film"}, "and is no company for it"


FILM = work("film", 40, given=100, last_batch=9, duration_s=36_000.0)


def clip(name: str = "clip", chunks: int = 1, **fields: object) -> JobView:
    return work(name, chunks, **({"duration_s": 5.0, "order": 1} | fields))


def busy(slots: int = 2, batches: int | None = None, urgent: int = 0) -> SpeechView:
    """Return an actor with this many batches, by default one in every slot."""
    in_slots = slots if batches is None else batches
    return SpeechView(ready=True, model="base", slots=slots, batches=in_slots, urgent=urgent, express_slots=1)


def test_a_short_recording_does_not_wait_for_the_end_of_a_batch() -> None:
    beside = [GiveBatch((("clip", 0),), urgent=True, express=True)]
    for slots in range(1, 5):
        assert plan(View(jobs=(FILM, clip()), speech=busy(slots)), 0.0) == beside
    assert plan(View(jobs=(FILM, clip(duration_s=59.9)), speech=BUSY), 0.0) == beside
    for length in (None, lanes.SHORT_S, 600.0):
        assert plan(View(jobs=(FILM, clip(duration_s=length)), speech=BUSY), 0.0) == [], "not known to be short"
    many = clip(chunks=9, given=lanes.CALL_CHUNKS)
    assert plan(View(jobs=(FILM, many), speech=BUSY), 0.0) == [], "its file does not tell the truth"


def test_a_short_recording_gets_the_next_slot_and_no_company_but_its_like() -> None:
    call = work("call", 1, rank=CALL_RANK)
    assert batches(View(jobs=(FILM, clip("a"), clip("b")), speech=busy(batches=1))) == [(("a", 0), ("b", 0))]
    assert batches(View(jobs=(clip(), call), speech=IDLE)) == [(("call", 0),)]


def test_a_slot_that_is_filled_does_not_keep_a_short_recording_waiting() -> None:
    one = SpeechView(ready=True, model="base", slots=1, express_slots=1)
    film, short = GiveBatch(tuple(("film", n) for n in range(8))), GiveBatch((("clip", 0),), urgent=True, express=True)
    waited = work("film", 40, given=100, waiting_since=-60.0)
    assert plan(View(jobs=(waited, clip()), speech=one), 0.0) == [film, short]


def test_calls_go_before_short_recordings_and_what_users_put_at_the_front_before_both() -> None:
    call = work("call", 1, rank=CALL_RANK, order=2)
    first = work("first", 1, rank=-1.7e9, given=100)
    (step,) = plan(View(jobs=(FILM, clip(), call), speech=BUSY), 0.0)
    assert step == GiveBatch((("call", 0),), urgent=True, call=True, express=True)
    (batch,) = batches(View(jobs=(clip(), call, first), speech=IDLE))
    assert batch == (("first", 0),)
    front = clip("front", rank=-1.7e9)
    for urgent in (0, 1):
        (step,) = plan(View(jobs=(FILM, clip(), call, front), speech=busy(urgent=urgent)), 0.0)
        assert step == GiveBatch((("front", 0),), urgent=True, express=True), "a short one at the front has the lane"


def test_short_recordings_have_one_batch_of_two_slots_while_others_wait() -> None:
    works = clip("works", in_flight=1, ready=())
    (step,) = plan(View(jobs=(FILM, works, clip()), speech=busy(batches=1, urgent=1)), 0.0)
    assert isinstance(step, GiveBatch)
    assert {job for job, _ in step.chunks} == {"film"}
    assert plan(View(jobs=(FILM, works, clip()), speech=busy(urgent=1)), 0.0) == [], "nothing beside the slots"
    assert batches(View(jobs=(works, clip()), speech=busy(batches=1, urgent=1))) == [(("clip", 0),)], "nobody waits"
    call = work("call", 1, rank=CALL_RANK)
    (step,) = plan(View(jobs=(FILM, works, call), speech=busy(urgent=1)), 0.0)
    assert step == GiveBatch((("call", 0),), urgent=True, call=True, express=True), "a call needs no share"


def test_a_short_recording_takes_turns_beside_calls_that_use_up_its_share() -> None:
    def next_job(film_since: float) -> str:
        film = work("film", 40, given=100, waiting_since=film_since)
        (batch,) = batches(View(jobs=(film, clip(waiting_since=100.0)), speech=busy(batches=1, urgent=1)))
        return batch[0][0]

    assert next_job(100.0 - batching.HEAD_START_S + 1) == "clip"
    assert next_job(100.0 - batching.HEAD_START_S - 1) == "film"


def test_a_second_chunk_of_a_short_recording_is_not_overtaken_by_all_that_come_later() -> None:
    older = clip("older", 1, given=1, last_batch=7, waiting_since=10.0)
    newer = tuple(clip(f"newer{n}", waiting_since=20.0, order=n) for n in range(9))
    (batch,) = batches(View(jobs=(*newer, older), speech=IDLE))
    assert batch[0] == ("older", 0)


def test_a_short_recording_of_another_model_does_not_replace_the_loaded_one() -> None:
    other = clip(model="large", batch_key="large")
    (step,) = plan(View(jobs=(FILM, other), speech=IDLE), 0.0)
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
        speech = SpeechView(
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
        return View(jobs=tuple(jobs), speech=speech)

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
        return batches(View(jobs=(call, *others), speech=speech))[0][0][0]

    assert [next_job(count, FILM) for count in (0, limit - 1, limit)] == ["call", "call", "film"]
    assert next_job(limit, clip()) == "clip", "a short recording is one of the others"
    assert next_job(limit) == "call", "nobody else waits"
    full = replace(BUSY, call_lead=limit)
    assert plan(View(jobs=(call, FILM), speech=full), 0.0) == [], "the slots that pause for calls have to end first"
    assert plan(View(jobs=(call,), speech=full), 0.0) != []


def test_beside_the_only_slot_come_as_many_chunks_of_clips_as_a_batch_has() -> None:
    def beside(urgent_chunks: int, *jobs: JobView) -> int:
        return len(plan(View(jobs=jobs, speech=replace(busy(1), urgent_chunks=urgent_chunks)), 0.0))

    at_work = replace(FILM, in_flight=8)
    assert [beside(count, at_work, clip()) for count in (0, 7, 8)] == [1, 1, 0]
    assert beside(8, clip()) == 1, "nobody else is at work"
    two = replace(busy(2), urgent_chunks=8)
    assert len(plan(View(jobs=(at_work, clip()), speech=two), 0.0)) == 1, "one slot goes on"


def test_calls_of_another_model_let_a_job_have_a_batch_that_waited_too_long() -> None:
    call = work("call", 3, rank=CALL_RANK, model="large", batch_key="large", waiting_since=99.0)
    film = work("film", 40, given=8, waiting_since=0.0)
    loaded = SpeechView(ready=True, model="large", load_s=2.0, loaded_at=50.0)
    assert plan(View(jobs=(call, film), speech=loaded), 100.0) == [LoadModel("base")]
    fresh = replace(loaded, loaded_at=95.0)
    (step,) = plan(View(jobs=(call, film), speech=fresh), 100.0)
    assert isinstance(step, GiveBatch), "a model has to be worth its loading"
    (step,) = plan(View(jobs=(call, film), speech=replace(loaded, model="base", loaded_at=102.0)), 102.0)
    assert isinstance(step, GiveBatch)
    assert step.chunks[0][0] == "film", "its model was loaded for this batch"
    served = replace(film, waiting_since=102.0)
    assert plan(View(jobs=(call, served), speech=replace(loaded, model="base", loaded_at=102.0)), 103.0) == [
        LoadModel("large")
    ]


def test_a_job_whose_model_is_not_decided_waits_and_others_do_not() -> None:
    undecided, other = work("a", 3, model=None), work("b", 1, order=1)
    assert batches(View(jobs=(undecided, other), speech=IDLE)) == [(("b", 0),)]
    assert plan(View(jobs=(undecided,), speech=IDLE), 0.0) == []


@given(views)
def test_every_plan_can_be_carried_out(view: View) -> None:
    steps = plan(view, 0.0)
    by_name = {w.job_id: w for w in view.jobs}
    given_chunks = [chunk for step in steps if isinstance(step, GiveBatch) for chunk in step.chunks]
    assert len(given_chunks) == len(set(given_chunks))
    for step in steps:
        if isinstance(step, GiveBatch):
            assert 1 <= len(step.chunks) <= view.speech.batch_size
            assert len({by_name[job].batch_key for job, _ in step.chunks}) == 1
            assert {by_name[job].model for job, _ in step.chunks} == {view.speech.model}
            for job, index in step.chunks:
                assert index in {chunk.index for chunk in by_name[job].ready}
        if isinstance(step, StartDecode):
            assert by_name[step.job_id].decoding is Decoding.WAITING
    ordinary = [step for step in steps if isinstance(step, GiveBatch) and not step.express]
    assert len(ordinary) <= max(0, view.speech.slots - view.speech.batches)
    express = [step for step in steps if isinstance(step, GiveBatch) and step.express]
    assert len(express) <= max(0, view.speech.express_slots - view.speech.express_batches)
    assert all(len(step.chunks) == 1 for step in express)
    in_flight = view.speech.batches + view.speech.express_batches
    assert not (in_flight and any(isinstance(s, LoadModel) or (isinstance(s, GiveBatch) and s.suspect) for s in steps))
    decodes = [step for step in steps if isinstance(step, StartDecode)]
    assert len({d.media_actor for d in decodes}) == len(decodes) <= sum(w.idle for w in view.media)
    if view.speech.suspect or view.speech.loading or not view.speech.ready:
        assert not given_chunks


@given(views)
def test_ready_work_never_waits_for_an_idle_actor(view: View) -> None:
    speech = view.speech
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
