"""One browser and one service for all tests of a module; a profile and an empty list for each."""

from __future__ import annotations

from collections.abc import AsyncIterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from testkit.browser import CHROMIUM, DIST, FLAGS, Stage, Streams, Visitor, need, staged, visiting
from whisper_service.web.api import events


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Any]:
    need("playwright is not installed", there=find_spec("playwright") is not None, how="pip install playwright")
    need("there is no chromium on this machine", there=CHROMIUM is not None, how="apt-get install chromium")
    need("the page is not built", there=(DIST / "index.html").exists(), how="npm install && npm run build in static")
    from playwright.async_api import async_playwright

    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        await browser.close()


@pytest.fixture(scope="module")
async def streams() -> AsyncIterator[Streams]:
    with pytest.MonkeyPatch.context() as patch:
        counted = Streams()
        patch.setattr(events, "everything", counted)
        yield counted


@pytest.fixture(scope="module")
async def theatre(browser: Any, streams: Streams, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    root: Path = tmp_path_factory.mktemp("ui")
    async with staged(root) as stage:
        yield stage


@pytest.fixture
async def stage(theatre: Stage) -> AsyncIterator[Stage]:
    """The service of the module, with an empty list."""
    yield theatre
    await theatre.clear()


@pytest.fixture
async def visitor(browser: Any, stage: Stage) -> AsyncIterator[Visitor]:
    """A tab with the page, in English."""
    async with visiting(browser, stage.url) as visitor:
        await visitor.go()
        yield visitor
