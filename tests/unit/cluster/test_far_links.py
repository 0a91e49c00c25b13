"""The links to actors on other machines, with a gateway that the test plays."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from whisper_service.cluster import far_links
from whisper_service.cluster.far_links import GIVEN_UP, NO_ROOM, NOT_TOLD, FarLink, FarLinks
from whisper_service.config.schema import ClusterSettings
from whisper_service.core.domain import Problem
from whisper_service.supervision.faults import classify
from whisper_service.supervision.link import Exit
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
    Signal,
    WantSeats,
)
from whisper_service.supervision.protocol import Command, Report
from whisper_service.supervision.supervisor import Died, Reported, Supervisor

pytestmark = pytest.mark.anyio

UNREACHABLE = Problem("cluster_unreachable", "The cluster cannot be reached.")
VERSIONS = Problem("cluster_versions", "box has whisper_service 1.0, the service has 2.0.")


class PlayedGateway:
    """A supervisor of a gateway without a process."""

    def __init__(self) -> None:
        self.got: list[Command] = []
        self.deadlines: list[tuple[object, float]] = []

    def send(self, command: Command, *, within_s: float | None = None, key: object = None, **_: object) -> None:
        self.got.append(command)
        if within_s is not None:
            self.deadlines.append((key, within_s))

    def set_deadline(self, key: object, within_s: float, **_: object) -> None:
        self.deadlines.append((key, within_s))

    def mark_useful(self) -> None: ...


class Cluster:
    """The links of a service, and what happens to one of them."""

    def __init__(self, tmp_path: Path, **settings: Any) -> None:
        self.gateway = PlayedGateway()
        self.changes = 0
        self.far = FarLinks(
            ClusterSettings(engine="ray", **settings),
            gateway=lambda deliver, link: self.gateway,  # type: ignore[arg-type, return-value]
            supervise=Supervisor,  # type: ignore[arg-type]
            changed=self._change,
        )
        self.log = tmp_path / "log"
        self.heard: list[object] = []

    def _change(self) -> None:
        self.changes += 1

    def connect(self) -> FarLink:
        link = self.far.connect("cluster-1")(
            "some:entry", self.log, lambda: self.heard.append("open"), self.heard.append, self.heard.append
        )
        assert isinstance(link, FarLink)
        return link

    def say(self, report: Report) -> None:
        self.far.deliver(Reported("gateway", 1, report))

    def join(self, *nodes: ClusterNode) -> None:
        self.say(Ready(pid=1))
        self.say(Nodes(nodes))

    def lose_gateway(self) -> None:
        """What the link to the gateway does at its exit, and then its supervisor."""
        ends: list[Callable[[Exit], None]] = []
        original, far_links.ActorProcess = far_links.ActorProcess, lambda *args: ends.append(args[4])  # type: ignore[assignment, misc]
        try:
            self.far._start_gateway("", self.log, lambda: None, lambda data: None, lambda ended: None)
        finally:
            far_links.ActorProcess = original  # type: ignore[misc]
        ends[0](Exit(-9))
        self.far.deliver(Died("gateway", 1, classify("", -9), 0.1))

    def sent(self, kind: type) -> list[Any]:
        return [command for command in self.gateway.got if isinstance(command, kind)]


def node(name: str = "box", cpus: float = 8.0, gpus: float = 1.0) -> ClusterNode:
    return ClusterNode(name, name, "10.0.0.1", cpus, gpus)


async def test_a_wish_for_seats_limits_the_places_and_is_told_to_every_gateway(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, cpus=2.0, gpus=0.0, max_seats=3)
    cluster.far.wish(2)
    assert cluster.sent(WantSeats) == [], "not joined yet"
    cluster.join(node(cpus=16.0))
    assert cluster.sent(WantSeats) == [WantSeats(2, 2.0, 0.0)]
    assert cluster.far.places == 2
    changes = cluster.changes
    cluster.far.wish(2)
    assert len(cluster.sent(WantSeats)) == 1
    assert cluster.changes == changes
    cluster.far.wish(9)
    assert cluster.sent(WantSeats)[-1].seats == 9
    assert cluster.far.places == 3
    assert cluster.changes == changes + 1
    cluster.lose_gateway()
    cluster.join(node(cpus=16.0))
    assert [wish.seats for wish in cluster.sent(WantSeats)] == [2, 9, 9]


async def test_a_machine_is_asked_for_once_the_cluster_is_joined(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, address="head:6379", cpus=2.0, gpus=0.5, lost_after_s=9.0)
    link = cluster.connect()
    link.send(b"early")
    assert cluster.gateway.got == []
    cluster.join(node())
    first, second, third = cluster.gateway.got
    assert first == Join("head:6379", "", 9.0)
    assert second == Open(1, "cluster-1", "some:entry", cpus=2.0, gpus=0.5)
    assert third == Pass(1, b"early")
    assert cluster.gateway.deadlines == [("alive", far_links.JOIN_S), ("alive", 9.0)]
    cluster.say(Opened(1, "box", "gpu-box", 77))
    assert (link.is_open, link.host, link.pid, link.obstacle) == (True, "gpu-box", None, None)
    link.send(b"late")
    link.signal(10)
    cluster.say(Passed(1, b"report"))
    assert cluster.gateway.got[3:] == [Pass(1, b"late"), Signal(1, 10)]
    assert cluster.heard == ["open", b"report"]


async def test_the_exit_is_that_of_the_actor_and_its_words_are_in_the_log_here(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    link = cluster.connect()
    cluster.join(node())
    cluster.say(Opened(1, "box", "box", 7))
    cluster.say(LinkClosed(1, Exit(-6, "terminate called", oom_killed=False)))
    cluster.say(Passed(1, b"too late"))
    cluster.say(LinkClosed(1, Exit(0)))
    link.send(b"x")
    assert cluster.heard == ["open", Exit(-6, "terminate called")]
    assert cluster.log.read_text() == "terminate called"
    assert cluster.sent(Pass) == []


async def test_a_link_waits_over_the_death_of_a_gateway_and_an_open_one_is_lost(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    cluster.connect()
    cluster.join(node())
    cluster.say(Opened(1, "box", "box", 7))
    waiting = cluster.connect()
    waiting.send(b"early")
    cluster.lose_gateway()
    (_, ended) = cluster.heard
    assert isinstance(ended, Exit)
    assert ended.lost == "The way to the cluster broke off: The process was killed from outside."
    assert waiting.obstacle is not None
    assert waiting.obstacle.code == "killed"
    assert cluster.far.places == 0
    cluster.gateway.got.clear()
    cluster.join(node())
    assert [type(command) for command in cluster.gateway.got] == [Join, Open, Pass]
    assert waiting.obstacle is None
    assert len(cluster.heard) == 2, "who waits does not die"


async def test_why_there_is_no_machine_is_told_after_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(far_links, "PATIENCE_S", 0.05)
    cluster = Cluster(tmp_path)
    link = cluster.connect()
    cluster.say(Fault("actor", "unknown", UNREACHABLE, fatal=True))
    assert link.obstacle == UNREACHABLE
    cluster.join(node())
    before = cluster.changes
    with anyio.fail_after(20):
        while True:
            if cluster.changes > before:
                break
            await anyio.sleep(0.01)
    assert link.obstacle == NO_ROOM
    cluster.say(Opened(1, "box", "box", 7))
    assert link.obstacle is None


async def test_a_machine_that_refuses_is_a_problem_and_another_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(far_links, "REFUSED_AGAIN_S", 0.05)
    monkeypatch.setattr(far_links, "LOST_AGAIN_S", 0.05)
    cluster = Cluster(tmp_path)
    link = cluster.connect()
    cluster.join(node())
    cluster.say(LinkClosed(1, Exit(lost=VERSIONS.message), VERSIONS))
    assert link.obstacle == VERSIONS
    assert not link.is_open
    for number in (2, 3):
        with anyio.fail_after(20):
            while True:
                if len(cluster.sent(Open)) == number:
                    break
                await anyio.sleep(0.01)
        cluster.say(LinkClosed(number, Exit(lost="The machine went while the actor was started.")))
    assert [command.link for command in cluster.sent(Open)] == [1, 2, 3]
    assert cluster.heard == [], "an actor that was never started has not died"


async def test_a_kill_has_an_exit_whatever_the_gateway_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(far_links, "KILLED_WITHIN_S", 0.05)
    monkeypatch.setattr(far_links, "SLACK_S", 0.0)
    cluster = Cluster(tmp_path)
    cluster.connect().kill()  # no gateway has joined
    asleep = cluster.connect()
    cluster.join(node())
    with anyio.fail_after(20):
        while True:
            if cluster.heard:
                break
            await anyio.sleep(0.01)
    assert cluster.heard == [Exit(lost=GIVEN_UP)]
    assert [command.link for command in cluster.sent(Open)] == [2], "nothing starts that was given up"
    asleep.kill()
    asleep.kill()
    assert cluster.sent(Kill) == [Kill(2)]
    with anyio.fail_after(20):
        while True:
            if len(cluster.heard) > 1:
                break
            await anyio.sleep(0.01)
    assert cluster.heard[1] == Exit(lost=NOT_TOLD)
    cluster.say(Opened(2, "box", "box", 7))
    cluster.say(Passed(2, b"too late"))
    cluster.say(LinkClosed(2, Exit(-9)))
    await asyncio.sleep(0)
    assert len(cluster.heard) == 2


@pytest.mark.parametrize(
    ("nodes", "settings", "places"),
    [
        ((), {}, 0),
        ((node(),), {}, 1),
        ((node(cpus=4, gpus=4),), {}, 1),  # the cores of four
        ((node(cpus=64, gpus=8), node(cpus=0, gpus=0)), {}, 8),
        ((node(cpus=64, gpus=8),), {"max_seats": 3}, 3),
        ((node(cpus=8, gpus=1),), {"cpus": 1.0, "gpus": 0.1}, 8),
        ((node(cpus=8, gpus=1),), {"cpus": 0.5, "gpus": 0.1}, 10),
        ((node(cpus=8, gpus=0),), {"gpus": 0.0}, 2),
        ((node(cpus=0, gpus=2),), {"cpus": 0.0}, 2),
    ],
)
async def test_the_places_are_those_of_all_machines(
    tmp_path: Path, nodes: tuple[ClusterNode, ...], settings: dict[str, Any], places: int
) -> None:
    cluster = Cluster(tmp_path, **settings)
    cluster.join(*nodes)
    assert cluster.far.places == places


@pytest.mark.parametrize(
    ("settings", "nodes", "decoders"),
    [
        ({"media_workers": 9}, [node(cpus=8.0), node("b", cpus=7.5)], 4 + 3),
        ({"media_workers": 2}, [node(cpus=8.0)], 2),
        ({"media_workers": 9}, [node(cpus=4.0)], 0),  # the core is for the card
        ({"media_workers": 9}, [node(cpus=4.0), node("b", gpus=0.0)], 8),
        ({"media_workers": 9, "max_seats": 1}, [node(cpus=4.0), node("b", cpus=4.0)], 4),
        ({"media_workers": 9, "media_cpus": 0.5}, [node(cpus=5.0)], 2),
        ({}, [node(cpus=64.0)], 0),
    ],
)
async def test_decoders_get_the_cores_that_speech_actors_leave(
    tmp_path: Path, settings: dict[str, Any], nodes: list[ClusterNode], decoders: int
) -> None:
    cluster = Cluster(tmp_path, **settings)
    assert (cluster.far.decoders, cluster.far.decoding_problem) == (0, None), "there is no cluster yet"
    cluster.join(*nodes)
    assert cluster.far.decoders == decoders
    told = cluster.far.decoding_problem
    assert (told is not None) == (bool(settings) and not decoders)
    link = cluster.far.connect_decoder("cluster-media-1")(
        "some:entry", cluster.log, lambda: None, cluster.heard.append, cluster.heard.append
    )
    (command,) = cluster.sent(Open)
    assert (command.name, command.cpus, command.gpus) == ("cluster-media-1", cluster.far.settings.media_cpus, 0.0)
    link.kill()
