"""A job in work: which chunks wait, are in flight or done, and the progress that follows. No I/O.

Runs live in memory and belong to the scheduler's loop. The store and a second decode can rebuild them.

A second decode may cut other chunks than the first, which another version of the service may have made. The samples
are equal. So the stored chunks stay as they are, and only what comes after the last of them is cut anew. No stretch of
speech is lost or transcribed twice, and what is done stays done.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, Final

from whisper_service.core.domain import DETECT_S, SAMPLE_RATE, Chunk, ChunkState, Job, Problem, Span, Task
from whisper_service.editing.vocabulary import prompt_with
from whisper_service.scheduler.run_speakers import RunSpeakers
from whisper_service.scheduler.views import Decoding

LANGUAGE_SURE: Final = 0.5
"""Probability from which the language of one chunk counts as the language of the recording."""
LANGUAGE_TRIES: Final = 3
"""Chunks after which the language counts whatever its probability."""
SHORTEST_CHUNK: Final = SAMPLE_RATE // 10
"""Fewer samples make no chunk: what a new cut leaves after an old one may be shorter than any word."""
MAX_PROGRESS: Final = 0.99
"""Progress is not shown as complete before the job ends."""


@dataclass
class Run:
    """A job in `Status.PROCESSING`."""

    job: Job
    order: int  # the number of the claim
    claimed_at: float
    decoding: Decoding = Decoding.WAITING
    media_actor: str | None = None  # the media actor that decodes the recording
    media_deaths: int = 0  # media actors in a row that died by themselves at the same place
    media_kills: int = 0  # media actors in a row that were killed from outside at the same place
    media_died_at_s: float = -1.0
    decodes_lost: int = 0  # how often the machine of the media actor got lost
    decode_problem: Problem | None = None  # why decoding stopped early: fails the job once its chunks are done
    spool_losses: int = 0  # how often the spool was missing while chunks were in work
    last_batch_before_loss: int = 0
    duration_s: float | None = None
    decoded_s: float = 0.0  # by the present decode
    cut_samples: int = 0  # every chunk that begins before this sample is known
    cut_s: float = 0.0  # that place in seconds on the recording's clock
    next_index: int = 0
    unspooled: dict[int, Chunk] = field(default_factory=dict)  # wait until the spool has their samples
    waiting: dict[int, Chunk] = field(default_factory=dict)  # their samples are in the spool; in order
    in_flight: dict[int, Chunk] = field(default_factory=dict)
    batch_of: dict[int, int] = field(default_factory=dict)  # the batch of each chunk in flight
    second_batch_of: dict[int, int] = field(default_factory=dict)  # the second one, of chunks that were given again
    finished: set[int] = field(default_factory=set)
    gaps: dict[int, Problem] = field(default_factory=dict)  # why finished chunks have no text
    speakers: RunSpeakers | None = None  # None: they are not told apart
    hints: dict[str, str] = field(default_factory=dict)  # what the model is told of the vocabulary, by language
    given: int = 0  # chunks given since the speech actor started
    last_batch: int = 0
    waiting_since: float = 0.0
    done_at_claim_s: float = 0.0
    finished_at_claim: int = 0

    @classmethod
    def resume(cls, job: Job, chunks: Iterable[Chunk], *, order: int, spooled: bool, now: float) -> Run:
        """Return the run of a job with its stored chunks. Unless the spool is complete, they wait for a new decode."""
        run = cls(job=job, order=order, claimed_at=now, waiting_since=now, duration_s=job.duration_s)
        for chunk in chunks:
            run._count_span(chunk.span)
            if chunk.state is ChunkState.WAITING:
                (run.waiting if spooled else run.unspooled)[chunk.span.index] = chunk
                continue
            run.finished.add(chunk.span.index)
            if chunk.error is not None:
                run.gaps[chunk.span.index] = chunk.error
        if job.decoded:
            run.cut_s = max(run.cut_s, job.duration_s or 0.0)
        if spooled:
            run.decoding = Decoding.DONE
            run.decoded_s = run.cut_s
        run.done_at_claim_s = run.done_s()
        run.finished_at_claim = len(run.finished)
        return run

    @property
    def language(self) -> str | None:
        """The language that was asked for or detected. None: unknown so far."""
        return self.job.options.language or self.job.language

    @property
    def prompt(self) -> str | None:
        """What the model is told before the text: by who sent the recording, and of the vocabulary."""
        return prompt_with(self.job.options.prompt, self.hints, self.language)

    @property
    def has_all_text(self) -> bool:
        """Whether nothing is left to read or to recognise."""
        return self.decoding is Decoding.DONE and not self.waiting and not self.in_flight

    @property
    def limit_s(self) -> float | None:
        """The seconds of the recording that are decoded. None: all of it."""
        return DETECT_S if self.job.options.task is Task.DETECT else None

    # -- decoding -----------------------------------------------------------------------------------------------------

    def new_part(self, span: Span) -> Span | None:
        """Return what is new in a span from the media actor, numbered as the next chunk. None: nothing.

        Equal versions cut equally: there either all of a span is new or nothing.
        """
        if self.job.decoded:  # the first decode was complete: every chunk is known
            return None
        begin, end = max(span.start_sample, self.cut_samples), span.start_sample + span.samples
        if begin > span.start_sample and end - begin < SHORTEST_CHUNK:
            return None
        start = span.start if begin == span.start_sample else span.end - (end - begin) / SAMPLE_RATE
        return Span(index=self.next_index, start_sample=begin, samples=end - begin, start=start, end=span.end)

    def add_chunk(self, span: Span) -> None:
        """Add a new chunk whose samples are in the spool."""
        self._count_span(span)
        self.waiting[span.index] = Chunk(span=span)

    def spool_reaches(self, span: Span) -> None:
        """Let known chunks wait for a batch that end before the end of this span: the spool has their samples."""
        self.decoded_s = max(self.decoded_s, span.end)
        self._spool_has(span.start_sample + span.samples)

    def finish_decoding(self, duration_s: float) -> None:
        """Record that the whole recording is in the spool."""
        self.decoding, self.media_actor = Decoding.DONE, None
        self.duration_s = self.decoded_s = self.cut_s = duration_s
        self._spool_has(None)

    def stop_decoding(self, problem: Problem) -> None:
        """Record that the recording cannot be read any further. The chunks found so far are still transcribed."""
        self.decoding, self.media_actor, self.decode_problem = Decoding.DONE, None, problem

    def restart_decoding(self) -> None:
        """Let any media actor decode the recording from its beginning."""
        self.decoding, self.media_actor = Decoding.WAITING, None

    def count_media_death(self, *, killed: bool = False) -> None:
        """Count a death of the media actor and decode again. The count starts anew when the decode got further."""
        self.restart_decoding()
        if self.decoded_s > self.media_died_at_s:
            self.media_deaths = self.media_kills = 0
        self.media_deaths += not killed
        self.media_kills += killed
        self.media_died_at_s = self.decoded_s

    def lose_decode(self) -> None:
        """Decode again after the machine of the media actor got lost, which says nothing about the recording."""
        self.restart_decoding()
        self.decodes_lost += 1

    def lose_spool(self, index: int, batch: int) -> bool:
        """Take back a chunk in flight whose samples are missing. True: the recording has to be decoded again.

        All waiting chunks then wait for the new decode. False: this batch does not have the chunk, or it was given
        before the decode that repairs the spool.
        """
        if not self.waits_for(index, batch):
            return False
        chunk = self._take_from_flight(index)
        if batch <= self.last_batch_before_loss:
            _insert(self.waiting if self.decoding is Decoding.DONE else self.unspooled, chunk)
            return False
        self.spool_losses += 1
        self.last_batch_before_loss = self.last_batch
        self.unspooled = dict(sorted({**self.unspooled, **self.waiting, index: chunk}.items()))
        self.waiting = {}
        if self.speakers is not None:
            self.speakers.lose_spool()
        return True

    # -- batches ------------------------------------------------------------------------------------------------------

    def give(self, index: int, batch: int, now: float) -> Chunk:
        """Put a waiting chunk into flight, in the batch with this number."""
        chunk = self.waiting.pop(index)
        self.in_flight[index], self.batch_of[index] = chunk, batch
        self.given += 1
        self.last_batch = batch
        self.waiting_since = now
        return chunk

    def give_again(self, index: int, batch: int) -> Chunk:
        """Put a chunk in flight into a second batch as well, because the first takes long. The first answer counts."""
        self.second_batch_of[index] = batch
        return self.in_flight[index]

    def waits_for(self, index: int, batch: int) -> bool:
        """Return whether the chunk is in flight in this batch."""
        return batch in (self.batch_of.get(index), self.second_batch_of.get(index))

    def batches_in_flight(self) -> Iterator[tuple[int, int]]:
        """Yield each chunk in flight with each of its batches."""
        yield from [*self.batch_of.items(), *self.second_batch_of.items()]

    def start_small(self) -> None:
        """Let batches grow from one chunk again: a new speech actor has started, and text shall come at once."""
        self.given = 0

    def take_back(self, index: int, batch: int) -> None:
        """Let a chunk wait again that its actor is not to blame for. Does nothing if this batch does not have it."""
        if self.waits_for(index, batch) and not self._has_other_batch(index, batch):
            _insert(self.waiting, self._take_from_flight(index))

    def count_failure(self, index: int, batch: int, *, killed: bool = False) -> Chunk | None:
        """Let a chunk wait again and count the failure of its actor. None: this batch does not have the chunk.

        A chunk that a second batch has stays in flight.
        """
        if not self.waits_for(index, batch):
            return None
        chunk = self.in_flight[index]
        counted = Chunk(span=chunk.span, attempts=chunk.attempts + (not killed), kills=chunk.kills + killed)
        if self._has_other_batch(index, batch):
            self.in_flight[index] = counted
        else:
            self._take_from_flight(index)
            _insert(self.waiting, counted)
        return counted

    def finish_chunk(self, index: int, problem: Problem | None = None) -> None:
        """Record that a chunk is stored as text or, with a problem, as a gap."""
        self.batch_of.pop(index, None)
        self.second_batch_of.pop(index, None)
        for chunks in (self.in_flight, self.waiting, self.unspooled):
            chunks.pop(index, None)
        self.finished.add(index)
        if problem is not None:
            self.gaps[index] = problem

    def with_finished(self, index: int) -> Run:
        """Return a copy in which this chunk is finished."""
        copy = replace(self, unspooled=dict(self.unspooled), waiting=dict(self.waiting), in_flight=dict(self.in_flight))
        copy.batch_of, copy.second_batch_of = dict(self.batch_of), dict(self.second_batch_of)
        copy.finished = set(self.finished)
        copy.finish_chunk(index)
        return copy

    def language_after(self, language: str, probability: float | None, *, text: bool) -> str | None:
        """Return the job's language after a chunk whose language was detected. None: still unknown.

        Chunks of such a job come one after the other. Only this chunk and the number of chunks before it count: a job
        that was interrupted decides like one that was not.
        """
        spoken = text or self.job.options.task is Task.DETECT
        if self.language is not None or probability is None or not spoken:
            return self.language
        sure = probability >= LANGUAGE_SURE or len(self.finished) + 1 >= LANGUAGE_TRIES
        return language if sure else None

    # -- progress -----------------------------------------------------------------------------------------------------

    @property
    def failure(self) -> Problem | None:
        """Why the job fails although nothing is left to do: it was not read to its end, or all of it is gaps.

        A recording that is read once more for its speakers alone need not be read to its end.
        """
        unread = self.decode_problem if not self.job.decoded or any(self._open()) else None
        if unread is not None or not self.gaps or len(self.gaps) < len(self.finished):
            return unread
        last = self.gaps[max(self.gaps)]
        message = f"No part of the recording could be transcribed. {last.message}"
        return Problem(code=last.code, message=message, hint=last.hint, params=last.params)

    def position_s(self) -> float:
        """Return the place up to which everything is transcribed, in seconds on the recording's clock."""
        return min((chunk.span.start for chunk in self._open()), default=max(self.cut_s, self.decoded_s))

    def final_s(self) -> float:
        """Return the end of the chunks that are done without one before them that is not, in seconds."""
        return min((chunk.span.start for chunk in self._open()), default=self.cut_s)

    def done_s(self) -> float:
        """Return how many seconds of the recording are transcribed, or known to be silent."""
        left = sum(chunk.span.samples for chunk in self._open()) / SAMPLE_RATE
        return max(0.0, max(self.cut_s, self.decoded_s) - left)

    def progress(self, now: float) -> dict[str, Any]:
        """Return the fields of the job that tell its progress."""
        duration, done = self.duration_s, self.done_s()
        fields: dict[str, Any] = {"position_s": round(self.position_s(), 3), "duration_s": duration}
        elapsed, gained = now - self.claimed_at, done - self.done_at_claim_s
        if elapsed > 0 and gained > 0 and len(self.finished) > self.finished_at_claim:  # else all of it was silence
            speed = gained / elapsed
            fields["speed"] = round(speed, 2)
            if duration:
                fields["eta_s"] = round(max(0.0, duration - done) / speed, 1)
        if duration:
            fields["progress"] = round(min(MAX_PROGRESS, done / duration), 4)
        return fields

    # -- small parts --------------------------------------------------------------------------------------------------

    def _open(self) -> Iterator[Chunk]:
        return chain(self.unspooled.values(), self.waiting.values(), self.in_flight.values())

    def _count_span(self, span: Span) -> None:
        """Move the end of what is cut behind a chunk that the store has."""
        self.next_index = max(self.next_index, span.index + 1)
        self.cut_samples = max(self.cut_samples, span.start_sample + span.samples)
        self.cut_s = max(self.cut_s, span.end)

    def _spool_has(self, samples: int | None) -> None:
        """Let chunks wait for an actor that end within the first `samples` of the spool; None: all of them."""
        if self.speakers is not None:
            self.speakers.spool_reaches(samples)
        ready = {
            index: chunk
            for index, chunk in self.unspooled.items()
            if samples is None or chunk.span.start_sample + chunk.span.samples <= samples
        }
        if ready:
            self.unspooled = {index: chunk for index, chunk in self.unspooled.items() if index not in ready}
            self.waiting = dict(sorted({**self.waiting, **ready}.items()))

    def _has_other_batch(self, index: int, batch: int) -> bool:
        """Take the chunk from this batch. True: another batch has it as well; False: nothing is changed."""
        second = self.second_batch_of.pop(index, None)
        if second is not None and second != batch:
            self.batch_of[index] = second
        return second is not None

    def _take_from_flight(self, index: int) -> Chunk:
        self.second_batch_of.pop(index, None)
        del self.batch_of[index]
        return self.in_flight.pop(index)


def _insert(chunks: dict[int, Chunk], chunk: Chunk) -> None:
    """Insert a chunk into its place in the order."""
    chunks[chunk.span.index] = chunk
    ordered = sorted(chunks.items())
    chunks.clear()
    chunks.update(ordered)
