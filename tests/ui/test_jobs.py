"""The list: what every row tells, what can be asked of it, and that it is never behind the service."""

from __future__ import annotations

import re
import zipfile
from typing import Any

import pytest

from testkit.browser import Site, Visitor, recording, running_site, visiting
from whisper_service.core.errors import MediaRemoved
from whisper_service.core.job_states import Cause
from whisper_service.scheduler import admission, requests

pytestmark = [pytest.mark.ui, pytest.mark.anyio]

WATCH = """() => { window.seen = []; window.long = []
  new MutationObserver(() => {
    const bar = document.querySelector('.jobs progress[value]')
    if (bar) window.seen.push(bar.value)
  }).observe(document.body, { subtree: true, childList: true, attributes: true, attributeFilter: ['value'] })
  new PerformanceObserver((list) => window.long.push(...list.getEntries().map((e) => e.duration)))
    .observe({ type: 'longtask', buffered: true }) }"""


async def test_twenty_files_are_twenty_rows_at_once_and_two_of_them_upload(visitor: Visitor, site: Site) -> None:
    together: list[int] = []
    page = visitor.page
    await page.evaluate(
        """() => { window.most = 0
          const sending = () => document.querySelectorAll('[data-upload=sending]').length
          new MutationObserver(() => { window.most = Math.max(window.most, sending()) })
            .observe(document.body, { subtree: true, childList: true, attributes: true }) }"""
    )
    await visitor.choose(*(recording(f"file-{number:02}.wav", chunks=1) for number in range(20)))
    together.append(await page.locator(".uploads .job, .jobs .job").count())
    assert together[0] >= 18  # some may be through already and on their way to the list
    await visitor.count(".jobs .job[data-status=completed]", 20)
    assert 1 <= await page.evaluate("window.most") <= 2
    assert await page.locator(".uploads .job").count() == 0


async def test_a_percentage_never_falls_also_when_the_worker_dies(visitor: Visitor, site: Site) -> None:
    await visitor.page.evaluate(WATCH)
    await site.send("crash.wav", chunks=12, seconds=2.0, delay=0.15, faults={"3": "abort_once", "7": "kill_once"})
    await visitor.shows("crash.wav", "completed", timeout_s=40)
    seen = await visitor.page.evaluate("window.seen")
    assert len(set(seen)) > 3
    assert seen == sorted(seen)


async def test_a_reload_in_the_middle_shows_the_same(visitor: Visitor, site: Site) -> None:
    job = await site.send("going.wav", chunks=40, seconds=1.0, delay=0.2)
    row = await visitor.shows("going.wav", "processing")
    await row.locator(".words").wait_for()
    before = await row.locator("progress").get_attribute("value")
    await visitor.go()
    row = await visitor.shows("going.wav", "processing")
    assert float(await row.locator("progress[value]").get_attribute("value") or 0) >= float(before or 0) > 0
    await row.locator(".words").wait_for()
    await visitor.go(f"/t/{job.id}")
    await visitor.sees(lambda: visitor.page.inner_text(".text"), has="This is chunk 0.")


async def test_a_second_browser_sees_the_same(browser: Any, visitor: Visitor, site: Site) -> None:
    async with visiting(browser, site.url) as other:
        await other.go()
        await visitor.choose(recording("both.wav", chunks=1))
        for each in (visitor, other):
            await each.shows("both.wav", "completed")


