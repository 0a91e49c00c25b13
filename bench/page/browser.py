"""Measure what the page costs a browser: a large upload, a long text, a long waveform.

    python -m bench.page.browser [--gigabytes 3] [--changes 400] [--visits 5]

Debian's Chromium without a window visits a service in a process of its own. The heap is
`performance.memory.usedJSHeapSize` with the precise figures that a flag turns on. The resident memory is that of all
renderer processes together.

- The upload is a WAV file with a hole in it. The disk needs room for it once, below the directory for temporary
  files. The heap is read every 50 ms, with what is not collected yet.
- The text is an hour of silence with 5,000 lines of a scripted actor. Each visit begins with an empty cache. The time
  of the page is what its thread used until the lines were painted and the recording could be played. A change of the
  active line or word is what happens in one turn of the page's script, from the new time to the end of style and
  layout, by the clock and in the time of the thread. Other timers of the page may run meanwhile: then the longest
  turns count. Painting comes later. So that places can be chosen, the page is told a time that the recording does not
  have. A jump is a click on the time of a line. It ends with the first frame in which line and word are marked. How
  late a mark is can be seen while the recording really plays.
- The waveform is that of three hours, 540,000 pairs of peaks, beside 3,000 lines. Every decoder that the page makes
  counts.

Needs the extra [test], the built page and Linux.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
import struct
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import httpx
import psutil
from playwright.async_api import async_playwright

from bench.lib import api, report, services, usage
from bench.lib.transcript_page import HEAP, JUMP, READING, finished, opened
from testkit.browser import CHOOSE, CHROMIUM, DIST, FLAGS, visiting
from testkit.playable import sound

TAKING = ("testkit.serve", "--speech", "bench.lib.actors:scripted")
LINES = 5_000
PEAKS_PER_S = 50
CHANGE = """async ([starts, order]) => {
  const video = document.querySelector('video'), lines = document.querySelectorAll('[data-line]'), spent = []
  let place = 0
  Object.defineProperty(video, 'currentTime', { get: () => place, set: () => {}, configurable: true })
  for (const index of order) {
    await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)))
    place = starts[index] + 0.01
    const began = performance.now()
    video.dispatchEvent(new Event('seeked'))
    await null // the page's own turn comes first
    const now = document.querySelector('.line.now')
    now?.getBoundingClientRect()
    spent.push(performance.now() - began)
    if (now !== lines[index]) throw new Error(`${now?.dataset.line} is marked instead of line ${index}`)
  }
  delete video.currentTime
  return spent
}"""
PLAY = """async ([starts, seconds]) => {
  const video = document.querySelector('video'), late = [], frames = []
  const lines = [...document.querySelectorAll('[data-line]')], current = () => document.querySelector('.line.now')
  let line = current(), last = performance.now()
  const end = last + 1000 * seconds
  while (last < end) {
    await new Promise(requestAnimationFrame)
    frames.push(performance.now() - last)
    last = performance.now()
    const now = current()
    if (now && now !== line) late.push(1000 * (video.currentTime - starts[lines.indexOf(now)]))
    line = now
  }
  return [late, frames]
}"""

Row = tuple[str, str, str, str]


class Heap(NamedTuple):
    """Bytes."""

    heap: float
    resident: int


def row(what: str, values: Sequence[float], unit: str, limit: float | None = None, digits: int = 1) -> Row:
    """A figure; where there are many, the median, 95 of 100, and the worst, which is what must be below the limit."""
    worst = max(values)
    said = f"{worst:.{digits}f} {unit}"
    if len(values) > 1:
        usual = f", 95 % {report.quantile(values, 0.95):.{digits}f}" if len(values) >= 20 else ""
        said = f"{statistics.median(values):.{digits}f}{usual}, at most {said} ({len(values)} times)"
    return (
        what,
        said,
        "" if limit is None else f"< {limit:g} {unit}",
        "" if limit is None else "yes" if worst < limit else "NO",
    )


def renderers() -> list[psutil.Process]:
    """The processes that have pages in them."""
    return [each for each in psutil.Process().children(recursive=True) if "--type=renderer" in each.cmdline()]


def resident() -> int:
    return sum(each.memory_info().rss for each in renderers())


async def settled(page: Any) -> Heap:
    """What is in use once what is not has been collected."""
    session = await page.context.new_cdp_session(page)
    await session.send("HeapProfiler.collectGarbage")
    await session.detach()
    return Heap(await page.evaluate(HEAP), resident())


def hollow(path: Path, size: int) -> Path:
    """A WAV file of this size, 48 kHz stereo, that is a header and a hole."""
    rest = min(size - 44, 2**32 - 64)
    with path.open("wb") as file:
        file.write(
            struct.pack(
                "<4sI8sIHHIIHH4sI", b"RIFF", rest + 36, b"WAVEfmt ", 16, 1, 2, 48_000, 192_000, 4, 16, b"data", rest
            )
        )
        file.truncate(size)
    return path


async def forget(client: httpx.AsyncClient) -> None:
    """No job is left."""
    for job in (await api.get(client, "/api/jobs"))["jobs"]:
        await client.post(f"/api/jobs/{job['id']}/cancel")  # 409 if it ended before
        (await client.delete(f"/api/jobs/{job['id']}?for_good=true")).raise_for_status()


async def upload(browser: Any, gigabytes: float, scratch: Path) -> list[Row]:
    """A large file is chosen, and sent to its last byte."""
    size = int(gigabytes * 1e9)
    if (free := shutil.disk_usage(scratch).free) < size + 2 * 10**9:
        raise SystemExit(f"{scratch} has room for {free / 1e9:.1f} GB; TMPDIR names another directory.")
    with services.service(scratch / "taking", model=None, module=TAKING) as live:
        async with live.client as client, visiting(browser, live.url) as visitor:
            await api.loaded(client)
            page = await visitor.go()
            await visitor.live()
            before = await settled(page)
            heaps: list[float] = []
            with usage.Sampler(each.pid for each in renderers()) as sampler:
                began = time.monotonic()
                await page.set_input_files(CHOOSE, hollow(scratch / "large.wav", size))
                await page.wait_for_selector("[data-upload]")
                while (
                    state := await page.evaluate("document.querySelector('[data-upload]')?.dataset.upload")
                ) is not None:
                    if state == "failed":
                        raise SystemExit(f"The upload failed: {await page.inner_text('[data-upload]')}")
                    heaps.append(await page.evaluate(HEAP))
                    await anyio.sleep(0.05)
                seconds = time.monotonic() - began
            after = await settled(page)
            if [job["bytes"] for job in (await api.get(client, "/api/jobs"))["jobs"]] != [size]:
                raise SystemExit("The service has not got the whole file.")
            await forget(client)
    what = f"upload of {gigabytes:g} GB"
    return [
        row(f"{what}: growth of the heap, at its largest", [(max(heaps) - before.heap) / usage.MB], "MB", 50),
        row(f"{what}: the same, after it and a collection", [(after.heap - before.heap) / usage.MB], "MB", 50),
        row(
            f"{what}: growth of resident memory, at its largest",
            [(sum(sampler.peaks.values()) - before.resident) / usage.MB],
            "MB",
        ),
        (f"{what}: time", f"{seconds:.1f} s ({size / usage.MB / seconds:.0f} MB/s)", "", ""),
    ]


async def changes(
    browser: Any, page: Any, starts: list[float], order: Sequence[int]
) -> tuple[list[float], list[float]]:
    """Return the milliseconds of each change by the clock, and of each turn of the page's thread that a timer began."""
    await browser.start_tracing(page=page, categories=["devtools.timeline"])
    spent = await page.evaluate(CHANGE, [starts, list(order)])
    events = json.loads(await browser.stop_tracing())["traceEvents"]
    turns = [event["tdur"] / 1000 for event in events if event["name"] == "TimerFire" and "tdur" in event]
    if len(turns) < len(order):
        raise SystemExit(f"The browser traced {len(turns)} turns of {len(order)}.")
    return spent, sorted(turns)[-len(order) :]


