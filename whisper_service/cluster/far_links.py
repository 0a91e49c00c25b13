"""The service's end of the cluster: the gateway, the nodes, and a link to each actor on another machine.

The gateway is an actor like any other, with a supervisor of its own. When it dies, the actors behind it are lost; those
that only wait for a machine go on waiting for the next gateway. All methods are called on the event loop.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from whisper_service.config.schema import ClusterSettings
from whisper_service.core.domain import Problem
from whisper_service.supervision import faults
from whisper_service.supervision.link import Exit, LinkFactory
from whisper_service.supervision.messages.base import Fault, Ready
from whisper_service.supervision.messages.cluster import (
    KILLED_WITHIN_S,
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
from whisper_service.supervision.process import ActorProcess
from whisper_service.supervision.supervisor import ActorEvent, Died, Supervisor

logger = logging.getLogger(__name__)

JOIN_S: Final = 150.0
"""Seconds from `Join` to the first `Nodes`. The gateway itself gives up after 120."""
PATIENCE_S: Final = 10.0
"""Seconds without a machine of which nothing is told: a free one takes 1 to 6."""
REFUSED_AGAIN_S: Final = 30.0
"""Seconds until a machine is asked for again after an actor could not be started on one."""
LOST_AGAIN_S: Final = 5.0
"""The same after a machine that was lost while the actor was started."""
SLACK_S: Final = 2.0
"""Seconds that the last message of a killed actor may take from the gateway, beside `KILLED_WITHIN_S`."""
NO_ROOM: Final = Problem(
    code="no_device",
    message="No machine of the cluster has room for a speech actor.",
    hint="The work goes on when a machine joins or gets free. `ray status` shows what is in use; cluster.gpus and "
    "cluster.cpus say what a speech actor needs.",
)
NO_ROOM_TO_DECODE: Final = Problem(
    code="no_room_to_decode",
    message="No machine of the cluster has room to decode recordings.",
    hint="The machine of the service decodes them meanwhile. Speech actors come first: give a machine more cores, or "
    "lower cluster.cpus or cluster.media_cpus.",
)
GATEWAY_GONE: Final = "The way to the cluster broke off: {}"
NOT_TOLD: Final = "The actor was killed, and the cluster did not tell how it ended."
GIVEN_UP: Final = "The actor was given up while it waited for a machine."


class Needs(NamedTuple):
    """What an actor takes of a machine, and the problem while no machine has that."""

    cpus: float
    gpus: float
    no_room: Problem


class FarLinks:
    """The cluster as the service sees it.

    `gateway` makes the supervisor of the gateway, from whom it tells and how it is started; `supervise` that of a
    speech actor, from its name and how it is started. `changed` is called when other seats may be needed, or when jobs
    may wait for another reason.
    """

    def __init__(
        self,
        settings: ClusterSettings,
        *,
        gateway: Callable[[Callable[[ActorEvent], None], LinkFactory], Supervisor],
        supervise: Callable[[str, LinkFactory], Supervisor],
        changed: Callable[[], None],
    ) -> None:
        self.settings = settings
        self.gateway = gateway(self.deliver, self._start_gateway)
        self.nodes: tuple[ClusterNode, ...] = ()
        self.problem: Problem | None = None  # why there is no way to the cluster; None: there is one, or soon
        self.changed = changed
        self.wished: int | None = None  # seats that are wanted; None: as many as there are places
        self._supervise = supervise
        self._joined = False
        self._last = 0  # number of the last link; none is used twice
        self._links: dict[int, FarLink] = {}  # those that may still get messages, by number

    @property
    def places(self) -> int:
        """How many actors the nodes have room for, whatever else runs there; at most as many as are wanted."""
        places = sum(_places(node, self.settings) for node in self.nodes)
        limits = (self.settings.max_seats or None, self.wished)
        return min((places, *(limit for limit in limits if limit is not None)))

    def wish(self, seats: int) -> None:
        """Have so many seats at most, and ask the autoscaler of the cluster for their machines."""
        if seats == self.wished:
            return
        self.wished = seats
        logger.info("The waiting work is worth %d seats.", seats, extra={"action": "seats_wanted", "seats": seats})
        self._send_wish()
        self.changed()

    def _send_wish(self) -> None:
        if self._joined and self.wished is not None:
            self.gateway.send(WantSeats(self.wished, self.settings.cpus, self.settings.gpus))

    @property
    def decoders(self) -> int:
        """How many media actors the nodes have room for beside the speech actors: as many as configured at most."""
        settings = self.settings
        each, of_seat = settings.media_cpus - 1e-6, int(settings.cpus / settings.media_cpus + 1e-6)
        seats = [_places(node, settings) for node in self.nodes]
        beside = sum(
            int((node.cpus - here * settings.cpus) / each) for node, here in zip(self.nodes, seats, strict=True)
        )
        return min(settings.media_workers, beside + (sum(seats) - self.places) * of_seat)

    @property
    def decoding_problem(self) -> Problem | None:
        """Why no recording is decoded on the nodes although they are meant to. None: they are, or there are none."""
        idle = bool(self.nodes) and self.settings.media_workers > 0 and self.decoders <= 0
        return NO_ROOM_TO_DECODE if idle else None

    def supervise(self, name: str) -> Supervisor:
        """Make the supervisor of a speech actor on whichever machine has room."""
        return self._supervise(name, self.connect(name))

    def connect_decoder(self, name: str) -> LinkFactory:
        """Return what starts the media actor of this name on a machine of the cluster."""
        return self.connect(name, Needs(self.settings.media_cpus, 0.0, NO_ROOM_TO_DECODE))

    def connect(self, name: str, needs: Needs | None = None) -> LinkFactory:
        """Return what starts the actor of this name on a machine of the cluster. Without `needs`: a speech actor."""
        wanted = needs or Needs(self.settings.cpus, self.settings.gpus, NO_ROOM)

        def link(
            entry: str,
            log: Path,
            on_open: Callable[[], None],
            on_message: Callable[[bytes], None],
            on_exit: Callable[[Exit], None],
        ) -> FarLink:
            return FarLink(self, name, wanted, entry, log, on_open, on_message, on_exit)

        return link

    def deliver(self, event: ActorEvent) -> None:
        """Take in an event of the gateway."""
        if isinstance(event, Died):
            if self.problem is None:  # else it has said itself why it ends
                self.problem = event.diagnosis.problem
            self.changed()
            return
        match report := event.report:
            case Ready():
                settings = self.settings
                join = Join(settings.address, settings.node_ip, settings.lost_after_s)
                self.gateway.send(join, generation=event.generation, within_s=JOIN_S, key="alive")
                return
            case Nodes(nodes=nodes):
                self._take_nodes(nodes)
            case Opened(link=number) | Passed(link=number) | LinkClosed(link=number):
                if (link := self._links.get(number)) is not None:
                    link.take(report)
            case Fault():
                self.problem = report.problem
                self.changed()
            case _:
                logger.warning("The gateway said something odd.", extra={"action": "odd_report"})
        if self._joined:
            self.gateway.set_deadline("alive", self.settings.lost_after_s, generation=event.generation)

    def open(self, link: FarLink) -> None:
        """Ask for a machine for a link, once the cluster is joined."""
        self._last += 1
        self._links[self._last] = link
        if self._joined:
            link.ask(self._last)

    def forget(self, link: FarLink) -> None:
        """Drop what comes for a link from now on."""
        self._links = {number: other for number, other in self._links.items() if other is not link}

    @property
    def joined(self) -> bool:
        """Whether there is a gateway that speaks with the cluster."""
        return self._joined

    def _take_nodes(self, nodes: tuple[ClusterNode, ...]) -> None:
        before, self.nodes = self.nodes, nodes
        if not self._joined:
            self._joined, self.problem = True, None
            self.gateway.mark_useful()
            facts = {"action": "cluster_joined", "nodes": len(nodes), "places": self.places}
            logger.info("The cluster is joined: %d machines.", len(nodes), extra=facts)
            for number, link in list(self._links.items()):
                link.ask(number)
            self._send_wish()
            self.changed()
        elif before != nodes:
            facts = {"action": "cluster_nodes", "nodes": len(nodes), "places": self.places}
            logger.info("The cluster has %d machines.", len(nodes), extra=facts)
            self.changed()

    def _start_gateway(
        self,
        entry: str,
        log: Path,
        on_open: Callable[[], None],
        on_message: Callable[[bytes], None],
        on_exit: Callable[[Exit], None],
    ) -> ActorProcess:
        """Start a gateway. However it ends, also by order, its links end with it."""

        def end(ended: Exit) -> None:
            self._joined, self.nodes = False, ()
            for link in list(self._links.values()):
                link.lose(GATEWAY_GONE.format(faults.diagnose(ended).problem.message))
            on_exit(ended)

        return ActorProcess(entry, log, on_open, on_message, end)


class FarLink:
    """The link to an actor on another machine, from the first wish for a machine to the exit of the actor."""

    pid: Final = None

    def __init__(
        self,
        far: FarLinks,
        name: str,
        needs: Needs,
        entry: str,
        log: Path,
        on_open: Callable[[], None],
        on_message: Callable[[bytes], None],
        on_exit: Callable[[Exit], None],
    ) -> None:
        self.host: str | None = None
        self._far = far
        self._name = name
        self._needs = needs
        self._entry = entry
        self._log = log
        self._on_open = on_open
        self._on_message = on_message
        self._on_exit = on_exit
        self._loop = asyncio.get_running_loop()
        self._since = time.monotonic()
        self._refusal: Problem | None = None  # why the actor could not be started on a machine that had room
        self._early: list[bytes] = []  # commands that came before the actor was started
        self._asked = self._killed = self._ended = False
        self._timers = [self._loop.call_later(PATIENCE_S, far.changed)]  # then there is something to tell
        self._number = 0
        far.open(self)

    @property
    def is_open(self) -> bool:
        return self.host is not None

    @property
    def obstacle(self) -> Problem | None:
        """Why there has been no machine for some time. None: nothing has to be told."""
        if self.is_open or self._ended:
            return None
        if self._refusal is not None or self._far.problem is not None:
            return self._refusal or self._far.problem
        return self._needs.no_room if self._far.joined and time.monotonic() - self._since >= PATIENCE_S else None

    def send(self, data: bytes) -> None:
        if self._ended:
            return
        if not self.is_open:
            self._early.append(data)
        if self._asked:
            self._far.gateway.send(Pass(self._number, data))

    def signal(self, number: int) -> None:
        if self.is_open and not self._ended:
            self._far.gateway.send(Signal(self._number, number))

    def kill(self) -> None:
        """Kill the actor. Its exit comes in `KILLED_WITHIN_S` and a little, whatever the gateway does."""
        if self._ended or self._killed:
            return
        self._killed = True
        if self._asked:
            self._far.gateway.send(Kill(self._number))
            self._later(KILLED_WITHIN_S + SLACK_S, lambda: self._end(Exit(lost=NOT_TOLD)))
        else:
            self._later(0.0, lambda: self._end(Exit(lost=GIVEN_UP)))

    # -- what the gateway says ----------------------------------------------------------------------------------------

    def ask(self, number: int) -> None:
        """Ask the gateway for a machine."""
        if self._killed:
            return
        self._number, self._asked = number, True
        command = Open(number, self._name, self._entry, cpus=self._needs.cpus, gpus=self._needs.gpus)
        self._far.gateway.send(command)
        for data in self._early:
            self._far.gateway.send(Pass(number, data))

    def take(self, report: Opened | Passed | LinkClosed) -> None:
        """Take in what the gateway says about this link."""
        match report:
            case Opened(host=host):
                self.host, self._refusal = host, None
                self._early.clear()
                self._on_open()
                self._far.changed()
            case Passed(data=data):
                self._on_message(data)
            case LinkClosed(exit=ended, problem=problem):
                refused = problem is not None or ended.lost is not None
                if self.is_open or self._killed or not refused:
                    self._end(ended)
                else:
                    self._wait_again(problem)

    def lose(self, why: str) -> None:
        """Take in that the gateway is gone. An actor that was not started yet waits for the next gateway."""
        self._asked = False
        if self.is_open or self._killed:
            self._end(Exit(lost=why))

    def _wait_again(self, problem: Problem | None) -> None:
        """Ask for another machine after a while: an actor that was never started has not died."""
        self._far.forget(self)
        self._asked, self._refusal = False, problem
        self._later(REFUSED_AGAIN_S if problem is not None else LOST_AGAIN_S, self._open_again)
        self._far.changed()

    def _open_again(self) -> None:
        if not self._ended and not self._killed:
            self._far.open(self)

    def _later(self, seconds: float, act: Callable[[], None]) -> None:
        self._timers.append(self._loop.call_later(seconds, act))

    def _end(self, ended: Exit) -> None:
        if self._ended:
            return
        self._ended = True
        self._far.forget(self)
        for timer in self._timers:
            timer.cancel()
        if ended.words:
            with suppress(OSError):
                self._log.write_text(ended.words, "utf-8")
        self._on_exit(ended)


def _places(node: ClusterNode, settings: ClusterSettings) -> int:
    """Return how many actors a node has room for."""
    wanted = ((node.cpus, settings.cpus), (node.gpus, settings.gpus))
    return min(int(there / needed + 1e-6) for there, needed in wanted if needed)