async def test_a_pause_survives_a_restart_and_resuming_repeats_nothing(browser: Any, tmp_path: Any) -> None:
    async with running_site(tmp_path) as site, visiting(browser, site.url) as visitor:
        await visitor.go()
        job = await site.send("held.wav", chunks=12, seconds=1.0, delay=0.25)
        row = await visitor.shows("held.wav", "processing")
        await row.locator(".words").wait_for()
        await row.locator("[data-verb=pause]").click()
        await visitor.shows("held.wav", "paused")
        visitor.defects.clear()
        await visitor.page.goto("about:blank")  # what is in hand may still come until the service has stopped
    async with running_site(tmp_path) as site, visiting(browser, site.url) as visitor:
        await visitor.go()
        row = await visitor.shows("held.wav", "paused")
        kept = (await site.service.jobs.transcript(job.id)).segments
        assert 0 < len(kept) == (await site.service.parts.store.job(job.id)).chunks_done < 12
        await row.locator("[data-verb=resume]").click()
        await visitor.shows("held.wav", "completed")
        after = (await site.service.jobs.transcript(job.id)).segments
        assert [segment.text for segment in after] == [f"This is chunk {index}." for index in range(12)]
        assert after[: len(kept)] == kept


async def test_cancelling_works_in_work_and_in_the_queue_and_keeps_the_text(visitor: Visitor, site: Site) -> None:
    first = await site.send("busy.wav", chunks=40, seconds=1.0, delay=0.2)
    row = await visitor.shows("busy.wav", "processing")
    await row.locator(".words").wait_for()
    await row.locator("[data-verb=cancel]").click()
    await visitor.shows("busy.wav", "cancelled")
    await visitor.go(f"/t/{first.id}")
    await visitor.sees(lambda: visitor.page.inner_text(".text"), has="This is chunk 0.")
    await visitor.go()
    slow = await site.send("reading.wav", chunks=40, decode_delay=0.5, delay=9)
    await visitor.shows("reading.wav", "processing")
    await site.send("queued.wav", chunks=1)
    row = visitor.row("queued.wav")
    await row.locator("[data-verb=cancel]").click()
    await visitor.shows("queued.wav", "cancelled")
    await site.service.jobs.change(slow.id, Cause.CANCEL)


@pytest.mark.parametrize(
    ("locale", "told"), [("en-US", r"memory.*continues with .*\d"), ("zh-CN", r"内存不足.*此后(批大小为|同时处理) \d")]
)
async def test_a_memory_that_ran_out_is_told_on_the_row_with_what_was_changed_and_the_job_is_done(
    browser: Any, site: Site, locale: str, told: str
) -> None:
    async with visiting(browser, site.url, locale=locale) as visitor:
        await visitor.go()
        job = await site.send(f"hungry-{locale}.wav", chunks=12, seconds=1.0, delay=0.3, faults={"2": "oom_once"})
        notes = visitor.row(job.name).locator(".notes")
        await notes.wait_for()
        assert re.search(told, await notes.inner_text())
        await visitor.shows(job.name, "completed")
        await visitor.go(f"/t/{job.id}")
        assert re.search(told, await visitor.page.inner_text(".info"))


@pytest.mark.parametrize(
    ("locale", "cause", "cure"),
    [("en-US", "not a recording", "What to do"), ("zh-CN", "无法识别为音频或视频", "请检查或转换文件后重新上传")],
)
async def test_a_failure_says_its_cause_and_its_cure_in_the_language_of_the_page(
    browser: Any, site: Site, locale: str, cause: str, cure: str
) -> None:
    async with visiting(browser, site.url, locale=locale) as visitor:
        await visitor.go()
        await site.send("letter.wav", data=b"Dear reader, this is no sound at all.")
        row = await visitor.shows("letter.wav", "failed")
        words = await row.inner_text()
        assert cause in words
        if locale == "zh-CN":
            assert cure in words
            assert "recording" not in words
        assert "Traceback" not in words
        assert await row.locator("details[open]").count() == 0
        assert await row.locator("[data-verb=retry]").count() == 0  # the same file gives the same error
        assert await row.locator("[data-another]").count() == 1
        await row.locator("[data-discard]").click()
        await visitor.count(".jobs .job", 0)