async def reading(
    browser: Any, live: services.Service, client: httpx.AsyncClient, scratch: Path, given: argparse.Namespace
) -> list[Row]:
    """An hour of 5,000 lines."""
    job_id, starts = await finished(client, scratch, "hour.wav", sound(3600, chunks=50, seconds=71.0, segments=100))
    mounts: list[list[float]] = []
    for _ in range(given.visits):
        async with opened(browser, live.url, job_id, LINES) as (_visitor, mounted):
            mounts.append(mounted)
    whole, since, painted, own = zip(*mounts, strict=True)
    chance = random.Random(1)
    async with opened(browser, live.url, job_id, LINES) as (visitor, _mounted):
        page = visitor.page
        fifty = next(index for index, start in enumerate(starts) if start >= 3000)
        first = await page.evaluate(JUMP, fifty)
        late, frames = await page.evaluate(PLAY, [starts, 10])
        jumps = [await page.evaluate(JUMP, chance.randrange(LINES - 50)) for _ in range(20)]
        following, following_own = await changes(browser, page, starts, range(2_000, 2_000 + given.changes))
        anywhere, anywhere_own = await changes(browser, page, starts, chance.sample(range(LINES), given.changes))
    marked, ready = zip(*jumps, strict=True)
    what = "an hour of 5,000 lines"
    return [
        row(f"{what}: navigation to all lines in the document", whole, "s", 1, 2),
        row(f"{what}: arrival of the text to all lines in the document", since, "s", 1, 2),
        row(f"{what}: navigation to the first picture of them", painted, "s", None, 2),
        row(f"{what}: the page's own time from navigation to that, and until it can be played", own, "s", None, 2),
        row("change of the active line and word, to the next while it follows", following, "ms", 16),
        row("the same, the page's own time", following_own, "ms", 16),
        row("change of the active line and word, to any line", anywhere, "ms", 16),
        row("the same, the page's own time", anywhere_own, "ms", 16),
        row("click on 50:00 to line and word marked", [first[0]], "ms", 100),
        row("click on 50:00 until the recording is there", [first[1]], "ms"),
        row("click on any line to line and word marked", marked, "ms", 100),
        row("click on any line until the recording is there", ready, "ms"),
        row("how late a line is marked while it plays", late, "ms", 100),
        row("time between two frames while it plays", frames, "ms"),
    ]


