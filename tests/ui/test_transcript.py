"""Reading: the text as it comes, the recording beside it, marks, search, keys and exports."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import anyio
import docx
import pytest
import srt
import webvtt

from testkit.browser import Site, Visitor, visiting
from testkit.playable import film, sound

pytestmark = [pytest.mark.ui, pytest.mark.anyio]

PLACE = "document.querySelector('video').currentTime"
STILL = """new Promise((resolve) => { let last = NaN, same = 0
  const look = () => { same = scrollY === last ? same + 1 : 0; last = scrollY; same < 12 ? requestAnimationFrame(look) : resolve(true) }
  look() })"""
MARKED = "[...(CSS.highlights.get('{}') ?? [])].map(String).join('|')"


async def opened(site: Site, visitor: Visitor, name: str, data: bytes, *, at: str = "") -> str:
    """The page of a finished transcript with a recording that can be played; the id of the job."""
    job = await site.send(name, data=data)
    await site.until(job.id, "completed")
    await visitor.go(f"/t/{job.id}{at}")
    await visitor.page.wait_for_selector(".player")
    return job.id


@pytest.fixture(scope="module")
def hour() -> bytes:
    """An hour of 5,000 lines."""
    return sound(3600, chunks=50, seconds=71.0, segments=100)


async def test_lines_appear_while_the_recording_is_still_in_work(visitor: Visitor, site: Site) -> None:
    job = await site.send("live.wav", chunks=8, seconds=1.0, delay=0.3)
    await visitor.go(f"/t/{job.id}")
    await visitor.page.get_by_text("This is chunk 1.").wait_for()
    assert (await site.service.parts.store.job(job.id)).status == "processing"
    await visitor.page.get_by_text("This is chunk 7.").wait_for()


async def test_fifty_minutes_into_an_hour_it_plays_from_there_and_marks_what_sounds(
    visitor: Visitor, site: Site, hour: bytes
) -> None:
    answers: list[int] = []
    visitor.page.on("response", lambda answer: answers.append(answer.status) if answer.url.endswith("/media") else None)
    await opened(site, visitor, "hour.wav", hour)
    page = visitor.page
    assert await page.locator(".line").count() == 5_000
    await page.get_by_label("Play from 50:00").first.click()
    await visitor.reads("!document.querySelector('video').paused", True)
    assert 3_000 <= await page.evaluate(PLACE) < 3_010
    assert 206 in answers
    await page.wait_for_selector(".line.now")
    await visitor.reads(f"{MARKED.format('word')} !== ''", True)
    now = await page.inner_text(".line.now p")
    assert await page.evaluate(MARKED.format("word")) == now  # the scripted actor says each sentence as one word
    assert await page.evaluate("location.hash") == "#t=3000"


async def test_it_follows_what_sounds_until_the_reader_scrolls_and_a_pill_leads_back(
    visitor: Visitor, site: Site, hour: bytes
) -> None:
    await opened(site, visitor, "follow.wav", hour)
    page = visitor.page
    await page.get_by_label("Play from 25:00").first.click()
    await visitor.reads("!document.querySelector('video').paused", True)
    await page.wait_for_selector(".line.now")
    seen = "(() => { const r = document.querySelector('.line.now').getBoundingClientRect(); return r.top > 0 && r.bottom < innerHeight })()"
    await visitor.reads(seen, True)
    line = "Number(document.querySelector('.line.now').dataset.line) > {}"
    await page.mouse.move(400, 400)
    for place, least in ((2_000, 2_700), (3_000, 4_100)):
        await page.evaluate(f"document.querySelector('video').currentTime = {place}")
        await visitor.reads(line.format(least), True)
        if place == 2_000:
            await visitor.reads(seen, True)  # else: the reader scrolls while the page still does
        for _ in range(
            6
        ):  # as a hand does: the page ends a scroll of its own at the first, and may end that one with it
            await page.mouse.wheel(0, -1_500)
            await anyio.sleep(0.05)
        await page.wait_for_selector(".pill")
        await visitor.reads(seen, False)
        await visitor.reads(STILL, True)
        assert await page.evaluate(seen) is False  # nothing carried the reader back
        await page.click(".pill")
        await visitor.reads(seen, True)
        assert await page.locator(".pill").count() == 0


async def test_a_link_to_a_place_and_a_double_click_play_from_there(visitor: Visitor, site: Site) -> None:
    await opened(site, visitor, "place.wav", sound(60, chunks=5), at="#t=0:23")
    page = visitor.page
    await visitor.reads(PLACE, 23)
    await page.get_by_text("This is chunk 4.").dblclick()
    await visitor.reads("!document.querySelector('video').paused", True)
    assert await page.evaluate(PLACE) >= 44


async def test_keys_steer_the_recording_and_do_nothing_once_they_are_off(visitor: Visitor, site: Site) -> None:
    job_id = await opened(site, visitor, "keys.wav", sound(60, chunks=5))
    page = visitor.page
    for key, place in (
        ("l", 5),
        ("l", 10),
        ("j", 5),
        ("ArrowRight", 6),
        ("ArrowDown", 11),
        ("ArrowDown", 22),
        ("ArrowUp", 11),
    ):
        await page.keyboard.press(key)
        await visitor.reads(f"Math.round({PLACE})", place)
    await page.keyboard.press("]")
    await visitor.reads("document.querySelector('video').playbackRate", 1.25)
    await page.keyboard.press("0")
    await page.keyboard.press("k")
    await visitor.reads("document.querySelector('video').paused", False)
    await page.keyboard.press("Space")
    await visitor.reads("document.querySelector('video').paused", True)
    await page.keyboard.press("/")
    await page.keyboard.type("kjl 0")
    assert await page.input_value("input[type=search]") == "kjl 0"
    await visitor.go("/settings")
    await page.uncheck("[data-keys]")
    await visitor.go(f"/t/{job_id}")
    await page.wait_for_selector(".player")
    for key in ("k", "l", "?", "e", "Space"):
        await page.keyboard.press(key)
    await page.wait_for_timeout(300)
    assert await page.evaluate(f"[{PLACE}, document.querySelector('video').paused]") == [0, True]
    assert await page.locator("dialog[open], #export:popover-open").count() == 0


async def test_a_line_is_looped_until_it_is_let_go(visitor: Visitor, site: Site) -> None:
    await opened(site, visitor, "loop.wav", sound(30, cuts=[[1.0, 2.0], [3.0, 4.0]]))
    page = visitor.page
    await page.get_by_label("Play from 0:01").click()
    await page.check("[data-loop]")
    await page.wait_for_timeout(2_500)
    assert await page.evaluate(PLACE) < 2.5


async def test_a_phrase_is_found_marked_and_visited(visitor: Visitor, site: Site) -> None:
    job = await site.send("find.wav", chunks=30)
    await site.until(job.id, "completed")
    await visitor.go(f"/t/{job.id}")
    page = visitor.page
    await page.fill("input[type=search]", "CHUNK 2")
    await page.get_by_text("1 of 11").wait_for()
    assert await page.evaluate("CSS.highlights.get('hit').size") == 11
    await page.keyboard.press("Enter")
    await page.get_by_text("2 of 11").wait_for()
    await visitor.reads(MARKED.format("chosen"), "chunk 2")
    await page.keyboard.press("Shift+Enter")
    await page.keyboard.press("Shift+Enter")
    await page.get_by_text("11 of 11").wait_for()


async def test_a_gap_is_shown_where_it_is(visitor: Visitor, site: Site) -> None:
    job = await site.send("hole.wav", chunks=3, bad=[1])
    await site.until(job.id, "completed")
    await visitor.go(f"/t/{job.id}")
    await visitor.page.wait_for_selector(".line.gap")
    said = await visitor.page.locator(".line p").all_inner_texts()
    assert said == ["This is chunk 0.", "Missing from 0:11 to 0:21", "This is chunk 2."]


async def test_every_export_is_a_file_with_the_name_of_the_recording(visitor: Visitor, site: Site) -> None:
    await opened(site, visitor, "董事会 会议.wav", sound(40, chunks=3))
    page = visitor.page
    files: dict[str, bytes] = {}
    for number in range(9):
        await page.click("[data-export]")
        async with page.expect_download() as waiting:
            await page.locator("#export a").nth(number).click()
        download = await waiting.value
        name, _, extension = download.suggested_filename.rpartition(".")
        assert name == "董事会 会议"
        files[extension] = await anyio.Path(await download.path()).read_bytes()
    assert set(files) == {"srt", "vtt", "txt", "docx", "md", "json", "tsv", "lrc", "ass"}
    assert [cue.content for cue in srt.parse(files["srt"].decode())] == [f"This is chunk {n}." for n in range(3)]
    assert len(webvtt.from_string(files["vtt"].decode()).captions) == 3
    assert len(json.loads(files["json"])["segments"]) == 3
    assert "This is chunk 2." in "\n".join(part.text for part in docx.Document(io.BytesIO(files["docx"])).paragraphs)
    assert "This is chunk 0." in files["txt"].decode()


async def test_a_film_plays_beside_its_text_with_captions(visitor: Visitor, site: Site, tmp_path: Path) -> None:
    await opened(site, visitor, "film.webm", film(tmp_path / "film.webm", 12, chunks=1, seconds=9.0))
    page = visitor.page
    await page.wait_for_selector("video:visible")
    boxes = await page.evaluate("['video', '.text'].map((s) => document.querySelector(s).getBoundingClientRect().left)")
    assert boxes[0] > boxes[1]
    width = "document.querySelector('video').getBoundingClientRect().width"
    before = await page.evaluate(width)
    await page.focus("[data-picture]")
    for _ in range(10):
        await page.keyboard.press("ArrowRight")
    assert await page.evaluate(width) > before + 50
    await visitor.reads("document.querySelector('video').textTracks[0].cues?.length", 1)
    await page.click("[data-play]")
    await visitor.reads("document.querySelector('video').textTracks[0].activeCues[0]?.text", "This is chunk 0.")


async def test_the_waveform_is_drawn_from_peaks_and_nothing_is_decoded(browser: Any, site: Site) -> None:
    async with visiting(browser, site.url) as visitor:
        await visitor.page.add_init_script(
            "for (const n of ['AudioContext', 'OfflineAudioContext', 'AudioDecoder']) window[n] = class { constructor() { window.decoded = true } }"
        )
        await opened(site, visitor, "wave.wav", sound(20, chunks=1, peaks=3 * 3600 * 50))
        page = visitor.page
        await page.wait_for_selector(".wave.drawn")
        painted = """document.querySelector('.wave canvas').getContext('2d')
          .getImageData(0, 0, 100, document.querySelector('.wave canvas').height).data.some((v) => v)"""
        await visitor.reads(painted, True)
        assert await page.evaluate("window.decoded") is None
        await page.focus(".wave input")
        await page.keyboard.press("End")
        await visitor.reads(f"{PLACE} > 19", True)


async def test_an_unknown_transcript_is_said_to_be_gone(visitor: Visitor) -> None:
    visitor.expected = re.compile("/api/jobs/")
    await visitor.go("/t/01nosuchjob")
    assert "does not exist" in await visitor.words()


async def test_exports_look_as_is_chosen_and_the_choice_is_remembered(visitor: Visitor, site: Site) -> None:
    await opened(site, visitor, "shaped.wav", sound(60, chunks=3))
    page = visitor.page
    await page.click("[data-export]")
    await page.click(".shape summary")
    await page.fill("[data-shape=columns]", "10")
    await page.check("[data-shape=bom]")
    async with page.expect_download() as download:
        await page.click("#export a:has-text('SRT')")
    taken = await anyio.Path(await (await download.value).path()).read_bytes()
    assert taken.startswith(b"\xef\xbb\xbf")
    assert len(list(srt.parse(taken.decode("utf-8-sig")))) == 3
    assert "line_columns=10&cjk_line_columns=10" in (await download.value).url
    await page.reload()
    await page.click("[data-export]")
    await page.click(".shape summary")
    assert await page.input_value("[data-shape=columns]") == "10"
