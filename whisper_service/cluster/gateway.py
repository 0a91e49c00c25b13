"""The gateway: the actor that speaks with a cluster of Ray. Only it and `ray_calls` import Ray, and only while it runs.

Ray ends the process that uses it when the cluster's head is away for a minute, so that process must not be the service.
What the gateway started ends with it: Ray ends the outposts of a program that is gone, and an outpost's actor ends with
its pipe.
"""

from __future__ import annotations

import math
import os
import sys
import threading
import time
from functools import partial
from typing import Final

import anyio
from anyio import CapacityLimiter, from_thread, to_thread
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectSendStream

from whisper_service.cluster.far_actor import FarActor
from whisper_service.cluster.model_push import ModelPush
from whisper_service.cluster.ray_calls import RayCalls, log, request
from whisper_service.cluster.versions import versions_differ
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
    WantSeats,
)
from whisper_service.supervision.protocol import Command, Report

JOIN_S: Final = 120.0
"""Seconds to join a cluster. On a machine with a load of 7 it took 16."""
MAKERS: Final = 32
"""Threads that make outposts. Each may wait for the head, so they are not those that read sound and ask for nodes."""
TAKE_BACK_S: Final = 1.0
"""Seconds to take a wish back at the end. The supervisor waits 2 s for the exit."""
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
    anyio.run(Gateway(command, emit).serve, inbox)


class Gateway:
    """The far actors of a service, and the nodes of its cluster."""

    def __init__(self, join: Join, emit: Emit) -> None:
        self._join = join
        self._emit = emit
        self._actors: dict[int, FarActor] = {}  # by link
        self._nodes: tuple[ClusterNode, ...] | None = None  # None: not known yet
        self._heard_at = 0.0  # `time.monotonic` of the last answer of the cluster's head
        self._makers = CapacityLimiter(MAKERS)
        self._wish: WantSeats | None = None  # the last one
        self._asking = CapacityLimiter(1)  # wishes arrive in their order
        self._asking = CapacityLimiter(1)  # wishes arrive in their order
        self._asking = CapacityLimiter(1)  # wishes arrive in their order
        self._asking = CapacityLimiter(1)  # wishes arrive in their order
        self._asking = CapacityLimiter(1)  # wishes arrive in their order
        self._asking = CapacityLimiter(1)  # wishes arrive in their order
        self._wished = anyio.Event()
        self._models = ModelPush()

    async def serve(self, inbox: Inbox) -> None:
        """Carry messages until `Shutdown`. Ends the process when the cluster does not answer."""
        send, commands = anyio.create_memory_object_stream[Command | None](math.inf)
        self._heard_at = time.monotonic()
        async with anyio.create_task_group() as tasks, commands:
            tasks.start_soon(partial(to_thread.run_sync, _forward, inbox, send, abandon_on_cancel=True))
            tasks.start_soon(self._watch_nodes)
            tasks.start_soon(self._carry_wishes)
            async for command in commands:
                self._take(command, tasks)
            if self._wish is not None:
                with anyio.move_on_after(TAKE_BACK_S):
                    await self._request(WantSeats(0, 0.0, 0.0))
            tasks.cancel_scope.cancel()

    async def _carry_wishes(self) -> None:
        """Give the cluster's autoscaler the newest wish, if there is one."""
        while True:
            await self._wished.wait()
            self._wished = anyio.Event()
            if self._wish is not None:
                await self._request(self._wish)

    async def _request(self, wish: WantSeats) -> None:
        try:
            await to_thread.run_sync(request, wish, abandon_on_cancel=True, limiter=self._asking)
        except Exception as error:  # whatever Ray raises then, a wish is no more than that
            log(f"The autoscaler could not be asked for {wish.seats} places: {type(error).__name__}: {error}")

    def _take(self, command: Command | None, tasks: TaskGroup) -> None:
        match command:
            case Open(link=link):
                outpost = RayCalls(command, self._makers)
                self._actors[link] = actor = FarActor(
                    command, outpost, self._report, self._join.lost_after_s, self._models
                )
                tasks.start_soon(actor.run)
            case Pass(link=link, data=data) if link in self._actors:
                self._actors[link].send(data)
            case Signal(link=link, number=number) if link in self._actors:
                self._actors[link].signal(number)
            case Kill(link=link) if link in self._actors:
                self._actors[link].kill()
            case WantSeats():
                self._wish = command
                self._wished.set()

    def _report(self, report: Report) -> None:
        if isinstance(report, LinkClosed):
            del self._actors[report.link]
            if why := report.exit.lost:
                log(f"The far actor of link {report.link} is lost: {why}")
        self._emit(report)

    async def _watch_nodes(self) -> None:
        """Report the nodes, as a sign of life also while the head is away. End the process when nothing answers.

        Actors go on without the head: they are lost only with their own answers.
        """
        while True:
            answered = anyio.Event()
            async with anyio.create_task_group() as question:
                question.start_soon(self._ask_nodes, answered)
                while not answered.is_set():
                    with anyio.move_on_after(NODES_EVERY_S):
                        await answered.wait()
                    self._tell_nodes()
            await anyio.sleep(NODES_EVERY_S)

    async def _ask_nodes(self, answered: anyio.Event) -> None:
        try:
            self._nodes = await to_thread.run_sync(_nodes, abandon_on_cancel=True)
            self._heard_at = time.monotonic()
        except Exception as error:  # whatever Ray raises then, the head did not answer
            log(f"The head of the cluster did not answer: {type(error).__name__}: {error}")
        answered.set()

    def _tell_nodes(self) -> None:
        if self._nodes is not None:
            self._emit(Nodes(self._nodes))
        silent_s = time.monotonic() - max(self._heard_at, *(each.heard_at for each in self._actors.values()), 0.0)
        if silent_s > self._join.lost_after_s + NODES_EVERY_S:
            text = f"Nothing of the cluster answered for {silent_s:.0f} seconds."
            log(text)
            _fail(self._emit, _unreachable(self._join, text), EX_TEMPFAIL)


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


def _forward(inbox: Inbox, commands: MemoryObjectSendStream[Command | None]) -> None:
    """Move commands from the inbox to the event loop until `Shutdown`. Runs in a thread."""
    while not isinstance(command := inbox.get(), Shutdown):
        from_thread.run_sync(commands.send_nowait, command)
    from_thread.run_sync(commands.close)


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
