"""The checks of `doctor` for a cluster: join it, and try the way to each of its machines.

The way is that of the work: gateway, outpost, actor and back, with sound. A check never waits for ever, and a machine
that does not answer holds up no other.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from whisper_service.app.self_test import Check, Verdict, failed
from whisper_service.app.wiring import GATEWAY
from whisper_service.config.schema import ClusterSettings, Config
from whisper_service.core.domain import SAMPLE_RATE, Problem, Span, Value
from whisper_service.supervision.conversation import Conversation, conversation
from whisper_service.supervision.messages.base import Fault, Ready
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
from whisper_service.supervision.messages.speech import BatchDone, ChunkDone, ChunkInput, Transcribe
from whisper_service.supervision.protocol import Report, decode_report, encode

PROBE: Final = "whisper_service.actors.node_probe:run"
JOIN_S: Final = 150.0
"""Seconds to join. The gateway itself gives up after 120."""
ROOM_S: Final = 15.0
"""Seconds to wait for room on a machine: a free one takes 1 to 6. A machine without room is tried without any."""
ANSWER_S: Final = 60.0
"""Seconds for each answer of a machine. The engine takes about 2 to be imported, on a busy machine ten times that."""
ALL_S: Final = 240.0
"""Seconds for all machines together."""
SOUND_BYTES: Final = 8_000_000
PINGS: Final = 5
CORES_A_CARD: Final = 3
"""Cores that one of the fastest cards needs at least (`docs/deploy/cluster.md`)."""
MEMORY_A_SEAT: Final = 2 << 30
"""Bytes of memory for a small model and the sound of its batches."""
NETWORK: Final = "Check that the machine runs, its network, and the firewall: Ray uses many ports between its machines."
BUSY: Final = "its room is in use, so the devices were not looked at"


class Visit(Value, frozen=True):
    """What a machine told, and how fast the way to it is."""

    facts: dict[str, Any]
    reserved: bool  # the actor had the cores and GPUs of a speech actor
    ping_s: float  # the least of several
    sound_s: float  # for `SOUND_BYTES`, there and the answer back


class MachineFails(Exception):
    """A machine cannot be worked with."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


async def cluster(config: Config, scratch: Path) -> list[Check]:
    """Join the cluster of the configuration, and try each of its machines.

    A machine that fails is a WARN while another one works.
    """
    settings = config.cluster
    join = Join(settings.address, settings.node_ip, settings.lost_after_s)
    began = time.monotonic()
    async with conversation(
        "doctor-gateway", GATEWAY, join, logs=scratch, limits=config.supervision, within_s=JOIN_S
    ) as talk:
        while not isinstance(report := await talk.report(), Nodes):
            if isinstance(report, Problem):
                return [failed("cluster", report)]
            if isinstance(report, Fault):
                return [failed("cluster", report.problem)]
        joined = _joined(report.nodes, settings, time.monotonic() - began)
        machines = await _Machines(talk, settings, scratch).examine(report.nodes)
    works = any(check.verdict is not Verdict.FAIL for check in machines)
    return [joined, *(_lesser(check) if works else check for check in machines)]


