"""What happens to what people type: it is saved, sent again, merged, recovered and decided, and never lost."""

from __future__ import annotations

import json
import random
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx
import pytest

from testkit.browser import Site, Visitor, visiting
from tests.ui.editing import CARET, KEPT, LINES, LONG_PAUSE, TEXTS, click_at, opened, stored, transcript
from whisper_service.editing.applying import apply
from whisper_service.editing.lines import LineList, line_of
from whisper_service.editing.operations import ChangeText, ClientOperation, DeleteLine
from whisper_service.storage.transcript_edits import Edit

pytestmark = [pytest.mark.ui, pytest.mark.anyio]

CHIP = "document.querySelector('[data-save]')?.dataset.save ?? ''"
CARD = "document.querySelector('[data-conflict]') !== null"
EDITS = re.compile(r"/api/jobs/\w+/edits")
REFUSED = re.compile(r"/api/jobs/\w+/(edits|media|peaks)")
"""Browsers write refused requests into their console: of two edits of a line the later one is refused, then merged."""
API = re.compile(r"/api/")


@asynccontextmanager
async def other_browser(browser: Any, site: Site, job_id: str) -> AsyncIterator[Visitor]:
    """The page of a transcript in a profile of its own."""
    async with visiting(browser, site.url) as visitor:
        visitor.expected = REFUSED
        await visitor.go(f"/t/{job_id}")
        await visitor.live()
        yield visitor


async def other_tab(visitor: Visitor, job_id: str) -> Visitor:
    """The page of a transcript in another tab of the same browser."""
    other = Visitor(await visitor.page.context.new_page(), visitor.url)
    other.expected = visitor.expected
    await other.go(f"/t/{job_id}")
    await other.live()
    return other


async def edit(site: Site, job_id: str, batch: str, *operations: ClientOperation, author: str = "Li") -> None:
    """Edit as somebody else does, elsewhere."""
    await site.service.edits.apply(job_id, Edit(batch, operations, "elsewhere", author))


async def write(visitor: Visitor, line: int, offset: int, text: str) -> None:
    await click_at(visitor, line, offset)
    await visitor.page.keyboard.type(text)


async def answers(site: Site, job_id: str) -> int:
    return (await site.service.parts.store.job(job_id)).edits


def refuse(status: int, code: str) -> Callable[[Any], Any]:
    """Return what answers an edit with an error."""
    problem = {"code": code, "message": "Not now.", "hint": "", "params": {}}

    async def fulfill(route: Any) -> None:
        if route.request.method == "POST":
            await route.fulfill(status=status, content_type="application/json", body=json.dumps(problem))
        else:
            await route.continue_()

    return fulfill


async def test_undo_goes_over_lines_and_a_reload_and_is_the_same_by_the_menu(visitor: Visitor, site: Site) -> None:
    """Criteria 21 and 22."""
    job_id = await opened(site, visitor)
    page = visitor.page
    states = [list(LINES)]
    await write(visitor, 0, 3, " very")
    await page.keyboard.press("Escape")
    states.append([LINES[0].replace("The", "The very"), *LINES[1:]])
    await click_at(visitor, 1, LINES[1].index("Stella"))
    await page.keyboard.press("Enter")
    states.append([states[1][0], "Please call", "Stella and ask her.", LINES[2]])
    await stored(site, job_id, states[2])
    await page.keyboard.press("Escape")
    await click_at(visitor, 3, 0)
    await page.keyboard.press("Backspace")
    states.append([*states[2][:2], "Stella and ask her. One two three four five."])
    await stored(site, job_id, states[3])
    for state in states[:0:-1]:
        await visitor.reads(TEXTS, state)
        await page.keyboard.press("Control+z")
    await visitor.reads(f"JSON.stringify({TEXTS})", json.dumps(states[0]).replace(", ", ",").replace('",', '",'))
    await stored(site, job_id, states[0])
    for state in states[1:]:
        await page.keyboard.press("Control+Shift+z")
        await stored(site, job_id, state)
    await visitor.go(f"/t/{job_id}")
    await click_at(visitor, 0, 0)
    await page.evaluate("document.execCommand('undo')")
    await page.keyboard.press("Control+z")
    await stored(site, job_id, states[2])
    await page.keyboard.press("Control+z")
    await stored(site, job_id, states[1])
    await visitor.reads(TEXTS, states[1])
    await visitor.reads(f"({CARET}) !== null", True)


