"""What a slot reports of a batch, in which order, and what happens after a failure. The recogniser is scripted."""

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

from testkit.sounds import babble
from whisper_service.actors.speech import slots as module
from whisper_service.actors.speech.drafting import DraftAudio, DraftText
from whisper_service.actors.speech.engine import Audio, UnalignableText
from whisper_service.actors.speech.priority import Priority
from whisper_service.actors.speech.slots import Slots
from whisper_service.actors.speech.speech_spans import SpeechFinder
from whisper_service.actors.speech.windows import AudioChunk, Recognition, Sentence
from whisper_service.core.domain import SAMPLE_RATE, Preset, Script, Span, Task, Word
from whisper_service.supervision.faults import FaultKind
from whisper_service.supervision.messages.base import Fault
from whisper_service.supervision.messages.drafts import DraftDone, DraftRow, DraftSound
from whisper_service.supervision.messages.speech import (
    Align,
    Aligned,
    BatchDone,
    ChunkDone,
    ChunkInput,
    Dropped,
    Transcribe,
)
from whisper_service.supervision.protocol import Report

SECOND = SAMPLE_RATE
OOM = RuntimeError("CUDA failed with error out of memory")
LOST = RuntimeError("CUDA failed with error an illegal memory access was encountered")


class Exited(BaseException):
    """In place of the end of the process."""


class FakeRecognizer:
    """Gives the loudness of each chunk as its text; `trouble` is called before a batch and before each chunk of it."""

    def __init__(self, trouble: Callable[[list[int], int | None], None] = lambda batch, chunk: None) -> None:
        self._trouble = trouble
        self.find_speech = SpeechFinder()
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
            yield (
                index,
                Recognition(
                    (Sentence((word,), chunks[index].language or "fr", -0.1, 0.0, 1.0),),
                    chunks[index].language or "fr",
                    None,
                ),
            )


class FakeInbox:
    """An inbox in which only the jobs in `jobs` are cancelled."""

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


def chunk(spool: Path, index: int, job_id: str = "job") -> ChunkInput:
    return ChunkInput(
        job_id=job_id,
        span=Span(index, index * SECOND, SECOND, index + 100.0, index + 101.0),
        spool=str(spool),
        language="en",
    )


def work(
    monkeypatch: pytest.MonkeyPatch,
    recognizer: FakeRecognizer,
    batch: Transcribe,
    inbox: FakeInbox | None = None,
    react: Callable[[Report], None] = lambda report: None,
) -> tuple[list[Report], list[int]]:
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
        module._Batch(batch, recognizer, inbox or FakeInbox(), emit).process()
    except Exited:
        assert codes
    return reports, codes


def test_only_an_urgent_batch_has_priority_while_it_is_in_work(spool: Path) -> None:
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
    recognizer = FakeRecognizer(lambda batch, chunk: during.append(first[-1]))
    slots = module.Slots([recognizer], FakeInbox(), done.put, Watched())
    for number, (urgent, express) in enumerate([(False, False), (True, True), (True, False), (False, False)]):
        slots.put(Transcribe(batch=number, chunks=(chunk(spool, 1),), urgent=urgent, express=express))
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
    ]  # before a batch and before its chunk


def recognised(reports: Sequence[Report]) -> list[int]:
    return [report.index for report in reports if isinstance(report, ChunkDone)]


def faults(reports: Sequence[Report]) -> list[tuple[str, int | None, bool]]:
    return [(report.kind, report.index, report.fatal) for report in reports if isinstance(report, Fault)]


