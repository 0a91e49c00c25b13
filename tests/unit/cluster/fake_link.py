"""An actor that a test plays, behind an outpost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from whisper_service.cluster.outpost import Outpost
from whisper_service.supervision.link import Exit


class FakeLink:
    """A link to an actor that a test plays."""

    pid = 7
    is_open = True
    obstacle = None

    def __init__(
        self,
        entry: str,
        log: Path,
        on_open: Callable[[], None],
        on_message: Callable[[bytes], None],
        on_exit: Callable[[Exit], None],
    ) -> None:
        self.report, self.end = on_message, on_exit
        self.sent: list[bytes] = []
        self.killed = 0
        self.news = asyncio.Event()

    def send(self, data: bytes) -> None:
        self.sent.append(data)
        self.news.set()

    def signal(self, number: int) -> None:
        self.sent.append(b"signal %d" % number)
        self.news.set()

    def kill(self) -> None:
        self.killed += 1
        self.news.set()

    async def until(self, met: Callable[[], bool]) -> None:
        """Wait until something that came here makes this true."""
        async with asyncio.timeout(20):
            while not met():
                self.news.clear()
                await self.news.wait()


def made() -> tuple[Outpost, list[FakeLink]]:
    """Return an outpost, and the links that it makes."""
    links: list[FakeLink] = []

    def start(*args: Any) -> FakeLink:
        links.append(FakeLink(*args))
        return links[-1]

    return Outpost(start), links
