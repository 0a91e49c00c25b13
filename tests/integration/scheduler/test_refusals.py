"""The store refuses at every point where the loop writes, one after the other, and an actor dies in the middle of it.

Whatever comes together: every job comes to its end, nobody waits for work that no child has in hand, and what the loop
remembers is what the store has.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal, TypeVar

import anyio
import pytest

from tests.integration.scheduler.scripted_loop import GPU, OOM, ScriptedActor, ScriptedLoop, heard, over, scripted_loop
from whisper_service.core.domain import SAMPLE_RATE, Problem, Span, Status
from whisper_service.core.errors import DiskFull, IllegalTransition, StoreBusy
from whisper_service.core.job_states import TERMINAL, Cause
from whisper_service.scheduler import loop as scheduler_loop
from whisper_service.scheduler import requests
from whisper_service.scheduler.views import Decoding
from whisper_service.supervision.messages.base import Fault, Ready
from whisper_service.supervision.messages.media import ChunkFound, Decode, Decoded, MediaInfo
from whisper_service.supervision.messages.speech import Load, Loaded, Transcribe
from whisper_service.supervision.protocol import Command

pytestmark = pytest.mark.anyio

Refusal = Literal["full", "busy"]
Accident = Literal["crash", "oom", "error", "media"]
T = TypeVar("T")
CHUNKS = {"talk": 3, "interview": 2, "note": 1, "letter": 0}
"""What is sent; the letter is no recording."""


def refusal(kind: Refusal) -> sqlite3.OperationalError:
    """Return what SQLite raises."""
    error = sqlite3.OperationalError("database or disk is full" if kind == "full" else "database is locked")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL if kind == "full" else sqlite3.SQLITE_BUSY
    return error


class Refusing:
    """Refuses some transactions of the store by their number. A full disk fails at the commit, a lock at the start."""

    def __init__(self, scripted: ScriptedLoop, kind: Refusal, numbers: range) -> None:
        self.count = 0
        self._kind = kind
        self._numbers = numbers
        self._transaction = scripted.store._db.transaction
        self._at_once = scripted.store._db.at_once
        scripted.store._db.transaction = self.transaction  # type: ignore[method-assign]
        scripted.store._db.at_once = self.at_once  # type: ignore[method-assign]

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        refused = self._refuses()
        async with self._transaction():
            yield
            if refused:
                raise refusal("full")

    async def at_once(self, body: Callable[[], Coroutine[Any, Any, T]]) -> T:
        refused = self._refuses()

        async def refusing() -> T:
            result = await body()
            if refused:
                raise refusal("full")
            return result

        return await self._at_once(refusing)

    def _refuses(self) -> bool:
        self.count += 1
        refused = self.count in self._numbers
        if refused and self._kind == "busy":
            raise StoreBusy from refusal("busy")
        return refused


class Player:
    """Plays the children: answers what they are told, a plan's worth at a time, and has one accident."""

    def __init__(self, scripted: ScriptedLoop, accident: Accident, at: int) -> None:
        self.stage = scripted
        self._accident = accident
        self._left = at  # batches, or recordings, until it happens
        self._told: list[tuple[ScriptedActor, Command]] = []
        self._news = anyio.Event()
        for actor in (scripted.speech, scripted.media):
            self._connect(actor)

    def _connect(self, actor: ScriptedActor) -> None:
        def send(command: Command, *, generation: int, **deadline: Any) -> None:
            if generation == actor.generation:
                self._told.append((actor, command))
                self._news.set()

        def start() -> None:
            if actor.generation == 0:
                self.stage.say(actor, Ready(pid=1))

        actor.send = send  # type: ignore[assignment]
        actor.start = start  # type: ignore[method-assign]

    async def run(self) -> None:
        """Play until cancelled."""
        while True:
            await self._news.wait()
            self._news = anyio.Event()
            told, self._told = self._told, []
            for number, (actor, command) in enumerate(told):
                if not self._answer(actor, command):  # it is dead, and with it all that it was told
                    self._told += [(other, late) for other, late in told[number + 1 :] if other is not actor]
                    self._news.set() if self._told else None
                    break

    def _answer(self, actor: ScriptedActor, command: Command) -> bool:
        say = self.stage.say
        match command:
            case Load():
                say(actor, Loaded(command.model, command.device, command.compute_type, 0.1))
            case Decode():
                return self._decode(actor, command)
            case Transcribe():
                if self._accident != "media" and self._due():
                    return self._fail(actor, command)
                say(actor, *(heard(command, row) for row in range(len(command.chunks))), over(command))
        return True

    def _due(self) -> bool:
        self._left -= 1
        return self._left == 0

    def _decode(self, actor: ScriptedActor, command: Decode) -> bool:
        say, job_id, chunks = self.stage.say, command.job_id, CHUNKS[command.job_id]
        if not chunks:
            say(actor, Fault("media", "media", Problem("not_media", "This is no recording."), job_id=job_id))
            return True
        with Path(command.spool).open("wb") as spool:
            spool.truncate(2 * SAMPLE_RATE * chunks)
        found = [ChunkFound(job_id, Span(n, n * SAMPLE_RATE, SAMPLE_RATE, float(n), n + 1.0)) for n in range(chunks)]
        say(actor, MediaInfo(job_id, float(chunks)), found[0])
        if self._accident == "media" and self._due():
            self._die(actor)
            return False
        say(actor, *found[1:], Decoded(job_id, float(chunks)))
        return True

    def _fail(self, actor: ScriptedActor, command: Transcribe) -> bool:
        if self._accident == "error":
            self.stage.say(actor, Fault("batch", "unknown", Problem("unknown", "Something odd."), batch=command.batch))
            return True
        if self._accident == "oom":
            self.stage.say(actor, Fault("batch", OOM.kind, OOM.problem, batch=command.batch, fatal=True))
        else:
            self.stage.say(actor, heard(command))
        self._die(actor)
        return False

    def _die(self, actor: ScriptedActor) -> None:
        self.stage.die(actor)
        self.stage.say(actor, Ready(pid=2))


