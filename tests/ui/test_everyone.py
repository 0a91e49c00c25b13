"""For everyone: no barrier that a machine can find, by keyboard, on a phone, in both languages."""

from __future__ import annotations

import re
from typing import Any

import pytest

from testkit.browser import LANGUAGES, PAGES, Site, Visitor, visiting
from testkit.playable import sound
from whisper_service.core.job_states import Cause
from whisper_service.models.known import KNOWN

pytestmark = [pytest.mark.ui, pytest.mark.anyio]

WIDTHS = (1280, 390, 320)
THEMES: tuple[Any, ...] = ("light", "dark")
HAN = re.compile(r"[\u3400-\u9fff]")
LATIN = re.compile(r"[A-Za-z]{2,}")
NAMES = "|".join(re.escape(name) for name in sorted((model.name for model in KNOWN), key=len, reverse=True))
TITLES = r"(?<![A-Za-z])(?:meeting|letter|paused|cancelled|work)(?![A-Za-z])|"
"""Of the recordings of `_full`, as the page shows them: without their ending."""
TERMS = set(
    re.findall(
        r"\S+",
        "ID CTranslate English faster whisper http https config toml CPU GPU CUDA fake int8 int float auto wav"
        " kB MB GB WAV PID yt dlp Kubernetes base model api SRT VTT TXT DOCX Word Markdown MD JSON TSV LRC ASS"
        " Shift Delete Enter Alt Ctrl Tab Esc Space Home End PageUp PageDown Backspace Minus F2 F3 F4 F5 OBS",
    )
)
"""Latin words that belong on a Chinese page: names of things, units and formats."""


async def _full(site: Site) -> dict[str, str]:
    """A list with a job in every state, and the addresses of two transcripts."""
    done = await site.send("会议 meeting.wav", chunks=3)
    await site.until(done.id, "completed")
    failed = await site.send("letter.wav", data=b"no sound")
    await site.until(failed.id, "failed")
    paused = await site.send("paused.wav", chunks=40, delay=5)
    await site.service.jobs.change(paused.id, Cause.PAUSE)
    cancelled = await site.send("cancelled.wav", chunks=40, delay=5)
    await site.service.jobs.change(cancelled.id, Cause.CANCEL)
    work = await site.send("work.wav", chunks=40, seconds=1.0, delay=0.5)
    await site.until(work.id, "processing")
    return {"done": f"/t/{done.id}", "work": f"/t/{work.id}"}


def _violations(results: Any) -> list[str]:
    return [
        f"{rule['id']}: {rule['help']}: {node['html'][:200]}"
        for rule in results.response["violations"]
        for node in rule["nodes"]
    ]


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("locale", LANGUAGES)
async def test_axe_finds_nothing_and_nothing_is_wider_than_the_window(
    browser: Any, site: Site, locale: str, theme: str
) -> None:
    axe = pytest.importorskip(
        "axe_playwright_python.async_playwright", reason="axe-playwright-python is not installed"
    ).Axe()
    paths = await _full(site)
    found: list[str] = []
    async with visiting(browser, site.url, locale=locale, color_scheme=theme, reduced_motion="reduce") as visitor:
        page = visitor.page
        for path in (*PAGES, *paths.values()):
            await visitor.go(path)
            for width in WIDTHS:
                await page.set_viewport_size({"width": width, "height": 800})
                results = await axe.run(page, options={"resultTypes": ["violations"]})
                found += [f"{path} at {width}: {said}" for said in _violations(results)]
                if await page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                    found.append(f"{path} at {width}: wider than the window")
        await page.keyboard.press("?")
        await page.wait_for_selector("dialog[open]")
        found += _violations(await axe.run(page))
        await page.keyboard.press("Escape")
        await page.click("[data-export]")
        await page.wait_for_selector("dialog[open]")
        found += _violations(await axe.run(page))
    assert found == []