async def test_a_job_is_moved_to_the_front_by_a_button(visitor: Visitor, site: Site) -> None:
    busy = await site.send("busy.wav", chunks=30, delay=0.2, decode_delay=0.05)
    await visitor.shows("busy.wav", "processing")
    assert await visitor.row("busy.wav").locator("[data-verb=front]").count() == 0  # nobody to overtake
    urgent = await site.send("urgent.wav", chunks=3, delay=0.2)
    await visitor.row("urgent.wav").locator("[data-verb=front]").click()
    await visitor.row("urgent.wav").get_by_text("next up").wait_for()
    await visitor.shows("urgent.wav", "completed")
    assert (await site.service.parts.store.job(urgent.id)).rank < (await site.service.parts.store.job(busy.id)).rank
    await site.service.jobs.change(busy.id, Cause.CANCEL)


async def test_jobs_that_wait_change_places_by_buttons(
    visitor: Visitor, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "MAX_TOGETHER", 1)
    busy = await site.send("busy.wav", chunks=100, delay=0.2)
    await visitor.shows("busy.wav", "processing")
    for name in ("a.wav", "b.wav", "c.wav"):
        await site.send(name, chunks=100, delay=0.2)
    offered = {
        name: visitor.row(name).locator("[data-verb=sooner], [data-verb=later]")
        for name in ("a.wav", "b.wav", "c.wav", "busy.wav")
    }
    await visitor.row("c.wav").get_by_text("position 3").wait_for()
    assert [await offered[name].count() for name in offered] == [1, 2, 1, 0]  # the ends have one way to go
    await visitor.page.locator("[data-filter=active]").click()
    await visitor.row("c.wav").locator("[data-verb=sooner]").click()
    await visitor.row("c.wav").get_by_text("position 2").wait_for()
    await visitor.row("a.wav").locator("[data-verb=later]").click()
    await visitor.row("a.wav").get_by_text("position 2").wait_for()
    shown = await visitor.page.locator(".jobs .job[data-status=pending] .name").all_inner_texts()
    assert shown == ["c", "a", "b"]
    assert [job.name for job in await site.service.parts.store.queue(10)] == ["c.wav", "a.wav", "b.wav"]
    await site.service.jobs.change(busy.id, Cause.CANCEL)
    await visitor.shows("c.wav", "processing")


async def test_a_deleted_job_comes_back_whole_by_undo(visitor: Visitor, site: Site) -> None:
    job = await site.send("gone.wav", chunks=2)
    row = await visitor.shows("gone.wav", "completed")
    await row.locator("[data-menu]").click()
    await row.locator("[data-verb=delete]").click()
    await visitor.count(".jobs .job", 0)
    await visitor.page.get_by_role("button", name="Undo").click()
    await visitor.shows("gone.wav", "completed")
    await visitor.go(f"/t/{job.id}")
    await visitor.sees(lambda: visitor.page.inner_text(".text"), has="This is chunk 1.")


async def test_a_job_is_renamed_in_place(visitor: Visitor, site: Site) -> None:
    job = await site.send("rec-0001.wav", chunks=1)
    row = await visitor.shows("rec-0001.wav", "completed")
    await row.locator("[data-menu]").click()
    await row.locator("[data-verb=rename]").click()
    await visitor.page.keyboard.type("董事会 会议")
    await visitor.page.keyboard.press("Enter")
    await visitor.shows("董事会 会议", "completed")
    name = (await site.service.parts.store.job(job.id)).name
    assert name == "董事会 会议.wav"  # the ending stays: it may say how the sound is read


