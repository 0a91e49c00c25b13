"""Working through a text: doubtful words, checked lines, bookmarks, highlights, notes, paragraphs, and their files."""

from __future__ import annotations

import io
import re
import zipfile
from typing import Any

import anyio
import httpx
import pytest

from testkit.browser import Site, Visitor, visiting
from testkit.playable import sound
from whisper_service.scheduler import requests

pytestmark = [pytest.mark.ui, pytest.mark.anyio]

LINES = ("The quick brown fox jumps over the lazy dog.", "Please call Stella and ask her.", "One two three four five.")
MARKED = "[...(CSS.highlights.get('{}') ?? [])].map(String).join('|')"
TEXTS = "[...document.querySelectorAll('.text [data-line] > p')].map((p) => p.textContent)"
SELECT = """([first, from, last, to]) => {
  const lines = document.querySelectorAll('.text [data-line] > p')
  getSelection().setBaseAndExtent(lines[first].firstChild, from, lines[last].firstChild, to) }"""


async def opened(
    site: Site, visitor: Visitor, name: str = "talk.wav", lines: tuple[str, ...] = LINES, **play: Any
) -> str:
    """Open the page of a finished transcript with one line in each chunk. Return the id of the job."""
    job = await site.send(name, data=sound(13 * len(lines), chunks=len(lines), lines=lines, **play))
    await site.until(job.id, "completed")
    await visitor.go(f"/t/{job.id}")
    await visitor.page.wait_for_selector("[data-view]", timeout=5000)
    return job.id


async def get(site: Site, path: str, **query: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=site.url) as client:
        return (await client.get(path, params=query or None)).raise_for_status()


async def stored(site: Site, job_id: str, count: int) -> list[dict[str, Any]]:
    """Wait until the service has so many marks. Return them."""
    found: list[dict[str, Any]] = []
    with anyio.move_on_after(10):
        while len(found) != count or not found:
            await anyio.sleep(0.05)
            found = (await get(site, f"/api/jobs/{job_id}/marks")).json()["marks"]
    assert len(found) == count
    return found


async def checked(site: Site, job_id: str) -> list[bool]:
    """Whether each line is checked, as the service says."""
    lines = (await get(site, f"/api/jobs/{job_id}/transcript")).json()["segments"]
    return [line["checked"] for line in lines]


async def focus(visitor: Visitor, line: int) -> None:
    await visitor.page.evaluate("(line) => document.querySelectorAll('[data-line]')[line].focus()", line)


async def write(visitor: Visitor, line: int, text: str) -> None:
    """Give a line another text by typing."""
    await focus(visitor, line)
    await visitor.page.keyboard.press("Enter")
    await visitor.page.keyboard.press("Control+A")
    await visitor.page.keyboard.insert_text(text)
    await visitor.page.keyboard.press("Escape")


async def test_doubtful_words_are_marked_walked_through_and_certain_once_edited_or_checked(
    visitor: Visitor, site: Site
) -> None:
    """Criterion 44."""
    job_id = await opened(site, visitor, doubtful=["fox", "Stella", "her.", "four"])
    page = visitor.page
    await visitor.reads(MARKED.format("doubtful"), "")
    await page.click("[data-view]")
    await page.check("[data-doubts]")
    await page.keyboard.press("Escape")
    await visitor.reads(MARKED.format("doubtful"), "fox|Stella|her.|four")
    await focus(visitor, 0)
    for word in ("fox", "Stella", "her.", "four", "fox"):
        await page.keyboard.press("n")
        await visitor.reads("String(getSelection())", word)
    await page.keyboard.press("Shift+N")
    await visitor.reads("String(getSelection())", "four")
    await visitor.sees(lambda: page.text_content("[data-said]"), has="0.42")
    await write(visitor, 1, "Please call Bella and ask her.")
    await visitor.reads(MARKED.format("doubtful"), "fox|her.|four")
    await focus(visitor, 0)
    await page.keyboard.press("c")
    await visitor.reads(MARKED.format("doubtful"), "her.|four")
    await page.reload()
    await visitor.reads(MARKED.format("doubtful"), "her.|four")

    async def title() -> str:
        at = await page.evaluate("[...CSS.highlights.get('doubtful')][1].getBoundingClientRect().toJSON()")
        for x in (2, at["width"] / 2):  # parts of the page still come and move it
            await page.mouse.move(at["left"] + x, at["top"] + at["height"] / 2)
        return str(await page.evaluate("document.querySelectorAll('[data-line] > p')[2].title"))

    await visitor.sees(title, has="0.42")
    await visitor.sees(lambda: checked(site, job_id), [True, False, False])


