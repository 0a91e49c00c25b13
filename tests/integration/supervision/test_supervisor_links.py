"""The supervisor with a link that the test plays: an actor of another machine, which may wait, get lost, or both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from whisper_service.config.schema import SupervisionSettings
from whisper_service.core.domain import ActorState, Problem
from whisper_service.supervision.faults import FaultKind
from whisper_service.supervision.link import Exit
from whisper_service.supervision.messages.base import Ready, Shutdown
from whisper_service.supervision.messages.speech import Load
from whisper_service.supervision.protocol import decode_command, encode
from whisper_service.supervision.supervisor import ActorEvent, Died, Supervisor

pytestmark = pytest.mark.anyio

NO_ROOM = Problem("no_device", "No machine has room.")
LOST = Exit(lost="The machine is gone.")


class PlayedLink:
    """A link without an actor."""

    pid = None

    def __init__(
        self,
        entry: str,
        log: Path,
        on_open: Callable[[], None],
        on_message: Callable[[bytes], None],
        on_exit: Callable[[Exit], None],
    ) -> None:
        self.is_open = False
        self.obstacle: Problem | None = None
        self.got: list[object] = []
        self._on_open, self.on_exit = on_open, on_exit
        self._on_message = on_message

    def open(self) -> None:
        self.is_open = True
        self._on_open()

    def ready(self) -> None:
        self._on_message(encode(Ready(pid=1)))

    def send(self, data: bytes) -> None:
        self.got.append(decode_command(data))
        if isinstance(self.got[-1], Shutdown):
            asyncio.get_running_loop().call_soon(self.on_exit, Exit(0))

    def signal(self, number: int) -> None:
        self.got.append(number)

    def kill(self) -> None:
        self.got.append("kill")


class Played:
    """A supervisor, its links and its events."""

    def __init__(self, tmp_path: Path, **limits: float) -> None:
        self.links: list[PlayedLink] = []
        self.events: list[ActorEvent] = []
        self.supervisor = Supervisor(
            "actor",
            "no:entry",
            logs=tmp_path / "logs",
            deliver=self.events.append,
            limits=SupervisionSettings(max_restarts=2, **limits),  # type: ignore[arg-type]
            ready_is_useful=False,
            link=self._connect,
        )

    def _connect(self, *args: object) -> PlayedLink:
        self.links.append(PlayedLink(*args))  # type: ignore[arg-type]
        return self.links[-1]

    async def link(self, number: int) -> PlayedLink:
        """Wait for a link, counted from 1."""
        await self.until(lambda: len(self.links) >= number)
        return self.links[number - 1]

    async def until(self, wanted: Callable[[], bool]) -> None:
        with anyio.fail_after(30):
            while True:
                if wanted():
                    return
                await anyio.sleep(0.01)

    @property
    def deaths(self) -> list[Died]:
        return [event for event in self.events if isinstance(event, Died)]


@asynccontextmanager
async def played(tmp_path: Path, **limits: float) -> AsyncIterator[Played]:
    one = Played(tmp_path, **limits)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one.supervisor.run)
        one.supervisor.start()
        try:
            yield one
        finally:
            one.supervisor.stop()


async def test_an_actor_that_waits_for_a_machine_is_not_late_and_does_not_die(tmp_path: Path) -> None:
    async with played(tmp_path, ready_timeout_s=0.05) as one:
        link = await one.link(1)
        assert one.supervisor.state is ActorState.PENDING
        assert one.supervisor.obstacle is None
        link.obstacle = NO_ROOM
        assert one.supervisor.obstacle == NO_ROOM
        await anyio.sleep(0.3)  # six times the time for `Ready`
        assert one.supervisor.state is ActorState.PENDING
        assert one.events == []
        link.open()
        assert one.supervisor.state is ActorState.STARTING
        assert one.supervisor.obstacle is None, "an actor that starts does not wait"
        await one.until(lambda: "kill" in link.got)  # now it is late
        link.on_exit(Exit(-9))
        await one.until(lambda: bool(one.deaths))
        assert one.deaths[0].diagnosis.kind is FaultKind.HUNG


async def test_an_actor_that_waits_can_be_ended_and_comes_back_when_it_is_needed(tmp_path: Path) -> None:
    async with played(tmp_path) as one:
        link = await one.link(1)
        one.supervisor.go_idle()
        assert link.got == ["kill"]
        link.on_exit(Exit())
        await one.until(lambda: one.supervisor.state is ActorState.IDLE)
        assert one.deaths == []
        one.supervisor.start()
        await one.link(2)
        assert one.supervisor.state is ActorState.PENDING


async def test_lost_machines_do_not_reach_the_restart_limit_and_a_ready_actor_starts_again_at_once(
    tmp_path: Path,
) -> None:
    async with played(tmp_path) as one:
        for number in range(1, 5):  # the limit is two
            link = await one.link(number)
            link.open()
            link.ready()
            link.on_exit(LOST)
            await one.until(lambda number=number: len(one.deaths) == number)  # type: ignore[misc]
        assert {death.diagnosis.kind for death in one.deaths} == {FaultKind.LOST}
        assert one.deaths[0].diagnosis.problem.message == "The machine is gone."
        assert {death.restart_in_s for death in one.deaths} == {0.1}
        assert not one.supervisor.broken


async def test_an_actor_that_is_lost_before_it_is_ready_starts_again_more_and_more_rarely(tmp_path: Path) -> None:
    async with played(tmp_path) as one:
        for number in (1, 2):
            link = await one.link(number)
            link.open()
            link.on_exit(LOST)
            await one.until(lambda number=number: len(one.deaths) == number)  # type: ignore[misc]
        assert [death.restart_in_s for death in one.deaths] == [0.1, 0.5]


async def test_a_machine_that_is_gone_explains_the_missing_answer(tmp_path: Path) -> None:
    async with played(tmp_path) as one:
        link = await one.link(1)
        link.open()
        link.ready()
        one.supervisor.send(Load("m", "/", "cpu", "auto", 1, 1), within_s=0.01, key="load")
        await one.until(lambda: "kill" in link.got)
        link.on_exit(LOST)
        await one.until(lambda: bool(one.deaths))
        assert one.deaths[0].diagnosis.kind is FaultKind.LOST


async def test_an_actor_of_another_machine_is_not_in_the_list_of_processes(tmp_path: Path) -> None:
    async with played(tmp_path) as one:
        link = await one.link(1)
        link.open()
        assert one.supervisor.pid is None
        one.supervisor.stop()
        await one.until(lambda: any(isinstance(command, Shutdown) for command in link.got))
