"""Editing the text where it stands: the caret, the keys, input methods, the clipboard, a phone, and who cannot see."""

from __future__ import annotations

from typing import Any

import anyio
import httpx
import pytest

from testkit.browser import LANGUAGES, Site, Visitor, visiting
from testkit.playable import sound
from tests.ui.editing import CARET, LINES, TEXTS, click_at, opened, stored, transcript

pytestmark = [pytest.mark.ui, pytest.mark.anyio]

HAN = ("那么苹果能突破一万亿大关吗？", "今天天气很好。")
PLACE = "document.querySelector('video').currentTime"


async def test_a_click_on_a_word_goes_there_and_what_is_typed_is_stored(visitor: Visitor, site: Site) -> None:
    """Criterion 10."""
    job_id = await opened(site, visitor)
    page = visitor.page
    segments = await site.service.parts.store.segments(job_id)
    await click_at(visitor, 1, LINES[1].index("Stella") + 2)
    await visitor.reads(f"Math.abs({PLACE} - {segments[1].words[2].start}) < 0.05", True)
    await visitor.reads(CARET, [1, LINES[1].index("Stella") + 2])
    await visitor.reads("document.activeElement.isContentEditable", True)
    await page.keyboard.type("x")
    edited = LINES[1].replace("Stella", "Stxella")
    await visitor.reads(f"({TEXTS})[1]", edited)
    await stored(site, job_id, [LINES[0], edited, LINES[2]])
    assert await site.service.parts.store.segments(job_id) == segments


async def test_what_is_edited_is_in_every_file_and_search_and_the_original_stays(visitor: Visitor, site: Site) -> None:
    """Criterion 11."""
    job_id = await opened(site, visitor)
    page = visitor.page
    await click_at(visitor, 0, 5)
    await page.keyboard.press("Control+A")
    await page.keyboard.type("A slow zebra walks.")
    await page.keyboard.press("Escape")
    await stored(site, job_id, ["A slow zebra walks.", *LINES[1:]])
    async with httpx.AsyncClient(base_url=site.url) as client:
        for kind in ("srt", "vtt", "txt", "json", "tsv", "md", "lrc", "ass"):
            said = (await client.get(f"/api/jobs/{job_id}/export", params={"format": kind})).text
            assert "zebra" in said, kind
            assert "brown" not in said, kind
        for query, found in (("zebra", 1), ("brown", 0)):
            answer = (await client.get("/api/jobs", params={"q": query})).json()
            assert len(answer["jobs"]) == found, answer
    machine = await transcript(site, job_id, version="machine")
    assert [line["text"] for line in machine] == list(LINES)


async def test_a_word_that_is_replaced_leaves_the_times_of_all_others(visitor: Visitor, site: Site) -> None:
    """Criteria 12, 13 and 14."""
    job_id = await opened(site, visitor)
    page = visitor.page
    before = await transcript(site, job_id)
    await click_at(visitor, 1, LINES[1].index("Stella"))
    for _ in "Stella":
        await page.keyboard.press("Shift+ArrowRight")
    await page.keyboard.type("Bella")
    one = LINES[1].replace("Stella", "Bella")
    lines = await stored(site, job_id, [LINES[0], one, LINES[2]])
    old, new = before[1]["words"], lines[1]["words"]
    assert [(w["start"], w["end"], w["probability"]) for w in old[:2] + old[3:]] == [
        (w["start"], w["end"], w["probability"]) for w in new[:2] + new[3:]
    ]
    assert [new[2][edge] for edge in ("start", "end")] == [old[2][edge] for edge in ("start", "end")]
    await click_at(visitor, 2, 0)
    for _ in "One two":
        await page.keyboard.press("Shift+ArrowRight")
    await page.keyboard.type("Six seven eight")
    two = LINES[2].replace("One two", "Six seven eight")
    words = (await stored(site, job_id, [LINES[0], one, two]))[2]["words"]
    old = before[2]["words"]
    assert [word.get("by", "machine") for word in words] == ["spread"] * 3 + ["machine"] * 3
    times = [word[edge] for word in words[:3] for edge in ("start", "end")]
    assert times == sorted(times)
    assert (times[0], times[-1]) == (old[0]["start"], old[1]["end"])
    await page.keyboard.press("End")
    await page.keyboard.press("Backspace")
    await page.keyboard.type("!")
    last = (await stored(site, job_id, [LINES[0], one, two[:-1] + "!"]))[2]["words"]
    assert [(word["start"], word["end"]) for word in last] == [(word["start"], word["end"]) for word in words]


