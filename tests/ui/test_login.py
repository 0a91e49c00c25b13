"""A service with a token: the page leads to the form, the form leads back, and then everything works by the cookie."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.ui.stage import staged, visiting
from whisper_service.config import Security

pytestmark = [pytest.mark.anyio, pytest.mark.ui]

TOKEN = "correct-horse-battery-staple"


async def test_the_page_asks_for_the_token_and_then_works(browser: Any, tmp_path: Path) -> None:
    async with staged(tmp_path, security=Security(token=TOKEN)) as stage, visiting(browser, stage.url) as visitor:
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
