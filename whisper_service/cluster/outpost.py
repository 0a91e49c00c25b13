"""An actor's link on the machine where the actor runs. The gateway has one outpost for each far actor.

The outpost starts the actor as the service starts its own: the same process, pipes, log, exit code. It is a plain class
whose methods are called from another machine, so a call may be lost, repeated, or overtaken by a later one. Therefore
commands and reports have numbers, from 0. Commands reach the actor in their order, each once. Reports are kept until
the other side names a later one.

`gateway` makes it an actor of Ray. It does not import Ray itself.
"""

from __future__ import annotations

import asyncio
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec

from whisper_service.cluster import versions
from whisper_service.cluster.file_push import FileOffer, StoredFiles
from whisper_service.cluster.node_decodes import FileStretch, Grown, NodeDecodes
from whisper_service.cluster.node_models import NodeModels
from whisper_service.cluster.sound import SoundFiles, memory_file
from whisper_service.cluster.versions import Versions
from whisper_service.core.domain import Problem, Value
from whisper_service.supervision.faults import FaultKind
from whisper_service.supervision.link import Exit, Link, LinkFactory
from whisper_service.supervision.messages.base import Cancel, Fault
from whisper_service.supervision.messages.media import Decode
from whisper_service.supervision.messages.speech import Load
from whisper_service.supervision.process import ActorProcess
from whisper_service.supervision.protocol import Command, decode_command, decode_report, encode

AT_MOST: Final = 256
"""Reports in one answer: a report of a chunk has about 5 kB, so an answer stays far below the 100 MB of a message."""
NO_ROOM: Final = "There was no room for {}: {}."
SET_BY_RAY: Final = ("OMP_NUM_THREADS",)
"""Environment variables that Ray sets to the number of reserved cores. At home the actor decides by itself."""


class Started(Value, frozen=True):
    """The process of the actor runs, or `problem` says why it will never run on this machine."""

    host: str
    pid: int = 0
    problem: Problem | None = None


class Taken(Value, frozen=True):
    """Reports from the number `first` on. `exit` comes only with the last of them."""

    first: int
    reports: tuple[bytes, ...] = ()
    exit: Exit | None = None
    grown: dict[int, Grown] = msgspec.field(default_factory=dict)  # what must be at home before a report, by number