async def test_filters_count_and_a_search_finds_a_name(visitor: Visitor, site: Site) -> None:
    for name in ("alpha.wav", "beta.wav"):
        await site.until((await site.send(name, chunks=1)).id, "completed")
    await site.until((await site.send("gamma.wav", data=b"nonsense")).id, "failed")
    page = visitor.page
    await visitor.shows("gamma.wav", "failed")
    counts = [await page.inner_text(f"[data-filter={each}] .count") for each in ("all", "active", "done", "undone")]
    assert counts == ["3", "0", "2", "1"]
    await page.click("[data-filter=undone]")
    await visitor.sees(lambda: page.locator(".jobs .job").count(), 1)
    await page.click("[data-filter=all]")
    await page.fill("input[type=search]", "beta")
    await visitor.count(".jobs .job", 1)
    await page.fill("input[type=search]", "nowhere")
    await page.get_by_text("No match for “nowhere”").wait_for()
    await page.get_by_role("button", name="Clear", exact=True).click()
    await visitor.count(".jobs .job", 3)


async def test_a_search_finds_words_inside_transcripts_also_a_single_chinese_character(
    visitor: Visitor, site: Site
) -> None:
    await site.until((await site.send("one.wav", chunks=2, says="今天天气很好")).id, "completed")
    await site.until((await site.send("two.wav", chunks=2, says="Something else")).id, "completed")
    page = visitor.page
    await visitor.shows("two.wav", "completed")
    for query, name in (("天", "one"), ("天气", "one"), ("thing el", "two")):
        await page.fill("input[type=search]", query)
        await page.locator(".jobs mark", has_text=query.split()[0]).first.wait_for()
        await visitor.count(".jobs .job", 1)
        assert name in await page.inner_text(".jobs")
    await page.locator(".jobs .words a").last.click()
    await page.wait_for_selector(".text")
    assert (await page.evaluate("location.hash")).startswith("#t=")


async def test_the_summary_is_the_sum_of_the_rows(visitor: Visitor, site: Site) -> None:
    for number in range(2):
        await site.send(f"sum{number}.wav", chunks=60, seconds=9.0, delay=0.5)
    page = visitor.page
    await page.locator(".jobs .job[data-status=processing] progress[value]").first.wait_for()
    await page.locator(".queue .sum", has_text="2 to do").wait_for()
    text = await page.inner_text(".queue .sum")
    minutes = re.search(r"(\d+) min of audio", text)
    jobs = await site.service.parts.store.jobs(limit=10)
    left = sum((job.duration_s or 0) - job.position_s for job in jobs)
    assert minutes is not None
    assert abs(int(minutes[1]) - left / 60) <= 1


async def test_several_are_selected_with_shift_and_deleted_together(visitor: Visitor, site: Site) -> None:
    for number in range(4):
        await site.until((await site.send(f"pick{number}.wav", chunks=1)).id, "completed")
    page = visitor.page
    await visitor.shows("pick3.wav", "completed")
    ticks = page.locator(".tick input")
    await ticks.nth(0).click()
    await ticks.nth(2).click(modifiers=["Shift"])
    await page.get_by_text("3 selected").wait_for()
    await page.locator(".bulk button", has_text="Delete").click()
    await visitor.count(".jobs .job", 1)
    assert "pick0" in await page.inner_text(".jobs")
    await page.get_by_role("button", name="Undo").click()
    await visitor.count(".jobs .job", 4)


async def test_what_is_selected_is_exported_as_one_zip(visitor: Visitor, site: Site) -> None:
    for name in ("one.wav", "会议.wav"):
        await site.send(name, chunks=2)
        await visitor.shows(name, "completed")
    page = visitor.page
    for tick in await page.locator(".tick input").all():
        await tick.check()
    await page.select_option("[data-zip-format]", "vtt")
    async with page.expect_download() as download:
        await page.click("[data-zip]")
    assert (await download.value).suggested_filename == "transcripts-vtt.zip"
    with zipfile.ZipFile(await (await download.value).path()) as packed:
        assert sorted(packed.namelist()) == ["one.vtt", "会议.vtt"]
        assert packed.read("会议.vtt").startswith(b"WEBVTT")
    assert await page.locator(".bulk").count() == 1  # they stay selected