async def test_enter_splits_a_line_and_backspace_joins_the_halves(visitor: Visitor, site: Site) -> None:
    """Criteria 15 and 16."""
    job_id = await opened(site, visitor)
    page = visitor.page
    before = await transcript(site, job_id)
    await click_at(visitor, 0, LINES[0].index("jumps"))
    await page.keyboard.press("Enter")
    halves = ["The quick brown fox", "jumps over the lazy dog."]
    await visitor.reads(CARET, [1, 0])
    await visitor.reads(f"({TEXTS}).slice(0, 2)", halves)
    lines = await stored(site, job_id, [*halves, *LINES[1:]])
    assert lines[0]["end"] <= lines[1]["start"]
    await visitor.sees(lambda: page.inner_text("[data-said]"), "Line split")
    await page.keyboard.press("Backspace")
    await visitor.sees(lambda: page.evaluate(CARET), [0, LINES[0].index("jumps")])
    assert (await stored(site, job_id, list(LINES)))[0]["words"] == before[0]["words"]
    await visitor.sees(lambda: page.inner_text("[data-said]"), has="Lines joined")
    await page.keyboard.press("Home")
    await page.keyboard.press("Enter")  # at the start: nothing
    await visitor.sees(lambda: page.evaluate(CARET), [0, 0])
    await page.keyboard.press("End")
    await page.keyboard.press("Enter")  # at the end: the next line
    await visitor.sees(lambda: page.evaluate(CARET), [1, 0])
    await visitor.reads(TEXTS, list(LINES))
    await page.keyboard.press("End")
    await page.keyboard.press("Delete")
    await stored(site, job_id, [LINES[0], f"{LINES[1]} {LINES[2]}"])
    await visitor.reads(CARET, [1, len(LINES[1])])


async def test_chinese_lines_are_split_and_joined_without_a_space(visitor: Visitor, site: Site) -> None:
    """Criterion 15."""
    job_id = await opened(site, visitor, lines=HAN, language="zh")
    page = visitor.page
    before = await transcript(site, job_id)
    await click_at(visitor, 0, 4)
    await page.keyboard.press("Enter")
    await stored(site, job_id, ["那么苹果", "能突破一万亿大关吗？", HAN[1]])
    await page.keyboard.press("Backspace")
    await visitor.sees(lambda: page.evaluate(CARET), [0, 4])
    assert (await stored(site, job_id, list(HAN)))[0]["words"] == before[0]["words"]


async def test_lines_of_several_chunks_become_one(visitor: Visitor, site: Site) -> None:
    """Criterion 17."""
    job_id = await opened(site, visitor)
    page = visitor.page
    await click_at(visitor, 2, 0)
    await page.keyboard.press("Home")
    await page.keyboard.press("Backspace")
    await page.keyboard.press("Home")
    await page.keyboard.press("Backspace")
    whole = " ".join(LINES)
    lines = await stored(site, job_id, [whole])
    times = [word["start"] for word in lines[0]["words"]]
    assert times == sorted(times)
    assert lines[0]["end"] > 30
    await page.reload()
    await page.locator("[data-line]").wait_for()
    await visitor.reads(TEXTS, [whole])
    async with httpx.AsyncClient(base_url=site.url) as client:
        found = (await client.get("/api/jobs", params={"q": "lazy five"})).json()
    assert [job["id"] for job in found["jobs"]] == [job_id]