async def crash(visitor: Visitor) -> None:
    """Kill the renderer of the page."""
    devtools = await visitor.page.context.new_cdp_session(visitor.page)
    died = anyio.Event()
    visitor.page.on("crash", lambda _: died.set())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(devtools.send, "Page.crash")  # nobody answers
        with anyio.fail_after(10):
            await died.wait()
        tasks.cancel_scope.cancel()


async def test_a_tab_that_dies_leaves_what_was_typed_to_the_next_one(visitor: Visitor, site: Site) -> None:
    """Criterion 23: the renderer is killed before anything was sent."""
    await visitor.page.add_init_script(LONG_PAUSE)
    job_id = await opened(site, visitor)
    again = await visitor.page.context.new_page()
    await visitor.page.bring_to_front()
    await write(visitor, 1, 0, "So, ")
    await visitor.reads(KEPT, [f"So, {LINES[1]}"])
    await crash(visitor)
    assert await answers(site, job_id) == 0
    other = Visitor(again, visitor.url)
    await other.go(f"/t/{job_id}")
    await again.get_by_text("Restored 1 unsaved change").wait_for()
    await stored(site, job_id, [LINES[0], f"So, {LINES[1]}", LINES[2]])
    await visitor.sees(lambda: again.evaluate(TEXTS), [LINES[0], f"So, {LINES[1]}", LINES[2]])
    await other.reads(CHIP, "saved")
    assert other.defects == []


async def test_what_a_dead_tab_left_is_sent_from_any_page_by_one_tab(visitor: Visitor, site: Site) -> None:
    """Criterion 23, though the transcript itself is not opened again."""
    await visitor.page.add_init_script(LONG_PAUSE)
    job_id = await opened(site, visitor, "council meeting.wav")
    others = [Visitor(await visitor.page.context.new_page(), visitor.url) for _ in range(2)]
    for other in others:
        await other.go("/settings")
    await visitor.page.bring_to_front()
    await write(visitor, 1, 0, "So, ")
    await visitor.reads(KEPT, [f"So, {LINES[1]}"])
    await crash(visitor)
    assert await answers(site, job_id) == 0
    with anyio.fail_after(20):
        while not await answers(site, job_id):  # until the browser knows that the tab is gone
            for other in others:
                await other.page.evaluate("dispatchEvent(new Event('focus'))")
            await anyio.sleep(0.2)
    wanted = [LINES[0], f"So, {LINES[1]}", LINES[2]]
    await stored(site, job_id, wanted)
    assert await answers(site, job_id) == 1
    said = "[...document.querySelectorAll('.notices p')].map((p) => p.innerText.split('\\n')[0])"
    told = ["Restored 1 unsaved change in “council meeting”"]
    with anyio.fail_after(20):
        while told not in (  # noqa: ASYNC110  nobody tells
            found := [await other.page.evaluate(said) for other in others]
        ):
            await anyio.sleep(0.05)
    assert [] in found
    teller = others[found.index(told)]
    await teller.page.get_by_role("button", name="Open", exact=True).click()
    await teller.reads(TEXTS, wanted)
    await teller.reads(said, [])
    assert [other.defects for other in others] == [[], []]


HEIGHTS = """[...new Set([...document.querySelectorAll('.reading-bar > button')].filter((one) => one.offsetHeight)
  .map((one) => one.offsetHeight))].length"""


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
async def test_a_long_word_about_saving_is_cut_off_and_wraps_no_button(browser: Any, site: Site, locale: str) -> None:
    async with visiting(browser, site.url, locale=locale) as visitor:
        visitor.expected = API
        await opened(site, visitor)
        page = visitor.page
        await visitor.live()
        await page.context.set_offline(True)
        await write(visitor, 0, 0, "A ")
        await page.keyboard.press("Escape")
        await visitor.reads(CHIP, "unsent")
        await page.wait_for_selector("[data-view]")
        for width in (1300, 1100, 1000, 900):
            await page.set_viewport_size({"width": width, "height": 800})
            await visitor.reads("innerWidth", width)
            await visitor.reads(HEIGHTS, 1)  # a label in two rows makes its button higher than the others
            await visitor.reads("document.documentElement.scrollWidth <= innerWidth", wanted=True)
        said = await page.inner_text("[data-save] span > span")
        assert await page.get_attribute("[data-save] > span", "title") == said
        await page.context.set_offline(False)


