"""The command loop of the speech actor, with a scripted model."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from whisper_service.actors.speech import main as speech
from whisper_service.core.domain import Span
from whisper_service.supervision.boot import Inbox
from whisper_service.supervision.messages.base import Cancel, Fault, Shutdown
from whisper_service.supervision.messages.speech import Align, ChunkInput, Load, Loaded, Transcribe
from whisper_service.supervision.protocol import Report


class Script:
    """A loader that records the events of its models and their slots, in order."""

    def __init__(self, faults: dict[str, Fault] | None = None) -> None:
        self.faults = faults or {}
        self.events: list[Any] = []
        self.idle = True

    def load(self, command: Load) -> Any:
        self.events.append(("load", command.model))
        return self.faults.get(command.model) or _Model(self, command.model)


class _Model:
    def __init__(self, script: Script, name: str) -> None:
        self._script, self._name = script, name
        self.report = Loaded(model=name, device="cpu", compute_type="int8", seconds=0.0)

    def slots(self, inbox: object, emit: object) -> Any:
        self._script.events.append(("slots", self._name))
        return self

    @property
    def idle(self) -> bool:
        return self._script.idle

    def put(self, work: Transcribe | Align) -> None:
        number = work.batch if isinstance(work, Transcribe) else f"align {work.request}"
        self._script.events.append(("put", self._name, number))

    def close(self) -> None:
        self._script.events.append(("close", self._name))

    def unload(self) -> None:
        self._script.events.append(("unload", self._name))


def command(model: str) -> Load:
    return Load(model=model, path="/nowhere", device="cpu", compute_type="int8", slots=1, threads=1)


def serve(script: Script, *commands: Load | Transcribe | Align) -> list[Report]:
    inbox = Inbox()
    for each in (*commands, Shutdown()):
        inbox.put(each)
    reports: list[Report] = []
    speech.serve(inbox, reports.append, script.load)
    return reports


def test_a_batch_without_a_model_is_refused() -> None:
    script = Script()
    (fault,) = serve(script, Transcribe(batch=4, chunks=()))
    assert isinstance(fault, Fault)
    assert (fault.scope, fault.batch, fault.index, fault.fatal) == ("batch", 4, None, False)
    assert fault.problem.code == "model_not_loaded"
    assert fault.problem.hint
    assert script.events == []


def test_an_alignment_without_a_model_is_refused_and_else_goes_to_the_slots() -> None:
    script, align = Script(), Align(7, Span(0, 0, 16_000, 0.0, 1.0), "/nowhere", (" a",), "en")
    fault, _ = serve(script, align, command("tiny"), align)
    assert isinstance(fault, Fault)
    assert (fault.scope, fault.request, fault.problem.code) == ("alignment", 7, "model_not_loaded")
    assert script.events[-1] == ("put", "tiny", "align 7")


def test_batches_go_to_the_model_that_was_loaded() -> None:
    script = Script()
    (loaded,) = serve(script, command("tiny"), Transcribe(batch=1, chunks=()), Transcribe(batch=2, chunks=()))
    assert isinstance(loaded, Loaded)
    assert loaded.model == "tiny"
    assert script.events == [("load", "tiny"), ("slots", "tiny"), ("put", "tiny", 1), ("put", "tiny", 2)]


def test_the_old_model_is_unloaded_before_the_next_is_loaded() -> None:
    script = Script()
    serve(script, command("tiny"), Transcribe(batch=1, chunks=()), command("base"), Transcribe(batch=2, chunks=()))
    assert script.events == [
        ("load", "tiny"),
        ("slots", "tiny"),
        ("put", "tiny", 1),
        ("close", "tiny"),
        ("unload", "tiny"),
        ("load", "base"),
        ("slots", "base"),
        ("put", "base", 2),
    ]


def test_after_a_model_that_does_not_load_there_is_none_and_the_next_may() -> None:
    fault = Fault(scope="model", kind="model_broken", problem=speech.Problem("model_broken", "It is broken."))
    script = Script({"broken": fault})
    reports = serve(script, command("tiny"), command("broken"), Transcribe(batch=1, chunks=()), command("base"))
    assert reports[1] == fault
    assert isinstance(reports[2], Fault)
    assert reports[2].problem.code == "model_not_loaded"
    assert isinstance(reports[3], Loaded)
    assert [event for event in script.events if event[0] in ("unload", "slots")] == [
        ("slots", "tiny"),
        ("unload", "tiny"),
        ("slots", "base"),
    ]


class SilentInbox(Inbox):
    """An inbox whose `get` with a timeout finds nothing. Records the timeouts."""

    def __init__(self) -> None:
        super().__init__()
        self.timeouts: list[float | None] = []
        self.asked: Callable[[], None] = lambda: None

    def get(self, timeout: float | None = None) -> Any:
        self.timeouts.append(timeout)
        self.asked()
        return super().get(0) if timeout is not None else super().get()


def test_idle_memory_goes_back_once(monkeypatch: pytest.MonkeyPatch) -> None:
    script, inbox = Script(), SilentInbox()
    released: list[int] = []
    monkeypatch.setattr(speech.allocator, "release", lambda: released.append(len(inbox.timeouts)))
    inbox.put(command("tiny"))
    inbox.put(Transcribe(batch=1, chunks=()))
    script.idle = False

    def asked() -> None:
        if len(inbox.timeouts) == 5:
            script.idle = True
        if inbox.timeouts[-1] is None and len(inbox.timeouts) > 1:
            inbox.put(Shutdown())

    inbox.asked = asked
    speech.serve(inbox, lambda report: None, script.load, idle_s=3.0)
    assert inbox.timeouts == [None, 3.0, 3.0, 3.0, 3.0, None], (
        "it keeps asking only while there is something to give back"
    )
    assert released == [5]


def test_a_cancellation_reaches_batches_in_work() -> None:
    """The command loop is free while the slots work."""
    inbox = Inbox()
    seen = threading.Event()
    script = Script()
    chunk = ChunkInput(job_id="job", span=Span(0, 0, 1, 0.0, 1.0), spool="")
    inbox.put(command("tiny"))
    inbox.put(Transcribe(batch=1, chunks=(chunk,)))
    thread = threading.Thread(target=speech.serve, args=(inbox, lambda report: seen.set(), script.load))
    thread.start()
    assert seen.wait(30)
    inbox.put(Cancel(job_id="job"))
    inbox.put(Shutdown())
    thread.join(30)
    assert not thread.is_alive()
    assert inbox.cancelled("job")


def test_the_model_stack_is_not_imported_before_the_process_is_prepared() -> None:
    code = (
        "import sys, whisper_service.actors.speech.main\n"
        "print(sorted({'ctranslate2', 'faster_whisper'} & set(sys.modules)))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


def test_the_allocator_and_the_cuda_libraries_come_before_the_model_stack() -> None:
    code = """
import sys
from whisper_service.actors.speech import allocator
from whisper_service.actors.speech import cuda_libraries
from whisper_service.actors.speech import main as speech
from whisper_service.supervision.boot import Inbox
from whisper_service.supervision.messages.base import Shutdown
seen = []
allocator.tune = lambda: seen.append(("tune", "ctranslate2" in sys.modules))
cuda_libraries.preload = lambda: seen.append(("preload", "ctranslate2" in sys.modules))
inbox = Inbox()
inbox.put(Shutdown())
speech.run(inbox, lambda report: seen.append((type(report).__name__, "ctranslate2" in sys.modules)))
print(seen)
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[('tune', False), ('preload', False), ('Ready', True)]"
