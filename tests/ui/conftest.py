"""One browser and one service for all tests of a module; a profile and an empty list for each."""

from __future__ import annotations

from collections.abc import AsyncIterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from testkit.browser import CHROMIUM, DIST, FLAGS, Site, Streams, Visitor, need, running_site, visiting
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
        patch.setattr(events, "stream_all", counted)
        yield counted


@pytest.fixture(scope="module")
async def module_site(browser: Any, streams: Streams, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    root: Path = tmp_path_factory.mktemp("ui")
    async with running_site(root) as site:
        yield site


@pytest.fixture
async def site(module_site: Site) -> AsyncIterator[Site]:
    """The service of the module, with an empty list."""
    yield module_site
    await module_site.clear()


@pytest.fixture
async def visitor(browser: Any, site: Site) -> AsyncIterator[Visitor]:
    """A tab with the page, in English."""
    async with visiting(browser, site.url) as visitor:
        await visitor.go()
        yield visitor
