"""Tests of the way to the hubs: a child asks every endpoint for a list and one byte, and whoever wanted to know is told.

It is another child than the one that downloads, so that a test need not wait for gigabytes; it goes when nobody asks.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import anyio

from whisper_service.core.domain import Problem
from whisper_service.models.inventory import EndpointState
from whisper_service.supervision.protocol import ConnectionTested, TestConnection
from whisper_service.supervision.supervisor import Supervisor

STALL_S = 60.0
"""For each endpoint: looking for its name, connecting and reading have limits of their own that are far below."""


@dataclass(eq=False)
class RunningTest:
    """One that was asked for."""

    command: TestConnection
    results: tuple[EndpointState, ...] = ()
    done: anyio.Event = field(default_factory=anyio.Event)


class HubTests:
    """See the module. Called on the service loop alone."""

    def __init__(self, actor: Supervisor) -> None:
        self.actor = actor
        self.generation = 0
        self._waiting: deque[RunningTest] = deque()
        self._given = False

    async def ask(self, command: TestConnection) -> RunningTest:
        """Have this tested; `done` is set when it is."""
        test = RunningTest(command)
        self._waiting.append(test)
        self._next()
        return test

    def on_ready(self, generation: int) -> None:
        """A child takes commands."""
        if generation <= self.actor.idle_generation:
            return
        self.generation, self._given = generation, False
        self._next()

    def on_tested(self, report: ConnectionTested) -> None:
        """The answers have come."""
        self.actor.clear_deadline("test")
        self.actor.mark_useful(generation=self.generation)
        self._end(tuple(EndpointState(result.endpoint, result.problem) for result in report.results))

    def on_died(self, problem: Problem) -> None:
        """No answer will come: that is the answer."""
        self.generation = 0
        if self._given:
            found = Problem("download_failed", f"The test broke off: {problem.message}", "Try again.", problem.params)
            self._end(tuple(EndpointState(endpoint, found) for endpoint in self._waiting[0].command.endpoints))

    def _end(self, results: tuple[EndpointState, ...]) -> None:
        self._given = False
        if self._waiting:
            test = self._waiting.popleft()
            test.results = results
            test.done.set()
        self._next()

    def _next(self) -> None:
        if self._given:
            return
        if not self._waiting:
            if self.generation:
                self.actor.go_idle()
                self.generation = 0
        elif not self.generation:
            self.actor.start()
        else:
            self._given = True
            command = self._waiting[0].command
            within_s = STALL_S * max(1, len(command.endpoints))
            self.actor.send(command, generation=self.generation, within_s=within_s, key="test")
