"""The mailbox keeps the order, and every request gets an answer."""

from __future__ import annotations

import anyio
import pytest

from whisper_service.core.errors import NotFound, Unavailable
from whisper_service.scheduler.mailbox import Mailbox, Request

pytestmark = pytest.mark.anyio


async def attend(mailbox: Mailbox) -> None:
    """Carry out requests like the loop."""
    with mailbox.attended():
        async for events in mailbox.batches():
            for event in events:
                assert isinstance(event, Request)
                await event.carry_out()


class Asker:
    """Sends requests and collects the answers."""

    def __init__(self, mailbox: Mailbox) -> None:
        self.mailbox = mailbox
        self.answers: list[object] = []

    async def ask(self, value: object, gate: anyio.Event | None = None) -> None:
        async def act() -> object:
            if gate is not None:
                await gate.wait()
            if isinstance(value, Exception):
                raise value
            return value

        try:
            self.answers.append(await self.mailbox.ask(act))
        except Exception as error:
            self.answers.append(type(error))


async def test_what_is_asked_is_done_in_order_and_errors_go_to_the_one_who_asked() -> None:
    asker = Asker(Mailbox())
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(attend, asker.mailbox)
            for value in (1, NotFound(), 2, ValueError(), 3):
                await asker.ask(value)
            asker.mailbox.close()
    assert asker.answers == [1, NotFound, 2, ValueError, 3]


async def test_what_was_asked_before_the_end_is_still_done() -> None:
    asker = Asker(Mailbox())
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for value in range(5):
                tasks.start_soon(asker.ask, value)
            await anyio.wait_all_tasks_blocked()
            asker.mailbox.close()
            tasks.start_soon(attend, asker.mailbox)
    assert asker.answers == list(range(5))


async def test_what_is_asked_after_the_end_is_refused_at_once() -> None:
    asker = Asker(Mailbox())
    asker.mailbox.close()
    with anyio.fail_after(5):
        await asker.ask(1)
        await attend(asker.mailbox)
        await asker.ask(2)
        asker.mailbox.nudge()
    assert asker.answers == [Unavailable, Unavailable]


async def test_a_loop_that_is_cancelled_leaves_nobody_waiting() -> None:
    """One request is carried out, one is behind it in the same batch, one is in the queue."""
    asker, gate = Asker(Mailbox()), anyio.Event()
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks, anyio.create_task_group() as loop:
            tasks.start_soon(asker.ask, 1, gate)
            tasks.start_soon(asker.ask, 2)
            await anyio.wait_all_tasks_blocked()
            loop.start_soon(attend, asker.mailbox)
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(asker.ask, 3)
            await anyio.wait_all_tasks_blocked()
            assert asker.answers == []
            loop.cancel_scope.cancel()
    assert asker.answers == [Unavailable] * 3


async def test_a_loop_that_breaks_leaves_nobody_waiting() -> None:
    asker = Asker(Mailbox())

    async def broken() -> None:
        with asker.mailbox.attended():
            raise KeyError("a defect")

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(asker.ask, 1)
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(KeyError):
                await broken()
        await asker.ask(2)
    assert asker.answers == [Unavailable, Unavailable]


async def test_it_is_done_even_if_the_caller_goes_away() -> None:
    mailbox, done = Mailbox(), anyio.Event()

    async def act() -> None:
        done.set()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(mailbox.ask, act)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(attend, mailbox)
            await done.wait()
            mailbox.close()


async def test_a_nudge_wakes_the_loop() -> None:
    mailbox, rounds = Mailbox(), 0
    mailbox.nudge()
    mailbox.close()
    with mailbox.attended():
        async for events in mailbox.batches():
            rounds += len(events)
    assert rounds == 1
