"""A gateway as the service has one, and what it says, for tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import anyio
import psutil

from testkit.ray_cluster import RayCluster
from whisper_service.supervision.link import Exit, Link
from whisper_service.supervision.messages.base import Message, Ready, Shutdown
from whisper_service.supervision.messages.cluster import (
    ClusterNode,
    Join,
    Kill,
    LinkClosed,
    Nodes,
    Open,
    Opened,
    Pass,
    Passed,
)
from whisper_service.supervision.messages.speech import BatchDone
from whisper_service.supervision.process import ActorProcess
from whisper_service.supervision.protocol import Command, Report, decode_report, encode

T = TypeVar("T", bound=Message)
WITHIN_S = 60.0
ACTOR = "testkit.sound_reader:run"


class Heard:
    """What an actor says, in order."""

    def __init__(self) -> None:
        self.reports: list[Report] = []
        self.exit: Exit | None = None
        self._news = asyncio.Event()

    def on_message(self, data: bytes) -> None:
        self.reports.append(decode_report(data))
        self._news.set()

    def on_exit(self, ended: Exit) -> None:
        self.exit = ended
        self._news.set()

    async def until(self, kind: type[T], **fields: object) -> T:
        """Wait for a report of this kind with these fields."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                self._news.clear()
                for report in self.reports:
                    if isinstance(report, kind) and all(getattr(report, name) == fields[name] for name in fields):
                        return report
                assert self.exit is None, self.exit
                await self._news.wait()

    async def until_exit(self) -> Exit:
        async with asyncio.timeout(WITHIN_S):
            while self.exit is None:
                self._news.clear()
                await self._news.wait()
        return self.exit


class FarLink(Heard):
    """The service's end of one far actor."""

    def __init__(self, gateway: GatewayProcess, link: int) -> None:
        super().__init__()
        self.link = link
        self.gateway = gateway

    def send(self, command: Command) -> None:
        self.gateway.send(Pass(self.link, encode(command)))

    def kill(self) -> None:
        self.gateway.send(Kill(self.link))

    async def opened(self) -> Opened:
        return await self.gateway.until(Opened, link=self.link)

    async def closed(self) -> Exit:
        """Wait for the end, and see that the actor is gone from its machine, which is this one."""
        end = await self.gateway.until(LinkClosed, link=self.link)
        assert end.problem is None, end
        for report in self.gateway.reports:
            if isinstance(report, Opened) and report.link == self.link:
                await gone(report.pid)
        return end.exit


class GatewayProcess(Heard):
    """A gateway that has joined a cluster."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        log = folder / "gateway.log"
        log.touch()
        entry = "whisper_service.cluster.gateway:run"
        self.process: Link = ActorProcess(entry, log, lambda: None, self.on_message, self.on_exit)
        self.links: dict[int, FarLink] = {}

    def on_message(self, data: bytes) -> None:
        super().on_message(data)
        report = self.reports[-1]
        if isinstance(report, Passed):
            self.links[report.link].on_message(report.data)

    def send(self, command: Command) -> None:
        self.process.send(encode(command))

    async def until_nodes(self, met: Callable[[tuple[ClusterNode, ...]], bool]) -> Nodes:
        """Wait until this is true of the newest nodes."""
        nodes = Nodes(())
        with anyio.move_on_after(WITHIN_S):
            while True:
                self._news.clear()
                nodes = next(report for report in reversed(self.reports) if isinstance(report, Nodes))
                if met(nodes.nodes):
                    return nodes
                await self._news.wait()
        raise AssertionError(nodes)

    def open(self, **fields: Any) -> FarLink:
        link = FarLink(self, len(self.links) + 1)
        self.links[link.link] = link
        self.send(Open(link.link, "cluster-1", ACTOR, **fields))
        return link


@asynccontextmanager
async def joined(cluster: RayCluster, folder: Path, **fields: Any) -> AsyncIterator[GatewayProcess]:
    """Run a gateway in the cluster until the end of the block. At the end no outpost is left."""
    gateway = GatewayProcess(folder)
    try:
        await gateway.until(Ready)
        gateway.send(Join(**{"address": cluster.address, "node_ip": cluster.HEAD, **fields}))
        await gateway.until(Nodes)
        yield gateway
    finally:
        gateway.send(Shutdown())
        try:
            async with asyncio.timeout(10):
                await gateway.until_exit()
        except TimeoutError:
            gateway.process.kill()
            await gateway.until_exit()
    async with asyncio.timeout(WITHIN_S):
        while outposts(cluster):  # noqa: ASYNC110 - nothing tells the end of processes of others
            await asyncio.sleep(0.05)


def outposts(cluster: RayCluster) -> list[psutil.Process]:
    return [process for process in cluster.processes() if "RayOutpost" in _name(process)]


def outpost_of(pid: int) -> psutil.Process:
    """Return the outpost of an actor."""
    parent = psutil.Process(pid).parent()
    assert parent is not None
    return parent


async def gone(pid: int) -> None:
    """Wait until there is no such process."""
    async with asyncio.timeout(WITHIN_S):
        while _runs(pid):  # noqa: ASYNC110 - nothing tells the end of processes of others
            await asyncio.sleep(0.05)


async def at_home(folder: Path, commands: Sequence[Command], count: int) -> list[Report]:
    """Return what the actor of the tests answers on this machine, up to so many ends of batches."""
    heard = Heard()
    log = folder / "home.log"
    log.touch()
    process = ActorProcess(ACTOR, log, lambda: None, heard.on_message, heard.on_exit)
    for command in commands:
        process.send(encode(command))
    for batch in range(count):
        await heard.until(BatchDone, batch=batch)
    process.send(encode(Shutdown()))
    await heard.until_exit()
    return heard.reports[1:]


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _name(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""
