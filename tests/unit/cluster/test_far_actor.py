"""A far actor through calls that fail: nothing lost, nothing twice, and one end that says what happened."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from tests.unit.cluster.fake_link import FakeLink, made
from whisper_service.cluster import far_actor
from whisper_service.cluster.far_actor import FarActor, OutpostGone, OutpostSilent
from whisper_service.cluster.file_push import FileOffer, StoredFiles
from whisper_service.cluster.model_push import ModelPush
from whisper_service.cluster.node_decodes import FileStretch
from whisper_service.cluster.outpost import Started, Taken
from whisper_service.cluster.versions import Versions
from whisper_service.core.domain import Problem
from whisper_service.supervision.link import Exit
from whisper_service.supervision.messages.base import Cancel, Fault
from whisper_service.supervision.messages.cluster import LinkClosed, Open, Opened, Passed
from whisper_service.supervision.messages.speech import BatchDone, Load
from whisper_service.supervision.protocol import Report, decode_command, decode_report, encode

pytestmark = pytest.mark.anyio
LOST_AFTER_S = 0.4


class FakeCalls:
    """Calls to an outpost of this process. A test says which of them fail."""

    def __init__(self) -> None:
        self.outpost, self.links = made()
        self.placed = asyncio.Event()
        self.placed.set()
        self.problem: Problem | None = None
        self.silent: list[str] = []  # the next calls of these names do not arrive
        self.unheard: list[str] = []  # those arrive, and their answer does not
        self.frozen = self.gone = False
        self.overtaking = False
        self.ended = 0

    @property
    def link(self) -> FakeLink:
        return self.links[0]

    async def _travel(self, name: str) -> None:
        if self.frozen:
            await asyncio.Event().wait()
        if self.gone:
            raise OutpostGone("The machine burnt down.")
        if name in self.silent:
            self.silent.remove(name)
            raise OutpostSilent

    def _answer(self, name: str) -> None:
        if name in self.unheard:
            self.unheard.remove(name)
            raise OutpostSilent

    async def start(self, entry: str, wanted: Versions) -> tuple[Started, str]:
        await self.placed.wait()
        await self._travel("start")
        started = Started("far", problem=self.problem) if self.problem else await self.outpost.start(entry, wanted)
        self._answer("start")
        return started, "node 1"

    async def put(self, number: int, data: bytes, sounds: Sequence[bytes | None]) -> None:
        if self.overtaking:
            await asyncio.sleep(0.001 * (10 - number))
        await self._travel("put")
        await self.outpost.put(number, data, sounds)
        self._answer("put")

    async def take(self, after: int, wait_s: float) -> Taken:
        await self._travel("take")
        taken = await self.outpost.take(after, wait_s)
        self._answer("take")
        if self.gone:
            raise OutpostGone("The machine burnt down.")
        return taken

    async def offer(self, offer: FileOffer) -> StoredFiles:
        await self._travel("offer")
        stored = await self.outpost.offer(offer)
        self._answer("offer")
        return stored

    async def store(self, offer: FileOffer, file: int, at: int, data: bytes) -> StoredFiles:
        await self._travel("store")
        stored = await self.outpost.store(offer, file, at, data)
        self._answer("store")
        return stored

    async def write(self, number: int, file: str, at: int, data: bytes) -> None:
        await self._travel("write")
        await self.outpost.write(number, file, at, data)
        self._answer("write")

    async def read(self, number: int, stretches: Sequence[FileStretch]) -> list[bytes]:
        await self._travel("read")
        pieces = await self.outpost.read(number, stretches)
        self._answer("read")
        return pieces

    async def signal(self, number: int) -> None:
        await self._travel("signal")
        await self.outpost.signal(number)

    async def kill(self) -> None:
        await self._travel("kill")
        await self.outpost.kill()

    def end(self) -> None:
        self.ended += 1


class Gateway:
    """What the gateway has of one far actor."""

    def __init__(self, calls: FakeCalls, lost_after_s: float) -> None:
        self.said: list[Report] = []
        self.news = asyncio.Event()
        self.actor = FarActor(
            Open(link=4, name="cluster-1", entry="entry"), calls, self._emit, lost_after_s, ModelPush()
        )

    def _emit(self, report: Report) -> None:
        self.said.append(report)
        self.news.set()

    async def until(self, kind: type[Report], count: int = 1) -> list[Report]:
        async with asyncio.timeout(20):
            while sum(isinstance(report, kind) for report in self.said) < count:
                self.news.clear()
                await self.news.wait()
        return [report for report in self.said if isinstance(report, kind)]

    async def closed(self) -> LinkClosed:
        (end,) = await self.until(LinkClosed)
        assert isinstance(end, LinkClosed)
        assert self.said[-1] is end
        return end


@asynccontextmanager
async def opened(calls: FakeCalls, lost_after_s: float = 20.0) -> AsyncIterator[Gateway]:
    gateway = Gateway(calls, lost_after_s)
    life = asyncio.ensure_future(gateway.actor.run())
    try:
        yield gateway
    finally:
        life.cancel()
        await asyncio.gather(life, return_exceptions=True)
    assert len([report for report in gateway.said if isinstance(report, LinkClosed)]) == 1
    assert calls.ended == 1


def command(number: int) -> bytes:
    return encode(Cancel(job_id=str(number)))


def report(number: int) -> bytes:
    return encode(BatchDone(batch=number, seconds=0.0, audio_s=0.0))


async def sent(link: FakeLink, count: int) -> list[bytes]:
    await link.until(lambda: len(link.sent) >= count)
    return link.sent


async def test_commands_and_reports_travel_and_the_exit_comes_last() -> None:
    calls = FakeCalls()
    calls.overtaking = True
    async with opened(calls) as gateway:
        for number in range(10):
            gateway.actor.send(command(number))
        assert await gateway.until(Opened) == [Opened(4, "node 1", gateway.said[0].host, 7)]  # type: ignore[union-attr]
        assert await sent(calls.link, 10) == [command(number) for number in range(10)]
        for number in range(3):
            calls.link.report(report(number))
        calls.link.end(Exit(-6, "an abort", oom_killed=True))
        assert await gateway.closed() == LinkClosed(4, Exit(-6, "an abort", oom_killed=True))
        assert gateway.said[1:-1] == [Passed(4, report(number)) for number in range(3)]


async def test_calls_that_are_lost_or_unheard_are_repeated_and_nothing_comes_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(far_actor, "AGAIN_S", 0.01)
    calls = FakeCalls()
    calls.silent = ["start", "put", "put", "take"]
    calls.unheard = ["start", "put", "put", "take", "take"]
    async with opened(calls) as gateway:
        for number in range(5):
            gateway.actor.send(command(number))
        await gateway.until(Opened)
        assert await sent(calls.link, 5) == [command(number) for number in range(5)]
        for number in range(5):
            calls.link.report(report(number))
            await gateway.until(Passed, number + 1)
        assert [said for said in gateway.said if isinstance(said, Passed)] == [Passed(4, report(n)) for n in range(5)]
        assert (calls.silent, calls.unheard) == ([], [])
        assert len(calls.links) == 1
        assert calls.link.sent == [command(number) for number in range(5)]


async def test_a_machine_that_does_not_answer_is_lost() -> None:
    calls = FakeCalls()
    async with opened(calls, LOST_AFTER_S) as gateway:
        await gateway.until(Opened)
        calls.frozen = True
        lost = (await gateway.closed()).exit
        assert lost.code is None
        assert "no answer" in (lost.lost or "")


async def test_a_machine_that_is_gone_is_lost_at_once() -> None:
    calls = FakeCalls()
    async with opened(calls) as gateway:
        await gateway.until(Opened)
        calls.gone = True
        calls.link.report(report(0))  # ends the wait of the call
        assert (await gateway.closed()).exit == Exit(lost="The machine burnt down.")


async def test_a_command_that_finds_the_machine_gone_tells_it() -> None:
    calls = FakeCalls()
    async with opened(calls) as gateway:
        await gateway.until(Opened)
        calls.gone = True  # the call for reports waits and hears nothing
        gateway.actor.send(command(0))
        assert (await gateway.closed()).exit == Exit(lost="The machine burnt down.")


async def test_an_actor_that_waits_for_a_machine_can_be_given_up() -> None:
    calls = FakeCalls()
    calls.placed.clear()
    async with opened(calls) as gateway:
        gateway.actor.send(command(0))
        gateway.actor.signal(10)
        gateway.actor.kill()
        assert await gateway.closed() == LinkClosed(4, Exit(lost=far_actor.NEVER_PLACED))
        assert gateway.said[:-1] == []
        assert calls.links == []


async def test_a_killed_actor_ends_with_its_own_exit() -> None:
    calls = FakeCalls()
    async with opened(calls) as gateway:
        await gateway.until(Opened)
        gateway.actor.signal(10)
        await sent(calls.link, 1)
        gateway.actor.kill()
        await calls.link.until(lambda: calls.link.killed > 0)
        calls.link.end(Exit(-9, "stacks"))
        assert (await gateway.closed()).exit == Exit(-9, "stacks")
        assert calls.link.sent == [b"signal 10"]


async def test_a_kill_that_is_not_answered_ends_the_link_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(far_actor, "EXIT_S", 0.05)
    calls = FakeCalls()
    async with opened(calls) as gateway:
        await gateway.until(Opened)
        calls.frozen = True
        gateway.actor.kill()
        assert (await gateway.closed()).exit == Exit(lost=far_actor.NOT_TOLD)


async def test_a_machine_that_cannot_run_the_actor_says_why() -> None:
    calls = FakeCalls()
    calls.problem = Problem("cluster_versions", "Other versions.")
    async with opened(calls) as gateway:
        assert (await gateway.closed()) == LinkClosed(4, Exit(lost="Other versions."), calls.problem)


async def test_the_end_of_the_gateway_ends_the_outpost() -> None:
    calls = FakeCalls()
    async with opened(calls) as gateway:
        await gateway.until(Opened)
    assert calls.ended == 1


def load(folder: Path) -> bytes:
    return encode(Load(model="tiny", path=str(folder), device="cpu", compute_type="auto", slots=1, threads=1))


async def test_a_model_travels_before_its_command_and_nothing_else_waits_but_later_commands(tmp_path: Path) -> None:
    class Held(FakeCalls):
        offered, go_on = anyio.Event(), anyio.Event()

        async def offer(self, offer: FileOffer) -> StoredFiles:
            self.offered.set()
            await self.go_on.wait()
            return StoredFiles(path=str(node), bytes=offer.size)

    (node := tmp_path / "node").mkdir()
    (tmp_path / "model.bin").write_bytes(b"weights")
    calls = Held()
    async with opened(calls) as gateway:
        gateway.actor.send(command(0))
        gateway.actor.send(load(tmp_path))
        gateway.actor.send(command(2))
        with anyio.fail_after(20):
            await calls.offered.wait()
        assert await sent(calls.link, 1) == [command(0)]
        calls.link.report(report(0))
        gateway.actor.signal(10)
        await gateway.until(Passed)
        assert await sent(calls.link, 2) == [command(0), b"signal 10"], "a later command waits for the model"
        calls.go_on.set()
        placed = decode_command((await sent(calls.link, 4))[2])
        assert isinstance(placed, Load)
        assert placed.path == str(node)
        assert calls.link.sent[3] == command(2)


async def test_a_model_that_cannot_come_is_a_fault_and_later_commands_arrive(tmp_path: Path) -> None:
    calls = FakeCalls()
    async with opened(calls) as gateway:
        gateway.actor.send(load(tmp_path / "missing"))
        gateway.actor.send(command(1))
        (passed,) = await gateway.until(Passed)
        assert isinstance(passed, Passed)
        fault = decode_report(passed.data)
        assert isinstance(fault, Fault)
        assert (fault.scope, fault.problem.code) == ("model", "model_unavailable")
        assert await sent(calls.link, 2) == [encode(Cancel(job_id="")), command(1)]


async def test_a_machine_that_goes_while_a_model_travels_is_lost(tmp_path: Path) -> None:
    class Leaving(FakeCalls):
        async def offer(self, offer: FileOffer) -> StoredFiles:
            raise OutpostGone("The machine burnt down.")

    (tmp_path / "model.bin").write_bytes(b"weights")
    async with opened(Leaving()) as gateway:
        gateway.actor.send(load(tmp_path))
        assert (await gateway.closed()).exit == Exit(lost="The machine burnt down.")
