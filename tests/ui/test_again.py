"""A stored recording is transcribed again; its tracks and the remarks on it are told."""

from __future__ import annotations

import re
from typing import Any

import pytest

from testkit.browser import LANGUAGES, Site, Visitor, visiting
from testkit.playable import sound
from whisper_service.core.domain import AudioTrack, Job, JobNote, Status
from whisper_service.scheduler import requests

pytestmark = [pytest.mark.ui, pytest.mark.anyio]

TRACKS = (
    AudioTrack(0, codec="aac", language="eng", channels=2, default=True, used=True),
    AudioTrack(1, codec="aac", language="ger", title="Kommentar", channels=1),
    AudioTrack(2, codec="", decodable=False),
)
NOTES = (
    JobNote(1.0, "other_tracks", "In English.", {"track": 0, "tracks": 3}),
    JobNote(2.0, "unheard", "In English.", {"seconds": 8.0, "at_s": 31.0, "end_s": 39.0, "places": 1}),
    JobNote(3.0, "time_jump", "In English.", {"at_s": 12.0, "seconds": 90.0, "jumps": 1}),
    JobNote(4.0, "oom", "Memory ran out.", {"position_s": 5.0}),
)


async def finished(site: Site, name: str, **fields: Any) -> Job:
    """A finished job with a recording that can be played; `fields` are written into it afterwards."""
    job = await site.send(name, data=sound(60, chunks=5))
    await site.until(job.id, "completed")
    if fields:
        await site.service.parts.store.update(job.id, expected=Status.COMPLETED, **fields)
    return await site.service.parts.store.job(job.id)


async def newest(site: Site) -> Job:
    return (await site.service.parts.store.jobs(limit=1))[0]


async def test_a_finished_job_is_transcribed_again_from_its_recording_and_stays_as_it_is(
    visitor: Visitor, site: Site
) -> None:
    page, sent = visitor.page, []
    page.on("request", lambda request: sent.append(request) if request.method == "POST" else None)
    job = await finished(site, "council.wav")
    row = await visitor.shows("council.wav", "completed")
    await row.locator("[data-menu]").click()
    await row.get_by_text("Transcribe again…").click()
    form = page.locator("#again[open]")
    await form.wait_for()
    await visitor.sees(lambda: form.locator("h2").inner_text(), "Transcribe again: council")
    await visitor.sees(lambda: form.locator("[data-option=language]").input_value(), "en")  # as the job was made
    await visitor.sees(lambda: form.locator("[data-option=preset]").input_value(), "balanced")
    await form.locator("[data-option=preset]").select_option("accurate")
    await form.locator("[data-option=chinese]").select_option("recognized")
    await form.locator("[data-prompt]").fill("Dr. Nguyen")
    await form.locator("[data-again-send]").click()
    await page.get_by_text("Transcribing again: council").wait_for()
    assert [request.url.removeprefix(site.url) for request in sent] == ["/api/jobs"]  # nothing is uploaded
    await visitor.count(".jobs .job[data-status=completed]", 2)
    other = await newest(site)
    assert (other.options.preset, other.options.prompt, other.options.script) == (
        "accurate",
        "Dr. Nguyen",
        "recognized",
    )
    assert (other.options.language, other.options.track) == ("en", None)
    assert other.sha256 == job.sha256
    assert await site.service.parts.store.job(job.id) == job
    await page.get_by_role("button", name="Open").click()
    await page.wait_for_url(f"**/t/{other.id}")
    link = page.locator("[data-versions] a")
    await link.click()  # each leads to the other
    await page.wait_for_url(f"**/t/{job.id}")


async def test_from_its_transcript_the_new_one_opens(visitor: Visitor, site: Site) -> None:
    job = await finished(site, "talk.wav")
    page = visitor.page
    await visitor.go(f"/t/{job.id}")
    await page.locator(".reading-bar [data-menu]").last.click()
    await page.locator("[data-verb=again]").click()
    await page.locator("#again [data-option=language]").select_option("de")
    await page.locator("[data-again-send]").click()
    await visitor.reads(f"location.pathname !== '/t/{job.id}'", True)
    other = await newest(site)
    await visitor.reads("location.pathname", f"/t/{other.id}")
    assert (other.id != job.id, other.options.language) == (True, "de")
    await site.until(other.id, "completed")


@pytest.mark.parametrize(
    ("locale", "why"), [("en-US", "deleted by the storage rules"), ("zh-CN", "录音已按存储规则删除")]
)
async def test_without_its_recording_the_entry_is_disabled_and_says_why(
    browser: Any, site: Site, locale: str, why: str
) -> None:
    job = await finished(site, "gone.wav")
    await site.service.parts.context.ask(requests.remove_media, job.id)
    async with visiting(browser, site.url, locale=locale) as visitor:
        await visitor.go()
        row = await visitor.shows("gone.wav", "completed")
        await row.locator("[data-menu]").click()
        entry = row.locator("[data-verb=again]")
        await visitor.sees(lambda: entry.is_disabled(), True)
        await visitor.sees(lambda: row.locator(".why").inner_text(), has=why)
        assert await row.locator(".why").get_attribute("id") == await entry.get_attribute("aria-describedby")


