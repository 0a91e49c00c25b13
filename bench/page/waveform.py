"""Measure what the zoomed waveform costs a browser in ten hours of sound.

    python -m bench.page.waveform [--minutes 10] [--drags 60]

Debian's Chromium without a window shows 20 seconds of a recording of ten hours with 8,800 lines over the player, and
scrolls through ten minutes of them, 40 pixels a frame, as fast as frames come. A frame is the time between two calls of
`requestAnimationFrame`: other programs delay it. So the work for it is measured too: the longest tasks of the thread of
the page, in the time that this thread had a core. A zoom is from a step to the second frame behind it, with all of the
strip drawn anew. A drag is from the event of a move of the pointer to the second frame behind it.

Needs the extra [test], the built page and Linux.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import anyio
import httpx
from playwright.async_api import async_playwright

from bench.lib import api, report, services
from bench.lib.transcript_page import READING, finished, opened
from testkit.browser import CHROMIUM, DIST, FLAGS
from testkit.playable import sound

CHUNKS, IN_CHUNK, HOURS = 88, 100, 10
PER_S = 50
"""Pairs of the coarse waveform per second; the fine one has four times as many."""
SCROLL = """async (minutes) => {
  const view = document.querySelector('.zoomed .view'), frames = []
  const frame = () => new Promise(requestAnimationFrame)
  view.scrollLeft = 3600 * view.clientWidth / 20
  await frame()
  const end = view.scrollLeft + minutes * 60 * view.clientWidth / 20
  let before = await frame(), most = 0
  while (view.scrollLeft < end) {
    view.scrollLeft += 40
    const now = await frame()
    frames.push(now - before)
    before = now
    most = Math.max(most, document.querySelectorAll('.zoomed canvas').length)
  }
  return [frames, most, document.querySelectorAll('.zoomed .stretch').length]
}"""
ZOOM = """async () => {
  const frame = () => new Promise(requestAnimationFrame), spent = []
  for (const which of ['out', 'out', 'out', 'out', 'out', 'in', 'in', 'in', 'in', 'in']) {
    const began = performance.now()
    document.querySelector(`[data-zoom=${which}]`).click()
    await frame()
    await frame()
    spent.push(performance.now() - began)
  }
  return spent
}"""
WATCH = """() => { window.spent = []
  addEventListener('pointermove', (event) => requestAnimationFrame(() => requestAnimationFrame(() =>
    window.spent.push(performance.now() - event.timeStamp))), true) }"""
TASK = "ThreadControllerImpl::RunTask"
EDGE = ".zoomed [role=slider][data-edge=end]"


async def dragging(page: Any, count: int) -> list[float]:
    """Move an edge to and fro. Return what each move took, in milliseconds."""
    await page.evaluate(WATCH)
    box = await page.locator(EDGE).bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    await page.mouse.move(x, y)
    await page.mouse.down()
    await page.evaluate("window.spent.length = 0")
    for number in range(count):
        await page.mouse.move(x - 30 + number % 20, y)
        await page.wait_for_timeout(30)
    await page.keyboard.press("Escape")
    await page.mouse.up()
    await page.wait_for_timeout(100)
    spent: list[float] = await page.evaluate("window.spent")
    return spent


def tasks_in(trace: bytes) -> list[float]:
    """Return the milliseconds of work of each task of the thread of the page."""
    events = json.loads(trace)["traceEvents"]
    mains = {(e["pid"], e["tid"]) for e in events if e.get("args", {}).get("name") == "CrRendererMain"}
    tasks = [e["tdur"] / 1000 for e in events if e["name"] == TASK and "tdur" in e and (e["pid"], e["tid"]) in mains]
    if not tasks:
        raise SystemExit("The browser told no tasks.")
    return tasks


def spread(values: list[float]) -> str:
    """The median, 95 % and the largest."""
    return (
        f"{report.quantile(values, 0.5):.0f}, 95 % {report.quantile(values, 0.95):.0f}, at most {max(values):.0f} ms "
        f"(of {len(values)})"
    )


def works(tasks: list[float], frames: list[float]) -> str:
    """The mean work for a frame, and the longest task."""
    return f"{sum(tasks) / len(frames):.1f} ms, {max(tasks):.0f} ms"


async def visit(browser: Any, url: str, client: httpx.AsyncClient, scratch: Path, given: argparse.Namespace) -> None:
    """Make the recording, and look at it closely."""
    await api.loaded(client)
    seconds = HOURS * 3600
    play = {"chunks": CHUNKS, "seconds": 408.0, "segments": IN_CHUNK, "peaks": seconds * PER_S}
    job_id, _ = await finished(client, scratch, "ten hours.wav", sound(seconds, **play))
    async with opened(browser, url, job_id, CHUNKS * IN_CHUNK) as (visitor, _mounted):
        page = visitor.page
        await page.keyboard.press("w")
        await page.wait_for_selector(EDGE)
        await page.wait_for_timeout(1000)
        drags = await dragging(page, given.drags)
        await browser.start_tracing(page=page, categories=["toplevel", "__metadata"])
        frames, canvases, blocks = await page.evaluate(SCROLL, given.minutes)
        tasks = tasks_in(await browser.stop_tracing())
        zooms = await page.evaluate(ZOOM)
    rows = [
        ("a frame while it is scrolled", spread(frames), "<= 50 ms"),
        ("frames of more than 50 ms", str(sum(frame > 50 for frame in frames)), "0 on an idle machine"),
        ("the page's own work for it, per frame, and its longest task", works(tasks, frames), "<= 50 ms"),
        ("canvases, lines in the document", f"{canvases}, {blocks}", "<= 3 canvases"),
        ("a step of the zoom to the second frame", spread(zooms), ""),
        ("a move of an edge to the second frame", spread(drags), "<= 50 ms"),
    ]
    report.table(["figure", "value", "must be"], rows)


async def measure(given: argparse.Namespace, scratch: Path) -> None:
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        print(f"Chromium {browser.version}", flush=True)
        with services.service(scratch / "service", model=None, module=READING) as live:
            async with live.client as client:
                await visit(browser, live.url, client, scratch, given)
        await browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10, help="how much is scrolled through")
    parser.add_argument("--drags", type=int, default=60, help="moves of the pointer")
    given = parser.parse_args()
    if CHROMIUM is None or not (DIST / "index.html").exists():
        raise SystemExit("There is no chromium, or the page is not built.")
    print(report.machine())
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        anyio.run(measure, given, Path(scratch))
    print(report.machine())


if __name__ == "__main__":
    main()