async def test_lines_are_checked_one_after_the_other_and_exports_mark_the_others(visitor: Visitor, site: Site) -> None:
    """Criterion 45."""
    job_id = await opened(site, visitor)
    page = visitor.page
    await focus(visitor, 0)
    await page.keyboard.press("c")
    await visitor.reads("document.querySelector('[data-checked-share]')?.textContent", "33 % checked")
    await visitor.reads("[...document.querySelectorAll('[data-line]')].indexOf(document.activeElement)", 1)
    await page.keyboard.press("c")
    await visitor.reads("document.querySelector('[data-checked-share]')?.textContent", "66 % checked")
    await visitor.count("[data-line][data-checked]", 2)
    await visitor.sees(lambda: checked(site, job_id), [True, True, False])
    await page.reload()
    await visitor.reads("document.querySelector('[data-checked-share]')?.textContent", "66 % checked")
    await page.click("[data-export]")
    await page.check("input[value=txt]")
    await page.check("[data-shape=unchecked]")
    href = await page.get_attribute("[data-download]", "href")
    assert href
    assert (await get(site, href)).text == f"{LINES[0]}\n{LINES[1]}\n[unchecked] {LINES[2]}\n"
    await page.keyboard.press("Escape")
    await focus(visitor, 1)
    await page.hover("[data-line] >> nth=1")
    await page.click("[data-line-menu]")
    await page.click("[data-line-act=check]")
    await visitor.count("[data-line][data-checked]", 1)
    await visitor.sees(lambda: checked(site, job_id), [True, False, False])


async def test_marks_hold_on_to_their_words_through_every_edit(visitor: Visitor, site: Site) -> None:
    """Criterion 46."""
    job_id = await opened(site, visitor)
    page = visitor.page
    highlighted = LINES[0][LINES[0].index("lazy") :] + "|" + LINES[1][:11]
    await page.evaluate(SELECT, [0, LINES[0].index("lazy"), 1, 11])
    await page.click("[data-select=highlight-3]")
    await visitor.reads(MARKED.format("mark-3"), highlighted)
    await focus(visitor, 2)
    await page.keyboard.press("b")
    await visitor.count("[data-line][data-bookmark]", 1)
    await page.evaluate(SELECT, [1, LINES[1].index("ask"), 1, LINES[1].index("her.")])
    await page.click("[data-select=note]")
    await page.wait_for_selector(".notes textarea:focus")
    await page.keyboard.type("Ask what?")
    await page.keyboard.press("Escape")
    await stored(site, job_id, 3)
    await visitor.reads(MARKED.format("note"), "ask ")

    # The note has the colour of the last highlight.
    await write(visitor, 0, LINES[0].replace("quick", "very quick").replace("lazy", "sleepy"))
    await visitor.reads(MARKED.format("mark-3"), f"{highlighted}|ask ".replace("lazy", "sleepy"))
    await focus(visitor, 1)
    await page.keyboard.press("Enter")
    await page.keyboard.press("Home")
    for _ in "Please":
        await page.keyboard.press("ArrowRight")
    await page.keyboard.press("Enter")  # a split inside the highlight
    await visitor.reads(MARKED.format("mark-3"), "sleepy dog.|Please|call|ask ")
    await visitor.reads(MARKED.format("note"), "ask ")
    await page.keyboard.press("Escape")
    await focus(visitor, 1)
    await page.keyboard.press("Enter")
    await page.keyboard.press("Home")
    await page.keyboard.press("Backspace")  # joined with the line above
    await page.keyboard.press("Escape")
    await visitor.reads(MARKED.format("mark-3"), "sleepy dog. Please|call|ask ")
    for _ in range(3):
        await page.keyboard.press("Control+Z")
    await visitor.reads(MARKED.format("mark-3"), f"{highlighted}|ask ")
    await visitor.reads(TEXTS, list(LINES))
    await page.reload()
    await visitor.reads(MARKED.format("mark-3"), f"{highlighted}|ask ")
    await visitor.reads(MARKED.format("note"), "ask ")
    await visitor.count("[data-line][data-bookmark]", 1)
    marks = await stored(site, job_id, 3)
    assert {mark["kind"]: mark["text"] for mark in marks} == {"highlight": "", "bookmark": "", "note": "Ask what?"}