class Outpost:
    """The machine's end of one life of a far actor. All methods are called on one event loop."""

    def __init__(self, start: LinkFactory = ActorProcess) -> None:
        self._start = start
        self._link: Link | None = None
        self._log: int | None = None  # descriptor
        self._sounds = SoundFiles()
        self._models = NodeModels()
        self._decodes = NodeDecodes()
        self._grown: dict[int, Grown] = {}  # by the numbers of reports
        self._due = 0  # the number of the next command for the actor
        self._early: dict[int, tuple[bytes, Sequence[bytes | memoryview | None]]] = {}
        self._first = 0  # the number of the first report that is kept
        self._reports: list[bytes] = []
        self._exit: Exit | None = None
        self._killed = False
        self._news = asyncio.Event()

    async def start(self, entry: str, wanted: Versions) -> Started:
        """Start the actor, unless it was started before or this machine has other versions than `wanted`.

        An actor that cannot be started is told by `take`, as one that ended at once.
        """
        host = platform.node()
        if problem := versions.compare(wanted, versions.of_this_machine(), host):
            return Started(host, problem=problem)
        if self._link is None and self._exit is None:
            try:
                self._log, log = memory_file("log")
                with _own_environment():
                    self._link = self._start(entry, Path(log), _nothing, self._on_message, self._on_exit)
            except OSError as error:
                self._on_exit(Exit(words=f"{type(error).__name__}: {error}"))
            self._send_due()
        return Started(host, self._link.pid or 0 if self._link else 0)

    async def put(self, number: int, data: bytes, sounds: Sequence[bytes | memoryview | None] = ()) -> None:
        """Give the actor an encoded command, after all commands with a smaller number. `sounds`: see `sound.read`."""
        if number >= self._due:
            self._early[number] = data, sounds
        self._send_due()

    async def take(self, after: int, wait_s: float) -> Taken:
        """Return the reports from the number `after` on, and forget those before it.

        Waits for one at most `wait_s` seconds. No reports: none came, and the actor lives.
        """
        if after > self._first:
            del self._reports[: after - self._first]
            for number in range(self._first, after):
                if (forgotten := self._grown.pop(number, None)) is not None and forgotten.ends:
                    self._decodes.release(forgotten.decode)
            self._first = after
        if not self._reports and self._exit is None:
            self._news.clear()
            try:
                async with asyncio.timeout(wait_s):
                    await self._news.wait()
            except TimeoutError:
                pass
        reports = tuple(self._reports[:AT_MOST])
        last = self._first + len(reports)
        grown = {number: each for number, each in self._grown.items() if number < last}
        return Taken(self._first, reports, self._exit if len(reports) == len(self._reports) else None, grown)

    async def write(self, number: int, file: str, at: int, data: bytes | memoryview) -> None:
        """Store a piece of a file of the decode whose command has this number, before the command comes."""
        if number < self._due or self._exit is not None:
            return
        try:
            self._decodes.write(number, file, at, data)
        except OSError as error:
            self._give_up(NO_ROOM.format("a recording", error.strerror or error))

    async def read(self, number: int, stretches: Sequence[FileStretch]) -> list[bytes]:
        """Return parts of the files of a decode. Nothing, if its last report was taken before."""
        return self._decodes.read(number, stretches)

    async def offer(self, offer: FileOffer) -> StoredFiles:
        """Return where a model is on this machine, or what is missing: see `file_push`."""
        return await self._models.offer(offer)

    async def store(self, offer: FileOffer, file: int, at: int, data: bytes | memoryview) -> StoredFiles:
        """Store a piece of a model if it is the wanted one."""
        return await self._models.store(offer, file, at, data)

    async def signal(self, number: int) -> None:
        """Send a signal to the actor if it lives."""
        if self._link is not None and self._exit is None:
            self._link.signal(number)

    async def kill(self) -> None:
        """Kill the actor. Its exit comes with `take`. What it made is not asked for any more."""
        self._killed = True
        if self._link is not None and self._exit is None:
            self._link.kill()
        elif self._exit is not None:
            self._decodes.release_all()

    def _send_due(self) -> None:
        """Send the commands whose turn it is."""
        while self._link is not None and self._due in self._early:
            self._send(self._due, *self._early.pop(self._due))
            self._due += 1

    def _send(self, number: int, data: bytes, sounds: Sequence[bytes | memoryview | None]) -> None:
        """Send a command to the actor, with the files on this machine. What cannot be done here is reported."""
        if self._link is None or self._exit is not None:
            return
        command = decode_command(data)
        if isinstance(command, Load) and not Path(command.path).is_dir():
            self._on_message(encode(_no_model(command)))
            return
        if isinstance(command, Cancel):
            for each in self._decodes.cancel(number, command.job_id):
                self._link.send(encode(each))
            return
        try:
            if isinstance(command, Decode):
                local: Command = self._decodes.put(number, command)
            else:
                local = self._sounds.put(command, sounds)
        except OSError as error:
            what = "a recording" if isinstance(command, Decode) else "the sound of a batch"
            self._give_up(NO_ROOM.format(what, error.strerror or error))
            return
        self._link.send(data if local is command else encode(local))

    def _give_up(self, why: str) -> None:
        """End the actor because of this machine. The work of the actor is not to blame, and is given to another one."""
        link, self._link = self._link, None
        self._on_exit(Exit(lost=why))
        if link is not None:
            link.kill()

    def _on_message(self, data: bytes) -> None:
        if self._exit is not None:
            return
        grown: Grown | None = None
        with suppress(msgspec.DecodeError):  # the supervisor says what follows from a report that cannot be read
            report = decode_report(data)
            self._sounds.release(report)
            told, grown = self._decodes.take_in(report)
            if told is None:
                return
            if grown is not None:
                if isinstance(told, Fault) and told.kind == FaultKind.DISK_FULL:
                    self._give_up(NO_ROOM.format("the sound of a recording", told.problem.message))
                    return
                data = encode(told)
        if grown is not None:
            self._grown[self._first + len(self._reports)] = grown
        self._reports.append(data)
        self._news.set()

    def _on_exit(self, ended: Exit) -> None:
        if self._exit is not None:
            return
        self._exit = ended
        self._sounds.release_all()
        if self._killed:
            self._decodes.release_all()
        if self._log is not None:
            os.close(self._log)
        self._news.set()


def _no_model(command: Load) -> Fault:
    message = f"The folder {command.path} with the model is gone from the machine {platform.node()}."
    hint = "The model is looked for again, and sent again, at the next try."
    kind = FaultKind.MODEL_UNAVAILABLE.value
    return Fault(scope="model", kind=kind, problem=Problem(kind, message, hint), model=command.model)


def _nothing() -> None:
    """Do nothing: a process of this machine is open at once."""


@contextmanager
def _own_environment() -> Iterator[None]:
    """Hide from an actor that is started what belongs to Ray's process.

    `multiprocessing` would run the main program again in the actor if the program were a file, which here is Ray's.
    """
    main = sys.modules["__main__"]
    file = getattr(main, "__file__", None)
    hidden = {name: os.environ.pop(name) for name in SET_BY_RAY if name in os.environ}
    main.__file__ = None
    try:
        yield
    finally:
        main.__file__ = file
        os.environ.update(hidden)