async def test_what_is_typed_without_a_network_is_told_and_sent_later_even_from_a_new_tab(
    visitor: Visitor, site: Site
) -> None:
    """Criteria 24 and 25, of the page. The service itself is killed in tests/chaos."""
    visitor.expected = API
    job_id = await opened(site, visitor)
    page = visitor.page
    await visitor.live()
    await page.context.set_offline(True)
    await write(visitor, 0, 0, "A ")
    await write(visitor, 1, 0, "B ")
    await page.keyboard.press("Escape")
    await visitor.reads(CHIP, "unsent")
    await visitor.sees(lambda: page.inner_text("[data-save]"), has="Not saved yet: 2 changes are kept in this browser")
    await page.context.set_offline(False)
    await page.evaluate("dispatchEvent(new Event('focus'))")
    await stored(site, job_id, [f"A {LINES[0]}", f"B {LINES[1]}", LINES[2]])
    await visitor.reads(CHIP, "saved")
    assert await answers(site, job_id) == 2
    await page.context.set_offline(True)
    await write(visitor, 2, 0, "C ")
    await page.keyboard.press("Escape")
    await visitor.reads(CHIP, "unsent")
    await page.close()
    fresh = await visitor.page.context.new_page()
    await fresh.context.set_offline(False)
    other = Visitor(fresh, visitor.url)
    other.expected = API
    await other.go(f"/t/{job_id}")
    await stored(site, job_id, [f"A {LINES[0]}", f"B {LINES[1]}", f"C {LINES[2]}"])
    assert await answers(site, job_id) == 3


async def test_an_edit_whose_answer_is_lost_is_made_once(visitor: Visitor, site: Site) -> None:
    """Criterion 26: the service made the edit, and the page does not know it."""
    visitor.expected = API
    job_id = await opened(site, visitor)
    lost: list[str] = []

    async def lose(route: Any) -> None:
        answer = await route.fetch()
        if route.request.method == "POST" and len(lost) < 2:
            lost.append(route.request.post_data)
            await route.abort()
        else:
            await route.fulfill(response=answer)

    await visitor.page.route(EDITS, lose)
    await write(visitor, 0, 0, "So ")
    await visitor.page.keyboard.press("Escape")
    await stored(site, job_id, [f"So {LINES[0]}", *LINES[1:]])
    await visitor.reads(CHIP, "saved")
    assert await answers(site, job_id) == 1
    assert len(lost) >= 1
    body = json.loads(lost[0])
    async with httpx.AsyncClient(base_url=site.url) as client:
        twice = [(await client.post(f"/api/jobs/{job_id}/edits", json=body)).json() for _ in range(2)]
        old = body | {"batch": "another"}
        late = await client.post(f"/api/jobs/{job_id}/edits", json=old)
        without = body | {"batch": "third", "operations": [{"op": "text", "id": "c0.0", "text": "x"}]}
        missing = await client.post(f"/api/jobs/{job_id}/edits", json=without)
    assert twice[0] == twice[1]
    assert (late.status_code, late.json()["code"]) == (409, "edit_conflict")  # criterion 30
    assert late.json()["params"]["lines"][0]["text"] == f"So {LINES[0]}"
    assert (missing.status_code, missing.json()["code"]) == (428, "version_missing")
    assert await answers(site, job_id) == 1


