"""How long the change log is kept: by the number of changes, and by their age."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from whisper_service.app.maintenance import prune_changes
from whisper_service.core.domain import Change
from whisper_service.storage.change_feed import ChangeFeed

pytestmark = pytest.mark.anyio


class Log:
    """A change log that keeps numbers only, and a clock that the test sets."""

    def __init__(self, head: int) -> None:
        self.change_log = self
        self.now = 1_000.0
        self.pruned = 0
        self.feed = ChangeFeed(self, head)  # type: ignore[arg-type]

    async def prune(self, keep: int, *, up_to: int) -> bool:
        self.pruned = max(self.pruned, min(up_to, self.feed.head - keep))
        return False

    async def write(self, count: int) -> None:
        """Publish so many changes, and let the task look at them."""
        head = self.feed.head
        self.feed.publish([Change(head + 1 + number, "job", "update", b"{}") for number in range(count)])
        await anyio.wait_all_tasks_blocked()


@asynccontextmanager
async def kept(keep: int, keep_s: float, head: int = 0) -> AsyncIterator[Log]:
    log = Log(head)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(prune_changes, log, log.feed, keep, keep_s, lambda: log.now)
        await anyio.wait_all_tasks_blocked()
        yield log
        log.feed.close()


async def test_without_a_time_the_number_decides() -> None:
    async with kept(100, 0.0, head=500) as log:
        assert log.pruned == 400
        await log.write(9)
        assert log.pruned == 400  # a tenth more is wanted
        await log.write(1)
        assert log.pruned == 410


async def test_nothing_newer_than_the_time_is_deleted_however_much_there_is() -> None:
    async with kept(100, 3_600.0) as log:
        await log.write(1_000)
        log.now += 1_800.0
        await log.write(5_000)
        assert log.pruned == 0
        log.now += 1_800.0
        await log.write(10)  # the first thousand are an hour old
        assert log.pruned == 1_000
        log.now += 1_799.0
        await log.write(10)
        assert log.pruned == 1_000
        log.now += 1.0
        await log.write(10)
        assert log.pruned == 5_930


async def test_what_an_earlier_service_wrote_counts_as_new_at_the_start() -> None:
    async with kept(100, 60.0, head=5_000) as log:
        assert log.pruned == 0
        log.now += 59.0
        await log.write(10)
        assert log.pruned == 0
        log.now += 1.0
        await log.write(10)
        assert log.pruned == 4_920


async def test_what_waits_for_its_time_alone_is_deleted_without_another_change() -> None:
    async with kept(10, 0.5) as log:
        await log.write(1_000)
        assert log.pruned == 0
        log.now = math.inf
        with anyio.fail_after(20):
            while log.pruned < 990:  # noqa: ASYNC110 - no event tells when
                await anyio.sleep(0.01)
        assert log.pruned == 990
