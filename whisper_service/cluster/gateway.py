"""The gateway: the actor that speaks with a cluster of Ray. The only module that imports Ray, and only while it runs.

Ray ends the process that uses it when the cluster's head is away for a minute, so that process must not be the service.
What the gateway started ends with it: Ray ends the outposts of a program that is gone, and an outpost's actor ends with
its pipe.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Sequence
from pickle import PickleBuffer
from typing import Any, Final

from whisper_service.cluster.far_actor import FarActor, OutpostGone, OutpostSilent
from whisper_service.cluster.outpost import Outpost, Started, Taken
from whisper_service.cluster.versions import Versions, versions_differ
from whisper_service.core.domain import Problem
from whisper_service.supervision.boot import Emit, Inbox
from whisper_service.supervision.faults import FaultKind
from whisper_service.supervision.messages.base import Fault, Ready, Shutdown
from whisper_service.supervision.messages.cluster import (
    NODES_EVERY_S,
    ClusterNode,
    Join,
    Kill,
    LinkClosed,
    Nodes,
    Open,
    Pass,
    Signal,
)
from whisper_service.supervision.protocol import Command, Report

JOIN_S: Final = 120.0
"""Seconds to join a cluster. On a machine with a load of 7 it took 16."""
EX_TEMPFAIL: Final = 75
"""The exit code of a gateway whose cluster does not answer (sysexits.h)."""
AUTO: Final = "auto"
ENVIRONMENT: Final = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing of ours reports to others
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # every machine has its own installation
}


def run(inbox: Inbox, emit: Emit) -> None:
    """Run the gateway. The entry of the process."""
    os.environ |= ENVIRONMENT
    try:
        import ray
    except ImportError:
        message = "Ray is not installed, so the machines of a cluster cannot be used."
        _fail(emit, Problem("cluster_engine_missing", message, 'Install it with `pip install "whisper_service[ray]"`.'))
    emit(Ready(pid=os.getpid(), facts={"ray": ray.__version__}))
    while not isinstance(command := inbox.get(), Join):
        if isinstance(command, Shutdown):
            return
    _join(command, emit)
    asyncio.run(Gateway(command, emit).serve(inbox))


class RayOutpost(Outpost):
    """An outpost as an actor of Ray."""

    async def node(self) -> str:
        """Return the id of the node that this outpost is on."""
        import ray

        node: str = ray.get_runtime_context().get_node_id()
        return node


class Gateway:
    """The far actors of a service, and the nodes of its cluster."""

    def __init__(self, join: Join, emit: Emit) -> None:
        self._join = join
        self._emit = emit
        self._actors: dict[int, FarActor] = {}  # by link
        self._lives: set[asyncio.Task[None]] = set()
        self._heard_at = 0.0  # `time.monotonic` of the last answer of the cluster's head

    async def serve(self, inbox: Inbox) -> None:
        """Carry messages until `Shutdown`. Ends the process when the cluster does not answer."""
        commands: asyncio.Queue[Command | None] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        threading.Thread(target=_forward, args=(inbox, loop, commands), name="commands", daemon=True).start()
        self._heard_at = time.monotonic()
        watch = asyncio.create_task(self._watch_nodes())
        while not isinstance(command := await commands.get(), Shutdown):
            self._take(command)
        watch.cancel()
        for life in self._lives:
            life.cancel()
        await asyncio.gather(watch, *self._lives, return_exceptions=True)

    def _take(self, command: Command | None) -> None:
        match command:
            case Open(link=link):
                outpost = RayCalls(command)
                self._actors[link] = actor = FarActor(command, outpost, self._report, self._join.lost_after_s)
                life = asyncio.create_task(actor.run())
                self._lives.add(life)
                life.add_done_callback(self._lives.discard)
            case Pass(link=link, data=data) if link in self._actors:
                self._actors[link].send(data)
            case Signal(link=link, number=number) if link in self._actors:
                self._actors[link].signal(number)
            case Kill(link=link) if link in self._actors:
                self._actors[link].kill()

    def _report(self, report: Report) -> None:
        if isinstance(report, LinkClosed):
            del self._actors[report.link]
            if why := report.exit.lost:
                _log(f"The far actor of link {report.link} is lost: {why}")
        self._emit(report)

    async def _watch_nodes(self) -> None:
        """Report the nodes, as a sign of life also while the head is away. End the process when nothing answers.

        Actors go on without the head: they are lost only with their own answers.
        """
        nodes: tuple[ClusterNode, ...] | None = None
        asked: asyncio.Task[tuple[ClusterNode, ...]] | None = None
        while True:
            asked = asked or asyncio.create_task(asyncio.to_thread(_nodes))
            await asyncio.wait((asked,), timeout=NODES_EVERY_S)
            if answered := asked.done():
                try:
                    nodes = asked.result()
                    self._heard_at = time.monotonic()
                except Exception as error:  # whatever Ray raises then, the head did not answer
                    _log(f"The head of the cluster did not answer: {type(error).__name__}: {error}")
                asked = None
            if nodes is not None:
                self._emit(Nodes(nodes))
            silent_s = time.monotonic() - max(self._heard_at, *(each.heard_at for each in self._actors.values()), 0.0)
            if silent_s > self._join.lost_after_s + NODES_EVERY_S:
                text = f"Nothing of the cluster answered for {silent_s:.0f} seconds."
                _log(text)
                _fail(self._emit, _unreachable(self._join, text), EX_TEMPFAIL)
            if answered:
                await asyncio.sleep(NODES_EVERY_S)


class RayCalls:
    """The calls to one outpost through Ray. What asks the head for something runs in threads: it may be away."""

    def __init__(self, request: Open) -> None:
        self._request = request
        self._outpost: Any = None
        self._ended = False
        self._lock = threading.Lock()

    async def start(self, entry: str, wanted: Versions) -> tuple[Started, str]:
        if self._outpost is None:
            try:
                await asyncio.to_thread(self._create)
            except Exception as error:  # Ray raises many kinds
                raise OutpostGone(f"Ray did not make an outpost: {type(error).__name__}: {error}") from error
        started: Started = await _answer(self._outpost.start.remote(entry, wanted))
        node: str = await _answer(self._outpost.node.remote())
        return started, node

    async def put(self, number: int, data: bytes, sounds: Sequence[bytes | None]) -> None:
        # A `PickleBuffer` goes beside the pickle instead of into it, which saves a copy here and one there.
        buffers = [None if sound is None else PickleBuffer(sound) for sound in sounds]
        await _answer(self._outpost.put.remote(number, data, buffers))

    async def take(self, after: int, wait_s: float) -> Taken:
        taken: Taken = await _answer(self._outpost.take.remote(after, wait_s))
        return taken

    async def signal(self, number: int) -> None:
        await _answer(self._outpost.signal.remote(number))

    async def kill(self) -> None:
        await _answer(self._outpost.kill.remote())

    def end(self) -> None:
        with self._lock:
            self._ended = True
        if self._outpost is not None:
            threading.Thread(target=_kill, args=(self._outpost,), name="end of an outpost", daemon=True).start()

    def _create(self) -> None:
        """Make the outpost, which waits for a node with room."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        request = self._request
        where = NodeAffinitySchedulingStrategy(request.node, soft=False) if request.node else "SPREAD"
        outpost = ray.remote(RayOutpost).options(
            num_cpus=request.cpus, num_gpus=request.gpus, scheduling_strategy=where,
            max_restarts=0, max_task_retries=0,  # restarts are the supervisor's, and calls are repeated by `FarActor`
        ).remote()  # fmt: skip
        with self._lock:
            self._outpost = outpost
            given_up = self._ended
        if given_up:
            _kill(outpost)


