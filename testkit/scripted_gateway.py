"""A gateway without a cluster: its machines are lines of a file, and all actors run on this machine.

The folder is named by the variable `SCRIPTED_CLUSTER`. Its file `nodes.json` lists the machines:
[{"host": "gpu-1", "cpus": 4, "gpus": 1}]. The file may change at any time: a machine that is removed is lost with its
actors. A machine with a `problem` starts no actor and says why, with this code. As long as there is a file
`unreachable`, the cluster cannot be joined. Scripts know the device of its actors as "far". Outposts and what the
gateway does with one actor are the real ones. The file `wanted` tells how many seats the service wished for last.

A machine with a `cache`, a folder, cannot read the models of the service: they are sent there, each piece after `slow`
seconds. The machine `holds` pieces behind this place of a file as long as `nodes.json` says so, it `damages` them, or
it must keep `spare_bytes` of its disk free.
"""

from __future__ import annotations

import asyncio
import json
import math
import multiprocessing
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from testkit.scripted_actors import FAR
from whisper_service.cluster.far_actor import FarActor, OutpostGone
from whisper_service.cluster.file_cache import FileCache
from whisper_service.cluster.file_push import FileOffer, StoredFiles
from whisper_service.cluster.model_push import ModelPush
from whisper_service.cluster.node_decodes import FileStretch
from whisper_service.cluster.node_models import NodeModels
from whisper_service.cluster.outpost import Outpost, Started, Taken
from whisper_service.cluster.versions import Versions
from whisper_service.core.domain import Problem
from whisper_service.supervision.boot import Emit, Inbox
from whisper_service.supervision.messages.base import Fault, Ready, Shutdown
from whisper_service.supervision.messages.cluster import (
    ClusterNode,
    Join,
    Kill,
    LinkClosed,
    Nodes,
    Open,
    Pass,
    Signal,
    WantSeats,
)
from whisper_service.supervision.protocol import Command, Report

FOLDER: Final = "SCRIPTED_CLUSTER"
LOOK_S: Final = 0.05
"""Seconds between two looks at the file."""
SAY_EVERY: Final = 20
"""Looks after which the nodes are told although nothing changed."""


def write_nodes(folder: Path, *nodes: dict[str, Any]) -> None:
    """Say which machines the cluster has from now on. Nobody reads half of it."""
    new = folder / "nodes.new"
    new.write_text(json.dumps(nodes))
    new.replace(folder / "nodes.json")


def run(inbox: Inbox, emit: Emit) -> None:
    """Run the gateway. An entry."""
    multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]  # else it may start none
    emit(Ready(pid=os.getpid(), facts={"scripted": True}))
    while not isinstance(command := inbox.get(), Join):
        if isinstance(command, Shutdown):
            return
    os.environ[FAR] = "far"
    folder = Path(os.environ[FOLDER])
    if (folder / "unreachable").exists():
        problem = Problem("cluster_unreachable", "The cluster cannot be reached.", "Start it.")
        emit(Fault(scope="actor", kind="unknown", problem=problem, fatal=True))
        os._exit(1)
    asyncio.run(_serve(inbox, emit, folder, command.lost_after_s))


async def _serve(inbox: Inbox, emit: Emit, folder: Path, lost_after_s: float) -> None:
    commands: asyncio.Queue[Command | None] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def forward() -> None:
        while True:
            loop.call_soon_threadsafe(commands.put_nowait, inbox.get())

    threading.Thread(target=forward, daemon=True).start()
    cluster = ScriptedCluster(emit, lost_after_s)
    looks = 0
    while True:
        try:
            async with asyncio.timeout(LOOK_S):
                command = await commands.get()
        except TimeoutError:
            cluster.have(json.loads((folder / "nodes.json").read_text()), say=looks % SAY_EVERY == 0)
            looks += 1
            continue
        if isinstance(command, Shutdown):
            return
        if isinstance(command, WantSeats):
            (folder / "wanted").write_text(f"{command.seats}")
        cluster.take(command)


