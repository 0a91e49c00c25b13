"""What the tests of the page stand on: a service whose actors follow a script, and what a visitor does in a browser."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import anyio
import pytest

from testkit.repository import STATIC
from testkit.scripted_actors import script
from testkit.service import running, until
from whisper_service.app.service import Service
from whisper_service.core.domain import Job, Options
from whisper_service.core.errors import ServiceError, Unavailable
from whisper_service.core.job_states import TERMINAL, Cause
from whisper_service.web.api import events

DIST: Final = STATIC / "dist"
CHROMIUM: Final = shutil.which("chromium")
FLAGS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-precise-memory-info",  # else the heap is told in rough steps, and seldom anew
)
PAGES: Final = ("/", "/models", "/system", "/settings", "/record")
LANGUAGES: Final = ("en-US", "zh-CN")
EXPECTED: Final = re.compile(r"/api/jobs/\w+/(media|peaks)")
"""Scripts have no sound, so the page is told so, and browsers write every 404 into their console."""


def need(what: str, *, there: bool, how: str) -> None:
    """Skip the test with a reason. Fail it where WHISPER_SERVICE_UI requires the page."""
    if there:
        return
    reason = f"{what}: {how}"
    if os.environ.get("WHISPER_SERVICE_UI") == "require":
        pytest.fail(reason)
    pytest.skip(reason)


class Streams:
    """Counts the streams of all jobs and refuses them on demand. Replaces the generator behind `/api/events`."""

    def __init__(self) -> None:
        self.open = 0
        self.refused = False
        self._real = events.stream_all

    def __call__(self, *args: Any, **keywords: Any) -> AsyncIterator[bytes]:
        if self.refused:
            raise Unavailable("The stream is refused.")
        return self._counted(self._real(*args, **keywords))

    async def _counted(self, stream: Any) -> AsyncIterator[bytes]:
        self.open += 1
        try:
            async for block in stream:
                if self.refused:
                    return
                yield block
        finally:
            self.open -= 1


class Site(NamedTuple):
    """A service with its address, and what clients other than the browser do there."""

    service: Service
    url: str
    marks: Path  # where scripts remember what they did once

    async def send(self, name: str, *, options: Options | None = None, **play: Any) -> Job:
        """Submit a script, as another client would. Without `options` it is in English."""
        async with self.service.uploads.receive(name) as receiver:
            await receiver.write(play.pop("data", None) or script(name=name, marks=str(self.marks), **play))
            received = await receiver.finish()
        return await self.service.jobs.submit(received, options or Options(language="en"), reuse=False)

    async def until(self, job_id: str, *statuses: str) -> Job:
        """Wait until the job has one of these states. Return it."""
        return await until(self.service, job_id, lambda job: job.status in statuses)

    async def clear(self) -> None:
        """Delete all jobs."""
        for job in await self.service.parts.store.jobs(limit=1000):
            if job.status not in TERMINAL:
                with suppress(ServiceError):  # it may end just now
                    await self.service.jobs.change(job.id, Cause.CANCEL)
            with suppress(ServiceError):
                await self.service.jobs.delete(job.id, for_good=True)


@asynccontextmanager
async def running_site(root: Path, *, storage: dict[str, Any] | None = None, **options: Any) -> AsyncIterator[Site]:
    """A service on `root`, with what earlier services left there. Deleted jobs can be restored for ten minutes."""
    marks = root / "marks"
    marks.mkdir(parents=True, exist_ok=True)
    options = {"links": {"allowed_networks": ("127.0.0.1",)}} | options
    async with running(root, storage={"undo_s": 600.0} | (storage or {}), **options) as up:
        yield Site(up.service, up.url, marks)


def recording(name: str, **play: Any) -> dict[str, Any]:
    """Return a script as a file for a file input of the page."""
    return {"name": name, "mimeType": "audio/wav", "buffer": play.pop("data", None) or script(name=name, **play)}


CHOOSE: Final = "[data-choose=files]"
DROP: Final = """([files, kind]) => {
  const data = new DataTransfer()
  for (const [name, text, type] of files) data.items.add(new File([text], name, { type: type ?? 'audio/wav' }))
  const event = kind === 'paste'
    ? new ClipboardEvent('paste', { clipboardData: data, bubbles: true })
    : new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true })
  document.querySelector('main').dispatchEvent(event)
}"""


class Visitor:
    """One tab. It keeps every defect it sees: exceptions, console messages, requests to other servers."""

    def __init__(self, page: Any, url: str) -> None:
        self.page = page
        self.url = url
        self.defects: list[str] = []
        self.expected = EXPECTED
        page.on("pageerror", lambda error: self.defects.append(str(error)))
        page.on("console", self._console)
        page.on("request", self._request)

    def _console(self, message: Any) -> None:
        place = str(message.location.get("url", ""))
        if message.type in ("error", "warning") and not self.expected.search(place):
            self.defects.append(f"{message.type}: {message.text} ({place})")

    def _request(self, request: Any) -> None:
        if not request.url.startswith((self.url, "blob:")):
            self.defects.append(f"a request to {request.url}")

    async def go(self, path: str = "/") -> Any:
        """Open a path. Return the page once it shows what it loads."""
        await self.page.goto(self.url + path)
        await self.page.wait_for_selector("main:not(:has(.skeleton))")
        return self.page

    async def live(self) -> None:
        """Wait until the page receives events."""
        await self.page.wait_for_selector(".chip[data-link=live]")

    async def choose(self, *files: dict[str, Any]) -> None:
        """Choose files in the file dialog."""
        await self.page.set_input_files(CHOOSE, list(files))

    async def throw(self, kind: str, *files: tuple[str, bytes]) -> None:
        """Send the page an event with files. `kind` is dragover, drop or paste."""
        await self.page.evaluate(DROP, [[(name, data.decode()) for name, data in files], kind])

    def row(self, name: str) -> Any:
        """Return the row of a job by the name of its file, which the row shows without its ending."""
        return self.page.locator(f".job[data-job]:has(.about[title*={json.dumps(name, ensure_ascii=False)}])")

    async def shows(self, name: str, status: str, timeout_s: float = 20) -> Any:
        """Wait until the row of this name has this state. Return it."""
        row = self.row(name).and_(self.page.locator(f"[data-status={status}]"))
        await row.wait_for(timeout=timeout_s * 1000)
        return row

    async def count(self, selector: str, wanted: int) -> None:
        """Wait until there are so many elements.

        The page's policy forbids the driver's own way of waiting for a condition.
        """
        with anyio.fail_after(20):
            while await self.page.locator(selector).count() != wanted:  # noqa: ASYNC110  nobody tells
                await anyio.sleep(0.03)

    async def reads(self, expression: str, wanted: Any) -> None:
        """Wait until a JavaScript expression has this value. Fails with its last value if it never has.

        While it throws, as of an element that is not there yet, it has no value.
        """
        await self.sees(lambda: self.page.evaluate(expression), wanted)

    async def sees(self, look: Callable[[], Awaitable[Any]], wanted: Any = True, *, has: str | None = None) -> None:
        """Wait until what `look` finds is `wanted`, or has a text in it. Fails with what it found last."""
        from playwright.async_api import Error

        found: Any = None
        with anyio.move_on_after(15):
            while True:
                try:
                    found = await look()
                except Error as error:
                    found = str(error)
                if (found == wanted) if has is None else (has in found):
                    return
                await anyio.sleep(0.03)
        if has is None:
            assert found == wanted
        else:
            assert has in found

    async def words(self) -> str:
        """Return all text of the page, with labels, placeholders and titles."""
        text: str = await self.page.evaluate(
            """() => [document.title, document.body.innerText,
              ...[...document.querySelectorAll('[aria-label], [placeholder], [title]')]
              .flatMap((e) => [e.ariaLabel, e.placeholder, e.title])].filter(Boolean).join('\\n')"""
        )
        return text


@asynccontextmanager
async def visiting(browser: Any, url: str, *, locale: str = "en-US", **context: Any) -> AsyncIterator[Visitor]:
    """A browser profile of its own with one tab. A defect that is seen fails the test."""
    profile = await browser.new_context(locale=locale, **context)
    try:
        visitor = Visitor(await profile.new_page(), url)
        yield visitor
        assert visitor.defects == []
    finally:
        await profile.close()
