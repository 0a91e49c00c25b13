"""A recording that was transcribed again has versions: they are compared, and corrections go from one to the other."""

from __future__ import annotations

from typing import Any

import pytest

from testkit.browser import LANGUAGES, Site, Visitor, visiting
from tests.ui.editing import LINES, TEXTS, opened, stored, transcript
from whisper_service.core.domain import Job

pytestmark = [pytest.mark.ui, pytest.mark.anyio]


async def write(visitor: Visitor, line: int, text: str) -> None:
    """Replace the text of a line, as a person does."""
    await visitor.page.locator(".text [data-line] > p").nth(line).click()
    await visitor.page.keyboard.press("Control+A")
    await visitor.page.keyboard.insert_text(text)
    await visitor.page.keyboard.press("Escape")


async def again(visitor: Visitor, site: Site, job_id: str) -> Job:
    """Transcribe the recording of the open page again, in another way. Return the new job, whose page is open then."""
    page = visitor.page
    await page.locator(".reading-bar [data-menu]").last.click()
    await page.locator("[data-verb=again]").click()
    await page.locator("#again [data-option=model]").select_option("base")
    await page.locator("#again [data-option=language]").select_option("de")
    await page.locator("[data-again-send]").click()
    await visitor.reads(f"location.pathname !== '/t/{job_id}'", True)
    (made,) = [job for job in await site.service.parts.store.jobs(limit=10) if job.of == job_id]
    await site.until(made.id, "completed")
    await page.wait_for_selector(".player")
    return made


async def test_corrections_of_one_version_are_used_in_another_and_taken_back_at_once(
    visitor: Visitor, site: Site
) -> None:
    """Criterion 58."""
    page = visitor.page
    job_id = await opened(site, visitor)
    await visitor.count("[data-version-tabs]", 0)
    corrected = [
        "The quick brown fox jumps over the crazy frog.",
        "Please call Estella and ask her.",
        "One two three four six.",
    ]
    for line, text in enumerate(corrected):
        await write(visitor, line, text)
    first = await stored(site, job_id, corrected)
    edits = (await site.service.parts.store.job(job_id)).edits
    uploads: list[str] = []
    page.on("request", lambda request: uploads.append(request.url) if "/uploads" in request.url else None)
    other = await again(visitor, site, job_id)
    assert (other.of, other.options.language) == (job_id, "de")
    await stored(site, other.id, list(LINES))

    tabs = page.locator("[data-version-tabs] a")
    await tabs.nth(1).wait_for()

    async def said() -> list[str]:
        return [" ".join(text.split()) for text in await tabs.all_inner_texts()]

    await visitor.sees(said, ["Version 1 · model · en", "Version 2 · base · de"])
    await visitor.sees(
        lambda: page.locator("[data-version-tabs] [aria-current=page]").get_attribute("data-version"), "2"
    )
    await tabs.first.focus()
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"**/t/{job_id}")
    await visitor.reads(TEXTS, corrected)
    await page.locator("[data-carry-over]").click()
    await visitor.sees(
        lambda: page.locator("[data-carry-found]").inner_text(), has="No correction of version 2 can be used here."
    )
    await page.locator("[data-version='2']").click()
    await page.wait_for_url(f"**/t/{other.id}")
    await visitor.reads(TEXTS, list(LINES))

    mine = [LINES[0], LINES[1], "One two three four fifty."]
    await write(visitor, 2, mine[2])
    before = await stored(site, other.id, mine)
    await page.locator("[data-carry-over]").click()
    fitting = page.locator("[data-fitting]")
    await fitting.first.wait_for()
    await visitor.sees(lambda: fitting.locator("del").all_inner_texts(), ["lazy dog.", "Stella"])
    await visitor.sees(lambda: fitting.locator("ins").all_inner_texts(), ["crazy frog.", "Estella"])
    await visitor.sees(lambda: fitting.locator("input:checked").count(), 2)
    await page.locator("[data-carry-missing] summary").click()
    await visitor.sees(lambda: page.locator("[data-missing] ins").all_inner_texts(), ["six."])
    await page.locator("[data-carry-use]").click()
    used = await stored(site, other.id, [corrected[0], corrected[1], mine[2]])
    assert [line["id"] for line in used] == [line["id"] for line in before]
    await page.locator("[data-versions-panel]").wait_for(state="detached")
    await page.locator("[data-undo]").click()
    await stored(site, other.id, mine)

    assert await transcript(site, job_id) == first
    assert (await site.service.parts.store.job(job_id)).edits == edits
    assert uploads == []


async def test_versions_that_the_list_does_not_reach_are_found(visitor: Visitor, site: Site) -> None:
    page = visitor.page
    job_id = await opened(site, visitor)
    other = await again(visitor, site, job_id)
    newest = await site.send("newer.wav", chunks=1)
    await site.until(newest.id, "completed")

    async def short(route: Any) -> None:
        await route.continue_(url=route.request.url.replace("limit=200", "limit=1"))

    await page.route("**/api/state?*", short)
    await visitor.go()
    await visitor.shows("newer.wav", "completed")
    await visitor.count("[data-job]", 1)
    for open_id in (job_id, other.id):
        await visitor.go(f"/t/{open_id}")
        await visitor.reads(
            "[...document.querySelectorAll('[data-version]')].map((a) => a.dataset.version)", ["1", "2"]
        )
        await visitor.count("[data-version-tabs] [aria-current=page]", 1)


@pytest.mark.parametrize("locale", LANGUAGES)
async def test_versions_are_compared_word_by_word_and_those_not_ticked_are_left(
    browser: Any, site: Site, locale: str
) -> None:
    """Criterion 58: Compare, in both languages; a correction that is not ticked is not done."""
    async with visiting(browser, site.url, locale=locale) as visitor:
        page = visitor.page
        job_id = await opened(site, visitor)
        corrected = [LINES[0], "Please call Estella and ask him.", LINES[2]]
        await write(visitor, 1, corrected[1])
        await stored(site, job_id, corrected)
        other = await again(visitor, site, job_id)
        await visitor.reads(TEXTS, list(LINES))  # what is compared is what the page has by then
        await page.locator("[data-compare]").click()
        differences = page.locator("[data-difference]")
        await differences.first.wait_for()
        await visitor.sees(lambda: differences.locator("del").all_inner_texts(), ["Stella", "her."])
        await visitor.sees(lambda: differences.locator("ins").all_inner_texts(), ["Estella", "him."])
        await page.keyboard.press("Escape")
        await page.locator("[data-versions-panel]").wait_for(state="detached")
        await visitor.reads("document.activeElement.matches('[data-compare]')", True)
        await page.locator("[data-carry-over]").click()
        await page.locator("[data-fitting] input").first.click()
        await page.locator("[data-carry-use]").click()
        await stored(site, other.id, [LINES[0], "Please call Stella and ask him.", LINES[2]])
