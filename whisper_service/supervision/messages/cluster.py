"""The messages between the service and the gateway: actors on other machines. Pure.

The gateway is the one actor that speaks with a cluster. It starts other actors on the machines of the cluster, the
nodes, and carries their messages. Each of those actors has a link, named by a number which the service chooses and
never uses twice with one gateway. What comes for a link that is closed is dropped, in both directions.

    service ── Join ─▶ gateway      once, first; answered by `Nodes`, or by a fatal `Fault(scope="actor")`
    service ── Open ─▶ gateway      answered by `Opened` when a node has room, and by exactly one `LinkClosed`
    service ── Pass ─▶ actor        commands arrive in order, each exactly once
    service ◀─ Passed ── actor      reports arrive in order, each exactly once, all of them before `LinkClosed`

The end of the gateway ends every actor that it started.
"""

from __future__ import annotations

from typing import Final

from whisper_service.core.domain import Problem, Value
from whisper_service.supervision.link import Exit
from whisper_service.supervision.messages.base import Message


class Join(Message, frozen=True):
    """Join a cluster. Sent once, before any other command. Answered by `Nodes` when the gateway has joined.

    A cluster that cannot be joined is a fatal `Fault` of scope "actor" with the problem `cluster_unreachable` or
    `cluster_versions`. The gateway exits by itself when the cluster does not answer for `lost_after_s` seconds.
    """

    address: str = ""  # "host:port" of the head; empty or "auto": the cluster that this machine belongs to
    node_ip: str = ""  # of this machine in the cluster; empty: found by itself. Needed only if it has several
    lost_after_s: float = 15.0  # seconds without any answer after which an actor counts as lost


class Open(Message, frozen=True):
    """Start an actor on a node. Waits for a node with room as long as it takes, or until `Kill`."""

    link: int
    name: str  # of the actor, for the log on its node
    entry: str
    cpus: float = 1.0  # of a node, reserved for the actor: less than 1, or a whole number
    gpus: float = 0.0  # likewise; the actor sees these cards alone, as "cuda:0" and so on
    node: str = ""  # `ClusterNode.id`, the only node that will do; empty: any


class Pass(Message, frozen=True):
    """Give this command to an actor, also before `Opened`.

    The gateway reads the sound of a `Transcribe` or an `Align` from the spool and sends it along: paths of spools are
    those of the service's machine. The path of a model must be good on the node.
    """

    link: int
    data: bytes  # an encoded `Command`


class Signal(Message, frozen=True):
    """Send a signal to an actor. Dropped before `Opened`. A signal may overtake a command."""

    link: int
    number: int  # of the signal on Linux: gateways and nodes run there


class Kill(Message, frozen=True):
    """Kill an actor, or give up one that waits for a node. `LinkClosed` comes within `KILLED_WITHIN_S`."""

    link: int


class WantSeats(Message, frozen=True):
    """Wish for room for so many actors, which the autoscaler of the cluster may provide. Replaces the last wish.

    The gateway takes the wish back when it ends by order.
    """

    seats: int
    cpus: float  # of each
    gpus: float


class Opened(Message, frozen=True):
    """The process of an actor runs. It becomes ready by itself, and says so with a `Ready` of its own."""

    link: int
    node: str  # `ClusterNode.id`
    host: str  # the name of that machine
    pid: int  # on that machine


class Passed(Message, frozen=True):
    """An actor reports this."""

    link: int
    data: bytes  # an encoded `Report`


class LinkClosed(Message, frozen=True):
    """An actor is gone. The last message of its link.

    `exit.lost` says why the node, or the way to it, is gone: then nobody knows how the actor ended. A `problem` says
    that the actor was not started and why, and that the same `Open` would end in the same way: `cluster_versions`,
    `cluster_package_missing`, `cluster_node_failed`.
    """

    link: int
    exit: Exit
    problem: Problem | None = None


class ClusterNode(Value, frozen=True):
    """A machine of the cluster that is alive."""

    id: str
    host: str
    address: str  # of this machine in the cluster
    cpus: float  # in all, whether in use or not; 0: nothing is to run there
    gpus: float = 0.0
    gpu_kind: str = ""  # as the cluster calls it, like "H100"; empty: unknown, or there is none

    def places(self, cpus: float, gpus: float) -> int:
        """Return how many actors that take so much have room here, if nothing else runs."""
        wanted = ((self.cpus, cpus), (self.gpus, gpus))
        return min((int(there / needed + 1e-6) for there, needed in wanted if needed), default=0)


class Nodes(Message, frozen=True):
    """The nodes that are alive, by id. Comes after `Join`, then every `NODES_EVERY_S`, as a sign of life."""

    nodes: tuple[ClusterNode, ...]


NODES_EVERY_S: Final = 2.0
"""Seconds between two `Nodes` of a living gateway, while its own event loop is not held up."""
KILLED_WITHIN_S: Final = 5.0
"""Seconds from `Kill` to `LinkClosed`, whatever the node does: two for the actor, then the gateway gives it up."""
