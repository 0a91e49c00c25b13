"""Find and replace, here and in many transcripts, and the vocabulary that learns from it."""

from __future__ import annotations

import re
from typing import Any

import anyio
import pytest

from testkit.browser import Site, Visitor, visiting
from whisper_service.core.domain import Options, Script
from whisper_service.editing.operations import ChangeText
from whisper_service.editing.vocabulary import Term
from whisper_service.storage.transcript_edits import Edit
from whisper_service.storage.vocabulary import version_of

pytestmark = [pytest.mark.ui, pytest.mark.anyio]

SHOWN = "[...document.querySelectorAll('.line[data-line] > p')].map((p) => p.textContent)"
FOUND = "[...(CSS.highlights.get('hit') ?? [])].map(String)"


async def done(site: Site, name: str, **play: Any) -> str:
    job = await site.send(name, **play)
    await site.until(job.id, "completed")
    return job.id


async def texts(site: Site, job_id: str) -> list[str]:
    return [line.text.strip() for line in await site.service.edits.lines(job_id)]


async def forget_terms(site: Site) -> None:
    vocabulary = site.service.parts.store.vocabulary
    await vocabulary.put([], version_of(await vocabulary.terms()))


async def test_all_finds_are_replaced_in_one_act_and_one_undo_brings_them_back(visitor: Visitor, site: Site) -> None:
    """Criterion 41: the count in the button, one edit, one Ctrl+Z; both Chinese scripts; over the edge of two lines."""
    job = await done(site, "pounds.wav", says="Pound, the pound key", chunks=4)
    page = visitor.page
    await visitor.go(f"/t/{job}")
    await visitor.reads(SHOWN, [f"Pound, the pound key {number}." for number in range(4)])
    await page.keyboard.press("Control+h")
    await page.locator("[data-replacement]").wait_for()
    await page.fill("input[type=search]", "pound")
    await page.get_by_text("1 of 8").wait_for()
    await page.check("[data-match-case]")
    await page.get_by_text("1 of 4").wait_for()
    await page.uncheck("[data-match-case]")
    await page.fill("[data-replacement]", "hash")
    await visitor.sees(lambda: page.inner_text("[data-replace-all]"), "Replace all (8)")
    await page.click("[data-replace]")  # the first one, and on to the next
    changed = ["hash, the pound key 0.", *(f"Pound, the pound key {number}." for number in range(1, 4))]
    await visitor.reads(SHOWN, changed)
    await visitor.reads("String([...CSS.highlights.get('chosen')][0])", "pound")
    await page.get_by_text("1 of 7").wait_for()
    await page.click("[data-replace-all]")
    await visitor.reads(SHOWN, [f"hash, the hash key {number}." for number in range(4)])
    await page.get_by_text("Replaced 7 matches").wait_for()
    await page.locator(".search [role=status]", has_text="0 of 0").wait_for()
    for wanted in (changed, [f"Pound, the pound key {number}." for number in range(4)]):
        await page.locator(".text .line[data-line]").first.focus()
        await page.keyboard.press("Control+z")
        await visitor.reads(SHOWN, wanted)
    with anyio.fail_after(10):
        while (await site.service.jobs.get(job)).edits < 4:  # noqa: ASYNC110  nobody tells
            await anyio.sleep(0.05)
    history = await page.evaluate(f"fetch('/api/jobs/{job}/edits').then((answer) => answer.json())")
    assert [(one["kind"], one["lines"]) for one in history["edits"]][-2:] == [("edit", 4), ("edit", 1)]

    await page.fill("input[type=search]", "key 0. pound")
    await visitor.reads(FOUND, ["key 0.", "Pound"])  # it begins in one line and ends in the next
    await visitor.sees(lambda: page.inner_text("[data-replace-all]"), "Replace all (0)")
    await visitor.sees(lambda: page.locator("[data-replace-all]").is_disabled(), True)
    await page.fill("input[type=search]", "poun")
    await page.get_by_text("1 of 8").wait_for()
    await page.check("[data-whole]")
    await page.locator(".search [role=status]", has_text="0 of 0").wait_for()

    job = await done(
        site, "fruit.wav", says="苹果和蘋果", chunks=1, options=Options(language="zh", script=Script.RECOGNIZED)
    )
    await visitor.go(f"/t/{job}")
    await page.fill("input[type=search]", "苹果")
    await page.get_by_text("1 of 1").wait_for()
    await page.click("[data-replacing]")
    await page.check("[data-scripts]")
    await page.get_by_text("1 of 2").wait_for()
    await page.fill("[data-replacement]", "蘋果")
    await page.click("[data-replace-all]")
    await visitor.reads(SHOWN, ["蘋果和蘋果 0."])


