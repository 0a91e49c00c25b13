"""Object storage in memory that does what a test says: fails, waits, loses or alters what it was given."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio

from whisper_service.core.errors import ObjectStoreFailed, ObjectStoreUnreachable, RecordingLost, ServiceError


class ScriptedObjects:
    """An `ObjectStore`. `objects` is what is in it; `failures` are what the acts of these names raise."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.failures: dict[str, ServiceError] = {}
        self.tampered = False  # it stores other bytes than it is given
        self.refused = ""  # what is in the addresses of objects that it does not take; empty: nothing
        self.puts = 0
        self.reads: list[tuple[int, int]] = []
        self.gate: anyio.Event | None = None  # a put waits for it after its first block
        self.reached = anyio.Event()  # a put waits

    def go_away(self) -> None:
        """Let every act fail."""
        self.failures = dict.fromkeys(("put", "read", "delete", "size"), ObjectStoreUnreachable())

    def come_back(self) -> None:
        self.failures = {}

    async def put(self, url: str, blocks: AsyncIterator[bytes]) -> None:
        self.puts += 1
        self._check("put")
        if self.refused and self.refused in url:
            raise ObjectStoreFailed
        taken = bytearray()
        async for block in blocks:
            taken += block
            if self.gate is not None:
                self.reached.set()
                await self.gate.wait()
        self._check("put")
        self.objects[url] = bytes(taken[:-1] + b"?") if self.tampered else bytes(taken)

    async def read(self, url: str, start: int, end: int) -> bytes:
        self._check("read")
        self.reads.append((start, end))
        return self._object(url)[start:end]

    async def delete(self, url: str) -> None:
        self._check("delete")
        self.objects.pop(url, None)

    async def size(self, url: str) -> int:
        self._check("size")
        return len(self._object(url))

    def _object(self, url: str) -> bytes:
        if url not in self.objects:
            raise RecordingLost(url=url)
        return self.objects[url]

    def _check(self, act: str) -> None:
        if act in self.failures:
            raise self.failures[act]
