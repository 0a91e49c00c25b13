"""Run one actor: start it, wait until it is ready, watch deadlines, find the cause of its death, start it again.

A supervisor knows nothing of jobs. It carries commands and reports, adds the generation of the actor to each report,
and tells when an actor is gone and why. All methods are called on the event loop.

    idle ──start──▶ starting ──Ready──▶ ready ──exit──▶ waiting ──back-off──▶ starting
      ▲                └──────exit, timeout──────────────▲ └──too often──▶ broken ──reset, a long while──▶ starting
      └─────go_idle─── from any

An actor of another machine is `pending` before it is `starting`: there is no room for it yet, and nothing is late.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import anyio
import msgspec

from whisper_service.config.schema import SupervisionSettings
from whisper_service.core.domain import ActorState, Death, Problem, Value
from whisper_service.supervision import actor_logs, faults
from whisper_service.supervision.link import Exit, Link, LinkFactory
from whisper_service.supervision.messages.base import Fault, Ready, Shutdown
from whisper_service.supervision.orphans import OrphanList
from whisper_service.supervision.process import STOP_S, ActorProcess
from whisper_service.supervision.protocol import Command, Report, decode_report, encode
from whisper_service.supervision.restart_limit import RestartLimit

logger = logging.getLogger(__name__)

BACK_OFF_S: Final = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds before a new start, by the number of failures in a row. The last one holds for all further failures."""
STEADY_S: Final = 30.0
"""An actor that lived this long counts as the first failure in a row when it dies."""
DEATHS: Final = 20
"""Deaths that are kept for the page."""
DUMP_S: Final = 0.5
"""Time for a hung actor to write its stacks into its log."""


class Reported(Value, frozen=True):
    """A report of the living actor."""

    actor: str
    generation: int
    report: Report


class Died(Value, frozen=True):
    """The actor is gone, and its unfinished work is lost."""

    actor: str
    generation: int
    diagnosis: faults.Diagnosis
    restart_in_s: float


ActorEvent = Reported | Died