def _kill(outpost: Any) -> None:
    """End an outpost. Blocks while the head is away."""
    import ray

    try:
        ray.kill(outpost, no_restart=True)
    except Exception as error:  # the head is away: the outpost ends with this process
        _log(f"An outpost could not be ended: {type(error).__name__}: {error}")


async def _answer(call: Any) -> Any:
    """Wait for the answer to a call. Raises `OutpostGone` and `OutpostSilent`."""
    from ray import exceptions

    try:
        return await call
    except exceptions.ActorUnavailableError as error:
        raise OutpostSilent(str(error)) from error
    except exceptions.RayError as error:
        raise OutpostGone(*_cause(str(error))) from error


def _cause(text: str) -> tuple[str, Problem | None]:
    """Return what an error of Ray means: a sentence, and the problem if the actor cannot start there at all."""
    if "No module named 'whisper_service" in text:
        message = "A machine of the cluster does not have the package whisper_service."
        hint = "Install the same versions of Python, Ray and whisper_service on every machine of the cluster."
        return message, Problem("cluster_package_missing", message, hint)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    reason = " ".join(lines)[:500]
    return f"The cluster says that the outpost of the actor is gone: {reason}", None


def _join(join: Join, emit: Emit) -> None:
    """Join the cluster, or report why not and end the process."""
    import ray

    def too_long() -> None:
        _fail(emit, _unreachable(join, f"Nothing answered within {JOIN_S:.0f} seconds."))

    timer = threading.Timer(JOIN_S, too_long)
    timer.daemon = True
    timer.start()
    options = {"_node_ip_address": join.node_ip} if join.node_ip else {}
    try:
        ray.init(address=join.address or AUTO, log_to_driver=False, **options)
    except Exception as error:  # Ray raises many kinds, from RuntimeError to its own
        text = f"{type(error).__name__}: {error}"
        if "Version mismatch" in text:
            message = "The cluster runs other versions of Ray or Python than the service."
            problem = versions_differ(message, detail=" ".join(text.split())[:500])
        else:
            problem = _unreachable(join, " ".join(text.split())[:500])
        _fail(emit, problem)
    finally:
        timer.cancel()


