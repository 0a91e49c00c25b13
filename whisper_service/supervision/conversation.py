"""Commands to one actor of its own: start the actor, send a command, wait for reports, stop the actor.

The actor runs under a `Supervisor`, as in the service. An actor that dies starts again and gets the same command again.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream

from whisper_service.config.schema import SupervisionSettings
from whisper_service.core.domain import Problem
from whisper_service.supervision.messages.base import Ready
from whisper_service.supervision.orphans import OrphanList
from whisper_service.supervision.protocol import Command, Report
from whisper_service.supervision.supervisor import ActorEvent, Died, Supervisor


@dataclass
class Conversation:
    """A command to an actor and the reports that answer it."""

    supervisor: Supervisor
    events: MemoryObjectReceiveStream[ActorEvent]
    command: Command | None
    within_s: float
    tries: int

    async def report(self) -> Report | Problem:
        """Return the next report, the first is `Ready`. Return the problem after the actor died `tries` times."""
        while isinstance(event := await self.events.receive(), Died):
            self.tries -= 1
            if self.tries <= 0:
                return event.diagnosis.problem
        if isinstance(event.report, Ready) and self.command is not None:
            self.supervisor.send(self.command, generation=event.generation)
        self.supervisor.set_deadline("report", self.within_s, generation=event.generation)
        return event.report

    def send(self, command: Command) -> None:
        """Send one more command, to an actor that is ready. An actor that starts after a death does not get it."""
        self.supervisor.send(command, within_s=self.within_s, key="report")


@asynccontextmanager
async def conversation(
    name: str,
    entry: str,
    command: Command | None,
    *,
    logs: Path,
    limits: SupervisionSettings,
    within_s: float,
    tries: int = 1,
    orphans: OrphanList | None = None,
) -> AsyncIterator[Conversation]:
    """Start an actor and send it `command`. None: start it only. The actor ends with the context.

    An actor is replaced when no report comes within `within_s` seconds, and given up after `tries` deaths.
    """
    send, receive = anyio.create_memory_object_stream[ActorEvent](math.inf)

    def deliver(event: ActorEvent) -> None:
        with suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):  # the context has ended
            send.send_nowait(event)

    supervisor = Supervisor(name, entry, logs=logs, deliver=deliver, limits=limits, orphans=orphans)
    with send, receive:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(supervisor.run)
            supervisor.start()
            try:
                yield Conversation(supervisor, receive, command, within_s, tries)
            finally:
                supervisor.stop()
