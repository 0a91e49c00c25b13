"""What the gateway makes of Ray's answers. Ray itself is in `tests/integration/cluster`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from whisper_service.cluster import gateway
from whisper_service.supervision.boot import Inbox
from whisper_service.supervision.messages.base import Fault, Ready
from whisper_service.supervision.messages.cluster import ClusterNode, Join
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
    _, problem = gateway._cause(text)
    assert problem is not None
    assert problem.code == "cluster_package_missing"


def test_other_ends_of_an_outpost_are_told_in_rays_words() -> None:
    why, problem = gateway._cause("The actor died.\n  Its node was killed.\n")
    assert problem is None
    assert why.endswith("The actor died. Its node was killed.")
