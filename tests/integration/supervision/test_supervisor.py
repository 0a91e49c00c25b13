"""The supervisor with real processes: handshake, death with its cause, deadlines, restart, stop."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import msgspec
import psutil
import pytest

from testkit.repository import ROOT
from testkit.scripted_actors import script
from whisper_service.config.schema import SupervisionSettings
from whisper_service.core.domain import ActorState, Span
from whisper_service.supervision.faults import FaultKind
from whisper_service.supervision.messages.base import Ready, Shutdown
from whisper_service.supervision.messages.speakers import Assign
from whisper_service.supervision.messages.speech import ChunkDone, ChunkInput, Load, Loaded, Transcribe
from whisper_service.supervision.supervisor import ActorEvent, Died, Reported, Supervisor

pytestmark = pytest.mark.anyio
LIMITS = SupervisionSettings(ready_timeout_s=30.0)


@asynccontextmanager
async def supervised(tmp_path: Path, entry: str, **options: Any) -> AsyncIterator[tuple[Supervisor, Any]]:
    send, receive = anyio.create_memory_object_stream[ActorEvent](1000)
    options = {"limits": LIMITS, **options}
    supervisor = Supervisor("actor", entry, logs=tmp_path / "logs", deliver=send.send_nowait, **options)

    async def until(kind: type, generation: int | None = None) -> Any:
        """Wait for the next event or report of this kind."""
        with anyio.fail_after(30):
            while True:
                event = await receive.receive()
                found = event.report if isinstance(event, Reported) and not issubclass(kind, Died) else event
                if isinstance(found, kind) and generation in (None, event.generation):
                    return found

    with send, receive:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(supervisor.run)
            try:
                yield supervisor, until
            finally:
                supervisor.stop()
    assert supervisor.state is ActorState.STOPPED


def rows(tmp_path: Path, **play: object) -> tuple[ChunkInput, ...]:
    spool = tmp_path / "spool"
    spool.write_bytes(script(**play).ljust(2 * 16_000, b"\0"))
    return (ChunkInput(job_id="job", span=Span(0, 0, 16_000, 0.0, 1.0), spool=str(spool), language="en"),)


async def test_no_actor_runs_before_start(tmp_path: Path) -> None:
    async with supervised(tmp_path, "testkit.scripted_actors:speech") as (supervisor, _):
        await anyio.wait_all_tasks_blocked()
        assert supervisor.state is ActorState.IDLE
        assert supervisor.pid is None


async def test_ready_then_answers_commands(tmp_path: Path) -> None:
    async with supervised(tmp_path, "testkit.scripted_actors:speech") as (supervisor, until):
        supervisor.start()
        ready = await until(Ready)
        assert ready.pid == supervisor.pid
        assert supervisor.facts["fake"] is True
        supervisor.send(Load(model="m", path="/", device="cpu", compute_type="auto", slots=1, threads=1))
        assert (await until(Loaded)).model == "m"
        supervisor.send(Transcribe(batch=1, chunks=rows(tmp_path)))
        assert (await until(ChunkDone)).segments[0].text == "This is chunk 0."


@pytest.mark.parametrize(("fault", "kind"), [("abort", FaultKind.CRASHED), ("kill", FaultKind.KILLED)])
async def test_a_death_has_its_cause_and_the_next_generation_works(tmp_path: Path, fault: str, kind: FaultKind) -> None:
    async with supervised(tmp_path, "testkit.scripted_actors:speech") as (supervisor, until):
        supervisor.start()
        await until(Ready)
        supervisor.send(Transcribe(batch=1, chunks=rows(tmp_path, faults={"0": fault})))
        died = await until(Died)
        assert died.diagnosis.kind is kind
        assert died.generation == 1
        assert [(death.generation, death.problem) for death in supervisor.deaths] == [(1, died.diagnosis.problem)]
        await until(Ready, generation=2)
        supervisor.send(Transcribe(batch=2, chunks=rows(tmp_path)))
        assert (await until(ChunkDone)).batch == 2


async def test_the_problem_that_an_actor_reported_itself_is_kept(tmp_path: Path) -> None:
    async with supervised(tmp_path, "testkit.scripted_actors:speech") as (supervisor, until):
        supervisor.start()
        await until(Ready)
        supervisor.send(Transcribe(batch=1, chunks=rows(tmp_path, faults={"0": "oom"})))
        await until(Died)
        assert [death.problem.code for death in supervisor.deaths] == ["oom"]


@pytest.mark.parametrize("fault", ["hang", "spin", "stopped"])
async def test_a_hung_actor_is_replaced_and_leaves_its_stacks(tmp_path: Path, fault: str) -> None:
    """An actor that waits for ever, one in a native call that blocks all threads, one that got SIGSTOP."""
    async with supervised(tmp_path, "testkit.scripted_actors:speech") as (supervisor, until):
        supervisor.start()
        await until(Ready)
        play: dict[str, Any] = {"delay": 30.0} if fault == "stopped" else {"faults": {"0": fault}}
        supervisor.send(Transcribe(batch=1, chunks=rows(tmp_path, **play)), within_s=1.5, key=1)
        await anyio.sleep(0.5)
        if fault == "stopped":
            os.kill(supervisor.pid or 0, signal.SIGSTOP)
        assert (await until(Died)).diagnosis.kind is FaultKind.HUNG
        await until(Ready, generation=2)
    assert any("_transcribe" in log.read_text() for log in (tmp_path / "logs").iterdir())


async def test_an_actor_that_answers_before_the_deadline_is_not_replaced(tmp_path: Path) -> None:
    async with supervised(tmp_path, "testkit.scripted_actors:speech") as (supervisor, until):
        supervisor.start()
        await until(Ready)
        supervisor.send(Transcribe(batch=1, chunks=rows(tmp_path)), within_s=0.3, key=1)
        await until(ChunkDone)
        supervisor.clear_deadline(1)
        await anyio.sleep(0.6)
        assert supervisor.state is ActorState.READY
        assert supervisor.generation == 1


async def test_an_actor_that_cannot_start_says_why_and_backs_off(tmp_path: Path) -> None:
    async with supervised(tmp_path, "testkit.scripted_actors:broken") as (supervisor, until):
        supervisor.start()
        deaths = [await until(Died) for _ in range(3)]
        assert {death.diagnosis.kind for death in deaths} == {FaultKind.LIBRARY_MISSING}
        assert [death.restart_in_s for death in deaths] == sorted({death.restart_in_s for death in deaths})
        assert supervisor.problem is not None
        assert "cublas" in supervisor.problem.params["detail"]


async def test_an_actor_that_dies_too_often_starts_again_after_a_while_or_a_reset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MENDED", str(tmp_path / "mended"))
    often = msgspec.structs.replace(LIMITS, max_restarts=2, restart_window_s=60.0, probe_s=0.2)
    async with supervised(tmp_path, "testkit.scripted_actors:broken_until_mended", limits=often) as (
        supervisor,
        until,
    ):
        supervisor.start()
        first, second = [await until(Died) for _ in range(2)]
        assert (first.restart_in_s, second.restart_in_s) == (0.1, 0.2)
        assert (supervisor.state, supervisor.broken) == (ActorState.BROKEN, True)
        assert (await until(Died)).generation == 3  # started again without a reset
        assert supervisor.broken
    seldom = msgspec.structs.replace(often, probe_s=3600.0)
    async with supervised(tmp_path, "testkit.scripted_actors:broken_until_mended", limits=seldom) as (
        supervisor,
        until,
    ):
        supervisor.start()
        assert [(await until(Died)).restart_in_s for _ in range(2)] == [0.1, 3600.0]
        (tmp_path / "mended").touch()
        supervisor.reset()
        await until(Ready)
        assert not supervisor.broken


async def test_kills_from_outside_do_not_reach_the_limit(tmp_path: Path) -> None:
    options = {"limits": msgspec.structs.replace(LIMITS, max_restarts=2), "ready_is_useful": False}
    async with supervised(tmp_path, "testkit.scripted_actors:speech", **options) as (supervisor, until):
        supervisor.start()
        for generation in range(1, 4):
            await until(Ready, generation)
            os.kill(supervisor.pid or 0, signal.SIGKILL)
            assert (await until(Died)).diagnosis.kind is FaultKind.KILLED
        assert not supervisor.broken


async def test_an_actor_that_never_becomes_ready_is_replaced(tmp_path: Path) -> None:
    async with supervised(
        tmp_path,
        "tests.integration.supervision.test_supervisor:never_ready",
        limits=SupervisionSettings(ready_timeout_s=1.0),
    ) as (
        supervisor,
        until,
    ):
        supervisor.start()
        assert (await until(Died)).diagnosis.kind is FaultKind.HUNG


async def test_a_stopped_process_does_not_delay_the_end(tmp_path: Path) -> None:
    async with supervised(tmp_path, "testkit.scripted_actors:speech") as (supervisor, until):
        supervisor.start()
        pid = (await until(Ready)).pid
        os.kill(pid, signal.SIGSTOP)
    assert not psutil.pid_exists(pid)


async def test_the_actor_exits_when_the_service_is_killed(tmp_path: Path) -> None:
    code = (
        "import anyio, sys\n"
        "from pathlib import Path\n"
        "from whisper_service.config.schema import SupervisionSettings\n"
        "from whisper_service.supervision.supervisor import Supervisor\n"
        "async def main():\n"
        "    def deliver(event):\n"
        "        print(event.report.pid, flush=True)\n"
        "    entry = 'testkit.scripted_actors:speech'\n"
        "    s = Supervisor('actor', entry, logs=Path(sys.argv[1]), deliver=deliver, limits=SupervisionSettings())\n"
        "    s.start()\n"
        "    await s.run()\n"
        "if __name__ == '__main__':\n"
        "    anyio.run(main)\n"
    )
    program = tmp_path / "parent.py"
    program.write_text(code)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    async with await anyio.open_process(
        [sys.executable, str(program), str(tmp_path)], stdout=-1, env=environment
    ) as parent:
        assert parent.stdout is not None
        actor = psutil.Process(int(await parent.stdout.receive()))
        parent.kill()
        await parent.wait()
        await anyio.to_thread.run_sync(lambda: actor.wait(10))
    assert not actor.is_running()


async def test_a_message_that_cannot_be_read_is_a_crash_of_that_actor_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MARK", str(tmp_path / "mark"))
    async with supervised(tmp_path, "tests.integration.supervision.test_supervisor:send_garbage_once") as (
        supervisor,
        until,
    ):
        supervisor.start()
        died = await until(Died)
        assert (died.generation, died.diagnosis.kind) == (1, FaultKind.CRASHED)
        assert "cannot be read" in died.diagnosis.problem.message
        await until(Ready, generation=2)


async def test_reports_from_before_a_death_come_before_the_death(tmp_path: Path) -> None:
    async with supervised(tmp_path, "tests.integration.supervision.test_supervisor:report_and_die") as (
        supervisor,
        until,
    ):
        supervisor.start()
        done = [(await until(ChunkDone, generation=1)).index for _ in range(200)]
        assert done == list(range(200))
        assert (await until(Died)).generation == 1


async def test_a_command_to_an_actor_that_is_gone_does_not_reach_the_next_one(tmp_path: Path) -> None:
    async with supervised(tmp_path, "testkit.scripted_actors:speech") as (supervisor, until):
        supervisor.send(Shutdown())  # there is no actor yet: no error
        supervisor.start()
        await until(Ready)
        os.kill(supervisor.pid or 0, signal.SIGKILL)
        await until(Died)
        supervisor.send(Transcribe(batch=1, chunks=rows(tmp_path)), generation=1, within_s=0.2, key=1)
        await until(Ready, generation=2)
        supervisor.send(Transcribe(batch=2, chunks=rows(tmp_path)), generation=1, within_s=0.2, key=2)
        supervisor.set_deadline(3, 0.2, generation=1)
        supervisor.mark_useful(generation=1)
        assert supervisor.failures == 1
        supervisor.send(Transcribe(batch=4, chunks=rows(tmp_path)), generation=2)
        assert (await until(ChunkDone)).batch == 4
        await anyio.sleep(0.5)
        assert (supervisor.state, supervisor.generation) == (ActorState.READY, 2)


async def test_the_logs_survive_a_restart_of_the_service(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    for number in range(9):
        log = logs / f"actor-{number}.log"
        log.write_text(f"last words {number}")
        os.utime(log, (number, number))
    (logs / "actors-1.log").write_text("another actor's")
    async with supervised(tmp_path, "testkit.scripted_actors:speech") as (supervisor, until):
        supervisor.start()
        await until(Ready)
    assert {log.read_text() for log in logs.glob("actor-*")} == {
        "",
        *(f"last words {number}" for number in range(5, 9)),
    }
    assert (logs / "actors-1.log").exists()


async def test_an_actor_whose_process_cannot_be_started_counts_as_a_death(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file where the directory should be")
    async with supervised(tmp_path, "testkit.scripted_actors:speech") as (supervisor, until):
        supervisor.start()
        died = await until(Died)
        assert died.diagnosis.problem.params["detail"]
        (tmp_path / "logs").unlink()
        await until(Ready, generation=died.generation + 1)


def send_garbage_once(inbox: Any, emit: Any) -> None:
    """Write garbage into the pipe in the first generation, then wait."""
    mark = Path(os.environ["MARK"])
    emit(Ready(pid=os.getpid()))
    if not mark.exists():
        mark.touch()
        emit(Nonsense())
    inbox.get()


class Nonsense(msgspec.Struct, tag=True):
    """A well-formed message that is no report."""


def report_and_die(inbox: Any, emit: Any) -> None:
    """Report much and die at once."""
    emit(Ready(pid=os.getpid()))
    for index in range(200):
        emit(ChunkDone(batch=1, job_id="job", index=index, segments=(), language="en"))
    os.kill(os.getpid(), signal.SIGKILL)


def never_ready(inbox: object, emit: object) -> None:
    """Start and report nothing."""
    signal.sigtimedwait(set(), 3600)


async def test_an_idle_actor_is_gone_until_the_next_start_and_no_death_is_told(tmp_path: Path) -> None:
    async with supervised(tmp_path, "testkit.scripted_actors:speech") as (supervisor, until):
        supervisor.go_idle()  # there is no actor: nothing happens
        supervisor.start()
        first = await until(Ready, 1)
        supervisor.send(
            Transcribe(batch=1, chunks=rows(tmp_path, delay=60.0)), within_s=0.2
        )  # the deadline ends with the actor
        supervisor.go_idle()
        supervisor.go_idle()
        supervisor.start()
        await until(Ready, 2)
        assert not psutil.pid_exists(first.pid)
        assert (supervisor.generation, supervisor.idle_generation, supervisor.failures, supervisor.problem) == (
            2,
            1,
            0,
            None,
        )


async def test_go_idle_and_start_at_once_give_a_new_actor(tmp_path: Path) -> None:
    async with supervised(tmp_path, "testkit.scripted_actors:speech") as (supervisor, until):
        supervisor.start()
        await until(Ready, 1)
        supervisor.go_idle()
        supervisor.start()
        await until(Ready, 2)
        assert supervisor.state is ActorState.READY


async def test_an_idle_supervisor_still_stops(tmp_path: Path) -> None:
    async with supervised(tmp_path, "testkit.scripted_actors:speech") as (supervisor, until):
        supervisor.start()
        await until(Ready)
        supervisor.go_idle()


@pytest.mark.skipif(os.name != "posix", reason="processes cannot be stopped on this system")
async def test_a_long_message_to_a_stopped_actor_does_not_hold_up_the_service(tmp_path: Path) -> None:
    async with supervised(tmp_path, "testkit.scripted_actors:speech") as (supervisor, until):
        supervisor.start()
        await until(Ready)
        os.kill(supervisor.pid, signal.SIGSTOP)
        rescue = threading.Timer(5.0, os.kill, (supervisor.pid, signal.SIGCONT))
        rescue.start()
        supervisor.send(Assign("job", 1, ((0, bytes(1 << 20)),)))
        supervisor.send(Transcribe(batch=1, chunks=rows(tmp_path, chunks=1)))
        assert rescue.is_alive(), "sending took until the actor went on"
        rescue.cancel()
        os.kill(supervisor.pid, signal.SIGCONT)
        assert (await until(ChunkDone)).batch == 1


async def test_an_actor_that_dies_over_a_long_message_leaves_no_thread(tmp_path: Path) -> None:
    async with supervised(tmp_path, "testkit.scripted_actors:speech") as (supervisor, until):
        supervisor.start()
        await until(Ready)
        supervisor.send(Assign("job", 1, ((0, bytes(1 << 20)),)))
        os.kill(supervisor.pid, signal.SIGKILL)
        await until(Died)
    for _ in range(50):
        left = [thread.name for thread in threading.enumerate() if thread.name.startswith("commands to")]
        if not left:
            break
        await anyio.sleep(0.1)
    assert not left
