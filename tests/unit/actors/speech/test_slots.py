"""What is reported of a batch, in what order, and what happens when it fails - with a listener that follows a script."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import msgspec
import numpy as np
import pytest

from whisper_service.actors.speech import slots as module
from whisper_service.actors.speech.priority import Priority
from whisper_service.actors.speech.recognition import AudioChunk, Recognition, Sentence
from whisper_service.actors.speech.slots import Slots
from whisper_service.core.domain import SAMPLE_RATE, Preset, Script, Span, Word
from whisper_service.supervision.faults import FaultKind
from whisper_service.supervision.protocol import BatchDone, ChunkDone, ChunkInput, Fault, Report, Transcribe

SECOND = SAMPLE_RATE
OOM = RuntimeError("CUDA failed with error out of memory")
LOST = RuntimeError("CUDA failed with error an illegal memory access was encountered")


class Exited(BaseException):
    """In place of the end of the process."""


class Listener:
    """Hears the loudness of each chunk as its text; `trouble` is asked before a batch and before each of its rows."""

    def __init__(self, trouble: Callable[[list[int], int | None], None] = lambda batch, row: None) -> None:
        self._trouble = trouble
        self.batches: list[list[int]] = []

    def recognise(
        self, chunks: Sequence[AudioChunk], preset: Preset, prompt: str | None = None
    ) -> Iterator[tuple[int, Recognition]]:
        marks = [round(float(chunk.audio[0]) * 32768) if len(chunk.audio) else 0 for chunk in chunks]
        self.batches.append(marks)
        self._trouble(marks, None)
        for index in reversed(range(len(marks))):  # any order is allowed
            self._trouble(marks, marks[index])
            word = Word(0.1, 0.9, f" {marks[index]}", 0.5)
            yield index, Recognition((Sentence((word,), -0.1, 0.0, 1.0),), chunks[index].language or "fr", None)


class Nobody:
    """No job is cancelled, but those that are put here."""

    def __init__(self) -> None:
        self.jobs: set[str] = set()

    def cancelled(self, job_id: str) -> bool:
        return job_id in self.jobs


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    """Ten seconds; second n has the loudness n."""
    path = tmp_path / "spool"
    path.write_bytes(np.repeat(np.arange(10, dtype="<i2"), SECOND).tobytes())
    return path


def row(spool: Path, index: int, job_id: str = "job") -> ChunkInput:
    return ChunkInput(
        job_id=job_id,
        span=Span(index, index * SECOND, SECOND, index + 100.0, index + 101.0),
        spool=str(spool),
        language="en",
    )


def work(
    monkeypatch: pytest.MonkeyPatch, listener: Listener, batch: Transcribe, inbox: Nobody | None = None,
    react: Callable[[Report], None] = lambda report: None,
) -> tuple[list[Report], list[int]]:  # fmt: skip
    """The reports of a batch, and the exit codes of a process that wanted to end."""
    reports: list[Report] = []
    codes: list[int] = []

    def leave(code: int) -> None:
        codes.append(code)
        raise Exited

    def emit(report: Report) -> None:
        reports.append(report)
        react(report)

    monkeypatch.setattr(os, "_exit", leave)
    try:
        module._Batch(batch, listener, inbox or Nobody(), emit).process()
    except Exited:
        assert codes
    return reports, codes


def test_a_batch_that_somebody_waits_for_goes_first_while_it_is_in_work_and_no_other_does(spool: Path) -> None:
    first = [""]
    done: SimpleQueue[Report] = SimpleQueue()

    class Watched(Priority):
        @contextmanager
        def urgent(self, *, express: bool) -> Iterator[None]:
            with super().urgent(express=express):
                first.append("express" if express else "in a slot")
                yield
                first.append("")

    during: list[str] = []
    listener = Listener(lambda batch, row: during.append(first[-1]))
    slots = module.Slots([listener], Nobody(), done.put, Watched())
    for number, (urgent, express) in enumerate([(False, False), (True, True), (True, False), (False, False)]):
        slots.put(Transcribe(batch=number, rows=(row(spool, 1),), urgent=urgent, express=express))
    slots.close()
    assert during == [
        "",
        "",
        "express",
        "express",
        "in a slot",
        "in a slot",
        "",
        "",
    ]  # before a batch and before its row


def heard(reports: Sequence[Report]) -> list[int]:
    return [report.index for report in reports if isinstance(report, ChunkDone)]


def faults(reports: Sequence[Report]) -> list[tuple[str, int | None, bool]]:
    return [(report.kind, report.index, report.fatal) for report in reports if isinstance(report, Fault)]


def test_every_row_is_reported_then_the_batch(monkeypatch: pytest.MonkeyPatch, spool: Path) -> None:
    rows = (row(spool, 3), row(spool, 1, "other"))
    reports, codes = work(monkeypatch, Listener(), Transcribe(batch=7, rows=rows))
    other, job, done = reports
    assert isinstance(other, ChunkDone)
    assert isinstance(job, ChunkDone)
    assert (other.batch, other.job_id, other.index, other.language) == (7, "other", 1, "en")
    assert (job.job_id, job.index) == ("job", 3)
    (segment,) = job.segments
    assert (segment.chunk, segment.index, segment.text, segment.start, segment.end) == (3, 0, "3", 103.1, 103.9)
    assert isinstance(done, BatchDone)
    assert (done.batch, done.audio_s) == (7, 2.0)
    assert codes == []


def test_chinese_is_stored_in_the_script_that_was_asked_for(monkeypatch: pytest.MonkeyPatch, spool: Path) -> None:
    class Speaker(Listener):
        def recognise(
            self, chunks: Any, preset: Preset, prompt: str | None = None
        ) -> Iterator[tuple[int, Recognition]]:
            words = (Word(0.1, 0.5, "头发", 0.9),)
            yield 0, Recognition((Sentence(words, -0.1, 0.0, 1.0),), "zh", None)

    wanted = msgspec.structs.replace(row(spool, 1), script=Script.TRADITIONAL)
    reports, _ = work(monkeypatch, Speaker(), Transcribe(batch=1, rows=(wanted,)))
    assert isinstance(reports[0], ChunkDone)
    assert [(s.text, s.words[0].word) for s in reports[0].segments] == [("頭髮", "頭髮")]


def test_memory_that_does_not_suffice_is_tried_by_halves(monkeypatch: pytest.MonkeyPatch, spool: Path) -> None:
    released: list[bool] = []
    monkeypatch.setattr(module.allocator, "release", lambda: released.append(True))

    def trouble(batch: list[int], mark: int | None) -> None:
        if len(batch) > 3:
            raise OOM

    listener = Listener(trouble)
    reports, codes = work(monkeypatch, listener, Transcribe(batch=1, rows=tuple(row(spool, i) for i in range(1, 6))))
    assert listener.batches == [[1, 2, 3, 4, 5], [1, 2, 3], [4, 5]]
    assert sorted(heard(reports)) == [1, 2, 3, 4, 5]
    assert isinstance(reports[-1], BatchDone)
    assert (faults(reports), codes, released) == ([], [], [True])


def test_what_was_reported_before_memory_ran_out_is_not_heard_again(
    monkeypatch: pytest.MonkeyPatch, spool: Path
) -> None:
    def trouble(batch: list[int], mark: int | None) -> None:
        if len(batch) == 5 and mark == 3:
            raise MemoryError

    listener = Listener(trouble)
    reports, _ = work(monkeypatch, listener, Transcribe(batch=1, rows=tuple(row(spool, i) for i in range(1, 6))))
    assert heard(reports) == [5, 4, 2, 1, 3]
    assert listener.batches[1:] == [[1, 2], [3]]
    assert isinstance(reports[-1], BatchDone)


@pytest.mark.parametrize("error", [OOM, MemoryError(), RuntimeError("mkl_malloc: failed to allocate memory")])
def test_memory_that_does_not_suffice_for_half_ends_the_process(
    monkeypatch: pytest.MonkeyPatch, spool: Path, error: Exception
) -> None:
    def trouble(batch: list[int], mark: int | None) -> None:
        if 4 in batch:
            raise error

    listener = Listener(trouble)
    reports, codes = work(monkeypatch, listener, Transcribe(batch=1, rows=tuple(row(spool, i) for i in range(1, 5))))
    assert listener.batches == [[1, 2, 3, 4], [1, 2], [3, 4]], "nothing is tried a third time"
    assert heard(reports) == [2, 1]
    assert faults(reports) == [("oom", None, True)]
    assert reports[-1].batch == 1  # type: ignore[union-attr]
    assert codes == [1]


def test_the_first_half_failing_spares_the_second_the_trouble(monkeypatch: pytest.MonkeyPatch, spool: Path) -> None:
    def trouble(batch: list[int], mark: int | None) -> None:
        raise OOM

    listener = Listener(trouble)
    work(monkeypatch, listener, Transcribe(batch=1, rows=tuple(row(spool, i) for i in range(1, 5))))
    assert listener.batches == [[1, 2, 3, 4], [1, 2]]


def test_a_lost_device_ends_the_process_at_once(monkeypatch: pytest.MonkeyPatch, spool: Path) -> None:
    def trouble(batch: list[int], mark: int | None) -> None:
        raise LOST

    listener = Listener(trouble)
    reports, codes = work(monkeypatch, listener, Transcribe(batch=1, rows=(row(spool, 1), row(spool, 2))))
    assert len(listener.batches) == 1
    assert (faults(reports), codes) == ([("cuda", None, True)], [1])


def test_a_failure_that_nobody_expects_hits_the_row_that_brings_it(
    monkeypatch: pytest.MonkeyPatch, spool: Path
) -> None:
    def trouble(batch: list[int], mark: int | None) -> None:
        if mark is None and 2 in batch:
            raise ZeroDivisionError("an odd row")

    listener = Listener(trouble)
    reports, codes = work(monkeypatch, listener, Transcribe(batch=9, rows=tuple(row(spool, i) for i in (1, 2, 3))))
    assert sorted(heard(reports)) == [1, 3]
    (fault,) = [report for report in reports if isinstance(report, Fault)]
    assert (fault.scope, fault.kind, fault.batch, fault.job_id, fault.index, fault.fatal) == (
        "batch",
        "unknown",
        9,
        "job",
        2,
        False,
    )
    assert fault.problem.params == {"detail": "ZeroDivisionError: an odd row"}
    assert isinstance(reports[-1], BatchDone)
    assert reports[-1].audio_s == 2.0
    assert codes == []


def test_memory_that_runs_out_while_the_culprit_is_sought_ends_the_process(
    monkeypatch: pytest.MonkeyPatch, spool: Path
) -> None:
    def trouble(batch: list[int], mark: int | None) -> None:
        raise ZeroDivisionError if len(batch) > 1 else OOM

    reports, codes = work(monkeypatch, Listener(trouble), Transcribe(batch=1, rows=(row(spool, 1), row(spool, 2))))
    assert (faults(reports), codes) == ([("oom", None, True)], [1])


def test_a_library_that_is_missing_is_no_reason_to_try_every_row(monkeypatch: pytest.MonkeyPatch, spool: Path) -> None:
    def trouble(batch: list[int], mark: int | None) -> None:
        raise RuntimeError("Library libcublas.so.12 is not found or cannot be loaded")

    listener = Listener(trouble)
    reports, codes = work(monkeypatch, listener, Transcribe(batch=1, rows=(row(spool, 1), row(spool, 2))))
    assert len(listener.batches) == 1
    assert (faults(reports), codes) == ([(FaultKind.LIBRARY_MISSING, None, False)], [])


def test_a_spool_that_is_gone_or_short_hits_its_row_alone(
    monkeypatch: pytest.MonkeyPatch, spool: Path, tmp_path: Path
) -> None:
    rows = (row(tmp_path / "none", 4), row(spool, 2), row(spool, 10))
    reports, codes = work(monkeypatch, Listener(), Transcribe(batch=1, rows=rows))
    missing, short, chunk, done = reports
    assert isinstance(missing, Fault)
    assert (missing.kind, missing.index, missing.problem.code) == ("media", 4, "spool_missing")
    assert isinstance(short, Fault)
    assert (short.index, short.problem.code) == (10, "spool_short")
    assert short.problem.params == {"at_s": 110.0, "detail": f"0 of {SECOND} samples"}
    assert all(fault.problem.message and fault.problem.hint for fault in (missing, short))
    assert isinstance(chunk, ChunkDone)
    assert isinstance(done, BatchDone)
    assert done.audio_s == 1.0
    assert codes == []


def test_cancelled_rows_are_not_heard(monkeypatch: pytest.MonkeyPatch, spool: Path) -> None:
    inbox = Nobody()
    inbox.jobs.add("gone")
    listener = Listener()
    rows = (row(spool, 1), row(spool, 2, "gone"), row(spool, 3))
    reports, _ = work(monkeypatch, listener, Transcribe(batch=1, rows=rows), inbox)
    assert listener.batches == [[1, 3]]
    assert heard(reports) == [3, 1]
    assert isinstance(reports[-1], BatchDone)


def test_once_every_row_that_is_left_is_cancelled_the_batch_ends(monkeypatch: pytest.MonkeyPatch, spool: Path) -> None:
    inbox = Nobody()
    rows = (row(spool, 1), row(spool, 2), row(spool, 3, "other"))
    reports, _ = work(monkeypatch, Listener(), Transcribe(batch=1, rows=rows), inbox, lambda _: inbox.jobs.add("job"))
    assert heard(reports) == [3]
    assert isinstance(reports[-1], BatchDone)


def test_no_failure_of_a_batch_keeps_its_memory(monkeypatch: pytest.MonkeyPatch, spool: Path) -> None:
    """The traceback of the first failure would hold its arrays through the second attempt."""
    alive: list[weakref.ref[object]] = []
    held: list[bool] = []

    def trouble(batch: list[int], mark: int | None) -> None:
        held.extend(ref() is not None for ref in alive)
        if len(batch) > 1:
            array = np.zeros(1000)
            alive.append(weakref.ref(array))
            raise RuntimeError("CUDA failed with error out of memory")

    work(monkeypatch, Listener(trouble), Transcribe(batch=1, rows=(row(spool, 1), row(spool, 2))))
    assert held
    assert not any(held)


def test_the_first_free_slot_takes_the_next_batch_and_closing_waits(spool: Path) -> None:
    barrier = threading.Barrier(2, timeout=30)
    reports: list[Report] = []

    def meet(batch: list[int], mark: int | None) -> None:
        if mark is None and batch[0] < 3:
            barrier.wait()  # passes only when two batches are in work at once

    slots = Slots([Listener(meet), Listener(meet)], Nobody(), reports.append)
    assert slots.idle
    for number in range(1, 5):
        slots.put(Transcribe(batch=number, rows=(row(spool, number),)))
    slots.close()
    assert slots.idle
    assert sorted(heard(reports)) == [1, 2, 3, 4]
    assert sum(isinstance(report, BatchDone) for report in reports) == 4


def test_a_slot_that_cannot_report_takes_the_process_with_it(
    monkeypatch: pytest.MonkeyPatch, spool: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    gone = threading.Event()
    codes: list[int] = []

    def leave(code: int) -> None:
        codes.append(code)
        gone.set()

    def emit(report: Report) -> None:
        raise MemoryError("not even this")

    monkeypatch.setattr(os, "_exit", leave)
    Slots([Listener()], Nobody(), emit).put(Transcribe(batch=1, rows=()))
    assert gone.wait(30)
    assert codes == [70]
    assert "MemoryError: not even this" in capfd.readouterr().err