async def test_two_tabs_show_each_other_and_leave_the_caret_alone(visitor: Visitor, site: Site) -> None:
    """Criterion 27."""
    visitor.expected = REFUSED
    job_id = await opened(site, visitor)
    await visitor.live()
    other = await other_tab(visitor, job_id)
    await write(other, 2, 4, "X")
    caret = await other.page.evaluate(CARET)
    await write(visitor, 0, 0, "A ")
    await other.reads(f"{TEXTS}[0]", f"A {LINES[0]}")
    await other.reads(CARET, caret)
    for _ in range(4):
        await visitor.page.keyboard.type("b")
        await other.page.keyboard.type("y")
        await visitor.page.wait_for_timeout(250)
    await visitor.page.keyboard.press("Escape")
    await other.page.keyboard.press("Escape")
    wanted = [f"A bbbb{LINES[0]}", LINES[1], LINES[2][:4] + "Xyyyy" + LINES[2][4:]]
    await stored(site, job_id, wanted)
    for tab in (visitor, other):
        await tab.reads(f"JSON.stringify({TEXTS})", json.dumps(wanted, separators=(",", ":")))
        await tab.reads(CARD, False)
    assert other.defects == []


@pytest.mark.parametrize("choice", ["mine", "theirs", "both"])
async def test_two_people_in_one_line(visitor: Visitor, site: Site, browser: Any, choice: str) -> None:
    """Criterion 28: changes of different words are merged; of the same words, the later one gets a card."""
    visitor.expected = REFUSED
    job_id = await opened(site, visitor)
    await visitor.live()
    async with other_browser(browser, site, job_id) as other:
        await write(visitor, 0, LINES[0].index(" quick"), "y")  # They quick brown ...
        await click_at(other, 0, 5)
        await other.page.keyboard.press("End")
        await other.page.keyboard.press("ArrowLeft")
        await other.page.keyboard.type("gie")
        merged = "They quick brown fox jumps over the lazy doggie."
        await stored(site, job_id, [merged, *LINES[1:]])
        for tab in (visitor, other):
            await tab.reads(f"{TEXTS}[0]", merged)
            await tab.reads(CARD, False)
            await tab.page.keyboard.press("Escape")
        await visitor.page.context.set_offline(True)
        visitor.expected = API
        await write(visitor, 1, LINES[1].index(" Stella"), "s")
        await visitor.page.keyboard.press("Escape")
        await write(other, 1, LINES[1].index("call "), "re")
        await other.page.keyboard.press("Escape")
        theirs, mine = LINES[1].replace("call", "recall"), LINES[1].replace("call", "calls")
        await stored(site, job_id, [merged, theirs, LINES[2]])
        await visitor.page.context.set_offline(False)
        await visitor.page.evaluate("dispatchEvent(new Event('focus'))")
        await visitor.page.wait_for_selector("[data-conflict]")
        await other.reads(CARD, False)
        await visitor.reads(f"{TEXTS}[1]", mine)
        await visitor.sees(lambda: visitor.page.locator(".conflict mark").all_inner_texts(), [" recall", " calls"])
        await visitor.reads(CHIP, "undecided")
        await visitor.page.click(f"[data-keep={choice}]")
        lines = {"mine": [mine], "theirs": [theirs], "both": [theirs, mine]}[choice]
        wanted = [merged, *lines, LINES[2]]
        await stored(site, job_id, wanted)
        for tab in (visitor, other):
            await tab.reads(f"JSON.stringify({TEXTS})", json.dumps(wanted, separators=(",", ":")))
            await tab.reads(CARD, False)
        await visitor.reads(CHIP, "saved")


async def test_what_is_typed_into_a_line_that_somebody_deletes_is_a_line_of_its_own(
    visitor: Visitor, site: Site
) -> None:
    """Criterion 29."""
    visitor.expected = REFUSED
    await visitor.page.add_init_script(LONG_PAUSE)
    job_id = await opened(site, visitor)
    await visitor.live()
    await write(visitor, 1, 0, "So, ")
    await edit(site, job_id, "gone", DeleteLine(id="c1.0", v=0))
    await visitor.page.wait_for_selector("[data-conflict]")
    await visitor.page.keyboard.press("Escape")
    await visitor.page.get_by_text("deleted this line while you wrote in it").first.wait_for()
    await stored(site, job_id, [LINES[0], f"So, {LINES[1]}", LINES[2]])
    await visitor.page.click("[data-keep=mine]")
    await visitor.count("[data-conflict]", 0)
    await visitor.reads(TEXTS, [LINES[0], f"So, {LINES[1]}", LINES[2]])