async def test_a_refusal_is_told_in_the_form_which_stays_open(visitor: Visitor, site: Site) -> None:
    job = await finished(site, "kept.wav")
    page = visitor.page
    row = await visitor.shows("kept.wav", "completed")
    await row.locator("[data-menu]").click()
    await row.locator("[data-verb=again]").click()
    await page.locator("#again [data-prompt]").fill("typed")
    (site.service.parts.data.source_of(job.id)).unlink()  # behind the back of the service
    visitor.expected = re.compile("/api/jobs|media|peaks")
    await page.locator("[data-again-send]").click()
    await page.locator("#again .problem[role=alert]").wait_for()
    await visitor.sees(lambda: page.locator("#again [data-prompt]").input_value(), "typed")
    await page.keyboard.press("Escape")
    await page.wait_for_selector("#again", state="detached")
    assert len(await site.service.parts.store.jobs()) == 1


@pytest.mark.parametrize("locale", LANGUAGES)
async def test_the_tracks_are_listed_and_another_one_can_be_transcribed(browser: Any, site: Site, locale: str) -> None:
    job = await finished(site, "film.wav", tracks=TRACKS)
    async with visiting(browser, site.url, locale=locale) as visitor:
        page = visitor.page
        await visitor.go(f"/t/{job.id}")
        said = await page.locator("[data-tracks] li > span:first-child").all_inner_texts()
        assert said == (
            ["Track 0: English, stereo", "Track 1: German, Kommentar, mono", "Track 2: cannot be decoded"]
            if locale == "en-US"
            else ["音轨 0：英语、立体声", "音轨 1：德语、Kommentar、单声道", "音轨 2：无法解码"]
        )
        await visitor.sees(lambda: page.locator("[data-tracks] li").first.locator(".tag.good").count(), 1)
        await visitor.count("[data-tracks] button", 1)  # of the one that could be taken instead
        await page.locator("[data-tracks] button").click()
        choice = page.locator("#again [data-option=track]")
        await visitor.sees(lambda: choice.input_value(), "1")
        await visitor.sees(lambda: choice.locator("option[value='2']").is_disabled(), True)
        await page.locator("[data-again-send]").click()
        await visitor.reads(f"location.pathname !== '/t/{job.id}'", True)
        other = await newest(site)
        assert other.options.track == 1
        await site.until(other.id, "completed")


async def test_a_recording_with_one_track_lists_none_and_a_number_may_be_chosen_for_uploads(
    visitor: Visitor, site: Site
) -> None:
    page = visitor.page
    await page.click("text=More options")
    await page.fill("[data-option=track]", "2")
    await page.keyboard.press("Tab")
    await page.set_input_files(
        "[data-choose=files]", {"name": "one.wav", "mimeType": "audio/wav", "buffer": sound(60, chunks=5)}
    )
    await visitor.shows("one.wav", "completed")
    job = await newest(site)
    assert job.options.track == 2
    await visitor.go(f"/t/{job.id}")
    await visitor.sees(lambda: page.locator("[data-file]").count(), 1)
    await visitor.count("[data-tracks]", 0)
    await visitor.sees(
        lambda: page.evaluate("localStorage.getItem('preferences')"), has='"track":""'
    )  # other files have other tracks


@pytest.mark.parametrize(
    ("locale", "said", "cure"),
    [
        (
            "en-US",
            "8 s of sound have no text: no speech was found there.",
            "If somebody speaks there, upload that part",
        ),
        ("zh-CN", "有 8 秒的声音没有文字", "如果其中有人说话，请单独上传该段"),
    ],
)
async def test_a_remark_says_what_why_and_what_to_do_and_its_times_play_from_there(
    browser: Any, site: Site, locale: str, said: str, cure: str
) -> None:
    job = await finished(site, "noise.wav", history=NOTES)
    async with visiting(browser, site.url, locale=locale) as visitor:
        page = visitor.page
        await visitor.go()
        row = await visitor.shows("noise.wav", "completed")
        await visitor.sees(lambda: row.inner_text(), has="3 remarks" if locale == "en-US" else "3 条提示")
        await visitor.go(f"/t/{job.id}")
        await page.wait_for_selector(".player")
        remarks = page.locator("[data-remarks]")
        await visitor.sees(lambda: remarks.locator("li").count(), 3)  # the fourth note is about the work
        unheard = remarks.locator("[data-note=unheard]")
        await visitor.sees(lambda: unheard.inner_text(), has=said)
        await visitor.sees(lambda: unheard.inner_text(), has=cure)
        assert "In English" not in await remarks.inner_text()
        place = unheard.locator("a")
        assert (await place.inner_text()).strip() == "0:31–0:39"
        await place.click()
        await visitor.reads("!document.querySelector('video').paused", True)
        assert 31 <= await page.evaluate("document.querySelector('video').currentTime") < 34
        await remarks.locator("[data-note=time_jump] a").click()
        await visitor.reads("Math.floor(document.querySelector('video').currentTime) >> 2", 3)
        assert (await page.locator("[data-note=oom] a").inner_text()).strip() == "0:05"