async def test_arrow_keys_go_over_lines_in_their_column_and_nobody_is_trapped(browser: Any, site: Site) -> None:
    """Criterion 18."""
    long = "several words that fill more than one row of a narrow window, whatever its letters are like"
    async with visiting(browser, site.url, viewport={"width": 700, "height": 700}) as visitor:
        job_id = await opened(site, visitor, lines=(f"First {long}", f"Then {long}", f"Last {long}"))
        page = visitor.page
        await click_at(visitor, 1, 9)
        column = "(() => { const r = getSelection().getRangeAt(0).getClientRects()[0]; return [r.left, r.top] })()"
        left, top = await page.evaluate(column)
        await page.keyboard.press("ArrowUp")
        await visitor.reads(f"({CARET})?.[0]", 0)
        up, above = await page.evaluate(column)
        assert abs(up - left) < 9
        assert above < top
        await page.keyboard.press("ArrowDown")
        line, offset = await page.evaluate(CARET)
        assert line == 1
        assert abs(offset - 9) <= 1
        await page.keyboard.press("ArrowDown")  # another row of the same line
        await visitor.reads(f"({CARET})?.[0]", 1)
        for _ in range(6):
            await page.keyboard.press("ArrowDown")
        await visitor.reads(f"({CARET})?.[0]", 2)
        await page.keyboard.type("x")
        await page.keyboard.press("Escape")
        await visitor.reads("document.activeElement.dataset.line !== undefined", wanted=True)
        await visitor.count("[contenteditable]", 0)
        text = (await page.evaluate(TEXTS))[2]
        assert "x" in text.replace("Last", "")
        await stored(site, job_id, [f"First {long}", f"Then {long}", text])
        for key in ("Tab", "Shift+Tab"):
            await page.keyboard.press("Enter")
            await visitor.reads("document.activeElement.isContentEditable", wanted=True)
            await page.keyboard.press(key)
            await visitor.reads("document.activeElement.closest('.text')", None)
            await page.locator("[data-line]").first.focus()


async def test_an_empty_line_is_deleted_when_it_is_left_and_an_undo_brings_it_back(
    visitor: Visitor, site: Site
) -> None:
    """Criterion 19."""
    job_id = await opened(site, visitor)
    page = visitor.page
    before = await transcript(site, job_id)
    await click_at(visitor, 1, 3)
    await page.keyboard.press("Control+A")
    await page.keyboard.press("Delete")
    await page.wait_for_timeout(1_000)  # longer than a pause of typing
    await visitor.reads(TEXTS, [LINES[0], "", LINES[2]])
    await page.keyboard.press("ArrowDown")
    await stored(site, job_id, [LINES[0], LINES[2]])
    await visitor.reads(CARET, [1, 0])
    await page.locator(".notices").get_by_text("Line deleted").wait_for()
    await visitor.sees(lambda: page.inner_text("[data-urgent]"), has="Undo is available")
    await page.locator(".notices button", has_text="Undo").click()
    lines = await stored(site, job_id, list(LINES))
    assert lines[1]["words"] == before[1]["words"]
    await page.keyboard.press("Escape")
    await page.locator("[data-line]").nth(2).focus()
    await page.keyboard.press("Shift+Delete")
    await stored(site, job_id, list(LINES[:2]))
    await page.keyboard.press("Control+z")
    await stored(site, job_id, list(LINES))


async def test_a_new_line_is_written_into_a_pause(visitor: Visitor, site: Site) -> None:
    """Criterion 20."""
    job = await site.send("pause.wav", data=sound(40, cuts=[[0.0, 10.0], [13.0, 20.0]], lines=LINES))
    await site.until(job.id, "completed")
    await visitor.go(f"/t/{job.id}")
    page = visitor.page
    await page.locator("[data-line]").first.hover()
    await page.click("[data-line-menu]")
    await page.click("[data-line-act=insert]")
    await visitor.sees(lambda: page.evaluate(CARET), [1, 0])
    await page.keyboard.type("In the pause.")
    await page.keyboard.press("Escape")
    lines = await stored(site, job.id, [LINES[0], "In the pause.", LINES[1]])
    assert 10 <= lines[1]["start"] < lines[1]["end"] <= 13
    assert lines[1]["source"] == "person"
    async with httpx.AsyncClient(base_url=site.url) as client:
        said = (await client.get(f"/api/jobs/{job.id}/export", params={"format": "txt"})).text
    assert said.index("lazy dog") < said.index("In the pause.") < said.index("Stella")
    await page.locator("[data-line]").first.focus()
    await page.click("[data-line-menu]")
    await page.click("[data-line-act=insert]")
    await page.keyboard.press("Escape")  # a new line without a text is none
    await visitor.sees(lambda: page.locator("[data-line]").count(), 3)