async def test_an_undo_of_what_somebody_changed_since_is_refused_with_the_name(visitor: Visitor, site: Site) -> None:
    """Section 4.4, and criterion 36 of the API: the log has who changed what."""
    visitor.expected = REFUSED
    job_id = await opened(site, visitor)
    await visitor.live()
    await write(visitor, 0, 0, "A ")
    await visitor.page.keyboard.press("Escape")
    await stored(site, job_id, [f"A {LINES[0]}", *LINES[1:]])
    await edit(site, job_id, "b", ChangeText(id="c0.0", v=1, text="Something else."))
    await visitor.reads(f"{TEXTS}[0]", "Something else.")
    await visitor.page.click("[data-undo]")
    await visitor.page.get_by_text("Changed by Li since then").wait_for()
    await stored(site, job_id, ["Something else.", *LINES[1:]])
    async with httpx.AsyncClient(base_url=site.url) as client:
        log = (await client.get(f"/api/jobs/{job_id}/edits")).json()["edits"]
    assert [(entry["number"], entry["author"]) for entry in log] == [(2, "Li"), (1, "")]


async def test_lines_of_a_job_in_work_stay_as_they_were_edited(visitor: Visitor, site: Site) -> None:
    """Criterion 35, of the page: later chunks do not change them."""
    job = await site.send("live.wav", chunks=8, seconds=1.0, delay=0.3)
    await visitor.go(f"/t/{job.id}")
    await visitor.page.get_by_text("This is chunk 1.").wait_for()
    await write(visitor, 1, 0, "Edited: ")
    await visitor.page.keyboard.press("Escape")
    await visitor.page.get_by_text("This is chunk 7.").wait_for()
    await site.until(job.id, "completed")
    await visitor.reads(f"({TEXTS})[1]", "Edited: This is chunk 1.")
    with anyio.fail_after(20):
        while (await transcript(site, job.id))[1]["text"] != "Edited: This is chunk 1.":  # noqa: ASYNC110  nobody tells
            await anyio.sleep(0.05)


async def test_an_ended_login_leads_nowhere_while_something_is_not_saved(visitor: Visitor, site: Site) -> None:
    """Section 4.3: the page stays, and says where to log in again."""
    visitor.expected = API
    job_id = await opened(site, visitor)
    await visitor.page.route(EDITS, refuse(401, "unauthorized"))
    await write(visitor, 0, 0, "A ")
    await visitor.page.keyboard.press("Escape")
    link = visitor.page.get_by_role("link", name="Log in again to save 1 change")
    await link.wait_for()
    assert (await link.get_attribute("href"), await link.get_attribute("target")) == ("/login", "_blank")
    await visitor.page.unroute(EDITS)
    await visitor.page.evaluate("dispatchEvent(new Event('focus'))")
    await stored(site, job_id, [f"A {LINES[0]}", *LINES[1:]])
    await visitor.count("[data-login]", 0)


async def test_a_full_disk_is_told_and_what_is_refused_can_be_copied_and_given_up(visitor: Visitor, site: Site) -> None:
    """Section 4.2: 507 waits, 422 is kept with the reason."""
    visitor.expected = API
    job_id = await opened(site, visitor)
    page = visitor.page
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await page.route(EDITS, refuse(507, "disk_full"))
    await write(visitor, 0, 0, "A ")
    await page.keyboard.press("Escape")
    await visitor.reads(CHIP, "unsent")
    await page.unroute(EDITS)
    await page.evaluate("dispatchEvent(new Event('focus'))")
    await visitor.reads(CHIP, "saved")
    await page.route(EDITS, refuse(422, "bad_edit"))
    await write(visitor, 1, 0, "B ")
    await page.keyboard.press("Escape")
    await page.wait_for_selector("[data-refused]")
    await visitor.reads(f"({TEXTS})[1]", f"B {LINES[1]}")
    await page.click("[data-copy-unsaved]")
    await visitor.sees(lambda: page.evaluate("navigator.clipboard.readText()"), f"B {LINES[1]}")
    await page.click("[data-discard]")
    await visitor.count("[data-refused]", 0)
    await visitor.reads(TEXTS, [f"A {LINES[0]}", *LINES[1:]])
    await stored(site, job_id, [f"A {LINES[0]}", *LINES[1:]])


