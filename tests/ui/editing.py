"""The page of a transcript that is edited: how tests open it, click into it, and wait for what the service has."""

from __future__ import annotations

from typing import Any

import anyio
import httpx

from testkit.browser import Site, Visitor
from testkit.playable import sound

LINES = ("The quick brown fox jumps over the lazy dog.", "Please call Stella and ask her.", "One two three four five.")
CARET = """(() => { const { focusNode: node, focusOffset: at } = getSelection()
  const line = (node?.nodeType === 3 ? node.parentElement : node)?.closest('[data-line]')
  return line && [[...document.querySelectorAll('[data-line]')].indexOf(line), node.nodeType === 3 ? at : 0] })()"""
TEXTS = "[...document.querySelectorAll('.text [data-line] > p')].map((p) => p.textContent)"

LONG_PAUSE = """{ const set = window.setTimeout
  window.setTimeout = (act, ms, ...more) => set(act, ms === 700 ? 600_000 : ms, ...more) }"""
"""For tests in which nothing may be sent before the line is left, however slow the machine is: a script of the page."""
KEPT = """(async () => {
  if (!(await indexedDB.databases()).some(({ name }) => name === 'edits')) return []
  const asked = (request) => new Promise((done) => { request.onsuccess = () => done(request.result) })
  const base = await asked(indexedDB.open('edits'))
  const changes = await asked(base.transaction('changes').objectStore('changes').getAll())
  base.close()
  return changes.flatMap(({ acts }) => acts.map(({ operation }) => operation.text)) })()"""
"""The texts that the browser keeps because the service does not have them."""


async def opened(
    site: Site, visitor: Visitor, name: str = "talk.wav", lines: tuple[str, ...] = LINES, **play: Any
) -> str:
    """Open the page of a finished transcript with one line in each chunk. Return the id of the job."""
    job = await site.send(name, data=sound(13 * len(lines), chunks=len(lines), lines=lines, **play))
    await site.until(job.id, "completed")
    await visitor.go(f"/t/{job.id}")
    await visitor.page.wait_for_selector(".player")
    return job.id


async def transcript(site: Site, job_id: str, **query: str) -> list[dict[str, Any]]:
    """Return the lines as the API gives them."""
    async with httpx.AsyncClient(base_url=site.url) as client:
        answer = (await client.get(f"/api/jobs/{job_id}/transcript", params=query)).raise_for_status()
    lines: list[dict[str, Any]] = answer.json()["segments"]
    return lines


async def stored(site: Site, job_id: str, wanted: list[str]) -> list[dict[str, Any]]:
    """Wait until the service has these lines. Return them."""
    lines = await transcript(site, job_id)
    with anyio.move_on_after(10):
        while [line["text"] for line in lines] != wanted:
            await anyio.sleep(0.05)
            lines = await transcript(site, job_id)
    assert [line["text"] for line in lines] == wanted
    return lines


async def click_at(visitor: Visitor, line: int, offset: int) -> None:
    """Click between two characters of a line."""
    x, y = await visitor.page.evaluate(
        """async ([line, offset]) => {
          const place = () => {
            const p = document.querySelectorAll('[data-line] > p')[line], range = new Range()
            p.scrollIntoView({ block: 'center' })
            range.setStart(p.firstChild, Math.min(offset, p.firstChild.length))
            range.setEnd(p.firstChild, Math.min(offset + 1, p.firstChild.length))
            const { left, top, height } = range.getBoundingClientRect()
            return [left + 1, top + height / 2]
          }
          for (let [x, y] = place(); ; ) {
            await new Promise((done) => setTimeout(done, 30))
            const [left, top] = place()
            if (left === x && top === y) return [x, y] // nothing moves it any more
            ;[x, y] = [left, top]
          } }""",
        [line, offset],
    )
    await visitor.page.mouse.click(x, y)