async def test_notes_are_listed_found_quoted_recoloured_removed_and_exported(visitor: Visitor, site: Site) -> None:
    """Criterion 46: the panel, quotes, and files."""
    job_id = await opened(site, visitor)
    page = visitor.page
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await page.evaluate(SELECT, [1, 0, 1, 11])
    await page.click("[data-select=highlight-1]")
    await focus(visitor, 0)
    await page.keyboard.press("m")
    await page.wait_for_selector(".notes textarea:focus")
    await page.keyboard.type("The whole line.")
    await page.keyboard.press("Escape")
    await stored(site, job_id, 2)
    rows = "[...document.querySelectorAll('.notes [data-mark] .words')].map((e) => e.textContent.trim())"
    await visitor.reads(rows, [LINES[0], "Please call"])
    await page.fill("[data-notes-search]", "whole")
    await visitor.reads(rows, [LINES[0]])
    await page.fill("[data-notes-search]", "")
    await page.select_option("[data-notes-kind]", "highlight")
    await visitor.reads(rows, ["Please call"])
    await page.click(".notes [data-kind=highlight] [data-menu]")
    await page.click(".notes [data-copy-quote]:visible")
    await visitor.sees(lambda: page.evaluate("navigator.clipboard.readText()"), has="“Please call”")
    copied = await page.evaluate("navigator.clipboard.readText()")
    found = re.fullmatch(r"“Please call”\n— talk, 0:(\d\d)\n(http\S+/t/\S+#t=(\d+))", copied)
    assert found, copied
    assert int(found[1]) == int(found[3]) > 10
    await page.click(".notes [data-kind=highlight] [data-menu]")
    await page.click(".notes [data-colour='4']:visible")
    await visitor.reads(MARKED.format("mark-4"), "Please call")
    marks = await stored(site, job_id, 2)
    with anyio.move_on_after(10):
        while [mark["colour"] for mark in marks if mark["kind"] == "highlight"] != [4]:
            await anyio.sleep(0.05)
            marks = await stored(site, job_id, 2)
    table = await get(site, (await page.get_attribute("[data-notes-csv]", "href")) or "")
    assert "highlight,pink" in table.text
    await page.select_option("[data-notes-kind]", "")
    await page.click(".notes [data-kind=note] [data-menu]")
    await page.click(".notes [data-remove-mark]:visible")
    await stored(site, job_id, 1)
    await page.keyboard.press("Control+Z")
    await stored(site, job_id, 2)
    await visitor.reads(rows, [LINES[0], "Please call"])
    other = await page.context.new_page()
    await other.goto(found[2])
    await other.wait_for_selector(".player")
    is_there = f"Math.abs(document.querySelector('video').currentTime - {found[3]}) < 1"
    await Visitor(other, site.url).reads(is_there, wanted=True)
    await other.close()
    word = await get(site, f"/api/jobs/{job_id}/export", format="docx", notes="true")
    with zipfile.ZipFile(io.BytesIO(word.content)) as file:
        assert "The whole line." in file.read("word/comments.xml").decode()


async def test_paragraphs_join_lines_as_files_do_and_are_edited_by_their_lines(visitor: Visitor, site: Site) -> None:
    """Criterion 47."""
    lines = tuple(f"Sentence number {number} says something." for number in range(60))
    job_id = await opened(site, visitor, "long.wav", lines)
    page = visitor.page
    written = (await get(site, f"/api/jobs/{job_id}/export", format="md", times="false")).text
    wanted = written.strip().split("\n\n")[1:]
    assert 1 < len(wanted) < 60
    await page.evaluate("document.querySelectorAll('[data-line]')[40].scrollIntoView({ block: 'start' })")
    top = """(() => { const { top } = document.querySelectorAll('[data-line]')[40].getBoundingClientRect()
      return top > 0 && top < innerHeight })()"""
    await page.evaluate("scrollBy(0, -120)")
    await visitor.sees(lambda: page.evaluate(top))
    await page.click("[data-view]")
    await page.check("[data-show=paragraphs]")
    await page.keyboard.press("Escape")
    blocks = """[...document.querySelectorAll('.text.paragraphs .block')].map((block) =>
      [...block.querySelectorAll('[data-line] > p')].map((p) => p.textContent).join(' '))"""
    await visitor.reads(blocks, wanted)
    await visitor.reads(top, True)
    shown = await page.evaluate(
        "document.querySelector('.text.paragraphs .block').innerText.replace(/^[\\d:★✓ ]+/, '').trim()"
    )
    assert shown.split() == wanted[0].split()
    await write(visitor, 1, "Another sentence.")
    texts = [line["text"] for line in (await get(site, f"/api/jobs/{job_id}/transcript")).json()["segments"]]
    with anyio.move_on_after(10):
        while texts[1] != "Another sentence.":
            await anyio.sleep(0.05)
            texts = [line["text"] for line in (await get(site, f"/api/jobs/{job_id}/transcript")).json()["segments"]]
    assert texts == [lines[0], "Another sentence.", *lines[2:]]
    await page.click("[data-view]")
    await page.check("[data-show=lines]")
    await visitor.count(".text.paragraphs", 0)
    await visitor.reads("preferences = JSON.parse(localStorage.getItem('preferences')).view", "lines")


