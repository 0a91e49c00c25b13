"""Names of speakers in exports, as the dialog offers them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from testkit.browser import Site, Streams, Visitor, running_site
from testkit.scripted_actors import text_of
from testkit.service import placeholder_networks
from whisper_service.core.domain import Options

pytestmark = [pytest.mark.ui, pytest.mark.anyio]


@pytest.fixture(scope="module")
async def module_site(streams: Streams, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """A service that has the networks for speakers. What they hear is in the scripts."""
    root = tmp_path_factory.mktemp("names")
    placeholder_networks(root)
    async with running_site(root) as site:
        yield site


async def opened(site: Site, visitor: Visitor, people: str) -> None:
    """Open the export dialog of a finished transcript, from the list."""
    options = Options(language="en", speakers="auto")
    job = await site.send("call.wav", options=options, chunks=2, seconds=10.0, people=people)
    await site.until(job.id, "completed")
    await visitor.go("/")
    await visitor.page.click(f"[data-job='{job.id}'] [data-export]")
    await visitor.page.locator("[data-preview]", has_text=text_of(1)).wait_for()


async def test_names_stand_in_the_file_unless_they_are_switched_off(visitor: Visitor, site: Site) -> None:
    await opened(site, visitor, "QR")
    page = visitor.page
    await page.locator("[data-preview]", has_text=f"Speaker 2: {text_of(1)}").wait_for()
    await visitor.sees(lambda: page.is_checked("[data-shape=speakers]"), True)
    await page.uncheck("[data-shape=speakers]")
    await page.locator("[data-preview]", has_not_text="Speaker 2").wait_for()
    await page.check("#export input[value=tsv]")
    await page.locator("[data-preview]", has_text=f"{text_of(1)}\n").wait_for()
    await visitor.sees(lambda: page.is_checked("[data-shape=speakers]"), False)
    await page.check("[data-shape=speakers]")
    await page.locator("[data-preview]", has_text=f"{text_of(1)}\tSpeaker 2").wait_for()
    await page.check("#export input[value=lrc]")
    await visitor.sees(lambda: page.locator("[data-shape=speakers]").count(), 0)


async def test_one_speaker_is_not_offered_as_a_name(visitor: Visitor, site: Site) -> None:
    await opened(site, visitor, "Q")
    await visitor.count("[data-shape=bom]", 1)
    await visitor.count("[data-shape=speakers]", 0)
