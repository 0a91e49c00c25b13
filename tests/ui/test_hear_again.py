"""A part of a recording is transcribed again: its text is proposed, and used or dropped by a person."""

from __future__ import annotations

from typing import Any

import pytest

from testkit.browser import LANGUAGES, Site, Visitor, visiting
from tests.ui.editing import LINES, opened, stored
from whisper_service.scheduler import requests

pytestmark = [pytest.mark.ui, pytest.mark.anyio]


async def ask(visitor: Visitor, line: int) -> None:
    """Ask for another text of a line, as it is in the menu of the line."""
    page = visitor.page
    await page.locator(".text [data-line] > p").nth(line).hover()
    await page.locator("[data-line-menu]").click()
    await page.locator("[data-line-act=again-part]").click()
    await page.locator("#again[open] [data-again-send]").click()


async def write(visitor: Visitor, site: Site, job_id: str) -> list[str]:
    """Change the second line. Return the lines as they are then."""
    await visitor.page.locator(".text [data-line] > p").nth(1).click()
    await visitor.page.keyboard.press("End")
    await visitor.page.keyboard.type(" Wrong")
    edited = [LINES[0], f"{LINES[1]} Wrong", LINES[2]]
    await stored(site, job_id, edited)
    await visitor.page.keyboard.press("Escape")
    return edited


async def jobs(site: Site) -> list[Any]:
    return await site.service.parts.store.jobs(limit=10)


async def ids(site: Site) -> list[str]:
    return [job.id for job in await jobs(site)]


async def test_a_line_is_heard_again_used_and_taken_back(visitor: Visitor, site: Site) -> None:
    """Criterion 57: the old text stays until Use; Use and undo give the old lines with their ids. No upload is made."""
    job_id = await opened(site, visitor)
    edited = await write(visitor, site, job_id)
    before = await stored(site, job_id, edited)
    uploads: list[str] = []
    visitor.page.on("request", lambda request: uploads.append(request.url) if "/uploads" in request.url else None)
    await ask(visitor, 1)
    card = visitor.page.locator("[data-heard]")
    await card.locator("[data-use]").wait_for(timeout=20_000)
    part = next(job for job in await jobs(site) if job.of == job_id)
    assert part.options.begin_s <= before[1]["start"] < before[1]["end"] <= part.options.end_s
    assert part.options.begin_s >= before[0]["end"]
    assert part.rank < 0  # somebody waits for it
    assert part.options.end_s <= before[2]["start"]
    await visitor.sees(lambda: card.locator("[data-old]").inner_text(), edited[1])
    await visitor.sees(lambda: card.locator("[data-new]").inner_text(), LINES[1])
    await stored(site, job_id, edited)
    await card.locator("[data-use]").click()
    used = await stored(site, job_id, list(LINES))
    assert used[1]["source"].startswith("machine:")
    assert not any("by" in word for word in used[1]["words"])  # the model heard them
    await card.wait_for(state="detached")
    await visitor.page.locator("[data-undo]").click()
    undone = await stored(site, job_id, edited)
    assert [line["id"] for line in undone] == [line["id"] for line in before]
    await visitor.sees(lambda: ids(site), [job_id])
    assert uploads == []


async def test_what_is_not_wanted_leaves_no_trace(visitor: Visitor, site: Site) -> None:
    """Criterion 57: Keep old."""
    job_id = await opened(site, visitor)
    edited = await write(visitor, site, job_id)
    await ask(visitor, 1)
    card = visitor.page.locator("[data-heard]")
    await card.locator("[data-use]").wait_for(timeout=20_000)
    await card.locator("[data-keep]").click()
    await card.wait_for(state="detached")
    await stored(site, job_id, edited)
    await visitor.sees(lambda: ids(site), [job_id])


@pytest.mark.parametrize("locale", LANGUAGES)
async def test_without_the_recording_the_menu_says_that_it_cannot(browser: Any, site: Site, locale: str) -> None:
    """Criterion 60."""
    async with visiting(browser, site.url, locale=locale) as visitor:
        job_id = await opened(site, visitor)
        await site.service.parts.context.ask(requests.remove_media, job_id)
        await visitor.go(f"/t/{job_id}")
        await visitor.page.locator("[data-no-media]").wait_for()
        await visitor.page.locator(".text [data-line] > p").nth(1).hover()
        await visitor.page.locator("[data-line-menu]").click()
        await visitor.sees(lambda: visitor.page.locator("[data-line-act=again-part]").is_disabled(), True)
