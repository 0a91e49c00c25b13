"""The clients of a storm: users who send and steer, and subscribers who connect, stall, vanish and come back."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Final

import anyio
import httpx
import msgspec

from testkit.chaos.host import Host
from testkit.chaos.repertoire import Piece

TRANSPORT: Final = (httpx.TransportError, httpx.StreamError)
REFUSALS: Final = (503, 507)
"""Answers that send a user away without harm: shutting down, disk full."""
RECENT: Final = 8
"""Jobs that a user still thinks of."""
TERMINAL: Final = ("completed", "failed", "cancelled")


@dataclass
class Entry:
    """A job as its user knows it: as the service answered, or as it was looked up when the answer got lost."""

    name: str
    piece: Piece
    id: str | None = None  # None: it was never accepted
    cancelled: bool = False
    deleted: bool = False
    paused: bool = False


class Line:
    """The way to a service that may be dead at the moment."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.client = httpx.AsyncClient(timeout=httpx.Timeout(60, connect=5), limits=httpx.Limits(max_connections=None))
        self.refused: Counter[str] = Counter()
        self.unanswered = 0

    async def ask(self, method: str, path: str, **rest: Any) -> httpx.Response | None:
        """Return the answer. None: the service ended meanwhile, so whether it acted is unknown."""
        try:
            answer = await self.client.request(method, self.host.url + path, **rest)
        except TRANSPORT:
            self.unanswered += 1
            return None
        if answer.status_code in REFUSALS:
            self.refused[answer.json()["code"]] += 1
        elif answer.status_code >= 500:
            self.host.findings.append(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
        return answer

    async def look(self, path: str, **parameters: str) -> httpx.Response:
        """Read, again and again until there is an answer."""
        while True:
            answer = await self.ask("GET", path, params=parameters)
            if answer is not None and answer.status_code < 500:
                return answer
            self.host.check()
            await anyio.sleep(0.2)


@dataclass
class User:
    """A client that submits recordings and changes its mind about them.

    It does one thing after the other, so that it knows what it wants.
    """

    name: str
    line: Line
    pieces: list[Piece]
    dice: random.Random
    entries: list[Entry] = field(default_factory=list)
    asked: Counter[str] = field(default_factory=Counter)

    async def run(self, patience: int) -> None:
        """Until cancelled; with more than `patience` open jobs of their own they only steer."""
        while True:
            await anyio.sleep(self.dice.expovariate(4.0))
            open_jobs = [entry for entry in self.entries if entry.id and not entry.deleted]
            if len(open_jobs) < 2 or (self.dice.random() < 0.5 and await self._busy() < patience):
                with anyio.CancelScope(shield=True):  # what became of it has to be known
                    await self.send(self._choose())
            else:
                with anyio.CancelScope(shield=True):
                    await self._steer(self.dice.choice(open_jobs[-RECENT:]))

    def _choose(self) -> Piece:
        return self.dice.choices(self.pieces, weights=[piece.weight for piece in self.pieces])[0]

    async def _busy(self) -> int:
        system = (await self.line.look("/api/system")).json()
        return sum(count for status, count in system["jobs"].items() if status not in TERMINAL)

    async def send(self, piece: Piece) -> Entry:
        """Submit a recording under a name of its own. A job whose answer got lost is found by the name."""
        entry = Entry(f"{self.name} {len(self.entries):04} {piece.name}", piece)
        self.entries.append(entry)
        parameters = {"filename": entry.name} | ({"language": piece.language} if piece.language else {})
        kind = {"Content-Type": "application/octet-stream"}
        answer = await self.line.ask("POST", "/api/jobs", params=parameters, content=piece.data, headers=kind)
        self.asked["send"] += 1
        if answer is None:
            found = (await self.line.look("/api/jobs", q=entry.name)).json()["jobs"]
            entry.id = found[0]["id"] if found else None
        elif answer.status_code == 202:
            entry.id = answer.json()["id"]
        return entry

    async def _steer(self, entry: Entry) -> None:
        verbs = ("pause", "resume", "cancel", "retry", "front", "delete")
        verb = self.dice.choices(verbs, weights=(5, 6, 2, 3, 2, 1))[0]
        await self.steer(entry, verb)

    async def steer(self, entry: Entry, verb: str) -> None:
        """Make one request about a job, and note what it did."""
        self.asked[verb] += 1
        path = f"/api/jobs/{entry.id}"
        answer = await (self.line.ask("DELETE", path) if verb == "delete" else self.line.ask("POST", f"{path}/{verb}"))
        if answer is None:  # whatever it did is done by now: the service that was asked is gone
            await self.refresh(entry)
        elif answer.is_success:
            entry.deleted = verb == "delete"
            entry.cancelled = verb == "cancel" or (entry.cancelled and verb not in ("retry", "delete"))
            entry.paused = verb == "pause" or (entry.paused and verb not in ("resume", "cancel"))
        elif answer.status_code not in (409, *REFUSALS):
            self.line.host.findings.append(f"{verb} {entry.name}: {answer.status_code} {answer.text[:300]}")

    async def refresh(self, entry: Entry) -> None:
        """Fetch the state of the job."""
        answer = await self.line.look(f"/api/jobs/{entry.id}")
        entry.deleted = answer.status_code == 404
        if not entry.deleted:
            status = answer.json()["status"]
            entry.cancelled, entry.paused = status == "cancelled", status == "paused"


class Event(msgspec.Struct, frozen=True):
    """What a subscriber received."""

    id: int
    kind: str
    data: bytes


@dataclass
class Subscriber:
    """Reads events. After a break it continues behind the last id that it has."""

    line: Line
    path: str
    dice: random.Random
    last: int = 0
    over: bool = False  # the stream ended by itself
    got: list[Event] = field(default_factory=list)
    connects: int = 0
    stalls: int = 0
    restless: bool = True

    async def run(self, until: int | None = None) -> None:
        """Until the stream ends, or it was told everything up to the change `until`."""
        while not self.over and (until is None or self.last < until):
            try:
                await self._connection(until)
            except TRANSPORT:
                await anyio.sleep(0.1)

    async def _connection(self, until: int | None) -> None:
        place = {"Last-Event-ID": str(self.last)}
        async with self.line.client.stream("GET", self.line.host.url + self.path, headers=place) as response:
            if response.status_code in (204, 404):  # everything was told, or the job is deleted
                self.over = True
            if response.status_code != 200:
                return
            self.connects += 1
            leave = anyio.current_time() + self.dice.expovariate(1 / 5)
            async with aclosing(frames(response)) as told:
                async for kind, data, number in told:
                    self._take(kind, data, number)
                    if self.over or (until is not None and self.last >= until):
                        return
                    if self.restless and self.dice.random() < 0.002:
                        self.stalls += 1
                        await anyio.sleep(self.dice.uniform(0.2, 2.0))
                    if self.restless and anyio.current_time() > leave:
                        return

    def _take(self, kind: str, data: bytes, number: int | None) -> None:
        if kind == "end":
            self.over = True
        elif kind == "reset":
            self.line.host.findings.append(f"{self.path}: reset, though nothing was pruned")
        elif number is not None:
            if number <= self.last:
                self.line.host.findings.append(f"{self.path}: event {number} came after {self.last}")
            self.last = number
            self.got.append(Event(number, kind, data))


async def frames(response: httpx.Response) -> AsyncGenerator[tuple[str, bytes, int | None], None]:
    """Yield kind, data and id of each event. Heartbeats and half an event at the end are no events."""
    rest = b""
    async for block in response.aiter_bytes():
        *events, rest = (rest + block).split(b"\n\n")
        for event in events:
            lines = [line.partition(b": ") for line in event.split(b"\n") if not line.startswith(b":")]
            fields = {name: value for name, _, value in lines}
            if b"data" in fields:
                number = int(fields[b"id"]) if b"id" in fields else None
                yield fields.get(b"event", b"message").decode(), fields[b"data"], number