async def test_what_cannot_be_heard_again_says_so_where_it_could_be_tried_again(visitor: Visitor, site: Site) -> None:
    job = await site.send("forgotten.wav", chunks=40, delay=5)
    await visitor.shows("forgotten.wav", "processing")
    await site.service.jobs.change(job.id, Cause.CANCEL)
    row = await visitor.shows("forgotten.wav", "cancelled")
    assert await row.locator("[data-verb=retry]").count() == 1
    await site.service.parts.context.ask(requests.remove_media, job.id)
    await row.locator("[data-unhearable]", has_text="deleted by the storage rules").wait_for()
    assert await row.locator("[data-verb=retry]").count() == 0
    with pytest.raises(MediaRemoved):
        await site.service.jobs.change(job.id, Cause.RETRY)


async def test_who_ran_out_of_memory_tries_again_with_a_smaller_model(visitor: Visitor, site: Site) -> None:
    page, asked = visitor.page, []

    async def failed(route: Any) -> None:
        answer = await route.fetch()
        state = await answer.json()
        for job in state["jobs"]["jobs"]:
            job |= {
                "status": "failed",
                "error": {"code": "model_too_big", "message": "Too big.", "hint": "", "params": {}},
            }
            job["options"] |= {"model": "small"}
            job["model"] = "small"
        await route.fulfill(response=answer, json=state)

    async def noted(route: Any) -> None:
        asked.append(route.request.post_data_json)
        await route.continue_()

    job = await site.send("heavy.wav", chunks=1)
    await site.until(job.id, "completed")
    visitor.expected = re.compile("/retry")  # it is complete in truth
    await page.route("**/api/state*", failed)
    await page.route("**/retry", noted)
    await visitor.go()
    row = await visitor.shows("heavy.wav", "failed")
    await row.locator("[data-lesser]").click()
    await row.locator(".problem[role=alert]").wait_for()
    assert asked == [{"model": "base"}]


async def test_a_finished_row_is_low_and_has_what_people_come_back_for(visitor: Visitor, site: Site) -> None:
    await site.until((await site.send("low.wav", chunks=2)).id, "completed")
    row = await visitor.shows("low.wav", "completed")
    assert (await row.bounding_box())["height"] <= 68
    await row.locator("[data-export]").click()
    async with visitor.page.expect_download() as download:
        await visitor.page.click("[data-download]")
    assert (await download.value).suggested_filename == "low.srt"
    await row.locator("[data-menu]").click()
    for item in ("[data-verb=rename]", "[data-copy-link]", "[data-verb=delete]"):
        assert await row.locator(item).is_visible()


async def test_on_a_phone_the_list_begins_on_the_first_screen_and_the_rest_is_in_a_sheet(
    browser: Any, site: Site
) -> None:
    await site.until((await site.send("phone.wav", chunks=1)).id, "completed")
    async with visiting(browser, site.url, viewport={"width": 390, "height": 844}) as visitor:
        await visitor.go()
        row = await visitor.shows("phone.wav", "completed")
        assert (await row.bounding_box())["y"] < 330
        page = visitor.page
        assert await page.locator("[data-url]").count() == 1
        assert not await page.locator("[data-url]").is_visible()
        await page.click("[data-options]")
        for item in ("[data-url]", "[data-option=model]", "[data-option=chinese]"):
            assert await page.locator(item).is_visible()
        await page.select_option("[data-option=language]", "de")
        await page.click("[data-close]")
        await visitor.choose(recording("german.wav", chunks=1))
        await visitor.shows("german.wav", "completed")
        newest = (await site.service.parts.store.jobs(limit=1))[0]
        assert newest.options.language == "de"


@pytest.mark.parametrize(("locale", "script"), [("zh-CN", "simplified"), ("zh-TW", "traditional"), ("en-US", None)])
async def test_chinese_is_written_as_the_browser_prefers(
    browser: Any, site: Site, locale: str, script: str | None
) -> None:
    async with visiting(browser, site.url, locale=locale) as visitor:
        await visitor.go()
        await visitor.choose(recording(f"{locale}.wav", chunks=1))
        await visitor.shows(f"{locale}.wav", "completed")
        assert (await site.service.parts.store.jobs(limit=1))[0].options.script == script


