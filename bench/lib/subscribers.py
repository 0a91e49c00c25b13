"""Many clients of `/api/events`, and how long after its commit each of them has a change."""

from __future__ import annotations

import asyncio
import gc
import json
import re
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import anyio

from bench.lib import api, services

MODULE = ("testkit.serve", "--speech", "bench.lib.actors:paced", "--media", "bench.lib.actors:script", "--commits")
ID = re.compile(rb"(?:^|\n)id: (\d+)\n")
CONNECTING = 50
"""Connections opened at the same time."""


class Subscriber(asyncio.Protocol):
    """One `EventSource`.

    While it is measured it only keeps what comes and when: all clients share a core with the service.
    """

    def __init__(self, host: str) -> None:
        self._reads: list[tuple[int, bytes]] = []
        self.hello = asyncio.Event()
        self.lost_connection = False
        self._awaited: int | None = None
        self._arrived = asyncio.Event()
        self._request = f"GET /api/events HTTP/1.1\r\nHost: {host}\r\nAccept: text/event-stream\r\n\r\n".encode()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._reads.append((time.monotonic_ns(), data))
        if not self.hello.is_set():
            whole = b"".join(read for _, read in self._reads)
            if b"event: hello\n" in whole and b"\n\n" in whole.partition(b"event: hello\n")[2]:
                if not whole.startswith(b"HTTP/1.1 200"):
                    raise SystemExit(f"The service answered {whole.splitlines()[0]!r}.")
                self.hello.set()
        if self._awaited is not None and self._newest() >= self._awaited:
            self._arrived.set()

    @property
    def got(self) -> list[tuple[int, int]]:
        """Return the ids of complete events, and when their last byte came."""
        found: list[tuple[int, int]] = []
        rest = b""
        for at, data in self._reads:
            whole, mark, rest = (rest + data).rpartition(b"\n\n")
            found += [(int(number), at) for number in ID.findall(whole + mark)]
        return found

    def _newest(self) -> int:
        """Return the id of the last complete event, searched from the end."""
        tail = b""
        for _, data in reversed(self._reads):
            tail = data + tail
            if numbers := ID.findall(tail.rpartition(b"\n\n")[0]):
                return int(numbers[-1])
        return 0

    async def wait_for(self, seq: int) -> None:
        """Wait until this change or a later one is here."""
        self._awaited = seq
        if self._newest() < seq:
            await self._arrived.wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost_connection = True


class Commit(NamedTuple):
    """A change that was committed: when, in nanoseconds, and what it tells of which job."""

    at: int
    kind: str
    job: str


class Seen(NamedTuple):
    """What one number of subscribers received."""

    subscribers: int
    changes: int
    latencies: list[float]  # seconds, one a delivery
    lost: int
    repeated: int
    broken: int
    server_cpu: float
    client_cpu: float
    wall: float


async def subscribe(count: int, host: str, port: int) -> list[tuple[asyncio.Transport, Subscriber]]:
    """Open connections that have all received `hello`."""
    loop = asyncio.get_running_loop()
    made: list[tuple[asyncio.Transport, Subscriber]] = []
    limit = anyio.CapacityLimiter(CONNECTING)

    async def connect() -> None:
        async with limit:
            transport, subscriber = await loop.create_connection(lambda: Subscriber(f"{host}:{port}"), host, port)
            made.append((transport, subscriber))
            with anyio.fail_after(60):
                await subscriber.hello.wait()

    async with anyio.create_task_group() as tasks:
        for _ in range(count):
            tasks.start_soon(connect)
    return made


async def measure(count: int, chunks: int, interval_s: float) -> Seen:
    """Measure one job of a fresh service with `count` subscribers."""
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        stamps, play = Path(scratch) / "commits", anyio.Path(scratch) / "play"
        await play.write_bytes(json.dumps({"chunks": chunks, "interval_s": interval_s}).encode())
        with services.service(Path(scratch) / "data", model=None, module=(*MODULE, str(stamps))) as live:
            address = live.url.removeprefix("http://")
            host, _, port = address.rpartition(":")
            async with live.client as client:
                await api.loaded(client)
                made = await subscribe(count, host, int(port))
                gc.freeze()
                gc.disable()  # a pause of the clients' would be one of the service
                start = (await api.get(client, "/api/state"))["seq"]
                began, cpu, own = time.monotonic(), live.cpu(), time.process_time()
                job = await api.upload(client, Path(play), language="en")
                await api.finished(client, job["id"])
                last = (await api.get(client, "/api/state"))["seq"]
                with anyio.move_on_after(30):  # what has not come by then is lost
                    for _, subscriber in made:
                        await subscriber.wait_for(last)
                used, mine, wall = live.cpu() - cpu, time.process_time() - own, time.monotonic() - began
                broken = sum(s.lost_connection for _, s in made)
                for transport, _ in made:
                    transport.abort()
        lines = (line.split(maxsplit=3) for line in (await anyio.Path(stamps).read_text()).splitlines())
        commits = {int(seq): Commit(int(at), kind, job) for seq, at, kind, job in lines if start < int(seq) <= last}
    gc.enable()
    return judge(count, commits, [s.got for _, s in made], broken, used, mine, wall)


def judge(
    count: int,
    commits: dict[int, Commit],
    got: Iterable[list[tuple[int, int]]],
    broken: int,
    used: float,
    mine: float,
    wall: float,
) -> Seen:
    """Compare what was committed with what each client has. An update is not lost if a later one of the job came."""
    latencies: list[float] = []
    lost = repeated = 0
    for events in got:
        times = Counter(seq for seq, _ in events if seq in commits)
        updated = {commits[seq].job: seq for seq in sorted(times) if commits[seq].kind == "update"}
        missed = commits.keys() - times.keys()
        lost += sum(commits[seq].kind != "update" or seq > updated.get(commits[seq].job, 0) for seq in missed)
        repeated += sum(number - 1 for number in times.values())
        latencies += [(at - commits[seq].at) / 1e9 for seq, at in events if seq in commits]
    return Seen(count, len(commits), latencies, lost, repeated, broken, used, mine, wall)