async def test_five_acts_are_undone_and_done_again_with_the_caret_where_they_were(visitor: Visitor, site: Site) -> None:
    """Criteria 21 and 22."""
    job_id = await opened(site, visitor, lines=(*LINES, "Six seven eight.", "Nine ten."))
    page = visitor.page
    start = [*LINES, "Six seven eight.", "Nine ten."]
    states = [start]
    await click_at(visitor, 0, 4)
    await page.keyboard.type("very ")
    await page.keyboard.press("Escape")
    states.append(["The very quick brown fox jumps over the lazy dog.", *start[1:]])
    await stored(site, job_id, states[-1])
    await click_at(visitor, 1, LINES[1].index("Stella"))
    await page.keyboard.press("Enter")
    states.append([states[-1][0], "Please call", "Stella and ask her.", *start[2:]])
    await stored(site, job_id, states[-1])
    await click_at(visitor, 4, 0)
    await page.keyboard.press("Home")
    await page.keyboard.press("Backspace")
    states.append([*states[-1][:3], f"{LINES[2]} Six seven eight.", "Nine ten."])
    await stored(site, job_id, states[-1])
    await page.keyboard.press("Escape")
    await page.locator("[data-line]").nth(4).focus()
    await page.keyboard.press("Shift+Delete")
    states.append(states[-1][:4])
    await stored(site, job_id, states[-1])
    await page.locator("[data-line]").nth(0).focus()
    await page.click("[data-line-menu]")
    await page.click("[data-line-act=insert]")
    await page.keyboard.type("New")
    await page.keyboard.press("Escape")
    states.append([states[-1][0], "New", *states[-1][1:]])
    await stored(site, job_id, states[-1])
    await click_at(visitor, 0, 3)
    undone = 0
    while (before := await page.evaluate(TEXTS)) != start:
        undone += 1
        assert undone <= 7  # typing into a new line may be two steps
        await page.keyboard.press("Control+z")
        with anyio.fail_after(20):
            while await page.evaluate(TEXTS) == before:  # noqa: ASYNC110  nobody tells
                await anyio.sleep(0.03)
    await visitor.reads(f"({CARET})?.[0]", 0)
    await visitor.reads(f"Math.abs(({CARET})[1] - 4) <= 1", True)  # beside "very ", whose spaces are alike
    await stored(site, job_id, start)
    for _ in range(undone):
        await page.keyboard.press("Control+Shift+z")
    await visitor.reads(TEXTS, states[-1])
    await stored(site, job_id, states[-1])
    await page.reload()
    await page.locator("[data-line]").first.wait_for()
    await click_at(visitor, 0, 3)
    for _ in range(undone - 4):
        await page.keyboard.press("Control+z")
    await stored(site, job_id, states[4])
    await page.keyboard.press("Escape")
    await click_at(visitor, 2, 3)
    await page.keyboard.type("zz")
    await visitor.reads(f"({TEXTS})[2].includes('zz')", True)
    await page.evaluate("document.execCommand('undo')")  # as the context menu of the browser
    await visitor.reads(TEXTS, states[4])
    await stored(site, job_id, states[4])


async def test_an_input_method_composes_undisturbed(visitor: Visitor, site: Site) -> None:
    """Criterion 31."""
    job_id = await opened(site, visitor, lines=HAN, language="zh")
    page = visitor.page
    posts: list[str] = []
    page.on("request", lambda request: posts.append(request.url) if request.method == "POST" else None)
    await page.click("[data-play]")
    await click_at(visitor, 0, 2)
    devices = await page.context.new_cdp_session(page)
    for text in ("p", "pi", "ping", "pingguo"):
        await devices.send(
            "Input.imeSetComposition", {"text": text, "selectionStart": len(text), "selectionEnd": len(text)}
        )
        await page.wait_for_timeout(250)
    composed = "那么pingguo苹果能突破一万亿大关吗？"
    await visitor.reads(f"({TEXTS})[0]", composed)
    await page.evaluate(
        """() => { const line = document.querySelector('[contenteditable]')
          for (const more of [{ isComposing: true }, { keyCode: 229 }])
            line.dispatchEvent(
              new KeyboardEvent('keydown', { key: 'Enter', code: 'Enter', bubbles: true, ...more })) }"""
    )
    assert posts == []
    await devices.send("Input.insertText", {"text": "蘋果"})
    await page.evaluate(
        """() => { const line = document.querySelector('[contenteditable]')
          line.dispatchEvent(new CompositionEvent('compositionend', { bubbles: true }))
          line.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', code: 'Enter', bubbles: true })) }"""
    )
    await visitor.sees(lambda: page.locator("[data-line]").count(), 2)  # this Enter ended a composition only
    edited = "那么蘋果苹果能突破一万亿大关吗？"
    await visitor.reads(f"({TEXTS})[0]", edited)
    await visitor.reads("[...document.querySelector('[contenteditable]').childNodes].map((n) => n.nodeType)", [3])
    await stored(site, job_id, [edited, HAN[1]])
    assert posts
    await page.wait_for_timeout(50)
    await page.keyboard.press("Enter")
    await stored(site, job_id, ["那么蘋果", "苹果能突破一万亿大关吗？", HAN[1]])


