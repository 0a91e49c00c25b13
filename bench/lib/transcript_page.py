"""The page of a long transcript in a real browser, for benchmarks: visit it, and jump to a place in it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx

from bench.lib import api
from testkit.browser import Visitor, visiting

READING = ("testkit.serve", "--speech", "testkit.scripted_actors:speech", "--media", "testkit.scripted_actors:media")
HEAP = "performance.memory.usedJSHeapSize"
MOUNT = """
window.decoders = 0
for (const name of ['AudioContext', 'webkitAudioContext', 'OfflineAudioContext', 'AudioDecoder']) {
  if (window[name]) window[name] = class extends window[name] {
    constructor(...given) { super(...given); window.decoders += 1 }
  }
}
new MutationObserver(() => {
  if (window.whole || document.querySelectorAll('.line').length < %d) return
  window.whole = performance.now()
  requestAnimationFrame(() => setTimeout(() => { window.painted = performance.now() }))
}).observe(document, { childList: true, subtree: true })
"""
MOUNTED = """async () => {
  while (!window.painted || !document.querySelector('.player')) await new Promise(requestAnimationFrame)
  const answer = performance.getEntriesByType('resource')
    .find((entry) => entry.name.endsWith('/transcript')).responseEnd
  return [window.whole, window.whole - answer, window.painted].map((ms) => ms / 1000)
}"""
JUMP = """async (index) => {
  const line = document.querySelectorAll('[data-line]')[index], video = document.querySelector('video')
  const playing = new Promise((resolve) =>
    video.addEventListener('seeked', () => resolve(performance.now()), { once: true }))
  const marked = () => line.classList.contains('now')
    && [...(CSS.highlights.get('word') ?? [])].some((range) => line.contains(range.startContainer))
  const began = performance.now()
  line.querySelector('button').click()
  while (!marked()) await new Promise(requestAnimationFrame)
  return [performance.now() - began, await playing - began]
}"""


async def finished(client: httpx.AsyncClient, scratch: Path, name: str, data: bytes) -> tuple[str, list[float]]:
    """A job that is done, and when each of its lines begins."""
    path = anyio.Path(scratch) / name
    await path.write_bytes(data)
    job = await api.upload(client, Path(path), language="en")
    await api.finished(client, job["id"])
    said = await api.get(client, f"/api/jobs/{job['id']}/transcript")
    return job["id"], [segment["start"] for segment in said["segments"]]


@asynccontextmanager
async def opened(browser: Any, url: str, job_id: str, lines: int) -> AsyncIterator[tuple[Visitor, list[float]]]:
    """Visit the page of a transcript.

    Return it with seconds: from the navigation to the lines, from their arrival, until painted, and the page's own.
    """
    async with visiting(browser, url) as visitor:
        page = visitor.page
        session = await page.context.new_cdp_session(page)
        await session.send("Performance.enable", {"timeDomain": "threadTicks"})
        await page.add_init_script(MOUNT % lines)
        await page.goto(f"{url}/t/{job_id}", wait_until="commit")
        mounted = await page.evaluate(MOUNTED)
        told = {each["name"]: each["value"] for each in (await session.send("Performance.getMetrics"))["metrics"]}
        await session.detach()
        yield visitor, [*mounted, told["TaskDuration"]]
