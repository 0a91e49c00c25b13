"""A job in work: which chunks wait, are in flight or done, and what that means for its progress. No I/O.

This is run-time state, owned by the dispatcher's loop; everything in it can be rebuilt from the store and a second decode.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from typing import Any, Final

from whisper_service import planner
from whisper_service.domain import SAMPLE_RATE, Chunk, ChunkState, Job, Phase, Problem, Span

LANGUAGE_SURE: Final = 0.5
"""Probability from which the language of one chunk is taken for that of the recording."""
LANGUAGE_TRIES: Final = 3
"""Chunks after which a guess is taken anyhow."""
SHOWN: Final = 64
"""Waiting chunks the planner gets to see: more than any batch takes."""
ALMOST: Final = 0.99
"""Progress is never shown as complete before it is."""


class Decoding(StrEnum):
    """How far the spool is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"


@dataclass
class Run:
    """One job in `Status.PROCESSING`."""

    job: Job
    order: int
    now: float
    decoding: Decoding = Decoding.WAITING
    worker: str | None = None  # the media actor that decodes it
    decoder_deaths: int = 0  # in a row at the same place
    decoder_died_at_s: float = -1.0
    decode_problem: Problem | None = None  # the recording broke off: fails the job once its chunks are done
    warning: Problem | None = None
    duration_s: float | None = None
    decoded_s: float = 0.0
    waiting: dict[int, Chunk] = field(default_factory=dict)  # in the spool, in order
    in_flight: dict[int, Chunk] = field(default_factory=dict)
    finished: set[int] = field(default_factory=set)
    attempts: dict[int, int] = field(default_factory=dict)
    served: int = 0
    last_turn: int = 0
    since: float = 0.0
    covered_before_s: float = 0.0

    @classmethod
    def resume(cls, job: Job, chunks: Iterable[Chunk], *, order: int, spooled: bool, now: float) -> Run:
        """Take a job up where the store has it. Without a complete spool, chunks wait until they are decoded again."""
        run = cls(job=job, order=order, now=now, since=now, duration_s=job.duration_s)
        for chunk in chunks:
            if chunk.state is not ChunkState.WAITING:
                run.finished.add(chunk.span.index)
            elif spooled:
                run.waiting[chunk.span.index] = chunk
            run.attempts[chunk.span.index] = chunk.attempts
        if spooled:
            run.decoding = Decoding.DONE
            run.decoded_s = job.duration_s or 0.0
        run.covered_before_s = job.position_s
        return run

    @property
    def language(self) -> str | None:
        """What is asked for, or known by now."""
        return self.job.options.language or self.job.language

    def found(self, span: Span) -> None:
        """The media actor has written this chunk to the spool."""
        self.decoded_s = max(self.decoded_s, span.end)
        if span.index not in self.finished and span.index not in self.in_flight:
            self.waiting[span.index] = Chunk(span=span, attempts=self.attempts.get(span.index, 0))

    def decoded(self, duration_s: float, warning: Problem | None) -> None:
        """The whole recording is in the spool."""
        self.decoding, self.worker, self.warning = Decoding.DONE, None, warning
        self.duration_s = self.decoded_s = duration_s

    def decoder_died(self) -> int:
        """Its media actor is gone and another begins anew; returns how many died without getting any further."""
        self.decoding, self.worker = Decoding.WAITING, None
        further = self.decoded_s > self.decoder_died_at_s
        self.decoder_deaths = 1 if further else self.decoder_deaths + 1
        self.decoder_died_at_s = self.decoded_s
        return self.decoder_deaths

    def broke_off(self, problem: Problem) -> None:
        """It cannot be read any further; what was found before is still transcribed."""
        self.decoding, self.worker, self.decode_problem = Decoding.DONE, None, problem

    def give(self, index: int, turn: int, now: float) -> Chunk:
        """A chunk goes to the speech actor."""
        chunk = self.waiting.pop(index)
        self.in_flight[index] = chunk
        self.served += 1
        self.last_turn = turn
        self.since = now
        return chunk

    def take_back(self, index: int) -> None:
        """It was not done, through no fault of its own."""
        if chunk := self.in_flight.pop(index, None):
            self.waiting = dict(sorted({**self.waiting, index: chunk}.items()))

    def strike(self, index: int) -> Chunk:
        """It was in the hands of an actor that died or failed; returns it with the count."""
        chunk = self.in_flight.pop(index)
        struck = Chunk(span=chunk.span, attempts=chunk.attempts + 1)
        self.attempts[index] = struck.attempts
        self.waiting = dict(sorted({**self.waiting, index: struck}.items()))
        return struck

    def done(self, index: int) -> None:
        """It is in the store, as text or as a gap."""
        self.in_flight.pop(index, None)
        self.waiting.pop(index, None)
        self.finished.add(index)

    def hear(self, language: str, probability: float | None, *, text: bool) -> str | None:
        """The job's language after a chunk whose language was detected; None while it stays unknown.

        Chunks of such a job come one after the other, and nothing but this one and the number before it counts: a job that
        was interrupted decides as one that was not.
        """
        if self.language is not None or probability is None or not text:
            return self.language
        sure = probability >= LANGUAGE_SURE or len(self.finished) + 1 >= LANGUAGE_TRIES
        return language if sure else None

    def covered_s(self) -> float:
        """Everything before this is transcribed, in seconds on the recording's clock."""
        unfinished = (chunk.span.start for chunk in (*self.waiting.values(), *self.in_flight.values()))
        return min(unfinished, default=self.decoded_s)

    def progress(self, now: float) -> dict[str, Any]:
        """The fields of the job that say how far it is."""
        duration = self.duration_s
        left = sum(chunk.span.samples for chunk in (*self.waiting.values(), *self.in_flight.values())) / SAMPLE_RATE
        fields: dict[str, Any] = {"position_s": round(self.covered_s(), 3), "duration_s": duration}
        done = max(0.0, self.decoded_s - left)
        elapsed = now - self.now
        gained = done - self.covered_before_s
        if elapsed > 0 and gained > 0:
            speed = gained / elapsed
            fields["speed"] = round(speed, 2)
            if duration:
                fields["eta_s"] = round(max(0.0, duration - done) / speed, 1)
        if duration:
            fields["progress"] = round(min(ALMOST, done / duration), 4)
        return fields

    def phase(self, loaded: str | None) -> Phase:
        """What the job is busy with, given the model that is loaded."""
        if not self.finished and not self.waiting and not self.in_flight:
            return Phase.DECODING if self.decoding is not Decoding.DONE else Phase.FINALIZING
        if (self.waiting or self.in_flight) and loaded != self.job.model:
            return Phase.LOADING_MODEL
        if self.waiting or self.in_flight:
            return Phase.TRANSCRIBING
        return Phase.DECODING if self.decoding is not Decoding.DONE else Phase.FINALIZING

    def view(self) -> planner.Work:
        """This job as the planner sees it."""
        shown = [planner.Ready(index, chunk.attempts) for index, chunk in islice(self.waiting.items(), SHOWN)]
        options = self.job.options
        return planner.Work(
            job_id=self.job.id,
            model=self.job.model or options.model,
            batch_key=f"{self.job.model}\n{options.preset}\n{options.prompt or ''}",
            rank=self.job.rank,
            order=self.order,
            bytes=self.job.bytes,
            decode=self.decoding.value,
            ready=tuple(shown),
            in_flight=len(self.in_flight),
            served=self.served,
            last_turn=self.last_turn,
            language_known=self.language is not None,
            since=self.since,
        )