async def test_a_text_whose_recording_is_gone_is_edited_found_and_exported(visitor: Visitor, site: Site) -> None:
    """Criterion 60."""
    job = await site.send("gone.wav", data=sound(39, chunks=3, lines=LINES))
    await site.until(job.id, "completed")
    await site.service.parts.context.ask(requests.remove_media, job.id)
    await visitor.go(f"/t/{job.id}")
    page = visitor.page
    await page.wait_for_selector("[data-view]")
    await visitor.sees(lambda: page.text_content("[data-no-media]"), has="can still be edited")
    await write(visitor, 1, "Please call Bella.")
    await focus(visitor, 0)
    await page.keyboard.press("h")
    await stored(site, job.id, 1)
    await visitor.reads(MARKED.format("mark-1"), LINES[0])
    await visitor.reads(TEXTS, [LINES[0], "Please call Bella.", LINES[2]])
    assert "Bella" in (await get(site, f"/api/jobs/{job.id}/export", format="srt")).text
    assert [found["id"] for found in (await get(site, "/api/jobs", q="Bella")).json()["jobs"]] == [job.id]
    await page.click(".more[data-menu]")
    again = page.locator("[data-verb=again]:visible")
    await visitor.sees(lambda: again.is_disabled(), True)
    await visitor.sees(lambda: page.text_content(f"#again-{job.id}"), has="storage rules")


@pytest.mark.parametrize(("locale", "theme"), [("en-US", "light"), ("zh-CN", "dark")])
async def test_axe_finds_nothing_in_notes_and_views(browser: Any, site: Site, locale: str, theme: Any) -> None:
    """Criterion 48: marked text, the list of notes, what is selected, and paragraphs."""
    axe = pytest.importorskip(
        "axe_playwright_python.async_playwright", reason="axe-playwright-python is not installed"
    ).Axe()
    found: list[str] = []
    async with visiting(browser, site.url, locale=locale, color_scheme=theme, reduced_motion="reduce") as visitor:
        job_id = await opened(site, visitor, "axe.wav", doubtful=["fox"])
        page = visitor.page
        for line, key in ((0, "h"), (1, "b"), (2, "c"), (2, "m")):
            await focus(visitor, line)
            await page.keyboard.press(key)
        await page.wait_for_selector(".notes textarea:focus")
        await stored(site, job_id, 3)
        for width in (1280, 390):
            await page.set_viewport_size({"width": width, "height": 844})
            for state in ("notes", "text", "selection", "menu", "paragraphs"):
                if state == "text" and await page.locator("[data-close-panel]").is_visible():
                    await page.click("[data-close-panel]")
                if state == "selection":
                    await page.evaluate(SELECT, [0, 4, 1, 6])
                    await page.wait_for_selector(".selection-bar")
                if state == "menu":
                    await page.evaluate("getSelection().removeAllRanges()")
                    await page.click("[data-view]")
                    await page.check("[data-doubts]")
                if state == "paragraphs":
                    await page.check("[data-show=paragraphs]")
                    await page.keyboard.press("Escape")
                results = await axe.run(page, options={"resultTypes": ["violations"]})
                found += [
                    f"{state} at {width}: {rule['id']}: {node['html'][:200]}"
                    for rule in results.response["violations"]
                    for node in rule["nodes"]
                ]
                if await page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                    found.append(f"{state} at {width}: wider than the window")
            await page.click("[data-view]")
            await page.check("[data-show=lines]")
            await page.keyboard.press("Escape")
    assert found == []
