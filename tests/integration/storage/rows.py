"""Jobs, chunks and segments to put into a store."""

from __future__ import annotations

from typing import Any

from whisper_service.core.domain import Job, Options, Phase, Problem, Segment, Span, Status, Word
from whisper_service.core.job_states import Cause
from whisper_service.storage.store import Store

PROBLEM = Problem(code="crashed", message="It crashed.", hint="Try again.", params={"detail": "core dumped"})


def new(job_id: str = "a", **fields: Any) -> Job:
    known: dict[str, Any] = {
        "name": f"{job_id}.mp3",
        "options": Options(),
        "created_at": 1.5,
        "bytes": 3,
        "sha256": "00",
    }
    return Job(id=job_id, status=Status.PENDING, **known | fields)


def span(index: int) -> Span:
    return Span(index, index * 16_000, 16_000, start=index + 0.1, end=index + 1.1)


def said(chunk: int, *texts: str) -> list[Segment]:
    return [
        Segment(
            chunk,
            index,
            chunk + index / 10,
            chunk + index / 10 + 0.05,
            text,
            (Word(1 / 3, 2 / 3, text, 0.9),),
            "en",
            -0.25,
        )
        for index, text in enumerate(texts)
    ]


async def working(store: Store, chunks: int = 0, job_id: str = "a") -> Job:
    """A job in work with this many waiting chunks."""
    await store.add(new(job_id))
    job = (await store.move(job_id, Cause.CLAIM, phase=Phase.DECODING)).job
    for index in range(chunks):
        written = await store.add_chunk(job_id, span(index))
        assert written is not None
        job = written.job
    return job


async def everything(store: Store) -> tuple[Any, ...]:
    """All that can be read, to compare before and after."""
    jobs = await store.jobs(limit=1_000)
    parts = [(job, await store.chunks(job.id), await store.segments(job.id)) for job in jobs]
    return parts, await store.change_log.changes(0, limit=10_000), await store.change_log.bounds()