async def test_the_second_equal_correction_is_offered_to_the_vocabulary(visitor: Visitor, site: Site) -> None:
    await forget_terms(site)
    job = await done(site, "talk.wav", says="Cooper netties", chunks=2)
    page = visitor.page
    await visitor.go(f"/t/{job}")
    await page.locator(".line[data-line]").first.wait_for()
    for number in range(2):
        await visitor.sees(lambda: page.get_by_text("Remember “Kubernetes”").count(), 0)
        edit = Edit(f"b{number}", (ChangeText(id=f"c{number}.0", v=0, text=f"Kubernetes {number}."),))
        await site.service.edits.apply(job, edit)
        await visitor.reads(f"({SHOWN})[{number}]", f"Kubernetes {number}.")
    await page.get_by_text("Remember “Kubernetes” for new recordings?").wait_for()
    await page.get_by_role("button", name="Remember", exact=True).click()
    await page.get_by_text("is in the vocabulary now").wait_for()
    (term,) = await site.service.parts.store.vocabulary.terms()
    assert (term.term, term.heard, term.language, term.uses) == ("Kubernetes", ("Cooper netties",), "en", 2)


async def test_words_are_replaced_in_the_ticked_transcripts_of_a_search(visitor: Visitor, site: Site) -> None:
    """Criterion 42: a dry run with counts and lines, a group that is undone, a transcript that was edited meanwhile."""
    await forget_terms(site)
    jobs = [await done(site, f"talk {number}.wav", says="The pound key", chunks=2) for number in range(5)]
    page = visitor.page
    await page.fill("input[type=search]", "pound")
    await page.click("[data-replace-in]")
    rows = page.locator("[data-replace-many] li[data-job]")
    await rows.nth(4).wait_for()
    await visitor.sees(lambda: rows.nth(0).inner_text(), has="talk 4\n2 matches")
    await visitor.sees(
        lambda: rows.nth(0).locator(".words").all_inner_texts(), ["0:00 The pound key 0.", "0:11 The pound key 1."]
    )
    await page.fill("[data-replace-many] [data-replacement]", "hash")
    await visitor.sees(lambda: rows.nth(0).locator(".words del").all_inner_texts(), ["pound", "pound"])
    await visitor.sees(lambda: rows.nth(0).locator(".words ins").all_inner_texts(), ["hash", "hash"])
    for number in (4, 3):
        await page.uncheck(f"[data-replace-many] li[data-job='{jobs[number]}'] input")
    await visitor.sees(lambda: page.inner_text("[data-replace-go]"), "Replace in 3 transcripts")
    edit = Edit("b1", (ChangeText(id="c0.0", v=0, text="The pound key, edited"),), author="Li")
    await site.service.edits.apply(jobs[0], edit)
    await page.click("[data-replace-go]")
    await page.get_by_text("Replaced 4 matches in 2 transcripts").wait_for()
    await page.get_by_text("“talk 0” stays as it is").or_(page.get_by_text("talk 0 stays as it is")).wait_for()
    assert [await texts(site, job) for job in jobs] == [
        ["The pound key, edited", "The pound key 1."],
        *[["The hash key 0.", "The hash key 1."]] * 2,
        *[["The pound key 0.", "The pound key 1."]] * 2,
    ]
    await page.locator(".notices p", has_text="Replaced 4").get_by_role("button", name="Undo").click()
    await page.get_by_text("Taken back in 2 transcripts").wait_for()
    for job in jobs[1:]:
        assert await texts(site, job) == ["The pound key 0.", "The pound key 1."]


async def test_a_term_is_remembered_told_to_the_model_and_replaced(visitor: Visitor, site: Site) -> None:
    """Criterion 43: Remember after a replacement, hints in the next prompt, automatic replacement as an edit."""
    await forget_terms(site)
    await done(site, "first.wav", says="Cooper netties", chunks=1)
    page = visitor.page
    await page.fill("input[type=search]", "cooper netties")
    await page.click("[data-replace-in]")
    await page.fill("[data-replace-many] [data-replacement]", "Kubernetes")
    await page.click("[data-replace-go]:enabled")
    await page.get_by_text("Remember “Kubernetes” for new recordings?").wait_for()
    await page.get_by_role("button", name="Remember", exact=True).click()
    await page.get_by_text("“Kubernetes” is in the vocabulary now").wait_for()
    (term,) = await site.service.parts.store.vocabulary.terms()
    assert (term.term, term.heard, term.hint, term.replace, term.uses) == (
        "Kubernetes", ("cooper netties",), True, False, 1
    )  # fmt: skip
    told = await done(site, "told.wav", echo=True, chunks=1, options=Options(language="en", prompt="About us."))
    assert await texts(site, told) == ["About us. Kubernetes."]

    await visitor.go("/settings")
    await page.click("[data-tab=vocabulary]")
    row = page.locator("[data-vocabulary] tbody tr")
    await visitor.sees(lambda: row.locator("[data-name]").input_value(), "Kubernetes")
    await visitor.sees(lambda: row.locator("[data-heard]").input_value(), "cooper netties")
    async with page.expect_response("**/api/vocabulary"):
        await row.locator("[data-auto-replace]").check()
    job = await done(site, "second.wav", says="We use cooper netties", chunks=2)
    await visitor.sees(lambda: texts(site, job), ["We use Kubernetes 0.", "We use Kubernetes 1."])
    await visitor.go("/")
    await visitor.go("/settings#vocabulary")
    await row.wait_for()
    await visitor.sees(lambda: row.locator("td").nth(5).inner_text(), "3")