def test_every_chunk_is_reported_then_the_batch(monkeypatch: pytest.MonkeyPatch, spool: Path) -> None:
    chunks = (chunk(spool, 3), chunk(spool, 1, "other"))
    reports, codes = work(monkeypatch, FakeRecognizer(), Transcribe(batch=7, chunks=chunks))
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
    class ChineseRecognizer(FakeRecognizer):
        def recognise(
            self, chunks: Any, preset: Preset, prompt: str | None = None
        ) -> Iterator[tuple[int, Recognition]]:
            words = (Word(0.1, 0.5, "头发", 0.9),)
            yield 0, Recognition((Sentence(words, "zh", -0.1, 0.0, 1.0),), "zh", None)

    wanted = msgspec.structs.replace(chunk(spool, 1), script=Script.TRADITIONAL)
    reports, _ = work(monkeypatch, ChineseRecognizer(), Transcribe(batch=1, chunks=(wanted,)))
    assert isinstance(reports[0], ChunkDone)
    assert [(s.text, s.words[0].word) for s in reports[0].segments] == [("頭髮", "頭髮")]


def test_memory_that_does_not_suffice_is_tried_by_halves(monkeypatch: pytest.MonkeyPatch, spool: Path) -> None:
    released: list[bool] = []
    monkeypatch.setattr(module.allocator, "release", lambda: released.append(True))

    def trouble(batch: list[int], loudness: int | None) -> None:
        if len(batch) > 3:
            raise OOM

    recognizer = FakeRecognizer(trouble)
    reports, codes = work(
        monkeypatch, recognizer, Transcribe(batch=1, chunks=tuple(chunk(spool, i) for i in range(1, 6)))
    )
    assert recognizer.batches == [[1, 2, 3, 4, 5], [1, 2, 3], [4, 5]]
    assert sorted(recognised(reports)) == [1, 2, 3, 4, 5]
    assert isinstance(reports[-1], BatchDone)
    assert (faults(reports), codes, released) == ([], [], [True])


def test_a_chunk_reported_before_memory_ran_out_is_not_recognised_again(
    monkeypatch: pytest.MonkeyPatch, spool: Path
) -> None:
    def trouble(batch: list[int], loudness: int | None) -> None:
        if len(batch) == 5 and loudness == 3:
            raise MemoryError

    recognizer = FakeRecognizer(trouble)
    reports, _ = work(monkeypatch, recognizer, Transcribe(batch=1, chunks=tuple(chunk(spool, i) for i in range(1, 6))))
    assert recognised(reports) == [5, 4, 2, 1, 3]
    assert recognizer.batches[1:] == [[1, 2], [3]]
    assert isinstance(reports[-1], BatchDone)


@pytest.mark.parametrize("error", [OOM, MemoryError(), RuntimeError("mkl_malloc: failed to allocate memory")])
def test_memory_that_does_not_suffice_for_half_ends_the_process(
    monkeypatch: pytest.MonkeyPatch, spool: Path, error: Exception
) -> None:
    def trouble(batch: list[int], loudness: int | None) -> None:
        if 4 in batch:
            raise error

    recognizer = FakeRecognizer(trouble)
    reports, codes = work(
        monkeypatch, recognizer, Transcribe(batch=1, chunks=tuple(chunk(spool, i) for i in range(1, 5)))
    )
    assert recognizer.batches == [[1, 2, 3, 4], [1, 2], [3, 4]], "nothing is tried a third time"
    assert recognised(reports) == [2, 1]
    assert faults(reports) == [("oom", None, True)]
    assert reports[-1].batch == 1  # type: ignore[union-attr]
    assert codes == [1]


def test_the_first_half_failing_spares_the_second_the_trouble(monkeypatch: pytest.MonkeyPatch, spool: Path) -> None:
    def trouble(batch: list[int], loudness: int | None) -> None:
        raise OOM

    recognizer = FakeRecognizer(trouble)
    work(monkeypatch, recognizer, Transcribe(batch=1, chunks=tuple(chunk(spool, i) for i in range(1, 5))))
    assert recognizer.batches == [[1, 2, 3, 4], [1, 2]]


def test_a_lost_device_ends_the_process_at_once(monkeypatch: pytest.MonkeyPatch, spool: Path) -> None:
    def trouble(batch: list[int], loudness: int | None) -> None:
        raise LOST

    recognizer = FakeRecognizer(trouble)
    reports, codes = work(monkeypatch, recognizer, Transcribe(batch=1, chunks=(chunk(spool, 1), chunk(spool, 2))))
    assert len(recognizer.batches) == 1
    assert (faults(reports), codes) == ([("cuda", None, True)], [1])


