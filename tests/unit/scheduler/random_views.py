"""Views that are drawn from a number: quick to make, so that thousands of plans can be compared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from random import Random

from whisper_service.core.domain import CALL_RANK
from whisper_service.scheduler.views import (
    Decoding,
    GiveBatch,
    JobView,
    LateBatch,
    ReadyChunk,
    SeatView,
    Step,
    View,
    WaitingJob,
)

NOW = 100.0
"""The time of the plans."""


def random_view(seed: int, seats: int = 1) -> View:
    """Return a view in which most things can happen."""
    random = Random(seed)
    eager = random.random() < 0.7
    jobs = tuple(_job(random, f"job{n}", eager) for n in range(random.randint(0, 8)))
    queue = (WaitingJob("queued", 1),) if random.random() < 0.2 else ()
    names = ["speech", *(f"speech-{number + 2}" for number in range(seats - 1))]
    return View(jobs=jobs, queue=queue, seats=tuple(_seat(random, eager, name, jobs) for name in names))


def kinds(steps: Iterable[Step]) -> Iterator[str]:
    """Yield what is in a plan."""
    batches = 0
    for step in steps:
        yield type(step).__name__
        if isinstance(step, GiveBatch):
            batches += 1
            yield "several" if batches > 1 else "one"
            for name in ("suspect", "express", "urgent", "call", "instead_of"):
                if getattr(step, name):
                    yield name


def _job(random: Random, name: str, eager: bool) -> JobView:
    """Return a job. An eager one mostly has chunks that can be given."""
    deaths = random.choice([[0], [0], [0, 0, 0, 1, 2, 3, 6]])
    count = random.choice([1, 2, 5, 40]) if eager else random.choice([0, 0, 1, 3])
    ready = tuple(ReadyChunk(index, *divmod(random.choice(deaths), 2)) for index in range(count))
    return JobView(
        job_id=name,
        model=random.choice(["base", "base", "base", "large"] if eager else ["base", "large", "small", None]),
        batch_key=random.choice(["k1", "k1", "k2"]),
        rank=random.choice([0.0, 0.0, CALL_RANK, -1.7e9]),
        order=random.randint(0, 50),
        duration_s=random.choice([None, 5.0, 600.0]),
        decoding=random.choice(list(Decoding)),
        ready=ready,
        in_flight=random.choice([0, 0, 0, 1, 9]),
        given=random.choice([0, 1, 2, 6, 8, 100]),
        last_batch=random.randint(0, 30),
        waiting_since=random.choice([NOW, NOW - 5.0, NOW - 20.0, NOW - 31.0, 0.0]),
        language_known=random.random() < 0.7,
        model_missing=random.random() < 0.1,
    )


def _seat(random: Random, eager: bool, name: str, jobs: tuple[JobView, ...]) -> SeatView:
    busy = random.random() < 0.5
    model = random.choice(["base", "base", "base", "large", None])
    mine = [job.job_id for job in jobs if job.in_flight and job.model == model]
    late = [job for job in mine if busy and name != "speech" and random.random() < 0.3]
    return SeatView(
        name=name,
        ready=random.random() < (0.95 if eager else 0.7),
        loading=random.random() < 0.1,
        model=model,
        slots=random.randint(1, 5),
        batches=random.randint(0, 5) if busy else 0,
        urgent=random.randint(0, 5) if busy else 0,
        call_lead=random.choice([0, 3, 31, 32, 64]),
        urgent_chunks=random.choice([0, 7, 8, 40]),
        suspect=random.random() < 0.1,
        batch_size=random.choice([1, 2, 5, 8, 16, 32]),
        express_slots=random.randint(0, 1),
        express_batches=random.randint(0, 1) if busy else 0,
        load_s=random.choice([0.0, 5.0, 60.0]),
        loaded_at=random.choice([0.0, NOW - 10.0, NOW]),
        used_at=random.choice([0.0, NOW]),
        unload_after_s=random.choice([0.0, 50.0]),
        next_model=random.choice(["base", "large"]),
        blocked=frozenset(random.choice([[], [], [], ["large"], ["base"]])) if name != "speech" else frozenset(),
        speed=random.choice([100.0, 100.0, 90.0, 30.0, 4.0]) if random.random() < 0.95 else 0.0,
        late=tuple(LateBatch(900 + number, ((job, 1000),)) for number, job in enumerate(late)),
    )
