"""The frame of the page: its first second, its one live link, and what it does while the service is away."""

from __future__ import annotations

import gzip
import re
import signal
import socket
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest
from anyio import to_thread

from testkit.browser import DIST, LANGUAGES, PAGES, Site, Streams, Visitor, recording, running_site, visiting
from testkit.playable import sound
from testkit.process import spawn
from whisper_service.web import page

pytestmark = [pytest.mark.ui, pytest.mark.anyio]


async def test_a_fresh_service_offers_the_drop_zone_with_everything_chosen(visitor: Visitor) -> None:
    page = visitor.page
    assert await page.is_visible(".drop")
    assert await page.input_value("[data-option=model]") == "auto"
    assert await page.input_value("[data-option=language]") == ""
    await visitor.live()
    for path in PAGES:
        await visitor.go(path)  # a visitor notes every exception and every violation of the policy


async def test_a_file_becomes_a_done_job_with_text_and_nobody_clicks(visitor: Visitor) -> None:
    await visitor.choose(recording("dialog.wav", chunks=1))
    await visitor.shows("dialog.wav", "completed")
    await visitor.page.click(".job a.name")
    await visitor.page.wait_for_selector(".text .line")
    assert "This is chunk 0." in await visitor.page.inner_text(".text")


@pytest.mark.parametrize("kind", ["drop", "paste"])
async def test_a_dropped_and_a_pasted_file_do_too(visitor: Visitor, kind: str) -> None:
    if kind == "drop":
        await visitor.throw("dragover", ("held.wav", b"{}"))
        await visitor.sees(lambda: visitor.page.is_visible(".overlay"))
    await visitor.throw(kind, (f"{kind}.wav", recording("x", chunks=1)["buffer"]))
    await visitor.shows(f"{kind}.wav", "completed")
    assert await visitor.page.locator(".overlay").count() == 0


async def test_a_file_dropped_on_another_page_brings_its_visitor_to_the_list(visitor: Visitor) -> None:
    await visitor.go("/settings")
    await visitor.throw("dragover", ("far.wav", b"{}"))
    await visitor.throw("drop", ("far.wav", recording("x", chunks=1)["buffer"]))
    await visitor.shows("far.wav", "completed")