def test_an_unexpected_failure_hits_only_the_chunk_that_causes_it(monkeypatch: pytest.MonkeyPatch, spool: Path) -> None:
    def trouble(batch: list[int], loudness: int | None) -> None:
        if loudness is None and 2 in batch:
            raise ZeroDivisionError("an odd chunk")

    recognizer = FakeRecognizer(trouble)
    reports, codes = work(
        monkeypatch, recognizer, Transcribe(batch=9, chunks=tuple(chunk(spool, i) for i in (1, 2, 3)))
    )
    assert sorted(recognised(reports)) == [1, 3]
    (fault,) = [report for report in reports if isinstance(report, Fault)]
    assert (fault.scope, fault.kind, fault.batch, fault.job_id, fault.index, fault.fatal) == (
        "batch",
        "unknown",
        9,
        "job",
        2,
        False,
    )
    assert fault.problem.params == {"detail": "ZeroDivisionError: an odd chunk"}
    assert isinstance(reports[-1], BatchDone)
    assert reports[-1].audio_s == 2.0
    assert codes == []


def test_memory_that_runs_out_while_chunks_are_tried_one_by_one_ends_the_process(
    monkeypatch: pytest.MonkeyPatch, spool: Path
) -> None:
    def trouble(batch: list[int], loudness: int | None) -> None:
        raise ZeroDivisionError if len(batch) > 1 else OOM

    reports, codes = work(
        monkeypatch, FakeRecognizer(trouble), Transcribe(batch=1, chunks=(chunk(spool, 1), chunk(spool, 2)))
    )
    assert (faults(reports), codes) == ([("oom", None, True)], [1])


def test_a_library_that_is_missing_is_no_reason_to_try_every_chunk(
    monkeypatch: pytest.MonkeyPatch, spool: Path
) -> None:
    def trouble(batch: list[int], loudness: int | None) -> None:
        raise RuntimeError("Library libcublas.so.12 is not found or cannot be loaded")

    recognizer = FakeRecognizer(trouble)
    reports, codes = work(monkeypatch, recognizer, Transcribe(batch=1, chunks=(chunk(spool, 1), chunk(spool, 2))))
    assert len(recognizer.batches) == 1
    assert (faults(reports), codes) == ([(FaultKind.LIBRARY_MISSING, None, False)], [])


def test_a_spool_that_is_gone_or_short_hits_its_chunk_alone(
    monkeypatch: pytest.MonkeyPatch, spool: Path, tmp_path: Path
) -> None:
    chunks = (chunk(tmp_path / "none", 4), chunk(spool, 2), chunk(spool, 10))
    reports, codes = work(monkeypatch, FakeRecognizer(), Transcribe(batch=1, chunks=chunks))
    missing, short, recognised_chunk, done = reports
    assert isinstance(missing, Fault)
    assert (missing.kind, missing.index, missing.problem.code) == ("media", 4, "spool_missing")
    assert isinstance(short, Fault)
    assert (short.index, short.problem.code) == (10, "spool_short")
    assert short.problem.params == {"at_s": 110.0, "detail": f"0 of {SECOND} samples"}
    assert all(fault.problem.message and fault.problem.hint for fault in (missing, short))
    assert isinstance(recognised_chunk, ChunkDone)
    assert isinstance(done, BatchDone)
    assert done.audio_s == 1.0
    assert codes == []


def test_cancelled_chunks_are_not_recognised(monkeypatch: pytest.MonkeyPatch, spool: Path) -> None:
    inbox = FakeInbox()
    inbox.jobs.add("gone")
    recognizer = FakeRecognizer()
    chunks = (chunk(spool, 1), chunk(spool, 2, "gone"), chunk(spool, 3))
    reports, _ = work(monkeypatch, recognizer, Transcribe(batch=1, chunks=chunks), inbox)
    assert recognizer.batches == [[1, 3]]
    assert recognised(reports) == [3, 1]
    assert isinstance(reports[-1], BatchDone)


