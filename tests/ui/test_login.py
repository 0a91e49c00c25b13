"""A service with a token: the page leads to the form, the form leads back, and then everything works by the cookie."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from testkit.browser import recording, staged, visiting
from testkit.nginx import below, free_port, nginx
from whisper_service.config.schema import SecuritySettings

pytestmark = [pytest.mark.anyio, pytest.mark.ui]

TOKEN = "correct-horse-battery-staple"


async def test_the_page_asks_for_the_token_and_then_works(browser: Any, tmp_path: Path) -> None:
    async with (
        staged(tmp_path, security=SecuritySettings(token=TOKEN)) as stage,
        visiting(browser, stage.url) as visitor,
    ):
        visitor.expected = re.compile(r"/api/")  # the browser reports each answer of 401
        page = visitor.page
        await page.goto(stage.url)
        await page.wait_for_url("**/login")
        await page.fill("input[name=token]", "incorrect-horse")
        await page.click("button")
        assert "not the right one" in await page.locator("[role=alert]").inner_text()
        await page.goto(f"{stage.url}/login")
        await page.fill("input[name=token]", TOKEN)
        await page.click("button")
        await page.wait_for_url(f"{stage.url}/")
        await visitor.live()
        job = await stage.send("talk.wav", chunks=1)
        await visitor.shows("talk.wav", "completed")
        saved = await page.request.get(f"{stage.url}/api/jobs/{job.id}/export?format=srt")
        assert saved.status == 200
        cookie = (await page.context.cookies())[0]
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
        assert TOKEN not in cookie["value"]


@pytest.mark.skipif(not shutil.which("nginx"), reason="nginx is not installed")
async def test_below_a_path_of_another_site_everything_finds_its_way(browser: Any, tmp_path: Path) -> None:
    port = free_port()
    async with staged(tmp_path, root_path="/transcribe", security=SecuritySettings(token=TOKEN)) as stage:
        with nginx(tmp_path / "nginx", below(stage.url, port, kept=True)):
            async with visiting(browser, f"http://127.0.0.1:{port}/transcribe") as visitor:
                visitor.expected = re.compile(r"/api/")
                page = visitor.page
                await page.goto(f"{visitor.url}/")
                await page.wait_for_url("**/transcribe/login")
                await page.fill("input[name=token]", TOKEN)
                await page.click("button")
                await page.wait_for_url(f"{visitor.url}/")
                await visitor.live()
                await visitor.choose(recording("talk.wav", chunks=1))
                row = await visitor.shows("talk.wav", "completed")
                await row.locator("a").first.click()
                await page.wait_for_url("**/transcribe/t/*")
                await page.reload()
                await page.wait_for_selector("h1")
