"""Words get their exact times while somebody is typing in their line: nothing moves, and nothing is asked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from testkit.browser import Site, Visitor, running_site, visiting
from tests.ui.editing import CARET, LINES, click_at, opened, stored, transcript

pytestmark = [pytest.mark.ui, pytest.mark.anyio]

CARDS = "document.querySelectorAll('.conflict').length"


@pytest.fixture
async def aligning_site(browser: Any, tmp_path: Path) -> AsyncIterator[Site]:
    """A service that aligns edited words."""
    async with running_site(tmp_path, speech={"align_edits": True}) as site:
        yield site


async def test_the_caret_stays_while_words_are_aligned(browser: Any, aligning_site: Site) -> None:
    """Criterion 51, for who is typing."""
    site = aligning_site
    async with visiting(browser, site.url) as visitor:
        await visitor.go()
        job_id = await opened(site, visitor)
        page = visitor.page
        place = LINES[1].index("call")
        await click_at(visitor, 1, place)
        for _ in "call Stella and":
            await page.keyboard.press("Shift+ArrowRight")
        await page.keyboard.type("ring Bella or")
        written = LINES[1].replace("call Stella and", "ring Bella or")
        await stored(site, job_id, [LINES[0], written, LINES[2]])

        async def kinds() -> list[str]:
            return [word.get("by", "machine")[0] for word in (await transcript(site, job_id))[1]["words"]]

        await visitor.sees(kinds, [*"maaamm"])
        await visitor.reads(CARET, [1, place + len("ring Bella or")])
        await page.keyboard.type("der")
        await stored(site, job_id, [LINES[0], written.replace("or ask", "order ask"), LINES[2]])
        await visitor.reads(CARDS, 0)
        await page.keyboard.press("Escape")
        await page.click("[data-panel-tab=history]")
        await visitor.count("ol.history > li", 3)
        row = page.locator("ol.history > li").nth(1)
        await visitor.sees(lambda: row.inner_text(), has="Alignment")
        await visitor.sees(lambda: row.inner_text(), has="Times of edited words found in the sound")
        await visitor.sees(lambda: row.locator("[data-undo-this]").count(), 0)
        await visitor.count("[data-untimed]", 0)


async def test_the_history_says_why_words_have_no_exact_times(visitor: Visitor, site: Site) -> None:
    """As criterion 60 wants it for a recording that is gone. Here alignment is off."""
    job_id = await opened(site, visitor)
    page = visitor.page
    await click_at(visitor, 0, 0)
    await page.keyboard.type("Now or never ")
    await stored(site, job_id, [f"Now or never {LINES[0]}", *LINES[1:]])
    await page.click("[data-panel-tab=history]")
    await visitor.sees(lambda: page.inner_text("[data-untimed]"), has="not looked for")
