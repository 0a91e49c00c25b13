"""Links: pasted anywhere or written into the field, they become transcripts; and if not, the page says why."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from testkit.browser import Site, Visitor, running_site, visiting
from testkit.recording_server import RecordingServer, ServedFile, recording_server
from testkit.scripted_actors import BEHIND, script

pytestmark = [pytest.mark.ui, pytest.mark.anyio]

PASTE = """([text, place]) => {
  const data = new DataTransfer()
  data.setData('text/plain', text)
  const paste = new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true })
  document.querySelector(place).dispatchEvent(paste)
}"""


@pytest.fixture
def there() -> Iterator[RecordingServer]:
    with recording_server() as made:
        made.things["/talk.mp3"] = ServedFile(script(chunks=1))
        made.things["/slow.mp3"] = ServedFile(b"\0" * 4_000_000 + BEHIND + script(chunks=1), rate=1_000_000)
        yield made


async def test_a_pasted_link_becomes_a_done_job_with_text_and_nobody_clicks(
    visitor: Visitor, there: RecordingServer
) -> None:
    await visitor.go("/settings")
    await visitor.page.evaluate(PASTE, [f" {there.url}/talk.mp3\n", "main"])
    row = await visitor.shows("talk.mp3", "completed")
    await row.locator("a.name").click()
    await visitor.page.wait_for_selector(".text .line")
    assert "This is chunk 0." in await visitor.page.inner_text(".text")


async def test_so_does_one_in_the_field_and_the_keyboard_is_enough(visitor: Visitor, there: RecordingServer) -> None:
    page = visitor.page
    await page.focus("[data-url]")
    await page.keyboard.type(f"{there.url}/talk.mp3")
    await page.keyboard.press("Enter")
    await visitor.shows("talk.mp3", "completed")
    assert await page.input_value("[data-url]") == ""


async def test_the_next_link_may_come_before_the_first_is_answered(visitor: Visitor, there: RecordingServer) -> None:
    page = visitor.page
    there.things["/other.mp3"] = ServedFile(script(chunks=1))
    for name in ("talk", "other"):
        await page.fill("[data-url]", f"{there.url}/{name}.mp3")
        await page.keyboard.press("Enter")
    for name in ("talk", "other"):
        await visitor.shows(f"{name}.mp3", "completed")


async def test_a_link_that_is_pasted_into_a_field_is_text_like_any_other(
    visitor: Visitor, there: RecordingServer
) -> None:
    await visitor.page.evaluate(PASTE, [f"{there.url}/talk.mp3", "[data-url]"])
    await visitor.page.evaluate(PASTE, ["no link at all", "main"])
    await visitor.page.wait_for_timeout(300)
    assert await visitor.page.locator(".job").count() == 0
    assert there.asked == []


async def test_while_it_comes_the_row_says_how_far_it_is_and_it_can_be_paused(
    visitor: Visitor, there: RecordingServer
) -> None:
    page = visitor.page
    await page.fill("[data-url]", f"{there.url}/slow.mp3")
    await page.click("[data-url] + button")
    row = await visitor.shows("slow.mp3", "pending")
    assert "Downloading recording" in await row.locator(".status").inner_text()
    await row.locator("[data-transfer]", has_text=re.compile(r"[\d.]+ MB of 4 MB")).wait_for()
    assert await row.locator("progress").get_attribute("max") == str(4_000_000 + len(BEHIND + script(chunks=1)))
    await row.locator("[data-verb=pause]").click()
    row = await visitor.shows("slow.mp3", "paused")
    await row.locator("[data-verb=resume]").click()
    await visitor.shows("slow.mp3", "completed")


async def test_who_reads_along_from_the_beginning_sees_it_come_and_can_hear_it_then(
    visitor: Visitor, there: RecordingServer
) -> None:
    page = visitor.page
    await page.fill("[data-url]", f"{there.url}/slow.mp3")
    await page.keyboard.press("Enter")
    row = await visitor.shows("slow.mp3", "pending")
    await row.locator("a.name").click()
    await page.wait_for_selector("p.status:has-text('Downloading')")
    assert await page.get_attribute("video", "src") is None
    await page.wait_for_selector(".text .line")
    assert "/media" in str(await page.get_attribute("video", "src"))


async def test_a_link_that_was_not_meant_is_taken_back(visitor: Visitor, there: RecordingServer, site: Site) -> None:
    await visitor.page.evaluate(PASTE, [f"{there.url}/slow.mp3", "main"])
    await visitor.shows("slow.mp3", "pending")
    await visitor.page.click(".notices button:has-text('Undo')")
    await visitor.count(".job", 0)
    assert await site.service.parts.store.jobs() == []


async def test_a_link_that_can_never_be_fetched_is_refused_on_the_spot(visitor: Visitor) -> None:
    visitor.expected = re.compile("/api/jobs")
    await visitor.page.fill("[data-url]", "http://192.168.77.77/x.mp3")
    await visitor.page.click("[data-url] + button")
    said = await visitor.page.locator(".drop .problem").inner_text()
    assert "inside this machine or its network" in said
    assert "links.allowed_networks" in said
    assert await visitor.page.input_value("[data-url]") == "http://192.168.77.77/x.mp3"
    await visitor.page.evaluate(PASTE, ["http://192.168.77.78/x.mp3", "main"])
    await visitor.page.wait_for_selector(".notices :text('inside this machine')")


async def test_a_link_that_cannot_be_had_says_why_in_the_language_of_the_page(
    browser: Any, site: Site, there: RecordingServer
) -> None:
    async with visiting(browser, site.url, locale="zh-CN") as visitor:
        await visitor.go()
        await visitor.page.fill("[data-url]", f"{there.url}/gone.mp3")
        await visitor.page.click("[data-url] + button")
        row = await visitor.shows("gone.mp3", "failed")
        assert "无法下载该链接" in await row.inner_text()
        there.things["/gone.mp3"] = ServedFile(script(chunks=1))
        await row.locator("[data-verb=retry]").click()
        await visitor.shows("gone.mp3", "completed")


async def test_a_link_to_a_web_page_becomes_a_job_with_the_title_of_the_page(
    visitor: Visitor, there: RecordingServer
) -> None:
    pytest.importorskip("yt_dlp")
    text = b'<!doctype html><title>A talk</title><video src="/talk.mp4"></video>'
    there.things["/talk.html"] = ServedFile(text, headers={"content-type": "text/html"})
    there.things["/talk.mp4"] = ServedFile(script(chunks=1), headers={"content-type": "video/mp4"})
    await visitor.page.fill("[data-url]", f"{there.url}/talk.html")
    await visitor.page.keyboard.press("Enter")
    await visitor.shows("A talk", "completed")
    await visitor.go("/system")
    await visitor.sees(lambda: visitor.page.inner_text("[data-sites]"), has="yt-dlp 2")


async def test_where_only_files_are_fetched_a_web_page_is_told_from_one_before_it_is_sent(
    browser: Any, tmp_path: Path
) -> None:
    async with (
        running_site(tmp_path, links={"sites": False}) as site,
        visiting(browser, site.url) as visitor,
    ):
        page = visitor.page
        await visitor.go()
        await page.fill("[data-url]", "https://www.youtube.com/watch?v=x")
        await page.get_by_text("This is a web page, not an audio or video file.").wait_for()
        await page.keyboard.press("Enter")
        assert await page.input_value("[data-url]") == "https://www.youtube.com/watch?v=x"
        await page.fill("[data-url]", "https://example.org/talk.mp3")
        await page.wait_for_selector("[data-link-page]", state="detached")
