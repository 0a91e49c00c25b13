"""The gateway's end of one life of a far actor: numbers its messages, repeats calls, and tells when it is lost.

Knows nothing of Ray: `OutpostCalls` are the calls to the outpost, however they travel.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, Protocol, TypeVar

from whisper_service.cluster import sound, versions
from whisper_service.cluster.outpost import Started, Taken
from whisper_service.cluster.versions import Versions
from whisper_service.core.domain import Problem
from whisper_service.supervision.link import Exit
from whisper_service.supervision.messages.cluster import LinkClosed, Open, Opened, Passed
from whisper_service.supervision.protocol import Report, decode_command

AGAIN_S: Final = 0.2
"""Seconds before a call that may not have arrived is repeated."""
EXIT_S: Final = 2.0
"""Seconds that a node has to tell the exit of a killed actor: forty times what it takes on a machine that is busy."""
POLLS: Final = 4
"""A call for reports waits on the node for this part of the time after which an actor is lost, and is repeated after
twice that. So one lost call loses no actor."""
NEVER_PLACED: Final = "The actor was given up while it waited for a machine with room."
NOT_TOLD: Final = "The actor was killed, and its machine did not say how it ended."

T = TypeVar("T")


class OutpostGone(Exception):
    """The outpost or its machine is gone for good. The text is a sentence for people. `problem` as in `LinkClosed`."""

    def __init__(self, why: str, problem: Problem | None = None) -> None:
        super().__init__(why)
        self.problem = problem


class OutpostSilent(Exception):
    """A call failed that may or may not have arrived. It may be repeated."""


class OutpostCalls(Protocol):
    """The calls to one outpost. They raise `OutpostGone` and `OutpostSilent`; a canceled call may still arrive."""

    async def start(self, entry: str, wanted: Versions) -> tuple[Started, str]:
        """Start the actor when a node has room. Return the answer and the id of the node."""

    async def put(self, number: int, data: bytes, sounds: Sequence[bytes | None]) -> None: ...

    async def take(self, after: int, wait_s: float) -> Taken: ...

    async def signal(self, number: int) -> None: ...

    async def kill(self) -> None: ...

    def end(self) -> None:
        """End the outpost and its actor, or stop waiting for a node. Never fails and never waits."""


class FarActor:
    """One far actor, from `Open` to `LinkClosed`. All methods are called on the gateway's event loop."""

    def __init__(
        self, request: Open, outpost: OutpostCalls, emit: Callable[[Report], None], lost_after_s: float
    ) -> None:
        self.heard_at = 0.0  # `time.monotonic` of the last answer; 0: none yet
        self._request = request
        self._outpost = outpost
        self._emit = emit
        self._lost_after_s = lost_after_s
        self._opened = asyncio.Event()
        self._given_up = asyncio.Event()
        self._why = ""  # it was given up
        self._killed = False
        self._sent = 0  # commands
        self._calls: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Start the actor, carry its reports, and emit `LinkClosed` at the end, whatever happens."""
        ended, problem = Exit(), None
        life = asyncio.ensure_future(self._live())
        stop = asyncio.ensure_future(self._given_up.wait())
        try:
            await asyncio.wait((life, stop), return_when=asyncio.FIRST_COMPLETED)
            ended = life.result() if life.done() else Exit(lost=self._why)
        except OutpostGone as error:
            ended, problem = Exit(lost=str(error)), error.problem
        finally:
            for task in (life, stop, *self._calls):
                task.cancel()
            await asyncio.gather(life, stop, *self._calls, return_exceptions=True)
            self._outpost.end()
            self._emit(LinkClosed(self._request.link, ended, problem))

    def send(self, data: bytes) -> None:
        """Send an encoded command to the actor, in its place."""
        number, self._sent = self._sent, self._sent + 1
        self._call(self._put(number, data))

    def signal(self, number: int) -> None:
        """Send a signal to the actor, if it was started."""
        if self._opened.is_set():
            self._call(self._once(self._outpost.signal(number)))

    def kill(self) -> None:
        """Kill the actor, or stop waiting for a node."""
        if self._killed:
            return
        self._killed = True
        if not self._opened.is_set():
            self._give_up(NEVER_PLACED)
            return
        self._call(self._once(self._outpost.kill()))
        asyncio.get_running_loop().call_later(EXIT_S, self._give_up, NOT_TOLD)

    async def _live(self) -> Exit:
        """Start the actor and follow it to its exit. Raises `OutpostGone`."""
        ours = versions.of_this_machine()
        started, node = await self._repeat(lambda: self._outpost.start(self._request.entry, ours))
        if started.problem is not None:
            raise OutpostGone(started.problem.message, started.problem)
        self.heard_at = time.monotonic()
        self._opened.set()
        self._emit(Opened(self._request.link, node, started.host, started.pid))
        return await self._follow()

    async def _follow(self) -> Exit:
        taken = 0  # reports
        poll_s = self._lost_after_s / POLLS
        while True:
            try:
                async with asyncio.timeout(2 * poll_s):
                    answer = await self._outpost.take(taken, poll_s)
            except (OutpostSilent, TimeoutError):
                if time.monotonic() - self.heard_at >= self._lost_after_s:
                    text = f"There was no answer from the machine of the actor for {self._lost_after_s:.0f} seconds."
                    return Exit(lost=text)
                await asyncio.sleep(AGAIN_S)
                continue
            self.heard_at = time.monotonic()
            for data in answer.reports[taken - answer.first :]:
                self._emit(Passed(self._request.link, data))
            taken = answer.first + len(answer.reports)
            if answer.exit is not None:
                return answer.exit

    async def _put(self, number: int, data: bytes) -> None:
        await self._opened.wait()
        sounds = await asyncio.to_thread(sound.read, decode_command(data))
        try:
            await self._repeat(lambda: self._outpost.put(number, data, sounds))
        except OutpostGone as error:
            self._give_up(str(error))

    async def _repeat(self, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Call until there is an answer. Raises `OutpostGone`."""
        while True:
            try:
                return await call()
            except OutpostSilent:
                await asyncio.sleep(AGAIN_S)

    def _give_up(self, why: str) -> None:
        self._why = self._why or why
        self._given_up.set()

    async def _once(self, call: Coroutine[Any, Any, None]) -> None:
        """Call once. What fails is not repeated: `_live` hears of an end, and deadlines see to the rest."""
        try:
            await call
        except (OutpostGone, OutpostSilent):
            return

    def _call(self, call: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(call)
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)