async def test_nothing_is_lost_at_twice_the_size(browser: Any, site: Site) -> None:
    paths = await _full(site)
    async with visiting(browser, site.url, viewport={"width": 640, "height": 400}) as visitor:  # 1280 by 800 at 200 %
        for path in (*PAGES, *paths.values()):
            await visitor.go(path)
            assert await visitor.page.evaluate("document.documentElement.scrollWidth") <= 640


async def test_everything_is_reached_by_keyboard_and_the_focus_is_seen(visitor: Visitor, site: Site) -> None:
    job = await site.send("keys.wav", chunks=2)
    await visitor.shows("keys.wav", "completed")
    page = visitor.page
    seen: list[str] = []
    await page.evaluate("document.activeElement.blur()")
    for _ in range(60):
        await page.keyboard.press("Tab")
        told = await page.evaluate(
            """() => { const e = document.activeElement; if (!e || e === document.body) return null
              const ring = (e.matches('input.sr') ? e.parentElement : e)
              const style = getComputedStyle(ring)
              const name = e.ariaLabel || e.labels?.[0]?.textContent.trim() || e.textContent.trim() || e.type
              return [name, style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0] }"""
        )
        if told is None:
            break
        assert told[1], f"the focus is not seen on {told[0]!r}"
        seen.append(told[0])
    for wanted in (
        "Transcripts",
        "Settings",
        "中文",
        "Add recording",
        "Choose a folder",
        "keys",
        "More: keys",
        "Export: keys",
    ):
        assert any(wanted in name for name in seen), wanted
    await page.focus(".job a.name")
    await page.keyboard.press("Enter")
    await page.wait_for_selector(".text .line")
    await visitor.reads("document.activeElement.tagName", "H1")
    await visitor.sees(lambda: page.inner_text("h1"), "keys")
    assert (await site.service.parts.store.job(job.id)).name == "keys.wav"
    await page.focus("[data-export]")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("#export[open]")
    await page.keyboard.press("Escape")
    await page.wait_for_selector("#export", state="detached")
    await visitor.reads("document.activeElement.hasAttribute('data-export')", True)
    await page.keyboard.press("?")
    await page.wait_for_selector("dialog[open]")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("dialog[open]", state="detached")
    await visitor.reads("document.activeElement.hasAttribute('data-export')", True)


async def test_a_change_of_status_is_announced_once_and_a_percentage_never(visitor: Visitor, site: Site) -> None:
    await visitor.page.evaluate(
        """() => { window.told = []
          const said = document.querySelector('[data-announce]')
          new MutationObserver(() => window.told.push(said.textContent))
            .observe(said, { childList: true, characterData: true, subtree: true }) }"""
    )
    await site.send("spoken.wav", chunks=6, seconds=1.0, delay=0.3)
    await visitor.shows("spoken.wav", "completed")
    await visitor.page.wait_for_timeout(1_000)
    told = await visitor.page.evaluate("window.told")
    assert told[-1] == "spoken: Done"
    assert len(told) == len(set(told)) <= 3
    assert "%" not in "".join(told)


@pytest.mark.parametrize(("width", "least"), [(1280, 24), (390, 44)])
async def test_whatever_is_clicked_is_large_enough(browser: Any, site: Site, width: int, least: int) -> None:
    paths = await _full(site)
    async with visiting(browser, site.url, viewport={"width": width, "height": 800}) as visitor:
        for path in (*PAGES, *paths.values()):
            await visitor.go(path)
            looked = await visitor.page.evaluate(
                """(least) => [...document.querySelectorAll('button, select, summary, a, input:not(.sr), label.button')]
                  .map((e) => [e.closest('label') && e.matches('[type=checkbox]') ? e.closest('label') : e, e])
                  .filter(([box, e]) => box.checkVisibility({ visibilityProperty: true })
                    && !e.closest('p.dim, .problem, details:not([open]) > :not(summary)'))
                  .map(([box, e]) => [box.getBoundingClientRect(), e]).filter(([r]) => r.width)
                  .map(([r, e]) => [`${e.tagName} ${e.ariaLabel ?? e.textContent.trim().slice(0, 40)}`,
                    e.matches('a, summary') ? r.height >= 24 : Math.min(r.width, r.height) >= least - 0.5])""",
                least,
            )
            assert len(looked) > 5, path
            assert [name for name, large in looked if not large] == [], path