@pytest.mark.parametrize(("locale", "said"), [("en-US", "No speech found"), ("zh-CN", "未发现语音")])
async def test_a_recording_without_speech_is_no_success(browser: Any, site: Site, locale: str, said: str) -> None:
    await site.until((await site.send("noise.wav", chunks=0)).id, "completed")
    async with visiting(browser, site.url, locale=locale) as visitor:
        await visitor.go()
        row = await visitor.shows("noise.wav", "completed")
        assert await row.locator(".status").inner_text() == said
        assert await row.locator("[data-export]").count() == 0
        colors = await row.locator(".status").evaluate(
            "(e) => [getComputedStyle(e).color, getComputedStyle(e, '::before').content]"
        )
        assert colors[1] == "none"


async def test_a_search_goes_on_in_the_transcript_it_opens(visitor: Visitor, site: Site) -> None:
    await site.until((await site.send("tone.wav", chunks=40, says="After the tone")).id, "completed")
    page = visitor.page
    await visitor.shows("tone.wav", "completed")
    await page.fill("input[type=search]", "the tone")
    excerpt = page.locator(".jobs .words").first
    await excerpt.locator("mark").first.wait_for()
    assert re.match(r"\d:\d\d\s", await excerpt.inner_text())
    await page.click(".jobs a.name")
    await page.get_by_text("1 of 40").wait_for()
    assert await page.input_value("input[type=search]") == "the tone"


async def test_lines_with_all_terms_come_first_and_the_rest_is_counted_and_opened(visitor: Visitor, site: Site) -> None:
    job = await site.send("exchange.wav", chunks=40, says="After the tone")
    await site.until(job.id, "completed")
    page = visitor.page
    await visitor.shows("exchange.wav", "completed")
    await page.fill("input[type=search]", "39 tone")
    more = page.locator(".jobs [data-more]")
    await more.wait_for()
    assert (await more.inner_text()).strip() == "37 more"  # of forty lines, three are shown
    excerpts = await page.locator(".jobs .words:has(mark)").all_inner_texts()
    assert [re.sub(r"\s+", " ", said).strip() for said in excerpts] == [
        "7:09 After the tone 39.",
        "0:00 After the tone 0.",
        "0:11 After the tone 1.",
    ]
    gap = await page.locator(".jobs .words").first.evaluate(
        "(e) => e.children[1].getBoundingClientRect().left - e.children[0].getBoundingClientRect().right"
    )
    assert gap >= 6
    await more.click()
    await page.get_by_text("1 of 41").wait_for()  # forty times the one term, once the other
    assert await page.input_value("input[type=search]") == "39 tone"
    seen = "(n) => { const r = document.querySelectorAll('[data-line]')[n].getBoundingClientRect()"
    seen += "; return r.top > 0 && r.bottom <= innerHeight }"
    assert await page.evaluate(seen, 0)
    await page.go_back()
    await page.fill("input[type=search]", "39 tone")
    await page.locator(".jobs .words .at").first.click()
    await page.get_by_text("40 of 41").wait_for()  # the find that was opened, not the first one
    assert await page.evaluate(seen, 39)


async def test_the_queue_counts_what_is_to_do_and_what_is_in_work(
    visitor: Visitor, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "MAX_TOGETHER", 1)
    busy = await site.send("busy.wav", chunks=100, delay=0.2)
    await visitor.shows("busy.wav", "processing")
    await site.send("next.wav", chunks=100, delay=0.2)
    await visitor.page.locator(".queue .sum", has_text="2 to do (1 in progress)").wait_for()
    await visitor.row("next.wav").get_by_text("position 1").wait_for()
    await site.service.jobs.change(busy.id, Cause.CANCEL)
