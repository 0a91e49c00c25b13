"""The built page in a real browser against a real service whose actors follow a script."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.actors import script
from tests.integration.webclient import running

DIST = Path(__file__).parents[2] / "static" / "dist" / "index.html"
CHROMIUM = shutil.which("chromium")
playwright = pytest.importorskip("playwright.async_api", reason="playwright is not installed: pip install playwright")

pytestmark = [
    pytest.mark.ui,
    pytest.mark.anyio,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine: apt-get install chromium"),
    pytest.mark.skipif(not DIST.exists(), reason="the page is not built: npm install && npm run build in static"),
]

TALK = {"name": "talk.wav", "mimeType": "audio/wav", "buffer": script(chunks=2)}


@asynccontextmanager
async def browsing(url: str, **context: Any) -> AsyncIterator[Any]:
    """The page, opened; an exception in it fails the test."""
    async with playwright.async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        try:
            page = await (await browser.new_context(**context)).new_page()
            defects: list[str] = []
            page.on("pageerror", lambda error: defects.append(str(error)))
            await page.goto(f"{url}/static/dist/index.html")
            yield page
            assert defects == []
        finally:
            await browser.close()


async def test_a_chosen_file_becomes_a_done_job_with_text_and_nobody_clicks(tmp_path: Path) -> None:
    async with running(tmp_path) as service, browsing(service.url, locale="en-US") as page:
        await page.set_input_files("input[type=file]", TALK)
        await page.wait_for_selector(".job[data-status=completed]")
        await page.click(".job a.name")
        await page.wait_for_selector(".line p")
        assert await page.evaluate("document.activeElement.tagName") == "H1"


async def test_a_second_tab_shows_the_same_over_the_same_link(tmp_path: Path) -> None:
    async with running(tmp_path) as service, browsing(service.url) as page:
        other = await page.context.new_page()
        await other.goto(f"{service.url}/static/dist/index.html")
        await other.wait_for_selector(".chip[data-link=live]")
        await page.set_input_files("input[type=file]", TALK)
        await other.wait_for_selector(".job[data-status=completed]")


@pytest.mark.parametrize(("locale", "title"), [("en-US", "Transcripts"), ("zh-CN", "转写")])
async def test_the_page_speaks_the_language_of_the_browser_and_fits_a_phone(tmp_path: Path, locale: str, title: str) -> None:
    viewport = {"width": 390, "height": 800}
    async with running(tmp_path) as service, browsing(service.url, locale=locale, viewport=viewport) as page:
        await page.wait_for_selector(".chip[data-link=live]")
        assert await page.inner_text("h1") == title
        assert await page.evaluate("document.documentElement.scrollWidth") <= 390