def watch(scripted: ScriptedLoop) -> list[str]:
    """Whenever the loop rests, what it remembers is compared; what does not fit is in the list."""
    found: list[str] = []
    loop, context, ledger = scripted.loop, scripted.context, scripted.context.ledger
    reclaim, plan = loop._reclaim, loop._plan

    def before() -> None:
        """Check that the loop and the actors remember the same work."""
        for run in ledger.runs.values():
            rows = {(run.job.id, index): batch for index, batch in run.batch_of.items()}
            held = context.fleet.first._batches
            found.extend(
                f"{key} is in no batch" for key, n in rows.items() if n not in held or key not in held[n].chunks
            )
            if run.decoding is Decoding.RUNNING and context.media._jobs.get(run.media_actor or "") != run.job.id:
                found.append(f"{run.job.id} is read by nobody")
            if run.in_flight.keys() != run.batch_of.keys():
                found.append(f"{run.job.id}: {run.in_flight} in {run.batch_of}")
        reclaim()

    async def and_after() -> None:
        await plan()
        before()
        stored = {job.id for job in await scripted.store.jobs(status=[Status.PROCESSING])}
        if stored - context.unwritten.keys() != ledger.runs.keys() - context.unwritten.keys():
            found.append(
                f"in work are {sorted(stored)} in the store and {sorted(ledger.runs)} here, unsaid {context.unwritten}"
            )

    loop._reclaim = before  # type: ignore[method-assign]
    loop._plan = and_after  # type: ignore[method-assign]
    return found


async def insist(scripted: ScriptedLoop, act: Callable[[], Awaitable[T]]) -> T | None:
    """Ask again while the store refuses, as a user would; None if it cannot be done any more."""
    while True:
        try:
            return await scripted.mailbox.ask(act)
        except (DiskFull, StoreBusy):
            continue
        except IllegalTransition:
            return None


async def play(tmp_path: Path, kind: Refusal, numbers: range, accident: Accident, at: int) -> tuple[int, list[str]]:
    """Run some jobs. Return how many transactions they took, and what was wrong."""
    async with scripted_loop(tmp_path, slots=2, facts=GPU if accident == "oom" else None) as scripted:
        await scripted.store._db.writer.execute("PRAGMA synchronous = OFF")  # there are hundreds of these
        refusing, player, found = Refusing(scripted, kind, numbers), Player(scripted, accident, at), watch(scripted)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(player.run)
            await scripted.settled()
            scripted.speech.start()
            scripted.media.start()
            for job_id in CHUNKS:
                language = None if job_id == "interview" else "en"
                await insist(scripted, lambda job_id=job_id, language=language: add(scripted, job_id, language))  # type: ignore[misc]
            if await insist(scripted, lambda: requests.change(scripted.context, "talk", Cause.PAUSE)):
                await insist(scripted, lambda: requests.change(scripted.context, "talk", Cause.RESUME))
            await ended(scripted)
            for job in await scripted.store.jobs():
                failed = job.error.code if job.error else None
                if failed == "disk_full" and kind == "full":
                    await insist(scripted, lambda job=job: requests.change(scripted.context, job.id, Cause.RETRY))  # type: ignore[misc]
                elif failed != ("not_media" if job.id == "letter" else None):
                    found.append(f"{job.id} ended as {job.status} {failed}")
            await ended(scripted)
            tasks.cancel_scope.cancel()
        for job_id, chunks in CHUNKS.items():
            wanted = Status.COMPLETED if chunks else Status.FAILED
            job, texts = await scripted.job(job_id), await scripted.texts(job_id)
            if job.status is not wanted or texts != [f"chunk {n}" for n in range(chunks)] or job.gaps:
                found.append(f"{job_id} ended as {job.status} {job.error} with {texts}, {job.gaps}")
        if scripted.context.ledger.runs or scripted.context.fleet.first._batches or scripted.loop._context.unwritten:
            found.append("something is left in work")
        return refusing.count, found


async def add(scripted: ScriptedLoop, job_id: str, language: str | None) -> None:
    """Submit a job."""
    await scripted.context.ledger.add(scripted.job_of(job_id, language=language))


async def ended(scripted: ScriptedLoop) -> None:
    """Wait until every job has ended."""
    with anyio.move_on_after(15):
        while True:
            left = [job for job in await scripted.store.jobs() if job.status not in TERMINAL]
            if not left:
                return
            await anyio.sleep(0.002)
    raise AssertionError(f"these never end: {[(job.id, job.status, job.message) for job in left]}")


@pytest.mark.parametrize("accident", ["crash", "oom", "error", "media"])
@pytest.mark.parametrize("kind", ["full", "busy"])
async def test_the_store_may_refuse_at_any_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Refusal, accident: Accident
) -> None:
    monkeypatch.setattr(scheduler_loop, "RETRY_S", 0.001)
    home = tmp_path / "0"
    home.mkdir()
    total, found = await play(home, kind, range(0), accident, 2)
    assert not found
    assert total > 25
    wrong: dict[str, list[str]] = {}
    for first in range(
        1, total + 1, 2
    ):  # the accidents differ little in what is written: together they are at every point
        first += accident in ("oom", "media")
        width = (1, 3, 9)[first % 3]
        home = tmp_path / str(first)
        home.mkdir()
        _, found = await play(home, kind, range(first, first + width), accident, 2 + first % 2)
        if found:
            wrong[f"{width} refused from {first} on"] = found
    assert not wrong
