"""Views of the planner that its tests share: by hand, and drawn."""

from __future__ import annotations

from hypothesis import strategies as st
from msgspec.structs import replace

from whisper_service.core.domain import CALL_RANK
from whisper_service.scheduler import admission
from whisper_service.scheduler.planner import plan
from whisper_service.scheduler.views import (
    Decoding,
    GiveBatch,
    JobView,
    MediaActorView,
    ReadyChunk,
    SeatView,
    View,
    WaitingJob,
)

IDLE = SeatView(ready=True, model="base", slots=1)


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


BUSY = SeatView(ready=True, model="base", slots=2, batches=2, express_slots=1)


FILM = work("film", 40, given=100, last_batch=9, duration_s=36_000.0)


def clip(name: str = "clip", chunks: int = 1, **fields: object) -> JobView:
    return work(name, chunks, **({"duration_s": 5.0, "order": 1} | fields))


def busy(slots: int = 2, batches: int | None = None, urgent: int = 0) -> SeatView:
    """Return an actor with this many batches, by default one in every slot."""
    in_slots = slots if batches is None else batches
    return SeatView(ready=True, model="base", slots=slots, batches=in_slots, urgent=urgent, express_slots=1)


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
    SeatView,
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
    st.builds(View, jobs=jobs_of(works), queue=queues, media=media_actors, seats=st.tuples(speeches)),
    st.builds(View, jobs=jobs_of(works | able, least=1), queue=queues, media=media_actors, seats=st.tuples(free)),
)
