"""What each link must do, whatever is on its other side. A new kind of link is one more entry in `LINKS`."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Final

import anyio
import pytest

from testkit.scripted_actors import script
from testkit.scripted_gateway import ScriptedCluster
from testkit.service import placeholder_model
from whisper_service.cluster.far_links import FarLinks
from whisper_service.config.schema import ClusterSettings
from whisper_service.core.domain import Span
from whisper_service.supervision.link import Exit, Link, LinkFactory
from whisper_service.supervision.messages.base import Ready, Shutdown
from whisper_service.supervision.messages.speech import ChunkInput, Load, Loaded, Transcribe
from whisper_service.supervision.process import ActorProcess
from whisper_service.supervision.protocol import Command, Report, decode_command, decode_report, encode
from whisper_service.supervision.supervisor import ActorEvent, Reported, Supervisor

pytestmark = pytest.mark.anyio

ENTRY: Final = "testkit.scripted_actors:speech"
WITHIN_S: Final = 60.0


@asynccontextmanager
async def process_links() -> AsyncIterator[LinkFactory]:
    yield ActorProcess


class GatewayHere:
    """The supervisor of a gateway that is in this process."""

    def __init__(self, deliver: Callable[[ActorEvent], None]) -> None:
        loop = asyncio.get_running_loop()

        def emit(report: Report) -> None:
            data = encode(report)  # as on its way through a pipe
            loop.call_soon(deliver, Reported("gateway", 1, decode_report(data)))

        self.cluster = ScriptedCluster(emit)

    def send(self, command: Command, **_: object) -> None:
        self.cluster.take(decode_command(encode(command)))

    def mark_useful(self) -> None: ...
    def set_deadline(self, key: object, within_s: float, *, generation: int) -> None: ...


@asynccontextmanager
async def far_links() -> AsyncIterator[LinkFactory]:
    far = FarLinks(
        ClusterSettings(engine="ray", cpus=1.0, gpus=0.0),
        gateway=lambda deliver, _: GatewayHere(deliver),  # type: ignore[arg-type, return-value]
        supervise=Supervisor,  # type: ignore[arg-type]
        changed=lambda: None,
    )
    far.gateway.cluster.have([{"host": "box", "cpus": 8}])  # type: ignore[attr-defined]
    yield far.connect("cluster-1")


LINKS: dict[str, Callable[[], AbstractAsyncContextManager[LinkFactory]]] = {"process": process_links, "far": far_links}


@pytest.fixture(params=sorted(LINKS))
async def connect(request: pytest.FixtureRequest) -> AsyncIterator[LinkFactory]:
    """A factory of links of each kind."""
    async with LINKS[request.param]() as factory:
        yield factory


class Life:
    """A link, and what it said: "open", reports and the exit, in order."""

    def __init__(self, connect: LinkFactory, log: Path, entry: str = ENTRY) -> None:
        log.touch()
        self.said: list[str | Report | Exit] = []
        self._news = anyio.Event()
        self.link: Link = connect(
            entry,
            log,
            lambda: self._note("open"),
            lambda data: self._note(decode_report(data)),
            self._note,
        )

    def _note(self, what: str | Report | Exit) -> None:
        self.said.append(what)
        self._news.set()
        self._news = anyio.Event()

    async def until(self, count: int, kind: type) -> list[object]:
        """Wait until so many of a kind were said. Return all of them."""
        with anyio.fail_after(WITHIN_S):
            while len(found := [what for what in self.said if isinstance(what, kind)]) < count:
                await self._news.wait()
        return list(found)

    async def ready(self) -> None:
        await self.until(1, Ready)

    async def exit(self) -> Exit:
        (ended,) = await self.until(1, Exit)
        assert isinstance(ended, Exit)
        return ended


@asynccontextmanager
async def life(connect: LinkFactory, tmp_path: Path, entry: str = ENTRY) -> AsyncIterator[Life]:
    one = Life(connect, tmp_path / "actor.log", entry)
    try:
        yield one
    finally:
        one.link.kill()
        await one.exit()


def load(model: str, tmp_path: Path) -> bytes:
    folder = placeholder_model(tmp_path / "model")
    return encode(Load(model=model, path=str(folder), device="cpu", compute_type="auto", slots=1, threads=1))


def fault(tmp_path: Path, what: str) -> bytes:
    """Return the command for a chunk at which the actor ends."""
    spool = tmp_path / "spool"
    spool.write_bytes(script(faults={"0": what}).ljust(2 * 16_000, b"\0"))
    chunk = ChunkInput("job", Span(0, 0, 16_000, 0.0, 1.0), str(spool), language="en")
    return encode(Transcribe(batch=1, chunks=(chunk,)))


async def test_commands_and_reports_arrive_in_order(connect: LinkFactory, tmp_path: Path) -> None:
    names = [f"model {n}" for n in range(50)]
    async with life(connect, tmp_path) as one:
        for name in names:  # also those that are sent before the actor has started
            one.link.send(load(name, tmp_path))
        loaded = await one.until(len(names), Loaded)
        assert [report.model for report in loaded if isinstance(report, Loaded)] == names
        assert one.link.is_open
        assert one.link.obstacle is None
        first = next(what for what in one.said if what != "open")
        assert isinstance(first, Ready)
        assert "open" not in one.said[1:], "what opens does so once, before the first report"


async def test_an_actor_that_ends_by_itself_has_its_exit_code(connect: LinkFactory, tmp_path: Path) -> None:
    async with life(connect, tmp_path) as one:
        await one.ready()
        one.link.send(encode(Shutdown()))
        assert (await one.exit()).code == 0


@pytest.mark.parametrize(("what", "number"), [("abort", signal.SIGABRT), ("kill", signal.SIGKILL)])
async def test_the_signal_that_ended_an_actor_and_its_last_words_are_told(
    connect: LinkFactory, tmp_path: Path, what: str, number: int
) -> None:
    async with life(connect, tmp_path) as one:
        await one.ready()
        one.link.send(load("before", tmp_path))
        one.link.send(fault(tmp_path, what))
        ended = await one.exit()
        assert ended.code == -number
        assert ended.lost is None
        assert not ended.oom_killed
        assert ("terminate called" in ended.words) is (what == "abort")
        assert await one.until(1, Loaded), "what the actor said before comes before its exit"


async def test_an_entry_that_does_not_exist_is_told_with_its_traceback(connect: LinkFactory, tmp_path: Path) -> None:
    async with life(connect, tmp_path, "testkit.scripted_actors:nothing_like_it") as one:
        ended = await one.exit()
        assert ended.code == 70
        assert "nothing_like_it" in ended.words


async def test_a_kill_ends_an_actor_that_hangs(connect: LinkFactory, tmp_path: Path) -> None:
    async with life(connect, tmp_path) as one:
        await one.ready()
        one.link.send(fault(tmp_path, "spin"))
        one.link.kill()
        ended = await one.exit()
        assert ended.code == -signal.SIGKILL or ended.lost is not None


async def test_a_signal_makes_an_actor_write_its_stacks(connect: LinkFactory, tmp_path: Path) -> None:
    async with life(connect, tmp_path) as one:
        await one.ready()
        one.link.signal(signal.SIGUSR1)
        one.link.send(load("after", tmp_path))
        await one.until(1, Loaded)
        one.link.send(encode(Shutdown()))
        ended = await one.exit()
        assert "Thread 0x" in ended.words


async def test_a_kill_at_once_is_an_exit_like_any_other(connect: LinkFactory, tmp_path: Path) -> None:
    async with life(connect, tmp_path) as one:
        one.link.kill()
        await one.exit()


async def test_after_the_exit_nothing_comes_and_nothing_fails(connect: LinkFactory, tmp_path: Path) -> None:
    async with life(connect, tmp_path) as one:
        await one.ready()
        one.link.kill()
        await one.exit()
        one.link.send(load("late", tmp_path))
        one.link.signal(signal.SIGUSR1)
        one.link.kill()
        async with life(connect, tmp_path) as other:  # long enough for anything that is on its way
            await other.ready()
        assert [isinstance(what, Exit) for what in one.said].index(True) == len(one.said) - 1


async def test_the_process_is_told_if_it_runs_on_this_machine(connect: LinkFactory, tmp_path: Path) -> None:
    async with life(connect, tmp_path) as one:
        await one.ready()
        (ready,) = await one.until(1, Ready)
        assert isinstance(ready, Ready)
        if one.link.pid is not None:
            assert one.link.pid == ready.pid
            os.kill(one.link.pid, signal.SIGKILL)
            assert (await one.exit()).code == -signal.SIGKILL