class _Machines:
    """The machines of a cluster that is joined."""

    def __init__(self, talk: Conversation, settings: ClusterSettings, scratch: Path) -> None:
        self._talk = talk
        self._settings = settings
        self._sound = scratch / "doctor-sound.pcm"
        self._last = 0  # number of the last link
        self._links: dict[int, MemoryObjectSendStream[Report]] = {}
        self._broken: Problem | None = None  # why the gateway is gone
        self._measure = anyio.Lock()  # one at a time has the network

    async def examine(self, nodes: tuple[ClusterNode, ...]) -> list[Check]:
        """Try all machines at the same time. Return their checks, in the order of the machines."""
        self._sound.write_bytes(os.urandom(SOUND_BYTES))
        names = _names(nodes)
        checks: dict[str, Check] = {}

        async def examine_one(node: ClusterNode) -> None:
            checks[node.id] = await self._examine(node, names[node.id])

        with anyio.move_on_after(ALL_S):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._read, tasks.cancel_scope)
                async with anyio.create_task_group() as visits:
                    for node in nodes:
                        visits.start_soon(examine_one, node)
                tasks.cancel_scope.cancel()
        return [checks.get(node.id) or failed(names[node.id], self._broken or _silent(node, ALL_S)) for node in nodes]

    async def _read(self, scope: anyio.CancelScope) -> None:
        """Give each report to its link, until the gateway is gone."""
        while not isinstance(report := await self._talk.report(), (Problem, Fault)):
            if isinstance(report, (Opened, Passed, LinkClosed)) and report.link in self._links:
                self._links[report.link].send_nowait(report)
        self._broken = report if isinstance(report, Problem) else report.problem
        scope.cancel()

    async def _examine(self, node: ClusterNode, name: str) -> Check:
        settings = self._settings
        places = node.places(settings.cpus, settings.gpus)
        try:
            visit = await self._visit(node, settings.cpus, settings.gpus) if places else None
            visit = visit or await self._visit(node, 0.0, 0.0)
        except MachineFails as error:
            return failed(name, error.problem)
        return describe(name, node, visit, settings) if visit else failed(name, _silent(node, ANSWER_S))

    async def _visit(self, node: ClusterNode, cpus: float, gpus: float) -> Visit | None:
        """Start an actor on a machine and send it sound. None: it was not started in time."""
        reserved = bool(cpus or gpus)
        with self._open(node, cpus, gpus) as (link, heard):
            with anyio.move_on_after(ROOM_S if reserved else ANSWER_S) as patience:
                _raise_if_closed(await heard.receive(), node)
            if patience.cancelled_caught:
                return None
            ready = await self._next(heard, node)
            facts = ready.facts if isinstance(ready, Ready) else {}
            async with self._measure:
                pings = [await self._send(link, heard, node, number, 2) for number in range(PINGS)]
                sound_s = await self._send(link, heard, node, PINGS, SOUND_BYTES)
            return Visit(facts, reserved, min(pings), sound_s)

    @contextmanager
    def _open(
        self, node: ClusterNode, cpus: float, gpus: float
    ) -> Iterator[tuple[int, MemoryObjectReceiveStream[Report]]]:
        self._last += 1
        link = self._last
        send, receive = anyio.create_memory_object_stream[Report](math.inf)
        self._links[link] = send
        self._talk.send(Open(link, "doctor", PROBE, cpus=cpus, gpus=gpus, node=node.id))
        with send, receive:
            try:
                yield link, receive
            finally:
                del self._links[link]
                self._talk.send(Kill(link))

    async def _send(
        self, link: int, heard: MemoryObjectReceiveStream[Report], node: ClusterNode, batch: int, size: int
    ) -> float:
        """Send so many bytes of sound. Return the seconds until the answer. Raises `MachineFails`."""
        samples = size // 2
        span = Span(0, 0, samples, 0.0, samples / SAMPLE_RATE)
        command = Transcribe(batch=batch, chunks=(ChunkInput("doctor", span, str(self._sound)),))
        began = time.monotonic()
        self._talk.send(Pass(link, encode(command)))
        texts: list[str] = []
        while not isinstance(answer := await self._next(heard, node), BatchDone):
            if isinstance(answer, ChunkDone):
                texts += (segment.text for segment in answer.segments)
        took = time.monotonic() - began
        if texts != [sha256(self._sound.read_bytes()[:size]).hexdigest()]:
            raise MachineFails(Problem("lost", f"Sound arrives on {node.host} changed or not at all.", NETWORK))
        return took

    async def _next(self, heard: MemoryObjectReceiveStream[Report], node: ClusterNode) -> Report:
        """Return the next report of an actor. Raises `MachineFails` when it ended or says nothing."""
        with anyio.move_on_after(ANSWER_S):
            report = await heard.receive()
            _raise_if_closed(report, node)
            return decode_report(report.data) if isinstance(report, Passed) else report
        raise MachineFails(_silent(node, ANSWER_S))


