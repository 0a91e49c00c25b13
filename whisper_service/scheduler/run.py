"""A job in work: which chunks wait, are in flight or done, and what that means for its progress. No I/O.

This is run-time state, owned by the dispatcher's loop; everything in it can be rebuilt from the store and a second decode.

A second decode need not cut as the first one did: another version of the service may have made that. The samples are the same,
so the chunks in the store stay what they are, and only what lies behind the last of them is cut anew. No stretch of speech is
so lost or told twice, and what is done stays done.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import chain, islice
from typing import Any, Final

from whisper_service.core.domain import DETECT_S, SAMPLE_RATE, Chunk, ChunkState, Job, Phase, Problem, Span, Task
from whisper_service.scheduler import planner

LANGUAGE_SURE: Final = 0.5
"""Probability from which the language of one chunk is taken for that of the recording."""
LANGUAGE_TRIES: Final = 3
"""Chunks after which a guess is taken anyhow."""
SHOWN: Final = 64
"""Waiting chunks the planner gets to see: more than any batch takes."""
SHORTEST: Final = SAMPLE_RATE // 10
"""Samples that are no chunk of their own: what a new cut leaves over behind an old one may be less than any word."""
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
    decoder_deaths: int = 0  # in a row at the same place, by themselves
    decoder_kills: int = 0  # and from outside
    decoder_died_at_s: float = -1.0
    decode_problem: Problem | None = None  # the recording broke off: fails the job once its chunks are done
    losses: int = 0  # of the spool, while chunks of it were in work
    lost_at_turn: int = 0
    duration_s: float | None = None
    decoded_s: float = 0.0  # by this decode
    cut_samples: int = 0  # every chunk that begins before this sample is known
    cut_s: float = 0.0  # the same place in seconds on the recording's clock
    next_index: int = 0
    known: dict[int, Chunk] = field(default_factory=dict)  # wait, but are not in the spool (again) yet
    waiting: dict[int, Chunk] = field(default_factory=dict)  # in the spool, in order
    in_flight: dict[int, Chunk] = field(default_factory=dict)
    batch_of: dict[int, int] = field(default_factory=dict)  # of each chunk in flight
    finished: set[int] = field(default_factory=set)
    gaps: dict[int, Problem] = field(default_factory=dict)  # why those of `finished` that have no text were given up
    served: int = 0  # chunks given since the speech actor was started
    last_turn: int = 0
    since: float = 0.0
    done_before_s: float = 0.0
    finished_before: int = 0

    @classmethod
    def resume(cls, job: Job, chunks: Iterable[Chunk], *, order: int, spooled: bool, now: float) -> Run:
        """Take a job up where the store has it. Without a complete spool, chunks wait until they are decoded again."""
        run = cls(job=job, order=order, now=now, since=now, duration_s=job.duration_s)
        for chunk in chunks:
            run._learn(chunk.span)
            if chunk.state is ChunkState.WAITING:
                (run.waiting if spooled else run.known)[chunk.span.index] = chunk
                continue
            run.finished.add(chunk.span.index)
            if chunk.error is not None:
                run.gaps[chunk.span.index] = chunk.error
        if job.decoded:
            run.cut_s = max(run.cut_s, job.duration_s or 0.0)
        if spooled:
            run.decoding = Decoding.DONE
            run.decoded_s = run.cut_s
        run.done_before_s = run.done_s()
        run.finished_before = len(run.finished)
        return run

    @property
    def language(self) -> str | None:
        """What is asked for, or known by now."""
        return self.job.options.language or self.job.language

    @property
    def limit_s(self) -> float | None:
        """How much of the recording matters; None: all."""
        return DETECT_S if self.job.options.task is Task.DETECT else None

    def unknown(self, span: Span) -> Span | None:
        """What of a span that the media actor cut is in no chunk yet, numbered as the next chunk; None if nothing is.

        Equal versions cut equally, so that this is either all of the span or nothing.
        """
        if self.job.decoded:  # a first decode came to its end: every chunk is known
            return None
        begin, end = max(span.start_sample, self.cut_samples), span.start_sample + span.samples
        if begin > span.start_sample and end - begin < SHORTEST:
            return None
        start = span.start if begin == span.start_sample else span.end - (end - begin) / SAMPLE_RATE
        return Span(index=self.next_index, start_sample=begin, samples=end - begin, start=start, end=span.end)

    def found(self, span: Span) -> None:
        """A chunk that is new; its samples are in the spool."""
        self._learn(span)
        self.waiting[span.index] = Chunk(span=span)

    def reached(self, span: Span) -> None:
        """The spool holds everything up to the end of this span: chunks that are known and end there can be worked on."""
        self.decoded_s = max(self.decoded_s, span.end)
        self._release(span.start_sample + span.samples)

    def decoded(self, duration_s: float) -> None:
        """The whole recording is in the spool."""
        self.decoding, self.worker = Decoding.DONE, None
        self.duration_s = self.decoded_s = self.cut_s = duration_s
        self._release(None)

    def decoder_died(self, *, killed: bool = False) -> None:
        """Its media actor is gone and another begins anew; those that got no further are counted."""
        self.decode_again()
        if self.decoded_s > self.decoder_died_at_s:
            self.decoder_deaths = self.decoder_kills = 0
        self.decoder_deaths += not killed
        self.decoder_kills += killed
        self.decoder_died_at_s = self.decoded_s

    def spool_lost(self, index: int, batch: int) -> bool:
        """The samples of a chunk in flight are not where they should be. It waits for a new decode, and so does all that
        waits; True if that decode has to be begun (and one that runs to be stopped)."""
        if self.batch_of.get(index) != batch:
            return False
        stale = batch <= self.lost_at_turn  # given before the decode that is to mend it, or that already did
        chunk = self._withdraw(index)
        if stale:
            done = self.decoding is Decoding.DONE
            self._put(self.waiting if done else self.known, chunk)
            return False
        self.losses += 1
        self.lost_at_turn = self.last_turn
        self.known = dict(sorted({**self.known, **self.waiting, index: chunk}.items()))
        self.waiting = {}
        return True

    def decode_again(self) -> None:
        """From the beginning, by any media actor."""
        self.decoding, self.worker = Decoding.WAITING, None

    def broke_off(self, problem: Problem) -> None:
        """It cannot be read any further; what was found before is still transcribed."""
        self.decoding, self.worker, self.decode_problem = Decoding.DONE, None, problem

    def give(self, index: int, turn: int, now: float) -> Chunk:
        """A chunk goes to the speech actor, in the batch with the number `turn`."""
        chunk = self.waiting.pop(index)
        self.in_flight[index], self.batch_of[index] = chunk, turn
        self.served += 1
        self.last_turn = turn
        self.since = now
        return chunk

    def begin_small(self) -> None:
        """The speech actor is another: the next batches grow from one chunk again, so that text comes at once."""
        self.served = 0

    def take_back(self, index: int, batch: int) -> None:
        """It was not done, through no fault of its own. Nothing happens if this batch does not have it (any more)."""
        if self.batch_of.get(index) == batch:
            self._put(self.waiting, self._withdraw(index))

    def strike(self, index: int, batch: int, *, killed: bool = False) -> Chunk | None:
        """It was in the hands of an actor that died or failed; returns it with the count, None as for `take_back`."""
        if self.batch_of.get(index) != batch:
            return None
        chunk = self._withdraw(index)
        struck = Chunk(span=chunk.span, attempts=chunk.attempts + (not killed), kills=chunk.kills + killed)
        self._put(self.waiting, struck)
        return struck

    def done(self, index: int, problem: Problem | None = None) -> None:
        """It is in the store, as text or, with a problem, as a gap."""
        self.batch_of.pop(index, None)
        for chunks in (self.in_flight, self.waiting, self.known):
            chunks.pop(index, None)
        self.finished.add(index)
        if problem is not None:
            self.gaps[index] = problem

    def without(self, index: int) -> Run:
        """How it will stand when this chunk is done."""
        later = replace(self, known=dict(self.known), waiting=dict(self.waiting), in_flight=dict(self.in_flight))
        later.batch_of, later.finished = dict(self.batch_of), set(self.finished)
        later.done(index)
        return later

    @property
    def failure(self) -> Problem | None:
        """Why the job fails, though nothing is left to do: it could not be read to its end, or nothing of it became text."""
        if self.decode_problem is not None or not self.gaps or len(self.gaps) < len(self.finished):
            return self.decode_problem
        last = self.gaps[max(self.gaps)]
        message = f"No part of the recording could be transcribed. {last.message}"
        return Problem(code=last.code, message=message, hint=last.hint, params=last.params)

    def hear(self, language: str, probability: float | None, *, text: bool) -> str | None:
        """The job's language after a chunk whose language was detected; None while it stays unknown.

        Chunks of such a job come one after the other, and nothing but this one and the number before it counts: a job that
        was interrupted decides as one that was not.
        """
        heard = text or self.job.options.task is Task.DETECT
        if self.language is not None or probability is None or not heard:
            return self.language
        sure = probability >= LANGUAGE_SURE or len(self.finished) + 1 >= LANGUAGE_TRIES
        return language if sure else None

    def _open(self) -> Iterator[Chunk]:
        return chain(self.known.values(), self.waiting.values(), self.in_flight.values())

    def covered_s(self) -> float:
        """Everything before this is transcribed, in seconds on the recording's clock."""
        return min((chunk.span.start for chunk in self._open()), default=max(self.cut_s, self.decoded_s))

    def done_s(self) -> float:
        """Seconds of the recording that are transcribed, or are known to be silent."""
        left = sum(chunk.span.samples for chunk in self._open()) / SAMPLE_RATE
        return max(0.0, max(self.cut_s, self.decoded_s) - left)

    def progress(self, now: float) -> dict[str, Any]:
        """The fields of the job that say how far it is."""
        duration = self.duration_s
        fields: dict[str, Any] = {"position_s": round(self.covered_s(), 3), "duration_s": duration}
        done = self.done_s()
        elapsed = now - self.now
        gained = done - self.done_before_s
        if elapsed > 0 and gained > 0 and len(self.finished) > self.finished_before:  # else all of it was silence
            speed = gained / elapsed
            fields["speed"] = round(speed, 2)
            if duration:
                fields["eta_s"] = round(max(0.0, duration - done) / speed, 1)
        if duration:
            fields["progress"] = round(min(ALMOST, done / duration), 4)
        return fields

    def phase(self, loaded: str | None, *, model_missing: bool = False) -> Phase:
        """What the job is busy with, given the model that is loaded, and whether its own is still on its way here."""
        if model_missing:
            return Phase.DOWNLOADING_MODEL
        if self.waiting or self.in_flight:
            return Phase.TRANSCRIBING if loaded is not None and loaded == self.job.model else Phase.LOADING_MODEL
        return Phase.DECODING if self.decoding is not Decoding.DONE else Phase.FINALIZING

    def view(self, *, model_missing: bool = False) -> planner.JobView:
        """This job as the planner sees it."""
        shown = [
            planner.ReadyChunk(index, chunk.attempts, chunk.kills)
            for index, chunk in islice(self.waiting.items(), SHOWN)
        ]
        options = self.job.options
        return planner.JobView(
            job_id=self.job.id,
            model=self.job.model,
            batch_key="\n".join(
                [
                    str(self.job.model),
                    options.preset,
                    "detect" if options.task is Task.DETECT else "",
                    options.prompt or "",
                ]
            ),
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
            model_missing=model_missing,
        )

    def _learn(self, span: Span) -> None:
        """A chunk that the store has."""
        self.next_index = max(self.next_index, span.index + 1)
        self.cut_samples = max(self.cut_samples, span.start_sample + span.samples)
        self.cut_s = max(self.cut_s, span.end)

    def _release(self, samples: int | None) -> None:
        """The spool is good up to here; None: to its end."""
        ready = {
            index: chunk
            for index, chunk in self.known.items()
            if samples is None or chunk.span.start_sample + chunk.span.samples <= samples
        }
        if ready:
            self.known = {index: chunk for index, chunk in self.known.items() if index not in ready}
            self.waiting = dict(sorted({**self.waiting, **ready}.items()))

    def _withdraw(self, index: int) -> Chunk:
        """Out of flight."""
        del self.batch_of[index]
        return self.in_flight.pop(index)

    def _put(self, chunks: dict[int, Chunk], chunk: Chunk) -> None:
        """Into its place in this order."""
        chunks[chunk.span.index] = chunk
        ordered = sorted(chunks.items())
        chunks.clear()
        chunks.update(ordered)
