"""A recording that the browser cannot play: the page plays its listening copy, at the times of the transcript."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from testkit.browser import Site, Visitor, running_site, visiting
from testkit.media_files import encode, write_wav
from testkit.sounds import babble, join, silence
from whisper_service.core.domain import Playable
from whisper_service.scheduler import requests

pytestmark = [pytest.mark.ui, pytest.mark.anyio]

TALK = join(*(sound for seed in range(5) for sound in (silence(2), babble(15, seed=seed))), silence(2))
PLACE = "document.querySelector('video').currentTime"


@pytest.fixture(scope="module")
async def real(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """A service with the real media actor. Its speech actor has a text for every chunk."""
    media = "whisper_service.actors.media.main:run"
    async with running_site(tmp_path_factory.mktemp("ui"), media_actor=media) as site:
        yield site


@pytest.fixture
async def visitor(browser: Any, real: Site) -> AsyncIterator[Visitor]:
    async with visiting(browser, real.url) as visitor:
        yield visitor


def recording(directory: Path, name: str) -> Path:
    kinds = {"wma": ("wmav2", "asf"), "caf": ("alac", "caf")}
    codec, format = kinds[name.rpartition(".")[2]]
    return encode(directory / name, TALK, codec, format=format)


async def submitted(site: Site, path: Path) -> str:
    """Send a recording; the id of its finished job."""
    job = await site.send(path.name, data=await anyio.Path(path).read_bytes())
    await site.until(job.id, "completed")
    return job.id


async def place(visitor: Visitor) -> float:
    found: float = await visitor.page.evaluate(PLACE)
    return found


@pytest.mark.parametrize("name", ["talk.wma", "talk.caf"])
async def test_it_plays_and_a_click_on_a_time_goes_there(
    visitor: Visitor, real: Site, tmp_path: Path, name: str
) -> None:
    job_id = await submitted(real, recording(tmp_path, name))
    assert (await real.service.jobs.get(job_id)).playable is Playable.COPY
    await visitor.go(f"/t/{job_id}")
    page = visitor.page
    await page.wait_for_selector("[data-play]")
    lines = (await real.service.jobs.transcript(job_id)).segments
    assert len(lines) >= 4
    await page.click("[data-play]")
    await visitor.reads(f"{PLACE} > 0.5", True)
    await page.click("[data-play]")
    await visitor.reads("(({ paused, seeking }) => paused && !seeking)(document.querySelector('video'))", True)
    await page.evaluate(  # it plays on from there: the place is taken at the moment in which it gets there
        """document.querySelector('video').addEventListener('seeked', (event) => {
          window.reached ??= event.target.currentTime })"""
    )
    await page.locator(".line").nth(2).locator("button").first.click()
    await visitor.reads("window.reached !== undefined", True)
    assert 0 <= await page.evaluate("window.reached") - lines[2].start < 0.3
    assert abs(await page.evaluate("document.querySelector('video').duration") - len(TALK) / 16_000) < 0.3
    await visitor.reads("[...document.querySelectorAll('.line')].indexOf(document.querySelector('.line.now'))", 2)


async def test_the_player_comes_with_the_copy(visitor: Visitor, real: Site, tmp_path: Path) -> None:
    """The page is open before the recording is read: the browser refuses the recording, then gets the copy."""
    path = recording(tmp_path, "later.wma")
    job = await real.send(path.name, data=await anyio.Path(path).read_bytes())
    await visitor.go(f"/t/{job.id}")
    await real.until(job.id, "completed")
    await visitor.page.wait_for_selector("[data-play]")
    await visitor.count("[data-no-media]", 0)


async def test_without_a_copy_the_page_says_which_of_the_two_causes_it_is(
    visitor: Visitor, real: Site, tmp_path: Path
) -> None:
    job_id = await submitted(real, recording(tmp_path, "talk.caf"))
    context = real.service.parts.context
    await visitor.go(f"/t/{job_id}")
    await visitor.page.wait_for_selector("[data-play]")
    await context.ask(requests.remove_copy, job_id)
    await visitor.page.locator("[data-no-media]", has_text="cannot play this format").wait_for()
    await context.ask(requests.remove_media, job_id)
    await visitor.page.locator("[data-no-media]", has_text="deleted by the storage rules").wait_for()


async def test_what_plays_goes_on_when_its_source_changes(visitor: Visitor, real: Site, tmp_path: Path) -> None:
    job_id = await submitted(real, write_wav(tmp_path / "talk.wav", TALK))
    copied = await submitted(real, recording(tmp_path, "talk.caf"))
    await visitor.go(f"/t/{job_id}")
    page = visitor.page
    await page.locator(".line").nth(2).locator("button").first.click()
    await visitor.reads(f"{PLACE} > 30", True)
    data, store = real.service.parts.data, real.service.parts.store
    copy = await anyio.Path(data.copy_of(copied)).read_bytes()
    await anyio.Path(data.copy_of(job_id)).write_bytes(copy)
    job = await real.service.jobs.get(job_id)
    written = await store.update(job_id, expected=job.status, playable=Playable.COPY, copy_bytes=len(copy))
    assert written is not None
    real.service.events.publish(written.changes)
    await visitor.reads("document.querySelector('video').currentSrc.endsWith('original=0')", True)
    await visitor.reads("document.querySelector('video').paused", False)
    assert await place(visitor) > 30