class Supervisor:
    """The supervisor of one actor. After `start`, `run` keeps the actor alive.

    `ready_is_useful`: an actor that becomes ready has shown that it can work, so that only its work can kill it.
    `link`: starts an actor, by default as a process of this machine.
    """

    def __init__(
        self,
        name: str,
        entry: str,
        *,
        logs: Path,
        deliver: Callable[[ActorEvent], None],
        limits: SupervisionSettings,
        ready_is_useful: bool = True,
        orphans: OrphanList | None = None,
        link: LinkFactory = ActorProcess,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.state = ActorState.IDLE
        self.generation = 0
        self.facts: dict[str, Any] = {}
        self.problem: Problem | None = None  # why the last actor died; None after a useful result
        self.deaths: deque[Death] = deque(maxlen=DEATHS)  # the newest last
        self.failures = 0  # deaths in a row without a useful result
        self.idle_generation = 0  # the last one that `go_idle` ended; its reports no longer count
        self.ready_generation = 0  # the one that takes commands, as far as its owner has heard; 0: none
        self._entry = entry
        self._logs = logs
        self._deliver = deliver
        self._limits = limits
        self._clock = clock
        self._limit = RestartLimit(limits)
        self._ready_is_useful = ready_is_useful
        self._orphans = orphans
        self._retry = anyio.Event()  # ends the wait after a death
        self._wanted = anyio.Event()
        self._stop = anyio.Event()
        self._connect = link
        self._link: Link | None = None
        self._cause: faults.Diagnosis | None = None
        self._fatal: Problem | None = None  # the problem that the actor reported before its exit
        self._deadlines: dict[object, asyncio.TimerHandle] = {}

    @property
    def pid(self) -> int | None:
        return self._link.pid if self._link else None

    @property
    def host(self) -> str | None:
        """The name of the other machine on which the actor runs. None: it is this one, or there is no actor."""
        return self._link.host if self._link else None

    @property
    def obstacle(self) -> Problem | None:
        """Why the actor waits for a machine. None: it does not wait, or not for long."""
        return self._link.obstacle if self._link and self.state is ActorState.PENDING else None

    @property
    def broken(self) -> bool:
        """Whether the actor died too often and has not done anything useful since."""
        return self._limit.reached

    def reset(self) -> None:
        """Forget earlier deaths and start the actor at once, because a user says that the cause is gone."""
        self._limit.reset()
        self.failures = 0
        self._retry.set()

    def start(self) -> None:
        """Start the actor unless it runs."""
        self._wanted.set()

    def takes_command(self, *, work: bool) -> bool:
        """Return whether the actor takes a command now. Start it for work; let it end when there is none."""
        if work and self.ready_generation:
            return True
        if work:
            self.start()
        elif self.ready_generation:
            self.go_idle()
        return False

    def go_idle(self) -> None:
        """End the actor and its work until the next `start`. All its memory becomes free, and no `Died` comes."""
        self.ready_generation = 0
        if self._stop.is_set():
            return
        if self._wanted.is_set():
            self._wanted = anyio.Event()
        self.idle_generation = self.generation
        if self._link is not None:
            self._link.kill()
        else:
            self.state = ActorState.IDLE

    def stop(self) -> None:
        """End the actor for good: ask it to exit, then kill it. `run` returns when it is gone."""
        self._stop.set()
        self._wanted.set()
        self._retry.set()

    async def run(self) -> None:
        """Keep the actor alive until `stop`."""
        while True:
            await self._wanted.wait()
            if self._stop.is_set():
                break
            await self._run_generation()
            if not self._stop.is_set() and self.idle_generation != self.generation:
                with anyio.move_on_after(self._back_off()):
                    await self._retry.wait()
        self.state = ActorState.STOPPED

    def send(
        self, command: Command, *, generation: int | None = None, within_s: float | None = None, key: object = None
    ) -> None:
        """Send a command. With `within_s`, replace the actor unless `clear_deadline(key)` comes within these seconds.

        `generation`: the actor that is meant, None for the present one. When it is gone nothing is sent, because the
        caller will get its `Died`.
        """
        if self._link is None or not self._is_current(generation):
            logger.debug("The actor is gone.", extra={"action": "send_failed", "actor": self.name})
            return
        self._link.send(encode(command))
        if within_s is not None:
            self.set_deadline(key, within_s)

    def set_deadline(self, key: object, within_s: float, *, generation: int | None = None) -> None:
        """Replace the actor unless `clear_deadline(key)` comes within these seconds. A new call extends the time."""
        if self._link is None or not self._is_current(generation):
            return
        self.clear_deadline(key)
        diagnosis = faults.hung(within_s)
        self._deadlines[key] = asyncio.get_running_loop().call_later(within_s, self.replace, diagnosis)

    def clear_deadline(self, key: object) -> None:
        """Cancel a deadline, because the answer has come."""
        if handle := self._deadlines.pop(key, None):
            handle.cancel()

    def mark_useful(self, *, generation: int | None = None) -> None:
        """Note a useful result: an actor that dies now starts again at once. Ignored for an actor that is gone."""
        if self._link is not None and self._is_current(generation):
            self.failures = 0
            self.problem = None
            self._limit.reset()

    def replace(self, diagnosis: faults.Diagnosis) -> None:
        """Kill the actor for this reason. A hung one first writes its stacks into its log."""
        if self._link is None or self._cause is not None or self.idle_generation == self.generation:
            return
        self._cause = diagnosis
        link = self._link
        if diagnosis.kind is faults.FaultKind.HUNG and hasattr(signal, "SIGUSR1"):
            link.signal(signal.SIGUSR1)
            link.signal(signal.SIGCONT)  # a stopped process must go on before it can write
            asyncio.get_running_loop().call_later(DUMP_S, link.kill)
        else:
            link.kill()

    def _is_current(self, generation: int | None) -> bool:
        return generation is None or generation == self.generation

    async def _run_generation(self) -> None:
        """Run one actor from its start to its exit, and tell why it died."""
        self.generation += 1
        self._retry = anyio.Event()
        generation, started = self.generation, self._clock()
        self.state, self._cause, self._fatal = ActorState.STARTING, None, None
        ended = Exit()
        try:
            ended = await self._until_exit(generation, actor_logs.create(self._logs, self.name))
        except OSError as error:  # no room for a log, no process or file handle left: this may pass
            self._cause = faults.classify(f"{type(error).__name__}: {error}")
        was_ready = self.state is ActorState.READY
        if self._stop.is_set():
            self.state = ActorState.STOPPED
            return
        if self.idle_generation == generation:
            self.state, self.failures, self.problem = ActorState.IDLE, 0, None
            facts = {"action": "actor_rests", "actor": self.name, "generation": generation}
            logger.info("The actor %s is idle.", self.name, extra=facts)
            return
        self.state = ActorState.WAITING
        lost = ended.lost is not None  # then no deadline says anything about the actor
        diagnosis = faults.diagnose(ended) if lost or self._cause is None else self._cause
        if was_ready and (lost or self._clock() - started > STEADY_S):
            self.failures = 0
        self.failures += 1
        if not lost and diagnosis.kind is not faults.FaultKind.KILLED:  # these say nothing about the actor
            self._limit.count_death(self._clock())
        self.problem = diagnosis.problem
        self.deaths.append(Death(round(time.time(), 3), generation, self._fatal or diagnosis.problem))
        cause = diagnosis.kind.value
        if self.broken:
            self.state = ActorState.BROKEN
            text = "The actor %s died too often. It starts again in %.0f s, or when a user asks."
            facts = {"action": "breaker_open", "actor": self.name, "cause": cause}
            logger.error(text, self.name, self._back_off(), extra=facts)
        facts = {"action": "actor_died", "actor": self.name, "generation": generation, "cause": cause}
        facts["exit_code"] = ended.code
        logger.warning("The actor %s died: %s", self.name, diagnosis.problem.message, extra=facts)
        self._deliver(Died(self.name, generation, diagnosis, self._back_off()))

    async def _until_exit(self, generation: int, log: Path) -> Exit:
        """Start an actor, wait for its exit and return how it ended. Raises `OSError`.

        All its reports are delivered by then.
        """
        exited = anyio.Event()
        exits: list[Exit] = []

        def on_open() -> None:
            self.state = ActorState.STARTING
            facts = {"action": "actor_started", "actor": self.name, "generation": generation, "pid": link.pid}
            logger.info("The actor %s started.", self.name, extra=facts)
            self.set_deadline("ready", self._limits.ready_timeout_s)

        def on_message(data: bytes) -> None:
            try:
                report = decode_report(data)
            except msgspec.DecodeError as error:
                self.replace(faults.unreadable_message(str(error)))
                return
            if isinstance(report, Ready):
                self.clear_deadline("ready")
                self.state = ActorState.READY
                self.facts = report.facts
                if self._ready_is_useful:
                    self._limit.reset()
            if isinstance(report, Fault) and report.fatal:
                self._fatal = report.problem
            self._deliver(Reported(self.name, generation, report))

        def on_exit(ended: Exit) -> None:
            if self._orphans is not None and link.pid is not None:
                self._orphans.remove(link.pid)
            exits.append(ended)
            exited.set()

        self._link = link = self._connect(self._entry, log, on_open, on_message, on_exit)
        if self._orphans is not None and link.pid is not None:
            self._orphans.add(link.pid)
        if link.is_open:
            on_open()
        else:
            self.state = ActorState.PENDING
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._end_at_stop, link, exited)
                await exited.wait()
                tasks.cancel_scope.cancel()
        finally:
            if not exited.is_set():  # this task was cancelled
                link.kill()
            for key in list(self._deadlines):
                self.clear_deadline(key)
            self._link = None
        return exits[0]

    async def _end_at_stop(self, link: Link, exited: anyio.Event) -> None:
        """Wait for `stop`, then ask the actor to exit, and kill it when it does not."""
        await self._stop.wait()
        link.send(encode(Shutdown()))
        with anyio.move_on_after(STOP_S if link.is_open else 0.0):
            await exited.wait()
            return
        link.kill()

    def _back_off(self) -> float:
        if self.broken:
            return self._limits.probe_s
        return BACK_OFF_S[min(max(self.failures - 1, 0), len(BACK_OFF_S) - 1)]
