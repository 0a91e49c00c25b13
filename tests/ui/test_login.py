"""A service with a token: the page leads to the form, the form leads back, and then everything works by the cookie."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from testkit.browser import recording, running_site, visiting
from testkit.nginx import below, free_port, nginx

pytestmark = [pytest.mark.anyio, pytest.mark.ui]

TOKEN = "correct-horse-battery-staple"


async def test_the_page_asks_for_the_token_and_then_works(browser: Any, tmp_path: Path) -> None:
    async with (
        running_site(tmp_path, security={"token": TOKEN}) as site,
        visiting(browser, site.url) as visitor,
    ):
        visitor.expected = re.compile(r"/api/")  # the browser reports each answer of 401
        page = visitor.page
        await page.goto(site.url)
        await page.wait_for_url("**/login")
        await page.fill("input[name=token]", "incorrect-horse")
        await page.click("button")
        assert "not the right one" in await page.locator("[role=alert]").inner_text()
        await page.goto(f"{site.url}/login")
        await page.fill("input[name=token]", TOKEN)
        await page.click("button")
        await page.wait_for_url(f"{site.url}/")
        await visitor.live()
        job = await site.send("talk.wav", chunks=1)
        await visitor.shows("talk.wav", "completed")
        saved = await page.request.get(f"{site.url}/api/jobs/{job.id}/export?format=srt")
        assert saved.status == 200
        cookie = (await page.context.cookies())[0]
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
        assert TOKEN not in cookie["value"]


@pytest.mark.skipif(not shutil.which("nginx"), reason="nginx is not installed")
async def test_below_a_path_of_another_site_everything_finds_its_way(browser: Any, tmp_path: Path) -> None:
    port = free_port()
    async with running_site(tmp_path, server={"root_path": "/transcribe"}, security={"token": TOKEN}) as site:
        with nginx(tmp_path / "nginx", below(site.url, port, kept=True)):
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