class ScriptedCluster:
    """Machines that are all this one, with the actors on them. All methods are called on one event loop."""

    def __init__(self, emit: Callable[[Report], None], lost_after_s: float = 15.0) -> None:
        self.nodes: list[dict[str, Any]] = []
        self.placed: dict[Calls, str] = {}  # on which host
        self._emit = emit
        self._lost_after_s = lost_after_s
        self._actors: dict[int, FarActor] = {}
        self._lives: set[asyncio.Task[None]] = set()
        self._models = ModelPush()

    def have(self, nodes: list[dict[str, Any]], *, say: bool = True) -> None:
        """Have these machines from now on, and tell of them."""
        changed, self.nodes = nodes != self.nodes, nodes
        if say or changed:
            self._emit(Nodes(tuple(ClusterNode(n["host"], n["host"], "", n["cpus"], n.get("gpus", 0)) for n in nodes)))
        hosts = {node["host"] for node in nodes}
        for calls, host in list(self.placed.items()):
            if host not in hosts:
                calls.lose(f"The machine {host} is gone.")

    def take(self, command: Command | None) -> None:
        """Take a command for the gateway."""
        match command:
            case Open(link=link):
                calls = Calls(self, command)
                self._actors[link] = actor = FarActor(command, calls, self._report, self._lost_after_s, self._models)
                life = asyncio.get_running_loop().create_task(actor.run())
                self._lives.add(life)
                life.add_done_callback(self._lives.discard)
            case Pass(link=link, data=data) if link in self._actors:
                self._actors[link].send(data)
            case Signal(link=link, number=number) if link in self._actors:
                self._actors[link].signal(number)
            case Kill(link=link) if link in self._actors:
                self._actors[link].kill()
            case _:
                pass

    def place(self, calls: Calls) -> str | None:
        """Return a machine with room for an actor. None: there is none now. Raises `OutpostGone`."""
        wanted = calls.request.node
        nodes = [node for node in self.nodes if wanted in ("", node["host"])]
        for node in sorted(nodes, key=lambda node: "problem" in node):
            here = [other for other, host in self.placed.items() if host == node["host"]]
            asked = [calls.request, *(other.request for other in here)]
            room = all(node.get(what, 0) >= sum(getattr(each, what) for each in asked) for what in ("cpus", "gpus"))
            if room and "problem" in node:
                problem = Problem(node["problem"], f"{node['host']} runs another version.", "Install the same one.")
                raise OutpostGone(problem.message, problem)
            if room:
                self.placed[calls] = node["host"]
                return str(node["host"])
        return None

    def _report(self, report: Report) -> None:
        if isinstance(report, LinkClosed):
            del self._actors[report.link]
        self._emit(report)


class Calls:
    """The calls to one outpost, which is in this process. See `far_actor.OutpostCalls`."""

    def __init__(self, cluster: ScriptedCluster, request: Open) -> None:
        self.request = request
        self._cluster = cluster
        self._outpost = Outpost()
        self._models: NodeModels | None = None  # of a machine that cannot read those of the service
        self._why = ""
        self._gone = asyncio.Event()

    def lose(self, why: str) -> None:
        """Take the machine away, with its actor."""
        self._why = why
        self._gone.set()
        self.end()

    async def start(self, entry: str, wanted: Versions) -> tuple[Started, str]:
        while True:
            if (host := self._cluster.place(self)) is not None:
                break
            await asyncio.sleep(LOOK_S)
        started = await self._outpost.start(entry, wanted)
        return Started(host, started.pid), host

    async def put(self, number: int, data: bytes, sounds: Sequence[bytes | None]) -> None:
        self._check()
        await self._outpost.put(number, data, sounds)

    async def take(self, after: int, wait_s: float) -> Taken:
        gone = asyncio.ensure_future(self._gone.wait())
        answer = asyncio.ensure_future(self._outpost.take(after, wait_s))
        try:
            await asyncio.wait((gone, answer), return_when=asyncio.FIRST_COMPLETED)
            self._check()
            return answer.result()
        finally:
            gone.cancel()
            answer.cancel()

    async def offer(self, offer: FileOffer) -> StoredFiles:
        self._check()
        node = self._node()
        if "cache" not in node:
            return await self._outpost.offer(offer)
        self._models = self._models or NodeModels(FileCache(Path(node["cache"]), node.get("spare_bytes", 0)))
        return await self._models.offer(FileOffer(offer.key, offer.files))

    async def store(self, offer: FileOffer, file: int, at: int, data: bytes) -> StoredFiles:
        self._check()
        if self._models is None:
            return await self._outpost.store(offer, file, at, data)
        await asyncio.sleep(self._node().get("slow", 0.0))
        while at >= self._node().get("holds", math.inf):  # noqa: ASYNC110 - a file says when it is over
            await asyncio.sleep(LOOK_S)
        damaged = b"!" * len(data) if self._node().get("damages") else data
        return await self._models.store(offer, file, at, damaged)

    async def write(self, number: int, file: str, at: int, data: bytes) -> None:
        self._check()
        await self._outpost.write(number, file, at, data)

    async def read(self, number: int, stretches: Sequence[FileStretch]) -> list[bytes]:
        self._check()
        return await self._outpost.read(number, stretches)

    async def signal(self, number: int) -> None:
        self._check()
        await self._outpost.signal(number)

    async def kill(self) -> None:
        self._check()
        await self._outpost.kill()

    def end(self) -> None:
        self._cluster.placed.pop(self, None)
        asyncio.ensure_future(self._outpost.kill())  # noqa: RUF006

    def _node(self) -> dict[str, Any]:
        """Return what the file says about the machine now. Nothing, if it is gone."""
        return next((node for node in self._cluster.nodes if node["host"] == self._cluster.placed.get(self)), {})

    def _check(self) -> None:
        if self._gone.is_set():
            raise OutpostGone(self._why)