async def test_a_change_of_somebody_else_waits_for_the_end_of_a_composition(visitor: Visitor, site: Site) -> None:
    """Criterion 32."""
    job_id = await opened(site, visitor)
    page = visitor.page
    await click_at(visitor, 0, len("The quick"))
    devices = await page.context.new_cdp_session(page)
    await devices.send("Input.imeSetComposition", {"text": "shi", "selectionStart": 3, "selectionEnd": 3})
    async with httpx.AsyncClient(base_url=site.url) as client:
        operation = {"op": "text", "id": "c0.0", "v": 0, "text": LINES[0].replace("lazy", "sleepy")}
        other = {"op": "text", "id": "c1.0", "v": 0, "text": "Another line."}
        for batch, one in (("b1", operation), ("b2", other)):
            (
                await client.post(f"/api/jobs/{job_id}/edits", json={"batch": batch, "operations": [one]})
            ).raise_for_status()
    await visitor.reads(f"{TEXTS}[1]", "Another line.")
    await visitor.reads(f"({TEXTS})[0]", LINES[0].replace("quick", "quickshi"))
    await devices.send("Input.insertText", {"text": "是"})
    merged = "The quick是 brown fox jumps over the sleepy dog."
    await visitor.reads(f"{TEXTS}[0]", merged)
    await visitor.reads(CARET, [0, len("The quick是")])
    await stored(site, job_id, [merged, "Another line.", LINES[2]])


PASTE = """(items) => { const data = new DataTransfer()
  for (const [type, text] of Object.entries(items)) data.setData(type, text)
  document.activeElement.dispatchEvent(
    new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true })) }"""


async def test_only_plain_text_is_pasted_and_several_lines_after_a_question(visitor: Visitor, site: Site) -> None:
    """Criterion 33."""
    job_id = await opened(site, visitor)
    page = visitor.page
    html = {"text/html": "<b>a</b><br><i>b</i>", "text/plain": "<b>a</b>\n<i>b</i>"}
    await click_at(visitor, 0, 4)
    await page.evaluate(PASTE, html)
    await page.get_by_text("Paste as 2 lines?").wait_for()
    await page.click("dialog[open] button[value=one]")
    pasted = LINES[0].replace("The ", "The <b>a</b> <i>b</i>")
    await stored(site, job_id, [pasted, *LINES[1:]])
    await visitor.count(".text b, .text i", 0)
    await visitor.reads(CARET, [0, 4 + len("<b>a</b> <i>b</i>")])
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Home")
    await page.evaluate(PASTE, {"text/plain": "first\r\n\r\nsecond\nthird "})
    await page.click("dialog[open] button[value=lines]")
    await stored(site, job_id, [pasted, "first", "second", "third" + LINES[1], LINES[2]])
    await visitor.reads(CARET, [3, len("third")])
    await page.evaluate(PASTE, {"text/plain": "one\ntwo"})
    await page.keyboard.press("Escape")
    await visitor.count("dialog[open]", 0)
    await visitor.reads("document.activeElement.isContentEditable", True)
    await visitor.reads(f"({TEXTS})[3]", "third" + LINES[1])
    dropped = await page.evaluate(
        """() => { const data = new DataTransfer()
          data.setData('text/plain', 'dropped')
          return !document.activeElement.dispatchEvent(
            new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true })) }"""
    )
    assert dropped  # it was refused
    assert "dropped" not in await visitor.words()


