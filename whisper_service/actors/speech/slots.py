"""The threads of the speech actor: each slot takes a batch of rows from its beginning to its end.

Owns what is reported of a batch and when, and what happens when it fails:

- a row that is at fault itself fails alone: the rows beside it get their text;
- a batch that memory does not suffice for is tried once more by halves; then, as after any other failure of the device,
  the process says so and exits, for only a new one has its memory back;
- a row that was reported is not heard again, whatever happens to those beside it.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from queue import SimpleQueue
from typing import Final, Protocol

from whisper_service.actors.speech import allocator
from whisper_service.actors.speech.priority import Priority
from whisper_service.actors.speech.recognition import Recognition, Utterance
from whisper_service.actors.speech.rows import UnreadableChunk, segments_of, sound_of
from whisper_service.core.chinese import convert_all
from whisper_service.core.domain import SAMPLE_RATE, Preset, Problem
from whisper_service.supervision import faults
from whisper_service.supervision.boot import FAILED, Emit
from whisper_service.supervision.faults import Diagnosis, FaultKind
from whisper_service.supervision.protocol import BatchDone, ChunkDone, ChunkInput, Fault, Transcribe

logger = logging.getLogger(__name__)

FATAL: Final = (FaultKind.OOM, FaultKind.CUDA)
"""What this process does not get over."""


class Listener(Protocol):
    """Turns sound into sentences; `recognition.Recognizer` in a child."""

    def recognise(
        self, utterances: Sequence[Utterance], preset: Preset, prompt: str | None = None
    ) -> Iterator[tuple[int, Recognition]]:
        """Yield (index, what was heard) of every utterance, each as soon as it is known."""


class Cancellations(Protocol):
    """Knows which jobs nobody wants any more; `boot.Inbox` in a child."""

    def cancelled(self, job_id: str) -> bool:
        """Whether the work on this job should be dropped."""


class Slots:
    """As many threads as there are listeners, each with one of them; the first that is free takes the next batch."""

    def __init__(
        self, listeners: Iterable[Listener], inbox: Cancellations, emit: Emit, precedence: Priority | None = None
    ) -> None:
        self._precedence = precedence or Priority()
        self._inbox = inbox
        self._emit = emit
        self._queue: SimpleQueue[Transcribe | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._given = 0  # batches that have not ended
        self._threads = [
            threading.Thread(target=self._work, args=(listener,), name=f"slot {number}", daemon=True)
            for number, listener in enumerate(listeners)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def idle(self) -> bool:
        """Whether every batch has ended."""
        return self._given == 0

    def put(self, batch: Transcribe) -> None:
        """Have it recognised."""
        with self._lock:
            self._given += 1
        self._queue.put(batch)

    def close(self) -> None:
        """Wait until all that was given has ended, and let the listeners go."""
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self, listener: Listener) -> None:
        try:
            while (batch := self._queue.get()) is not None:
                with self._precedence.first(beside=batch.express) if batch.urgent else nullcontext():
                    _Batch(batch, listener, self._inbox, self._emit).carry_out()
                with self._lock:
                    self._given -= 1
        except BaseException:  # not even the failure could be reported: better no process than a slot that is missing
            sys.excepthook(*sys.exc_info())
            sys.stderr.flush()
            os._exit(FAILED)


class _Batch:
    """One batch on its way through a slot."""

    def __init__(self, batch: Transcribe, listener: Listener, inbox: Cancellations, emit: Emit) -> None:
        self._batch = batch
        self._listener = listener
        self._inbox = inbox
        self._emit = emit
        self._open = dict(enumerate(batch.rows))  # rows without a report
        self._heard_samples = 0

    def carry_out(self) -> None:
        """End in `BatchDone` or in a `Fault`."""
        began = time.monotonic()
        failure = self._hear(self._open)
        if failure is not None and failure.kind is FaultKind.OOM:
            logger.warning("a batch of %d rows is too large; once more by halves", len(self._open))
            allocator.release()
            rows = list(self._open)
            half = (len(rows) + 1) // 2
            failure = self._hear(rows[:half]) or self._hear(rows[half:])
        if failure is not None and failure.kind is FaultKind.UNKNOWN:
            failure = self._hear_apart()
        if failure is None:
            audio_s = self._heard_samples / SAMPLE_RATE
            self._emit(BatchDone(batch=self._batch.batch, seconds=time.monotonic() - began, audio_s=audio_s))
            return
        fatal = failure.kind in FATAL
        self._emit(self._fault(failure.kind, failure.problem, fatal=fatal))
        if fatal:
            os._exit(1)

    def _hear_apart(self) -> Diagnosis | None:
        """Each row by itself, so that only the one that is at fault fails; the failure, if it is of another sort."""
        for index, row in list(self._open.items()):
            failure = self._hear([index])
            if failure is None:
                continue
            if failure.kind is not FaultKind.UNKNOWN:
                return failure
            del self._open[index]
            self._emit(self._fault(failure.kind, failure.problem, row))
        return None

    def _hear(self, indices: Iterable[int]) -> Diagnosis | None:
        """Hear and report these rows. The border: nothing passes, and no traceback keeps the memory of what failed."""
        try:
            self._recognise(list(indices))
        except Exception as error:
            diagnosis = faults.classify(f"{type(error).__name__}: {error}")
            if diagnosis.kind is FaultKind.UNKNOWN:
                logger.exception(
                    "recognition failed", extra={"action": "recognition_failed", "batch": self._batch.batch}
                )
            return diagnosis
        return None

    def _recognise(self, indices: list[int]) -> None:
        rows: list[tuple[int, ChunkInput]] = []
        utterances: list[Utterance] = []
        for index in indices:
            row = self._batch.rows[index]
            if self._inbox.cancelled(row.job_id):
                continue
            try:
                sound = sound_of(row)
            except UnreadableChunk as error:
                del self._open[index]
                self._emit(self._fault(FaultKind.MEDIA, error.problem, row))
            else:
                rows.append((index, row))
                utterances.append(Utterance(sound, row.language, row.task))
        found = self._listener.recognise(utterances, Preset(self._batch.preset), self._batch.prompt)
        for number, heard in found:
            index, row = rows[number]
            report = self._report(row, heard)
            del self._open[index]
            self._heard_samples += row.span.samples
            self._emit(report)
            if all(self._inbox.cancelled(self._batch.rows[left].job_id) for left in indices if left in self._open):
                return

    def _report(self, row: ChunkInput, heard: Recognition) -> ChunkDone:
        segments = segments_of(heard, row.span, row.word_timestamps)
        return ChunkDone(
            batch=self._batch.batch,
            job_id=row.job_id,
            index=row.span.index,
            segments=segments if row.script is None else convert_all(segments, row.script),
            language=heard.language,
            language_probability=heard.language_probability,
        )

    def _fault(self, kind: FaultKind, problem: Problem, row: ChunkInput | None = None, fatal: bool = False) -> Fault:
        return Fault(
            scope="batch",
            kind=kind.value,
            problem=problem,
            batch=self._batch.batch,
            job_id=row.job_id if row is not None else None,
            index=row.span.index if row is not None else None,
            fatal=fatal,
        )
