"""The threads of the speech actor. A slot takes a batch of chunks from its beginning to its end.

Decides what is reported of a batch, and what happens when the batch fails:

- A chunk that is itself the cause fails alone. The other chunks of the batch get their text.
- A batch that does not fit into memory is tried once more in two halves. If a half fails too, or the device fails in
  another way, the process reports this and exits, because only a new process has all of the memory.
- A chunk that was reported is not recognised again, whatever happens to the other chunks.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from queue import SimpleQueue
from typing import Final

from msgspec.structs import replace

from whisper_service.actors.samples import UnreadableChunk
from whisper_service.actors.speech import aligning, allocator, draft_io
from whisper_service.actors.speech.channels import in_order
from whisper_service.actors.speech.chunk_io import read_audio, segments_of
from whisper_service.actors.speech.priority import Priority
from whisper_service.actors.speech.recognition import Recognizer
from whisper_service.actors.speech.windows import AudioChunk, Recognition
from whisper_service.core import chinese
from whisper_service.core.domain import SAMPLE_RATE, Preset, Problem
from whisper_service.supervision import faults
from whisper_service.supervision.boot import Emit, Inbox
from whisper_service.supervision.faults import EXIT_UNCAUGHT, Diagnosis, FaultKind
from whisper_service.supervision.messages.base import Fault
from whisper_service.supervision.messages.drafts import DraftDone, DraftSound
from whisper_service.supervision.messages.speech import (
    Align,
    Aligned,
    BatchDone,
    ChunkDone,
    ChunkInput,
    Dropped,
    Transcribe,
)

logger = logging.getLogger(__name__)

FATAL: Final = (FaultKind.OOM, FaultKind.CUDA)
"""After these only a new process has all of its memory, or any use of its GPU."""


class Slots:
    """One thread for every recogniser. The first free thread takes the next batch."""

    def __init__(
        self,
        recognizers: Iterable[Recognizer],
        inbox: Inbox,
        emit: Emit,
        priority: Priority | None = None,
    ) -> None:
        self._priority = priority or Priority()
        self._inbox = inbox
        self._emit = emit
        self._queue: SimpleQueue[Transcribe | Align | DraftSound | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._unfinished = 0  # batches, alignments and drafts
        self._threads = [
            threading.Thread(target=self._work, args=(recognizer,), name=f"slot {number}", daemon=True)
            for number, recognizer in enumerate(recognizers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def idle(self) -> bool:
        """Whether every batch has ended."""
        return self._unfinished == 0

    def put(self, work: Transcribe | Align | DraftSound) -> None:
        """Add a batch, an alignment or a draft to the queue of the slots."""
        with self._lock:
            self._unfinished += 1
        self._queue.put(work)

    def close(self) -> None:
        """Wait until every batch has ended, then end the threads."""
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self, recognizer: Recognizer) -> None:
        try:
            while (work := self._queue.get()) is not None:
                if isinstance(work, Align):
                    self._report(aligning.answer(work, recognizer))
                elif isinstance(work, DraftSound):
                    with self._priority.urgent(express=work.express):
                        self._report(draft_io.answer(work, recognizer, self._inbox.cancelled))
                else:
                    with self._priority.urgent(express=work.express) if work.urgent else nullcontext():
                        _Batch(work, recognizer, self._inbox, self._emit).process()
                with self._lock:
                    self._unfinished -= 1
        except BaseException:  # the failure could not be reported: no process is better than a missing slot
            sys.excepthook(*sys.exc_info())
            sys.stderr.flush()
            os._exit(EXIT_UNCAUGHT)

    def _report(self, report: Aligned | DraftDone | Fault) -> None:
        fatal = isinstance(report, Fault) and report.kind in FATAL
        self._emit(replace(report, fatal=True) if fatal else report)
        if fatal:
            os._exit(1)


class _Batch:
    """One batch on its way through a slot."""

    def __init__(self, batch: Transcribe, recognizer: Recognizer, inbox: Inbox, emit: Emit) -> None:
        self._batch = batch
        self._recognizer = recognizer
        self._inbox = inbox
        self._emit = emit
        self._open = dict(enumerate(batch.chunks))  # chunks without a report
        self._done_samples = 0

    def process(self) -> None:
        """Recognise the batch. The last report is `BatchDone` or a `Fault` of the batch."""
        began = time.monotonic()
        failure = self._try(self._open)
        if failure is not None and failure.kind is FaultKind.OOM:
            logger.warning(
                "A batch of %d chunks does not fit into memory; it is tried again in two halves.", len(self._open)
            )
            allocator.release()
            left = list(self._open)
            half = (len(left) + 1) // 2
            failure = self._try(left[:half]) or self._try(left[half:])
        if failure is not None and failure.kind is FaultKind.UNKNOWN:
            failure = self._try_one_by_one()
        if failure is None:
            audio_s = self._done_samples / SAMPLE_RATE
            self._emit(BatchDone(batch=self._batch.batch, seconds=time.monotonic() - began, audio_s=audio_s))
            return
        fatal = failure.kind in FATAL
        self._emit(self._fault(failure.kind, failure.problem, fatal=fatal))
        if fatal:
            os._exit(1)

    def _try_one_by_one(self) -> Diagnosis | None:
        """Recognise each chunk alone, and report those that fail. Return a failure of another kind, which ends this."""
        for index, chunk in list(self._open.items()):
            failure = self._try([index])
            if failure is None:
                continue
            if failure.kind is not FaultKind.UNKNOWN:
                return failure
            del self._open[index]
            self._emit(self._fault(failure.kind, failure.problem, chunk))
        return None

    def _try(self, indices: Iterable[int]) -> Diagnosis | None:
        """Recognise and report these chunks. Return the failure, without its traceback, which would hold memory."""
        try:
            self._recognise(list(indices))
        except Exception as error:
            diagnosis = faults.classify(f"{type(error).__name__}: {error}")
            if diagnosis.kind is FaultKind.UNKNOWN:
                facts = {"action": "recognition_failed", "batch": self._batch.batch}
                logger.exception("The recognition of a batch failed.", extra=facts)
            return diagnosis
        return None

    def _recognise(self, indices: list[int]) -> None:
        parts: list[tuple[int, int, AudioChunk]] = []  # chunk, channel, its sound
        for index in indices:
            chunk = self._batch.chunks[index]
            if self._inbox.cancelled(chunk.job_id):
                continue
            try:
                sounds = read_audio(chunk, self._recognizer.find_speech)
                parts += [
                    (index, channel, AudioChunk(audio, chunk.language, chunk.task, chunk.follow))
                    for channel, audio in sounds
                ]
            except UnreadableChunk as error:
                del self._open[index]
                self._emit(self._fault(FaultKind.MEDIA, error.problem, chunk))
        unread = Counter(index for index, _, _ in parts)
        texts: dict[int, list[tuple[int, Recognition]]] = {index: [] for index in unread}
        for first in range(0, len(parts), max(1, len(indices))):  # channels are more windows, but no more at once
            group = parts[first : first + len(indices)]
            audio = [sound for _, _, sound in group]
            for number, found in self._recognizer.recognise(audio, Preset(self._batch.preset), self._batch.prompt):
                index, channel, _ = group[number]
                texts[index].append((channel, found))
                if len(texts[index]) < unread[index]:
                    continue
                report = self._report(self._batch.chunks[index], texts[index])
                del self._open[index]
                self._done_samples += self._batch.chunks[index].span.samples
                self._emit(report)
                if all(self._inbox.cancelled(self._batch.chunks[n].job_id) for n in indices if n in self._open):
                    return

    def _report(self, chunk: ChunkInput, texts: Sequence[tuple[int, Recognition]]) -> ChunkDone:
        """Return the text of a chunk from that of its channels. Its language is the one that most is said in."""
        start = chunk.span.start
        said = [(channel, segments_of(text, chunk.span, chunk.word_timestamps)) for channel, text in texts]
        _, most = max(texts, key=lambda each: sum(len(sentence.words) for sentence in each[1].sentences))
        return ChunkDone(
            batch=self._batch.batch,
            job_id=chunk.job_id,
            index=chunk.span.index,
            segments=chinese.written(in_order(said) if chunk.channels else said[0][1], chunk.script),
            language=most.language,
            language_probability=most.language_probability,
            dropped=tuple(
                Dropped(round(start + begin, 3), round(start + end, 3))
                for begin, end in sorted(interval for _, text in texts for interval in text.dropped)
            ),
        )

    def _fault(self, kind: FaultKind, problem: Problem, chunk: ChunkInput | None = None, fatal: bool = False) -> Fault:
        return Fault(
            scope="batch",
            kind=kind.value,
            problem=problem,
            batch=self._batch.batch,
            job_id=chunk.job_id if chunk is not None else None,
            index=chunk.span.index if chunk is not None else None,
            fatal=fatal,
        )
