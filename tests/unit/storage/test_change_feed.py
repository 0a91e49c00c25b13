"""Every subscriber of the change feed gets every change once and in order, however slow it is."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisper_service.core.domain import Change
from whisper_service.storage import change_feed
from whisper_service.storage.change_feed import ChangeFeed, Closed, Pruned

pytestmark = pytest.mark.anyio


class Log:
    """A change log in memory; `pruned` rows are gone from its beginning."""

    def __init__(self) -> None:
        self.rows: list[Change] = []
        self.pruned = 0
        self.reads = 0

    async def changes(self, since: int, *, job_id: str | None = None, limit: int = 500) -> list[Change]:
        self.reads += 1
        return [c for c in self.rows if c.seq > max(since, self.pruned) and job_id in (None, c.job_id)][:limit]

    async def bounds(self) -> tuple[int, int]:
        return self.pruned, self.rows[-1].seq if self.rows else 0


def change(seq: int, job: str = "a") -> Change:
    return Change(seq=seq, job_id=job, kind="update", payload=b"{}")


def publish(log: Log, feed: ChangeFeed, *changes: Change) -> None:
    log.rows.extend(changes)
    feed.publish(changes)


async def test_missed_changes_come_from_the_ring_without_reading_the_store() -> None:
    log = Log()
    feed = ChangeFeed(log, 0)
    publish(log, feed, change(1), change(2), change(3))
    cursor = feed.cursor(1)
    assert [c.seq for c in await cursor.read()] == [2, 3]
    assert log.reads == 0


async def test_a_reader_wakes_up_for_a_change() -> None:
    log = Log()
    feed = ChangeFeed(log, 0)
    cursor = feed.cursor(0)
    seen: list[int] = []

    async def read() -> None:
        seen.extend(c.seq for c in await cursor.read())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        await anyio.wait_all_tasks_blocked()
        publish(log, feed, change(1))
    assert seen == [1]


async def test_a_reader_of_one_job_does_not_wake_for_other_jobs() -> None:
    log = Log()
    feed = ChangeFeed(log, 0)
    cursor = feed.cursor(0, "b")
    publish(log, feed, change(1), change(2))
    with anyio.move_on_after(0.05):
        await cursor.read()
    publish(log, feed, change(3), change(4, "b"))
    assert [c.seq for c in await cursor.read()] == [4]


async def test_a_reader_behind_the_ring_reads_the_store() -> None:
    log = Log()
    feed = ChangeFeed(log, 0, capacity=2)
    for seq in range(1, 20):
        publish(log, feed, change(seq))
    cursor = feed.cursor(0)
    seen: list[int] = []
    while len(seen) < 19:
        seen.extend(c.seq for c in await cursor.read())
    assert seen == list(range(1, 20))


async def test_a_change_that_is_committed_but_not_published_is_not_read() -> None:
    """The store shows a change a moment before its writer publishes it."""
    log = Log()
    feed = ChangeFeed(log, 0, capacity=1)
    publish(log, feed, *(change(seq) for seq in range(1, 10)))
    log.rows.append(change(10))
    for job_id in (None, "a", "b"):
        cursor = feed.cursor(3, job_id)
        with anyio.move_on_after(0.01):
            assert [c.seq for c in await cursor.read()] == [4, 5, 6, 7, 8, 9]
        assert cursor.seq == feed.head == 9
    cursor = feed.cursor(3)
    seen = [c.seq for c in await cursor.read()]
    feed.publish(log.rows[-1:])
    seen += [c.seq for c in await cursor.read()]
    assert seen == [4, 5, 6, 7, 8, 9, 10]


async def test_pruned_history_raises() -> None:
    log = Log()
    feed = ChangeFeed(log, 0, capacity=1)
    for seq in range(1, 10):
        publish(log, feed, change(seq))
    log.pruned = 5
    with pytest.raises(Pruned):
        await feed.cursor(3).read()
    assert [c.seq for c in await feed.cursor(5).read()] == [6, 7, 8, 9]


async def test_a_fresh_start_has_its_history_in_the_store() -> None:
    log = Log()
    log.rows = [change(seq) for seq in range(1, 6)]
    feed = ChangeFeed(log, 5)
    assert [c.seq for c in await feed.cursor(2).read()] == [3, 4, 5]
    publish(log, feed, change(6))
    assert [c.seq for c in await feed.cursor(2).read()][-1] in (5, 6)


async def test_closing_ends_every_reader() -> None:
    feed = ChangeFeed(Log(), 0)
    ended: list[bool] = []

    async def read() -> None:
        with pytest.raises(Closed):
            await feed.cursor(0).read()
        ended.append(True)

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(read)
        await anyio.wait_all_tasks_blocked()
        feed.close()
    assert ended == [True] * 3
    with pytest.raises(Closed):
        await feed.cursor(0).read()


async def test_a_read_that_is_cancelled_loses_nothing() -> None:
    log = Log()
    feed = ChangeFeed(log, 0)
    cursor = feed.cursor(0)
    with anyio.move_on_after(0.01):
        await cursor.read()
    publish(log, feed, change(1))
    assert [c.seq for c in await cursor.read()] == [1]


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 3), st.booleans()), min_size=1, max_size=60),
    st.integers(1, 8),
    st.sampled_from([None, "a", "b"]),
    st.booleans(),
)
async def test_any_reader_at_any_speed_gets_every_change_once_in_order(
    steps: list[tuple[str, int, bool]], capacity: int, job: str | None, in_beats: bool
) -> None:
    log = Log()
    feed = ChangeFeed(log, 0, capacity=capacity)
    cursor = feed.cursor(0, job, in_beats=in_beats)
    seen: list[int] = []
    seq = 0
    for name, gap, reads in steps:
        seq += gap
        publish(log, feed, change(seq, name))
        if reads:
            feed._beats._beat()
        if reads and any(c.seq > cursor.seq and job in (None, c.job_id) for c in log.rows):
            seen.extend(c.seq for c in await cursor.read())
    feed._beats._beat()
    while any(c.seq > cursor.seq and job in (None, c.job_id) for c in log.rows):
        seen.extend(c.seq for c in await cursor.read())
    feed.close()
    assert seen == [c.seq for c in log.rows if job in (None, c.job_id)]


def test_the_wire_form_is_one_server_sent_event() -> None:
    assert change(7).wire == b"id: 7\nevent: update\ndata: {}\n\n"


async def test_changes_that_are_pruned_between_two_reads_of_the_store_are_noticed() -> None:
    """The log is pruned between the read of its bounds and the read of its changes."""

    class Pruning(Log):
        async def changes(self, since: int, *, job_id: str | None = None, limit: int = 500) -> list[Change]:
            self.pruned = 6
            return await super().changes(since, job_id=job_id, limit=limit)

    log = Pruning()
    feed = ChangeFeed(log, 0, capacity=2)
    publish(log, feed, *(change(seq) for seq in range(1, 10)))
    for job_id in (None, "a", "b"):
        with pytest.raises(Pruned):
            await feed.cursor(3, job_id).read()


async def test_a_task_can_wait_for_a_change() -> None:
    log = Log()
    feed = ChangeFeed(log, 0)
    seen: list[str] = []

    async def wait(seq: int) -> None:
        try:
            await feed.wait_for(seq)
            seen.append(f"reached {seq}")
        except Closed:
            seen.append(f"closed before {seq}")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait, 2)
        tasks.start_soon(wait, 9)
        await anyio.wait_all_tasks_blocked()
        publish(log, feed, change(1))
        await anyio.wait_all_tasks_blocked()
        assert seen == []
        publish(log, feed, change(2))
        await anyio.wait_all_tasks_blocked()
        assert seen == ["reached 2"]
        feed.close()
    assert seen == ["reached 2", "closed before 9"]


async def test_a_listener_is_woken_by_each_heartbeat_and_a_reader_is_not() -> None:
    feed = ChangeFeed(Log(), 0)
    listener, reader = feed.cursor(0), feed.cursor(0)
    read: list[Sequence[Change]] = []

    async def wait() -> None:
        read.append(await reader.read())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        tasks.start_soon(feed.run_heartbeat, 0.01)
        for _ in range(3):
            assert await listener.listen() == ()
        assert read == []
        feed.publish([change(1)])
        assert [told.seq for told in await listener.listen()] == [1]
        feed.close()  # ends the heartbeat too
    assert [told.seq for told in read[0]] == [1]


async def test_readers_at_one_place_get_one_object() -> None:
    feed = ChangeFeed(Log(), 0)
    one, other, late = feed.cursor(0), feed.cursor(0), feed.cursor(1)
    feed.publish([change(1), change(2)])
    assert await one.read() is await other.read()
    assert [told.seq for told in await late.read()] == [2]
    feed.publish([change(3)])
    assert [told.seq for told in await one.read()] == [3]


async def test_who_follows_in_beats_gets_the_first_change_at_once_and_the_next_ones_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(change_feed, "BEAT_S", 3_600.0)
    log = Log()
    feed = ChangeFeed(log, 0)
    got: list[list[int]] = []

    async def follow() -> None:
        cursor = feed.cursor(0, in_beats=True)
        with suppress(Closed):
            while True:
                got.append([c.seq for c in await cursor.read()])

    async with anyio.create_task_group() as tasks:
        for _ in range(2):
            tasks.start_soon(follow)
        await anyio.wait_all_tasks_blocked()
        publish(log, feed, change(1), change(2))
        await anyio.wait_all_tasks_blocked()
        assert got == [[1, 2]] * 2
        for seq in (3, 4, 5):
            publish(log, feed, change(seq))
            await anyio.wait_all_tasks_blocked()
        assert got == [[1, 2]] * 2
        assert [c.seq for c in await feed.cursor(2).read()] == [3, 4, 5]  # others do not wait
        feed._beats._beat()  # as its timer does
        await anyio.wait_all_tasks_blocked()
        assert got[2:] == [[3, 4, 5]] * 2
        feed._beats._beat()  # nothing came: the rest begins
        publish(log, feed, change(6))
        await anyio.wait_all_tasks_blocked()
        assert got[4:] == [[6]] * 2
        publish(log, feed, change(7))
        feed.close()  # nobody waits for the next beat


async def test_beats_follow_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(change_feed, "BEAT_S", 0.01)
    log = Log()
    feed = ChangeFeed(log, 0)
    cursor = feed.cursor(0, in_beats=True)
    seen: list[int] = []
    with anyio.fail_after(20):
        for seq in range(1, 6):
            publish(log, feed, change(seq))
        while len(seen) < 5:
            seen += [c.seq for c in await cursor.read()]
    assert seen == [1, 2, 3, 4, 5]


async def test_a_listener_in_beats_is_woken_by_each_heartbeat() -> None:
    feed = ChangeFeed(Log(), 0)
    listener = feed.cursor(0, in_beats=True)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(feed.run_heartbeat, 0.01)
        for _ in range(3):
            assert await listener.listen() == ()
        feed.close()