async def test_an_older_browser_edits_lines_as_well(browser: Any, site: Site) -> None:
    """Criterion 34: what Firefox does before 136, whose lines are no `plaintext-only`."""
    async with visiting(browser, site.url) as visitor:
        await visitor.page.add_init_script(
            """const set = Element.prototype.setAttribute
            Element.prototype.setAttribute = function (name, value) {
              if (value !== 'plaintext-only') set.call(this, name, value) }"""
        )
        job_id = await opened(site, visitor)
        page = visitor.page
        await click_at(visitor, 1, 0)
        await visitor.sees(lambda: page.get_attribute("[contenteditable]", "contenteditable"), "true")
        await page.keyboard.press("Home")
        await page.keyboard.type("x ")
        await page.keyboard.press("Control+b")
        await stored(site, job_id, [LINES[0], f"x {LINES[1]}", LINES[2]])
        await page.keyboard.press("Enter")
        await stored(site, job_id, [LINES[0], "x", LINES[1], LINES[2]])
        await page.keyboard.press("Backspace")
        await stored(site, job_id, [LINES[0], f"x {LINES[1]}", LINES[2]])
        await page.evaluate(PASTE, {"text/html": "<b>a</b>", "text/plain": "<b>a</b>"})
        await stored(site, job_id, [LINES[0], f"x <b>a</b>{LINES[1]}", LINES[2]])
        await visitor.count(".text b", 0)


async def test_a_retry_that_fills_a_gap_leaves_what_people_wrote(visitor: Visitor, site: Site) -> None:
    """Criterion 37."""
    fails = site.marks / "fails"
    fails.touch()
    job_id = await opened(site, visitor, "gap.wav", bad=[1], calm=str(fails))
    page = visitor.page
    await click_at(visitor, 0, 4)
    await page.keyboard.type("very ")
    await page.locator(".line.gap").get_by_text("Type what is said").click()
    await page.keyboard.type("I typed this.")
    await page.keyboard.press("Escape")
    edited = "The very quick brown fox jumps over the lazy dog."
    lines = await stored(site, job_id, [edited, "I typed this.", LINES[2]])
    assert 11 <= lines[1]["start"] < lines[1]["end"] <= 22
    await visitor.sees(lambda: page.get_by_text("Also recognized here").count(), 0)
    fails.unlink()
    async with httpx.AsyncClient(base_url=site.url) as client:
        (await client.post(f"/api/jobs/{job_id}/retry", json={})).raise_for_status()
    await visitor.reads(TEXTS, [edited, "I typed this.", LINES[1], LINES[2]])
    await page.locator("[data-line]", has_text="I typed this.").get_by_text("Also recognized here").wait_for()
    await visitor.sees(lambda: page.get_by_text("Also recognized here").count(), 1)
    await stored(site, job_id, [edited, "I typed this.", LINES[1], LINES[2]])
    for choice, wanted in (
        ("Keep mine", [edited, "I typed this.", LINES[2]]),
        ("Use recognized", [edited, *LINES[1:]]),
    ):
        await page.get_by_role("button", name=choice, exact=True).click()
        await visitor.reads(TEXTS, wanted)
        await stored(site, job_id, wanted)
        await page.get_by_role("button", name="Undo", exact=True).last.click()
        await stored(site, job_id, [edited, "I typed this.", LINES[1], LINES[2]])
    await page.get_by_role("button", name="Keep both", exact=True).click()
    await page.get_by_text("Also recognized here").wait_for(state="detached")
    await page.reload()
    await visitor.reads(TEXTS, [edited, "I typed this.", LINES[1], LINES[2]])
    await visitor.sees(lambda: page.get_by_text("Also recognized here").count(), 0)


async def test_the_original_is_shown_with_what_was_changed_and_a_line_gets_it_back(
    visitor: Visitor, site: Site
) -> None:
    job_id = await opened(site, visitor)
    page = visitor.page
    await click_at(visitor, 1, LINES[1].index("Stella"))
    for _ in "Stella":
        await page.keyboard.press("Delete")
    await page.keyboard.type("Bella")
    edited = LINES[1].replace("Stella", "Bella")
    await stored(site, job_id, [LINES[0], edited, LINES[2]])
    await page.keyboard.press("Escape")
    await visitor.sees(lambda: page.locator("[data-edited]:is(.line)").count(), 1)
    await page.click(".reading-bar .more")
    await page.click("[data-original]")
    await visitor.reads(TEXTS, list(LINES))
    await visitor.reads("[...CSS.highlights.get('changed')].map(String)", ["Stella"])
    await click_at(visitor, 0, 5)
    await visitor.count("[contenteditable]", 0)  # the original cannot be edited
    await page.click("[data-hide-original]")
    await visitor.reads(TEXTS, [LINES[0], edited, LINES[2]])
    await page.locator("[data-line]").nth(1).hover()
    await page.click("[data-line-menu]")
    await page.click("[data-line-act=original]")
    await page.locator("dialog[open]", has_text=LINES[1]).wait_for()
    await page.click("dialog[open] button[value=use]")
    await stored(site, job_id, list(LINES))


