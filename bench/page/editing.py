"""Measure what editing costs a browser in ten hours of text.

    python -m bench.page.editing [--keys 150] [--acts 30] [--jumps 20]

Debian's Chromium without a window edits a transcript of ten hours: 8,800 lines of nine words in 88 chunks, by a
scripted actor. All is measured in the page, from the event of a key to the second frame behind it, which comes after
the first one is drawn. Keys come 40 ms apart and go into lines in the middle of the text. An act is an Enter in the
middle of a line, then a Backspace that joins the halves again. A jump is a click on the time of a line, until that line
is seen and marked. A search is the longest task of the page for each letter. Tasks of more than 50 ms are told by the
browser while the recording plays and somebody types for ten seconds. A replacement changes a word in 5,000 lines at
once: it is shown with the second frame behind the click, and saved when the page says so. The heap is read after a
collection.

Needs the extra [test], the built page and Linux.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import httpx
from playwright.async_api import async_playwright

from bench.lib import api, report, services, usage
from bench.lib.transcript_page import HEAP, JUMP, READING, finished, opened
from testkit.browser import CHROMIUM, DIST, FLAGS
from testkit.playable import sound

CHUNKS, IN_CHUNK = 88, 100
LINES = CHUNKS * IN_CHUNK
SENTENCE = "The quick brown fox jumps over the lazy dog."
OTHER = "The quick brown fox jumps over the sleepy dog."
WITH_LAZY = 50  # chunks of SENTENCE, the first ones: 5,000 lines
WATCH = """() => { window.spent = []
  addEventListener('keydown', (event) => {
    const began = event.timeStamp
    requestAnimationFrame(() => requestAnimationFrame(() => window.spent.push(performance.now() - began)))
  }, true)
  window.long = []
  new PerformanceObserver((list) => window.long.push(...list.getEntries().map((entry) => entry.duration)))
    .observe({ type: 'longtask' }) }"""
CARET = """([line, at]) => {
  const p = document.querySelectorAll('[data-line] > p')[line]
  p.scrollIntoView({ block: 'center' })
  const range = new Range()
  range.setStart(p.firstChild, at)
  range.setEnd(p.firstChild, at + 1)
  const { left, top, height } = range.getBoundingClientRect()
  return [left + 1, top + height / 2] }"""
Row = tuple[str, str, str, str]


def row(what: str, values: Sequence[float], limit: float, *, share: float = 0.95) -> Row:
    """A figure: the median, and the share of all that must be below the limit."""
    quantile = report.quantile(values, share)
    said = f"{statistics.median(values):.0f} ms, {share:.0%} {quantile:.0f} ms ({len(values)} times)"
    return (what, said, f"<= {limit:g} ms", "yes" if quantile <= limit else "NO")


async def caret(page: Any, line: int, at: int) -> None:
    """Click into a line."""
    await page.mouse.click(*await page.evaluate(CARET, [line, at]))


async def taken(page: Any) -> list[float]:
    """Return what was measured since the last call."""
    await page.wait_for_timeout(100)
    values: list[float] = await page.evaluate("window.spent.splice(0)")
    return values


async def editing(page: Any, given: argparse.Namespace) -> list[Row]:
    """Type, split and join in the middle of the text."""
    middle = LINES // 2
    await caret(page, middle, 9)
    await taken(page)
    for number in range(given.keys):
        await page.keyboard.press("abcdefg "[number % 8])
        await page.wait_for_timeout(40)
        if number % 50 == 49:
            await page.keyboard.press("Escape")
            await caret(page, middle + number, 9)
            await page.evaluate("window.spent.pop()")
    typing = await taken(page)
    if len(typing) < given.keys - 3 or not await page.locator(".line[data-edited]").count():
        raise SystemExit("What was typed is not in the text.")
    splits, joins = [], []
    for number in range(given.acts):
        await caret(page, middle - 3 * number, 20)
        await taken(page)
        await page.keyboard.press("Enter")
        splits += await taken(page)
        await page.keyboard.press("Backspace")
        joins += await taken(page)
    return [
        row("a letter to the next picture", typing, 50),
        row("split to the next picture", splits, 100),
        row("join to the next picture", joins, 100),
    ]


async def finding(page: Any) -> list[Row]:
    """Search, letter by letter."""
    await page.keyboard.press("Escape")
    await page.keyboard.press("Control+f")
    await page.evaluate("window.long.length = 0")
    for letter in "lazy dog":
        await page.keyboard.press(letter)
        await page.wait_for_timeout(250)
    tasks = await page.evaluate("window.long.splice(0)")
    if await page.input_value("input[type=search]") != "lazy dog" or not await page.evaluate(
        "CSS.highlights.get('hit').size"
    ):
        raise SystemExit("Nothing was found.")
    await page.keyboard.press("Escape")
    return [row("find, per key: the longest task of each letter", tasks or [0.0], 100)]


REPLACE = """async () => {
  const frame = () => new Promise(requestAnimationFrame)
  const saved = () => window.posted && document.querySelector('[data-save]')?.dataset.save === 'saved'
  const line = document.querySelectorAll('[data-line] > p')[10]
  const post = window.fetch
  window.posted = 0
  window.fetch = (...given) => {
    if (given[1]?.method === 'POST') window.posted += 1
    return post(...given)
  }
  const began = performance.now()
  document.querySelector('[data-replace-all]').click()
  while (!line.textContent.includes('idle')) await frame()
  await frame()
  const shown = performance.now() - began
  await new Promise((done) => setTimeout(done, 500)) // what is saved sooner is not said to be saved anew
  while (!saved()) await frame()
  window.fetch = post
  return [shown, performance.now() - began, window.posted]
}"""


async def replacing(page: Any, client: httpx.AsyncClient, job_id: str) -> list[Row]:
    """Replace a word in 5,000 lines."""
    await page.keyboard.press("Escape")
    await page.keyboard.press("Control+f")
    await page.fill("input[type=search]", "lazy")
    await page.click("[data-replacing]")
    await page.fill("[data-replacement]", "idle")
    count = await page.inner_text("[data-replace-all]")
    shown, saved, requests = await page.evaluate(REPLACE)
    lines = (await api.get(client, f"/api/jobs/{job_id}/transcript"))["segments"]
    changed = sum("idle" in line["text"] for line in lines)
    if changed < WITH_LAZY * IN_CHUNK - 100 or any("lazy" in line["text"] for line in lines):
        raise SystemExit(f"{count}: {changed} lines were changed.")
    return [
        row(f"replace all in {changed} lines until it is shown", [shown], 500, share=1),
        row(f"the same until it is saved ({requests} requests)", [saved], 3000, share=1),
    ]


async def together(page: Any) -> list[Row]:
    """Play and type for ten seconds."""
    await caret(page, 100, 5)
    await page.evaluate("document.querySelector('video').play()")
    await page.evaluate("window.long.length = 0")
    for _ in range(100):
        await page.keyboard.press("x")
        await page.wait_for_timeout(80)
    tasks = await page.evaluate("window.long.splice(0)")
    await page.evaluate("document.querySelector('video').pause()")
    return [row("the longest task while it plays and somebody types", [max(tasks, default=0.0)], 100, share=1)]


async def measure(given: argparse.Namespace, scratch: Path) -> list[Row]:
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        print(f"Chromium {browser.version}", flush=True)
        with services.service(scratch / "service", model=None, module=READING) as live:
            async with live.client as client:
                rows = await visit(browser, live.url, client, scratch, given)
        await browser.close()
    return rows


async def visit(
    browser: Any, url: str, client: httpx.AsyncClient, scratch: Path, given: argparse.Namespace
) -> list[Row]:
    """Make the text and edit it."""
    await api.loaded(client)
    lines = [SENTENCE] * WITH_LAZY + [OTHER] * (CHUNKS - WITH_LAZY)
    play = {"chunks": CHUNKS, "seconds": 408.0, "segments": IN_CHUNK, "lines": lines}
    job_id, _starts = await finished(client, scratch, "ten hours.wav", sound(36_000, **play))
    chance = random.Random(1)
    async with opened(browser, url, job_id, LINES) as (visitor, mounted):
        page = visitor.page
        await page.evaluate(WATCH)
        jumps = [(await page.evaluate(JUMP, chance.randrange(LINES - 50)))[0] for _ in range(given.jumps)]
        await page.evaluate("document.querySelector('video').pause()")
        rows = [
            (
                "navigation to the first picture of all lines",
                f"{mounted[2]:.2f} s",
                "<= 1.5 s",
                verdict(mounted[2], 1.5),
            ),
            row("click on a time to its line marked", jumps, 200),
            *await editing(page, given),
            *await finding(page),
            *await together(page),
            *await replacing(page, client, job_id),
        ]
        session = await page.context.new_cdp_session(page)
        await session.send("HeapProfiler.collectGarbage")
        heap = await page.evaluate(HEAP) / usage.MB
    return [*rows, ("heap of the page at the end", f"{heap:.0f} MB", "<= 120 MB", verdict(heap, 120))]


def verdict(value: float, limit: float) -> str:
    return "yes" if value <= limit else "NO"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, default=150)
    parser.add_argument("--acts", type=int, default=30, help="splits, and as many joins")
    parser.add_argument("--jumps", type=int, default=20)
    given = parser.parse_args()
    if CHROMIUM is None or not (DIST / "index.html").exists():
        raise SystemExit("There is no chromium, or the page is not built.")
    print(report.machine())
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        rows = anyio.run(measure, given, Path(scratch))
    print()
    report.table(["figure", "value", "must be", "met"], rows)
    print(report.machine())


if __name__ == "__main__":
    main()
