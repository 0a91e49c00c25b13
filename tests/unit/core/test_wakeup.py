"""A task that waits for news is woken by them, also by those that came before it waited."""

from __future__ import annotations

import time

import anyio
import pytest

from whisper_service.core.wakeup import Wakeup

pytestmark = pytest.mark.anyio


async def test_a_waiting_task_is_woken() -> None:
    wakeup, woken = Wakeup(), anyio.Event()

    async def wait() -> None:
        await wakeup.wait()
        woken.set()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            assert not woken.is_set()
            wakeup.notify()


async def test_news_from_before_the_wait_wake_once() -> None:
    wakeup = Wakeup()
    wakeup.notify()
    wakeup.notify()
    with anyio.fail_after(5):
        await wakeup.wait()
    with anyio.move_on_after(0.01) as scope:
        await wakeup.wait()
    assert scope.cancelled_caught


@pytest.mark.parametrize("timeout_s", [0.01, 0.0, -1.0])
async def test_a_wait_ends_after_its_time(timeout_s: float) -> None:
    began = time.monotonic()
    with anyio.fail_after(5):
        await Wakeup().wait(timeout_s)
    assert time.monotonic() - began >= timeout_s


async def test_a_task_is_woken_to_end() -> None:
    wakeup = Wakeup()
    assert not wakeup.closed

    async def work() -> None:
        while not wakeup.closed:
            await wakeup.wait()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(work)
            await anyio.wait_all_tasks_blocked()
            wakeup.close()