def describe(name: str, node: ClusterNode, visit: Visit, settings: ClusterSettings) -> Check:
    """Return the check of a machine that answered."""
    facts = visit.facts
    if broken := facts.get("broken"):
        hint = "Install whisper_service there again, as on this machine, with its extras."
        return Check(name, Verdict.FAIL, f"The speech engine cannot be loaded there ({broken}).", hint=hint)
    places = node.places(settings.cpus, settings.gpus)
    cards = _count(node.gpus, "GPU") + (f" ({node.gpu_kind})" if node.gpu_kind else "")
    parts = [f"{_count(node.cpus, 'core')} and {cards} for the cluster, room for {_count(places, 'speech actor')}"]
    if free := facts.get("memory_free"):
        parts.append(f"{free / 1e9:.1f} GB of memory free")
    if places and not visit.reserved:
        parts.append(BUSY)
    rate = SOUND_BYTES / 1e6 / max(visit.sound_s - visit.ping_s, 1e-6)
    parts.append(f"answers in {1000 * visit.ping_s:.1f} ms, takes {rate:.0f} MB of sound a second")
    verdict, hint = Verdict.OK, ""
    if advice := _advice(node, visit, settings, places):
        verdict, (said, hint) = Verdict.WARN, advice
        parts.append(said)
    return Check(name, verdict, f"{'; '.join(parts)}.", hint=hint)


def _advice(node: ClusterNode, visit: Visit, settings: ClusterSettings, places: int) -> tuple[str, str] | None:
    """Return what is not as it should be, and what to do. None: all is well."""
    if not node.cpus and not node.gpus:
        return None  # a machine that shall not work, as the head
    needs = f"a speech actor takes {_count(settings.cpus, 'core')} and {_count(settings.gpus, 'GPU')}"
    if not places:
        return f"nothing fits: {needs}", "Lower cluster.cpus or cluster.gpus, or give the machine more."
    cards = int(node.gpus / settings.gpus + 1e-6) if settings.gpus else 0
    if cards > places:
        said = f"{cards - places} of {cards} cards stay idle for want of cores: {needs}"
        return said, "Give the machine more cores, or lower cluster.cpus."
    if settings.gpus and visit.reserved and not visit.facts.get("cuda_devices"):
        hint = 'Check `nvidia-smi` and the driver there, and install "whisper_service[cuda]".'
        return "the cluster has GPUs there, but the engine sees none", hint
    if node.gpus >= 1 and node.cpus / node.gpus < CORES_A_CARD:
        said = f"{node.cpus / node.gpus:.1f} cores for each card are few"
        return said, f"A fast card waits for its cores with less than {CORES_A_CARD}. Give the machine more."
    free = visit.facts.get("memory_free")
    if free is not None and free < places * MEMORY_A_SEAT:
        return (
            f"the memory is short for {_count(places, 'speech actor')}",
            "Give the machine more memory, or lower its --num-cpus.",
        )
    return None


def _joined(nodes: tuple[ClusterNode, ...], settings: ClusterSettings, took_s: float) -> Check:
    places = sum(node.places(settings.cpus, settings.gpus) for node in nodes)
    seats = min(places, settings.max_seats) if settings.max_seats else places
    detail = f"Joined in {took_s:.1f} s: {_count(len(nodes), 'machine')}, {_count(seats, 'seat')} for speech actors."
    if seats:
        return Check("cluster", Verdict.OK, detail)
    hint = "Start Ray on a machine (docs/deploy/cluster.md), or lower cluster.cpus or cluster.gpus."
    return Check("cluster", Verdict.WARN, detail, hint=hint)


def _names(nodes: tuple[ClusterNode, ...]) -> dict[str, str]:
    """Return the name of each machine's check, by id: the host, and the address where two have the same host."""
    hosts = [node.host for node in nodes]
    return {
        node.id: f"machine {node.host}" + (f" ({node.address})" if hosts.count(node.host) > 1 else "") for node in nodes
    }


def _raise_if_closed(report: Report, node: ClusterNode) -> None:
    """Raise `MachineFails` if this is the end of an actor."""
    if isinstance(report, LinkClosed):
        why = (
            report.exit.lost or f"The actor ended with the code {report.exit.code}. {report.exit.words[-500:]}".strip()
        )
        raise MachineFails(report.problem or Problem("lost", f"No actor runs on {node.host}: {why}", NETWORK))


def _silent(node: ClusterNode, seconds: float) -> Problem:
    return Problem("lost", f"The machine {node.host} ({node.address}) did not answer for {seconds:.0f} s.", NETWORK)


def _count(number: float, what: str) -> str:
    return f"{number:g} {what}{'' if number == 1 else 's'}"


def _lesser(check: Check) -> Check:
    """Turn a failure into a warning."""
    if check.verdict is not Verdict.FAIL:
        return check
    return Check(check.name, Verdict.WARN, check.detail, hint=check.hint)