AXE_STATES = ("reading", "editing", "menu", "question")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("locale", LANGUAGES)
async def test_axe_finds_nothing_while_lines_are_edited(browser: Any, site: Site, locale: str, theme: Any) -> None:
    """Criterion 48: reading and editing, with the menu of a line and the question of a paste."""
    axe = pytest.importorskip(
        "axe_playwright_python.async_playwright", reason="axe-playwright-python is not installed"
    ).Axe()
    found: list[str] = []
    async with visiting(browser, site.url, locale=locale, color_scheme=theme, reduced_motion="reduce") as visitor:
        await opened(site, visitor, "axe.wav")
        page = visitor.page
        for width in (1280, 390):
            await page.set_viewport_size({"width": width, "height": 844})
            for state in AXE_STATES:
                if state == "editing":
                    await click_at(visitor, 1, 3)
                    await page.keyboard.type("x")
                if state == "menu":
                    await page.locator("[data-line]").nth(2).hover()
                    await page.click("[data-line-menu]")
                if state == "question":
                    await page.keyboard.press("Escape")
                    await click_at(visitor, 1, 3)
                    await page.evaluate(PASTE, {"text/plain": "one\ntwo"})
                    await page.wait_for_selector("dialog[open]")
                results = await axe.run(page, options={"resultTypes": ["violations"]})
                found += [
                    f"{state} at {width}: {rule['id']}: {node['html'][:200]}"
                    for rule in results.response["violations"]
                    for node in rule["nodes"]
                ]
                if await page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                    found.append(f"{state} at {width}: wider than the window")
            await page.keyboard.press("Escape")
            await page.keyboard.press("Escape")
    assert found == []


async def test_a_screen_reader_hears_lines_and_what_happens_to_them_and_nothing_while_it_plays(
    visitor: Visitor, site: Site
) -> None:
    """Criterion 49."""
    job_id = await opened(site, visitor)
    page = visitor.page
    async with httpx.AsyncClient(base_url=site.url) as client:
        operations = [
            {"op": "name_speaker", "id": "anna", "name": "Anna"},
            {"op": "speaker", "ids": ["c0.0", "c1.0", "c2.0"], "speaker": "anna"},
        ]
        answer = await client.post(f"/api/jobs/{job_id}/edits", json={"batch": "b", "operations": operations})
        answer.raise_for_status()
    await page.locator(".text").get_by_text("Anna").first.wait_for()
    tree = await page.locator(".text").aria_snapshot()
    assert tree.count("- listitem") == 3
    assert 'list "Transcript"' in tree
    await page.evaluate(
        """() => { window.said = []
          for (const place of document.querySelectorAll('[role=status], [role=alert], [aria-live]'))
            new MutationObserver(() => window.said.push(place.textContent))
              .observe(place, { childList: true, characterData: true, subtree: true }) }"""
    )
    await page.get_by_label("Play from 0:11").click()
    await page.wait_for_selector("[data-line='c1.0'][aria-current=true]")
    await visitor.count("[aria-current=true].line", 1)
    await page.wait_for_timeout(1_500)
    await visitor.reads("window.said", [])
    await click_at(visitor, 1, 3)
    await visitor.sees(lambda: page.locator(".text").aria_snapshot(), has='textbox "Edit line 2, 0:11, Anna"')
    await page.click("[data-play]")
    await visitor.sees(
        lambda: page.evaluate("document.activeElement.isContentEditable")
    )  # the mouse left the caret where it was


VIEWPORT = """Object.defineProperty(globalThis, 'visualViewport', { value: Object.assign(new EventTarget(),
  { offsetTop: 0, height: 844, width: 390, scale: 1 }) })"""
KEYBOARD = """(height) => { visualViewport.height = height; visualViewport.dispatchEvent(new Event('resize')) }"""


