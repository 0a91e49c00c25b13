"""The gateway's end of one life of a far actor: numbers its messages, repeats calls, and tells when it is lost.

Knows nothing of Ray: `OutpostCalls` are the calls to the outpost, however they travel.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Final, Protocol, TypeVar

import anyio
from anyio import to_thread
from anyio.abc import TaskGroup

from whisper_service.cluster import sound, versions
from whisper_service.cluster.far_decodes import DecodeCalls, FarDecodes
from whisper_service.cluster.file_push import FileCalls
from whisper_service.cluster.model_push import ModelPush
from whisper_service.cluster.outpost import Started, Taken
from whisper_service.cluster.versions import Versions
from whisper_service.core.domain import Problem
from whisper_service.supervision.link import Exit
from whisper_service.supervision.messages.base import Cancel
from whisper_service.supervision.messages.cluster import LinkClosed, Open, Opened, Passed
from whisper_service.supervision.messages.media import Decode
from whisper_service.supervision.messages.speech import Load
from whisper_service.supervision.protocol import Report, decode_command, encode

AGAIN_S: Final = 0.2
"""Seconds before a call that may not have arrived is repeated."""
EXIT_S: Final = 2.0
"""Seconds that a node has to tell the exit of a killed actor: forty times what it takes on a machine that is busy."""
POLLS: Final = 4
"""A call for reports waits on the node for this part of the time after which an actor is lost, and is repeated after
twice that. So one lost call loses no actor."""
NEVER_PLACED: Final = "The actor was given up while it waited for a machine with room."
SILENT: Final = "There was no answer from the machine of the actor for {:.0f} seconds."
NOT_TOLD: Final = "The actor was killed, and its machine did not say how it ended."
FAULTY: Final = "The gateway has a fault. Its log says where."

T = TypeVar("T")


class OutpostGone(Exception):
    """The outpost or its machine is gone for good. The text is a sentence for people. `problem` as in `LinkClosed`."""

    def __init__(self, why: str, problem: Problem | None = None) -> None:
        super().__init__(why)
        self.problem = problem


class OutpostSilent(Exception):
    """A call failed that may or may not have arrived. It may be repeated."""


class OutpostCalls(FileCalls, DecodeCalls, Protocol):
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
    """One far actor, from `Open` to `LinkClosed`. All methods are called on the gateway's event loop.

    Commands may come before `run`. None may come after `LinkClosed`. `models` sends those of all actors.
    """

    def __init__(
        self,
        request: Open,
        outpost: OutpostCalls,
        emit: Callable[[Report], None],
        lost_after_s: float,
        models: ModelPush,
    ) -> None:
        self.heard_at = 0.0  # `time.monotonic` of the last answer; 0: none yet
        self._request = request
        self._outpost = outpost
        self._emit = emit
        self._lost_after_s = lost_after_s
        self._models = models
        self._host = ""  # of the node
        self._opened = anyio.Event()
        self._life = anyio.CancelScope()
        self._decodes = FarDecodes(
            outpost,
            ask=self._ask,
            report=lambda report: self._emit(Passed(self._request.link, encode(report))),
            give_up=lambda job_id: self.send(encode(Cancel(job_id=job_id))),
        )
        self._why = ""  # it was given up
        self._killed = False
        self._sent = 0  # commands
        self._calls: TaskGroup | None = None  # None: `run` has not begun
        self._early: list[Callable[[], Coroutine[Any, Any, None]]] = []  # calls from before `run`

    async def run(self) -> None:
        """Start the actor, carry its reports, and emit `LinkClosed` at the end, whatever happens."""
        ended: Exit | None = None
        problem: Problem | None = None
        try:
            with self._life:
                async with anyio.create_task_group() as self._calls:
                    for call in self._early:
                        self._calls.start_soon(call)
                    try:
                        ended = await self._live()
                    except OutpostGone as error:
                        ended, problem = Exit(lost=str(error)), error.problem
                    self._life.cancel()
        except Exception:  # a fault of one actor must not end the others
            ended = Exit(lost=FAULTY)
            traceback.print_exc(file=sys.stderr)
        finally:
            with anyio.CancelScope(shield=True):  # the next actor may write the same files
                self._decodes.forget_all()
                await self._decodes.close()
            self._outpost.end()
            self._emit(LinkClosed(self._request.link, ended or Exit(lost=self._why or None), problem))

    def send(self, data: bytes) -> None:
        """Send an encoded command to the actor, in its place."""
        number, self._sent = self._sent, self._sent + 1
        self._decodes.take_note(number, decode_command(data))
        self._call(partial(self._put, number, data))

    def signal(self, number: int) -> None:
        """Send a signal to the actor, if it was started."""
        if self._opened.is_set():
            self._call(partial(self._once, partial(self._outpost.signal, number)))

    def kill(self) -> None:
        """Kill the actor, or stop waiting for a node."""
        if self._killed:
            return
        self._killed = True
        self._decodes.forget_all()
        if not self._opened.is_set():
            self._give_up(NEVER_PLACED)
            return
        self._call(partial(self._once, self._outpost.kill))
        self._call(self._await_exit)

    async def _live(self) -> Exit:
        """Start the actor and follow it to its exit. Raises `OutpostGone`."""
        ours = versions.of_this_machine()
        started, node = await self._repeat(lambda: self._outpost.start(self._request.entry, ours))
        if started.problem is not None:
            raise OutpostGone(started.problem.message, started.problem)
        self.heard_at = time.monotonic()
        self._host = started.host
        self._opened.set()
        self._emit(Opened(self._request.link, node, started.host, started.pid))
        return await self._follow()

    async def _follow(self) -> Exit:
        taken = 0  # reports
        poll_s = self._lost_after_s / POLLS
        while True:
            answer: Taken = await self._ask(partial(self._outpost.take, taken, poll_s))
            for number, data in enumerate(answer.reports[taken - answer.first :], taken):
                grown = answer.grown.get(number)
                told = data if grown is None else await self._decodes.bring(grown, data)
                if told is not None:
                    self._emit(Passed(self._request.link, told))
            taken = answer.first + len(answer.reports)
            if answer.exit is not None:
                return answer.exit

    async def _put(self, number: int, data: bytes) -> None:
        await self._opened.wait()
        command = decode_command(data)
        try:
            if isinstance(command, Load):
                data = await self._with_model(command)
            elif isinstance(command, Decode):
                data = encode(await self._decodes.send(number, command))
            elif isinstance(command, Cancel):
                await self._decodes.close()
            sounds = await to_thread.run_sync(sound.read, command, abandon_on_cancel=True)
            await self._repeat(lambda: self._outpost.put(number, data, sounds))
        except OutpostGone as error:
            self._give_up(str(error))

    async def _with_model(self, command: Load) -> bytes:
        """Bring a model to the node, and return the command for the actor: nothing to do, if that is not possible."""

        def say(report: Report) -> None:
            self._emit(Passed(self._request.link, encode(report)))

        placed = await self._models.place(command, self._host, self._outpost, self._repeat, say)
        return encode(placed or Cancel(job_id=""))

    async def _ask(self, call: Callable[[], Awaitable[T]]) -> T:
        """Call until there is an answer. Raises `OutpostGone`, also when the machine says nothing for too long."""
        while True:
            try:
                with anyio.fail_after(2 * self._lost_after_s / POLLS):
                    answer = await call()
            except (OutpostSilent, TimeoutError):
                if time.monotonic() - self.heard_at >= self._lost_after_s:
                    raise OutpostGone(SILENT.format(self._lost_after_s)) from None
                await anyio.sleep(AGAIN_S)
                continue
            self.heard_at = time.monotonic()
            return answer

    async def _repeat(self, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Call until there is an answer. Raises `OutpostGone`."""
        while True:
            try:
                return await call()
            except OutpostSilent:
                await anyio.sleep(AGAIN_S)

    def _give_up(self, why: str) -> None:
        self._why = self._why or why
        self._life.cancel()

    async def _await_exit(self) -> None:
        """Give a killed actor the time to end by itself."""
        await anyio.sleep(EXIT_S)
        self._give_up(NOT_TOLD)

    async def _once(self, call: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Call once. What fails is not repeated: `_live` hears of an end, and deadlines see to the rest."""
        try:
            await call()
        except (OutpostGone, OutpostSilent):
            return

    def _call(self, call: Callable[[], Coroutine[Any, Any, None]]) -> None:
        if self._calls is None:
            self._early.append(call)
        else:
            self._calls.start_soon(call)
