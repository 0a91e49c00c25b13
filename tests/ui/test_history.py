"""The history of changes: who, when, what; undo of one change, and a return to an earlier version."""

from __future__ import annotations

import re

import pytest

from testkit.browser import EXPECTED, Site, Visitor
from whisper_service.editing.operations import ChangeText, DeleteLine, InsertLine, MergeLines, Operation, SplitLine
from whisper_service.storage.transcript_edits import Edit

pytestmark = [pytest.mark.ui, pytest.mark.anyio]

SHOWN = "[...document.querySelectorAll('.line[data-line] > p')].map((p) => p.textContent)"
HEARD = [f"This is chunk {number}." for number in range(4)]


async def edited(site: Site, *acts: Operation, job_id: str, author: str = "Anna") -> None:
    for operation in acts:
        number = (await site.service.jobs.get(job_id)).edits
        await site.service.edits.apply(job_id, Edit(f"b{number}", (operation,), "other", author))


async def test_each_change_is_shown_undone_and_restored(visitor: Visitor, site: Site) -> None:
    """Criterion 36: five edits, undo of the second, a refusal with the name, the machine's text and back."""
    job = await site.send("talk.wav", chunks=4)
    await site.until(job.id, "completed")
    page, visitor.expected = visitor.page, re.compile(f"{EXPECTED.pattern}|/undo$")  # one undo is refused
    await visitor.go("/settings")
    await page.fill("#author", "Li Lei")
    await visitor.go(f"/t/{job.id}")
    await page.click("[data-panel-tab=history]")
    await page.get_by_text("No changes yet").wait_for()
    await edited(
        site,
        ChangeText(id="c0.0", v=0, text="This is part 0."),
        ChangeText(id="c1.0", v=0, text="This was chunk 1."),
        SplitLine(id="c2.0", v=0, at=8, new="n1"),
        MergeLines(ids=("c2.0", "n1"), v=(1, 1)),
        DeleteLine(id="c3.0", v=0),
        job_id=job.id,
    )
    rows = page.locator("ol.history > li")
    await visitor.count("ol.history > li", 5)
    numbers = "[...document.querySelectorAll('ol.history > li')].map((li) => Number(li.dataset.edit))"
    await visitor.reads(numbers, [5, 4, 3, 2, 1])
    first = rows.nth(4)
    await visitor.sees(lambda: first.locator("p").first.inner_text(), has="Anna · ")
    await visitor.sees(lambda: first.locator("p").first.inner_text(), has="Text")
    await visitor.sees(lambda: first.locator("del").all_inner_texts(), [" chunk"])
    await visitor.sees(lambda: first.locator("ins").all_inner_texts(), [" part"])
    await visitor.sees(lambda: rows.nth(2).inner_text(), has="Split")
    await visitor.count(".history-day h2", 1)

    await rows.nth(3).locator("[data-undo-this]").click()
    await visitor.reads(SHOWN, ["This is part 0.", HEARD[1], HEARD[2]])
    await visitor.count("ol.history > li", 6)
    await visitor.sees(lambda: rows.nth(0).inner_text(), has="Li Lei")
    await page.locator("li[data-edit='2'][data-undone]").wait_for()
    await visitor.count("li[data-edit='2'] [data-undo-this]", 0)

    await edited(site, ChangeText(id="c0.0", v=1, text="Bo was here."), job_id=job.id, author="Bo")
    await visitor.count("ol.history > li", 7)  # the page knows of it: else it may not restore
    await page.locator("li[data-edit='1'] [data-undo-this]").click()
    await page.locator("li[data-edit='1'] [role=alert]", has_text="Changed by Bo since then").wait_for()

    await page.click("[data-restore-first]")
    await visitor.reads(SHOWN, HEARD)
    await page.locator("li[data-edit='8']", has_text="Earlier version restored").wait_for()
    await page.locator("li[data-edit='8'] [data-undo-this]").click()
    await visitor.reads(SHOWN, ["Bo was here.", HEARD[1], HEARD[2]])
    await page.locator("li[data-edit='1'] [data-restore-this]").click()
    await visitor.reads(SHOWN, ["This is part 0.", *HEARD[1:]])
    await visitor.reads("document.querySelectorAll('[data-history-person] option').length", 4)  # all and three people
    await page.select_option("[data-history-person]", "Bo")
    await visitor.count("ol.history > li", 1)
    await page.select_option("[data-history-person]", "")
    kind = page.locator("[data-history-kind]")
    for name in ("All changes", "Undo", "Earlier version restored", "Text"):
        await kind.locator("option", has_text=name).first.wait_for(state="attached")
    await kind.select_option("Earlier version restored")
    await visitor.reads(numbers, [10, 8])


async def test_a_long_history_comes_in_pages(visitor: Visitor, site: Site) -> None:
    job = await site.send("talk.wav", chunks=1)
    await site.until(job.id, "completed")
    for number in range(60):
        await edited(site, ChangeText(id="c0.0", v=number, text=f"Number {number}"), job_id=job.id)
    await edited(site, InsertLine(after="c0.0", new="n1", start=10.2, end=10.4, text="New"), job_id=job.id)
    page = visitor.page
    await visitor.go(f"/t/{job.id}")
    await page.click("[data-panel-tab=history]")
    await visitor.count("ol.history > li", 50)
    await page.get_by_role("button", name="Show older").click()
    await visitor.count("ol.history > li", 61)
    await edited(site, DeleteLine(id="n1", v=1), job_id=job.id)
    await visitor.count("ol.history > li", 62)
    await page.locator("[data-restore-first]").wait_for()