def test_a_batch_ends_once_all_its_open_chunks_are_cancelled(monkeypatch: pytest.MonkeyPatch, spool: Path) -> None:
    inbox = FakeInbox()
    chunks = (chunk(spool, 1), chunk(spool, 2), chunk(spool, 3, "other"))
    reports, _ = work(
        monkeypatch, FakeRecognizer(), Transcribe(batch=1, chunks=chunks), inbox, lambda _: inbox.jobs.add("job")
    )
    assert recognised(reports) == [3]
    assert isinstance(reports[-1], BatchDone)


def test_no_failure_of_a_batch_keeps_its_memory(monkeypatch: pytest.MonkeyPatch, spool: Path) -> None:
    """The traceback of the first failure would hold its arrays through the second attempt."""
    alive: list[weakref.ref[object]] = []
    held: list[bool] = []

    def trouble(batch: list[int], loudness: int | None) -> None:
        held.extend(ref() is not None for ref in alive)
        if len(batch) > 1:
            array = np.zeros(1000)
            alive.append(weakref.ref(array))
            raise RuntimeError("CUDA failed with error out of memory")

    work(monkeypatch, FakeRecognizer(trouble), Transcribe(batch=1, chunks=(chunk(spool, 1), chunk(spool, 2))))
    assert held
    assert not any(held)


def test_the_first_free_slot_takes_the_next_batch_and_closing_waits(spool: Path) -> None:
    barrier = threading.Barrier(2, timeout=30)
    reports: list[Report] = []

    def meet(batch: list[int], loudness: int | None) -> None:
        if loudness is None and batch[0] < 3:
            barrier.wait()  # passes only when two batches are in work at once

    slots = Slots([FakeRecognizer(meet), FakeRecognizer(meet)], FakeInbox(), reports.append)
    assert slots.idle
    for number in range(1, 5):
        slots.put(Transcribe(batch=number, chunks=(chunk(spool, number),)))
    slots.close()
    assert slots.idle
    assert sorted(recognised(reports)) == [1, 2, 3, 4]
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
    Slots([FakeRecognizer()], FakeInbox(), emit).put(Transcribe(batch=1, chunks=()))
    assert gone.wait(30)
    assert codes == [70]
    assert "MemoryError: not even this" in capfd.readouterr().err


def test_a_chunk_is_recognised_as_the_job_wants_and_what_was_dropped_is_told_on_the_clock_of_the_recording(
    monkeypatch: pytest.MonkeyPatch, spool: Path
) -> None:
    asked: list[AudioChunk] = []

    class LoopingRecognizer(FakeRecognizer):
        def recognise(
            self, chunks: Any, preset: Preset, prompt: str | None = None
        ) -> Iterator[tuple[int, Recognition]]:
            asked.extend(chunks)
            yield 0, Recognition((), "en", None, dropped=((0.25, 0.75),))

    wanted = msgspec.structs.replace(chunk(spool, 3), language="de", follow=True)
    reports, _ = work(monkeypatch, LoopingRecognizer(), Transcribe(batch=1, chunks=(wanted,)))
    assert [(row.language, row.follow) for row in asked] == [("de", True)]
    assert isinstance(reports[0], ChunkDone)
    assert reports[0].dropped == (Dropped(103.25, 103.75),)


