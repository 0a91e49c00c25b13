"""A text as subtitles: those of the SRT file, what is wrong with them, their times, their text, and the film's own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from testkit.browser import Site, Visitor, visiting
from testkit.playable import film
from tests.ui.editing import opened, stored, transcript

pytestmark = [pytest.mark.ui, pytest.mark.anyio]

LINES = (
    "We went down to the river. Nobody had seen the boat for days and days.",
    "Please call Stella.",
    "One two three four five.",
)
SHOWN = """[...document.querySelectorAll('.cue')].map((cue) => [
  cue.querySelector('[data-at]').textContent.trim(),
  cue.querySelector('.until').textContent.trim(),
  [...cue.querySelectorAll('.cue-row')].map((row) => row.textContent).join('\\n')])"""
TEXTS = """[...document.querySelectorAll('.cue')].map((cue) =>
  [...cue.querySelectorAll('.cue-row')].map((row) => row.textContent).join('|'))"""
MARKED = "[...(CSS.highlights.get('{}') ?? [])].map(String).join('|')"
KEY_OF = "(nth) => document.querySelectorAll('.cue')[nth].dataset.cue"


async def shown(
    visitor: Visitor, site: Site, name: str = "talk.wav", lines: tuple[str, ...] = LINES, **play: Any
) -> str:
    """Open a transcript as subtitles. Return the id of the job."""
    job = await opened(site, visitor, name, lines, **play)
    await as_subtitles(visitor)
    return job


async def as_subtitles(visitor: Visitor) -> None:
    page = visitor.page
    await page.click("[data-view]")
    await page.check("[data-show=subtitles]")
    await page.keyboard.press("Escape")
    await page.wait_for_selector(".cue")


def clocked(h: str, m: str, s: str, ms: str) -> str:
    return f"{int(h)}:{m}:{s}.{ms}" if int(h) else f"{int(m)}:{s}.{ms}"


async def in_file(site: Site, job: str) -> list[list[str]]:
    async with httpx.AsyncClient(base_url=site.url) as client:
        srt = (await client.get(f"/api/jobs/{job}/export", params={"format": "srt"})).raise_for_status().text
    found = re.findall(r"(\d+):(\d+):(\d+),(\d+) --> (\d+):(\d+):(\d+),(\d+)\n((?:.+\n)+)", srt)
    return [[clocked(*row[:4]), clocked(*row[4:8]), row[8].rstrip("\n")] for row in found]


async def as_in_file(visitor: Visitor, site: Site, job: str) -> list[list[str]]:
    """Wait until the page shows the captions of the file, and all of its edits are stored. Return them."""

    async def difference() -> Any:
        shown, wanted = await visitor.page.evaluate(SHOWN), await in_file(site, job)
        return None if shown == wanted else (shown, wanted)

    await visitor.sees(difference, None)
    found = await in_file(site, job)
    assert len(found) > 2
    return found


async def choose(visitor: Visitor, nth: int) -> None:
    await visitor.page.evaluate("(nth) => document.querySelectorAll('.cue')[nth].focus()", nth)
    await visitor.reads(f"document.querySelectorAll('.cue')[{nth}].querySelector('.cue-times') !== null", True)


async def set_time(visitor: Visitor, edge: str, typed: str) -> None:
    await visitor.page.fill(f"[data-time={edge}]", typed)
    await visitor.page.press(f"[data-time={edge}]", "Enter")


async def problems(visitor: Visitor, nth: int) -> list[str]:
    found: list[str] = await visitor.page.evaluate(
        """(nth) => [...document.querySelectorAll('.cue')[nth].querySelectorAll('[data-problem]')]
          .map((problem) => problem.textContent.trim())""",
        nth,
    )
    return found


async def test_they_are_those_of_the_srt_file_with_edits_and_those_that_people_timed(
    visitor: Visitor, site: Site
) -> None:
    """Criterion 55."""
    job = await shown(visitor, site)
    page = visitor.page
    before = await as_in_file(visitor, site, job)
    await choose(visitor, 1)
    await visitor.sees(lambda: page.input_value("[data-time=start]"), before[1][0])
    await set_time(visitor, "end", "0:12.6")
    await visitor.reads("document.querySelectorAll('.cue')[1].dataset.held", "true")
    await visitor.reads(f"({SHOWN})[1]", [before[1][0], "0:12.600", before[1][2]])
    after = await as_in_file(visitor, site, job)
    assert after[1] == [before[1][0], "0:12.600", before[1][2]]
    lines = [line for line in await transcript(site, job) if line["held"]]
    assert [(line["text"], line["end"]) for line in lines] == [(before[1][2].replace("\n", " "), 12.6)]
    await page.click(".cue >> nth=0 >> .cue-row >> nth=0")
    await page.keyboard.press("Home")
    await page.keyboard.type("Then ")
    await page.keyboard.press("Escape")
    changed = await as_in_file(visitor, site, job)
    assert changed[0][2].startswith("Then We")
    assert changed[1] == after[1], "what a person timed stays as it is"
    await page.reload()
    await page.wait_for_selector(".cue")
    assert await as_in_file(visitor, site, job) == changed
    for _ in range(2):
        await page.keyboard.press("Control+z")
    await visitor.reads("document.querySelectorAll('[data-held]').length", 0)
    assert await as_in_file(visitor, site, job) == before


async def test_what_is_wrong_is_said_in_words_and_marked_filtered_and_walked_through(
    visitor: Visitor, site: Site
) -> None:
    await shown(visitor, site)
    page = visitor.page
    await page.wait_for_selector("[data-cue-count]")
    count = await page.locator(".cue").count()
    await visitor.reads("document.querySelector('.cue-bar').textContent.includes('No subtitle has a problem')", True)
    await choose(visitor, 0)
    start = await page.input_value("[data-time=start]")
    await set_time(visitor, "end", "0:00.5" if start == "0:00.000" else "1")
    await visitor.count(".cue[data-wrong]", 1)
    await visitor.reads("document.querySelectorAll('.cue')[0].querySelectorAll('[data-problem]').length", 2)
    found = await problems(visitor, 0)
    assert re.fullmatch(r"Too fast: \d+ characters/s", found[0])
    assert found[1] == "Shown too briefly"
    await choose(visitor, 1)
    await set_time(visitor, "end", "0:24")
    await visitor.count(".cue[data-wrong]", 2)
    await visitor.sees(lambda: problems(visitor, 1), has="Overlaps the next")
    color = "getComputedStyle(document.querySelectorAll('.cue')[{}]).borderInlineStartColor"
    await visitor.reads(f"{color.format(0)} !== {color.format(count - 1)}", True)
    await choose(visitor, count - 1)
    for nth in (0, 1, 0):
        await page.keyboard.press("x")
        await visitor.reads("[...document.querySelectorAll('.cue')].indexOf(document.activeElement)", nth)
    await visitor.reads("document.querySelector('[data-said]').textContent.includes('Shown too briefly')", True)
    await page.keyboard.press("Shift+X")
    await visitor.reads("[...document.querySelectorAll('.cue')].indexOf(document.activeElement)", 1)
    await page.check("[data-only-problems]")
    await visitor.count(".cue", 2)
    await page.click("[data-next-problem]")
    await page.uncheck("[data-only-problems]")
    await visitor.count(".cue", count)


async def test_times_are_set_at_the_position_of_the_player_and_moved_by_keys(visitor: Visitor, site: Site) -> None:
    await shown(visitor, site)
    page = visitor.page
    last = await page.locator(".cue").count() - 1
    await choose(visitor, last)
    await page.evaluate("document.querySelector('video').currentTime = 30.25")
    await visitor.reads("document.querySelector('.player .clock').textContent.includes('0:30')", True)
    await page.keyboard.press("i")
    await visitor.reads("document.querySelector('[data-time=start]').value", "0:30.250")
    await page.evaluate("document.querySelector('video').currentTime = 33.5")
    await visitor.reads("document.querySelector('.player .clock').textContent.includes('0:33')", True)
    await page.click("[data-set=end]")
    await visitor.reads("document.querySelector('[data-time=end]').value", "0:33.500")
    await choose(visitor, last)
    for key, edge, value in (
        (",", "start", "0:30.150"),
        (".", "start", "0:30.250"),
        ("Shift+,", "end", "0:33.400"),
        ("Shift+.", "end", "0:33.500"),
    ):
        await page.keyboard.press(key)
        await visitor.reads(f"document.querySelector('[data-time={edge}]').value", value)
    await page.focus("[data-time=end]")
    await page.keyboard.press("ArrowUp")
    await page.keyboard.press("ArrowUp")
    await page.keyboard.press("Shift+ArrowDown")
    await visitor.reads("document.querySelector('[data-time=end]').value", "0:33.420")
    await visitor.reads("document.activeElement.dataset.time", "end")


async def test_a_time_that_cannot_be_is_refused_and_says_why(visitor: Visitor, site: Site) -> None:
    job = await shown(visitor, site)
    page = visitor.page
    before = await as_in_file(visitor, site, job)
    await choose(visitor, 1)
    await set_time(visitor, "end", "soon")
    await page.wait_for_selector("[data-time=end][aria-invalid]")
    await visitor.sees(lambda: page.text_content(".cue-times [role=alert]"), has="1:23.4")
    await page.press("[data-time=end]", "Escape")
    await page.wait_for_selector("[data-time=end]:not([aria-invalid])")
    await visitor.sees(lambda: page.input_value("[data-time=end]"), before[1][1])
    await set_time(visitor, "end", "0")
    await visitor.sees(lambda: page.text_content("body"), has="A subtitle must end after it starts.")
    await choose(visitor, len(before) - 1)
    await set_time(visitor, "start", "0:00.1")
    await visitor.sees(lambda: page.text_content("body"), has="A subtitle cannot start before the line above it")
    assert await as_in_file(visitor, site, job) == before
    assert not [line for line in await transcript(site, job) if line["held"]]


async def test_its_text_is_edited_as_lines_are(visitor: Visitor, site: Site, browser: Any) -> None:
    job = await shown(visitor, site, seconds=4.0)
    page = visitor.page
    texts = await page.evaluate(TEXTS)
    nth = next(at for at, text in enumerate(texts) if text.startswith("Please"))
    x, y = await page.evaluate(
        """(nth) => { const node = document.querySelectorAll('.cue')[nth].querySelector('.cue-row').firstChild
          const range = new Range()
          range.setStart(node, 7)
          range.setEnd(node, 8)
          const { left, top, height } = range.getBoundingClientRect()
          return [left + 1, top + height / 2] }""",
        nth,
    )
    await page.mouse.click(x, y)
    await visitor.reads("document.activeElement.isContentEditable && getSelection().focusOffset", 7)
    await page.keyboard.type("do ")
    await stored(site, job, [LINES[0], "Please do call Stella.", LINES[2]])
    await page.keyboard.press("Enter")
    await stored(site, job, [LINES[0], "Please do", "call Stella.", LINES[2]])
    await visitor.reads("document.activeElement.textContent", "call Stella.")
    await page.keyboard.type("We ")
    await stored(site, job, [LINES[0], "Please do", "We call Stella.", LINES[2]])
    await page.keyboard.press("ArrowDown")
    await visitor.reads("document.activeElement.textContent", LINES[2])
    await page.keyboard.press("Escape")
    await visitor.reads("document.activeElement.dataset.cue !== undefined", True)
    await visitor.reads(f"({TEXTS}).includes('Please do') || ({TEXTS}).includes('Please do We call Stella.')", True)
    await as_in_file(visitor, site, job)
    async with visiting(browser, site.url) as other:  # somebody else, in the same line and in another one
        await other.go(f"/t/{job}")
        await other.page.wait_for_selector("[data-line]")
        await other.page.evaluate("document.querySelectorAll('[data-line]')[3].focus()")
        await other.page.keyboard.press("Enter")
        await other.page.keyboard.press("End")
        await other.page.keyboard.type(" Six.")
        await stored(site, job, [LINES[0], "Please do", "We call Stella.", f"{LINES[2]} Six."])
    await visitor.reads(f"({TEXTS}).at(-1).endsWith('Six.')", True)
    await as_in_file(visitor, site, job)


async def test_a_switch_of_the_view_keeps_the_line_in_sight_and_links_find_their_subtitle(
    visitor: Visitor, site: Site
) -> None:
    lines = tuple(f"Number-{n} said." for n in range(30))
    job = await opened(site, visitor, "long.wav", lines, seconds=4.0)
    page = visitor.page
    await page.evaluate("document.querySelectorAll('[data-line]')[20].scrollIntoView({ block: 'start' })")
    top = """(() => { const bar = document.querySelector('.reading-bar').getBoundingClientRect().bottom
      return [...document.querySelectorAll('.text [data-line], .cues [data-lines]')]
        .find((row) => row.getBoundingClientRect().bottom > bar + 2).textContent.match(/Number-(\\d+)/)?.[1] })()"""
    before = await page.evaluate(top)
    # The driver scrolls to what it clicks.
    await page.evaluate("document.querySelector('[data-show=subtitles]').click()")
    await page.wait_for_selector(".cue")
    await visitor.reads(top, before)
    await visitor.go(f"/t/{job}#t=101")
    await page.wait_for_selector(".cue")
    inside = """(() => { const now = document.querySelector('.cue.now')?.getBoundingClientRect()
      return Boolean(now) && now.top > 0 && now.bottom < innerHeight })()"""
    await visitor.reads(inside, True)
    await visitor.reads("document.querySelector('.cue.now').ariaCurrent", "true")


async def test_finds_marks_and_doubtful_words_are_drawn_in_them_as_in_lines(visitor: Visitor, site: Site) -> None:
    await shown(visitor, site, seconds=8.0, doubtful=["days", "Stella."])
    page = visitor.page
    await visitor.reads(
        f"({TEXTS}).slice(0, 2)", ["We went down to the river.", "Nobody had seen the boat|for days and days."]
    )
    await page.fill("input[type=search]", "boat for")  # it goes on in the next row
    await visitor.reads(MARKED.format("hit"), "boat|for")
    await visitor.reads(MARKED.format("chosen"), "boat|for")
    await page.fill("input[type=search]", "river. nobody")  # and in the next subtitle
    await visitor.reads(MARKED.format("hit"), "river.|Nobody")
    await page.fill("input[type=search]", "please")
    await visitor.reads(MARKED.format("hit"), "Please")
    await choose(visitor, 2)
    await page.keyboard.press("Enter")  # its line takes the place of its rows
    await visitor.reads("document.activeElement.isContentEditable", True)
    await visitor.reads(MARKED.format("hit"), "Please")
    await page.keyboard.press("Home")
    await page.keyboard.insert_text("Now ")
    await visitor.reads(MARKED.format("hit"), "Please")
    await page.keyboard.press("Escape")
    await visitor.reads(f"({TEXTS})[2].startsWith('Now Please')", True)
    await visitor.reads(MARKED.format("hit"), "Please")

    await page.click("[data-view]")
    await page.check("[data-doubts]")
    await page.keyboard.press("Escape")
    await visitor.reads(MARKED.format("doubtful"), "days|Stella.")
    await choose(visitor, 0)
    for word in ("days", "Stella.", "days"):
        await page.keyboard.press("n")
        await visitor.reads("String(getSelection())", word)
    await choose(visitor, 0)
    await page.keyboard.press("h")
    await visitor.reads(
        MARKED.format("mark-1"), "We went down to the river.|Nobody had seen the boat|for days and days."
    )
    await choose(visitor, 2)
    await page.keyboard.press("b")
    await visitor.reads(
        "[...document.querySelectorAll('.cue')].map((cue) => 'bookmark' in cue.dataset).indexOf(true)", 2
    )
    await page.click("[data-view]")
    await page.check("[data-show=lines]")
    await page.keyboard.press("Escape")
    await visitor.reads(MARKED.format("mark-1"), LINES[0])
    await visitor.count(".line[data-bookmark]", 1)


async def test_the_menu_of_a_line_works_in_them(visitor: Visitor, site: Site) -> None:
    job = await shown(visitor, site, seconds=4.0)
    page = visitor.page

    async def menu(text: str, act: str) -> None:
        await as_in_file(visitor, site, job)
        await page.locator(".cue", has_text=text).first.hover()
        await page.click("[data-line-menu]")
        await page.click(f"[data-line-act={act}]")

    await menu("Please", "join-after")
    await stored(site, job, [LINES[0], f"{LINES[1]} {LINES[2]}"])
    await visitor.reads("document.activeElement.isContentEditable && getSelection().focusOffset", len(LINES[1]))
    await page.keyboard.press("Escape")
    await menu("Please", "split")  # where the caret was
    await stored(site, job, list(LINES))
    await page.keyboard.press("Escape")
    await menu("Please", "insert")
    await visitor.reads("document.activeElement.isContentEditable && document.activeElement.textContent", "")
    await page.keyboard.type("In between.")
    await page.keyboard.press("Escape")
    await stored(site, job, [*LINES[:2], "In between.", LINES[2]])
    await menu("In between.", "delete")
    await stored(site, job, list(LINES))
    await menu("Please", "speaker")
    await page.keyboard.type("Anna")
    await page.keyboard.press("Enter")
    await visitor.sees(lambda: speakers(site, job), [None, "Anna", None])


async def speakers(site: Site, job: str) -> list[str | None]:
    """Who speaks in each line, by name."""
    names = {one.id: one.name for one in await site.service.parts.store.speakers.speakers(job)}
    return [names.get(line["speaker"]) for line in await transcript(site, job)]


CHANGE = """async ([typed, wanted]) => {
  const video = document.querySelector('video')
  const heard = []
  for (const kind of ['emptied', 'loadstart', 'seeking']) video.addEventListener(kind, () => heard.push(kind))
  const shown = () => [...video.textTracks]
    .flatMap((track) => (track.mode === 'showing' ? [...track.activeCues] : [])).map((cue) => cue.text)
  const before = shown()
  const began = performance.now()
  document.execCommand('insertText', false, typed)
  while (!shown().join().includes(wanted) && performance.now() - began < 5000)
    await new Promise((done) => setTimeout(done, 5))
  return { before, after: shown(), took: performance.now() - began, heard }
}"""


@pytest.mark.parametrize("view", ["lines", "subtitles"])
async def test_the_subtitle_over_a_film_changes_with_the_key_before_anything_is_stored(
    visitor: Visitor, site: Site, tmp_path: Path, view: str
) -> None:
    """Criterion 56."""
    data = film(tmp_path / "film.webm", 12, chunks=1, seconds=5.0, lines=("Please call Stella.",))
    job = await site.send(f"{view}.webm", data=data)
    await site.until(job.id, "completed")
    await visitor.go(f"/t/{job.id}")
    page = visitor.page
    await page.wait_for_selector("video:visible")
    if view == "subtitles":
        await as_subtitles(visitor)
    await page.evaluate("document.querySelector('video').currentTime = 1")
    active = (
        "[...document.querySelector('video').textTracks].flatMap((t) => [...(t.activeCues ?? [])]).map((c) => c.text)"
    )
    await visitor.reads(active, ["Please call Stella."])
    media: list[str] = []
    page.on("request", lambda request: media.append(request.url) if "/media" in request.url else None)
    await page.route("**/edits", lambda route: route.abort())  # nothing is stored
    visitor.expected = re.compile("/edits")
    await page.evaluate("document.querySelector('.text [data-line], .cue').focus()")
    await page.keyboard.press("Enter")
    await visitor.reads("document.activeElement.isContentEditable", True)
    await page.keyboard.press("End")
    pixels = await page.locator("video").screenshot()
    seen = await page.evaluate(CHANGE, [" <b> now", " &lt;b&gt; now"])
    assert seen["before"] == ["Please call Stella."]
    assert seen["after"] == ["Please call Stella. &lt;b&gt; now"]
    await page.wait_for_timeout(500)
    await page.locator("video").screenshot(path=f"/tmp/subs_video_{view}.png")
    await visitor.sees(lambda: changed_pixels(page, pixels))
    await visitor.reads(active, seen["after"])
    assert [line["text"] for line in await transcript(site, job.id)] == ["Please call Stella."]
    assert seen["heard"] == media == []
    await page.unroute("**/edits")
    await page.keyboard.press("Escape")
    await stored(site, job.id, ["Please call Stella. <b> now"])
    await visitor.reads(active, seen["after"])


async def changed_pixels(page: Any, before: bytes) -> bool:
    return bool(await page.locator("video").screenshot() != before)


async def test_lines_are_checked_in_them_with_the_key_and_by_the_menu(visitor: Visitor, site: Site) -> None:
    await shown(visitor, site)
    page = visitor.page
    # Whether each line is checked, by all of its subtitles.
    signs = """Object.values(Object.groupBy(document.querySelectorAll('.cue'), (cue) => cue.dataset.lines))
      .map((cues) => cues.every((cue) => 'checked' in cue.dataset))"""
    sign = "(cue) => getComputedStyle(cue.querySelector('.number'), '::after').content"
    await visitor.reads(signs, [False] * 3)
    assert await page.locator(".cue").count() > 3  # a line may have several subtitles
    stella = page.locator(".cue", has_text="Stella")
    await stella.focus()
    await page.keyboard.press("c")
    await visitor.reads(signs, [False, True, False])
    assert "✓" in await stella.evaluate(sign)
    assert "✓" not in await page.locator(".cue").first.evaluate(sign)
    await visitor.sees(lambda: page.evaluate("document.activeElement.textContent"), has="One two")  # the next line
    await page.locator(".cue").first.focus()
    await page.keyboard.press("c")
    await visitor.reads(signs, [True, True, False])
    await stella.hover()
    await page.click("[data-line-menu]")
    await page.click("[data-line-act=check]")
    await visitor.reads(signs, [True, False, False])
    await page.reload()
    await visitor.reads(signs, [True, False, False])


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("locale", ["en", "zh-CN"])
async def test_axe_finds_nothing_and_nothing_is_wider_than_the_window(
    browser: Any, site: Site, locale: str, theme: Any
) -> None:
    """Criterion 48."""
    axe = pytest.importorskip(
        "axe_playwright_python.async_playwright", reason="axe-playwright-python is not installed"
    ).Axe()
    found: list[str] = []
    async with visiting(browser, site.url, locale=locale, color_scheme=theme, reduced_motion="reduce") as visitor:
        await shown(visitor, site, "axe.wav")
        page = visitor.page
        await choose(visitor, 1)
        await set_time(visitor, "end", "0:24")
        await visitor.count(".cue[data-wrong]", 1)
        words = await visitor.words()
        assert ("Overlaps the next" in words) == (locale == "en")
        assert ("与下一条重叠" in words) == (locale != "en")
        for width in (1280, 390, 320):
            await page.set_viewport_size({"width": width, "height": 844})
            for state in ("chosen", "wrong time", "editing"):
                if state == "wrong time":
                    await set_time(visitor, "end", "soon")
                    await page.wait_for_selector("[aria-invalid]")
                if state == "editing":
                    await choose(visitor, 0)
                    await page.keyboard.press("Enter")
                    await visitor.reads("document.activeElement.isContentEditable", True)
                results = await axe.run(page, options={"resultTypes": ["violations"]})
                found += [
                    f"{state} at {width}: {rule['id']}: {node['html'][:200]}"
                    for rule in results.response["violations"]
                    for node in rule["nodes"]
                ]
                if await page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                    found.append(f"{state} at {width}: wider than the window")
            await page.keyboard.press("Escape")
            await choose(visitor, 1)
    assert found == []


async def test_a_line_of_two_subtitles_is_edited_in_the_one_that_was_clicked_and_nothing_moves_away(
    visitor: Visitor, site: Site
) -> None:
    job = await shown(visitor, site, seconds=8.0)
    page = visitor.page
    texts = await page.evaluate(TEXTS)
    assert texts[:2] == ["We went down to the river.", "Nobody had seen the boat|for days and days."]
    await choose(visitor, 0)  # its fields vanish from above what is clicked
    row = page.locator(".cue").nth(1).locator(".cue-row").nth(1)
    box = await row.bounding_box()
    await row.click(position={"x": 2, "y": box["height"] / 2})
    await visitor.reads("document.activeElement.isContentEditable", True)
    await visitor.reads("getSelection().focusOffset", len("We went down to the river. Nobody had seen the boat "))
    await visitor.reads(
        "[...document.querySelectorAll('.cue')].findIndex((c) => c.contains(document.activeElement))", 1
    )
    await visitor.reads("document.querySelectorAll('.cue')[1].querySelector('.cue-times') !== null", True)
    await page.keyboard.type("all ")
    await visitor.reads("document.activeElement.textContent.includes('boat all for')", True)
    await page.keyboard.press("Escape")
    await visitor.reads(f"({TEXTS})[1]", "Nobody had seen the boat|all for days and days.")
    await visitor.reads("document.activeElement.dataset.cue", await page.evaluate(KEY_OF, 1))
    assert (await as_in_file(visitor, site, job))[1][2] == "Nobody had seen the boat\nall for days and days."


async def test_a_line_that_needs_a_decision_gets_its_times_behind_it(visitor: Visitor, site: Site) -> None:
    job = await shown(visitor, site, seconds=4.0)
    page = visitor.page
    visitor.expected = re.compile("/api/")
    await visitor.live()
    texts = await page.evaluate(TEXTS)
    nth = next(at for at, text in enumerate(texts) if text == LINES[1])
    await page.route("**/edits", lambda route: route.abort())
    await choose(visitor, nth)
    await page.keyboard.press("Enter")
    await visitor.reads("document.activeElement.isContentEditable", True)
    await page.keyboard.press("End")
    await page.keyboard.type(" Now!")
    await page.keyboard.press("Escape")
    await visitor.reads(f"({TEXTS})[{nth}]", f"{LINES[1]} Now!")
    line = (await transcript(site, job))[1]
    operations = [{"op": "text", "id": line["id"], "v": 0, "text": "Please call Stella later."}]
    async with httpx.AsyncClient(base_url=site.url) as client:
        body = {"batch": "theirs", "operations": operations}
        (await client.post(f"/api/jobs/{job}/edits", json=body)).raise_for_status()
    await page.unroute("**/edits")
    await page.evaluate("dispatchEvent(new Event('focus'))")
    await page.wait_for_selector("[data-conflict]")
    await choose(visitor, nth)
    await set_time(visitor, "end", "0:08.5")
    await visitor.sees(lambda: page.text_content("body"), has="Choose first which text to keep.")
    await page.click("[data-keep=theirs]")
    await visitor.reads(f"({TEXTS})[{nth}]", "Please call Stella later.")
    await choose(visitor, nth)
    await set_time(visitor, "end", "0:08.5")
    found = await as_in_file(visitor, site, job)
    assert found[nth][1:] == ["0:08.500", "Please call Stella later."]
