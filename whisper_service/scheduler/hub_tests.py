"""Test the way to the hubs: an actor asks every endpoint for a list and one byte.

The actor is not the one that downloads, so that a test need not wait for gigabytes. It ends when there is no test.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import anyio

from whisper_service.core.domain import Problem
from whisper_service.supervision.messages.download import ConnectionTested, EndpointState, TestConnection
from whisper_service.supervision.supervisor import Supervisor

STALL_S = 60.0
"""Seconds for each endpoint. The limits of its look-up, connection and reading are far below."""


@dataclass(eq=False)
class RunningTest:
    """A test and its results."""

    command: TestConnection
    results: tuple[EndpointState, ...] = ()
    done: anyio.Event = field(default_factory=anyio.Event)


class HubTests:
    """The tests of connections, one at a time. Called on the scheduler's loop."""

    def __init__(self, actor: Supervisor) -> None:
        self.actor = actor
        self._tests: deque[RunningTest] = deque()
        self._sent = False  # whether the actor has the first test

    async def start(self, command: TestConnection) -> RunningTest:
        """Start a test. Its `done` is set when its results are there."""
        test = RunningTest(command)
        self._tests.append(test)
        self._next()
        return test

    def on_ready(self) -> None:
        """Record that an actor takes commands."""
        self._sent = False
        self._next()

    def on_tested(self, report: ConnectionTested) -> None:
        """Record the answers of the endpoints."""
        self.actor.clear_deadline("test")
        self.actor.mark_useful(generation=self.actor.ready_generation)
        self._end(report.results)

    def on_died(self, problem: Problem) -> None:
        """End the running test with the death of its actor as the result."""
        if self._sent:
            found = Problem("download_failed", f"The test broke off: {problem.message}", "Try again.", problem.params)
            self._end(tuple(EndpointState(endpoint, found) for endpoint in self._tests[0].command.hub.endpoints))

    def _end(self, results: tuple[EndpointState, ...]) -> None:
        self._sent = False
        if self._tests:
            test = self._tests.popleft()
            test.results = results
            test.done.set()
        self._next()

    def _next(self) -> None:
        """Send the next test to the actor, or let the actor end when there is none."""
        if not self._sent and self.actor.takes_command(work=bool(self._tests)):
            self._sent = True
            command = self._tests[0].command
            within_s = STALL_S * max(1, len(command.hub.endpoints))
            self.actor.send(command, generation=self.actor.ready_generation, within_s=within_s, key="test")
