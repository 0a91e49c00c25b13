"""The speech actor: holds a Whisper model and turns batches of chunks into segments.

Owns the order of that work: which thread does what, what is reported when, what happens when it fails. What is heard is
the business of `recognition`. Each slot is a thread that handles one batch at a time from beginning to end.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Final, Protocol, overload

import numpy as np
from msgspec.structs import replace

from whisper_service.actor import cuda_libraries

cuda_libraries.preload()


import ctranslate2  # noqa: E402
import faster_whisper  # noqa: E402

from whisper_service import faults  # noqa: E402
from whisper_service.actor import allocator  # noqa: E402
from whisper_service.actor.chunker import FRAME, ChunkPolicy  # noqa: E402
from whisper_service.actor.coverage import Interval  # noqa: E402
from whisper_service.actor.engine import Engine, ModelBroken, Sound  # noqa: E402
from whisper_service.actor.recognition import Heard, Recognizer, Utterance  # noqa: E402
from whisper_service.actor.vad import SpeechDetector  # noqa: E402
from whisper_service.actor.words import text_of  # noqa: E402
from whisper_service.domain import SAMPLE_RATE, Preset, Problem, Segment, Span  # noqa: E402
from whisper_service.faults import FaultKind  # noqa: E402
from whisper_service.protocol import (  # noqa: E402
    BatchDone,
    ChunkDone,
    Command,
    Fault,
    Load,
    Loaded,
    Ready,
    Report,
    Row,
    Shutdown,
    Transcribe,
)

IDLE_S: Final = 5.0
"""Without a batch for this long, the memory of the last ones goes back to the system."""
Emit = Callable[[Report], None]


class Inbox(Protocol):
    """Where commands come from; `boot.Inbox` in a child."""

    @overload
    def get(self) -> Command: ...
    @overload
    def get(self, timeout: float) -> Command | None: ...
    def cancelled(self, job_id: str) -> bool: ...


def run(inbox: Inbox, emit: Emit) -> None:
    """Answer commands until `Shutdown`."""
    allocator.tune()
    emit(Ready(pid=os.getpid(), facts=_facts()))
    slots: _Slots | None = None
    tidy = True
    while True:
        command = inbox.get(IDLE_S)
        if command is None:
            if not tidy and (slots is None or slots.idle):
                allocator.release()
                tidy = True
            continue
        tidy = False
        match command:
            case Shutdown():
                return
            case Load():
                slots = None  # the old model is let go before the new one needs its memory
                slots = _load(command, inbox, emit)
            case Transcribe() if slots is not None:
                slots.put(command)
            case Transcribe():
                problem = Problem("model_not_loaded", "No model is loaded.", "This is repaired by itself; if not, restart the service.")
                emit(Fault(scope="batch", kind=FaultKind.UNKNOWN.value, problem=problem, batch=command.batch))


class _Slots:
    """Threads with one batch each; they share the model."""

    def __init__(self, engine: Engine, count: int, inbox: Inbox, emit: Emit) -> None:
        self._engine = engine
        self._inbox = inbox
        self._emit = emit
        self._queue: SimpleQueue[Transcribe] = SimpleQueue()
        self._busy = 0
        for number in range(count):
            threading.Thread(target=self._work, name=f"slot {number}", daemon=True).start()

    @property
    def idle(self) -> bool:
        return self._busy == 0 and self._queue.empty()

    def put(self, batch: Transcribe) -> None:
        """The next free slot takes it."""
        self._queue.put(batch)

    def _work(self) -> None:
        recognizer = Recognizer(self._engine, SpeechIn())
        while True:
            batch = self._queue.get()
            self._busy += 1
            try:
                self._attempt(recognizer, batch)
            finally:
                self._busy -= 1

    def _attempt(self, recognizer: Recognizer, batch: Transcribe) -> None:
        """The border: a batch ends in `BatchDone` or `Fault`, whatever happens."""
        began = time.monotonic()
        open_rows = {(row.job_id, row.span.index): row for row in batch.rows}
        try:
            try:
                self._hear(recognizer, batch, list(open_rows.values()), open_rows)
            except (RuntimeError, MemoryError) as error:
                if faults.classify(f"{type(error).__name__}: {error}").kind is not FaultKind.OOM:
                    raise
                rows = list(open_rows.values())  # once more in this process, by halves
                half = max(1, len(rows) // 2)
                for part in (rows[:half], rows[half:]):
                    self._hear(recognizer, batch, part, open_rows)
        except Exception as error:
            diagnosis = faults.classify(f"{type(error).__name__}: {error}")
            fatal = diagnosis.kind in (FaultKind.OOM, FaultKind.CUDA)
            self._emit(Fault(scope="batch", kind=diagnosis.kind.value, problem=diagnosis.problem, batch=batch.batch, fatal=fatal))
            if fatal:
                os._exit(1)
            return
        audio = sum(row.span.samples for row in batch.rows) / SAMPLE_RATE
        self._emit(BatchDone(batch=batch.batch, seconds=time.monotonic() - began, audio_s=audio))

    def _hear(self, recognizer: Recognizer, batch: Transcribe, rows: list[Row], open_rows: dict[tuple[str, int], Row]) -> None:
        rows = [row for row in rows if not self._inbox.cancelled(row.job_id)]
        utterances = [utterance(row) for row in rows]
        for index, heard in recognizer.recognise(utterances, Preset(batch.preset), batch.prompt):
            row = rows[index]
            open_rows.pop((row.job_id, row.span.index), None)
            self._emit(
                ChunkDone(
                    batch=batch.batch,
                    job_id=row.job_id,
                    index=row.span.index,
                    segments=segments_of(heard, row.span, row.word_timestamps),
                    language=heard.language,
                    language_probability=heard.language_probability,
                )
            )


def _load(command: Load, inbox: Inbox, emit: Emit) -> _Slots | None:
    began = time.monotonic()
    try:
        threads = command.threads or len(os.sched_getaffinity(0))
        engine = Engine(command.path, command.device, command.compute_type, slots=command.slots, threads=threads)
        engine.warm_up()
    except (RuntimeError, ValueError, MemoryError, OSError, ModelBroken) as error:
        diagnosis = faults.classify(f"{type(error).__name__}: {error}")
        kind, problem = diagnosis.kind, diagnosis.problem
        if kind is FaultKind.UNKNOWN:
            kind = FaultKind.MODEL_BROKEN
            hint = "Remove the model and install it again, or choose another."
            problem = Problem(kind.value, f"The model {command.model} cannot be loaded: {error}", hint)
        emit(Fault(scope="model", kind=kind.value, problem=problem))
        return None
    seconds = time.monotonic() - began
    emit(Loaded(model=command.model, device=command.device, compute_type=engine.compute_type, seconds=seconds))
    return _Slots(engine, command.slots, inbox, emit)


def _facts() -> dict[str, object]:
    devices = ctranslate2.get_cuda_device_count()
    types = {"cpu": sorted(ctranslate2.get_supported_compute_types("cpu"))}
    types |= {f"cuda:{n}": sorted(ctranslate2.get_supported_compute_types("cuda", n)) for n in range(devices)}
    return {
        "ctranslate2": ctranslate2.__version__,
        "faster_whisper": faster_whisper.__version__,
        "cuda_devices": devices,
        "compute_types": types,
        "cpus": len(os.sched_getaffinity(0)),
    }


class SpeechIn:
    def __init__(self) -> None:
        self._detector = SpeechDetector()

    def __call__(self, sound: Sound) -> list[Interval]:
        policy = ChunkPolicy()
        self._detector.reset()
        pcm = np.clip(np.rint(sound * 32768), -32768, 32767).astype(np.int16)
        probabilities = self._detector.feed(pcm) + self._detector.finish()
        found: list[list[int]] = []
        speaking = False
        for frame, probability in enumerate(probabilities):
            speaking = probability >= (policy.offset if speaking else policy.onset)
            if not speaking:
                continue
            if found and found[-1][1] == frame:
                found[-1][1] = frame + 1
            else:
                found.append([frame, frame + 1])
        return [(a * FRAME / SAMPLE_RATE, b * FRAME / SAMPLE_RATE) for a, b in found]


def utterance(row: Row) -> Utterance:
    pcm = np.fromfile(row.spool, dtype="<i2", count=row.span.samples, offset=2 * row.span.start_sample)
    return Utterance(pcm.astype(np.float32) / np.float32(32768), row.language, row.task)


def segments_of(heard: Heard, span: Span, word_timestamps: bool) -> tuple[Segment, ...]:
    """Sentences of a chunk on the clock of the recording."""
    segments: list[Segment] = []
    for sentence in heard.sentences:
        words = tuple(replace(w, start=round(span.start + w.start, 3), end=round(span.start + w.end, 3)) for w in sentence.words)
        segments.append(
            Segment(
                chunk=span.index,
                index=len(segments),
                start=words[0].start,
                end=words[-1].end,
                text=text_of(sentence.words),
                words=words if word_timestamps else (),
                language=heard.language,
                avg_logprob=sentence.avg_logprob,
                no_speech_prob=sentence.no_speech_prob,
                compression_ratio=sentence.compression_ratio,
            )
        )
    return tuple(segments)
