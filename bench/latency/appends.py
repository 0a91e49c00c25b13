"""Measure appends to live sessions: how soon sound is acknowledged, and what sessions cost that nobody transcribes.

    python -m bench.latency.appends [--sessions 40] [--every 0.5] [--seconds 30] [--readers 0] [--silence]

Each session sends a recording as a microphone does, a piece every `--every` seconds, over a connection of its own. The
pieces of the sessions are spread evenly. Latency: from the first byte of a request to its answer, which comes when the
sound is on stable storage. With `--readers` so many of the sessions are read, by their events. The live actor is the
real one; the speech actor is scripted, so that no model takes the cores. CPU: of one core, a session.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import tempfile
import time
from collections.abc import Mapping
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import psutil

from bench.lib import api, report, services
from testkit.sounds import babble, join, silence

SECOND: Final = 32_000
"""Bytes of a second of sound: 16 kHz, 16 bits, one channel."""
MODULE: Final = ("testkit.serve", "--speech", "testkit.scripted_actors:speech")
WARM_S: Final = 3.0
"""Seconds at the beginning that do not count: modules are loaded, actors start."""


class Connection:
    """A connection that is kept open. It asks and waits, with as little work of its own as possible."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.host, self.port = parts.hostname or "", parts.port or 80

    async def __aenter__(self) -> Connection:
        self.reader, self.writer = await asyncio.open_connection(self.host, self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()

    async def append(self, job_id: str, offset: int, piece: bytes) -> float:
        """Send a piece of sound, and return the seconds until its answer."""
        head = (
            f"PATCH /api/live/{job_id} HTTP/1.1\r\nhost: {self.host}:{self.port}\r\nupload-offset: {offset}\r\n"
            f"content-type: application/offset+octet-stream\r\ncontent-length: {len(piece)}\r\n\r\n"
        )
        began = time.perf_counter()
        self.writer.write(head.encode() + piece)
        answer = await self.reader.readuntil(b"\r\n\r\n")
        took = time.perf_counter() - began
        if not answer.startswith(b"HTTP/1.1 204") or f"upload-offset: {offset + len(piece)}\r".encode() not in answer:
            raise SystemExit(f"The service answered {answer.decode()}")
        return took


class Use(dict[str, float]):
    """CPU seconds of the service and its actors, by name."""

    @classmethod
    async def now(cls, service: services.Service, client: httpx.AsyncClient) -> Use:
        actors = (await api.get(client, "/api/system"))["actors"]
        pids = {"service": service.process.pid} | {each["name"]: each["pid"] for each in actors if each["pid"]}
        found = cls()
        for name, pid in pids.items():
            with suppress(psutil.NoSuchProcess):
                found[name] = sum(psutil.Process(pid).cpu_times()[:2])
        return found

    def since(self, before: Mapping[str, float]) -> dict[str, float]:
        return {name: spent - before.get(name, 0.0) for name, spent in self.items()}


async def read(client: httpx.AsyncClient, job_id: str) -> None:
    async with aclosing(api.follow(client, job_id)) as events:
        async for _ in events:
            pass


async def send(url: str, job_id: str, sound: bytes, first_at: float, given: argparse.Namespace) -> list[float]:
    """Send sound from `first_at` on (monotonic clock), and return the latencies behind the beginning."""
    size = int(given.every * SECOND) // 2 * 2
    took: list[float] = []
    async with Connection(url) as connection:
        for number in itertools.count():
            at = first_at + number * given.every
            if number * given.every >= WARM_S + given.seconds:
                return took
            await asyncio.sleep(max(0.0, at - time.monotonic()))
            place = number * size % (len(sound) - size)
            seconds = await connection.append(job_id, number * size, sound[place : place + size])
            if number * given.every >= WARM_S:
                took.append(seconds)
    return took


async def measure(given: argparse.Namespace) -> None:
    sound = (silence(60) if given.silence else join(babble(12), silence(4), babble(20, seed=1), silence(5))).tobytes()
    settings = {"LIVE__MAX_SESSIONS": str(given.sessions)}
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as scratch,
        services.service(Path(scratch) / "data", model=None, module=MODULE, **settings) as service,
    ):
        async with service.client as client:
            begun = [await begin(client) for _ in range(given.sessions)]
            readers = [asyncio.create_task(read(client, job_id)) for job_id in begun[: given.readers]]
            start = time.monotonic() + 0.5
            sending = [
                asyncio.create_task(send(service.url, job_id, sound, start + n * given.every / given.sessions, given))
                for n, job_id in enumerate(begun)
            ]
            await asyncio.sleep(start + WARM_S - time.monotonic())
            began, before = time.monotonic(), await Use.now(service, client)
            took = [seconds for each in await asyncio.gather(*sending) for seconds in each]
            wall = time.monotonic() - began
            spent = (await Use.now(service, client)).since(before)
            for reader in readers:
                reader.cancel()
    tell(given, took, {name: seconds / wall for name, seconds in spent.items()})


async def begin(client: httpx.AsyncClient) -> str:
    answer = await client.post("/api/live", json={"language": "en", "name": "bench.wav"})
    answer.raise_for_status()
    return str(answer.json()["id"])


def tell(given: argparse.Namespace, took: list[float], cores: dict[str, float]) -> None:
    def ms(share: float) -> str:
        return f"{report.quantile(took, share) * 1000:.1f}"

    def each(name: str) -> str:
        return f"{100 * cores.get(name, 0.0) / given.sessions:.2f} %"

    head = ["sessions", "readers", "appends", "p50 ms", "p95 ms", "p99 ms", "max ms", "service", "live actor"]
    row: list[Any] = [given.sessions, given.readers, len(took), ms(0.5), ms(0.95), ms(0.99), ms(1.0)]
    report.table(head, [[*row, each("service"), each("live")]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=40)
    parser.add_argument("--every", type=float, default=0.5, help="seconds between two pieces of a session")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long")
    parser.add_argument("--readers", type=int, default=0, help="sessions that are read")
    parser.add_argument("--silence", action="store_true", help="send silence instead of speech")
    given = parser.parse_args()
    print(report.machine())
    asyncio.run(measure(given))
    print(report.machine())


if __name__ == "__main__":
    main()
