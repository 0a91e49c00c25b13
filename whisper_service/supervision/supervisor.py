"""The life of a child process: start, ready handshake, deadlines, death with its cause, restart with back-off.

It knows nothing of jobs: it carries commands one way and reports the other, stamped with the generation of the child they
came from, and tells when a child is gone and why. All methods are called on the event loop.

    idle ──want──▶ starting ──Ready──▶ ready ──exit──▶ waiting ──back-off──▶ starting
      ▲                └──────exit, timeout──────────────▲ └──too often──▶ broken ──reset, a long while──▶ starting
      └─────rest─── from any
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

from whisper_service.core.domain import ActorState, Death, Problem, Value
from whisper_service.host import oom_kills
from whisper_service.supervision import actor_logs, faults
from whisper_service.supervision.orphans import OrphanList
from whisper_service.supervision.process import STOP_S, ActorProcess
from whisper_service.supervision.protocol import Command, Fault, Ready, Report, Shutdown, decode_report, encode
from whisper_service.supervision.restart_limit import RestartLimit, RestartPolicy

logger = logging.getLogger(__name__)

BACK_OFF_S: Final = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
STEADY_S: Final = 30.0  # a child that was ready this long before it died starts again without delay
DEATHS: Final = 20  # so many of the last are remembered
DUMP_S: Final = 0.5  # time for a hung child to write its stacks down


class Reported(Value, frozen=True):
    """A report from the living child."""

    actor: str
    generation: int
    report: Report


class Died(Value, frozen=True):
    """The child is gone, with everything in its hands."""

    actor: str
    generation: int
    diagnosis: faults.Diagnosis
    restart_in_s: float


ActorEvent = Reported | Died


class Supervisor:
    """One place for a child. `run` keeps it filled once somebody called `want`."""

    def __init__(
        self,
        name: str,
        entry: str,
        *,
        logs: Path,
        deliver: Callable[[ActorEvent], None],
        ready_timeout_s: float,
        intensity: RestartPolicy = RestartPolicy(),  # noqa: B008  it is frozen
        ready_is_useful: bool = True,
        roll: OrphanList | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`ready_is_useful`: one that gets ready has shown that it can work, so that only its work can kill it."""
        self.name = name
        self.state = ActorState.IDLE
        self.generation = 0
        self.facts: dict[str, Any] = {}
        self.problem: Problem | None = None  # why the last child died; None once one did something useful
        self.deaths: deque[Death] = deque(maxlen=DEATHS)  # the newest last
        self.failures = 0  # deaths in a row without anything useful in between
        self.rested = 0  # the last generation that was sent to rest: what it said before counts no more
        self._entry = entry
        self._logs = logs
        self._deliver = deliver
        self._ready_timeout_s = ready_timeout_s
        self._clock = clock
        self._breaker = RestartLimit(intensity)
        self._ready_is_useful = ready_is_useful
        self._roll = roll
        self._again = anyio.Event()  # ends the wait after a death
        self._wanted = anyio.Event()
        self._stop = anyio.Event()
        self._link: ActorProcess | None = None
        self._cause: faults.Diagnosis | None = None
        self._fatal: Problem | None = None  # what the child itself said it ends for
        self._deadlines: dict[object, asyncio.TimerHandle] = {}

    @property
    def pid(self) -> int | None:
        return self._link.pid if self._link else None

    @property
    def broken(self) -> bool:
        """Whether it died too often, and has not done anything useful since."""
        return self._breaker.open

    def reset(self) -> None:
        """Somebody says that the cause is gone: start it at once, and count anew."""
        self._breaker.close()
        self.failures = 0
        self._again.set()

    def want(self) -> None:
        """Start the child, if it is not there."""
        self._wanted.set()

    def rest(self) -> None:
        """End the child, with everything in its hands, until somebody wants one again. No `Died` comes; all its memory is free."""
        if self._stop.is_set():
            return
        if self._wanted.is_set():
            self._wanted = anyio.Event()
        self.rested = self.generation
        if self._link is not None:
            self._link.kill()
        else:
            self.state = ActorState.IDLE

    def stop(self) -> None:
        """No more children; the present one is asked to leave, then killed. `run` returns when it is gone."""
        self._stop.set()
        self._wanted.set()
        self._again.set()

    async def run(self) -> None:
        """Keep a child alive until `stop`."""
        while True:
            await self._wanted.wait()
            if self._stop.is_set():
                break
            await self._live()
            if not self._stop.is_set() and self.rested != self.generation:
                with anyio.move_on_after(self._back_off()):
                    await self._again.wait()
        self.state = ActorState.STOPPED

    def send(
        self, command: Command, *, generation: int | None = None, within_s: float | None = None, key: object = None
    ) -> None:
        """Send to the child. With `within_s`, it is replaced unless `settle(key)` comes in time.

        `generation` is the child that is meant (None: the present one). If it is gone, nothing is sent: its `Died` is on its
        way to the caller, who may not know of it yet.
        """
        if self._link is None or not self._is_current(generation):
            logger.debug("the child is gone", extra={"action": "send_failed", "actor": self.name})
            return
        self._link.send(encode(command))
        if within_s is not None:
            self.expect(key, within_s)

    def expect(self, key: object, within_s: float, *, generation: int | None = None) -> None:
        """Replace the child unless `settle(key)` is called within this time; calling again starts it anew."""
        if self._link is None or not self._is_current(generation):
            return
        self.settle(key)
        diagnosis = faults.hung(within_s)
        self._deadlines[key] = asyncio.get_running_loop().call_later(within_s, self.replace, diagnosis)

    def settle(self, key: object) -> None:
        """What was expected has come."""
        if handle := self._deadlines.pop(key, None):
            handle.cancel()

    def proven(self, *, generation: int | None = None) -> None:
        """The child did something useful: it may start again at once should it die. Too late if it is dead already."""
        if self._link is not None and self._is_current(generation):
            self.failures = 0
            self.problem = None
            self._breaker.close()

    def replace(self, diagnosis: faults.Diagnosis) -> None:
        """Kill the child for this reason; a hung one leaves its stacks in the log first."""
        if self._link is None or self._cause is not None or self.rested == self.generation:
            return
        self._cause = diagnosis
        link = self._link
        if diagnosis.kind is faults.FaultKind.HUNG and hasattr(signal, "SIGUSR1"):
            link.signal(signal.SIGUSR1)
            link.signal(signal.SIGCONT)  # one that somebody stopped can write nothing before it goes on
            asyncio.get_running_loop().call_later(DUMP_S, link.kill)
        else:
            link.kill()

    def _is_current(self, generation: int | None) -> bool:
        return generation is None or generation == self.generation

    async def _live(self) -> None:
        """One generation, from start to exit."""
        self.generation += 1
        self._again = anyio.Event()
        generation, born = self.generation, self._clock()
        self.state, self._cause, self._fatal = ActorState.STARTING, None, None
        code: int | None = None
        kills = oom_kills.count()
        try:
            log = actor_logs.create(self._logs, self.name)
            code = await self._until_exit(generation, log)
        except OSError as error:  # no room for a log, no process, no more open files: it may be better in a while
            self._cause = faults.classify(f"{type(error).__name__}: {error}")
        was_ready = self.state is ActorState.READY
        self.state = ActorState.STOPPED if self._stop.is_set() else ActorState.WAITING
        if self._stop.is_set():
            return
        if self.rested == generation:
            self.state, self.failures, self.problem = ActorState.IDLE, 0, None
            logger.info(
                "%s rests", self.name, extra={"action": "actor_rests", "actor": self.name, "generation": generation}
            )
            return
        if was_ready and self._clock() - born > STEADY_S:
            self.failures = 0
        self.failures += 1
        diagnosis = self._cause or faults.classify(actor_logs.tail(log), code, oom_killed=oom_kills.count() > kills)
        if diagnosis.kind is not faults.FaultKind.KILLED:  # whoever kills from outside says nothing about the child
            self._breaker.died(self._clock())
        if self.broken:
            self.state = ActorState.BROKEN
            facts = {"action": "breaker_open", "actor": self.name, "cause": diagnosis.kind.value}
            logger.error(
                "%s died too often; the next attempt is in %.0f s, or when somebody asks",
                self.name,
                self._back_off(),
                extra=facts,
            )
        self.problem = diagnosis.problem
        self.deaths.append(Death(round(time.time(), 3), generation, self._fatal or diagnosis.problem))
        logger.warning(
            "%s died: %s", self.name, diagnosis.problem.message,
            extra={"action": "actor_died", "actor": self.name, "generation": generation, "cause": diagnosis.kind.value, "exit_code": code},
        )  # fmt: skip
        self._deliver(Died(self.name, generation, diagnosis, self._back_off()))

    async def _until_exit(self, generation: int, log: Path) -> int | None:
        """Start a child and wait for its end; its exit code. Everything it reported is delivered by then. Raises `OSError`."""
        exited = anyio.Event()
        codes: list[int | None] = []

        def on_message(data: bytes) -> None:
            try:
                report = decode_report(data)
            except msgspec.DecodeError as error:  # whatever else it says is worth nothing
                self.replace(faults.garbled(str(error)))
                return
            if isinstance(report, Ready):
                self.settle("ready")
                self.state = ActorState.READY
                self.facts = report.facts
                if self._ready_is_useful:
                    self._breaker.close()
            if isinstance(report, Fault) and report.fatal:
                self._fatal = report.problem
            self._deliver(Reported(self.name, generation, report))

        def on_exit(code: int | None) -> None:
            codes.append(code)
            exited.set()

        self._link = link = ActorProcess(self._entry, log, on_message, on_exit)
        if self._roll is not None:
            self._roll.enter(link.pid)
        facts = {"action": "actor_started", "actor": self.name, "generation": generation, "pid": link.pid}
        logger.info("%s started", self.name, extra=facts)
        self.expect("ready", self._ready_timeout_s)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._leave, link, exited)
                await exited.wait()
                tasks.cancel_scope.cancel()
        finally:
            if not exited.is_set():  # cancelled: nobody is left to watch it
                link.kill()
            for key in list(self._deadlines):
                self.settle(key)
            if self._roll is not None and exited.is_set():
                self._roll.leave(link.pid)
            self._link = None
        return codes[0]

    async def _leave(self, link: ActorProcess, exited: anyio.Event) -> None:
        """When told to stop: ask, wait a little, kill."""
        await self._stop.wait()
        link.send(encode(Shutdown()))
        with anyio.move_on_after(STOP_S):
            await exited.wait()
            return
        link.kill()

    def _back_off(self) -> float:
        if self.broken:
            return self._breaker.intensity.probe_s
        return BACK_OFF_S[min(max(self.failures - 1, 0), len(BACK_OFF_S) - 1)]
