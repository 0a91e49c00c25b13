"""The supervisor with real processes: handshake, death with its cause, deadlines, restart, stop."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest

from tests.fakes.actors import script
from whisper_service.domain import Span
from whisper_service.faults import FaultKind
from whisper_service.protocol import ChunkDone, Load, Loaded, Ready, Row, Transcribe
from whisper_service.supervisor import ActorEvent, Died, Reported, State, Supervisor

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def stage(tmp_path: Path, entry: str, **options: float) -> AsyncIterator[tuple[Supervisor, Any]]:
    send, receive = anyio.create_memory_object_stream[ActorEvent](1000)
    supervisor = Supervisor(
        "actor", entry, logs=tmp_path / "logs", deliver=send.send_nowait, ready_timeout_s=options.get("ready_timeout_s", 30.0)
    )

    async def until(kind: type, generation: int | None = None) -> Any:
        """The next event or report of this kind."""
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
    assert supervisor.state is State.STOPPED


def rows(tmp_path: Path, **play: object) -> tuple[Row, ...]:
    spool = tmp_path / "spool"
    spool.write_bytes(script(**play))
    return (Row(job_id="job", span=Span(0, 0, 16_000, 0.0, 1.0), spool=str(spool), language="en"),)


async def test_nothing_starts_before_it_is_wanted(tmp_path: Path) -> None:
    async with stage(tmp_path, "tests.fakes.actors:speech") as (supervisor, _):
        await anyio.wait_all_tasks_blocked()
        assert supervisor.state is State.IDLE
        assert supervisor.pid is None


async def test_ready_then_answers_commands(tmp_path: Path) -> None:
    async with stage(tmp_path, "tests.fakes.actors:speech") as (supervisor, until):
        supervisor.want()
        ready = await until(Ready)
        assert ready.pid == supervisor.pid
        assert supervisor.facts["fake"] is True
        supervisor.send(Load(model="m", path="/", device="cpu", compute_type="auto", slots=1, threads=1))
        assert (await until(Loaded)).model == "m"
        supervisor.send(Transcribe(batch=1, rows=rows(tmp_path)))
        assert (await until(ChunkDone)).segments[0].text == "This is chunk 0."


@pytest.mark.parametrize(
    ("fault", "kind"), [("abort", FaultKind.CRASHED), ("kill", FaultKind.KILLED)]
)
async def test_death_is_told_with_its_cause_and_the_next_generation_works(tmp_path: Path, fault: str, kind: FaultKind) -> None:
    async with stage(tmp_path, "tests.fakes.actors:speech") as (supervisor, until):
        supervisor.want()
        await until(Ready)
        supervisor.send(Transcribe(batch=1, rows=rows(tmp_path, faults={"0": fault})))
        died = await until(Died)
        assert died.diagnosis.kind is kind
        assert died.generation == 1
        await until(Ready, generation=2)
        supervisor.send(Transcribe(batch=2, rows=rows(tmp_path)))
        assert (await until(ChunkDone)).batch == 2


async def test_a_hung_child_is_replaced_and_leaves_its_stacks(tmp_path: Path) -> None:
    async with stage(tmp_path, "tests.fakes.actors:speech") as (supervisor, until):
        supervisor.want()
        await until(Ready)
        supervisor.send(Transcribe(batch=1, rows=rows(tmp_path, faults={"0": "hang"})), within_s=0.5, key=1)
        assert (await until(Died)).diagnosis.kind is FaultKind.HUNG
        await until(Ready, generation=2)
    assert "_transcribe" in (tmp_path / "logs" / "actor-1.log").read_text()


async def test_what_is_settled_in_time_is_not_replaced(tmp_path: Path) -> None:
    async with stage(tmp_path, "tests.fakes.actors:speech") as (supervisor, until):
        supervisor.want()
        await until(Ready)
        supervisor.send(Transcribe(batch=1, rows=rows(tmp_path)), within_s=0.3, key=1)
        await until(ChunkDone)
        supervisor.settle(1)
        await anyio.sleep(0.6)
        assert supervisor.state is State.READY
        assert supervisor.generation == 1


async def test_a_child_that_cannot_start_says_why_and_backs_off(tmp_path: Path) -> None:
    async with stage(tmp_path, "tests.fakes.actors:broken") as (supervisor, until):
        supervisor.want()
        deaths = [await until(Died) for _ in range(3)]
        assert {death.diagnosis.kind for death in deaths} == {FaultKind.LIBRARY_MISSING}
        assert [death.restart_in_s for death in deaths] == sorted({death.restart_in_s for death in deaths})
        assert supervisor.problem is not None
        assert "cublas" in supervisor.problem.params["detail"]


async def test_a_child_that_never_gets_ready_is_replaced(tmp_path: Path) -> None:
    async with stage(tmp_path, "tests.integration.test_supervisor:never_ready", ready_timeout_s=1.0) as (supervisor, until):
        supervisor.want()
        assert (await until(Died)).diagnosis.kind is FaultKind.HUNG


async def test_a_stopped_process_does_not_hold_up_the_end(tmp_path: Path) -> None:
    async with stage(tmp_path, "tests.fakes.actors:speech") as (supervisor, until):
        supervisor.want()
        pid = (await until(Ready)).pid
        os.kill(pid, signal.SIGSTOP)
    assert not psutil.pid_exists(pid)


async def test_the_child_leaves_when_its_parent_is_killed(tmp_path: Path) -> None:
    code = (
        "import anyio, sys\n"
        "from pathlib import Path\n"
        "from whisper_service.supervisor import Supervisor\n"
        "async def main():\n"
        "    s = Supervisor('actor', 'tests.fakes.actors:speech', logs=Path(sys.argv[1]), deliver=lambda e: print(e.report.pid, flush=True), ready_timeout_s=30)\n"
        "    s.want()\n"
        "    await s.run()\n"
        "if __name__ == '__main__':\n"
        "    anyio.run(main)\n"
    )
    program = tmp_path / "parent.py"
    program.write_text(code)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    async with await anyio.open_process(
        [sys.executable, str(program), str(tmp_path)], stdout=-1, env=environment
    ) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(await parent.stdout.receive()))
        parent.kill()
        await parent.wait()
        await anyio.to_thread.run_sync(lambda: child.wait(10))
    assert not child.is_running()


def never_ready(inbox: object, emit: object) -> None:
    """An entry that starts and then says nothing."""
    signal.sigtimedwait(set(), 3600)