def test_segments_are_in_the_language_of_their_words_and_mandarin_is_simplified(
    monkeypatch: pytest.MonkeyPatch, spool: Path
) -> None:
    class MixedRecognizer(FakeRecognizer):
        def recognise(
            self, chunks: Any, preset: Preset, prompt: str | None = None
        ) -> Iterator[tuple[int, Recognition]]:
            chinese = (Word(0.1, 0.3, "頭髮 ", 0.9), Word(0.3, 0.5, "後來", 0.9))
            japanese = (Word(0.6, 0.8, "結論", 0.9),)
            yield (
                0,
                Recognition(
                    (Sentence(chinese, "zh", -0.1, 0.0, 1.0), Sentence(japanese, "ja", -0.1, 0.0, 1.0)), "zh", None
                ),
            )

    reports, _ = work(monkeypatch, MixedRecognizer(), Transcribe(batch=1, chunks=(chunk(spool, 1),)))
    assert isinstance(reports[0], ChunkDone)
    assert [(s.language, s.text) for s in reports[0].segments] == [("zh", "头发后来"), ("ja", "結論")]
    assert [word.word for word in reports[0].segments[0].words] == ["头发", "后来"]


def call_chunk(path: Path, index: int) -> ChunkInput:
    """Return one second of a call with a person in each of its two channels."""
    span = Span(index, index * SECOND, SECOND, index + 100.0, index + 101.0)
    return ChunkInput(job_id="job", span=span, spool=str(path), language="en", channels=2)


@pytest.fixture
def call(tmp_path: Path) -> Path:
    """Three seconds of two people who talk at once."""
    frames = np.stack([babble(3, seed=1), babble(3, seed=2)], axis=1)
    path = tmp_path / "call"
    path.write_bytes(frames.astype("<i2").tobytes())
    return path


def test_the_channels_of_a_chunk_are_one_report_with_a_speaker_each(
    monkeypatch: pytest.MonkeyPatch, call: Path
) -> None:
    recognizer = FakeRecognizer()
    batch = Transcribe(batch=1, chunks=tuple(call_chunk(call, index) for index in range(3)))
    reports, codes = work(monkeypatch, recognizer, batch)
    assert codes == []
    assert sorted(recognised(reports)) == [0, 1, 2]
    for report in reports[:-1]:
        assert isinstance(report, ChunkDone)
        assert [(segment.index, segment.speaker) for segment in report.segments] == [(0, "s1"), (1, "s2")]
    assert sum(map(len, recognizer.batches)) == 6
    assert max(map(len, recognizer.batches)) == 3  # no more memory than for a batch without channels


def test_a_chunk_whose_channel_fails_is_tried_again_as_a_whole(monkeypatch: pytest.MonkeyPatch, call: Path) -> None:
    failures = iter([False, True])

    def trouble(batch: list[int], chunk: int | None) -> None:
        if chunk is not None and next(failures, False):
            raise RuntimeError("no")

    reports, codes = work(monkeypatch, FakeRecognizer(trouble), Transcribe(batch=1, chunks=(call_chunk(call, 0),)))
    assert codes == []
    first, done = reports
    assert isinstance(first, ChunkDone)
    assert isinstance(done, BatchDone)
    assert [segment.speaker for segment in first.segments] == ["s1", "s2"]


class Aligner(FakeRecognizer):
    """Aligns each word with a second, or raises what it was told to."""

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__()
        self.error = error
        self.asked: list[tuple[int, str, Task]] = []

    def align(self, audio: Audio, texts: Sequence[str], language: str, task: Task) -> list[Word]:
        self.asked.append((len(audio), language, task))
        if self.error is not None:
            raise self.error
        return [Word(at, at + 1.0, text, 0.7) for at, text in enumerate(texts)]


def aligned(monkeypatch: pytest.MonkeyPatch, recognizer: Aligner, spool: Path) -> tuple[list[Report], list[int]]:
    """Return the reports of an alignment, and the exit codes of a process that wanted to end."""
    reports: list[Report] = []
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    slots = Slots([recognizer], FakeInbox(), reports.append)
    slots.put(Align(3, Span(0, SECOND, 4 * SECOND, 1.0, 5.0), str(spool), (" one", " two"), "de", Task.TRANSLATE))
    slots.put(Transcribe(batch=1, chunks=(chunk(spool, 1),)))
    slots.close()
    assert slots.idle
    assert isinstance(reports[-1], BatchDone)
    return reports, codes


