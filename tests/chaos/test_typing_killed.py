"""The service is killed and the network is cut while somebody types in a browser: the text arrives once and whole."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import httpx
import pytest
from anyio.abc import ByteReceiveStream, ByteSendStream, SocketStream

from testkit.browser import CHROMIUM, DIST, FLAGS, need
from testkit.chaos import storm
from testkit.chaos.host import Host
from testkit.scripted_actors import script

pytestmark = pytest.mark.anyio
TEXTS = "[...document.querySelectorAll('.text [data-line] > p')].map((p) => p.textContent)"
CHIP = "document.querySelector('[data-save]')?.dataset.save ?? ''"
WORDS = [f"w{number}" for number in range(48)]
SAVED_S = 30.0
"""The page waits at most this long between two tries."""


class Wire:
    """One address for all the services that follow each other, as a machine has. It can be cut."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.url = ""
        self.cut = False

    @asynccontextmanager
    async def up(self) -> AsyncIterator[None]:
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
        self.url = f"http://127.0.0.1:{listener.extra(anyio.abc.SocketAttribute.local_port)}"
        async with listener, anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, self._carry)
            yield
            tasks.cancel_scope.cancel()

    async def _carry(self, client: SocketStream) -> None:
        port = urlsplit(self.host.url).port
        async with client:
            if self.cut or port is None:
                return
            with suppress(OSError, anyio.BrokenResourceError):
                async with await anyio.connect_tcp("127.0.0.1", port) as service, anyio.create_task_group() as tasks:
                    tasks.start_soon(self._pump, client, service, tasks.cancel_scope)
                    tasks.start_soon(self._pump, service, client, tasks.cancel_scope)
                    tasks.start_soon(self._watch, tasks.cancel_scope)

    async def _pump(self, source: ByteReceiveStream, target: ByteSendStream, scope: anyio.CancelScope) -> None:
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            async for block in source:
                await target.send(block)
        scope.cancel()

    async def _watch(self, scope: anyio.CancelScope) -> None:
        while not self.cut:  # noqa: ASYNC110  nobody tells
            await anyio.sleep(0.05)
        scope.cancel()


async def submitted(url: str) -> str:
    """Return the id of a finished job with two lines."""
    async with httpx.AsyncClient(base_url=url, timeout=20) as client:
        answer = await client.post("/api/jobs", content=script(chunks=2), headers={"content-type": "audio/wav"})
        job: str = answer.json()["id"]
        with anyio.fail_after(30):
            while (await client.get(f"/api/jobs/{job}")).json()["status"] != "completed":  # noqa: ASYNC110
                await anyio.sleep(0.1)
    return job


async def test_what_is_typed_while_the_service_is_killed_arrives_once(tmp_path: Path) -> None:
    """Criterion 24."""
    need("playwright is not installed", there=find_spec("playwright") is not None, how="pip install playwright")
    need("there is no chromium on this machine", there=CHROMIUM is not None, how="apt-get install chromium")
    need("the page is not built", there=(DIST / "index.html").exists(), how="npm install && npm run build in static")
    from playwright.async_api import async_playwright

    host = Host(tmp_path, tmp_path, storm.FAKES, storm.Plan(1, 0).settings)
    await host.start()
    wire = Wire(host)
    try:
        job = await submitted(host.url)
        async with wire.up(), async_playwright() as driver:
            browser = await driver.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
            page = await browser.new_page()
            await page.goto(f"{wire.url}/t/{job}")
            states: set[str] = set()

            async def type_on() -> None:
                for number, word in enumerate(WORDS):
                    if number % 8 == 0:
                        line = page.locator(".text [data-line] > p").nth(number // 8 % 2)
                        await line.click()
                        await page.keyboard.press("Control+End")  # End is that of the row
                    await page.keyboard.type(f" {word}", delay=40)
                    states.add(await page.evaluate(CHIP))
                    await anyio.sleep(0.1)
                await page.keyboard.press("Escape")

            async def disturb() -> None:
                await anyio.sleep(1.5)
                await host.kill()
                await anyio.sleep(1.5)
                wire.cut = True
                await anyio.sleep(2)
                wire.cut = False
                await anyio.sleep(0.5)
                await host.kill()

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(type_on)
                tasks.start_soon(disturb)
            with anyio.fail_after(SAVED_S + 5):
                while await page.evaluate(CHIP) != "saved":  # noqa: ASYNC110  nobody tells
                    await anyio.sleep(0.1)
            shown = await page.evaluate(TEXTS)
            await browser.close()
        assert await host.leave() == 0
    finally:
        if host.process.poll() is None:
            host.abandon()
    assert host.findings == []
    assert "unsent" in states, "nothing was in the way of the typing"

    wanted = ["This is chunk 0.", "This is chunk 1."]
    for number, word in enumerate(WORDS):
        wanted[number // 8 % 2] += f" {word}"
    assert shown == wanted
    with closing(sqlite3.connect(host.database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        texts = connection.execute("SELECT text FROM line WHERE NOT deleted ORDER BY chunk, position").fetchall()
        batches = [batch for (batch,) in connection.execute("SELECT batch FROM edit").fetchall()]
    assert [text for (text,) in texts] == wanted
    assert len(batches) == len(set(batches)) >= len(WORDS) // 8