async def test_the_vocabulary_is_written_in_the_settings(visitor: Visitor, site: Site) -> None:
    """A new term, its spellings and language; what another window changed is not overwritten; a term is removed."""
    await forget_terms(site)
    vocabulary = site.service.parts.store.vocabulary
    page, visitor.expected = visitor.page, re.compile("/api/vocabulary")  # the refusal
    await visitor.go("/settings")
    await page.click("[data-tab=vocabulary]")
    await page.click("[data-add-term]")
    await page.keyboard.type("李雷")
    async with page.expect_response("**/api/vocabulary"):
        await page.keyboard.press("Tab")
    await page.fill("[data-heard]", "里雷，李磊, 黎雷")
    async with page.expect_response("**/api/vocabulary"):
        await page.keyboard.press("Tab")
    async with page.expect_response("**/api/vocabulary"):
        await page.select_option("[data-vocabulary] [data-language]", "zh")
    (term,) = await vocabulary.terms()
    assert (term.term, term.heard, term.language) == ("李雷", ("里雷", "李磊", "黎雷"), "zh")
    await vocabulary.put([Term(term.id, "韩梅梅")], version_of([term]))  # by another window
    async with page.expect_response("**/api/vocabulary"):
        await page.uncheck("[data-vocabulary] [data-hint]")
    await page.locator("[data-vocabulary] [role=alert]").wait_for()
    await page.locator("[data-vocabulary] tr[data-term=韩梅梅]").wait_for()
    assert [one.term for one in await vocabulary.terms()] == ["韩梅梅"]
    async with page.expect_response("**/api/vocabulary"):
        await page.click("[data-vocabulary] [data-remove]")
    assert await vocabulary.terms() == []
    await page.get_by_text("No terms yet").wait_for()


@pytest.mark.parametrize(("locale", "theme"), [("en-US", "dark"), ("zh-CN", "light")])
async def test_axe_finds_nothing_where_words_are_found_and_replaced(
    browser: Any, site: Site, locale: str, theme: Any
) -> None:
    """Criterion 48: find bar, history, replacement in many transcripts, vocabulary; none wider than the window."""
    axe = pytest.importorskip(
        "axe_playwright_python.async_playwright", reason="axe-playwright-python is not installed"
    ).Axe()
    await forget_terms(site)
    await site.service.parts.store.vocabulary.add(Term(0, "Kubernetes", ("cooper netties",), uses=3))
    job = await done(site, "talk.wav", says="苹果 pound", chunks=3)
    edit = Edit("b1", (ChangeText(id="c0.0", v=0, text="苹果 hash"),), author="Li")
    await site.service.edits.apply(job, edit)
    found: list[str] = []
    async with visiting(browser, site.url, locale=locale, color_scheme=theme, reduced_motion="reduce") as visitor:
        page = visitor.page

        async def check(state: str, width: int) -> None:
            results = await axe.run(page, options={"resultTypes": ["violations"]})
            found.extend(
                f"{state} at {width}: {rule['id']}: {node['html'][:200]}"
                for rule in results.response["violations"]
                for node in rule["nodes"]
            )
            if await page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                found.append(f"{state} at {width}: wider than the window")

        for width in (1280, 390):
            await page.set_viewport_size({"width": width, "height": 844})
            await visitor.go(f"/t/{job}?q=%E8%8B%B9%E6%9E%9C")
            await page.locator(".line[data-line]").first.wait_for()
            await page.keyboard.press("Control+h")
            await page.locator("[data-scripts]").wait_for()
            await check("find", width)
            await page.keyboard.press("Escape")
            await page.locator(".replace-row").wait_for(state="detached")
            if width == 390:
                await page.click(".reading-bar .more[data-menu]")
                await page.click("[data-open-panel=history]")
            else:
                await page.click("[data-panel-tab=history]")
            await page.locator("ol.history > li").wait_for()
            await check("history", width)
            await visitor.go("/")
            await page.fill("input[type=search]", "pound")
            await page.click("[data-replace-in]")
            await page.fill("[data-replace-many] [data-replacement]", "hash")
            await page.locator("[data-replace-many] li[data-job] ins").first.wait_for()
            await check("replace", width)
            await page.keyboard.press("Escape")
            await visitor.go("/settings#vocabulary")
            await page.locator("[data-vocabulary] tbody tr").wait_for()
            await check("vocabulary", width)
    assert not found, "\n".join(found)
