"""What the gateway makes of Ray's answers. Ray itself is in `tests/integration/cluster`."""

from __future__ import annotations

import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from whisper_service.cluster import far_actor, gateway, ray_calls
from whisper_service.cluster.far_actor import OutpostGone
from whisper_service.cluster.gateway import Gateway
from whisper_service.supervision.boot import Inbox
from whisper_service.supervision.link import Exit
from whisper_service.supervision.messages.base import Fault, Ready, Shutdown
from whisper_service.supervision.messages.cluster import ClusterNode, Join, LinkClosed, Nodes, Open, WantSeats
from whisper_service.supervision.protocol import Report


class Ended(BaseException):
    """The process would have ended here."""


def run(monkeypatch: pytest.MonkeyPatch, ray: object) -> tuple[list[Report], int]:
    """Run a gateway that is told to join, with this in place of Ray. Return its reports and its exit code."""
    said: list[Report] = []
    codes: list[int] = []

    def end(code: int) -> None:
        codes.append(code)
        raise Ended

    for name, value in gateway.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setattr("os._exit", end)
    inbox = Inbox()
    inbox.put(Join("head:6379"))
    with pytest.raises(Ended):
        gateway.run(inbox, said.append)
    return said, codes[0]


def ray(init: Callable[..., object]) -> Any:
    return SimpleNamespace(__version__="2.60.0", init=init)


def raising(error: Exception) -> Callable[..., object]:
    def init(**_: object) -> None:
        raise error

    return init


def test_without_ray_the_gateway_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    (fault,), code = run(monkeypatch, None)
    assert isinstance(fault, Fault)
    assert (fault.scope, fault.fatal, fault.problem.code, code) == ("actor", True, "cluster_engine_missing", 1)
    assert "whisper_service[ray]" in fault.problem.hint


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConnectionError("ray start is not running"), "cluster_unreachable"),
        (RuntimeError("Version mismatch: The cluster was started with:\n  Ray: 2.55.0\n"), "cluster_versions"),
    ],
)
def test_a_cluster_that_cannot_be_joined_is_a_fatal_fault(
    monkeypatch: pytest.MonkeyPatch, error: Exception, code: str
) -> None:
    (ready, fault), status = run(monkeypatch, ray(raising(error)))
    assert isinstance(ready, Ready)
    assert ready.facts == {"ray": "2.60.0"}
    assert isinstance(fault, Fault)
    assert (fault.scope, fault.fatal, fault.problem.code, status) == ("actor", True, code, 1)
    assert str(error).split()[0] in str(fault.problem.params["detail"])


def test_only_living_nodes_count(monkeypatch: pytest.MonkeyPatch) -> None:
    def node(name: str, alive: bool, **resources: float) -> dict[str, Any]:
        return {
            "NodeID": name, "Alive": alive, "NodeManagerHostname": f"host-{name}", "NodeManagerAddress": "10.0.0.1",
            "Resources": resources,
        }  # fmt: skip

    there = [
        node("b", True, CPU=8.0, GPU=2.0, **{"accelerator_type:H100": 1.0}),
        node("c", False, CPU=8.0),
        node("a", True),
    ]
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(nodes=lambda: there))
    assert gateway._nodes() == (
        ClusterNode("a", "host-a", "10.0.0.1", 0.0),
        ClusterNode("b", "host-b", "10.0.0.1", 8.0, 2.0, "H100"),
    )


def test_a_machine_without_the_package_is_named_as_such() -> None:
    text = "The actor died: ModuleNotFoundError: No module named 'whisper_service'"
    _, problem = ray_calls._cause(text)
    assert problem is not None
    assert problem.code == "cluster_package_missing"


def test_other_ends_of_an_outpost_are_told_in_rays_words() -> None:
    why, problem = ray_calls._cause("The actor died.\n  Its node was killed.\n")
    assert problem is None
    assert why.endswith("The actor died. Its node was killed.")


class Said:
    """What a gateway says, in order."""

    def __init__(self) -> None:
        self.reports: list[Report] = []
        self._news = anyio.Event()

    def emit(self, report: Report) -> None:
        self.reports.append(report)
        self._news.set()

    async def until(self, kind: type[Report], count: int = 1) -> None:
        with anyio.fail_after(20):
            while sum(isinstance(report, kind) for report in self.reports) < count:
                self._news = anyio.Event()
                await self._news.wait()


@asynccontextmanager
async def serving(said: Said) -> AsyncIterator[Inbox]:
    """Run a gateway that has joined, and end it as the service does."""
    inbox = Inbox()
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(Gateway(Join(lost_after_s=60), said.emit).serve, inbox)
            try:
                yield inbox
            finally:
                inbox.put(Shutdown())


@pytest.mark.anyio
async def test_the_nodes_are_told_while_the_head_hangs_and_the_end_does_not_wait_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    answer = threading.Event()

    def nodes() -> tuple[ClusterNode, ...]:
        asked.append("nodes")
        if len(asked) > 1:
            answer.wait(60)
        return (ClusterNode("a", "host", "10.0.0.1", 4.0),)

    def made(*_: object) -> None:
        asked.append("outpost")
        answer.wait(60)

    monkeypatch.setattr(gateway, "NODES_EVERY_S", 0.02)
    monkeypatch.setattr(gateway, "_nodes", nodes)
    monkeypatch.setattr(ray_calls.RayCalls, "_create", made)
    said = Said()
    try:
        async with serving(said) as inbox:
            await said.until(Nodes, 5)
            assert asked.count("nodes") == 2
            inbox.put(Open(7, "cluster-1", "entry"))
            while "outpost" not in asked:  # noqa: ASYNC110 - a thread says it
                await anyio.sleep(0.01)
    finally:
        answer.set()
    assert said.reports[-1] == LinkClosed(7, Exit())


@pytest.mark.anyio
async def test_the_newest_wish_reaches_the_autoscaler_and_is_taken_back_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[list[dict[str, float]]] = []

    def request_resources(*, bundles: list[dict[str, float]]) -> None:
        asked.append(bundles)
        if len(asked) == 1:
            raise ConnectionError("the head is away")

    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(nodes=lambda: []))
    monkeypatch.setitem(sys.modules, "ray.autoscaler", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "ray.autoscaler.sdk", SimpleNamespace(request_resources=request_resources))
    async with serving(Said()) as inbox:
        for number, seats in enumerate((2, 3), 1):
            inbox.put(WantSeats(seats, 4.0, 0.0))
            while len(asked) < number:  # noqa: ASYNC110 - a thread says it
                await anyio.sleep(0.01)
    assert asked == [[{"CPU": 4.0}] * 2, [{"CPU": 4.0}] * 3, []]


@pytest.mark.anyio
async def test_an_outpost_that_cannot_be_made_ends_its_link_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    async def start(calls: ray_calls.RayCalls, *_: object) -> None:
        if calls._request.link == 1:
            raise OutpostGone("Ray did not make an outpost.")
        if calls._request.link == 2:
            raise ValueError("a fault of ours")
        await anyio.sleep_forever()

    monkeypatch.setattr(gateway, "_nodes", lambda: ())
    monkeypatch.setattr(ray_calls.RayCalls, "start", start)
    said = Said()
    async with serving(said) as inbox:
        for link in (3, 1, 2):
            inbox.put(Open(link, "cluster-1", "entry"))
        await said.until(LinkClosed, 2)
        closed = {report.link: report.exit.lost for report in said.reports if isinstance(report, LinkClosed)}
        assert closed == {1: "Ray did not make an outpost.", 2: far_actor.FAULTY}
    assert said.reports[-1] == LinkClosed(3, Exit())
