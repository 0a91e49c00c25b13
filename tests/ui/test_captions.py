"""The captions view: what somebody says in a session, large and on a transparent ground."""

from __future__ import annotations

import io
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import av
import httpx
import pytest

from testkit.browser import LANGUAGES, Site, Visitor, running_site, visiting
from testkit.nginx import free_port
from testkit.sounds import babble, join, silence
from tests.ui.recording import draft, send_drafts

pytestmark = [pytest.mark.ui, pytest.mark.anyio]

SENTENCE = join(babble(3), silence(4)).tobytes()
"""A chunk: a sentence with the pause that ends it."""


class Talk:
    """A session, as the program that records it sees it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.id = ""
        self.sent = 0

    async def begin(self) -> Talk:
        async with httpx.AsyncClient(base_url=self.url) as client:
            answer = await client.post("/api/live", json={"language": "en", "name": "talk.wav"})
            self.id = answer.raise_for_status().json()["id"]
        return self

    async def say(self, sound: bytes = SENTENCE) -> None:
        """Say one more sentence, which becomes `This is chunk N.` with the next number, or something else."""
        headers = {"upload-offset": str(self.sent), "content-type": "application/offset+octet-stream"}
        async with httpx.AsyncClient(base_url=self.url) as client:
            (await client.patch(f"/api/live/{self.id}", content=sound, headers=headers)).raise_for_status()
        self.sent += len(sound)

    async def end(self) -> None:
        async with httpx.AsyncClient(base_url=self.url) as client:
            (await client.post(f"/api/live/{self.id}/end")).raise_for_status()


@pytest.fixture
async def visitor(browser: Any, site: Site) -> AsyncIterator[Visitor]:
    """A tab that has opened nothing yet."""
    async with visiting(browser, site.url) as visitor:
        yield visitor


async def test_a_view_that_is_opened_before_anybody_speaks_shows_what_is_said_then(
    visitor: Visitor, site: Site
) -> None:
    page = visitor.page
    await page.goto(site.url + "/captions")
    await visitor.sees(lambda: page.inner_text(".hint"), "Captions appear here when somebody speaks.")
    first = await Talk(site.url).begin()
    await first.say()
    await visitor.sees(lambda: page.inner_text(".roll"), "This is chunk 0.")
    assert await page.locator(".hint").count() == 0
    await first.say()
    await visitor.sees(lambda: page.inner_text(".roll"), has="This is chunk 1.")
    await first.end()
    await site.until(first.id, "completed")
    assert "This is chunk 1." in await page.inner_text(".roll")  # until the next session begins
    second = await Talk(site.url).begin()
    await visitor.sees(lambda: page.inner_text(".roll"), "")
    await second.say()
    await visitor.sees(lambda: page.inner_text(".roll"), "This is chunk 0.")


async def test_it_goes_on_by_itself_when_the_service_was_away(browser: Any, tmp_path: Path) -> None:
    port = free_port()
    async with visiting(browser, f"http://127.0.0.1:{port}") as visitor:
        visitor.expected = re.compile("/")
        page = visitor.page
        async with running_site(tmp_path, server={"port": port}) as site:
            talk = await Talk(site.url).begin()
            await visitor.page.goto(f"{site.url}/captions/{talk.id}")
            await talk.say()
            await visitor.sees(lambda: page.inner_text(".roll"), "This is chunk 0.")
        await page.locator(".hint").wait_for(timeout=40_000)
        assert await page.inner_text(".hint") == "The server does not answer. Captions go on when it does."
        assert await page.inner_text(".roll") == "This is chunk 0."
        async with running_site(tmp_path, server={"port": port}) as site:
            await talk.say()
            await page.locator(".roll", has_text="This is chunk 1.").wait_for(timeout=40_000)
            await visitor.count(".hint", 0)


async def picture(visitor: Visitor) -> Any:
    """Return what is seen, as rows of pixels: red, green, blue, and how much covers what is below."""
    data = await visitor.page.screenshot(omit_background=True)
    with av.open(io.BytesIO(data), "r") as file:
        [frame] = file.decode(video=0)
        return frame.to_ndarray(format="rgba")


async def test_the_ground_is_transparent_and_the_letters_are_as_the_address_says(visitor: Visitor, site: Site) -> None:
    page = visitor.page
    await page.set_viewport_size({"width": 800, "height": 400})
    talk = await Talk(site.url).begin()
    for _ in range(12):
        await talk.say()
    await page.goto(f"{site.url}/captions/{talk.id}")
    await visitor.sees(lambda: page.inner_text(".roll"), has="This is chunk 11.")
    seen = await picture(visitor)
    assert (seen[:20, :20, 3] == 0).all()
    assert (seen[..., :3][seen[..., 3] == 255].max(axis=1) > 250).any()  # white letters
    assert await page.locator("header, nav, button, a, input").count() == 0
    borders = "(all) => all.filter((one) => parseFloat(getComputedStyle(one).borderLeftWidth)).length"
    assert await page.locator("main, main *").evaluate_all(borders) == 0  # no style of the other pages
    size = "parseFloat(getComputedStyle(document.querySelector('main')).fontSize)"
    assert await page.evaluate(size) == pytest.approx(28)  # 7 % of the height
    whole = f"document.querySelector('.roll').clientHeight / (1.3 * {size})"
    rows = await page.evaluate(whole)
    assert rows > 5
    assert rows == pytest.approx(round(rows), abs=0.05)  # no line is cut in two

    await page.goto(f"{site.url}/captions/{talk.id}?size=40&lines=2&color=ffee00&ground=102030&theme=light")
    await visitor.sees(lambda: page.inner_text(".roll"), has="This is chunk 11.")
    assert await page.evaluate(size) == 40
    assert await page.evaluate(whole) == pytest.approx(2, abs=0.05)
    box = "(all) => all.at(-1).getBoundingClientRect()"
    newest = await page.locator("[data-final]").evaluate_all(box)
    assert 0 < newest["top"] < newest["bottom"] <= 400
    first = await page.locator("[data-final]").first.bounding_box()
    assert first["y"] + first["height"] < await page.locator(".roll").evaluate(
        "(one) => one.getBoundingClientRect().top"
    )
    seen = await picture(visitor)
    assert (seen[0, 0] == (0x10, 0x20, 0x30, 255)).all()
    assert (seen == (0xFF, 0xEE, 0, 255)).all(axis=2).any()
    assert await page.evaluate("document.documentElement.scrollHeight <= innerHeight")


async def test_what_may_change_is_lighter_and_only_what_stays_is_announced(visitor: Visitor, site: Site) -> None:
    page = visitor.page
    talk = await Talk(site.url).begin()
    await send_drafts(visitor.page, draft(" So this", " is cha", 1.0))
    await page.goto(f"{site.url}/captions")
    await visitor.sees(lambda: page.inner_text(".roll"), "So this is cha")
    assert await page.inner_text("[data-stable]") == "So this"
    weights = "(one) => getComputedStyle(one).opacity"
    assert float(await page.locator("[data-tentative]").evaluate(weights)) < float(
        await page.locator("[data-stable]").evaluate(weights)
    )
    assert await page.locator("[role=log] [data-draft]:not([aria-hidden=true], [aria-hidden=true] *)").count() == 0
    await talk.say()  # the line has all words of the draft
    await visitor.sees(lambda: page.inner_text(".roll"), "This is chunk 0.")
    assert await page.locator("[role=log] [data-final]:not([aria-hidden=true] *)").count() == 1

    await send_drafts(visitor.page, draft(" And what", " now", 5.0))
    await page.reload()
    await visitor.sees(lambda: page.inner_text(".roll"), "This is chunk 0. And what now")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await page.goto(f"{site.url}/captions?drafts=0")
    await visitor.sees(lambda: page.inner_text(".roll"), "This is chunk 0.")
    assert asked
    assert not [url for url in asked if url.endswith("/drafts")]


async def test_the_transcript_of_a_session_shows_what_has_no_line_yet(visitor: Visitor, site: Site) -> None:
    page = visitor.page
    talk = await Talk(site.url).begin()
    await talk.say()
    await send_drafts(page, draft(" And what", " now", 5.0))
    await page.goto(f"{site.url}/t/{talk.id}")
    await visitor.sees(lambda: page.inner_text("[data-draft]"), "And what now")
    assert await page.locator("[data-draft]:is([role=log] *, [aria-live] *)").count() == 0
    await visitor.sees(lambda: page.inner_text(".block"), has="This is chunk 0.")
    await talk.end()
    await visitor.count("[data-draft]", 0)


async def test_drafts_of_the_service_are_shown_until_their_line_is_there(visitor: Visitor, site: Site) -> None:
    page = visitor.page
    talk = await Talk(site.url).begin()
    await page.goto(f"{site.url}/captions")
    await visitor.count("[data-final]", 0)
    await talk.say(babble(8).tobytes())
    await page.locator("[data-stable]", has_text="w1").wait_for()  # the scripted actor hears a word a second
    await talk.say(silence(4).tobytes())
    await visitor.sees(lambda: page.inner_text(".roll"), "This is chunk 0.")
    await visitor.count("[data-draft]", 0)


async def test_a_broadcast_shows_no_hints_and_old_words_go(visitor: Visitor, site: Site) -> None:
    page = visitor.page
    visitor.expected = re.compile("01missing")
    await page.goto(f"{site.url}/captions/01missing")
    await visitor.sees(lambda: page.inner_text(".hint"), "There is no recording at this address.")
    await page.add_init_script("window.obsstudio = {}")
    await page.goto(f"{site.url}/captions?hide=0.5")
    await page.locator(".roll").wait_for(state="attached")
    assert await page.locator(".hint").count() == 0
    talk = await Talk(site.url).begin()
    await talk.say()
    await page.locator(".roll [data-final]").wait_for()
    await page.locator(".roll").wait_for(state="hidden")
    await talk.say()
    await page.locator(".roll [data-final]").nth(1).wait_for()
    await page.locator(".roll").wait_for(state="hidden")


async def test_nothing_of_it_is_a_barrier(browser: Any, site: Site) -> None:
    axe = pytest.importorskip(
        "axe_playwright_python.async_playwright", reason="axe-playwright-python is not installed"
    ).Axe()
    talk = await Talk(site.url).begin()
    await talk.say()
    found: list[str] = []
    for locale in LANGUAGES:
        async with visiting(browser, site.url, locale=locale, viewport={"width": 360, "height": 640}) as visitor:
            await send_drafts(visitor.page, draft(" And what", " now", 9.0))
            for theme, ground in (("dark", "000"), ("light", "fff")):
                await visitor.page.goto(f"{site.url}/captions?theme={theme}&ground={ground}")
                await visitor.page.locator("[data-final]").wait_for()
                await visitor.page.locator("[data-draft]").wait_for()
                results = await axe.run(visitor.page, options={"resultTypes": ["violations"]})
                found += [
                    f"{rule['id']}: {node['html'][:200]}"
                    for rule in results.response["violations"]
                    for node in rule["nodes"]
                ]
                assert await visitor.page.evaluate("document.documentElement.scrollWidth") <= 360
    assert found == []


async def test_the_record_page_leads_to_it(visitor: Visitor, site: Site) -> None:
    await visitor.go("/record")
    async with visitor.page.context.expect_page() as opened:
        await visitor.page.click("[data-captions]")
    view = await opened.value
    await view.wait_for_selector("main[data-page=captions]")
    assert view.url == f"{site.url}/captions"