def test_an_alignment_takes_a_slot_like_a_batch(monkeypatch: pytest.MonkeyPatch, spool: Path) -> None:
    recognizer = Aligner()
    (answer, *_), codes = aligned(monkeypatch, recognizer, spool)
    assert isinstance(answer, Aligned)
    assert (answer.request, codes) == (3, [])
    assert [(word.start, word.end, word.probability) for word in answer.words] == [(0.0, 1.0, 0.7), (1.0, 2.0, 0.7)]
    assert recognizer.asked == [(4 * SECOND, "de", Task.TRANSLATE)]


@pytest.mark.parametrize(
    ("error", "code", "exits"),
    [
        (UnalignableText(), "unalignable", []),
        (ValueError("odd"), "unknown", []),
        (OOM, "oom", [1]),
    ],
)
def test_an_alignment_that_fails_ends_the_process_only_if_that_gives_memory_back(
    monkeypatch: pytest.MonkeyPatch, spool: Path, error: Exception, code: str, exits: list[int]
) -> None:
    (answer, *_), codes = aligned(monkeypatch, Aligner(error), spool)
    assert isinstance(answer, Fault)
    assert (answer.scope, answer.request, answer.problem.code, answer.fatal) == ("alignment", 3, code, bool(exits))
    assert codes == exits


def test_sound_that_is_not_there_is_no_fault_of_the_actor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    reports: list[Report] = []
    slots = Slots([Aligner()], FakeInbox(), reports.append)
    slots.put(Align(3, Span(0, 0, SECOND, 0.0, 1.0), str(tmp_path / "gone"), (" one",), "en"))
    slots.close()
    (answer,) = reports
    assert isinstance(answer, Fault)
    assert (answer.problem.code, answer.fatal) == ("spool_missing", False)


class Drafter(FakeRecognizer):
    """Hears one word in each sound, or raises. Remembers how much priority it had."""

    def __init__(self, priority: Priority, error: Exception | None = None) -> None:
        super().__init__()
        self.priority, self.error, self.express = priority, error, -1

    def draft(self, sounds: Sequence[DraftAudio]) -> list[DraftText]:
        self.express = self.priority._express
        if self.error is not None:
            raise self.error
        return [DraftText(((Word(0.0, 0.5, " hi", 0.9), (7,)),), "en") for _ in sounds]


@pytest.mark.parametrize("express", [False, True])
def test_a_draft_takes_a_slot_and_a_core_of_its_own_where_all_slots_are_taken(spool: Path, express: bool) -> None:
    reports: list[Report] = []
    drafter = Drafter(priority := Priority())
    slots = Slots([drafter], FakeInbox(), reports.append, priority)  # type: ignore[list-item, arg-type]
    slots.put(DraftSound(5, (DraftRow("job", str(spool), SECOND, SECOND),), express))
    slots.close()
    (answer,) = reports
    assert isinstance(answer, DraftDone)
    assert [(word.word, word.start) for word in answer.rows[0].words] == [(" hi", 1.0)]
    assert (answer.request, drafter.express, slots.idle) == (5, int(express), True)


@pytest.mark.parametrize(("error", "exits"), [(ValueError("odd"), []), (OOM, [1])])
def test_a_draft_that_fails_ends_the_process_only_if_that_gives_memory_back(
    monkeypatch: pytest.MonkeyPatch, spool: Path, error: Exception, exits: list[int]
) -> None:
    reports: list[Report] = []
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    slots = Slots([Drafter(Priority(), error)], FakeInbox(), reports.append)  # type: ignore[list-item, arg-type]
    slots.put(DraftSound(5, (DraftRow("job", str(spool), SECOND, SECOND),)))
    slots.close()
    (answer,) = reports
    assert isinstance(answer, Fault)
    assert (answer.scope, answer.request, answer.fatal, codes) == ("draft", 5, bool(exits), exits)
