"""Make the pictures of the guides: the built page in Chromium, in English and in Chinese, with a script as a recording.

    python -m testkit.pictures [FOLDER]

FOLDER is docs/images at first. Needs the extra [test] and the built page.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import anyio
import httpx
from playwright.async_api import async_playwright

from testkit.browser import CHROMIUM, FLAGS, Site, Visitor, running_site, visiting
from testkit.playable import sound
from testkit.repository import STATIC
from whisper_service.core.domain import Options

SIZE: Final = {"width": 1120, "height": 640}
SMALL: Final = {"width": 1040, "height": 600}
LINE_S: Final = 5.0


class Talk(NamedTuple):
    """What is said in the pictures of a language.

    `wrong` becomes `right` by hand, in the line `at`. Another one replaces `find` by `other`.
    """

    code: str
    locale: str
    name: str
    people: tuple[str, str]
    lines: tuple[str, ...]
    doubtful: tuple[str, ...]
    at: int
    wrong: str
    right: str
    find: str
    replace: str
    other: str


TALKS: Final = (
    Talk(
        "en",
        "en-US",
        "Council meeting.wav",
        ("Anna", "Bo"),
        (
            "Good evening, and welcome to the meeting of the town council.",
            "First we talk about the bridge at the old mill.",
            "The repair of the bridge takes until the end of March.",
            "How do the children get to school while the bridge is closed?",
            "There will be a bus from the market place every ten minutes.",
            "Then I propose that we vote on it today.",
            "Who is in favour of the bus, please raise a hand.",
        ),
        ("mill.", "March."),
        4,
        "bus",
        "ferry",
        "bridge",
        "footbridge",
        "ferry",
    ),
    Talk(
        "zh",
        "zh-CN",
        "居民会议.wav",
        ("李雷", "韩梅梅"),
        (
            "各位晚上好，欢迎参加今天的居民会议。",
            "我们先谈谈老磨坊旁边的那座桥。",
            "这座桥的维修要到三月底才能完成。",
            "桥关闭期间，孩子们怎么去学校呢？",
            "每十分钟有一班公交车从市场开出。",
            "那么我建议今天就表决。",
            "赞成开通公交车的，请举手。",
        ),
        ("磨", "坊"),
        4,
        "公交车",
        "渡船",
        "桥",
        "人行桥",
        "渡口",
    ),
)


async def prepared(site: Site, talk: Talk) -> str:
    """Make the transcript of a talk, with the names of who speaks. Return the id of the job."""
    seconds = round(LINE_S * len(talk.lines)) + 1
    cuts = [(at * LINE_S + 0.5, at * LINE_S + 4.5) for at in range(len(talk.lines))]
    play = {"lines": talk.lines, "cuts": cuts, "doubtful": talk.doubtful, "peaks": 50 * seconds}
    job = await site.send(talk.name, data=sound(seconds, **play), options=Options(language=talk.code))
    await site.until(job.id, "completed")
    names = [{"op": "name_speaker", "id": f"p{at}", "name": name} for at, name in enumerate(talk.people)]
    said = [{"op": "speaker", "ids": [f"c{at}.0"], "speaker": f"p{at // 3 % 2}"} for at in range(len(talk.lines))]
    async with httpx.AsyncClient(base_url=site.url) as client:
        body = {"batch": "people", "author": talk.people[0], "operations": [*names, *said]}
        (await client.post(f"/api/jobs/{job.id}/edits", json=body)).raise_for_status()
    return job.id


async def editing(visitor: Visitor, talk: Talk) -> None:
    """A word is being corrected; words of which the model was unsure are marked."""
    page = visitor.page
    await page.click("[data-view]")
    await page.check("[data-doubts]")
    await page.keyboard.press("Escape")
    line = page.locator(".text [data-line] > p").nth(talk.at)
    await line.click()
    await page.keyboard.press("Control+a")
    await page.keyboard.insert_text(talk.lines[talk.at].replace(talk.wrong, talk.right))
    await visitor.reads("document.querySelector('[data-save]')?.dataset.save", "saved")
    await page.click("[data-panel-tab=speakers]")
    await line.hover()
    await page.locator("[data-line-menu]").wait_for()


async def replacing(visitor: Visitor, talk: Talk) -> None:
    """A word is looked for, with what takes its place; the history stands beside the text."""
    page = visitor.page
    await page.keyboard.press("Escape")
    await page.click("[data-panel-tab=history]")
    await page.locator(".history-day").first.wait_for()
    await page.keyboard.press("Control+f")
    await page.fill("input[type=search]", talk.find)
    await page.click("[data-replacing]")
    await page.fill("[data-replacement]", talk.replace)
    await visitor.reads("CSS.highlights.get('hit')?.size > 1", wanted=True)


async def zoomed(visitor: Visitor, talk: Talk) -> None:
    """The edges of a line in the waveform."""
    page = visitor.page
    await page.keyboard.press("Escape")
    await page.locator(".text [data-line] > button").nth(talk.at - 2).click()
    await page.evaluate("document.querySelector('video').pause()")
    await page.click("[data-panel-tab=speakers]")
    await page.locator("[data-zoomed]").first.click()
    await page.wait_for_selector(".zoomed .stretch.chosen [role=slider]")


async def subtitles(visitor: Visitor, _talk: Talk) -> None:
    """The text as subtitles."""
    page = visitor.page
    await page.locator("[data-zoomed]").first.click()
    await page.click("[data-view]")
    await page.check("[data-show=subtitles]")
    await page.keyboard.press("Escape")
    await page.evaluate("document.activeElement?.blur()")
    await page.locator("[data-cue]").nth(2).wait_for()


async def timing(visitor: Visitor, _talk: Talk) -> None:
    """A subtitle in the waveform, with its edges."""
    page = visitor.page
    await page.set_viewport_size(SMALL)
    await page.locator("[data-zoomed]").first.click()
    await page.locator(".zoomed .stretch .label").nth(2).click()
    await page.wait_for_selector(".zoomed .stretch.chosen [role=slider]")
    await page.evaluate("document.activeElement?.blur()")


async def history(visitor: Visitor, _talk: Talk) -> None:
    """Who changed what."""
    page = visitor.page
    await page.locator("[data-zoomed]").first.click()
    await page.click("[data-view]")
    await page.check("[data-show=lines]")
    await page.keyboard.press("Escape")
    await page.click("[data-panel-tab=history]")
    await page.locator(".history-day").first.wait_for()
    await page.evaluate("document.activeElement?.blur()")


async def conflict(visitor: Visitor, talk: Talk) -> None:
    """Two people wrote the same words of a line: one of them while the network was away."""
    page = visitor.page
    visitor.expected = re.compile("/api/")  # the network is away for a moment
    job_id, line = page.url.rpartition("/")[2].partition("#")[0], 1
    await page.click("[data-panel-tab=speakers]")
    await page.context.set_offline(True)
    await page.locator(".text [data-line] > p").nth(line).click()
    await page.keyboard.press("Control+a")
    await page.keyboard.insert_text(talk.lines[line].replace(talk.find, talk.replace))
    await page.keyboard.press("Escape")
    async with httpx.AsyncClient(base_url=visitor.url) as client:
        lines = (await client.get(f"/api/jobs/{job_id}/transcript")).raise_for_status().json()["segments"]
        text = talk.lines[line].replace(talk.find, talk.other)
        said = {"op": "text", "id": lines[line]["id"], "v": lines[line]["version"], "text": text}
        body = {"batch": "theirs", "author": talk.people[1], "operations": [said]}
        (await client.post(f"/api/jobs/{job_id}/edits", json=body)).raise_for_status()
    await page.context.set_offline(False)
    await page.evaluate("dispatchEvent(new Event('focus'))")
    await page.wait_for_selector("[data-conflict]")
    await page.wait_for_selector(".chip[data-link=live]")
    await page.evaluate("document.activeElement?.blur()")


async def captions(visitor: Visitor, _talk: Talk) -> None:
    """The text on a beamer."""
    page = visitor.page
    job_id = page.url.rpartition("/")[2].partition("#")[0]
    await page.click("[data-keep=mine]")
    await visitor.count("[data-conflict]", 0)
    await page.set_viewport_size({"width": 1120, "height": 360})
    await page.goto(f"{visitor.url}/captions/{job_id}?ground=000000&size=52")
    await page.locator(".captions [data-final]").first.wait_for()


PICTURES: Final[dict[str, Callable[[Visitor, Talk], Awaitable[None]]]] = {
    "editing": editing,
    "replacing": replacing,
    "zoomed": zoomed,
    "subtitles": subtitles,
    "timing": timing,
    "history": history,
    "conflict": conflict,
    "captions": captions,
}


async def make(folder: Path) -> None:
    """Make all pictures of both languages. `folder` is there."""
    async with async_playwright() as driver:
        browser: Any = await driver.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        for talk in TALKS:
            with tempfile.TemporaryDirectory(prefix="pictures-") as scratch:
                async with (
                    running_site(Path(scratch)) as site,
                    visiting(browser, site.url, locale=talk.locale, viewport=SIZE, color_scheme="light") as visitor,
                ):
                    job_id = await prepared(site, talk)
                    await visitor.go(f"/t/{job_id}")
                    await visitor.page.wait_for_selector(".player")
                    for name, prepare in PICTURES.items():
                        await prepare(visitor, talk)
                        await visitor.count(".notices p", 0)
                        await visitor.page.evaluate("scrollTo(0, 0)")
                        await visitor.page.wait_for_timeout(600)  # movements end
                        path = folder / f"{name}-{talk.code}.png"
                        data = await visitor.page.screenshot(path=path, animations="disabled")
                        print(path, len(data), flush=True)
        await browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=STATIC.parent / "docs" / "images")
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    anyio.run(make, folder)


if __name__ == "__main__":
    main()