def _nodes() -> tuple[ClusterNode, ...]:
    """Ask the head for the nodes that are alive. Blocks."""
    import ray

    nodes = []
    for node in ray.nodes():
        if not node["Alive"]:
            continue
        resources: dict[str, float] = node["Resources"]
        kinds = [name.removeprefix("accelerator_type:") for name in resources if name.startswith("accelerator_type:")]
        nodes.append(
            ClusterNode(
                id=node["NodeID"],
                host=node["NodeManagerHostname"],
                address=node["NodeManagerAddress"],
                cpus=resources.get("CPU", 0.0),
                gpus=resources.get("GPU", 0.0),
                gpu_kind=min(kinds, default=""),
            )
        )
    return tuple(sorted(nodes, key=lambda each: each.id))


def _forward(inbox: Inbox, loop: asyncio.AbstractEventLoop, commands: asyncio.Queue[Command | None]) -> None:
    """Move commands from the inbox to the event loop. Runs in a thread."""
    while True:
        command = inbox.get()
        loop.call_soon_threadsafe(commands.put_nowait, command)
        if isinstance(command, Shutdown):
            return


def _unreachable(join: Join, detail: str) -> Problem:
    message = "The cluster cannot be reached."
    hint = (
        "Check that `ray status` works on this machine for the user of the service, "
        "and that cluster.address and the token are right."
    )
    return Problem("cluster_unreachable", message, hint, {"address": join.address or AUTO, "detail": detail})


def _fail(emit: Emit, problem: Problem, code: int = 1) -> None:
    """Report a problem that ends the gateway, and end the process."""
    emit(Fault(scope="actor", kind=FaultKind.UNKNOWN.value, problem=problem, fatal=True))
    sys.stderr.flush()
    os._exit(code)


def _log(text: str) -> None:
    """Write a line into the log of the gateway."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
