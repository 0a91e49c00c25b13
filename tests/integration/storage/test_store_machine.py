"""The store keeps its promises whatever users, actors and power cuts do, in any order."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, precondition, rule

from whisper_service.core.domain import (
    CALL_RANK,
    Change,
    ChunkState,
    Gap,
    Job,
    Options,
    Phase,
    Problem,
    Segment,
    Span,
    Status,
)
from whisper_service.core.errors import IllegalTransition, NotFound
from whisper_service.core.job_states import TERMINAL, TRANSITIONS, Cause
from whisper_service.storage.change_log import Written
from whisper_service.storage.store import Store

T = TypeVar("T")

PROBLEM = Problem(code="crashed", message="It crashed.")
STEPS = {(before, after) for (before, _), after in TRANSITIONS.items()}
INDEXES = st.integers(0, 4)
FIELDS: dict[Cause, dict[str, Any]] = {
    Cause.CLAIM: {"phase": Phase.DECODING, "started_at": 1.0},
    Cause.FINISH: {"progress": 1.0, "finished_at": 3.0},
    Cause.FAULT: {"error": PROBLEM, "finished_at": 3.0},
    Cause.RETRY: {"progress": 0.0},
    Cause.CANCEL: {"message": "Cancelled.", "finished_at": 3.0},
}
PROGRESS = st.floats(0, 1)


def span(index: int) -> Span:
    return Span(index, index * 16_000, 16_000, float(index), index + 1.0)


def other_span(index: int) -> Span:
    """Return a span with the same index, as another decode would cut it."""
    return Span(index, index * 16_000 + 400, 12_000, index + 0.025, index + 0.775)


def said(chunk: int, count: int) -> tuple[Segment, ...]:
    return tuple(
        Segment(chunk, index, chunk + index / 8, chunk + index / 8 + 0.1, f"{chunk}.{index}") for index in range(count)
    )


class Expected:
    """A job as it should be, kept apart from the store."""

    def __init__(self) -> None:
        self.status = Status.PENDING
        self.chunks: dict[int, ChunkState] = {}
        self.spans: dict[int, Span] = {}
        self.attempts: dict[int, int] = {}
        self.text: dict[int, tuple[Segment, ...]] = {}
        self.gaps: list[int] = []

    def may(self, cause: Cause) -> bool:
        """Return whether the move is allowed by the table and by the chunks."""
        if (self.status, cause) not in TRANSITIONS:
            return False
        if cause is Cause.FINISH:
            states = set(self.chunks.values())
            return ChunkState.WAITING not in states and states != {ChunkState.FAILED}
        return not (self.status is Status.COMPLETED and cause is Cause.RETRY and not self.gaps)

    def move(self, cause: Cause) -> None:
        self.status = TRANSITIONS[self.status, cause]
        if cause is Cause.RETRY:
            for index in self.gaps:
                self.chunks[index], self.attempts[index] = ChunkState.WAITING, 0
            self.gaps = []

    def takes(self, index: int) -> bool:
        """Return whether a result for this chunk is still wanted."""
        return self.status in (Status.PROCESSING, Status.PAUSED) and self.chunks.get(index) is ChunkState.WAITING


class StoreMachine(RuleBasedStateMachine):
    """A store with users, actors and power cuts."""

    jobs = Bundle("jobs")

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.runner = asyncio.Runner()
        self.lives = 0
        self.number = 0
        self.fronts = 0
        self.expected: dict[str, Expected] = {}
        self.published: list[Change] = []
        self.gone: set[str] = set()
        self.pruned = 0
        self.path = self.directory / "0.db"

    def run(self, act: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(act)

    async def _open(self) -> None:
        self.stack = AsyncExitStack()
        self.store = await self.stack.enter_async_context(Store.open(self.path))

    def publish(self, written: Written | None) -> None:
        if written is not None:
            assert written.changes[-1].kind == "update"
            assert written.changes[-1].payload == msgspec.json.encode(written.job)
            self.published += written.changes

    @initialize(target=jobs)
    def start(self) -> str:
        self.run(self._open())
        return self.submit()

    def teardown(self) -> None:
        self.run(self.stack.aclose())
        self.runner.close()
        shutil.rmtree(self.directory)

    # -- users

    @precondition(lambda self: len(self.expected) < 3)
    @rule(target=jobs)
    def submit_another(self) -> str:
        return self.submit()

    def submit(self) -> str:
        self.number += 1
        job_id = f"j{self.number:03}"
        job = Job(
            job_id, f"{job_id}.mp3", Status.PENDING, Options(), created_at=float(self.number), bytes=1, sha256="00"
        )
        self.publish(self.run(self.store.add(job)))
        self.expected[job_id] = Expected()
        return job_id

    def move(self, job_id: str, cause: Cause, **fields: Any) -> None:
        expected = self.expected[job_id]
        if not expected.may(cause):
            with pytest.raises(IllegalTransition):
                self.run(self.store.move(job_id, cause, **fields))
            return
        self.publish(self.run(self.store.move(job_id, cause, **fields)))
        expected.move(cause)

    @rule(job_id=jobs, cause=st.sampled_from(Cause))
    def ask(self, job_id: str, cause: Cause) -> None:
        """Ask for any move. Most moves are refused."""
        self.fronts += cause is Cause.FRONT
        rank = {"rank": -1.0 - self.fronts} if cause is Cause.FRONT else {}
        self.move(job_id, cause, **rank, **FIELDS.get(cause, {}))

    @rule(job_id=jobs, data=st.data())
    def step(self, job_id: str, data: st.DataObject) -> None:
        """Ask for a move that is possible."""
        causes = [cause for cause in Cause if self.expected[job_id].may(cause)] or [Cause.RETRY]
        self.ask(job_id, data.draw(st.sampled_from(causes)))

    @rule(job_id=jobs, cause=st.sampled_from([Cause.SOONER, Cause.LATER]))
    def move_in_queue(self, job_id: str, cause: Cause) -> None:
        if not self.expected[job_id].may(cause):
            with pytest.raises(IllegalTransition):
                self.run(self.store.move_in_queue(job_id, cause))
            return
        before = [job.id for job in self.run(self.store.queue(10_000)) if job.rank != CALL_RANK]
        for written in self.run(self.store.move_in_queue(job_id, cause)):
            self.publish(written if written.changes else None)
        after = [job.id for job in self.run(self.store.queue(10_000)) if job.rank != CALL_RANK]
        if job_id in before:  # otherwise the job is a call
            at = before.index(job_id)
            to = min(max(0, at + (1 if cause is Cause.LATER else -1)), len(before) - 1)
            before[at], before[to] = before[to], before[at]
        assert after == before

    @rule(job_id=consumes(jobs))
    def delete(self, job_id: str) -> None:
        change = self.run(self.store.delete(job_id))
        assert change.kind == "deleted"
        self.published.append(change)
        self.gone.add(job_id)
        del self.expected[job_id]

    @rule(
        job_id=consumes(jobs), index=INDEXES, late=st.sampled_from(["chunk", "text", "gap", "attempt", "note", "end"])
    )
    def delete_in_work(self, job_id: str, index: int, late: str) -> None:
        """Delete a job in work. The reports that its actors still send find nothing."""
        if self.expected[job_id].may(Cause.CLAIM):
            self.ask(job_id, Cause.CLAIM)
            self.add_chunk(job_id, index, again=False)
        self.delete(job_id)
        match late:
            case "chunk":
                assert self.run(self.store.add_chunk(job_id, span(index))) is None
            case "text":
                assert self.run(self.store.checkpoint(job_id, index, said(index, 2), "en", progress=0.5)) is None
            case "gap":
                gap = Gap(float(index), index + 1.0, "It crashed.")
                assert self.run(self.store.fail_chunk(job_id, index, PROBLEM, gap)) is None
            case "attempt":
                self.run(self.store.count_attempts([(job_id, index)]))
            case "note":
                assert self.run(self.store.update(job_id, expected=Status.PROCESSING, progress=0.5)) is None
            case _:
                with pytest.raises(NotFound):
                    self.run(self.store.move(job_id, Cause.FINISH))

    # -- the service and its actors

    @rule(chunks=st.sets(INDEXES))
    def claim_next(self, chunks: set[int]) -> None:
        """Claim the next job and add its chunks, as the service does."""
        for job in self.run(self.store.queue(1)):
            self.ask(job.id, Cause.CLAIM)
            for index in sorted(chunks):
                self.add_chunk(job.id, index, again=False)

    @rule(job_id=jobs, index=INDEXES, again=st.booleans())
    def add_chunk(self, job_id: str, index: int, again: bool) -> None:
        for _ in range(2 if again else 1):
            self.cut(job_id, span(index))

    @rule(job_id=jobs, index=INDEXES)
    def cut_again(self, job_id: str, index: int) -> None:
        """Add a chunk with another span. A chunk that is known stays as it is."""
        self.cut(job_id, other_span(index))

    def cut(self, job_id: str, found: Span) -> None:
        expected = self.expected[job_id]
        written = self.run(self.store.add_chunk(job_id, found))
        assert (written is not None) == (expected.status is Status.PROCESSING and found.index not in expected.chunks)
        if written is not None:
            expected.chunks[found.index], expected.spans[found.index] = ChunkState.WAITING, found
        self.publish(written)

    @rule(job_id=jobs, index=INDEXES, count=st.integers(0, 3), progress=PROGRESS, again=st.booleans())
    def checkpoint(self, job_id: str, index: int, count: int, progress: float, again: bool) -> None:
        expected = self.expected[job_id]
        for _ in range(2 if again else 1):
            written = self.run(self.store.checkpoint(job_id, index, said(index, count), "en", progress=progress))
            assert (written is not None) == expected.takes(index)
            if written is not None:
                expected.chunks[index] = ChunkState.DONE
                expected.text[index] = said(index, count)
            self.publish(written)

    @rule(data=st.data(), gap=st.sampled_from([False, False, True]), progress=PROGRESS)
    def result(self, data: st.DataObject, gap: bool, progress: float) -> None:
        """Give a wanted result if there is one. The last result finishes its job."""
        wanted = [(job_id, index) for job_id, job in self.expected.items() for index in job.chunks if job.takes(index)]
        if not wanted:
            self.claim_next({0, 1, 2})
            return
        job_id, index = data.draw(st.sampled_from(wanted))
        if gap:
            self.fail_chunk(job_id, index)
        else:
            self.checkpoint(job_id, index, 2, progress, again=False)
        if self.expected[job_id].may(Cause.FINISH):
            self.ask(job_id, Cause.FINISH)

    @rule(job_id=jobs, index=INDEXES, killed=st.booleans())
    def count_attempt(self, job_id: str, index: int, killed: bool) -> None:
        self.run(self.store.count_attempts([(job_id, index)], killed=killed))
        expected = self.expected[job_id]
        if index in expected.chunks and not killed:
            expected.attempts[index] = expected.attempts.get(index, 0) + 1

    @rule(job_id=jobs, index=INDEXES)
    def fail_chunk(self, job_id: str, index: int) -> None:
        expected = self.expected[job_id]
        written = self.run(self.store.fail_chunk(job_id, index, PROBLEM, Gap(float(index), index + 1.0, "It crashed.")))
        assert (written is not None) == expected.takes(index)
        if written is not None:
            expected.chunks[index] = ChunkState.FAILED
            expected.gaps.append(index)
        self.publish(written)

    @rule(
        job_id=jobs, gaps=st.sets(INDEXES, min_size=1), cause=st.sampled_from([Cause.FINISH, Cause.FAULT, Cause.CANCEL])
    )
    def retry_gaps(self, job_id: str, gaps: set[int], cause: Cause) -> None:
        """End a job with gaps and retry it: only the gaps wait."""
        expected = self.expected[job_id]
        if expected.may(Cause.CLAIM):
            self.ask(job_id, Cause.CLAIM)
        for index in sorted(gaps):
            self.add_chunk(job_id, index, again=False)
            self.fail_chunk(job_id, index)
        for index in [index for index in expected.chunks if expected.takes(index)]:
            self.checkpoint(job_id, index, 1, 0.5, again=False)
        self.ask(job_id, cause)
        done = {index for index, state in expected.chunks.items() if state is ChunkState.DONE}
        self.ask(job_id, Cause.RETRY)
        if expected.status is Status.PENDING:
            waiting = {index for index, state in expected.chunks.items() if state is ChunkState.WAITING}
            assert waiting == expected.chunks.keys() - done

    @rule(keep=st.integers(1, 30), page=st.integers(1, 10), pages=st.integers(1, 4))
    def prune(self, keep: int, page: int, pages: int) -> None:
        """Prune some pages of the log or all. The bounds are the same."""
        self.pruned = max(self.pruned, len(self.published) - keep)
        while self.run(self.store.change_log.prune(keep, page=page)) and (pages := pages - 1):
            pass

    @rule(job_id=jobs, progress=PROGRESS, expect=st.sampled_from(Status))
    def note(self, job_id: str, progress: float, expect: Status) -> None:
        written = self.run(self.store.update(job_id, expected=expect, progress=progress, speed=progress))
        assert (written is not None) == (expect is self.expected[job_id].status)
        self.publish(written)

    # -- power cuts

    @rule(tables=st.none() | st.sets(st.sampled_from(["job", "chunk", "segment", "change"])))
    def crash(self, tables: set[str] | None) -> None:
        """Go on with a copy of the files from the middle of a transaction. None: stop and start the service."""
        self.run(self.stack.aclose() if tables is None else self._die_halfway(tables))
        self.come_back()

    async def _die_halfway(self, tables: set[str]) -> None:
        writer = self.store._db.writer
        # With a small cache, pages of the transaction reach the file before the commit.
        await writer.execute("PRAGMA cache_size = 1")
        await writer.execute("PRAGMA cache_spill = 1")
        await writer.execute("BEGIN IMMEDIATE")
        for table in sorted(tables):
            await writer.execute(f"DELETE FROM {table}")
        await writer.execute("INSERT INTO change (job_id, kind, payload) VALUES ('x', 'update', zeroblob(100000))")
        self.lives += 1
        left = self.directory / f"{self.lives}.db"
        for suffix in ("", "-wal"):
            shutil.copyfile(f"{self.path}{suffix}", f"{left}{suffix}")
        await writer.rollback()
        await self.stack.aclose()
        self.path = left

    def come_back(self) -> None:
        self.run(self._open())
        recovered = self.run(self.store.recover(speed=None))
        interrupted = {job_id for job_id, job in self.expected.items() if job.status is Status.PROCESSING}
        assert {written.job.id for written in recovered} == interrupted
        for written in recovered:
            self.expected[written.job.id].move(Cause.RECOVER)
            self.publish(written)

    # -- what always holds

    @invariant()
    def the_log_is_whole(self) -> None:
        """Check that every published change is there, in order, except those of deleted jobs and old ones."""
        seqs = [change.seq for change in self.published]
        assert seqs == list(range(1, len(seqs) + 1))
        kept = [change for change in self.published if change.job_id not in self.gone or change.kind == "deleted"]
        recent = [change for change in kept if change.seq > self.pruned]
        assert self.run(self.store.change_log.changes(self.pruned, limit=10_000)) == recent
        everything = self.run(self.store.change_log.changes(0, limit=10_000))
        assert everything == kept[len(kept) - len(everything) :]  # only pages of the oldest changes are gone
        assert self.run(self.store.change_log.bounds()) == (self.pruned, len(seqs))

    @invariant()
    def a_client_that_replays_the_log_knows_it_all(self) -> None:
        jobs: dict[str, Job] = {}
        text: dict[str, list[Segment]] = {}
        for change in self.published:
            match change.kind:
                case "update":
                    job = msgspec.json.decode(change.payload, type=Job)
                    if before := jobs.get(job.id):
                        assert before.status is job.status or (before.status, job.status) in STEPS
                        retried = before.status in TERMINAL and job.status is Status.PENDING
                        assert before.progress <= job.progress or retried
                        assert before.chunks_total <= job.chunks_total
                    else:
                        assert job.status is Status.PENDING
                    jobs[job.id] = job
                case "segment":
                    payload = msgspec.json.decode(change.payload)
                    text.setdefault(payload["job_id"], []).append(msgspec.convert(payload["segment"], Segment))
                case "deleted":
                    del jobs[change.job_id]
                    text.pop(change.job_id, None)
        stored = self.run(self.store.jobs(limit=10_000))
        assert {job.id: job for job in stored} == jobs
        assert [job.id for job in stored] == sorted(jobs, reverse=True)
        for job_id in jobs:
            assert self.run(self.store.segments(job_id)) == sorted(
                text.get(job_id, []), key=lambda s: (s.chunk, s.index)
            )

    @invariant()
    def every_job_is_what_happened_to_it(self) -> None:
        stored = {job.id: job for job in self.run(self.store.jobs(limit=10_000))}
        assert stored.keys() == self.expected.keys()
        assert self.run(self.store.count()) == dict.fromkeys(Status, 0) | Counter(job.status for job in stored.values())
        for job_id, expected in self.expected.items():
            job = stored[job_id]
            chunks = self.run(self.store.chunks(job_id))
            assert job.status is expected.status
            assert {chunk.span.index: chunk.state for chunk in chunks} == expected.chunks
            assert [chunk.span for chunk in chunks] == [expected.spans[index] for index in sorted(expected.chunks)]
            assert {chunk.span.index: chunk.attempts for chunk in chunks if chunk.attempts} == {
                k: v for k, v in expected.attempts.items() if v
            }
            assert [gap.start for gap in job.gaps] == expected.gaps
            assert job.chunks_total == len(chunks)
            assert job.chunks_done == sum(chunk.state is ChunkState.DONE for chunk in chunks)
            text = [segment for index in sorted(expected.text) for segment in expected.text[index]]
            assert self.run(self.store.segments(job_id)) == text
            if job.status is Status.COMPLETED:
                assert job.chunks_done or not job.chunks_total
                assert all(chunk.state is not ChunkState.WAITING for chunk in chunks)
                assert job.chunks_done + len(job.gaps) == job.chunks_total

    @invariant()
    def the_queue_is_every_pending_job_in_order(self) -> None:
        pending = [job for job in self.run(self.store.jobs(limit=10_000)) if job.status is Status.PENDING]
        assert self.run(self.store.queue(10_000)) == sorted(pending, key=lambda job: (job.rank, job.id))


TestStore = StoreMachine.TestCase
TestStore.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
