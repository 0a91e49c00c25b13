"""One of two seats fails in the middle of the work: nothing is lost or done twice, and the other is not disturbed."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

import pytest

from testkit.scripted_actors import text_of
from testkit.service import ended, log_of, open_service, send, texts
from whisper_service.app.service import Service
from whisper_service.core.domain import ActorState, Status

pytestmark = pytest.mark.anyio

CHUNKS, BATCH = 40, 8
TWO = {"device": "cuda:0,cuda:1", "slots": 1, "batch_size": BATCH}
FAST = {"batch_timeout_s": 1.5, "batch_timeout_factor": 5.0}


def begun(diary: Path) -> dict[str, Counter[int]]:
    """Return how often each device began each chunk."""
    found: dict[str, Counter[int]] = defaultdict(Counter)
    for line in diary.read_text().splitlines():
        device, _, chunk = line.partition(" ")
        found[device][int(chunk)] += 1
    return found


async def stored_once(service: Service, job_id: str, chunks: int) -> bool:
    """Return whether every chunk was stored exactly once."""
    kinds = Counter(change.kind for change in await log_of(service, job_id))
    return kinds["segment"] == chunks and len(await texts(service, job_id)) == chunks


@pytest.mark.parametrize("fault", ["kill", "abort", "oom", "hang", "error"])
async def test_a_seat_that_fails_costs_its_own_batch_and_nothing_else(tmp_path: Path, fault: str) -> None:
    diary = tmp_path / "diary"
    play = {"chunks": CHUNKS, "delay": 0.02, "diary": str(diary), "marks": str(tmp_path), "faults_on": "cuda:1"}
    faults = {str(chunk): f"{fault}_once" for chunk in range(8, CHUNKS)}
    async with open_service(tmp_path, speech=TWO, supervision=FAST) as service:
        job = await send(service, **play, faults=faults, one_fault=True)
        done = await ended(service, job.id)
        assert (done.status, done.gaps) == (Status.COMPLETED, ())
        assert await texts(service, job.id) == [text_of(chunk) for chunk in range(CHUNKS)]
        assert await stored_once(service, job.id, CHUNKS)
        chunks = await service.parts.store.chunks(job.id)
        first, second = (seat.actor for seat in service.parts.context.fleet.seats)
        assert (first.generation, len(first.deaths)) == (1, 0), "the other seat goes on"
        if fault != "hang":  # the chunks of a hung one are done by the other before its deadline
            assert (second.generation > 1) == (fault != "error")
    work = begun(diary)
    assert set(work) == {"cuda:0", "cuda:1"}
    assert max(work["cuda:0"].values()) == 1, "what the other seat has is not given again"
    blamed = {chunk.span.index for chunk in chunks if chunk.attempts or chunk.kills}
    assert len(blamed) <= BATCH, "only the batch of the seat that failed"


async def test_a_chunk_that_kills_every_actor_costs_one_seat_at_a_time(tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    async with open_service(tmp_path, speech=TWO, supervision=FAST) as service:
        bad = await send(service, name="bad", chunks=3, faults={"1": "abort"})
        good = await send(service, name="good", chunks=CHUNKS, delay=0.02, diary=str(diary))
        assert (await ended(service, good.id)).gaps == ()
        done = await ended(service, bad.id)
        assert (done.status, len(done.gaps)) == (Status.COMPLETED, 1)
        deaths = [len(seat.actor.deaths) for seat in service.parts.context.fleet.seats]
        assert sum(deaths) == 3, "as on one seat"
        assert await texts(service, good.id) == [text_of(chunk) for chunk in range(CHUNKS)]
        assert await stored_once(service, good.id, CHUNKS)


async def test_a_seat_that_cannot_start_leaves_the_work_to_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = {"max_restarts": 2, "restart_window_s": 60.0, "probe_s": 60.0}
    play = {"chunks": 12, "delay": 0.1, "faults": {str(n): "kill" for n in range(12)}, "faults_on": "cuda:1"}
    async with open_service(tmp_path, speech=TWO, supervision=limits) as service:
        second = service.parts.context.fleet.seats[1].actor
        second._entry = "testkit.scripted_actors:broken"
        job = await send(service, **play)
        done = await ended(service, job.id)
        assert (done.status, done.gaps, done.problem) == (Status.COMPLETED, (), None)
        assert await texts(service, job.id) == [text_of(chunk) for chunk in range(12)]
        assert second.state in (ActorState.BROKEN, ActorState.WAITING, ActorState.STARTING)


async def test_cards_that_the_first_actor_reports_get_actors_of_their_own(tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    async with open_service(tmp_path, speech={"slots": 1}, speech_actor="speech_with_two_gpus") as service:
        job = await send(service, chunks=CHUNKS, delay=0.03, diary=str(diary))
        assert (await ended(service, job.id)).status is Status.COMPLETED
        assert await texts(service, job.id) == [text_of(chunk) for chunk in range(CHUNKS)]
    work = begun(diary)
    assert {device: len(chunks) > CHUNKS // 4 for device, chunks in work.items()} == {"cuda:0": True, "cuda:1": True}
    assert sum(work.values(), Counter()) == Counter(range(CHUNKS)), "each chunk once"


async def test_a_slow_seat_holds_nothing_up(tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    async with open_service(tmp_path, speech=TWO) as service:
        for name in ("first", "second"):  # the first one measures
            job = await send(service, name=name, chunks=CHUNKS, delay=0.01, slow={"cuda:1": 20}, diary=str(diary))
            assert (await ended(service, job.id)).status is Status.COMPLETED
            assert await texts(service, job.id) == [text_of(chunk) for chunk in range(CHUNKS)]
    work = begun(diary)
    assert work["cuda:0"].total() > 4 * work["cuda:1"].total() > 0
