"""Uploads: two at a time, in pieces that survive cuts and reloads."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import anyio
import pytest

from testkit.browser import CHOOSE, Site, Visitor, recording
from testkit.scripted_actors import BEHIND, script
from whisper_service.core.errors import Unavailable

pytestmark = [pytest.mark.ui, pytest.mark.anyio]

PIECE = 8 * 2**20


def large(path: Path, size: int, **play: Any) -> Path:
    """A file with holes, as large as this and hardly on the disk, with a script behind."""
    with path.open("wb") as file:
        file.truncate(size)
        file.seek(size)
        file.write(BEHIND + script(**play))
    return path


class Gate:
    """Lets a few pieces through and then refuses them, as a proxy does whose service is away."""

    def __init__(self, uploads: Any) -> None:
        self.left = 99
        self.offsets: list[int] = []
        self._append = uploads.append

    async def __call__(self, upload_id: str, offset: int, *args: Any, **keywords: Any) -> Any:
        if self.left <= 0:
            raise Unavailable
        self.left -= 1
        self.offsets.append(offset)
        return await self._append(upload_id, offset, *args, **keywords)


@pytest.fixture
def gate(site: Site, visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> Gate:
    made = Gate(site.service.resumable)
    monkeypatch.setattr(site.service.resumable, "append", made)
    visitor.expected = re.compile("/api/uploads")
    return made


async def test_an_upload_that_was_cut_goes_on_where_the_service_has_it(
    visitor: Visitor, site: Site, gate: Gate, tmp_path: Path
) -> None:
    page = visitor.page
    gate.left = 2
    file = large(tmp_path / "cut.wav", 4 * PIECE, chunks=1)
    await page.set_input_files(CHOOSE, file)
    await page.wait_for_selector("[data-upload=cut]")
    await page.get_by_text("resumes automatically").wait_for()
    gate.left = 99
    await visitor.shows("cut.wav", "completed", timeout_s=40)
    assert gate.offsets[:3] == [0, PIECE, 2 * PIECE]


async def test_after_a_reload_the_same_file_goes_on_from_there(
    visitor: Visitor, site: Site, gate: Gate, tmp_path: Path
) -> None:
    page = visitor.page
    gate.left = 2
    file = large(tmp_path / "later.wav", 4 * PIECE, chunks=1)
    await page.set_input_files(CHOOSE, file)
    await page.wait_for_selector("[data-upload=cut]")
    await visitor.go()
    notice = page.locator("[data-unfinished]")
    await notice.wait_for()
    assert "49 %" in await notice.inner_text()
    assert "later.wav" in await notice.inner_text()
    gate.left = 99
    gate.offsets.clear()
    await page.set_input_files(CHOOSE, file)
    await visitor.shows("later.wav", "completed", timeout_s=40)
    assert gate.offsets[0] == 2 * PIECE
    await notice.wait_for(state="detached")


async def test_an_upload_is_paused_and_resumed_and_a_discarded_one_is_forgotten(
    visitor: Visitor, site: Site, gate: Gate, tmp_path: Path
) -> None:
    page = visitor.page
    gate.left = 1
    await page.set_input_files(CHOOSE, large(tmp_path / "held.wav", 2 * PIECE, chunks=1))
    await page.wait_for_selector("[data-upload=cut]")
    await page.click("[data-upload] [data-verb=pause]")
    await page.wait_for_selector("[data-upload=paused]")
    gate.left = 99
    await anyio.sleep(0.5)
    assert len(gate.offsets) == 1
    await page.click("[data-upload] [data-verb=resume]")
    await visitor.shows("held.wav", "completed", timeout_s=40)
    gate.left = 1
    await page.set_input_files(CHOOSE, large(tmp_path / "unwanted.wav", 2 * PIECE, chunks=1))
    await page.wait_for_selector("[data-upload=cut]")
    await visitor.go()
    await page.click("[data-unfinished] button")
    await page.wait_for_selector("[data-unfinished]", state="detached")
    await visitor.go()
    await page.locator("[data-unfinished]").wait_for(state="detached")


async def test_an_upload_can_be_cancelled(visitor: Visitor, site: Site, gate: Gate, tmp_path: Path) -> None:
    page = visitor.page
    gate.left = 1
    await page.set_input_files(CHOOSE, large(tmp_path / "stuck.wav", 3 * PIECE, chunks=1))
    await page.wait_for_selector("[data-upload=cut]")
    await page.click("[data-upload] [data-verb=cancel]")
    await page.wait_for_selector("[data-upload]", state="detached")
    await visitor.go()
    await page.locator("[data-unfinished]").wait_for(state="detached")
    assert await site.service.parts.store.jobs(limit=10) == []


async def test_a_large_file_does_not_pass_through_the_memory_of_the_page(
    visitor: Visitor, site: Site, tmp_path: Path
) -> None:
    heap = "performance.memory.usedJSHeapSize"
    page = visitor.page
    before = await page.evaluate(heap)
    await page.set_input_files(CHOOSE, large(tmp_path / "large.wav", 200_000_000, chunks=1))
    await page.locator("[data-upload=sending] .status", has_text=re.compile(r"[5-9]\d %")).wait_for(timeout=60_000)
    assert await page.evaluate(heap) - before < 50_000_000
    await visitor.shows("large.wav", "completed", timeout_s=60)


async def test_a_file_that_is_here_already_is_noticed_before_it_is_sent(visitor: Visitor, site: Site) -> None:
    twin = recording("twin.wav", chunks=1)
    await visitor.choose(twin)
    await visitor.shows("twin.wav", "completed")
    await visitor.choose(twin)
    row = visitor.page.locator("[data-upload=known]")
    await row.get_by_text("Already uploaded", exact=True).wait_for()
    await row.get_by_role("button", name="Transcribe anyway").click()
    await visitor.count(".jobs .job[data-status=completed]", 2)


async def test_what_was_chosen_goes_with_the_upload(visitor: Visitor, site: Site) -> None:
    page = visitor.page
    await page.select_option("[data-option=language]", "zh")
    await page.click("text=More options")
    await page.fill("[data-prompt]", "王小明")
    await visitor.choose(recording("chosen.wav", chunks=1))
    await visitor.shows("chosen.wav", "completed")
    options = (await site.service.parts.store.jobs(limit=1))[0].options
    assert (options.language, options.prompt) == ("zh", "王小明")