async def test_nothing_moves_for_who_wants_no_motion(browser: Any, site: Site) -> None:
    await _full(site)
    for motion in ("no-preference", "reduce"):
        async with visiting(browser, site.url, reduced_motion=motion) as visitor:
            await visitor.go()
            await visitor.shows("work.wav", "processing")
            await visitor.page.evaluate(
                "document.querySelector('main').append(document.createElement('progress'))"  # without a value it moves
            )
            moving = await visitor.page.evaluate(
                """() => [...document.querySelectorAll('*')].filter((e) => { const s = getComputedStyle(e)
                  return s.transitionDuration.split(', ').some((d) => d !== '0s') || s.animationName !== 'none' })
                  .map((e) => e.tagName)"""
            )
            assert bool(moving) is (motion == "no-preference"), moving


async def test_a_switch_of_the_language_keeps_what_was_typed_and_chosen(visitor: Visitor, site: Site) -> None:
    await site.until((await site.send("kept.wav", chunks=1)).id, "completed")
    page = visitor.page
    await visitor.shows("kept.wav", "completed")
    await page.fill("input[type=search]", "kept")
    await page.click(".tick input")
    await page.click("text=中文")
    await visitor.reads("document.documentElement.lang", "zh-CN")
    await visitor.sees(lambda: page.input_value("input[type=search]"), "kept")
    await visitor.sees(lambda: page.is_checked(".tick input"), True)
    await visitor.sees(lambda: visitor.words(), has="已选 1 项")
    await visitor.go("/settings")
    await visitor.sees(lambda: visitor.words(), has="界面语言")


@pytest.mark.parametrize("locale", LANGUAGES)
async def test_no_page_mixes_the_languages_or_shows_the_name_of_a_text(browser: Any, site: Site, locale: str) -> None:
    paths = await _full(site)
    async with visiting(browser, site.url, locale=locale) as visitor:
        for path in (*PAGES, *paths.values()):
            await visitor.go(path)
            await visitor.live()
            words = await visitor.words()
            assert len(words.split()) > 15, path
            assert not re.search(
                r"\b[a-z]+_[a-z]+\b", words.replace("whisper_service", "").replace("int8_float", "")
            ), path
            if locale == "en-US":
                strange = [
                    line for line in words.splitlines() if HAN.search(line) and not re.search("中文|会议|王小明", line)
                ]
            else:
                said = re.sub(
                    TITLES + NAMES + r"|whisper_service|[\w .]*\.wav|This is chunk \d+\.|\w+://\S+",
                    "",
                    words,
                )
                strange = [word for word in LATIN.findall(said) if word not in TERMS and word.lower() not in TERMS]
            assert strange == [], path


async def test_whatever_can_be_dragged_has_a_button(visitor: Visitor, site: Site) -> None:
    page = visitor.page
    assert await page.get_by_label("Choose files").count() == await page.get_by_label("Choose a folder").count() == 1
    job = await site.send("dragged.wav", data=sound(60, chunks=5, peaks=100))
    await visitor.shows("dragged.wav", "completed")
    await visitor.count("[draggable=true]", 0)  # rows are moved by buttons alone
    await visitor.go(f"/t/{job.id}")
    await page.wait_for_selector(".player")
    place = "document.querySelector('video').currentTime"
    for name, wanted in (("Forward 5 seconds", 5), ("Forward 5 seconds", 10), ("Back 5 seconds", 5)):
        await page.get_by_role("button", name=name).click()
        await visitor.reads(f"Math.round({place})", wanted)
    await page.get_by_role("slider", name="Position").focus()
    await page.keyboard.press("ArrowRight")
    await visitor.reads(f"{place} > 5", True)
