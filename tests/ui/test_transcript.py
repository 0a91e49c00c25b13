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
from opencc import OpenCC

from testkit.browser import Site, Visitor, recording, visiting
from testkit.playable import film, sound
from whisper_service.editing.operations import ChangeText, ClientOperation, DeleteLine, InsertLine
from whisper_service.scheduler import requests
from whisper_service.storage.transcript_edits import Edit

pytestmark = [pytest.mark.ui, pytest.mark.anyio]

FORMATS = ("srt", "vtt", "txt", "docx", "md", "json", "tsv", "lrc", "ass")
PLACE = "document.querySelector('video').currentTime"
STILL = """new Promise((resolve) => { let last = NaN, same = 0
  const look = () => {
    same = scrollY === last ? same + 1 : 0
    last = scrollY
    same < 12 ? requestAnimationFrame(look) : resolve(true)
  }
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
    await visitor.count(".line", 5_000)
    await page.get_by_label("Play from 50:00").first.click()
    await visitor.reads("!document.querySelector('video').paused", True)
    assert 3_000 <= await page.evaluate(PLACE) < 3_010
    assert 206 in answers
    await page.wait_for_selector(".line.now")
    await visitor.reads(f"{MARKED.format('word')} !== ''", True)
    now = await page.inner_text(".line.now p")
    await visitor.reads(MARKED.format("word"), now)  # the scripted actor says each sentence as one word
    await visitor.reads("location.hash", "#t=3000")


async def test_it_follows_what_sounds_until_the_reader_scrolls_and_a_pill_leads_back(
    visitor: Visitor, site: Site, hour: bytes
) -> None:
    await opened(site, visitor, "follow.wav", hour)
    page = visitor.page
    await page.get_by_label("Play from 25:00").first.click()
    await visitor.reads("!document.querySelector('video').paused", True)
    await page.wait_for_selector(".line.now")
    seen = """(() => { const r = document.querySelector('.line.now').getBoundingClientRect()
      return r.top > 0 && r.bottom < innerHeight })()"""
    await visitor.reads(seen, True)
    line = "[...document.querySelectorAll('.line')].indexOf(document.querySelector('.line.now')) > {}"
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
        await visitor.reads(seen, False)  # nothing carried the reader back
        await page.click(".pill")
        await visitor.reads(seen, True)
        await visitor.count(".pill", 0)


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
    await visitor.reads("document.querySelector('video').playbackRate", 1.1)
    await page.keyboard.press("0")
    await page.keyboard.press("k")
    await visitor.reads("document.querySelector('video').paused", False)
    await page.keyboard.press("Space")
    await visitor.reads("document.querySelector('video').paused", True)
    await page.keyboard.press("/")
    await page.keyboard.type("kjl 0")
    await visitor.sees(lambda: page.input_value("input[type=search]"), "kjl 0")
    await visitor.go("/settings")
    await page.uncheck("[data-keys]")
    await visitor.go(f"/t/{job_id}")
    await page.wait_for_selector(".player")
    for key in ("k", "l", "?", "e", "Space"):
        await page.keyboard.press(key)
    await page.wait_for_timeout(300)
    await visitor.reads(f"[{PLACE}, document.querySelector('video').paused]", [0, True])
    await visitor.count("dialog[open]", 0)


async def test_a_line_is_looped_until_it_is_let_go(visitor: Visitor, site: Site) -> None:
    await opened(site, visitor, "loop.wav", sound(30, cuts=[[1.0, 2.0], [3.0, 4.0]]))
    page = visitor.page
    await page.get_by_label("Play from 0:01").click()
    await page.click(".player [data-menu]")
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
    await visitor.reads("CSS.highlights.get('hit').size", 11)
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
    assert said == ["This is chunk 0.", "Not transcribed: 0:11–0:21", "This is chunk 2."]


async def test_every_export_is_a_file_with_the_name_of_the_recording(visitor: Visitor, site: Site) -> None:
    await opened(site, visitor, "董事会 会议.wav", sound(40, chunks=3))
    page = visitor.page
    files: dict[str, bytes] = {}
    for format in FORMATS:
        await page.click("[data-export]")
        await page.check(f"#export input[value={format}]")
        async with page.expect_download() as waiting:
            await page.click("[data-download]")
        await page.wait_for_selector("#export", state="detached")
        download = await waiting.value
        name, _, extension = download.suggested_filename.rpartition(".")
        assert name == "董事会 会议"
        files[extension] = await anyio.Path(await download.path()).read_bytes()
    assert set(files) == set(FORMATS)
    assert [cue.content for cue in srt.parse(files["srt"].decode())] == [f"This is chunk {n}." for n in range(3)]
    assert len(webvtt.from_string(files["vtt"].decode()).captions) == 3
    assert len(json.loads(files["json"])["segments"]) == 3
    assert "This is chunk 2." in "\n".join(part.text for part in docx.Document(io.BytesIO(files["docx"])).paragraphs)
    assert "This is chunk 0." in files["txt"].decode()


async def test_a_film_plays_beside_its_text_with_captions(visitor: Visitor, site: Site, tmp_path: Path) -> None:
    job = await opened(site, visitor, "film.webm", film(tmp_path / "film.webm", 12, chunks=1, seconds=9.0))
    page = visitor.page
    await page.wait_for_selector("video:visible")
    boxes = await page.evaluate("['video', '.text'].map((s) => document.querySelector(s).getBoundingClientRect().left)")
    assert boxes[0] > boxes[1]
    width = "document.querySelector('video').getBoundingClientRect().width"
    before = await page.evaluate(width)
    await page.click(".player [data-menu]")
    await page.focus("[data-picture]")
    for _ in range(10):
        await page.keyboard.press("ArrowRight")
    assert await page.evaluate(width) > before + 50
    await visitor.reads("document.querySelector('video').textTracks[0].cues?.length", 1)
    await page.keyboard.press("Escape")
    await page.click("[data-play]")
    await visitor.reads("document.querySelector('video').textTracks[0].activeCues[0]?.text", "This is chunk 0.")
    await page.click(".player [data-menu]")
    await page.uncheck("[data-captions]")
    await visitor.reads("document.querySelector('video').textTracks[0].mode", "disabled")
    await page.click("[data-full-screen]")
    await visitor.reads("document.fullscreenElement?.tagName", "VIDEO")
    await page.evaluate("document.exitFullscreen()")
    await visitor.go(f"/t/{job}")
    await page.wait_for_selector("video:visible")
    await visitor.reads("document.querySelector('video').textTracks.length", 0)


async def test_the_waveform_is_drawn_from_peaks_and_nothing_is_decoded(browser: Any, site: Site) -> None:
    async with visiting(browser, site.url) as visitor:
        await visitor.page.add_init_script(
            """for (const n of ['AudioContext', 'OfflineAudioContext', 'AudioDecoder'])
              window[n] = class { constructor() { window.decoded = true } }"""
        )
        await opened(site, visitor, "wave.wav", sound(20, chunks=1, peaks=3 * 3600 * 50))
        page = visitor.page
        await page.wait_for_selector(".wave.drawn")
        painted = """document.querySelector('.wave canvas').getContext('2d')
          .getImageData(0, 0, 100, document.querySelector('.wave canvas').height).data.some((v) => v)"""
        await visitor.reads(painted, True)
        await visitor.reads("window.decoded", None)
        await page.focus(".wave input")
        await page.keyboard.press("End")
        await visitor.reads(f"{PLACE} > 19", True)


async def test_an_unknown_transcript_is_said_to_be_gone(visitor: Visitor) -> None:
    visitor.expected = re.compile("/api/jobs/")
    await visitor.go("/t/01nosuchjob")
    await visitor.sees(lambda: visitor.words(), has="does not exist")


async def test_exports_look_as_is_chosen_and_the_choice_is_remembered(visitor: Visitor, site: Site) -> None:
    await opened(site, visitor, "shaped.wav", sound(60, chunks=3))
    page = visitor.page
    await page.click("[data-export]")
    await page.locator("[data-preview]", has_text="This is chunk 0.").wait_for()
    assert len(re.findall("-->", await page.inner_text("[data-preview]"))) == 3
    await visitor.count("[data-shape=word_times], [data-shape=times]", 0)  # options of other formats
    await page.fill("[data-shape=columns]", "10")
    await page.locator("[data-preview]", has_text="chunk 0.\n").wait_for()
    await page.check("[data-shape=bom]")
    async with page.expect_download() as download:
        await page.click("[data-download]")
    taken = await anyio.Path(await (await download.value).path()).read_bytes()
    assert taken.startswith(b"\xef\xbb\xbf")
    assert len(list(srt.parse(taken.decode("utf-8-sig")))) == 3
    assert "line_columns=10&cjk_line_columns=10" in (await download.value).url
    await page.click("[data-export]")
    await page.check("#export input[value=md]")
    await visitor.sees(lambda: page.locator("[data-shape=times]").count(), 1)
    await visitor.count("[data-shape=columns]", 0)
    async with page.expect_download():
        await page.click("[data-download]")
    await page.reload()
    await page.click("[data-export]")
    await visitor.sees(lambda: page.locator("#export input[type=radio]").first.get_attribute("value"), "md")
    await page.check("#export input[value=srt]")
    await visitor.sees(lambda: page.input_value("[data-shape=columns]"), "10")


SEEN = """(() => { const line = document.querySelector('.line.now')?.getBoundingClientRect(); if (!line) return false
  const top = document.querySelector('.reading-bar').getBoundingClientRect().bottom
  return line.top >= top && line.bottom <= document.querySelector('.player').getBoundingClientRect().top })()"""


async def test_every_seek_shows_its_line_also_while_nothing_plays(visitor: Visitor, site: Site, hour: bytes) -> None:
    job_id = await opened(site, visitor, "seek.wav", hour)
    page = visitor.page
    await page.wait_for_selector(".wave input")
    box = await page.locator(".wave").bounding_box()
    for share in (0.8, 0.2):
        await page.mouse.click(box["x"] + share * box["width"], box["y"] + box["height"] / 2)
        await visitor.reads(f"Math.abs({PLACE} - {3600 * share}) < 60", True)
        await visitor.reads(SEEN, True)
    for key in "l" * 12 + "j" * 20:
        await page.keyboard.press(key)
    await visitor.reads(SEEN, True)
    for name in ("Forward 5 seconds", "Back 5 seconds"):
        for _ in range(20):
            await page.get_by_role("button", name=name).click()
        await visitor.reads(SEEN, True)
    for place in ("33:20", "10:00"):  # a new page, and another time in the same one
        await visitor.go(f"/t/{job_id}#t={place}")
        await page.get_by_text(f"{place} / 1:00:00").wait_for()
        await visitor.reads(SEEN, True)
        if place == "33:20":
            await page.reload()
            await page.get_by_text(f"{place} / 1:00:00").wait_for()
            await visitor.reads(SEEN, True)
    await page.evaluate("scrollTo(0, 0)")
    await page.click("[data-play]")
    await visitor.reads(SEEN, True)
    await page.click("[data-play]")
    await page.click(".player [data-menu]")
    await page.uncheck("[data-follow]")
    await page.keyboard.press("Escape")
    await page.evaluate("scrollTo(0, 0)")
    await page.mouse.click(box["x"] + 0.9 * box["width"], box["y"] + box["height"] / 2)
    await visitor.reads(f"{PLACE} > 3100", True)
    await page.wait_for_timeout(300)
    await visitor.reads("scrollY", 0)


async def test_a_search_in_ten_hours_of_text_keeps_up_with_typing(visitor: Visitor, site: Site) -> None:
    job = await site.send("long.wav", chunks=90, seconds=400.0, segments=100)
    await site.until(job.id, "completed")
    await visitor.go(f"/t/{job.id}")
    page = visitor.page
    await visitor.count(".text .line", 9_000)
    await page.evaluate(
        """() => { window.long = []
        new PerformanceObserver((list) => window.long.push(...list.getEntries().map((e) => e.duration)))
          .observe({ type: 'longtask' }) }"""
    )
    await page.focus("input[type=search]")
    await page.keyboard.type("chunk", delay=120)
    await page.get_by_text("1 of 9000").wait_for()
    assert 0 < await page.evaluate("CSS.highlights.get('hit').size") < 1_000  # those near the window
    assert max(await page.evaluate("window.long"), default=0) < 1_000  # it was 1,592 ms where this was measured, alone
    await page.keyboard.press("Shift+Enter")
    await page.get_by_text("9000 of 9000").wait_for()
    await visitor.reads(MARKED.format("chosen"), "chunk")
    last = """(() => { const r = [...document.querySelectorAll('.line')].at(-1).getBoundingClientRect()
      return r.top > 0 && r.bottom <= innerHeight })()"""
    await visitor.reads(last, True)
    await visitor.reads("CSS.highlights.get('hit').size > 0", True)


async def test_a_click_on_a_word_goes_there_and_plays_only_what_was_playing(visitor: Visitor, site: Site) -> None:
    await opened(site, visitor, "words.wav", sound(60, chunks=5))
    page = visitor.page
    await page.get_by_text("This is chunk 3.").click()
    await visitor.reads(f"Math.round({PLACE})", 33)
    await visitor.reads("document.querySelector('video').paused", True)
    line = page.get_by_text("This is chunk 1.")
    box = await line.bounding_box()
    await page.mouse.move(box["x"] + 3, box["y"] + box["height"] / 2)
    await page.mouse.down()
    await page.mouse.move(box["x"] + 90, box["y"] + box["height"] / 2)
    await page.mouse.up()  # who selects text does not want to go there
    await visitor.sees(lambda: page.evaluate("getSelection().toString() !== ''"))
    assert round(await page.evaluate(PLACE)) == 33


async def test_a_tap_on_a_word_goes_there(browser: Any, site: Site) -> None:
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    async with visiting(browser, site.url, **phone) as visitor:
        await opened(site, visitor, "tap.wav", sound(60, chunks=5))
        await visitor.page.get_by_text("This is chunk 2.").tap()
        await visitor.reads(f"Math.round({PLACE})", 22)


async def test_play_is_reached_before_the_text_and_the_text_is_one_stop(visitor: Visitor, site: Site) -> None:
    await opened(site, visitor, "stops.wav", sound(60, chunks=5))
    page = visitor.page
    await page.evaluate("document.activeElement.blur()")
    focus = (
        "document.activeElement.matches('[data-play]') ? 'play' : document.activeElement.closest('.text') ? 'text' : ''"
    )
    stops: list[str] = []
    for _ in range(30):
        await page.keyboard.press("Tab")
        stops.append(await page.evaluate(focus))
        if stops[-1] == "text":
            break
    assert stops.index("play") < 12
    assert stops.count("text") == 1
    at = "[...document.querySelectorAll('[data-line]')].indexOf(document.activeElement.closest('[data-line]'))"
    for key, wanted in (("ArrowDown", 1), ("ArrowDown", 2), ("ArrowUp", 1), ("End", 4)):
        await page.keyboard.press(key)
        await visitor.sees(lambda: page.evaluate(at), wanted)
    await visitor.reads(PLACE, 0)  # only the focus went
    await page.keyboard.press("Enter")
    await visitor.sees(
        lambda: page.evaluate("document.activeElement.isContentEditable")
    )  # and the caret is in the line
    await page.keyboard.press("Tab")
    await visitor.sees(lambda: page.evaluate(focus), "")


async def test_a_failed_recording_says_one_thing_and_has_its_actions(visitor: Visitor, site: Site) -> None:
    job = await site.send("letter.wav", data=b"Dear reader, this is no sound at all.")
    await site.until(job.id, "failed")
    await visitor.go(f"/t/{job.id}")
    page = visitor.page
    await page.get_by_text("not a recording").wait_for()
    assert "No text yet" not in await visitor.words()
    await visitor.count("[data-another]", 1)
    await page.click(".more[data-menu]")
    await visitor.sees(lambda: page.locator("[data-report]").is_visible())
    await page.click("[data-verb=rename]")
    await page.fill(".rename input", "note")
    await page.keyboard.press("Enter")
    await page.locator("h1", has_text="note").wait_for()
    await page.click("[data-discard]")
    await visitor.reads("location.pathname", "/")
    await visitor.count(".jobs .job", 0)


async def test_the_bar_stays_and_the_first_ctrl_f_looks_in_the_whole_text(
    visitor: Visitor, site: Site, hour: bytes
) -> None:
    await opened(site, visitor, "sticky.wav", hour)
    page = visitor.page
    await page.evaluate("scrollTo(0, 50_000)")
    await visitor.reads("document.querySelector('.reading-bar').getBoundingClientRect().top", 0)
    await visitor.sees(lambda: page.locator(".reading-bar [data-export]").is_visible(), True)
    await page.evaluate(
        "addEventListener('keydown', (event) => setTimeout(() => { window.taken = event.defaultPrevented }))"
    )
    await page.keyboard.press("Control+f")
    await visitor.reads("window.taken", True)
    await visitor.reads("document.activeElement.type", "search")
    await page.keyboard.press("Control+f")
    await visitor.reads("window.taken", False)


async def test_a_time_stands_beside_the_first_row_of_its_line(browser: Any, site: Site) -> None:
    async with visiting(browser, site.url, viewport={"width": 320, "height": 700}) as visitor:
        await opened(site, visitor, "rows.wav", sound(60, chunks=2, says="word " * 40))
        tops = await visitor.page.evaluate(
            """() => { const line = document.querySelector('.line'), range = new Range()
              range.selectNodeContents(line.querySelector('p')); const first = range.getClientRects()[0]
              const button = line.querySelector('button').getBoundingClientRect()
              const middle = (box) => (box.top + box.bottom) / 2
              return [middle(button), middle(first), line.getBoundingClientRect().height] }"""
        )
        assert tops[2] > 60
        assert abs(tops[0] - tops[1]) < 6


async def test_reading_has_most_of_a_phone(browser: Any, site: Site) -> None:
    async with visiting(browser, site.url, viewport={"width": 390, "height": 844}) as visitor:
        await opened(
            site, visitor, "A recording with a rather long name of its own.wav", sound(300, chunks=20, peaks=15_000)
        )
        page = visitor.page
        bar, player, first = await page.evaluate(
            """() => [document.querySelector('.reading-bar').offsetHeight,
              document.querySelector('.player').offsetHeight,
              document.querySelector('.line').getBoundingClientRect().top]"""
        )
        assert bar <= 48
        assert player <= 64
        assert first <= 190
        await page.click("[data-finder]")
        await visitor.reads("document.activeElement.type", "search")
        await page.click(".player [data-menu]")
        await page.locator("[data-volume]").wait_for()


async def test_the_player_rewinds_on_pause_and_has_volume_and_fine_speeds(visitor: Visitor, site: Site) -> None:
    await opened(site, visitor, "fine.wav", sound(60, chunks=5))
    page = visitor.page
    await page.click(".player [data-menu]")
    await page.select_option("[data-rewind]", "3")
    await page.locator("[data-volume]").fill("0.4")
    await visitor.reads("document.querySelector('video').volume", 0.4)
    await page.keyboard.press("Escape")
    options = await page.locator("[data-rate] option").all_inner_texts()
    assert {"0.5×", "0.9×", "1.1×", "3×"} <= set(options)
    await page.get_by_text("This is chunk 2.").click()
    await visitor.reads(f"Math.round({PLACE})", 22)
    await page.keyboard.press("Escape")  # the click put the caret there
    await page.keyboard.press("k")
    await visitor.reads(f"{PLACE} > 23", True)
    await page.keyboard.press("k")
    await visitor.reads("document.querySelector('video').paused", True)
    assert await page.evaluate(PLACE) < 22.5
    assert "(K)" in str(await page.get_attribute("[data-play]", "title"))


async def test_text_is_copied_with_times_and_a_line_as_a_link(browser: Any, site: Site) -> None:
    async with visiting(browser, site.url, permissions=["clipboard-read", "clipboard-write"]) as visitor:
        job_id = await opened(site, visitor, "copy.wav", sound(60, chunks=3))
        page = visitor.page

        async def copied(what: str) -> str:
            await page.click("button.copy")
            await page.click(f"[data-copy={what}]")
            await page.locator(".notices p").last.wait_for()
            return str(await page.evaluate("navigator.clipboard.readText()"))

        assert await copied("plain") == "This is chunk 0.\nThis is chunk 1.\nThis is chunk 2."
        assert (await copied("times")).splitlines()[1] == "0:11  This is chunk 1."
        await page.get_by_text("This is chunk 2.").click()
        await visitor.reads(f"Math.round({PLACE})", 22)
        assert await copied("place") == f"{site.url}/t/{job_id}#t=22"


async def test_why_a_recording_cannot_be_played_is_said_exactly(browser: Any, site: Site) -> None:
    job = await site.send("odd.wav", chunks=1)  # a script without sound, which no browser plays
    await site.until(job.id, "completed")
    async with visiting(browser, site.url) as visitor:
        await visitor.go(f"/t/{job.id}")
        said = visitor.page.locator("[data-no-media]")
        await said.get_by_text("Your browser cannot play this format.").wait_for()
        await site.service.parts.context.ask(requests.remove_media, job.id)
        await said.get_by_text("deleted by the storage rules").wait_for()


async def test_what_another_program_edits_shows_at_once_in_an_open_page(visitor: Visitor, site: Site) -> None:
    job = await opened(site, visitor, "edited.wav", sound(20, chunks=4, seconds=5.0))
    page, lines = visitor.page, "[...document.querySelectorAll('.line p')].map((line) => line.innerText)"
    before = ["This is chunk 0.", "This is chunk 1.", "This is chunk 2.", "This is chunk 3."]
    await visitor.reads(lines, before)
    operations: tuple[ClientOperation, ...] = (
        ChangeText(id="c0.0", v=0, text="This was chunk 0."),
        InsertLine(after="c0.0", new="between", start=4.9, end=5.0, text="A line between."),
        DeleteLine(id="c2.0", v=0),
    )
    result = await site.service.edits.apply(job, Edit("b1", operations))
    edited = ["This was chunk 0.", "A line between.", "This is chunk 1.", "This is chunk 3."]
    await visitor.reads(lines, edited)
    await page.reload()
    await visitor.reads(lines, edited)
    await site.service.edits.undo(job, result.number, Edit("b2", ()))
    await visitor.reads(lines, before)


HAN = r"[\u3400-\u9fff]"
MIXED = "今天的會議 討論 图书馆 的 預算"
"""Chinese as a model writes it: in both scripts, and with spaces."""


async def test_chinese_is_in_the_readers_script_or_as_recognized_and_has_no_spaces(browser: Any, site: Site) -> None:
    async def read(visitor: Visitor, name: str) -> tuple[str, str]:
        """Upload a recording and open it; the id of the job and the text of the view."""
        await visitor.choose(recording(name, chunks=3, says=MIXED, language="zh"))
        await (await visitor.shows(name, "completed")).locator("a.name").click()
        await visitor.count(".text .line", 3)
        job_id = (await visitor.page.evaluate("location.pathname")).rpartition("/")[2]
        return job_id, "\n".join(await visitor.page.locator(".line p").all_inner_texts())

    async with visiting(browser, site.url, locale="zh-CN") as visitor:
        page = visitor.page
        await visitor.go()
        job_id, shown = await read(visitor, "会议.wav")
        assert len(re.findall(HAN, shown)) > 30
        assert OpenCC("t2s").convert(shown) == shown
        texts = [shown]
        for kind in ("txt", "srt"):
            texts.append(await page.evaluate(f"fetch('/api/jobs/{job_id}/export?format={kind}').then((r) => r.text())"))
        for text in texts:
            assert "今天的会议讨论图书馆的预算" in text
            assert not re.search(rf"{HAN}[ \u3000]+{HAN}", text)
        await visitor.go()
        await page.click("[data-options]")
        await page.select_option(".sheet [data-option=chinese]", "recognized")
        await page.click("[data-close]")
        job_id, shown = await read(visitor, "原样.wav")
        assert "今天的會議討論图书馆的預算" in shown
        machine = await page.evaluate(
            f"fetch('/api/jobs/{job_id}/transcript?version=machine').then((r) => r.json())"
            ".then(({ segments }) => segments.map(({ text }) => text.trim()).join('\\n'))"
        )
        assert shown == machine


async def test_all_languages_of_a_text_are_told_as_they_come(visitor: Visitor, site: Site) -> None:
    job = await opened(site, visitor, "two.wav", sound(20, chunks=2, seconds=5.0))
    page = visitor.page
    await visitor.sees(lambda: page.inner_text("[data-languages]"), "English")
    async with site.service.parts.store._db.transaction():
        await site.service.parts.store._db.run("UPDATE segment SET language = 'zh' WHERE job_id = ? AND chunk = 1", job)
    await page.reload()
    await visitor.reads("document.querySelector('[data-languages]')?.innerText", "English, Chinese")