async def test_of_a_folder_the_recordings_are_taken_from_every_level(visitor: Visitor, tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    for name in ("one.wav", "deep/two.mp3", "deep/er/three.mkv", "deep/notes.txt"):
        (tmp_path / name).write_bytes(recording(name, chunks=1)["buffer"])
    await visitor.page.set_input_files("[data-choose=folder]", tmp_path)
    for name in ("one.wav", "two.mp3", "three.mkv"):
        await visitor.shows(name, "completed")
    assert await visitor.row("notes.txt").count() == 0


async def test_eight_tabs_share_one_stream(browser: Any, site: Site, streams: Streams) -> None:
    async with visiting(browser, site.url) as first:
        tabs = [first] + [Visitor(await first.page.context.new_page(), site.url) for _ in range(7)]
        for tab in tabs:
            await tab.go()
        for tab in tabs:
            await tab.live()
        assert streams.open == 1
        await site.send("all.wav", chunks=1)
        for tab in tabs:
            await tab.shows("all.wav", "completed")
        for tab in tabs[1:]:
            await tab.page.close()
        await site.send("last.wav", chunks=1)
        await first.shows("last.wav", "completed")
    with anyio.fail_after(20):
        while streams.open:  # noqa: ASYNC110  nobody tells
            await anyio.sleep(0.05)


async def test_it_is_live_on_an_address_without_https(browser: Any, streams: Streams, tmp_path: Path) -> None:
    addresses = [
        each.address
        for name, all in psutil.net_if_addrs().items()
        if name != "lo"
        for each in all
        if each.family is socket.AF_INET
    ]
    if not addresses:
        pytest.skip("this machine has no address but the loopback's")
    async with running_site(tmp_path, server={"host": addresses[0]}) as site, visiting(browser, site.url) as visitor:
        await visitor.go()
        await visitor.live()
        assert not await visitor.page.evaluate("isSecureContext")
        job = await site.send("plain.wav", chunks=1)
        await visitor.shows("plain.wav", "completed")
        await visitor.go(f"/t/{job.id}")
        await visitor.page.click("button.copy")
        await visitor.page.click("[data-copy=plain]")  # there is no clipboard API here
        await visitor.page.get_by_text("Copied", exact=True).wait_for()
        await visitor.page.focus("input[type=search]")
        await visitor.page.keyboard.press("Control+V")
        assert await visitor.page.input_value("input[type=search]") == "This is chunk 0."


HIDDEN = """(hidden) => { window.hiddenNow = hidden
  Object.defineProperty(document, 'hidden', { configurable: true, get: () => window.hiddenNow })
  document.dispatchEvent(new Event('visibilitychange')) }"""


async def test_without_a_shared_worker_only_the_visible_tab_holds_a_stream(
    browser: Any, site: Site, streams: Streams
) -> None:
    async with visiting(browser, site.url) as visitor:
        await visitor.page.add_init_script("delete window.SharedWorker")
        await visitor.go()
        await visitor.live()
        assert streams.open == 1
        await visitor.page.evaluate(HIDDEN, True)
        await _count(site, streams, 0)
        await site.send("unseen.wav", chunks=1)
        await visitor.page.evaluate(HIDDEN, False)
        await visitor.shows("unseen.wav", "completed")
        assert streams.open == 1


async def _count(site: Site, streams: Streams, wanted: int) -> None:
    with anyio.fail_after(30):
        while streams.open != wanted:
            await site.send("tick.wav", chunks=1)  # a stream learns that its client is gone when it writes
            await anyio.sleep(0.1)


async def test_while_the_stream_is_refused_it_polls_and_then_goes_back(
    browser: Any, site: Site, streams: Streams
) -> None:
    streams.refused = True
    try:
        async with visiting(browser, site.url) as visitor:
            visitor.expected = re.compile("/api/events")
            await visitor.go()
            await visitor.page.wait_for_selector(".chip[data-link=polling]", timeout=15_000)
            await site.send("polled.wav", chunks=1)
            await visitor.shows("polled.wav", "completed")
            job = await site.send("long.wav", chunks=400, seconds=1.0, delay=0.6)
            row = await visitor.shows("long.wav", "processing")
            await row.locator(".words", has_text="This is chunk").wait_for()  # lines are no part of what is polled
            newest = await row.locator(".words").inner_text()
            await row.locator(".words").filter(has_not_text=newest).wait_for()
            await visitor.go(f"/t/{job.id}")
            await visitor.page.wait_for_selector(".chip[data-link=polling]", timeout=15_000)
            lines = visitor.page.locator(".text .line")
            some = await lines.count()
            await lines.nth(some + 1).wait_for()
            streams.refused = False
            await visitor.page.wait_for_selector(".chip[data-link=live]", timeout=15_000)
    finally:
        streams.refused = False


async def test_a_restarted_service_is_found_again_and_a_newer_one_asks_once_for_a_reload(
    browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    async with visiting(browser, f"http://127.0.0.1:{port}", locale="zh-CN") as visitor:
        visitor.expected = re.compile("/api/")
        async with running_site(tmp_path, server={"port": port}) as site:
            await visitor.go()
            await visitor.live()
            await visitor.page.evaluate("window.same = true")
            job = await site.send("long.wav", chunks=12, seconds=1.0, delay=0.3)
            await (await visitor.shows("long.wav", "processing")).locator("progress[value]").wait_for()
        await visitor.page.wait_for_selector(".chip:not([data-link=live])")
        assert "long" in await visitor.words()  # what is known stays readable
        monkeypatch.setattr(page, "ui_version", lambda: "newer")
        async with running_site(tmp_path, server={"port": port}) as site:
            await visitor.page.wait_for_selector(".chip[data-link=live]", timeout=20_000)
            await visitor.shows("long.wav", "completed")
            assert len((await site.service.jobs.transcript(job.id)).segments) == 12
            assert await visitor.page.evaluate("window.same")
            assert await visitor.page.locator(".notice").count() == 1
            assert await visitor.page.locator(".notices p").count() == 0
            assert "服务器已更新" in await visitor.words()


async def test_every_address_can_be_opened_directly(visitor: Visitor, site: Site) -> None:
    job = await site.send("linked.wav", chunks=1)
    await site.until(job.id, "completed")
    for path in (*PAGES, f"/t/{job.id}"):
        answer = await visitor.page.goto(site.url + path)
        assert answer.status == 200
        await visitor.page.wait_for_selector("h1")
    await visitor.page.locator("h1", has_text="linked").wait_for()


def weight(names: Iterable[str]) -> int:
    """What these assets weigh on the way, in bytes."""
    return sum(len(gzip.compress((DIST / "assets" / name).read_bytes())) for name in names)


async def test_a_first_visit_loads_little_and_each_page_only_its_own(browser: Any, site: Site) -> None:
    job = await site.send("small.wav", chunks=1)
    await site.until(job.id, "completed")
    loaded: list[str] = []

    def note(request: Any) -> None:
        if "/assets/" in request.url:
            loaded.append(request.url.split("/")[-1])

    for locale in LANGUAGES:
        async with visiting(browser, site.url, locale=locale) as visitor:
            loaded.clear()
            visitor.page.on("request", note)
            await visitor.go()
            await visitor.live()
            scripts = {name for name in loaded if name.endswith(".js")}
            assert 0 < weight(scripts) <= 70_000, scripts
            assert 0 < weight(name for name in loaded if name.endswith(".css")) <= 10_000
            assert len({name for name in scripts if name.startswith(("en-", "zh-"))}) == 1
            for path in ("/models", "/system", "/settings", "/record", f"/t/{job.id}"):
                loaded.clear()
                await visitor.go(path)
                more = {name for name in loaded if name.endswith(".js")} - scripts
                most = 52_000 if path.startswith("/t/") else 12_000  # with its editor and a panel
                assert 0 < weight(more) <= most, (path, more)


def test_nothing_that_is_loaded_later_is_large() -> None:
    parts = {path.name: weight([path.name]) for path in DIST.glob("assets/*.js")}
    languages = {name for name in parts if name.startswith(("en-", "zh-"))}
    assert len(languages) == 2
    assert max(parts[name] for name in languages) <= 18_000
    large = {name.partition("-")[0] for name in parts.keys() - languages if parts[name] > 15_000}
    assert large == {"index", "TranscriptPage"}
    page, session = (
        next(size for name, size in parts.items() if name.startswith(f"{part}-"))
        for part in ("TranscriptPage", "session")
    )
    assert page <= 23_000
    assert page + session - 8_700 <= 25_000  # so much the page had before there was an editor


async def test_the_words_of_a_page_are_there_before_it_is_shown(browser: Any, site: Site) -> None:
    async with visiting(browser, site.url, locale="zh-CN") as visitor:
        await visitor.page.add_init_script(
            """window.first = ''
            new MutationObserver(() => { window.first ||= document.querySelector('#app')?.innerText.trim() ?? '' })
              .observe(document, { childList: true, subtree: true })"""
        )
        await visitor.go("/settings")
        first = await visitor.page.evaluate("window.first")
        assert "设置" in first
        assert "Settings" not in first


async def test_the_chip_says_within_forty_seconds_that_nothing_arrives_and_comes_back(
    browser: Any, tmp_path: Path
) -> None:
    process, address = await to_thread.run_sync(
        partial(spawn, tmp_path / "data", tmp_path / "log", settings={"speech__preload": "false"})
    )
    assert address is not None
    try:
        async with visiting(browser, address) as visitor:
            visitor.expected = re.compile("/api/")
            await visitor.go()
            await visitor.live()
            await visitor.page.evaluate("window.same = true")
            process.send_signal(signal.SIGSTOP)
            await visitor.page.wait_for_selector(".chip:not([data-link=live])", timeout=40_000)
            process.send_signal(signal.SIGCONT)
            await visitor.page.wait_for_selector(".chip[data-link=live]", timeout=15_000)
            assert await visitor.page.evaluate("window.same")
    finally:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        await to_thread.run_sync(process.wait)
        assert process.stdout is not None
        process.stdout.close()


async def test_no_word_stands_twice_in_the_header_and_the_chip_has_no_jargon(visitor: Visitor) -> None:
    await visitor.live()
    for _ in range(3):
        words = (await visitor.page.inner_text("header")).split("\n")
        names = await visitor.page.locator("header [aria-label]").evaluate_all("(all) => all.map((e) => e.ariaLabel)")
        assert (words + names).count("System") == 0
        assert len(words) == len(set(words))
        await visitor.page.click("[data-theme-button]")
    assert await visitor.page.inner_text(".chip") == "Connected"


async def test_a_confirmation_goes_by_itself_and_does_not_cover_the_player(visitor: Visitor, site: Site) -> None:
    job = await site.send("toast.wav", data=sound(20, chunks=2))
    await site.until(job.id, "completed")
    await visitor.go(f"/t/{job.id}")
    page = visitor.page
    await page.wait_for_selector(".player")
    await page.click("button.copy")
    await page.click("[data-copy=plain]")
    notice = page.locator(".notices p")
    await notice.wait_for()
    assert await notice.locator("button").count() == 0
    box = "document.querySelector('{}').getBoundingClientRect()"
    below = f"{box.format('.notices p')}.bottom <= {box.format('.player')}.top"
    assert await page.evaluate(below)
    await notice.wait_for(state="detached", timeout=8_000)


async def test_texts_come_compressed_and_streams_and_recordings_do_not(visitor: Visitor, site: Site) -> None:
    page, encodings = visitor.page, {}

    def note(answer: Any) -> None:
        path = answer.url.removeprefix(site.url).partition("?")[0]
        kind = path.rpartition("/")[2] if path.startswith("/api") else path.rpartition(".")[2]
        if kind not in ("js", "css") or "/index-" in path:  # small ones are not worth it
            encodings[kind] = answer.headers.get("content-encoding")

    page.context.on("response", note)
    job = await site.send("read.wav", data=sound(60, chunks=40))
    await site.until(job.id, "completed")
    await visitor.go(f"/t/{job.id}")
    await page.wait_for_selector(".player")
    assert {kind: encodings[kind] for kind in ("transcript", "js", "css", "state", "media")} == {
        **dict.fromkeys(("transcript", "js", "css", "state"), "gzip"),
        "media": None,
    }
    headers = "fetch('/api/events').then((r) => [r.headers.get('content-encoding'), r.headers.get('content-type')])"
    encoding, kind = await page.evaluate(headers)
    assert (encoding, kind.partition(";")[0]) == (None, "text/event-stream")