async def listening(browser: Any, live: services.Service, client: httpx.AsyncClient, scratch: Path) -> list[Row]:
    """Three hours of peaks."""
    data = sound(3 * 3600, chunks=150, seconds=71.0, segments=20, peaks=3 * 3600 * PEAKS_PER_S)
    job_id, _starts = await finished(client, scratch, "three hours.wav", data)
    async with opened(browser, live.url, job_id, 3_000) as (visitor, _mounted):
        page = visitor.page
        await page.wait_for_selector(".wave.drawn")
        drawn = await settled(page)
        await page.evaluate(JUMP, 1_500)
        await page.wait_for_timeout(3_000)
        played = await page.evaluate(HEAP)
        decoders = await page.evaluate("window.decoders")
    what = "a waveform of three hours"
    return [
        row(f"{what}: heap of the page with it drawn", [drawn.heap / usage.MB], "MB", 100),
        row(f"{what}: the same, uncollected, after a jump and 3 s of playing", [played / usage.MB], "MB", 100),
        row(f"{what}: resident memory of the renderers", [drawn.resident / usage.MB], "MB"),
        (f"{what}: decoders that the page made", str(decoders), "0", "NO" if decoders else "yes"),
    ]


async def measure(given: argparse.Namespace, scratch: Path) -> list[Row]:
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        print(f"Chromium {browser.version}", flush=True)
        rows = await upload(browser, given.gigabytes, scratch) if given.gigabytes else []
        with services.service(scratch / "reading", model=None, module=READING) as live:
            async with live.client as client:
                await api.loaded(client)
                rows += await reading(browser, live, client, scratch, given)
                rows += await listening(browser, live, client, scratch)
        await browser.close()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=3.0, help="of the upload; 0 leaves it out")
    parser.add_argument("--changes", type=int, default=400, help="of the active line, of each kind")
    parser.add_argument("--visits", type=int, default=5, help="of the long text, each with an empty cache")
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