async def test_what_was_typed_into_a_deleted_transcript_can_be_copied(visitor: Visitor, site: Site) -> None:
    """Section 4.2: 404. The page stays as long as something is not saved."""
    visitor.expected = API
    job_id = await opened(site, visitor)
    await visitor.live()
    await write(visitor, 0, 0, "A ")
    await site.service.jobs.delete(job_id, for_good=True)
    await visitor.page.wait_for_selector("[data-refused]")
    await visitor.reads(f"({TEXTS})[0]", f"A {LINES[0]}")
    await visitor.sees(lambda: visitor.page.is_visible("[data-copy-unsaved]"), True)


async def test_a_browser_that_stores_nothing_says_so_and_asks(browser: Any, site: Site) -> None:
    """Section 4.3: unsaved changes live only in the tab."""
    async with visiting(browser, site.url) as visitor:
        visitor.expected = API
        await visitor.page.add_init_script("Object.defineProperty(window, 'indexedDB', { value: undefined })")
        job_id = await opened(site, visitor)
        await visitor.page.context.set_offline(True)
        await write(visitor, 0, 0, "A ")
        await visitor.page.keyboard.press("Escape")
        await visitor.reads(CHIP, "memory")
        asked: list[str] = []

        async def stay(dialog: Any) -> None:
            asked.append(dialog.type)
            await dialog.dismiss()

        visitor.page.on("dialog", stay)
        await visitor.page.close(run_before_unload=True)
        with anyio.fail_after(20):
            while not asked:  # noqa: ASYNC110  the page is asked on its own
                await anyio.sleep(0.03)
        assert asked == ["beforeunload"]
        await visitor.page.context.set_offline(False)
        await visitor.page.evaluate("dispatchEvent(new Event('focus'))")
        await stored(site, job_id, [f"A {LINES[0]}", *LINES[1:]])


async def test_after_many_acts_page_service_and_log_have_the_same_text(visitor: Visitor, site: Site) -> None:
    """Criterion 38: typing, splits, joins, deletions and undo at random, by keys alone."""
    job_id = await opened(site, visitor)
    page = visitor.page
    chance = random.Random(38)
    for number in range(60):
        texts = await page.evaluate(TEXTS)
        line = chance.randrange(len(texts))
        place = chance.randrange(len(texts[line]) or 1)
        await click_at(visitor, line, min(place, max(0, len(texts[line]) - 1)))
        act = chance.random()
        if act < 0.5:
            await page.keyboard.type(chance.choice([f" w{number}", ",", "苹果", f"{number} "]))
        elif act < 0.7:
            await page.keyboard.press("Enter")
        elif act < 0.85:
            await page.keyboard.press("Home")
            await page.keyboard.press("Backspace")
        else:
            await page.keyboard.press("Control+z")
    await page.keyboard.press("Escape")
    await visitor.reads("document.querySelector('[data-save]').dataset.pending", "0")
    shown = await page.evaluate(TEXTS)
    lines = await transcript(site, job_id)
    assert [" ".join(text.split()) for text in shown] == [line["text"] for line in lines]
    assert sorted(line["start"] for line in lines) == [line["start"] for line in lines]

    store = site.service.parts.store
    folded = LineList(map(line_of, await store.segments(job_id)))
    log = await site.service.edits.history(job_id, limit=1_000)
    assert len(log) > 30
    for entry in reversed(log):
        apply(folded, entry.operations)
    assert [(line.id, line.text, line.version) for line in folded] == [
        (line["id"], line["text"], line["version"]) for line in lines
    ]
    assert [[word.word for word in line.words] for line in folded] == [
        [word["word"] for word in line["words"]] for line in lines
    ]