@pytest.mark.parametrize("width", [390, 320])
async def test_a_phone_edits_lines_above_its_keyboard(browser: Any, site: Site, width: int) -> None:
    """Criterion 50."""
    phone = {"viewport": {"width": width, "height": 844}, "has_touch": True, "is_mobile": True}
    lines = tuple(f"{text} Line {n}." for n in range(6) for text in LINES[:2])
    async with visiting(browser, site.url, **phone) as visitor:
        await visitor.page.add_init_script(VIEWPORT)
        job_id = await opened(site, visitor, lines=lines)
        page = visitor.page
        line = page.locator("[data-line] > p").nth(7)
        await line.scroll_into_view_if_needed()
        await line.tap()
        await visitor.reads(f"Math.abs({PLACE} - 82) < 5", True)
        await visitor.count("[contenteditable]", 0)  # a tap alone brings no keyboard
        await line.tap()
        await page.wait_for_selector("[contenteditable]")
        await page.evaluate(KEYBOARD, 420)
        await page.keyboard.type("x")
        seen = """() => { const [line, strip] = ['[contenteditable]', '.key-strip']
          .map((s) => document.querySelector(s).getBoundingClientRect())
          return line.top >= 0 && line.bottom <= strip.top && strip.bottom <= 421 }"""
        await visitor.reads(f"({seen})()", True)
        small = await page.evaluate(
            """() => [...document.querySelectorAll('.key-strip button, .reading-bar button, .line button')]
              .filter((e) => e.checkVisibility()).map((e) => [e.textContent, e.getBoundingClientRect()])
              .filter(([, r]) => r.width && Math.min(r.width, r.height) < 43.5).map(([text]) => text)"""
        )
        assert small == []
        await visitor.reads("document.documentElement.scrollWidth <= innerWidth", True)
        text = await page.evaluate("document.querySelector('[contenteditable]').textContent")
        await page.evaluate(
            "(at) => getSelection().collapse(document.activeElement.firstChild, at)", text.index("Stella")
        )
        await page.locator("[data-strip=split]").tap()
        await visitor.count("[data-line]", len(lines) + 1)
        await visitor.reads("document.activeElement.isContentEditable", True)
        await page.locator("[data-strip=join]").tap()
        await visitor.count("[data-line]", len(lines))
        await page.locator("[data-strip=done]").tap()
        await visitor.count("[contenteditable]", 0)
        await stored(site, job_id, [*lines[:7], text, *lines[8:]])


async def test_keys_are_set_and_pedals_and_a_slower_pace_work_while_somebody_types(
    visitor: Visitor, site: Site
) -> None:
    page = visitor.page
    await visitor.go("/settings")
    await page.check("[data-switch=pedals]")
    await page.check("[data-switch=slow]")
    await page.uncheck("[data-switch=click_seeks]")
    await page.click("[data-key-settings] summary")
    await page.click("[data-bind='typing.replay.0']")
    await page.keyboard.press("Alt+k")
    await page.get_by_text("belongs to “Play or pause”").wait_for()
    await page.click("[data-bind='typing.replay.0']")
    await page.keyboard.press("x")
    await page.get_by_text("X cannot be used.").wait_for()
    await page.click("[data-bind='typing.replay.0']")
    await page.keyboard.press("Alt+q")
    await page.locator("[data-bind='typing.replay.0']", has_text="Alt+Q").wait_for()
    await opened(site, visitor)
    await click_at(visitor, 1, 3)
    await visitor.reads(PLACE, 0)  # a click on a word only edits
    await page.keyboard.press("F5")
    await visitor.reads(f"Math.round({PLACE})", 5)
    await page.keyboard.press("F3")
    await visitor.reads(f"Math.round({PLACE})", 0)
    await page.keyboard.press("F4")
    await visitor.reads("document.querySelector('video').paused", False)
    await page.locator("[data-play][aria-label=Pause]").wait_for()
    await page.evaluate(
        """() => { window.rates = []
          const video = document.querySelector('video')
          video.addEventListener('ratechange', () => window.rates.push(video.playbackRate)) }"""
    )
    await page.keyboard.insert_text("ab")
    await visitor.reads("window.rates", [0.7, 1])
    await page.keyboard.press("Alt+l")
    await page.keyboard.press("Alt+q")
    await visitor.reads(f"{PLACE} < 4", True)
    await visitor.reads(f"({TEXTS})[1]", LINES[1][:3] + "ab" + LINES[1][3:])
    await page.keyboard.press("Escape")
    await page.keyboard.press("?")
    await page.locator("dialog[open] kbd", has_text="Alt+Q").wait_for()
