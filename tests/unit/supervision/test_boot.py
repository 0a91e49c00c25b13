"""Commands come in order, cancellations come before them, and the environment of an actor is fixed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from whisper_service.core.domain import Span
from whisper_service.supervision.boot import Inbox
from whisper_service.supervision.messages.base import Cancel, Shutdown
from whisper_service.supervision.messages.media import Decode
from whisper_service.supervision.messages.speakers import Assign, Listen
from whisper_service.supervision.messages.speech import ChunkInput, Transcribe
from whisper_service.supervision.protocol import Command


def decode(job_id: str) -> Decode:
    return Decode(job_id=job_id, source="s", spool="p", peaks="w")


def batch(*jobs: str) -> Transcribe:
    return Transcribe(
        batch=1, chunks=tuple(ChunkInput(job_id=job, span=Span(0, 0, 1, 0.0, 1.0), spool="p") for job in jobs)
    )


def listen(job_id: str) -> Listen:
    return Listen(job_id=job_id, span=Span(0, 0, 1, 0.0, 1.0), spool="p", networks="n")


def assign(job_id: str) -> Assign:
    return Assign(job_id=job_id, request=1, voices=())


def test_commands_come_in_order() -> None:
    inbox = Inbox()
    commands = [decode("a"), batch("b"), Shutdown()]
    for command in commands:
        inbox.put(command)
    assert [inbox.get() for _ in commands] == commands


def test_no_command_within_the_time_is_none() -> None:
    assert Inbox().get(0.001) is None


@pytest.mark.parametrize("command", [decode("a"), batch("b", "a"), listen("a"), assign("a")])
def test_a_cancellation_counts_for_what_came_before_it(command: Command) -> None:
    inbox = Inbox()
    inbox.put(command)
    inbox.get()
    assert not inbox.cancelled("a")
    inbox.put(Cancel(job_id="a"))
    assert inbox.cancelled("a")
    assert not inbox.cancelled("b")


def test_a_cancellation_overtakes_waiting_commands() -> None:
    inbox = Inbox()
    inbox.put(decode("a"))
    inbox.put(Cancel(job_id="a"))
    assert inbox.get() == decode("a")
    assert inbox.cancelled("a")


@pytest.mark.parametrize("command", [decode("a"), batch("a"), listen("a"), assign("a")])
def test_a_job_that_is_given_again_is_not_cancelled(command: Command) -> None:
    inbox = Inbox()
    inbox.put(command)
    inbox.put(Cancel(job_id="a"))
    inbox.put(command)
    inbox.get()
    assert inbox.cancelled("a")
    inbox.get()
    assert not inbox.cancelled("a")


PROGRAM = """
import ctypes, multiprocessing, os, sys
from whisper_service.supervision import boot

def entry(inbox, emit):
    {act}

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    commands, keep = context.Pipe(duplex=False)
    _, reports = context.Pipe(duplex=False)
    actor = context.Process(target=boot.run_actor, args=("__mp_main__:entry", commands, reports, sys.argv[1]))
    actor.start()
    actor.join()
"""
COUNT_THREADS = """
    import numpy.linalg
    libraries = [line.split(maxsplit=5)[5].strip() for line in open("/proc/self/maps") if "openblas" in line]
    ask = getattr(ctypes.CDLL(libraries[0]), "scipy_openblas_get_num_threads64_", None) if libraries else None
    print(ask() if ask else "unknown", flush=True)
"""
LOOK_FOR_SPEECH = """
    from whisper_service.actors.vad import SpeechDetector
    SpeechDetector()
    print("made", flush=True)
"""


def printed(directory: Path, act: str, **environ: str) -> str:
    """Return what an actor with this code prints."""
    program, log = directory / "program.py", directory / "log"
    program.write_text(PROGRAM.format(act=act.strip()))
    subprocess.run([sys.executable, str(program), str(log)], env={**os.environ, **environ}, check=True, timeout=60)
    return log.read_text().strip()


@pytest.mark.skipif(sys.platform != "linux", reason="the libraries of a process are listed on Linux only")
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="with one core there is nothing to pin")
def test_an_actor_computes_with_one_thread_of_blas_whatever_the_service_was_told(tmp_path: Path) -> None:
    """The library itself is asked, in a process that imports it as the actors do."""
    if (threads := printed(tmp_path, COUNT_THREADS, OPENBLAS_NUM_THREADS="2", OMP_NUM_THREADS="2")) == "unknown":
        pytest.skip("this numpy computes with another library than scipy-openblas")
    assert threads == "1"


def test_an_actor_that_looks_for_speech_leaves_nothing_in_the_home_directory(tmp_path: Path) -> None:
    """ONNX Runtime would write an id of this device."""
    home = tmp_path / "home"
    home.mkdir()
    assert printed(tmp_path, LOOK_FOR_SPEECH, HOME=str(home), XDG_CACHE_HOME="") == "made"
    assert list(home.rglob("*")) == []
